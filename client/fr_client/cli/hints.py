"""What to type where the server refuses: its own sentences name fields of the API and calls, which no command has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Hint:
    """One more sentence for whoever types commands.

    Attributes:
        sentence: says what to type.
        options: that it names; it is told of commands alone that have them all.
    """

    sentence: str
    options: tuple[str, ...] = ()


HINTS: Mapping[str, Hint] = MappingProxyType(
    {
        "CREDENTIAL_MISSING": Hint("`fr --connection FILE` takes the key from a connection file."),
        "PURPOSE_REQUIRED": Hint(
            "The options are --purpose and --case. Use the purpose gallery-maintenance to maintain records, not for "
            "searches with a photo.",
            ("--purpose", "--case"),
        ),
        "SEVERAL_FACES": Hint("The option is --several-faces largest.", ("--several-faces",)),
        "INVALID_TOP_K": Hint("The option is --top-k.", ("--top-k",)),
        "INVALID_THRESHOLD": Hint("The option is --threshold.", ("--threshold",)),
        "INVALID_FILTER": Hint("The options are --where and --subject.", ("--where", "--subject")),
        "REVIEW_UNFINISHED": Hint("Or take it as it is, with --include-unfinished.", ("--include-unfinished",)),
        "UNKNOWN_KEY": Hint("`fr key list` lists them, for an admin; `fr whoami` tells which is yours."),
        "UNKNOWN_GALLERY": Hint(
            "`fr gallery list` lists those in your key's scope, which `fr whoami` tells; `fr gallery create GALLERY` "
            "creates one."
        ),
        "UNKNOWN_SUBJECT": Hint("`fr subject list GALLERY` lists them."),
        "UNKNOWN_TEMPLATE": Hint("`fr subject show GALLERY SUBJECT` shows them."),
        "CASE_EXISTS": Hint("`fr case list` lists those that you may see."),
        "UNKNOWN_CASE": Hint("`fr case list` lists them. CASE is the id of a case, not its reference."),
        "UNKNOWN_EXAMINATION": Hint("`fr case show CASE` and `fr review list` list them."),
        "GALLERY_EXPIRED": Hint("`fr gallery update GALLERY --expires DATE` gives it a later end."),
    }
)
"""Reason -> what to type."""


def hint_of(reason: str, options: Collection[str]) -> str:
    """Return what to type, by the reason of a refusal and the options of the command; "" where nothing helps."""
    hint = HINTS.get(reason)
    return hint.sentence if hint is not None and set(hint.options) <= set(options) else ""
