"""Computes intervals of rates by resampling subjects, not comparisons, because people occur in many comparisons.

One person's photos meet in many comparisons, which therefore fail together; an interval that takes them for independent
is too narrow. Here subjects are drawn with replacement, and each comparison weighs as often as its subjects were drawn:
for a non-mated one the product of its two subjects' counts, for a mated one its subject's count. This is the vertex
bootstrap of T. A. B. Snijders and S. P. Borgatti, "Non-parametric standard errors and tests for network statistics",
Connections 22 (1999) 161-170, for matching by R. Fogliato, P. Patil and P. Perona, "Confidence intervals for error
rates in 1:1 matching tasks: critical statistical analysis and recommendations", International Journal of Computer
Vision (2024). The subsets bootstrap of R. M. Bolle, N. K. Ratha and S. Pankanti, "Error analysis of pattern recognition
systems: the subsets bootstrap", Computer Vision and Image Understanding 93 (2004) 1-33, is not used: it draws one side
of a comparison only.

Of shares of single people (a miss, a false alarm of a search) the interval is too narrow where errors are few: show
Wilson's beside it. Of a false match rate it is on the safe side where matches are rare: by the products of counts, the
variance of comparisons that share nobody comes out three times as large, so that the interval is up to the root of
three too wide. Source: A. B. Owen, "The pigeonhole bootstrap", The Annals of Applied Statistics 1 (2007) 386-411.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_core.scoring.checks import F64, Bools, check_confidence, check_failures, check_similarities, check_threshold
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, UndefinedRate
from fr_core.scoring.verification import threshold_at_fmr
from fr_locales.messages import message

Ints = npt.NDArray[np.int64]

UNDEFINED_ALLOWED = 0.01  # of the replicates; so few hardly move the ends of an interval

# A figure of weighted comparisons: takes f64[n], the weight of each, at least 0, and answers the figure; raises
# UndefinedRate where the weights leave nothing to measure. It may not keep or change the weights.
Statistic = Callable[[F64], float]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A figure, and how much it varies with the people that happen to be in the test."""

    value: float  # the figure of the comparisons as they are
    low: float  # lower end of the percentile interval, in the unit of the figure
    high: float
    confidence: float  # of the interval, two-sided, in (0, 1)
    standard_error: float  # sample standard deviation of the replicates
    subjects: int  # people that were resampled
    replicates: int  # resamples that gave a figure


def subject_bootstrap(
    statistic: Statistic,
    subjects_a: Ints,
    subjects_b: Ints,
    *,
    seed: int,
    replicates: int = 1000,
    confidence: float = DEFAULT_CONFIDENCE,
    check: Callable[[], None] = lambda: None,
) -> Bootstrap:
    """A figure with the percentile interval of its subject bootstrap.

    The interval is the range of the middle `confidence` of the replicates (B. Efron and R. J. Tibshirani, "An
    introduction to the bootstrap", Chapman and Hall (1993), chapter 13). The same seed gives the same interval.

    Args:
        statistic: the figure, of f64[n] weights; below are those of verification.
        subjects_a: i64[n], a number for the person of each comparison's one photo, failed comparisons included.
        subjects_b: i64[n], that of the other photo; equal for a mated comparison.
        seed: of the random draws, at least 0.
        replicates: resamples, at least 2; 1000 place the ends of a 95 % interval well.
        check: called before each resample; what it raises ends the work.

    Raises:
        UndefinedRate: the figure is undefined as it is or in more than one replicate of a hundred, there are fewer than
            two subjects, or all replicates agree, as those of no error at all do: the Wilson interval answers then.
        ValueError: shapes or dtypes differ from the above, or a number is out of its range.
    """
    _check_subjects(subjects_a, subjects_b)
    _check_resampling(replicates, confidence)
    value = statistic(np.ones(len(subjects_a)))
    drawn = []
    for weights in _resamples(subjects_a, subjects_b, replicates, seed):
        check()
        drawn.append(_figure(statistic, weights))
    figures = np.array([figure for figure in drawn if figure is not None])
    interval = _percentiles(figures, replicates, confidence)
    n_subjects = len(np.union1d(subjects_a, subjects_b))
    error = float(figures.std(ddof=1))
    return Bootstrap(value, interval.low, interval.high, confidence, error, n_subjects, len(figures))


