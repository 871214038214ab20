"""From a verification to a calibration: what similarities mean, how sure that is, and whether it holds on other people.

Non-mated comparisons are those of every two people where the list names them, else those of the list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from fr_core.scoring.calibration import Calibration, Provenance, fit_calibration
from fr_core.scoring.calibrators import LogisticCurve, LrCalibrator, fit_logistic, fit_steps
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate, UndefinedRate, rate
from fr_core.scoring.likelihood import cllr, expected_calibration_error
from fr_datasets.values import VerificationPair
from fr_evaluation.report import Dataset, Settings
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs

# False match rates at whose thresholds intervals by people are computed.
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4)
# The one that is tried on people who were not measured: rare enough to be used, frequent enough to be counted.
TRIED = 1e-2
# Of the resamples; as `fr_core.scoring.bootstrap` has it.
UNDEFINED_ALLOWED = 0.01


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A calibration of all folds but one, tried on that one.

    Attributes:
        fold: that is tried, from 1.
        target: the false match rate that is asked for.
        threshold: that the calibration gives for it.
        stated: its false match rate there, with Wilson's interval.
        interval: that it states: by people where these are known, else Wilson's.
        by_people: whether people are known.
        observed: the false match rate of the fold at that threshold, with Wilson's interval.
        observed_interval: of the observed rate, by people where these are known, else Wilson's.
        method: of its likelihood ratios, "logistic" or "steps".
        weakest: the least log10 likelihood ratio that it states.
        strongest: the greatest.
        cllr: cost of its likelihood ratios on the fold's pairs, in bits; 0 for perfect ones, 1 for none.
        calibration_error: expected calibration error of its probabilities there, at even odds.
    """

    fold: int
    target: float
    threshold: float
    stated: Rate
    interval: Interval
    by_people: bool
    observed: Rate
    observed_interval: Interval
    method: str
    weakest: float
    strongest: float
    cllr: float
    calibration_error: float

    @property
    def inside(self) -> bool:
        """Whether the observed rate lies in the interval that was stated.

        That interval knows how far the stated rate may be off. How far the fold is off by chance is not in it, so that
        of two folds alike in size one rate in six lies outside, and of smaller folds more.
        """
        return self.interval.low <= self.observed.value <= self.interval.high


def provenance_of(
    dataset: Dataset, settings: Settings, measured_on: date, pairs: Collection[VerificationPair]
) -> Provenance:
    """Where a calibration of these pairs comes from.

    Where the list names nobody, photos that pairs of one person link count as one person, and any other as another.

    Raises:
        UndefinedRate: it is one person.
    """
    people = dataset.people or _linked_people(pairs)
    if people < 2:
        raise UndefinedRate("A calibration needs at least two people.")
    return Provenance(
        dataset.manifest.name,
        dataset.list_sha256,
        people,
        settings.model,
        measured_on,
        {
            "device": settings.device,
            "precision": settings.precision,
            "detection": settings.detection,
            "pick": settings.pick,
            "flip": str(settings.flip).lower(),
        },
    )


def calibrate(
    compared: ComparedPairs,
    across: AcrossPeople | None,
    provenance: Provenance,
    *,
    seed: int,
    replicates: int = 1000,
    targets: Collection[float] = TARGETS,
) -> Calibration:
    """Learn what the similarities mean.

    Likelihood ratios follow a logistic curve, or steps where none fits.

    Args:
        compared: of one model.
        across: of the same photos; None where the list names nobody: then no interval knows of people.
        provenance: of the calibration.
        seed: of the bootstrap's draws.
        replicates: of the bootstrap.
        targets: false match rates at whose thresholds intervals by people are computed, where they are supported.

    Raises:
        UndefinedRate: there is no mated or no non-mated comparison, or no curve can be learnt.
    """
    nonmated, failures = (
        (compared.nonmated_similarities, compared.nonmated_failures)
        if across is None
        else (across.similarities, across.failures)
    )

    def fit(with_curve: Callable[[F64, F64], LrCalibrator]) -> Calibration:
        return fit_calibration(
            compared.mated_similarities,
            nonmated,
            provenance,
            mated_failures=compared.mated_failures,
            nonmated_failures=failures,
            fit=with_curve,
        )

    try:
        found = fit(fit_logistic)
    except UndefinedRate:
        found = fit(fit_steps)
    if across is None:
        return found
    thresholds = {found.threshold_at_fmr(target) for target in targets if 1 / len(nonmated) <= target}
    return found.with_bootstrap(fmr_by_people(across, thresholds, seed=seed, replicates=replicates))


