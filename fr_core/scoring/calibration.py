"""A calibration: what the similarities of one model mean, as measured on one data set, and where it was measured.

It says "at a false match rate of one in 10,000 this is the threshold, this the miss rate, and so sure we are". It holds
for the model and the settings that it names, and for people and photos like those of its data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import date
from math import expm1, inf, log1p, log10

from fr_core.scoring.calibrators import Evidence, LrCalibrator, fit_logistic
from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Interval, Rate, UndefinedRate
from fr_core.scoring.rate_table import RateTable, rate_table
from fr_locales.messages import message

SHA256 = re.compile(r"[0-9a-f]{64}")
# Characters of a text of a provenance, and entries of its settings.
MOST_OF_MODEL_ID = 256
MOST_CHARACTERS = 128
MOST_SETTINGS = 32
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a calibration.

    Texts have 128 characters at most, `model_id` 256 that are printable, and there are 32 settings at most.
    """

    dataset: str
    list_sha256: str  # of the list of what was compared, 64 lower-case hex digits
    people: int | None  # who were compared, at least 2; None where the list names nobody
    model_id: str  # of the model whose similarities these are
    measured_on: date
    settings: Mapping[str, str]  # of the pipeline that similarities depend on, such as the detector's size
    part: str = ""  # of the data set that was compared, such as "folds 1, 2"; empty where it has no parts

    def __post_init__(self) -> None:
        if not self.dataset or not self.model_id:
            raise ValueError("A calibration names its data set and its model.")
        if not SHA256.fullmatch(self.list_sha256):
            raise ValueError("The hash of the data set's list is a SHA-256 of 64 lower-case hex digits.")
        if self.people is not None and self.people < 2:
            raise ValueError(f"A calibration needs at least 2 people, and has {self.people}.")
        if len(self.model_id) > MOST_OF_MODEL_ID or not self.model_id.isprintable():
            raise ValueError(f"The model of a calibration has at most {MOST_OF_MODEL_ID} characters, all printable.")
        if len(self.settings) > MOST_SETTINGS:
            raise ValueError(f"A calibration has at most {MOST_SETTINGS} settings, not {len(self.settings)}.")
        texts = (self.dataset, self.part, *self.settings, *self.settings.values())
        if any(len(text) > MOST_CHARACTERS for text in texts):
            raise ValueError(f"A name, part or setting of a calibration has at most {MOST_CHARACTERS} characters.")
        if any(map(_SURROGATE.search, (self.model_id, *texts))):
            raise ValueError("A name, part or setting of a calibration holds a character that no text can have.")


@dataclass(frozen=True, slots=True)
class WorstFaces:
    """The worst faces that a calibration was measured on: 199 of 200 of its faces reach each value.

    Names, units and ranges are those of `fr_core.quality.limits.QualityLimits`. The roll is not among them, because the
    alignment undoes it. Raises `ValueError` out of range.
    """

    min_inter_eye_px: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    max_pitch: float
    min_detector_score: float

    def __post_init__(self) -> None:
        most = (inf, inf, 1.0, 1.0, 180.0, 90.0, 1.0)
        if not all(0.0 <= value <= top and value < inf for value, top in zip(astuple(self), most, strict=True)):
            raise ValueError("A measure of the faces of this calibration is out of its range.")
        if self.min_brightness > self.max_brightness:
            raise ValueError("The least brightness of the faces of this calibration exceeds the greatest.")


@dataclass(frozen=True, slots=True)
class ModelledRate:
    """A rate that follows from another by a model: there are no counts of it."""

    value: float  # in [0, 1]
    interval: Interval  # what the model makes of the other rate's interval; how wrong the model may be is not in it
    by_people: bool  # whether that interval knows that comparisons share people; else it takes them for independent


@dataclass(frozen=True, slots=True)
class Calibration:
    """Error rates and strengths of evidence for the similarities of one model."""

    provenance: Provenance
    rates: RateTable  # false match and false non-match rates by threshold, with counts and failures
    likelihood: LrCalibrator  # from similarity to log10 LR
    faces: WorstFaces | None = None  # None where the measurement did not record them

    def __post_init__(self) -> None:
        made = self.rates.mated - self.rates.mated_failures
        if self.likelihood.strongest > log10(self.rates.nonmated + 1) or self.likelihood.weakest < -log10(made + 1):
            raise ValueError("The limits of the likelihood ratio exceed what the number of comparisons can support.")

    def fmr_at(self, threshold: float) -> Rate:
        """The false match rate, never below the observed one; see `RateTable.fmr_at`."""
        return self.rates.fmr_at(threshold)

    def fmr_interval_at(self, threshold: float) -> tuple[Interval, bool]:
        """The interval of `fmr_at`, and whether it is by people: else it is Wilson's, of independent comparisons.

        ValueError: the threshold is NaN.
        """
        try:
            return self.rates.fmr_bootstrap_at(threshold), True
        except UndefinedRate:
            return self.fmr_at(threshold).interval, False

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
        limits, by_people = self.fmr_interval_at(threshold)
        value, low, high = (
            _any_of(gallery_size, share) for share in (self.fmr_at(threshold).value, limits.low, limits.high)
        )
        return ModelledRate(value, Interval(low, high, limits.confidence), by_people)

    def threshold_at_fpir(self, target: float, gallery_size: int) -> float:
        """The threshold at which `fpir_at` is at most `target`, by the same model, with the same caveat.

        `target`: in (0, 1); `gallery_size`: at least 1.

        Raises `UndefinedRate`: it needs a lower false match rate than this many comparisons support; `ValueError`: an
        argument is not in its range.
        """
        _check_gallery_size(gallery_size)
        if not 0.0 < target < 1.0:
            raise ValueError(f"The target must lie between 0 and 1, and is {target}.")
        needed = -expm1(log1p(-target) / gallery_size)
        if needed == 0.0:
            raise UndefinedRate(message("undefined.core.false_positive_identification_rate", target=target))
        return self.threshold_at_fmr(needed)

    def log10_lr(self, similarity: float) -> Evidence:
        """Return what one similarity says, and whether the comparisons support it; ValueError if it is not finite."""
        return self.likelihood.evidence(similarity)

    def with_bootstrap(self, limits: Mapping[float, Interval]) -> Calibration:
        """The same with intervals of the false match rate that know that comparisons share people.

        `limits`: by threshold, each one of `rates.thresholds`; ValueError if not. `fmr_by_people` of
        `fr_core.scoring.bootstrap` computes them for many.
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
        mated_failures: further mated pairs that could not be compared.
        nonmated_failures: the same of non-mated pairs.
        fit: learns the likelihood ratios: `fit_logistic` or `fit_steps` of `fr_core.scoring.calibrators`.
        confidence: of the Wilson intervals, in (0, 1).

    Raises `UndefinedRate`: n or m is 0, or `fit` cannot learn from these; `ValueError`: shape or dtype differs from the
    above, a similarity is not finite, a number of failures is negative, or the confidence is not in (0, 1).
    """
    rates = rate_table(mated, nonmated, mated_failures, nonmated_failures, confidence)
    return Calibration(provenance, rates, fit(mated, nonmated))


def _check_gallery_size(gallery_size: int) -> None:
    if gallery_size < 1:
        raise ValueError(f"A gallery that is searched has at least 1 person, not {gallery_size}.")


def _any_of(trials: int, share: float) -> float:
    """1 - (1 - share)^trials, exact for small shares."""
    return 1.0 if share == 1.0 else -expm1(trials * log1p(-share))
