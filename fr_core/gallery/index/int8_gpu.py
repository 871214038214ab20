"""Searches a GPU in int8 first: what the error bound of the codes leaves is scored in half precision, on the GPU."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.cuvs_gpu import CuvsGpu
from fr_core.gallery.index.faiss_cuda import MOST_VALUES
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, F16, HALF_BYTES, PROBES_PER_PASS, RowBits
from fr_core.types import F32, I64

# Rows that are picked for a probe of a block at most; a probe of more is searched in half precision. Of 524,288 random
# vectors of 512 values, the bound leaves some 1,300 where 128 are wanted (docs/adr/0078).
_MOST_PICKED = 4096
# A search that wants more than one in so many of these is one in half precision at once.
_PICKED_PER_WANTED = 16
# One lower bound is counted for so many rows: the fewer are counted, the fewer threads wait for each other. Yet there
# are so many for each row that is wanted, so that few of the k best share one.
_COUNTED_OF, _COUNTED_PER_WANTED = 32, 4
_BINS = 4096  # of int8_scan.cu
_TERMS = 12  # bytes of the terms of a vector, of int8_scan.cu
_KERNELS = ("code", "count_low", "find_floor", "pick", "rank", "score")
_THREADS = 256  # of a block of threads
_PAGE = 256  # bytes to which CUDA aligns memory
_ALIGNED = 16  # values and rows to a multiple of which cuBLAS multiplies int8 fastest

# cudaDeviceAttr of driver_types.h; cublasOperation_t, cudaDataType, cublasComputeType_t and cublasGemmAlgo_t of
# cublas_api.h and library_types.h.
_MAJOR, _MINOR = 75, 76
_AS_IS, _TRANSPOSED, _INT8, _INT32, _IN_INT32, _ANY_WAY = 0, 1, 3, 10, 72, -1


class _Dim3(ctypes.Structure):
    """A dim3 of the CUDA runtime."""

    _fields_ = (("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint))


@dataclass(frozen=True, slots=True)
class _Coded:
    """Addresses of the codes i8[rows, width] of a block's rows, and of their terms, 12 bytes for each."""

    codes: int
    terms: int
    rows: int
    width: int
    row_bytes: int  # of the row in half precision


