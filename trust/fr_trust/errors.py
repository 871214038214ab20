"""Refusals of access and casework: credentials, roles, budgets, cases, examinations and findings."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused
from fr_locales.messages import message


class CredentialMissing(InputRefused):
    """The call has no credential, and the server requires one."""

    reason = "CREDENTIAL_MISSING"
    remedy = message("remedy.credential_missing")


class CredentialInvalid(InputRefused):
    """The API key or the token is not valid."""

    reason = "CREDENTIAL_INVALID"
    remedy = message("remedy.credential_invalid")


class NotPermitted(InputRefused):
    """No role of the caller permits this."""

    reason = "NOT_PERMITTED"
    remedy = message("remedy.not_permitted")


class RateLimited(Failure):
    """The caller has made too many calls in a short time."""

    reason = "RATE_LIMITED"
    remedy = message("remedy.rate_limited")


class QuotaExceeded(InputRefused):
    """The caller has used all its searches for today."""

    reason = "QUOTA_EXCEEDED"
    remedy = message("remedy.quota_exceeded")


class UnknownKey(InputRefused):
    """There is no API key with this id."""

    reason = "UNKNOWN_KEY"
    remedy = message("remedy.unknown_key")


class PurposeRequired(InputRefused):
    """Calls that search or read this gallery must give a purpose and a case reference."""

    reason = "PURPOSE_REQUIRED"
    remedy = message("remedy.purpose_required")


class UnknownCase(InputRefused):
    """There is no case with this id."""

    reason = "UNKNOWN_CASE"
    remedy = message("remedy.unknown_case")


class UnknownExamination(InputRefused):
    """There is no examination with this id."""

    reason = "UNKNOWN_EXAMINATION"
    remedy = message("remedy.unknown_examination")


class CaseExists(InputRefused):
    """The caller already has an open case with this reference."""

    reason = "CASE_EXISTS"
    remedy = message("remedy.case_exists")


class CaseClosed(InputRefused):
    """The case is closed and accepts nothing new."""

    reason = "CASE_CLOSED"
    remedy = message("remedy.case_closed")


class ExaminerNotIndependent(InputRefused):
    """The caller made the search, or has already given a finding; another person must give the next finding."""

    reason = "EXAMINER_NOT_INDEPENDENT"
    remedy = message("remedy.examiner_not_independent")


class FindingLocked(InputRefused):
    """The examination is complete; its findings cannot change."""

    reason = "FINDING_LOCKED"
    remedy = message("remedy.finding_locked")


class ReviewUnfinished(InputRefused):
    """An examination of the case is still waiting for a finding."""

    reason = "REVIEW_UNFINISHED"
    remedy = message("remedy.review_unfinished")