def fmr_by_people(
    similarities: F64,
    people: int,
    thresholds: Sequence[float],
    *,
    seed: int,
    replicates: int = 1000,
    confidence: float = DEFAULT_CONFIDENCE,
    check: Callable[[], None] = lambda: None,
) -> Mapping[float, Interval]:
    """Intervals of the false match rate at many thresholds, where every two of k people are compared once.

    Each is that of `subject_bootstrap` with the same draws. As everybody is compared with everybody, the weights of all
    comparisons need no adding up; and as matches are put in order once, a resample costs no more than the matches at
    the lowest threshold, however many thresholds there are.

    Args:
        similarities: f64[k (k - 1) / 2], finite: of person 0 and each further one, of person 1 and each further one,
            and so on.
        people: k, at least 2.
        thresholds: match iff similarity >= threshold; at least one.
        seed: of the random draws, at least 0.
        replicates: resamples, at least 2.
        check: called before each resample; what it raises ends the work.

    Returns threshold -> interval, without the thresholds at which the bootstrap is undefined, as that of no match is.
    Raises `ValueError`: shape or dtype differs from the above, or a number is out of its range.
    """
    check_similarities(similarities)
    _check_resampling(replicates, confidence)
    for threshold in thresholds:
        check_threshold(threshold)
    if people < 2 or len(similarities) != people * (people - 1) // 2:
        raise ValueError(f"Every two of {people} people are not {len(similarities)} comparisons.")
    matches = np.flatnonzero(similarities >= min(thresholds))
    falling = matches[np.argsort(-similarities[matches])]
    first, second = _two_of(people, falling)
    reached = np.searchsorted(-similarities[falling], [-threshold for threshold in thresholds], side="right")
    shares = []
    for counts in _draws(people, replicates, seed):
        check()
        total = (people**2 - counts @ counts) / 2
        if total > 0:
            matched = np.cumsum(counts[first] * counts[second])
            shares.append(np.concatenate([[0], matched])[reached] / total)
    found = {}
    for threshold, figures in zip(thresholds, np.array(shares).reshape(-1, len(thresholds)).T, strict=True):
        try:
            found[threshold] = _percentiles(figures, replicates, confidence)
        except UndefinedRate:
            continue
    return found


def fmr_statistic(nonmated: F64, threshold: float) -> Statistic:
    """The weighted false match rate at a threshold, of the weights of f64[n] non-mated comparisons.

    Raises `ValueError`: as `false_match_rate` of verification does.
    """
    check_similarities(nonmated)
    check_threshold(threshold)
    return share_statistic(nonmated >= threshold)


def threshold_statistic(nonmated: F64, target: float) -> Statistic:
    """The lowest threshold whose weighted false match rate is at most `target`, of the weights of f64[n] comparisons.

    Raises `UndefinedRate`: fewer than 1 / target comparisons, as for `threshold_at_fmr` of verification; `ValueError`:
    as there.
    """
    threshold_at_fmr(nonmated, target)  # the comparisons as they are must support the target
    order = np.argsort(nonmated)[::-1]
    n = len(order)

    def threshold(weights: F64) -> float:
        allowed = _allowed(target, _total(weights, n))
        size = min(n, 1024 + int(2 * target * n))  # most often the highest few are enough
        reached = np.cumsum(weights[order[:size]])
        if reached[-1] <= allowed and size < n:
            reached = np.cumsum(weights[order])
        rejected = int(np.searchsorted(reached, allowed, "right"))
        if rejected == n:
            return float(nonmated[order[-1]])
        return float(np.nextafter(nonmated[order[rejected]], np.inf))

    return threshold


def fnmr_at_fmr_statistic(mated: F64, nonmated: F64, target: float, failures: int = 0) -> Statistic:
    """The weighted false non-match rate at the threshold for a weighted false match rate; each resample has its own.

    Its weights are f64[n + failures + m]: of the n mated comparisons, of the mated pairs that could not be compared,
    and of the m non-mated comparisons.

    Raises `UndefinedRate`: fewer than 1 / target non-mated comparisons; `ValueError`: as for `threshold_at_fmr` and
    `false_non_match_rate` of verification.
    """
    check_similarities(mated)
    check_failures(failures)
    threshold = threshold_statistic(nonmated, target)
    n, n_mated = len(mated), len(mated) + failures

    def rate(weights: F64) -> float:
        at = threshold(weights[n_mated:])
        total = _total(weights[:n_mated], n_mated)
        return float((weights[:n] @ (mated < at) + weights[n:n_mated].sum()) / total)

    return rate