class Int8Gpu(CuvsGpu):
    """A `Gpu` that multiplies codes of 8 bits first, which take half the memory and time of half precision.

    It answers as `CuvsGpu` does: a row is left out only where k others are surely better (int8_scan.cu has the proof).
    `CuvsGpu` searches where too many are left. Make it, use it and drop it in one thread.

    Args:
        device: number of the GPU, in CUDA's numbering.
        runtime: as `CudaMemory` takes it.
        library: as `CuvsGpu` takes it.
        blas: cuBLAS; None = that of the package nvidia-cublas.
        compiler: NVRTC; None = that of the package nvidia-cuda-nvrtc.
        most_picked: rows that are scored for a probe of a block at most.
        block_rows: of the largest block that there is working memory for from the start.
    """

    def __init__(
        self,
        device: int,
        runtime: Any = None,
        library: Any = None,
        blas: Any = None,
        compiler: Any = None,
        *,
        most_picked: int = _MOST_PICKED,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self._allocated: dict[int, int] = {}  # bytes, by address
        self._coded: dict[int, _Coded] = {}  # by the address of the rows in half precision
        self._most_picked = most_picked
        self._handle = ctypes.c_void_p()
        super().__init__(device, runtime, library)
        self._blas = blas or _library(device, "nvidia-cublas", "libcublas.so")
        self._kernels = self._load(self._compiled(compiler or _library(device, "nvidia-cuda-nvrtc", "libnvrtc.so")))
        if status := self._blas.cublasCreate_v2(ctypes.byref(self._handle)):
            raise self._unavailable("cublasCreate", f"error {status}")
        wanted = most_picked // _PICKED_PER_WANTED
        self._at_work(sum(self._sizes(PROBES_PER_PASS, MOST_VALUES, wanted, block_rows)))

    def __del__(self) -> None:
        if self._handle.value:
            self._blas.cublasDestroy_v2(self._handle)
        super().__del__()

    def allocate(self, size: int) -> int:
        """As `Gpu.allocate`."""
        address = super().allocate(size)
        self._allocated[address] = size
        return address

    def write(self, address: int, halves: F16) -> None:
        """As `Gpu.write`; raises `DeviceUnavailable` where no room is left for the codes of a block's first rows."""
        super().write(address, halves)
        start = max(block for block in self._allocated if block <= address)
        coded = self._coded.get(start) or self._room_for_codes(start, halves.shape[1])
        first = (address - start) // coded.row_bytes
        self._code(address, len(halves), coded, first)
        self._call("cudaDeviceSynchronize")

    def zero(self, address: int, size: int) -> None:
        """As `Gpu.zero`: the codes too."""
        super().zero(address, size)
        start = max(block for block in self._allocated if block <= address)
        if coded := self._coded.get(start):
            first, count = (address - start) // coded.row_bytes, size // coded.row_bytes
            super().zero(coded.codes + first * coded.width, count * coded.width)
            super().zero(coded.terms + first * _TERMS, count * _TERMS)

    def free(self, address: int) -> None:
        """As `Gpu.free`: the codes too."""
        if coded := self._coded.pop(address, None):
            super().zero(coded.codes, self._allocated[coded.codes])
            self.free(coded.codes)
        super().free(address)
        del self._allocated[address]

    def search(self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
        """As `Gpu.search`."""
        if k * _PICKED_PER_WANTED > self._most_picked or rows <= self._most_picked:
            return super().search(address, rows, probes, k, allowed)
        scores, found, picked = self._search_codes(address, rows, probes, k, allowed)
        doubted = np.flatnonzero(picked > self._most_picked)
        if len(doubted):
            self.doubted += len(doubted)
            scores[doubted], found[doubted] = super().search(address, rows, probes[doubted], k, allowed)
        return scores, found

    def _search_codes(
        self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None
    ) -> tuple[F32, I64, I64]:
        """Return scores f32[n, k] and rows i64[n, k], and how many rows i64[n] were left for each.

        Where more were left than are scored, the scores and rows of a probe say nothing.
        """
        (n, dimension), coded, most = probes.shape, self._coded[address], self._most_picked
        sizes = self._sizes(n, dimension, k, rows)
        at = [self._at_work(sum(sizes)) + place for place in accumulate((0, *sizes[:-1]))]
        at_probes, at_codes, at_terms, at_bits, products, counts, floors, picked, found, scores, at_best, at_rows = at
        self._copy_in(at_probes, np.ascontiguousarray(probes, dtype=np.float16))
        if allowed is not None:
            self._copy_in(at_bits, allowed)
        super().zero(counts, 4 * n * _BINS)
        super().zero(picked, 4 * n)
        self._code(at_probes, n, _Coded(at_codes, at_terms, n, coded.width, coded.row_bytes), 0)
        stride = self._multiply(coded, rows, at_codes, n, products)
        bits = _address(at_bits if allowed is not None else 0)
        bounded = _address(coded.terms), _address(at_terms), bits
        groups = min(rows, max(rows // _COUNTED_OF, _COUNTED_PER_WANTED * k))
        size = _address(products), _count(stride), _count(rows)
        self._launch("count_low", groups, n, *size, _count(groups), *bounded, _address(counts))
        self._launch("find_floor", n, 1, _count(n), _count(k), _address(counts), _address(floors))
        left = _address(picked), _address(found)
        self._launch("pick", rows, n, *size, *bounded, _address(floors), _count(most), *left)
        halves = _address(address), _address(at_probes), _count(dimension)
        self._launch("score", most, n, *halves, _count(most), *left, _address(scores))
        best = _address(scores), _address(at_best), _address(at_rows)
        self._launch("rank", most, n, _count(most), _count(k), *left, *best)
        self._call("cudaDeviceSynchronize")
        return self._results(n, k, at_best, at_rows, picked)

    def _results(self, n: int, k: int, at_best: int, at_rows: int, picked: int) -> tuple[F32, I64, I64]:
        best, rows, left = np.empty((n, k), np.float32), np.empty((n, k), np.uint32), np.empty(n, np.uint32)
        for values, place in ((best, at_best), (rows, at_rows), (left, picked)):
            self._copy_out(values, place)
        return best, rows.astype(np.int64), left.astype(np.int64)

    def _sizes(self, probes: int, dimension: int, k: int, rows: int) -> tuple[int, ...]:
        """Return the bytes of all that a search works with, in the order of `_search_codes`, each aligning the next."""
        some, width = _aligned(probes), _aligned(dimension)
        picked, best = 4 * probes * self._most_picked, 4 * probes * k
        given = HALF_BYTES * probes * dimension, some * width, _TERMS * probes, 4 * -(-rows // 32)
        made = 4 * some * _aligned(rows), 4 * probes * _BINS, 4 * probes, 4 * probes, picked, picked, best, best
        return tuple(-(-size // _PAGE) * _PAGE for size in (*given, *made))

    def _multiply(self, coded: _Coded, rows: int, at_codes: int, n: int, products: int) -> int:
        """Multiply the codes of probes and rows; return how many products i32[stride] of a probe there are."""
        stride, width, one, none = _aligned(rows), coded.width, ctypes.c_int32(1), ctypes.c_int32(0)
        rows_given = ctypes.c_void_p(coded.codes), _INT8, width
        probes_given = ctypes.c_void_p(at_codes), _INT8, width
        made = ctypes.c_void_p(products), _INT32, stride, _IN_INT32, _ANY_WAY
        # cuBLAS takes columns for what we call rows.
        shape = _TRANSPOSED, _AS_IS, stride, _aligned(n), width
        given = ctypes.byref(one), *rows_given, *probes_given, ctypes.byref(none)
        if status := self._blas.cublasGemmEx(self._handle, *shape, *given, *made):
            raise self._lost("cublasGemmEx", f"error {status}")
        return stride

    def _room_for_codes(self, start: int, dimension: int) -> _Coded:
        row_bytes, width = HALF_BYTES * dimension, _aligned(dimension)
        rows = self._allocated[start] // row_bytes
        codes = self.allocate(_aligned(rows) * width + rows * _TERMS)
        coded = _Coded(codes, codes + _aligned(rows) * width, rows, width, row_bytes)
        self._coded[start] = coded
        return coded

    def _code(self, address: int, count: int, coded: _Coded, first: int) -> None:
        """Code vectors f16[count, D] at an address, the `first` of which has that number in `coded`."""
        to = _address(coded.codes + first * coded.width), _address(coded.terms + first * _TERMS)
        dimension = coded.row_bytes // HALF_BYTES
        self._launch("code", count, 1, _address(address), *map(_count, (count, dimension, coded.width)), *to)

    def _launch(self, kernel: str, threads: int, probes: int, *arguments: ctypes.c_void_p | ctypes.c_uint32) -> None:
        """Begin a kernel with so many threads for each of the probes."""
        grid, block = _Dim3(-(-threads // _THREADS), probes, 1), _Dim3(_THREADS, 1, 1)
        given = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        nothing = ctypes.c_size_t(0), ctypes.c_void_p()
        self._call("cudaLaunchKernel", self._kernels[kernel], grid, block, given, *nothing)

    def _compiled(self, compiler: Any) -> bytes:
        """Compile int8_scan.cu for this GPU; raises `DeviceUnavailable`: NVRTC does not know it."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
            self._need("cudaDeviceGetAttribute", ctypes.byref(value), attribute, ctypes.c_int(self._device))
        source = Path(__file__).with_name("int8_scan.cu").read_bytes()
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{major.value}{minor.value}".encode())
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("nvrtcCreateProgram", (ctypes.byref(program), source, b"int8_scan.cu", 0, None, None)),
            ("nvrtcCompileProgram", (program, 1, options)),
            ("nvrtcGetCUBINSize", (program, ctypes.byref(size))),
        ]
        for call, arguments in calls:
            if status := getattr(compiler, call)(*arguments):
                raise self._unavailable(call, f"error {status}")
        code = ctypes.create_string_buffer(size.value)
        if status := compiler.nvrtcGetCUBIN(program, code):
            raise self._unavailable("nvrtcGetCUBIN", f"error {status}")
        compiler.nvrtcDestroyProgram(ctypes.byref(program))
        return code.raw

    def _load(self, code: bytes) -> dict[str, ctypes.c_void_p]:
        """Return the kernels of a compiled source, by their names."""
        loaded, kernels = ctypes.c_void_p(), {name: ctypes.c_void_p() for name in _KERNELS}
        none = None, None, 0
        self._need("cudaLibraryLoadData", ctypes.byref(loaded), code, *none, *none)
        for name, kernel in kernels.items():
            self._need("cudaLibraryGetKernel", ctypes.byref(kernel), loaded, name.encode())
        return kernels


_address, _count = ctypes.c_void_p, ctypes.c_uint32


def _aligned(number: int) -> int:
    return -(-number // _ALIGNED) * _ALIGNED


def _library(device: int, package: str, name: str) -> Any:
    """Load a library of a package; raises `DeviceUnavailable`: it is not installed, or does not load."""
    try:
        return ctypes.CDLL(
            str(next(path for path in metadata.files(package) or () if path.name.startswith(name)).locate())
        )
    except (ImportError, OSError, StopIteration) as error:
        raise DeviceUnavailable(
            message("error.gallery.no_library", index="int8", package=package, reason=str(error)),
            device=f"cuda:{device}",
        ) from error
