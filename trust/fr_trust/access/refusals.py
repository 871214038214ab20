"""Reasons for refusing a credential: the caller always gets the same sentence, the audit gets the reason."""

from enum import StrEnum
from typing import NoReturn

from fr_locales.messages import message
from fr_trust.errors import CredentialInvalid


class Why(StrEnum):
    """The reason for refusing a credential, as a word for the audit."""

    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"
    ROTATED = "rotated"
    REVOKED = "revoked"
    EXPIRED = "expired"
    OTHER_CERTIFICATE = "other_certificate"
    TOO_LONG = "too_long"
    WRONG_ALGORITHM = "wrong_algorithm"
    UNKNOWN_SIGNER = "unknown_signer"
    BAD_SIGNATURE = "bad_signature"
    MISSING_CLAIM = "missing_claim"
    BAD_CLAIM = "bad_claim"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    NOT_YET_VALID = "not_yet_valid"
    TOO_OLD = "too_old"
    NO_ROLE = "no_role"


class Refused(Exception):
    """The cause of a `CredentialInvalid`; its text is in no message. `principal_id` is "" where nobody is known."""

    def __init__(self, why: Why, principal_id: str = "") -> None:
        super().__init__(why.value)
        self.why = why
        self.principal_id = principal_id


def refuse(why: Why, principal_id: str = "") -> NoReturn:
    """Raise `CredentialInvalid`, always with the same words; `refusal_of` finds the arguments again."""
    raise CredentialInvalid(message("error.trust.credential_not_valid")) from Refused(why, principal_id)


def refusal_of(error: CredentialInvalid) -> Refused | None:
    """Return why a credential was refused, for the audit alone; None where `refuse` did not raise the error."""
    return error.__cause__ if isinstance(error.__cause__, Refused) else None
