"""The figures of a verification: from compared pairs to accuracy, error rates, thresholds, and how sure they are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring import verification
from fr_core.scoring.auc import Auc, auc_delong
from fr_core.scoring.bootstrap import Bootstrap, fnmr_at_fmr_statistic, subject_bootstrap
from fr_core.scoring.calibrators import LrCalibrator, fit_logistic, fit_steps
from fr_core.scoring.det import (
    TARGETS,
    DetCurve,
    EqualErrorRate,
    ThresholdRow,
    det_curve,
    equal_error_rate,
    threshold_table,
)
from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.likelihood import cllr, lr_calibration_error, min_cllr
from fr_datasets.values import VerificationPair
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs
from fr_locales.messages import message

T = TypeVar("T")


class Undefined(dict[str, str]):
    """Name of a figure -> what the pairs lack."""

    def unless(self, name: str, figure: Callable[[], T]) -> T | None:
        """The figure, or None and a reason under its name; raises `CallEnded`."""
        current_ticket().require_wanted()
        try:
            return figure()
        except UndefinedRate as error:
            self[name] = str(error)
            return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The quality of likelihood ratios that were learnt from the other folds."""

    method: str  # "logistic", or "steps" where a logistic curve does not fit, as the similarities do not overlap
    cllr: float  # cost in bits: 1 for one that says nothing, 0 for a perfect one
    min_cllr: float  # what the best calibration of the same similarities would reach
    calibration_error: float  # expected, of the probabilities at even odds, in [0, 1]


@dataclass(frozen=True, slots=True)
class RateAtFmr:
    """The false non-match rate at a false match rate."""

    row: ThresholdRow
    # Knows that comparisons share people; None where the set does not name them, or the rate is undefined.
    by_subject: Bootstrap | None


@dataclass(frozen=True, slots=True, eq=False)
class VerificationFigures:
    """The figures of a set of compared pairs. `undefined` says why a figure is None.

    `accuracy` is of each fold at the threshold that is best on the others, `best` at the one that is best on these very
    pairs, `default` at that of the pack. `at_fmr` has a row for each of `TARGETS`, by the pairs of the list;
    `across_people`, empty where the list names nobody, takes the false match rate of every two of its `people`, without
    those `left_out` as too many, and the false non-match rate of its mated pairs. So do `det` and `det_across`, which
    is thinned.
    """

    accuracy: verification.FoldAccuracy | None
    best: verification.BestThreshold | None
    default: verification.OperatingPoint | None
    equal_error_rate: EqualErrorRate | None
    auc: Auc | None
    at_fmr: tuple[RateAtFmr, ...]
    across_people: tuple[ThresholdRow, ...]
    people: int
    left_out: int
    det: DetCurve | None
    det_across: DetCurve | None
    evidence: Evidence | None
    undefined: dict[str, str] = field(default_factory=dict)


def verification_figures(
    compared: ComparedPairs, across: AcrossPeople | None, threshold: float, *, seed: int, replicates: int = 1000
) -> VerificationFigures:
    """Compute every figure that the pairs support; `across` is None where the list names nobody.

    `threshold` is the pack's default, `seed` and `replicates` are those of the bootstrap.
    """
    undefined = Undefined()
    defined = undefined.unless
    mated, nonmated, failures = compared.mated_similarities, compared.nonmated_similarities, compared.mated_failures
    det = defined("det", lambda: det_curve(mated, nonmated, failures))
    rows = defined("fnmr_at_fmr", lambda: threshold_table(mated, nonmated, TARGETS, failures))
    wider, det_across = None, None
    if across is not None:
        others = across.similarities
        wider = defined("across_people", lambda: threshold_table(mated, others, TARGETS, failures))
        det_across = defined("det_across_people", lambda: det_curve(mated, others, failures).thinned())
    return VerificationFigures(
        accuracy=defined("accuracy", lambda: _accuracy(compared)),
        best=defined(
            "accuracy_at_best_threshold",
            lambda: verification.best_threshold_accuracy(compared.similarities, compared.mated, len(compared.failed)),
        ),
        default=defined("at_default_threshold", lambda: _operating_point(compared, threshold)),
        equal_error_rate=None if det is None else equal_error_rate(det),
        auc=defined("auc", lambda: auc_delong(mated, nonmated, mated_failures=failures)),
        at_fmr=tuple(RateAtFmr(row, _by_subject(compared, row, seed, replicates)) for row in rows or ()),
        across_people=wider or (),
        people=0 if across is None else across.people,
        left_out=0 if across is None else across.left_out,
        det=det,
        det_across=det_across,
        evidence=defined("likelihood_ratio", lambda: _evidence(compared)),
        undefined=undefined,
    )


