"""The manual of good practice that comes with FR Core, in several languages: chapters, annexes and their sources.

`reading` reads a chapter, `figures` draws and computes for it, and `page` makes one document of all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from fr_training.lessons import ENGLISH
from fr_training.lessons.values import LessonInvalidError, Source
from fr_training.manual.figures import FIGURES, NUMBERS
from fr_training.manual.reading import Chapter, read_chapter, read_sources

__all__ = ["FIGURES", "NUMBERS", "Manual", "manual", "manual_languages"]

_FOLDER = resources.files(__name__)
_DRAFTS = "FR_MANUAL"
"""A variable of the environment: a folder of a translator, or of a unit that changes its own copy, with further
LANGUAGE/NN-id.md."""


@dataclass(frozen=True, slots=True)
class Manual:
    """The manual in one language; a chapter that is not translated is English. `date` is that of the text.

    `is_changed` says that chapters come from the folder of a unit.
    """

    language: str
    date: str
    chapters: tuple[Chapter, ...]
    sources: tuple[Source, ...]
    is_changed: bool

    @property
    def reviewed(self) -> str:
        """Return who has read the translation; empty while a chapter was read by nobody."""
        names = [one.reviewed for one in self.chapters]
        return ", ".join(dict.fromkeys(names)) if all(names) else ""


def manual_languages() -> tuple[str, ...]:
    """Return the languages that have a chapter at least, sorted."""
    found = {one.name for folder in _folders() for one in folder.iterdir() if one.is_dir() and _files(one)}
    return tuple(sorted(found))


@cache
def manual(language: str = ENGLISH) -> Manual:
    """Return the manual in one of its languages.

    Raises `LessonInvalidError` where a text breaks a rule of `reading`, a link leads nowhere, or a translation has
    other parts, boxes, figures or links than the English text.
    """
    sources = read_sources((_FOLDER / "sources.toml").read_text("utf-8"))

    def read(tongue: str) -> dict[str, Chapter]:
        return {
            name: read_chapter(name, tongue, file.read_text("utf-8"), sources, FIGURES, NUMBERS)
            for name, file in _texts(tongue).items()
        }

    english, own = read(ENGLISH), read(language)
    _require_whole(english)
    for name, one in own.items():
        if name not in english or one.shape != english[name].shape:
            raise LessonInvalidError(
                f"manual/{language}/{name}: it has the ids of parts, boxes, figures and links of the English chapter."
            )
    chapters = tuple((english | own)[name] for name in sorted(english, key=lambda name: (not name[0].isdigit(), name)))
    return Manual(language, sources.date, chapters, sources.sources, any(map(_is_changed, (ENGLISH, language))))


def _require_whole(chapters: dict[str, Chapter]) -> None:
    ids = [part for one in chapters.values() for part in (one.chapter_id, *one.parts)]
    if twice := {one for one in ids if ids.count(one) > 1}:
        raise LessonInvalidError(f"manual/{ENGLISH}: two chapters or parts have the id {min(twice)}.")
    for name, one in chapters.items():
        if lost := one.links - set(ids):
            raise LessonInvalidError(f"manual/{ENGLISH}/{name}: a link leads to {min(lost)}, which there is not.")


def _texts(language: str) -> dict[str, Traversable]:
    """The files of a language by their names; a unit's own come before those of the product."""
    found: dict[str, Traversable] = {}
    for folder in _folders():
        if (folder / language).is_dir():
            found |= {one.name: one for one in _files(folder / language)}
    return found


def _is_changed(language: str) -> bool:
    """Return whether a unit has a file of its own in place of one that comes with the product."""
    shipped = {one.name for one in _files(_FOLDER / language)} if (_FOLDER / language).is_dir() else set()
    drafts = [folder / language for folder in _folders()[1:]]
    return any(one.name in shipped for folder in drafts if folder.is_dir() for one in _files(folder))


def _folders() -> tuple[Traversable, ...]:
    drafts = os.environ.get(_DRAFTS)
    return (_FOLDER, *([Path(drafts)] if drafts else []))


def _files(folder: Traversable) -> list[Traversable]:
    return [one for one in folder.iterdir() if one.name.endswith(".md")]
