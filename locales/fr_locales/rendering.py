"""Renders messages in a language, from the gettext catalogues beside this file."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from gettext import c2py
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from string import Formatter
from typing import TYPE_CHECKING, Any

import polib

from fr_locales.messages import Message, Value, Written

if TYPE_CHECKING:
    from babel import Locale

ENGLISH = "en"
"""The language of the source; what another catalogue does not translate yet is rendered in it."""
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
_spoken: ContextVar[str] = ContextVar("language", default=ENGLISH)


def languages() -> tuple[str, ...]:
    """The languages that have a catalogue, in alphabetical order.

    A translator, or a test, has more of them in the folder that the environment names in `FR_CATALOGUES`.
    """
    return tuple(_sources(os.environ.get("FR_CATALOGUES", "")))


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Render in a language, one of `languages()`, what the block renders without naming one."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def speak(language: str) -> None:
    """As `speaking`, for the rest of the task or the thread."""
    _spoken.set(language)


def spoken() -> str:
    """The language of `speaking`; English outside."""
    return _spoken.get()


def best_language(accepted: str, chosen: str = "") -> str:
    """The language of a choice such as "ar", else the best one of an Accept-Language header, else English.

    A language is read when it is first asked for; where the process can open no file any more then, English comes.
    """
    if not (accepted or chosen):
        return ENGLISH
    known = {one.lower(): one for one in languages()}
    if chosen.lower() in known and _is_read(known[chosen.lower()]):
        return known[chosen.lower()]
    wanted: list[tuple[float, int, str]] = []
    for entry in accepted[:500].split(","):
        tag, _, weight = entry.strip().lower().partition(";q=")
        try:
            wanted.append((-float(weight or 1), len(wanted), tag))
        except ValueError:
            continue
    for _, _, tag in sorted(wanted):
        for name in (tag, tag.partition("-")[0]):
            if name in known and _is_read(known[name]):
                return known[name]
    return ENGLISH


def _is_read(language: str) -> bool:
    try:
        moment(datetime.now(UTC), language)
        _catalogue(language)
    except (ImportError, OSError):
        return False
    return True


def direction_of(language: str) -> str:
    """ "rtl" for a language that is written from right to left, else "ltr"."""
    return "rtl" if language.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


def name_of(language: str) -> str:
    """The name of a language in itself, such as "Français"; that of a pseudo-language is its tag."""
    locale = _locale(language)
    name = locale.get_language_name(locale) if locale else None
    return f"{name[0].upper()}{name[1:]}" if name else language


def reviewer_of(language: str) -> str:
    """The native speaker who has read a catalogue, as its header says; "" if there was none yet."""
    return _catalogue(language).reviewer


def render(message: Message, language: str = "") -> str:
    """A message as text.

    `message`: of the catalogue; `language`: one of `languages()`, "" for that of `speaking`.

    Raises `LookupError`: the language has no catalogue, or the English catalogue has no such id; `KeyError`: a
    placeholder has no value; `TypeError`: `count` is not a whole number.
    """
    language = language or spoken()
    values = {name: _text(value, language) for name, value in message.values.items()}
    return _Plain(language).vformat(_sentence(message, language), (), values)


def number(written: str, language: str = "") -> str:
    """A number as Python writes it, such as "1,234.5%", with the marks of a language: "1.234,5 %" in Spanish.

    Its digits stay those of English, in Arabic too: forms take no others, and exports and curves have these, so that a
    figure can be compared wherever it is read.
    """
    return written.translate(_marks(language or spoken()))


def moment(time: datetime, language: str = "", seconds: bool = False) -> str:
    """A time in UTC as people write it: "2026-11-30 21:05 UTC" in English, with the month as a word elsewhere."""
    language, time = language or spoken(), time.astimezone(UTC)
    clock = f"{time:%H:%M:%S} UTC" if seconds else f"{time:%H:%M} UTC"
    locale = _writer(language)
    if locale is None:
        return f"{day(time.date(), language)} {clock}"
    clock = f"\u2066{clock}\u2069" if direction_of(language) == "rtl" else clock  # isolated: read from left to right
    return str(locale.datetime_formats["medium"]).format(clock, day(time.date(), language))


def day(one: date, language: str = "") -> str:
    """A day as people write it: "2026-11-30" in English, with the month as a word elsewhere."""
    language = language or spoken()
    locale = _writer(language)
    if locale is None:
        return one.isoformat()
    from babel.dates import format_skeleton  # as in `_locale`

    return str(format_skeleton("yMMMd", datetime(one.year, one.month, one.day), locale=locale))


class _Plain(Formatter):
    """Formats numbers for people: without an exponent, and without a sign if they round to 0."""

    def __init__(self, language: str) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        if format_spec.endswith("g") and "e" in text:
            text = format(Decimal(text), ",f" if "," in format_spec else "f")
        text = text[1:] if re.fullmatch(r"-[0.]+%?", text) else text
        return number(text, self._language) if isinstance(value, int | float) else text


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """The texts of an entry, one for each plural form; `form_of` chooses among them."""

    texts: Mapping[tuple[str | None, str], Sequence[str]]
    form_of: Callable[[int], int]
    reviewer: str


def _sentence(message: Message, language: str) -> str:
    """With its placeholders, in the plural form for `count`."""
    count = message.values.get("count")
    if not isinstance(count, int | None):
        raise TypeError(f"The count of `{message.id}` is a whole number, not {type(count).__name__}.")
    catalogue = _catalogue(language)
    texts = catalogue.texts.get((message.audience, message.id))
    if texts is None and language != ENGLISH:
        return _sentence(message, ENGLISH)
    if texts is None:
        raise LookupError(f"The catalogue has no message `{message.id}`.")
    return texts[0 if count is None or len(texts) == 1 else catalogue.form_of(count)]


def _text(value: Value, language: str) -> str | int | float | PurePath:
    if isinstance(value, Written):
        return number(value, language)
    if isinstance(value, date):
        return day(value, language)
    if isinstance(value, Message):
        return render(value, language)
    if isinstance(value, tuple):
        return _sentence(Message("list.separator"), language).join(render(one, language) for one in value)
    return value


def _catalogue(language: str) -> _Catalogue:
    sources = _sources(os.environ.get("FR_CATALOGUES", ""))
    if language not in sources:
        raise LookupError(f"There is no catalogue in the language `{language}`.")
    return _parsed(sources[language])


@cache
def _parsed(source: str) -> _Catalogue:
    found = polib.pofile(source)
    form_of = c2py(str(found.metadata.get("Plural-Forms", "plural=n != 1")).rpartition("plural=")[2].rstrip("; "))
    texts = {
        (one.msgctxt, one.msgid): [one.msgstr_plural[form] for form in sorted(one.msgstr_plural)] or [one.msgstr]
        for one in found.translated_entries()
    }
    return _Catalogue(texts, form_of, str(found.metadata.get("X-Reviewed-By", "")).strip())


@cache
def _sources(more: str) -> Mapping[str, str]:
    """The catalogues as text; those in the folder `more` go before ours, but for English."""
    own, others = _texts_in(files("fr_locales")), _texts_in(Path(more)) if more else {}
    return dict(sorted({**own, **others, ENGLISH: own[ENGLISH]}.items()))


def _texts_in(folder: Traversable) -> dict[str, str]:
    found = {one.name: one / "LC_MESSAGES" / "fr.po" for one in folder.iterdir()}
    return {name: one.read_text("utf-8") for name, one in found.items() if one.is_file()}


@cache
def _locale(language: str) -> "Locale | None":
    """Knows how a language writes; None for a pseudo-language."""
    from babel import Locale, UnknownLocaleError  # English does without

    try:
        return Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        return None


def _writer(language: str) -> "Locale | None":
    """As `_locale`; None for English too, whose numbers and times are those of Python."""
    return None if language == ENGLISH else _locale(language)


@cache
def _marks(language: str) -> Mapping[int, str]:
    """The marks in numbers by those that `format` writes; the sign of percent has its space."""
    locale = _writer(language)
    if locale is None:
        return {}
    marks = locale.number_symbols["latn"]
    percent = locale.percent_formats[None].pattern.partition("0")[2].replace("%", marks["percentSign"])
    own = (marks["decimal"], marks["group"], marks["minusSign"], marks["plusSign"], percent)
    return dict(zip(map(ord, ".,-+%"), own, strict=True))


# Read on import, so that an error has its sentence also where a process can open no file any more; parsed when the
# first message of a language is rendered, since that takes longer than most imports.
languages()
