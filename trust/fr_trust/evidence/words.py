"""The sentences of a report as messages: what figures say of each of the two propositions, and what they do not."""

import math
from collections.abc import Iterator

from fr_core.scoring.intervals import Rate
from fr_locales.messages import Message, message
from fr_trust.casework.values import Examination, FindingKind, Purpose
from fr_trust.evidence.values import Audited, Bound, Figures

KINDS = {
    FindingKind.POTENTIAL_CANDIDATE: message("evidence.kind.potential_candidate"),
    FindingKind.NO_CANDIDATE: message("evidence.kind.no_candidate"),
    FindingKind.INCONCLUSIVE: message("evidence.kind.inconclusive"),
}
PURPOSES = {
    Purpose.INVESTIGATION: message("evidence.purpose.investigation"),
    Purpose.MISSING_PERSON: message("evidence.purpose.missing_person"),
    Purpose.VICTIM: message("evidence.purpose.victim"),
    Purpose.UNKNOWN_PERSON: message("evidence.purpose.unknown_person"),
    Purpose.RECORD_KEEPING: message("evidence.purpose.record_keeping"),
    Purpose.TRAINING: message("evidence.purpose.training"),
    Purpose.TESTING: message("evidence.purpose.testing"),
}
LIMITATIONS = (
    message("evidence.limit.identity"),
    message("evidence.limit.size"),
    message("evidence.limit.quality"),
    message("evidence.limit.groups"),
    message("evidence.limit.relatives"),
    message("evidence.limit.people"),
    message("evidence.limit.altered"),
    message("evidence.limit.unknown"),
)


def independence(examination: Examination) -> Message:
    """Return who gave the findings of a concluded examination, seen from who made the search."""
    findings = examination.findings
    if len(findings) > 1:
        return message("evidence.independent", accounts=len(findings))
    if findings[0].examiner == examination.searched.searched_by:
        return message("evidence.searcher_alone")
    return message("evidence.other_alone")


def of_hp(figures: Figures) -> Message:
    """Return what a similarity says where Hp is true."""
    if figures.false_non_match is None:
        return message("evidence.not_known")
    return message("evidence.of_hp", share=_share(figures.false_non_match))


def of_hd(figures: Figures) -> Message:
    """Return what a similarity says where Hd is true."""
    if figures.false_match is None:
        return message("evidence.not_known")
    return message("evidence.of_hd", share=_share(figures.false_match))


def of_both(figures: Figures, templates: int) -> Iterator[Message]:
    """Yield sentences on the likelihood ratio; none where it is not known.

    `figures`: of one similarity; `templates`: searched, of whose best the candidate is one.
    """
    if figures.log10_lr is None:
        return
    yield _how_probable(figures, figures.log10_lr)
    yield message("evidence.one_comparison", templates=templates)
    if not figures.in_range:
        yield message("evidence.out_of_range")


def _how_probable(figures: Figures, log10_lr: float) -> Message:
    """Return the ratio to one significant figure; beyond what the calibration can show, no figure."""
    for_hp = figures.bound is not Bound.AT_MOST and (log10_lr > 0.0 or figures.bound is Bound.AT_LEAST)
    hp, hd = message("evidence.hp"), message("evidence.hd")
    one, other, of_other = (hp, hd, figures.false_match) if for_hp else (hd, hp, figures.false_non_match)
    # n comparisons of the other proposition show nothing that is rarer than 1 in n.
    most = math.inf if of_other is None else math.log10(of_other.total)
    if figures.bound is not Bound.EXACT or abs(log10_lr) > most:
        return message("evidence.ratio_beyond", one=one, other=other)
    times = float(f"{10.0 ** abs(log10_lr):.0e}")
    if times == 1.0:
        return message("evidence.ratio_even")
    return message("evidence.ratio", times=times, one=one, other=other)


def database_effect(figures: Figures, templates: int) -> Message:
    """Return how many strangers a gallery of so many templates would hold that are as similar."""
    rate = figures.false_match
    if rate is None:
        return message("evidence.strangers_unknown", templates=templates)
    if rate.count == 0:
        expected, confidence = templates * rate.interval.high, rate.interval.confidence
        return message("evidence.strangers_at_most", templates=templates, expected=expected, confidence=confidence)
    return message("evidence.strangers", templates=templates, expected=templates * rate.value)


def of_audit(audit: Audited | None) -> Message:
    """Return what a bundle holds of the audit."""
    if audit is None:
        return message("evidence.no_audit")
    records = message("evidence.records", count=audit.records)
    return message("evidence.audit", records=records, withheld=audit.withheld)


def _share(rate: Rate) -> Message:
    interval = rate.interval
    return message(
        "evidence.share",
        part=rate.count,
        total=rate.total,
        rate=rate.value,
        confidence=interval.confidence,
        low=interval.low,
        high=interval.high,
    )
