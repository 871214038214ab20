"""Calibrates similarities from the pairs of a verification, and tests the calibration on other people.

Non-mated comparisons are those of every two people where the list names them, else those of the list.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import hypot

import numpy as np

from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.bootstrap import fmr_by_people
from fr_core.scoring.calibration import Calibration, Provenance, WorstFaces, fit_calibration
from fr_core.scoring.calibrators import LogisticCurve, LrCalibrator, fit_logistic, fit_steps
from fr_core.scoring.intervals import Interval, Rate, UndefinedRate, rate
from fr_core.scoring.likelihood import cllr, lr_calibration_error
from fr_core.types import Quality
from fr_datasets.values import VerificationPair
from fr_evaluation.report import Dataset, Settings
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs
from fr_locales.messages import message

# Up to this false match rate each row of a calibration has an interval by people.
HIGHEST_FMR = 1e-1
# The one that is tried on people who were not measured: rare enough to be used, frequent enough to be counted.
TRIED = 1e-2
# Weights of matches that all resamples together may take, which is a second or two; and the fewest resamples.
MOST_WEIGHTS = 100_000_000
FEWEST_REPLICATES = 200
# Share of a calibration's faces that may be worse than its record of the worst: so few are no sample of such faces.
_WORST = 1 / 200
# Folds that are listed by number.
MOST_LISTED = 4


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A calibration of all folds but one, tried on that one; intervals are by people, or Wilson's if unknown."""

    fold: int
    disjoint: bool  # whether nobody of the fold is in the calibration; the list must name people for that
    target: float  # false match rate
    threshold: float  # that the calibration gives for `target`
    stated: Rate  # rate of the calibration at `threshold`
    interval: Interval
    by_people: bool
    observed: Rate  # rate of the fold
    observed_interval: Interval
    observed_by_people: bool
    method: str
    weakest: float  # log10 likelihood ratio that it states, as `strongest`
    strongest: float
    cllr: float  # cost of the fold's pairs in bits, 0 for perfect ones and 1 for none
    calibration_error: float  # expected calibration error of its probabilities at even odds

    @property
    def agrees(self) -> bool:
        """Return whether the two rates differ by no more than both intervals together allow.

        Their half-widths are added as those of independent errors. Where all is right, nearly all folds agree.
        """
        halves = [(interval.high - interval.low) / 2 for interval in (self.interval, self.observed_interval)]
        return abs(self.observed.value - self.stated.value) <= hypot(*halves)

    @property
    def inside(self) -> bool:
        """Return whether the observed rate lies in the interval that was stated.

        That interval knows how far the stated rate may be off. How far the fold is off by chance is not in it.
        """
        return self.interval.low <= self.observed.value <= self.interval.high


def provenance_of(
    dataset: Dataset,
    settings: Settings,
    measured_on: date,
    pairs: Collection[VerificationPair],
    across: AcrossPeople | None,
) -> Provenance:
    """Return the source of a calibration of these pairs, by people who are compared with each other, else of the list.

    Raises `UndefinedRate` if that is one person.
    """
    people = dataset.people if across is None else across.people
    if people is not None and people < 2:
        raise UndefinedRate(message("undefined.core.calibration_needs_least_two"))
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
        "; ".join(filter(None, (_folds(pairs), dataset.part))),
    )


def calibrate(
    compared: ComparedPairs,
    across: AcrossPeople | None,
    provenance: Provenance,
    *,
    seed: int,
    replicates: int = 1000,
    faces: Collection[Quality] = (),
) -> Calibration:
    """Learn what the similarities mean.

    Likelihood ratios follow a logistic curve, or steps where none fits. Each row with a false match and a rate of at
    most `HIGHEST_FMR` has an interval by people, where the list names them. `compared` are of one model, `across` of
    the same photos. `seed` is of the bootstrap's draws; it has `replicates`, or fewer, 200 at least, where more than
    100,000 comparisons match. `faces` are those that were compared; none if they are unknown. Raises `UndefinedRate`
    if there is no mated or no non-mated comparison, or no curve can be learnt, and `CallEnded`.
    """
    found = replace(_fitted(compared, across, provenance), faces=worst_faces(faces) if faces else None)
    if across is None:
        return found
    rates = found.rates
    rows = [
        threshold
        for threshold, matches in zip(rates.thresholds, rates.false_matches, strict=True)
        if 0 < matches <= HIGHEST_FMR * rates.nonmated
    ]
    return found.with_bootstrap(_by_people(across, rows, seed, replicates))


