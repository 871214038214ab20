"""The lessons that come with FR Core: texts in parts, each part with a question, in several languages.

A lesson is a package in this folder. Its `en.md`, and one such file for each further language, hold the text; its
`__init__.py` holds `FIGURES`, the functions that draw its figures, and `NUMBERS`, the functions that compute its
numbers. `reading` reads and checks a text, `drawing` draws, `measured` has what the product measured.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib import import_module, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from fr_training.lessons.reading import MAX_OPTIONS, read_lesson
from fr_training.lessons.values import Lesson
from fr_training.prompts import LessonPart

__all__ = [
    "ENGLISH",
    "MAX_OPTIONS",
    "Lesson",
    "in_language",
    "languages_of",
    "lesson",
    "lesson_names",
    "title_in",
]

ENGLISH = "en"
"""The language of the source; what is not translated yet is shown in it."""

_FOLDER = resources.files(__name__)
_TRANSLATIONS = "FR_LESSONS"
"""A variable of the environment: a folder of a translator, or of a test, whose NAME/LANGUAGE.md come before ours."""


@cache
def lesson_names() -> tuple[str, ...]:
    """The names of the lessons, as plans have them, sorted."""
    found = (one.name for one in _FOLDER.iterdir() if one.is_dir() and (one / f"{ENGLISH}.md").is_file())
    return tuple(sorted(name.replace("_", "-") for name in found))


@cache
def languages_of(name: str) -> tuple[str, ...]:
    """The languages of a lesson, sorted; raises `LookupError` where there is no such lesson."""
    return tuple(sorted(_texts(name)))


@cache
def lesson(name: str, language: str = ENGLISH) -> Lesson:
    """A lesson in one of its languages.

    Raises `LookupError` where there is none, and `LessonInvalidError` where its text breaks a rule of `reading`, or has
    other parts, options or figures than the English one.
    """
    texts = _texts(name)
    if language not in texts:
        raise LookupError(f"The lesson {name} is not there in this language.")
    text = texts[language].read_text("utf-8")
    drawn = import_module(f"{__name__}.{name.replace('-', '_')}")
    found = read_lesson(name, language, text, drawn.FIGURES, drawn.NUMBERS)
    if language != ENGLISH:
        found.require_same_as(lesson(name))
    return found


def in_language(part: LessonPart, reasons: tuple[str, ...], language: str) -> tuple[LessonPart, tuple[str, ...]]:
    """A part of a course and the reasons for its options in a language such as "fr" or "fr-CA", else as they are.

    A course keeps the English text with which it was made. It is translated only where the lesson that is installed
    still says the same in English.
    """
    wanted = language.partition("-")[0].lower()
    if wanted == ENGLISH or part.lesson not in lesson_names() or wanted not in languages_of(part.lesson):
        return part, reasons
    english, translated = lesson(part.lesson).section(part.section), lesson(part.lesson, wanted).section(part.section)
    if english is None or translated is None or english.part != replace(part, order=()):
        return part, reasons
    return replace(translated.part, order=part.order), translated.key.reasons if reasons else ()


def title_in(name: str, title: str, language: str) -> str:
    """The translated title of a lesson, if `title` is its English title; otherwise `title`."""
    if language == ENGLISH or name not in lesson_names() or language not in languages_of(name):
        return title
    return lesson(name, language).title if title == lesson(name).title else title


def _texts(name: str) -> dict[str, Traversable]:
    """The texts of a lesson by their languages."""
    if name not in lesson_names():
        raise LookupError("There is no lesson of this name.")
    own = _FOLDER / name.replace("-", "_")
    folders: list[Traversable] = [own, *(Path(one) / name for one in [os.environ.get(_TRANSLATIONS)] if one)]
    files = (file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.name.endswith(".md"))
    return {file.name.removesuffix(".md"): file for file in files} | {ENGLISH: own / f"{ENGLISH}.md"}
