"""The roots of the tree, and its three branches."""

from __future__ import annotations

from typing import ClassVar


class FrError(Exception):
    """The root of every error that FR Core raises on purpose.

    Args:
        what: one sentence that says what was found, without personal data.
        metadata: numbers and names of settings that a program may act on, such as `limit="8388608"`.
    """

    reason: ClassVar[str] = ""
    remedy: ClassVar[str] = ""

    def __init__(self, what: str, **metadata: str) -> None:
        super().__init__(what)
        self.what = what
        self.metadata = metadata

    @property
    def message(self) -> str:
        """Return what was found, then what to do about it."""
        return f"{self.what} {self.remedy}".strip()

    def __str__(self) -> str:
        return self.message


class InputRefused(FrError):
    """The caller can correct it; the same request gives the same answer."""


class Failure(FrError):
    """The server's fault, and it may pass; a later call may succeed."""


class Unrecoverable(FrError):
    """The process cannot go on, or must not start, until a person has acted."""


def for_one_caller(error: BaseException) -> BaseException:
    """Return what one of several threads is to raise; one exception would gather the traces of all of them."""
    if not isinstance(error, FrError):
        return error
    own = type(error)(error.what, **error.metadata)
    own.__cause__ = error
    return own
