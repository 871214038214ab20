"""Refusals of access and casework: credentials, roles, budgets, cases, examinations and findings."""

from fr_core.errors.base import Failure, InputRefused


class CredentialMissing(InputRefused):
    """The call has no credential, and the server requires one."""

    reason = "CREDENTIAL_MISSING"


class CredentialInvalid(InputRefused):
    """The API key or the token is not valid."""

    reason = "CREDENTIAL_INVALID"


class NotPermitted(InputRefused):
    """No role of the caller permits this."""

    reason = "NOT_PERMITTED"


class RateLimited(Failure):
    """The caller has made too many calls in a short time."""

    reason = "RATE_LIMITED"


class QuotaExceeded(InputRefused):
    """The caller has used all its searches for today."""

    reason = "QUOTA_EXCEEDED"


class UnknownKey(InputRefused):
    """There is no API key with this id."""

    reason = "UNKNOWN_KEY"


class PurposeRequired(InputRefused):
    """Calls that search or read this gallery must give a purpose and a case reference."""

    reason = "PURPOSE_REQUIRED"


class UnknownCase(InputRefused):
    """There is no case with this id."""

    reason = "UNKNOWN_CASE"


class UnknownExamination(InputRefused):
    """There is no examination with this id."""

    reason = "UNKNOWN_EXAMINATION"


class CaseExists(InputRefused):
    """The caller already has an open case with this reference."""

    reason = "CASE_EXISTS"


class CaseClosed(InputRefused):
    """The case is closed and accepts nothing new."""

    reason = "CASE_CLOSED"


class ExaminerNotIndependent(InputRefused):
    """The caller made the search, or has already given a finding; another person must give the next finding."""

    reason = "EXAMINER_NOT_INDEPENDENT"


class FindingLocked(InputRefused):
    """The examination is complete; its findings cannot change."""

    reason = "FINDING_LOCKED"


class ReviewUnfinished(InputRefused):
    """An examination of the case is still waiting for a finding."""

    reason = "REVIEW_UNFINISHED"
