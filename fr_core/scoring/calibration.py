"""A calibration: what the similarities of one model mean, as measured on one data set, and where it was measured.

It says "at a false match rate of one in 10,000 this is the threshold, this the miss rate, and so sure we are". It holds
for the model and the settings that it names, and for people and photos like those of its data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from math import expm1, log1p, log10

from fr_core.scoring.calibrators import Evidence, LrCalibrator, fit_logistic
from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate
from fr_core.scoring.rate_table import RateTable, rate_table

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a calibration comes from.

    Attributes:
        dataset: its name.
        manifest_sha256: of the list of its photos, 64 lower-case hex digits.
        people: in it, at least 2.
        model_id: of the model whose similarities these are.
        measured_on: the day of the measurement.
        settings: of the pipeline that similarities depend on, such as the detector's size.
    """

    dataset: str
    manifest_sha256: str
    people: int
    model_id: str
    measured_on: date
    settings: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.dataset or not self.model_id:
            raise ValueError("A calibration names its data set and its model.")
        if not SHA256.fullmatch(self.manifest_sha256):
            raise ValueError("The hash of the data set's list is a SHA-256 of 64 lower-case hex digits.")
        if self.people < 2:
            raise ValueError(f"A calibration needs at least 2 people, and has {self.people}.")


@dataclass(frozen=True, slots=True)
class ModelledRate:
    """A rate that follows from another by a model: there are no counts of it.

    Attributes:
        value: in [0, 1].
        interval: what the model makes of the other rate's interval; how wrong the model may be is not in it.
    """

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """Error rates and strengths of evidence for the similarities of one model.

    Attributes:
        provenance: where it was measured.
        rates: false match and false non-match rates by threshold, with counts and failures.
        likelihood: from similarity to log10 LR.
    """

    provenance: Provenance
    rates: RateTable
    likelihood: LrCalibrator

    def __post_init__(self) -> None:
        made = self.rates.mated - self.rates.mated_failures
        if self.likelihood.strongest > log10(self.rates.nonmated + 1) or self.likelihood.weakest < -log10(made + 1):
            raise ValueError("The limits of the likelihood ratio exceed what the number of comparisons can support.")

    def fmr_at(self, threshold: float) -> Rate:
        """The false match rate, never below the observed one; see `RateTable.fmr_at`."""
        return self.rates.fmr_at(threshold)

    def fnmr_at(self, threshold: float) -> Rate:
        """The false non-match rate, never below the observed one; see `RateTable.fnmr_at`."""
        return self.rates.fnmr_at(threshold)

    def threshold_at_fmr(self, target: float) -> float:
        """The threshold for a false match rate; see `RateTable.threshold_at_fmr`, which raises UndefinedRate."""
        return self.rates.threshold_at_fmr(target)

    def fpir_at(self, threshold: float, gallery_size: int) -> ModelledRate:
        """The false positive identification rate that the false match rate leads to expect, 1 - (1 - FMR)^N.

        It is the probability that somebody who is not enrolled meets at least one match among N. It takes the N
        comparisons of a search as independent, and everybody as equally easily mistaken. They are not: relatives and
        look-alikes come together, some probes match many and most none. So a measured rate differs, which is why NIST's
        FRTE 1:N measures it; measure it on a gallery of your size before you rely on it. Source: J. Daugman, "Biometric
        decision landscapes", University of Cambridge, technical report 482 (2000).

        Args:
            threshold: match iff similarity >= threshold; ValueError if NaN.
            gallery_size: people compared with, one comparison each, at least 1; ValueError otherwise.
        """
        _check_gallery_size(gallery_size)
        fmr = self.fmr_at(threshold)
        low, high = (_any_of(gallery_size, end) for end in (fmr.interval.low, fmr.interval.high))
        return ModelledRate(_any_of(gallery_size, fmr.value), Interval(low, high, fmr.interval.confidence))

    def threshold_at_fpir(self, target: float, gallery_size: int) -> float:
        """The threshold at which `fpir_at` is at most `target`, by the same model, with the same caveat.

        Args:
            target: in (0, 1).
            gallery_size: at least 1.

        Raises:
            UndefinedRate: it needs a lower false match rate than this many comparisons support.
            ValueError: an argument is not in its range.
        """
        _check_gallery_size(gallery_size)
        if not 0.0 < target < 1.0:
            raise ValueError(f"The target must lie between 0 and 1, and is {target}.")
        return self.threshold_at_fmr(-expm1(log1p(-target) / gallery_size))

    def log10_lr(self, similarity: float) -> Evidence:
        """What one similarity says, and whether the comparisons support it; ValueError if it is not finite."""
        return self.likelihood.evidence(similarity)

    def with_bootstrap(self, limits: Mapping[float, Interval]) -> Calibration:
        """The same with intervals of the false match rate that know that comparisons share people.

        Args:
            limits: by threshold, each one of `rates.thresholds`, as `threshold_at_fmr` gives them; ValueError if not.
                `fr_core.scoring.bootstrap` computes them.
        """
        return replace(self, rates=replace(self.rates, bootstrap=tuple(sorted(limits.items()))))


def fit_calibration(
    mated: F64,
    nonmated: F64,
    provenance: Provenance,
    *,
    mated_failures: int = 0,
    nonmated_failures: int = 0,
    fit: Callable[[F64, F64], LrCalibrator] = fit_logistic,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Calibration:
    """Learn a calibration from comparisons with known answers.

    Args:
        mated: f64[n], finite similarities of mated comparisons.
        nonmated: f64[m], finite similarities of non-mated comparisons.
        provenance: where they come from.
        mated_failures: further mated pairs that could not be compared.
        nonmated_failures: the same of non-mated pairs.
        fit: learns the likelihood ratios: `fit_logistic` or `fit_steps` of `fr_core.scoring.calibrators`.
        confidence: of the Wilson intervals, in (0, 1).

    Raises:
        UndefinedRate: n or m is 0, or `fit` cannot learn from these.
        ValueError: shape or dtype differs from the above, a similarity is not finite, a number of failures is negative,
            or the confidence is not in (0, 1).
    """
    rates = rate_table(mated, nonmated, mated_failures, nonmated_failures, confidence)
    return Calibration(provenance, rates, fit(mated, nonmated))


def _check_gallery_size(gallery_size: int) -> None:
    if gallery_size < 1:
        raise ValueError(f"A gallery that is searched has at least 1 person, not {gallery_size}.")


def _any_of(trials: int, share: float) -> float:
    """1 - (1 - share)^trials, exact for small shares."""
    return 1.0 if share == 1.0 else -expm1(trials * log1p(-share))
