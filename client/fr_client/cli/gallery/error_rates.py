"""Explains a threshold and a similarity in plain words: error rates and likelihood ratios of a calibration."""

import math
from collections.abc import Iterator
from typing import Any

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client.cli.show import counted, number
from fr_client.unpack import message_keys

_SOURCES = {
    common_pb2.CALIBRATION_SOURCE_PACK: "the model pack's calibration",
    common_pb2.CALIBRATION_SOURCE_GALLERY: "the gallery's own calibration",
}
# A rate below the first, whose interval ends below the second, reads "1 in 5,000"; others are in per cent.
_RARE, _RARE_AT_MOST = 0.001, 0.01
# Fewer errors hardly measure a rate (rule of 30).
_ENOUGH_ERRORS = 30
# A calibration that cannot show this false match rate supports no useful threshold.
_LEAST_FMR = 0.01


def rates_text(answer: recognition_pb2.CompareResponse | gallery_pb2.SearchResponse) -> Iterator[str]:
    """Yield sentences on the error rates of an answer's threshold; none without a calibration.

    If the rates of a comparison are withheld, yield the reason.
    """
    if isinstance(answer, recognition_pb2.CompareResponse) and answer.HasField("rates_withheld"):
        yield answer.rates_withheld.sentence
    if not answer.HasField("error_rates"):
        return
    rates = answer.error_rates
    calibration = rates.calibration
    accepted = _part("the comparisons of different people", "accepted", rates.fmr)
    missed = _part("the comparisons of one person", "missed", rates.fnmr)
    yield f"At this threshold {accepted}, as measured on {measured_text(calibration)} ({source_text(calibration)})."
    yield f"At the same threshold {missed}."
    yield f"These rates hold for people and photos like those of {calibration.dataset}, not for others."
    if rates.other_settings:
        yield f"That was measured with another {' and another '.join(rates.other_settings)} than this server has."
    if rates.support:
        yield f"Of different people: {rates.support.removesuffix('.')}."
    if rates.HasField("fpir"):
        searches = _part("the searches for somebody who is not enrolled", "answered with a lead", rates.fpir)
        yield (
            f"Among {counted(rates.templates, 'template')} {searches}: computed as if comparisons were independent, "
            "which those with look-alikes are not."
        )


def evidence_text(answer: recognition_pb2.CompareResponse) -> Iterator[str]:
    """Yield sentences on the evidence of a comparison; none without a calibration."""
    if not answer.HasField("likelihood_ratio"):
        return
    yield (
        f"{_how_probable(answer.likelihood_ratio, answer.error_rates)} That is not the probability that they show one "
        "person, nor that they show two."
    )
    if not answer.likelihood_ratio.in_range:
        yield "No comparison of the calibration has a similarity this far out."


def _how_probable(evidence: common_pb2.LikelihoodRatio, rates: common_pb2.ErrorRates) -> str:
    """Return the ratio to one significant figure, or no figure if the calibration is too small for it.

    The rule and the words are those of the evidence report (`fr_trust.evidence.words`), which a client cannot import.
    """
    positive = evidence.log10_lr > 0.0 and evidence.bound != common_pb2.LIKELIHOOD_RATIO_BOUND_AT_MOST
    if positive or evidence.bound == common_pb2.LIKELIHOOD_RATIO_BOUND_AT_LEAST:
        more, of_other = "more probable if both photos show one person than if they show two", rates.fmr
    else:
        more, of_other = "more probable if the photos show two people than if they show one", rates.fnmr
    # n comparisons of the other kind cannot show anything rarer than 1 in n.
    most = math.log10(of_other.total) if of_other.total else math.inf
    if evidence.bound != common_pb2.LIKELIHOOD_RATIO_BOUND_NONE or abs(evidence.log10_lr) > most:
        return (
            f"This similarity is {more}. How much more is more than the calibration can show: it has too few "
            "comparisons."
        )
    times = float(f"{10.0 ** abs(evidence.log10_lr):.0e}")
    if times == 1.0:
        return "This similarity is about as probable if both photos show one person as if they show two."
    return f"This similarity is about {times:,.0f} times {more}."


def source_text(calibration: common_pb2.Calibration) -> str:
    """Return the source of a calibration."""
    return _SOURCES.get(calibration.source, "a calibration of a kind that is newer than this command")


def measured_text(calibration: common_pb2.Calibration) -> str:
    """Return the data behind a calibration, such as "lfw (folds 1, 2), 844 people"."""
    part = f" ({calibration.part})" if calibration.part else ""
    people = f", {counted(calibration.people, 'person', 'people')}" if calibration.HasField("people") else ""
    return f"{calibration.dataset}{part}{people}"


def support_text(calibration: common_pb2.Calibration) -> str:
    """Return the lowest false match rate that it can show; empty without a comparison of different people."""
    if not calibration.nonmated:
        return ""
    people = f", {calibration.people:,} people" if calibration.HasField("people") else ""
    lowest, comparisons = 1 / calibration.nonmated, f"{calibration.nonmated:,} comparisons of different people"
    return f"false match rates down to {number(lowest, '.2g')} ({comparisons}{people})"


def small_text(calibration: common_pb2.Calibration) -> str:
    """Return a warning if it has too few comparisons to be useful; else ""."""
    if calibration.nonmated >= 1 / _LEAST_FMR:
        return ""
    return (
        f"This calibration is too small to be useful: it cannot even show a false match rate of {_LEAST_FMR:g}, which "
        f"takes {round(1 / _LEAST_FMR):,} comparisons of different people. Measure it on more people."
    )


def answer_keys(answer: recognition_pb2.CompareResponse | gallery_pb2.SearchResponse) -> dict[str, Any]:
    """Return an answer as JSON has it; without a calibration, the keys that need one are null."""
    keys = message_keys(answer)
    for name in ("error_rates", "likelihood_ratio"):
        if name in answer.DESCRIPTOR.fields_by_name:
            keys.setdefault(name, None)
    return keys


def _part(of: str, done: str, rate: common_pb2.ErrorRate) -> str:
    """Return a rate such as "0.5 % of ... are missed (on 3 errors; 95 % interval 0.3 % to 0.8 %)", in one unit."""
    rare = rate.value < _RARE and rate.high < _RARE_AT_MOST
    value, low, high = (_share(share, rare) for share in (rate.value, rate.low, rate.high))
    verb = "is" if value.startswith("1 in") else "are"
    how = ", by resampling people" if rate.interval_method == common_pb2.INTERVAL_METHOD_BY_PEOPLE else ""
    few = f"on {rate.count} error{'' if rate.count == 1 else 's'}; " if 0 < rate.count < _ENOUGH_ERRORS else ""
    interval = f"{number(100 * rate.confidence, 'g')} % interval {low} to {high}{how}"
    return f"{'none' if value == '0' else value} of {of} {verb} {done} ({few}{interval})"


def _share(value: float, rare: bool) -> str:
    """Return a share from 0 to 1 to three digits, without rounding it to 0 or 1."""
    if value == 0.0:
        return "0"
    if rare:
        return f"1 in {round(float(f'{1.0 / value:.3g}')):,}"
    text = number(100 * value, ".3g")
    return "over 99.9 %" if text == "100" and value < 1.0 else f"{text} %"
