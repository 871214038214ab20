"""Refusals of access and casework: credentials, roles, budgets, cases, examinations and findings."""

from fr_core.errors.base import Failure, InputRefused


class CredentialMissing(InputRefused, reason="CREDENTIAL_MISSING"):
    """The call has no credential, and the server requires one."""


class CredentialInvalid(InputRefused, reason="CREDENTIAL_INVALID"):
    """The API key or the token is not valid."""


class NotPermitted(InputRefused, reason="NOT_PERMITTED"):
    """The caller's roles or scope do not allow this."""


class RateLimited(Failure, reason="RATE_LIMITED"):
    """The caller has made too many calls in a short time."""


class QuotaExceeded(InputRefused, reason="QUOTA_EXCEEDED"):
    """The caller has used all its searches for today."""


class UnknownKey(InputRefused, reason="UNKNOWN_KEY"):
    """There is no API key with this id."""


class TooManyKeys(InputRefused, reason="TOO_MANY_KEYS"):
    """The server holds the maximum number of API keys, and all of them are valid."""


class PurposeRequired(InputRefused, reason="PURPOSE_REQUIRED"):
    """Calls that search or read this gallery must give a purpose and a case reference."""


class UnknownCase(InputRefused, reason="UNKNOWN_CASE"):
    """There is no case with this id."""


class UnknownExamination(InputRefused, reason="UNKNOWN_EXAMINATION"):
    """There is no examination with this id."""


class CaseExists(InputRefused, reason="CASE_EXISTS"):
    """The caller already has an open case with this reference."""


class CaseClosed(InputRefused, reason="CASE_CLOSED"):
    """The case is closed and accepts nothing new."""


class ExaminerNotIndependent(InputRefused, reason="EXAMINER_NOT_INDEPENDENT"):
    """The caller made the search, or has already given a finding; another person must give the next finding."""


class FindingLocked(InputRefused, reason="FINDING_LOCKED"):
    """The examination is complete; its findings cannot change."""


class ReviewUnfinished(InputRefused, reason="REVIEW_UNFINISHED"):
    """An examination of the case is still waiting for a finding."""
