"""Refusals of casework: cases, examinations, findings, evidence."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class UnknownCase(InputRefused):
    """There is no case of that id."""

    reason = "UNKNOWN_CASE"
    remedy = "List the cases with ListCases."


class UnknownExamination(InputRefused):
    """There is no examination of that id."""

    reason = "UNKNOWN_EXAMINATION"
    remedy = "List the examinations of the case, or those that wait for a finding."


class CaseExists(InputRefused):
    """The caller already has an open case with this reference."""

    reason = "CASE_EXISTS"
    remedy = "Use the open case (see ListCases), or close it first."


class CaseClosed(InputRefused):
    """The case is closed, and takes nothing new."""

    reason = "CASE_CLOSED"
    remedy = "Open a new case."


class ExaminerNotIndependent(InputRefused):
    """Whoever calls made the search, or has given a finding: the next finding is another person's."""

    reason = "EXAMINER_NOT_INDEPENDENT"
    remedy = "Let another examiner, who has seen nothing of it, give the finding."


class FindingLocked(InputRefused):
    """The examination has every finding that it waits for; findings that were given stay as they are."""

    reason = "FINDING_LOCKED"
    remedy = "Read the examination; where it was wrong, search again and examine anew."


class ReviewUnfinished(InputRefused):
    """An examination of the case still waits for a finding."""

    reason = "REVIEW_UNFINISHED"
    remedy = "Let the examiners finish first."
