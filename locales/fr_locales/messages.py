"""Messages for people as values: an id of the catalogue and what fills its placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import PurePath
from typing import TypeAlias


class Audience(StrEnum):
    """The people whom a sentence is about; in a catalogue the context (`msgctxt`) of an entry."""

    TRAINEE = "trainee"
    """One trainee, who reads it: "you"."""
    COHORT = "cohort"
    """Several trainees; somebody else reads it: "the trainees"."""


class Written(str):
    """A number as Python writes it, which fills a placeholder with the marks of the language."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence, or a part of one, in no language yet."""

    id: str  # of the catalogue, such as "bias.no_lean"
    # By placeholder. A message among them is rendered first; several are joined as a list. `count` chooses the plural
    # form.
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)
    audience: Audience | None = None  # whom it is about; None where the words are the same for all


Value: TypeAlias = str | int | float | date | PurePath | Message | tuple[Message, ...]
"""Fills a placeholder."""


def message(message_id: str, /, *, audience: Audience | None = None, **values: Value) -> Message:
    """A message; ids and placeholders are literals, so that `tools/check_messages.py` can compare them."""
    return Message(message_id, values, audience)