def worst_faces(faces: Collection[Quality]) -> WorstFaces:
    """Return, for each measure, the value that 199 of 200 faces reach; there must be at least one face."""

    def reached(name: str) -> float:
        """Return the lowest value, for a measure of which higher values are better."""
        return float(np.quantile([getattr(face, name) for face in faces], _WORST, method="lower"))

    def kept(name: str) -> float:
        """Return the largest distance from 0, for a measure of which values near 0 are better."""
        return float(np.quantile([abs(getattr(face, name)) for face in faces], 1.0 - _WORST, method="higher"))

    return WorstFaces(
        min_inter_eye_px=reached("inter_eye_px"),
        min_sharpness=reached("sharpness"),
        min_brightness=reached("brightness"),
        max_brightness=kept("brightness"),
        max_yaw=kept("yaw"),
        max_pitch=kept("pitch"),
        min_detector_score=reached("detector_score"),
    )


def held_out(
    compared: ComparedPairs, across: AcrossPeople | None, provenance: Provenance, *, seed: int, replicates: int = 1000
) -> tuple[HeldOut, ...]:
    """Each fold tried by a calibration of the others; nobody who is named in the fold is in its calibration.

    Arguments are those of `calibrate`. Raises `UndefinedRate` if there are no two folds, or one of them supports no
    calibration, or no trial of one, and `CallEnded`.
    """
    numbers = sorted({*compared.folds.tolist(), *compared.failed_folds})
    if len(numbers) < 2:
        raise UndefinedRate(message("undefined.core.calibration_tried_fold_not"))
    return tuple(_tried_on(number, compared, across, provenance, seed, replicates) for number in numbers)


def method_of(calibration: Calibration) -> str:
    """Return how the likelihood ratios were learnt: "logistic" or "steps"."""
    return "logistic" if isinstance(calibration.likelihood.curve, LogisticCurve) else "steps"


def _fitted(compared: ComparedPairs, across: AcrossPeople | None, provenance: Provenance) -> Calibration:
    """Without intervals by people."""
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

    current_ticket().require_wanted()
    try:
        return fit(fit_logistic)
    except UndefinedRate:
        return fit(fit_steps)


def _by_people(
    across: AcrossPeople | None, thresholds: Sequence[float], seed: int, replicates: int
) -> Mapping[float, Interval]:
    """By threshold; empty where nobody is named."""
    if across is None or not thresholds:
        return {}
    matches = int((across.similarities >= min(thresholds)).sum())
    return fmr_by_people(
        across.similarities,
        across.people,
        thresholds,
        seed=seed,
        replicates=min(replicates, max(FEWEST_REPLICATES, MOST_WEIGHTS // max(1, matches))),
        check=current_ticket().require_wanted,
    )


def _tried_on(
    fold: int, compared: ComparedPairs, across: AcrossPeople | None, provenance: Provenance, seed: int, replicates: int
) -> HeldOut:
    listed = (*compared.pairs, *compared.failed)
    tried = {name for pair in listed if (pair.fold or 0) == fold for name in pair.people or ()}
    inside = compared.only(lambda pair: (pair.fold or 0) == fold)
    outside = compared.only(lambda pair: (pair.fold or 0) != fold and not tried.intersection(pair.people or ()))
    learnt = None if across is None else across.among(set(across.names) - tried)
    faced = None if across is None else across.among(tried)
    people = None if learnt is None else learnt.people
    calibration = _fitted(outside, learnt, replace(provenance, people=people))
    threshold = calibration.threshold_at_fmr(TRIED)
    nonmated = inside.nonmated_similarities if faced is None else faced.similarities
    if not len(nonmated):
        raise UndefinedRate(message("undefined.core.fold_no_non_mated", fold=fold))
    log10_lrs = calibration.likelihood.log10_lrs(inside.similarities)
    of_mated, of_nonmated = log10_lrs[inside.mated], log10_lrs[~inside.mated]
    stated = calibration.fmr_at(threshold)
    observed = rate(int((nonmated >= threshold).sum()), len(nonmated))
    limits, observed_limits = (
        _by_people(those, [threshold], seed, replicates).get(threshold) for those in (learnt, faced)
    )
    return HeldOut(
        fold,
        all(pair.people is not None for pair in listed),
        TRIED,
        threshold,
        stated,
        limits or stated.interval,
        limits is not None,
        observed,
        observed_limits or observed.interval,
        observed_limits is not None,
        method_of(calibration),
        calibration.likelihood.weakest,
        calibration.likelihood.strongest,
        cllr(of_mated, of_nonmated),
        lr_calibration_error(of_mated, of_nonmated),
    )


def _folds(pairs: Collection[VerificationPair]) -> str:
    """The folds of a list, such as "folds 1, 2"; empty where it has none."""
    folds = sorted({pair.fold for pair in pairs if pair.fold is not None})
    if not folds:
        return ""
    if len(folds) == 1:
        return f"fold {folds[0]}"
    if len(folds) <= MOST_LISTED:
        return f"folds {', '.join(map(str, folds))}"
    return f"{len(folds)} folds, {folds[0]} to {folds[-1]}"