def _accuracy(compared: ComparedPairs) -> verification.FoldAccuracy:
    if not compared.folds.any():
        raise UndefinedRate(message("undefined.core.list_pairs_no_folds"))
    return verification.kfold_accuracy(compared.similarities, compared.mated, compared.folds, compared.failed_folds)


def _operating_point(compared: ComparedPairs, threshold: float) -> verification.OperatingPoint:
    return verification.operating_point(
        compared.similarities,
        compared.mated,
        threshold,
        mated_failures=compared.mated_failures,
        nonmated_failures=compared.nonmated_failures,
    )


def _by_subject(compared: ComparedPairs, row: ThresholdRow, seed: int, replicates: int) -> Bootstrap | None:
    """None where people are not named, the target is not supported, or all resamples agree; raises `CallEnded`."""
    current_ticket().require_wanted()
    if row.point is None or any(pair.people is None for pair in compared.pairs[:1]):
        return None
    failed = tuple(pair for pair in compared.failed if pair.mated)
    mated = tuple(pair for pair in compared.pairs if pair.mated)
    nonmated = tuple(pair for pair in compared.pairs if not pair.mated)
    subjects = _subjects((*mated, *failed, *nonmated))
    if subjects is None:
        return None
    statistic = fnmr_at_fmr_statistic(
        compared.mated_similarities, compared.nonmated_similarities, row.target, len(failed)
    )
    try:
        return subject_bootstrap(statistic, subjects[0], subjects[1], seed=seed, replicates=replicates)
    except UndefinedRate:
        return None


def _subjects(pairs: tuple[VerificationPair, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """A number for each person: i64[n] of the first photos, i64[n] of the second; None where one is not named."""
    numbers: dict[str, int] = {}
    first, second = [], []
    for pair in pairs:
        if pair.people is None:
            return None
        a, b = (numbers.setdefault(name, len(numbers)) for name in pair.people)
        first.append(a)
        second.append(b)
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)


def _held_out(compared: ComparedPairs, fit: Callable[[F64, F64], LrCalibrator]) -> F64:
    """f64[n], the log10 likelihood ratio of each pair, by a curve learnt from the other folds."""
    log10_lrs = np.empty_like(compared.similarities)
    for number in np.unique(compared.folds):
        inside = compared.folds == number
        mated, nonmated = (compared.similarities[~inside & (compared.mated == is_mated)] for is_mated in (True, False))
        log10_lrs[inside] = fit(mated, nonmated).log10_lrs(compared.similarities[inside])
    return log10_lrs


def _evidence(compared: ComparedPairs) -> Evidence:
    """Learn likelihood ratios from all folds but one, and judge them on that one; for every fold."""
    if len(np.unique(compared.folds)) < 2:
        raise UndefinedRate(message("undefined.core.likelihood_ratios_judged_folds"))
    try:
        method, log10_lrs = "logistic", _held_out(compared, fit_logistic)
    except UndefinedRate:
        method, log10_lrs = "steps", _held_out(compared, fit_steps)
    of_mated, of_nonmated = log10_lrs[compared.mated], log10_lrs[~compared.mated]
    return Evidence(
        method,
        cllr(of_mated, of_nonmated),
        min_cllr(compared.mated_similarities, compared.nonmated_similarities),
        lr_calibration_error(of_mated, of_nonmated),
    )
