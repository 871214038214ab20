// The first pass in int8 over vectors in half precision on a GPU, and the scores of the rows that it leaves.
//
// x is a row, y a probe, xq and yq are their codes times their scales, all of them exact numbers. Since
//   <x, y> - <xq, yq> = <x - xq, y> + <xq, y - yq>,
// the inner product is off by at most |x - xq| |y| + |xq| |y - yq| (Cauchy-Schwarz), and |y| <= |yq| + |y - yq|.
// A row whose upper bound lies below k lower bounds of other rows cannot be among the k best.

#define BINS 4096  // of lower bounds in [-1, 1), each 2^-11 wide; int8_gpu.py has the same number
#define BINS_PER_UNIT 2048
#define LOWEST -3.4e38f
// Roundings of float32 are within 2^-24; the bounds are widened by 16 times that, and lengths by D times it.
#define SLACK 9.5367431640625e-07f
#define ROUNDING 1.1920928955078125e-07f

// What is known of the codes of a vector: the scale, at least |x - xq|, and at least |xq|.
struct Terms {
    float scale, residual, length;
};

struct Bounds {
    float low, high;
};

__device__ float half_value(unsigned short bits)
{
    float value = __uint_as_float((bits & 0x7fffu) << 13) * 5.192296858534828e33f;  // 2^112: exact, subnormal or not
    return bits & 0x8000u ? -value : value;
}

__device__ Bounds bounds(int product, const Terms &row, const Terms &probe)
{
    float value = (float)product * row.scale * probe.scale;
    float error = row.residual * (probe.length + probe.residual) + row.length * (probe.residual + SLACK * probe.length);
    error *= 1.0f + SLACK;
    return {value - error, value + error};
}

__device__ bool is_allowed(const unsigned *allowed, unsigned row)
{
    return !allowed || (allowed[row / 32] >> row % 32 & 1);
}

__device__ unsigned thread_number()
{
    return blockIdx.x * blockDim.x + threadIdx.x;
}

// Codes vectors f16[rows, dimension] as i8[rows, width], zeros beyond the dimension, and terms[rows].
extern "C" __global__ void code(
    const unsigned short *halves, unsigned rows, unsigned dimension, unsigned width, signed char *codes, Terms *terms)
{
    unsigned row = thread_number();
    if (row >= rows) return;
    halves += (size_t)row * dimension;
    codes += (size_t)row * width;
    float most = 0.0f, residual = 0.0f, length = 0.0f;
    for (unsigned n = 0; n < dimension; n++) most = fmaxf(most, fabsf(half_value(halves[n])));
    float scale = most / 127.0f;
    for (unsigned n = 0; n < width; n++) {
        float value = n < dimension ? half_value(halves[n]) : 0.0f;
        int nearest = most > 0.0f ? (int)rintf(value / scale) : 0;
        int kept = nearest > 127 ? 127 : nearest < -127 ? -127 : nearest;
        float coded = (float)kept * scale;
        codes[n] = (signed char)kept;
        residual += (value - coded) * (value - coded);
        length += coded * coded;
    }
    float wider = 1.0f + (float)dimension * ROUNDING;
    length = sqrtf(length) * wider;
    terms[row] = {scale, sqrtf(residual) * wider + SLACK * length, length};
}

// Counts, for each probe and bin, the highest lower bounds of `groups` groups of rows: k of them are of k rows.
// products: i32[probes, stride].
extern "C" __global__ void count_low(
    const int *products, unsigned stride, unsigned rows, unsigned groups, const Terms *of_rows, const Terms *of_probes,
    const unsigned *allowed, unsigned *counts)
{
    unsigned group = thread_number(), probe = blockIdx.y;
    if (group >= groups) return;
    products += (size_t)probe * stride;
    float best = LOWEST;
    for (unsigned row = group; row < rows; row += groups)
        if (is_allowed(allowed, row)) best = fmaxf(best, bounds(products[row], of_rows[row], of_probes[probe]).low);
    if (best == LOWEST) return;
    int bin = (int)floorf(fminf(fmaxf(best, -1.0f), 1.0f) * BINS_PER_UNIT) + BINS_PER_UNIT;
    atomicAdd(&counts[probe * BINS + (bin < BINS ? bin : BINS - 1)], 1u);
}

// Finds a floor f32[probes] that k lower bounds reach.
extern "C" __global__ void find_floor(unsigned probes, unsigned k, const unsigned *counts, float *floors)
{
    unsigned probe = thread_number();
    if (probe >= probes) return;
    unsigned seen = 0;
    int bin = BINS;
    while (bin > 0 && seen < k) seen += counts[probe * BINS + --bin];
    // The lowest bin also has what lies below it.
    floors[probe] = seen < k || bin == 0 ? LOWEST : (float)(bin - BINS_PER_UNIT) / BINS_PER_UNIT;
}

// Picks the rows u32[probes, room] whose upper bound reaches the floor; counts beyond the room where there is too little.
extern "C" __global__ void pick(
    const int *products, unsigned stride, unsigned rows, const Terms *of_rows, const Terms *of_probes,
    const unsigned *allowed, const float *floors, unsigned room, unsigned *picked, unsigned *found)
{
    unsigned row = thread_number(), probe = blockIdx.y;
    if (row >= rows || !is_allowed(allowed, row)) return;
    if (bounds(products[(size_t)probe * stride + row], of_rows[row], of_probes[probe]).high < floors[probe]) return;
    unsigned place = atomicAdd(&picked[probe], 1u);
    if (place < room) found[probe * room + place] = row;
}

// Multiplies the rows that were picked with their probes, in half precision.
extern "C" __global__ void score(
    const unsigned short *halves, const unsigned short *probes, unsigned dimension, unsigned room,
    const unsigned *picked, const unsigned *found, float *scores)
{
    unsigned place = thread_number(), probe = blockIdx.y;
    if (place >= room || place >= picked[probe]) return;
    const unsigned short *row = halves + (size_t)found[probe * room + place] * dimension;
    probes += (size_t)probe * dimension;
    float sum = 0.0f;
    for (unsigned n = 0; n < dimension; n++) sum += half_value(row[n]) * half_value(probes[n]);
    scores[probe * room + place] = sum;
}

// Puts the k best, descending, equal ones in the order of their rows, into f32[probes, k] and u32[probes, k].
extern "C" __global__ void rank(
    unsigned room, unsigned k, const unsigned *picked, const unsigned *found, const float *scores, float *best_scores,
    unsigned *best_rows)
{
    unsigned place = thread_number(), probe = blockIdx.y;
    unsigned count = picked[probe] < room ? picked[probe] : room;
    if (place >= count) return;
    found += (size_t)probe * room;
    scores += (size_t)probe * room;
    float score = scores[place];
    unsigned better = 0;
    for (unsigned n = 0; n < count; n++)
        better += scores[n] > score || (scores[n] == score && found[n] < found[place]);
    if (better >= k) return;
    best_scores[probe * k + better] = score;
    best_rows[probe * k + better] = found[place];
}
