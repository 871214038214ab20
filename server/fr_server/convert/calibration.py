"""Messages of calibrations and error rates, to and from values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.errors import CalibrationInvalid, InvalidField
from fr_core.gallery.checks import require_calibration_size, require_threshold
from fr_core.scoring.calibration import Calibration, ModelledRate
from fr_core.scoring.calibration_json import from_json
from fr_core.scoring.intervals import Interval, Rate, UndefinedRate
from fr_core.scoring.support import support

# Of the sentence that says what is wrong with a calibration: it may name a key of the sender's.
_MAX_SENTENCE = 200


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity in [-1, 1] that was sent."""

    value: float


@dataclass(frozen=True, slots=True)
class TargetFmr:
    """A false match rate to hold, in (0, 1]."""

    value: float


@dataclass(frozen=True, slots=True)
class TargetFpir:
    """A false positive identification rate to hold, in (0, 1)."""

    value: float


Criterion = Threshold | TargetFmr | TargetFpir


class Source(Enum):
    """Whose a calibration is."""

    PACK = common_pb2.CALIBRATION_SOURCE_PACK
    GALLERY = common_pb2.CALIBRATION_SOURCE_GALLERY


@dataclass(frozen=True, slots=True)
class InForce:
    """The calibration that an answer is given by, and whose it is."""

    calibration: Calibration
    source: Source


def criterion(request: recognition_pb2.CompareRequest | gallery_pb2.SearchRequest) -> Criterion | None:
    """Return what a candidate is to be held against, None where nothing was sent.

    Raises:
        InvalidThreshold: a threshold outside [-1, 1].
        InvalidField: a rate out of range.
    """
    match request.WhichOneof("criterion"):
        case "threshold":
            require_threshold(request.threshold)
            return Threshold(request.threshold)
        case "target_fmr":
            if not 0.0 < request.target_fmr <= 1.0:  # nor is NaN
                raise InvalidField("`target_fmr` is not a rate above 0 and at most 1.", field="target_fmr")
            return TargetFmr(request.target_fmr)
        case "target_fpir" if isinstance(request, gallery_pb2.SearchRequest):
            if not 0.0 < request.target_fpir < 1.0:
                raise InvalidField("`target_fpir` is not a rate between 0 and 1.", field="target_fpir")
            return TargetFpir(request.target_fpir)
    return None


def calibration_from(text: str) -> Calibration:
    """Return the calibration that a text holds, one that answers can be given by.

    Raises:
        CalibrationInvalid: it is too long, cannot be read, contradicts itself, or holds what no answer can.
    """
    require_calibration_size(text)
    try:
        calibration = from_json(text)
        calibration_message(InForce(calibration, Source.GALLERY))
    except ValueError as error:
        sentence = str(error).encode("ascii", "replace").decode()[:_MAX_SENTENCE]
        raise CalibrationInvalid(sentence) from error
    return calibration


def calibration_message(in_force: InForce) -> common_pb2.Calibration:
    """Build the message of a calibration; ValueError for texts and numbers that no message can hold."""
    provenance, rates = in_force.calibration.provenance, in_force.calibration.rates
    return common_pb2.Calibration(
        source=in_force.source.value,
        dataset=provenance.dataset,
        list_sha256=provenance.manifest_sha256,
        people=provenance.people,
        mated=rates.mated,
        nonmated=rates.nonmated,
        measured_on=provenance.measured_on.isoformat(),
        settings=dict(provenance.settings),
    )


def error_rates(in_force: InForce, threshold: float, searched_templates: int = 0) -> common_pb2.ErrorRates:
    """Build the message of the rates at a threshold in [-1, 1]; fpir where at least one template was searched."""
    calibration = in_force.calibration
    fmr = calibration.fmr_at(threshold)
    return common_pb2.ErrorRates(
        fmr=_rate_message(fmr, _fmr_interval(calibration, threshold, fmr)),
        fnmr=_counted(calibration.fnmr_at(threshold)),
        fpir=_modelled(calibration.fpir_at(threshold, searched_templates)) if searched_templates else None,
        gallery_size=searched_templates,
        calibration=calibration_message(in_force),
        support=support(fmr.count, fmr.total).sentence,
    )


def likelihood_ratio(calibration: Calibration, similarity: float) -> common_pb2.LikelihoodRatio:
    """Build the message of what a similarity in [-1, 1] says."""
    evidence = calibration.log10_lr(similarity)
    return common_pb2.LikelihoodRatio(
        log10_lr=evidence.log10_lr, supported=evidence.supported and not evidence.at_limit
    )


def _fmr_interval(calibration: Calibration, threshold: float, fmr: Rate) -> Interval:
    """The interval that knows that comparisons share people, where the calibration has one; else that of the counts."""
    try:
        return calibration.rates.fmr_bootstrap_at(threshold)
    except UndefinedRate:
        return fmr.interval


def _counted(rate: Rate) -> common_pb2.ErrorRate:
    return _rate_message(rate, rate.interval)


def _rate_message(rate: Rate, interval: Interval) -> common_pb2.ErrorRate:
    return common_pb2.ErrorRate(
        value=rate.value,
        low=interval.low,
        high=interval.high,
        confidence=interval.confidence,
        count=rate.count,
        total=rate.total,
    )


def _modelled(rate: ModelledRate) -> common_pb2.ErrorRate:
    interval = rate.interval
    return common_pb2.ErrorRate(value=rate.value, low=interval.low, high=interval.high, confidence=interval.confidence)
