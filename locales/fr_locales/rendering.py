"""Renders messages in a language, from the gettext catalogues beside this file."""

import os
import re
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path, PurePath
from string import Formatter
from typing import Any

import polib

from fr_locales.messages import Message, Value

ENGLISH = "en"
"""The language of the source; what another catalogue does not translate yet is rendered in it."""
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


def languages() -> tuple[str, ...]:
    """The languages that have a catalogue, in alphabetical order.

    A translator, or a test, has more of them in the folder that the environment names in `FR_CATALOGUES`.
    """
    found = (one for folder in _folders() for one in folder.iterdir() if (one / "LC_MESSAGES" / "fr.po").is_file())
    return tuple(sorted({one.name for one in found}))


def direction_of(language: str) -> str:
    """Return "rtl" for a language that is written from right to left, else "ltr"."""
    return "rtl" if language.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


def _folders() -> tuple[Traversable, ...]:
    more = os.environ.get("FR_CATALOGUES")
    return (files("fr_locales"), *([Path(more)] if more else []))


def render(message: Message, language: str = ENGLISH) -> str:
    """A message as text.

    `message`: of the catalogue; `language`: one of `languages()`.

    Raises `LookupError`: the language has no catalogue, or the English catalogue has no such id; `KeyError`: a
    placeholder has no value; `TypeError`: `count` is not a whole number.
    """
    values = {name: _text(value, language) for name, value in message.values.items()}
    return _Plain().vformat(_sentence(message, language), (), values)


class _Plain(Formatter):
    """Formats numbers for people: without an exponent, and without a sign if they round to 0."""

    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        if format_spec.endswith("g") and "e" in text:
            text = format(Decimal(text), ",f" if "," in format_spec else "f")
        return text[1:] if re.fullmatch(r"-[0.]+%?", text) else text


def _sentence(message: Message, language: str) -> str:
    """With its placeholders, in the plural form for `count`."""
    catalogue, one, count = _catalogue(language), message.id, message.values.get("count")
    if not isinstance(count, int | None):
        raise TypeError(f"The count of `{one}` is a whole number, not {type(count).__name__}.")
    if count is None:
        found = catalogue.pgettext(message.audience, one) if message.audience else catalogue.gettext(one)
    elif message.audience:
        found = catalogue.npgettext(message.audience, one, one, count)
    else:
        found = catalogue.ngettext(one, one, count)
    if found == one:
        raise LookupError(f"The catalogue has no message `{one}`.")
    return found


def _text(value: Value, language: str) -> str | int | float | PurePath:
    if isinstance(value, Message):
        return render(value, language)
    if isinstance(value, tuple):
        return _sentence(Message("list.separator"), language).join(render(one, language) for one in value)
    return value


@cache
def _catalogue(language: str) -> GNUTranslations:
    found = GNUTranslations(BytesIO(polib.pofile(_source(language)).to_binary()))
    if language != ENGLISH:
        found.add_fallback(_catalogue(ENGLISH))
    return found


@cache
def _source(language: str) -> str:
    if language not in languages():
        raise LookupError(f"There is no catalogue in the language `{language}`.")
    found = (folder / language / "LC_MESSAGES" / "fr.po" for folder in _folders())
    return next(one for one in found if one.is_file()).read_text("utf-8")


# Read on import, so that an error has its sentence also where a process can open no file any more; parsed when the
# first message is rendered, since that takes longer than most imports.
_source(ENGLISH)
