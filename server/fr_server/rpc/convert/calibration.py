"""Converts the messages of calibrations and error rates to values, and values to messages."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from typing import Literal

from fr_api.v1 import common_pb2 as pb
from fr_api.v1 import gallery_pb2, recognition_pb2
from fr_core.errors import CalibrationInvalid, InvalidField, message
from fr_core.gallery.checks import require_calibration_size, require_threshold
from fr_core.quality.assess import QualityLimits, missed_limits
from fr_core.scoring.calibration import Calibration, ModelledRate
from fr_core.scoring.calibration_json import from_json
from fr_core.scoring.calibrators import LrCalibrator
from fr_core.scoring.intervals import Interval, Rate
from fr_core.scoring.support import ENOUGH_ERRORS, support
from fr_core.types import Face, QualityReason
from fr_locales.messages import Message
from fr_locales.rendering import render, spoken

# Of the sentence that says what is wrong with a calibration: it may name a key of the sender's.
_MAX_SENTENCE = 200
_NOT_PLAIN = re.compile(r"[^ -~]")
_WILSON, _BY_PEOPLE = pb.INTERVAL_METHOD_WILSON, pb.INTERVAL_METHOD_BY_PEOPLE
_NO_BOUND = pb.LIKELIHOOD_RATIO_BOUND_NONE
ProbeName = Literal["probe", "a", "b"]
_FACES: Mapping[ProbeName, Message] = {
    "probe": message("rates.face_of_probe"),
    "a": message("rates.face_of_first_photo"),
    "b": message("rates.face_of_second_photo"),
}
_WORDS: Mapping[QualityReason, Message] = {
    QualityReason.TOO_SMALL: message("quality_reason.too_small"),
    QualityReason.BLURRED: message("quality_reason.blurred"),
    QualityReason.TOO_DARK: message("quality_reason.too_dark"),
    QualityReason.TOO_BRIGHT: message("quality_reason.too_bright"),
    QualityReason.NOT_FRONTAL: message("quality_reason.not_frontal"),
    QualityReason.TILTED: message("quality_reason.tilted"),
    QualityReason.DOUBTFUL_FACE: message("quality_reason.doubtful_face"),
    QualityReason.WEAK_EMBEDDING: message("quality_reason.weak_embedding"),
    QualityReason.CUT_OFF: message("quality_reason.cut_off"),
}


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
    """The origin of a calibration."""

    PACK = pb.CALIBRATION_SOURCE_PACK
    GALLERY = pb.CALIBRATION_SOURCE_GALLERY


@dataclass(frozen=True, slots=True)
class InForce:
    """The calibration that an answer is given by."""

    calibration: Calibration
    source: Source
    id: str  # sha256 of its text, 64 hexadecimal digits
    other_settings: tuple[str, ...] = ()  # names of the settings that differ between its measurement and this server

    __hash__ = object.__hash__  # a calibration is too large to be hashed for each answer


def criterion(request: recognition_pb2.CompareRequest | gallery_pb2.SearchRequest) -> Criterion | None:
    """Return what was sent, or None; raises `InvalidThreshold` or `InvalidField` for a rate out of range."""
    match request.WhichOneof("criterion"):
        case "threshold":
            require_threshold(request.threshold)
            return Threshold(request.threshold)
        case "target_fmr":
            if not 0.0 < request.target_fmr <= 1.0:  # nor is NaN
                raise InvalidField(message("error.rpc.target_fmr_not_rate_above"), field="target_fmr")
            return TargetFmr(request.target_fmr)
        case "target_fpir" if isinstance(request, gallery_pb2.SearchRequest):
            if not 0.0 < request.target_fpir < 1.0:
                raise InvalidField(message("error.rpc.target_fpir_not_rate_between"), field="target_fpir")
            return TargetFpir(request.target_fpir)
    return None


def calibration_from(text: str) -> Calibration:
    """Return the calibration of a text; raises `CalibrationInvalid` unless answers can be given by it."""
    require_calibration_size(text)
    try:
        calibration = from_json(text)
    except ValueError as error:
        raise CalibrationInvalid(
            message("error.rpc.calibration_unreadable", why=_NOT_PLAIN.sub("?", str(error)[:_MAX_SENTENCE]))
        ) from error
    try:
        _require_answers(InForce(calibration, Source.GALLERY, ""))
    except (ValueError, ArithmeticError) as error:
        raise CalibrationInvalid(message("error.rpc.calibration_holds_number_text")) from error
    return calibration


def _require_answers(in_force: InForce) -> None:
    """Build all that answers are made of, at both ends of similarities and between; ValueError or ArithmeticError."""
    calibration_message(in_force, with_settings=True)
    for similarity in (-1.0, 0.0, 1.0):
        error_rates(in_force, similarity, searched_templates=1)
        likelihood_ratio(in_force.calibration, similarity)


def calibration_message(in_force: InForce, *, with_settings: bool = False) -> pb.Calibration:
    """Build the message of a calibration; ValueError for texts and numbers that no message can hold."""
    provenance, rates = in_force.calibration.provenance, in_force.calibration.rates
    return pb.Calibration(
        source=in_force.source.value,
        dataset=provenance.dataset,
        list_sha256=provenance.list_sha256,
        people=provenance.people,
        mated=rates.mated,
        nonmated=rates.nonmated,
        measured_on=provenance.measured_on.isoformat(),
        settings=dict(provenance.settings) if with_settings else None,
        id=in_force.id,
        part=provenance.part,
        mated_failures=rates.mated_failures,
        nonmated_failures=rates.nonmated_failures,
    )


def error_rates(in_force: InForce, threshold: float, searched_templates: int = 0) -> pb.ErrorRates:
    """Return the message of the rates at a threshold in [-1, 1]; fpir where at least one template was searched.

    The same message serves the next call with the same threshold and language: copy it, and do not change it.
    """
    return _error_rates(in_force, threshold, searched_templates, spoken())


@lru_cache(maxsize=32)
def _error_rates(in_force: InForce, threshold: float, searched_templates: int, language: str) -> pb.ErrorRates:
    calibration = in_force.calibration
    fmr, fnmr = calibration.fmr_at(threshold), calibration.fnmr_at(threshold)
    limits, by_people = calibration.fmr_interval_at(threshold)
    # What many errors support takes comparisons as independent, which an interval by people shows that they are not.
    is_known = by_people and fmr.count >= ENOUGH_ERRORS
    return pb.ErrorRates(
        fmr=_rate_message(fmr, limits, by_people),
        fnmr=_rate_message(fnmr, fnmr.interval, by_people=False),
        fpir=_modelled_message(calibration.fpir_at(threshold, searched_templates)) if searched_templates else None,
        templates=searched_templates,
        calibration=calibration_message(in_force),
        support="" if is_known else render(support(fmr.count, fmr.total).sentence, language),
        other_settings=in_force.other_settings,
    )


def withheld_from(in_force: InForce, faces: Mapping[ProbeName, Face]) -> pb.RatesWithheld | None:
    """Build the message that says why a calibration does not hold for some faces; None if it holds for all of them.

    It holds for a face that is no worse than the faces of the measurement. If it does not record these, it holds for a
    face within the limits of the server.
    """
    worst = in_force.calibration.faces
    limits = None if worst is None else QualityLimits(**asdict(worst))
    missed = {
        name: face.quality.reasons if limits is None else missed_limits(face.quality, limits)
        for name, face in faces.items()
    }
    found = tuple(
        message("rates.face_is", face=_FACES[name], reasons=tuple(_WORDS[reason] for reason in reasons))
        for name, reasons in missed.items()
        if reasons
    )
    if not found:
        return None
    every = {reason for reasons in missed.values() for reason in reasons}
    return pb.RatesWithheld(
        reasons=[pb.QualityReason.Value(f"QUALITY_REASON_{reason}") for reason in QualityReason if reason in every],
        sentence=render(message("rates.withheld", found=found, dataset=in_force.calibration.provenance.dataset)),
    )


def likelihood_ratio(calibration: Calibration, similarity: float) -> pb.LikelihoodRatio:
    """Build the message of what a similarity in [-1, 1] says."""
    evidence = calibration.log10_lr(similarity)
    return pb.LikelihoodRatio(
        log10_lr=evidence.log10_lr,
        bound=_bound(calibration.likelihood, evidence.log10_lr) if evidence.at_limit else _NO_BOUND,
        in_range=evidence.supported,
    )


def _bound(likelihood: LrCalibrator, cut_off: float) -> pb.LikelihoodRatioBound.ValueType:
    if likelihood.weakest == likelihood.strongest:  # both 0: nothing is stated of either side
        return _NO_BOUND
    if cut_off == likelihood.strongest:
        return pb.LIKELIHOOD_RATIO_BOUND_AT_LEAST
    return pb.LIKELIHOOD_RATIO_BOUND_AT_MOST


def _rate_message(rate: Rate, interval: Interval, by_people: bool) -> pb.ErrorRate:
    message = _modelled_message(ModelledRate(rate.value, interval, by_people))
    message.count, message.total = rate.count, rate.total
    return message


def _modelled_message(rate: ModelledRate) -> pb.ErrorRate:
    interval = rate.interval
    return pb.ErrorRate(
        value=rate.value,
        low=interval.low,
        high=interval.high,
        confidence=interval.confidence,
        interval_method=_BY_PEOPLE if rate.by_people else _WILSON,
    )
