"""Ids that follow from what they name: a second export has the same ones, so that importing twice doubles nothing."""

from __future__ import annotations

import json
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

HOME: Final = "https://fr-core.invalid/training"
"""Where standards want a web address. `.invalid` never leads anywhere (RFC 2606): a pseudonym has no page."""

_NAMESPACE: Final[UUID] = uuid5(NAMESPACE_DNS, "training.fr-core.invalid")


def stable_id(kind: str, *parts: str | int) -> str:
    """The UUID (version 5, RFC 9562) of what `parts` name.

    Args:
        kind: of thing, such as "item"; things of two kinds never share an id.
        parts: which one, such as the ids of the course and the item.
    """
    return str(uuid5(_NAMESPACE, json.dumps([kind, *parts])))


def urn(kind: str, *parts: str | int) -> str:
    """`stable_id` as a URN, such as "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"."""
    return f"urn:uuid:{stable_id(kind, *parts)}"
