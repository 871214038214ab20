"""Who may give a finding, and what findings conclude. Pure: no store, no clock.

Two examiners, neither of whom made the search, judge the leads of an operational gallery without knowing of each other
(blind verification, as guidance of FISWG and ENFSI asks for). Where they agree, that is the conclusion. Where they do
not, a third, who is as blind, decides by majority; where all three differ it is inconclusive. One examiner is enough
for any other gallery.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from fr_core.casework.values import (
    HIGHEST_RATING,
    LOWEST_RATING,
    MAX_NOTES,
    MAX_REFERENCE,
    Case,
    Conclusion,
    Examination,
    Finding,
    FindingKind,
    State,
)
from fr_core.errors import CaseClosed, ExaminerNotIndependent, FindingLocked, InvalidField

_AGREEING = 2
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def required_findings(operational: bool) -> int:
    """Return how many findings it takes where the examiners agree."""
    return _AGREEING if operational else 1


def state_of(findings: Sequence[Finding], operational: bool) -> State:
    """Return where an examination with these findings is."""
    if len(findings) < required_findings(operational):
        return State.AWAITING_SECOND if findings else State.AWAITING_FIRST
    return State.DISPUTED if conclusion_of(findings, operational) is None else State.CONCLUDED


def conclusion_of(findings: Sequence[Finding], operational: bool) -> Conclusion | None:
    """Return what findings conclude; None where more of them are needed.

    Two potential candidates agree only where they are the same candidate.
    """
    if len(findings) < required_findings(operational):
        return None
    counted = Counter(Conclusion(finding.kind, finding.template_id) for finding in findings)
    conclusion, votes = counted.most_common(1)[0]
    if votes >= required_findings(operational):
        return conclusion
    return Conclusion(FindingKind.INCONCLUSIVE) if len(findings) > _AGREEING else None


def may_examine(examination: Examination, principal_id: str) -> bool:
    """Whether a finding of somebody is one that the examination waits for."""
    searched = examination.searched
    if state_of(examination.findings, searched.operational) is State.CONCLUDED:
        return False
    return _is_independent(examination, principal_id)


def require_may_examine(examination: Examination, principal_id: str) -> None:
    """Return where a finding of somebody is one that the examination waits for.

    Raises:
        FindingLocked: it has every finding that it waits for.
        ExaminerNotIndependent: it is not this one's to give.
    """
    if state_of(examination.findings, examination.searched.operational) is State.CONCLUDED:
        raise FindingLocked("The examination is concluded.")
    if not _is_independent(examination, principal_id):
        raise ExaminerNotIndependent("Whoever calls has taken part in this examination already.")


def sees_findings(examination: Examination, principal_id: str) -> tuple[Finding, ...]:
    """Return the findings that somebody may see: all once it is concluded, before only the own one."""
    if state_of(examination.findings, examination.searched.operational) is State.CONCLUDED:
        return examination.findings
    return tuple(finding for finding in examination.findings if finding.examiner == principal_id)


def require_finding(finding: Finding, examination: Examination) -> None:
    """Raise `InvalidField` for a finding that no examination of these candidates can have."""
    if len(finding.notes) > MAX_NOTES:
        raise InvalidField(f"`notes` has at most {MAX_NOTES} characters.", field="notes", limit=str(MAX_NOTES))
    if _SURROGATE.search(finding.notes):
        raise InvalidField("`notes` holds what is no character.", field="notes")
    if finding.kind is FindingKind.POTENTIAL_CANDIDATE:
        if finding.template_id not in {candidate.template_id for candidate in examination.candidates}:
            raise InvalidField("`template_id` is none of the candidates.", field="template_id")
        if not LOWEST_RATING <= finding.rating <= HIGHEST_RATING:
            told = f"`rating` is a whole number from {LOWEST_RATING} to {HIGHEST_RATING}."
            raise InvalidField(told, field="rating")
    elif finding.template_id or finding.rating:
        raise InvalidField("Only a potential candidate has `template_id` and `rating`.", field="template_id")


def require_reference(reference: str) -> None:
    """Raise `InvalidField` unless a case can have this reference."""
    if not 1 <= len(reference) <= MAX_REFERENCE or not reference.isprintable() or reference != reference.strip():
        raise InvalidField(
            f"`case_reference` is 1 to {MAX_REFERENCE} printable characters without spaces at either end.",
            field="case_reference",
            limit=str(MAX_REFERENCE),
        )


def require_open(case: Case) -> None:
    """Raise `CaseClosed` unless a case takes searches."""
    if case.closed_ms is not None:
        raise CaseClosed("The case is closed.")


def _is_independent(examination: Examination, principal_id: str) -> bool:
    searched = examination.searched
    if any(finding.examiner == principal_id for finding in examination.findings):
        return False
    return not (searched.operational and searched.searched_by == principal_id)
