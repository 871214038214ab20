"""Refusals of access and casework: credentials, roles, budgets, cases, examinations and findings."""

from __future__ import annotations

from fr_core.errors.base import Failure, InputRefused


class CredentialMissing(InputRefused):
    """The server asks everybody to say who calls, and the call did not."""

    reason = "CREDENTIAL_MISSING"
    remedy = "Send an API key or a token: `authorization: Bearer ...`; `fr` reads it from FR_KEY or --key-file."


class CredentialInvalid(InputRefused):
    """The API key or the token is none that is valid now."""

    reason = "CREDENTIAL_INVALID"
    remedy = "Ask whoever runs the server for a valid key; its audit says what is wrong with this one."


class NotPermitted(InputRefused):
    """Whoever calls has no role that may do this."""

    reason = "NOT_PERMITTED"
    remedy = "docs/access.md says who may do what."


class RateLimited(Failure):
    """Whoever calls has called as often as it may for the moment."""

    reason = "RATE_LIMITED"
    remedy = "Call again after the delay in RetryInfo, and less often."


class QuotaExceeded(InputRefused):
    """Whoever calls has used up the searches of the day."""

    reason = "QUOTA_EXCEEDED"
    remedy = "Wait for the next day (UTC), or ask whoever runs the server for more."


class UnknownKey(InputRefused):
    """There is no API key of that id."""

    reason = "UNKNOWN_KEY"
    remedy = "Admins list the keys with ListKeys; who is no admin gives a new secret to the own key alone (WhoAmI)."


class PurposeRequired(InputRefused):
    """To search or read this gallery, the call must give a purpose and a case reference."""

    reason = "PURPOSE_REQUIRED"
    remedy = "Set `purpose` and `case_reference`."


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
