"""Refusals of access and casework: credentials, roles, budgets, cases, examinations and findings."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused


class CredentialMissing(InputRefused):
    """The call has no credential, and the server requires one."""

    reason = "CREDENTIAL_MISSING"
    remedy = "Send an API key or a token: `authorization: Bearer ...`; `fr` reads it from FR_KEY or --key-file."


class CredentialInvalid(InputRefused):
    """The API key or the token is not valid."""

    reason = "CREDENTIAL_INVALID"
    remedy = "Ask the operator of the server for a valid key; the audit says why this one was refused."


class NotPermitted(InputRefused):
    """No role of the caller permits this."""

    reason = "NOT_PERMITTED"
    remedy = "docs/access.md lists who may do what."


class RateLimited(Failure):
    """The caller has made too many calls in a short time."""

    reason = "RATE_LIMITED"
    remedy = "Call again after the delay in RetryInfo, and less often."


class QuotaExceeded(InputRefused):
    """The caller has used all its searches for today."""

    reason = "QUOTA_EXCEEDED"
    remedy = "Wait for the next day (UTC), or ask the operator of the server for more."


class UnknownKey(InputRefused):
    """There is no API key with this id."""

    reason = "UNKNOWN_KEY"
    remedy = "Admins list the keys with ListKeys. Other callers can rotate only their own key; WhoAmI shows its id."


class PurposeRequired(InputRefused):
    """Calls that search or read this gallery must give a purpose and a case reference."""

    reason = "PURPOSE_REQUIRED"
    remedy = "Set `purpose` and `case_reference`."


class UnknownCase(InputRefused):
    """There is no case with this id."""

    reason = "UNKNOWN_CASE"
    remedy = "List the cases with ListCases."


class UnknownExamination(InputRefused):
    """There is no examination with this id."""

    reason = "UNKNOWN_EXAMINATION"
    remedy = "List the examinations of the case, or those that wait for a finding."


class CaseExists(InputRefused):
    """The caller already has an open case with this reference."""

    reason = "CASE_EXISTS"
    remedy = "Use the open case (see ListCases), or close it first."


class CaseClosed(InputRefused):
    """The case is closed and accepts nothing new."""

    reason = "CASE_CLOSED"
    remedy = "Open a new case."


class ExaminerNotIndependent(InputRefused):
    """The caller made the search, or has already given a finding; another person must give the next finding."""

    reason = "EXAMINER_NOT_INDEPENDENT"
    remedy = "Let an examiner who has not seen this examination give the finding."


class FindingLocked(InputRefused):
    """The examination is complete; its findings cannot change."""

    reason = "FINDING_LOCKED"
    remedy = "Read the examination. If it is wrong, search again and start a new examination."


class ReviewUnfinished(InputRefused):
    """An examination of the case is still waiting for a finding."""

    reason = "REVIEW_UNFINISHED"
    remedy = "Let the examiners finish first."