def fmr_by_people(
    across: AcrossPeople, thresholds: Collection[float], *, seed: int, replicates: int = 1000
) -> Mapping[float, Interval]:
    """Intervals of the false match rate at some thresholds, by resampling people.

    It is `subject_bootstrap` of `fr_core.scoring.bootstrap` with the same draws. As every two people are compared, the
    weights of all comparisons need no adding up, and a resample costs no more than its matches. A threshold at which
    the bootstrap is undefined is left out.
    """
    people = across.people
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(people, size=people), minlength=people) for _ in range(replicates)]
    totals = np.array([(counts.sum() ** 2 - counts @ counts) / 2 for counts in drawn])
    first, second = across.places()
    found = {}
    for threshold in thresholds:
        matches = np.flatnonzero(across.similarities >= threshold)
        a, b = first[matches], second[matches]
        matched = np.array([counts[a] @ counts[b] for counts in drawn])
        shares = matched[totals > 0] / totals[totals > 0]
        if replicates - len(shares) > UNDEFINED_ALLOWED * replicates or shares.min() == shares.max():
            continue
        low, high = np.quantile(shares, [0.5 - DEFAULT_CONFIDENCE / 2, 0.5 + DEFAULT_CONFIDENCE / 2])
        found[threshold] = Interval(float(low), float(high), DEFAULT_CONFIDENCE)
    return found


def held_out(
    compared: ComparedPairs, across: AcrossPeople | None, provenance: Provenance, *, seed: int, replicates: int = 1000
) -> tuple[HeldOut, ...]:
    """Each fold tried by a calibration of the others; who is in the fold is not in its calibration.

    Arguments are those of `calibrate`.

    Raises:
        UndefinedRate: there are no two folds, or one of them supports no calibration, or no trial of one.
    """
    numbers = sorted({*compared.folds.tolist(), *compared.failed_folds})
    if len(numbers) < 2:
        raise UndefinedRate("A calibration is tried on a fold that it was not learnt from; there are no two.")
    return tuple(_tried_on(number, compared, across, provenance, seed, replicates) for number in numbers)


def method_of(calibration: Calibration) -> str:
    """How the likelihood ratios were learnt: "logistic" or "steps"."""
    return "logistic" if isinstance(calibration.likelihood.curve, LogisticCurve) else "steps"


def _tried_on(
    fold: int,
    compared: ComparedPairs,
    across: AcrossPeople | None,
    provenance: Provenance,
    seed: int,
    replicates: int,
) -> HeldOut:
    tried = {name for pair in _all(compared) if (pair.fold or 0) == fold for name in pair.people or ()}
    inside = compared.only(lambda pair: (pair.fold or 0) == fold)
    outside = compared.only(lambda pair: (pair.fold or 0) != fold and not tried.intersection(pair.people or ()))
    learnt = None if across is None else across.among(set(across.names) - tried)
    faced = None if across is None else across.among(tried)
    calibration = calibrate(
        outside, learnt, _fewer(provenance, outside), seed=seed, replicates=replicates, targets=(TRIED,)
    )
    threshold = calibration.threshold_at_fmr(TRIED)
    nonmated = inside.nonmated_similarities if faced is None else faced.similarities
    if not len(nonmated):
        raise UndefinedRate(f"Fold {fold} has no non-mated comparison to try a calibration on.")
    log10_lrs = calibration.likelihood.log10_lrs(inside.similarities)
    stated = calibration.fmr_at(threshold)
    limits = dict(calibration.rates.bootstrap).get(threshold)
    observed = rate(int((nonmated >= threshold).sum()), len(nonmated))
    of_fold = {} if faced is None else fmr_by_people(faced, [threshold], seed=seed, replicates=replicates)
    return HeldOut(
        fold,
        TRIED,
        threshold,
        stated,
        limits or stated.interval,
        limits is not None,
        observed,
        of_fold.get(threshold, observed.interval),
        method_of(calibration),
        calibration.likelihood.weakest,
        calibration.likelihood.strongest,
        cllr(log10_lrs[inside.mated], log10_lrs[~inside.mated]),
        expected_calibration_error(1.0 / (1.0 + 10.0**-log10_lrs), inside.mated),
    )


def _all(compared: ComparedPairs) -> tuple[VerificationPair, ...]:
    return (*compared.pairs, *compared.failed)


def _fewer(provenance: Provenance, compared: ComparedPairs) -> Provenance:
    """The same for a part of the pairs."""
    people = {name for pair in _all(compared) for name in pair.people or ()}
    return replace(provenance, people=max(2, len(people))) if people else provenance


def _linked_people(pairs: Collection[VerificationPair]) -> int:
    """How many groups of photos there are that mated pairs do not link."""
    links = {photo: photo for pair in pairs for photo in (pair.a, pair.b)}
    groups = len(links)
    for pair in pairs:
        if not pair.mated:
            continue
        a, b = pair.a, pair.b
        while links[a] != a:
            links[a] = a = links[links[a]]
        while links[b] != b:
            links[b] = b = links[links[b]]
        groups -= a != b
        links[a] = b
    return groups