def share_statistic(counted: Bools) -> Statistic:
    """The weighted share of the trials that are counted: bool[n], and as many weights."""
    n, positions = len(counted), np.flatnonzero(counted)

    def share(weights: F64) -> float:
        total = _total(weights, n)
        return float(weights[positions].sum() / total)

    return share


def _total(weights: F64, n: int) -> float:
    if len(weights) != n:
        raise ValueError(f"{n} comparisons need as many pairs of subjects, not {len(weights)}.")
    total = float(weights.sum())
    if total == 0.0:
        raise UndefinedRate(message("undefined.core.rate_no_trials_undefined"))
    return total


def _allowed(target: float, total: float) -> float:
    """The largest whole weight whose share of the total is at most the target."""
    allowed = float(int(target * total))
    return allowed + 1.0 if (allowed + 1.0) / total <= target else allowed  # the product was rounded down


def _resamples(subjects_a: Ints, subjects_b: Ints, replicates: int, seed: int) -> Iterator[F64]:
    """Of each resample, the weight of every comparison: whole f64[n], in memory that the next one overwrites."""
    numbers, positions = np.unique(np.concatenate([subjects_a, subjects_b]), return_inverse=True)
    n = len(numbers)
    a, b = np.split(positions, 2)
    b = np.where(a == b, n, b)  # the other side of a mated comparison is no second person, and weighs 1
    counts = np.ones(n + 1)
    weights, others = np.empty(len(a)), np.empty(len(a))
    for drawn in _draws(n, replicates, seed):
        counts[:n] = drawn
        np.take(counts, a, out=weights, mode="clip")  # with the default mode, `out` is buffered
        np.take(counts, b, out=others, mode="clip")
        weights *= others
        yield weights


def _draws(people: int, replicates: int, seed: int) -> Iterator[Ints]:
    """Of each resample i64[people], how often each was drawn."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(people, size=people), minlength=people)


def _two_of(people: int, comparisons: Ints) -> tuple[Ints, Ints]:
    """The first and the second person of comparisons, by their place among those of every two people."""
    numbers = np.arange(people)
    begins = numbers * (2 * people - 1 - numbers) // 2
    first = np.searchsorted(begins[:-1], comparisons, side="right") - 1
    return first, comparisons - begins[first] + first + 1


def _percentiles(figures: F64, replicates: int, confidence: float) -> Interval:
    """The middle `confidence` of the resamples that gave a figure; raises UndefinedRate as `subject_bootstrap` does."""
    if replicates - len(figures) > UNDEFINED_ALLOWED * replicates:
        raise UndefinedRate(message("undefined.core.resamples", left=replicates - len(figures), total=replicates))
    if figures.min() == figures.max():
        raise UndefinedRate(message("undefined.core.all_resamples_agree_so"))
    low, high = np.quantile(figures, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(low), float(high), confidence)


def _figure(statistic: Statistic, weights: F64) -> float | None:
    try:
        return statistic(weights)
    except UndefinedRate:
        return None


def _check_resampling(replicates: int, confidence: float) -> None:
    check_confidence(confidence)
    if replicates < 2:
        raise ValueError(f"A bootstrap needs at least 2 replicates, not {replicates}.")


def _check_subjects(subjects_a: Ints, subjects_b: Ints) -> None:
    for subjects in (subjects_a, subjects_b):
        if subjects.ndim != 1 or subjects.dtype != np.int64:
            raise ValueError(f"Subjects are i64[n], not {subjects.dtype}{list(subjects.shape)}.")
    if len(subjects_a) != len(subjects_b):
        raise ValueError(f"{len(subjects_a)} first subjects need as many second ones, not {len(subjects_b)}.")
    if len(np.union1d(subjects_a, subjects_b)) < 2:
        raise UndefinedRate(message("undefined.core.people_cannot_resampled_where"))
