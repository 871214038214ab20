"""Decides who may give a finding, and what findings conclude. Pure: no store, no clock.

Two examiners, neither of whom made the search, judge the leads of an operational gallery without knowing of each other
(blind verification, as guidance of FISWG and ENFSI asks for). Where they agree, that is the conclusion. Where they do
not, a third, who is as blind, decides by majority; where all three differ it is inconclusive. One examiner is enough
for any other gallery. A search that gave no candidate leaves nothing to judge: it is concluded as it is made.
"""

import re
from collections import Counter
from collections.abc import Sequence

from fr_core.errors import InvalidField, message
from fr_core.id_forms import composed
from fr_trust.casework.values import (
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
from fr_trust.errors import CaseClosed, ExaminerNotIndependent, FindingLocked

_AGREEING = 2
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def required_findings(operational: bool, candidates: int) -> int:
    """Return how many findings it takes where the examiners agree; 0 where there is no candidate to judge."""
    if not candidates:
        return 0
    return _AGREEING if operational else 1


def state_of(findings: Sequence[Finding], operational: bool, candidates: int) -> State:
    """Return where an examination with these findings, and so many candidates, is."""
    if len(findings) < required_findings(operational, candidates):
        return State.AWAITING_SECOND if findings else State.AWAITING_FIRST
    return State.DISPUTED if conclusion_of(findings, operational, candidates) is None else State.CONCLUDED


def conclusion_of(findings: Sequence[Finding], operational: bool, candidates: int) -> Conclusion | None:
    """Return what findings conclude; None where more of them are needed.

    Two potential candidates agree only where they are the same candidate. Where there is no candidate nobody gives a
    finding, and that is what is concluded.
    """
    required = required_findings(operational, candidates)
    if len(findings) < required:
        return None
    if not required:
        return Conclusion(FindingKind.NO_CANDIDATE)
    counted = Counter(Conclusion(finding.kind, finding.template_id) for finding in findings)
    conclusion, votes = counted.most_common(1)[0]
    if votes >= required:
        return conclusion
    return Conclusion(FindingKind.INCONCLUSIVE) if len(findings) > _AGREEING else None


def examination_state(examination: Examination) -> State:
    """Return where an examination is."""
    return state_of(examination.findings, examination.searched.operational, len(examination.candidates))


def examination_conclusion(examination: Examination) -> Conclusion | None:
    """Return what an examination concludes; None where it waits for more findings."""
    return conclusion_of(examination.findings, examination.searched.operational, len(examination.candidates))


def is_concluded(examination: Examination) -> bool:
    """Return whether an examination waits for nothing more."""
    return examination_state(examination) is State.CONCLUDED


def may_examine(examination: Examination, principal_id: str) -> bool:
    """Return whether a finding of somebody is one that the examination waits for."""
    if is_concluded(examination):
        return False
    return _is_independent(examination, principal_id)


def require_may_examine(examination: Examination, principal_id: str) -> None:
    """Require that a finding of somebody is one that the examination waits for.

    Raises `FindingLocked`: it has every finding that it waits for; `ExaminerNotIndependent`: somebody else has to give
    it.
    """
    if is_concluded(examination):
        raise FindingLocked(message("error.trust.examination_concluded"))
    if not _is_independent(examination, principal_id):
        raise ExaminerNotIndependent(message("error.trust.you_taken_part_examination"))


def sees_findings(examination: Examination, principal_id: str) -> tuple[Finding, ...]:
    """Return the findings that somebody may see: all once it is concluded, before only the own one."""
    if is_concluded(examination):
        return examination.findings
    return tuple(finding for finding in examination.findings if finding.examiner == principal_id)


def require_finding(finding: Finding, examination: Examination) -> None:
    """Raise `InvalidField` for a finding that no examination of these candidates can have."""
    if len(finding.notes) > MAX_NOTES:
        raise InvalidField(message("error.trust.notes_length", most=MAX_NOTES), field="notes", limit=str(MAX_NOTES))
    if _SURROGATE.search(finding.notes):
        raise InvalidField(message("error.trust.notes_holds_what_no"), field="notes")
    if finding.kind is FindingKind.POTENTIAL_CANDIDATE:
        if finding.template_id not in {candidate.template_id for candidate in examination.candidates}:
            raise InvalidField(message("error.trust.template_id_none_candidates"), field="template_id")
        if not LOWEST_RATING <= finding.rating <= HIGHEST_RATING:
            raise InvalidField(
                message("error.trust.rating_range", lowest_rating=LOWEST_RATING, highest_rating=HIGHEST_RATING),
                field="rating",
            )
    elif finding.template_id or finding.rating:
        field = "template_id" if finding.template_id else "rating"
        raise InvalidField(message("error.trust.only_potential_candidate_template_id"), field=field)


def require_reference(reference: str) -> None:
    """Raise `InvalidField` unless a case can have this reference."""
    reference = composed(reference)
    if not 1 <= len(reference) <= MAX_REFERENCE or not reference.isprintable() or reference != reference.strip():
        raise InvalidField(
            message("error.trust.case_reference_printable_characters_without", most=MAX_REFERENCE),
            field="case_reference",
            limit=str(MAX_REFERENCE),
        )


def require_open(case: Case) -> None:
    """Raise `CaseClosed` unless a case takes searches."""
    if case.closed_ms is not None:
        raise CaseClosed(message("error.trust.case_closed"))


def _is_independent(examination: Examination, principal_id: str) -> bool:
    searched = examination.searched
    if any(finding.examiner == principal_id for finding in examination.findings):
        return False
    return not (searched.operational and searched.searched_by == principal_id)
