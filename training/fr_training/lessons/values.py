"""Defines lessons, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, with_config

from fr_training.keys import LessonKey
from fr_training.prompts import LessonPart

Words = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=600)]
Key = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
_Day = Annotated[str, StringConstraints(strict=True, pattern=r"^\d{4}-\d\d-\d\d$")]
_Date = Annotated[str, StringConstraints(strict=True, pattern=r"^(\d{4}(-\d\d(-\d\d)?)?|undated)$")]
_Link = Annotated[str, StringConstraints(strict=True, pattern=r"^(https://\S+)?$")]


class LessonInvalidError(ValueError):
    """The text of a lesson breaks a rule; the sentence names the file, the line and the rule."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure: the function that draws it as SVG, and the names of the words in it, which the text gives.

    The function also gets the decimal mark of the language, under the name ".".
    """

    draw: Callable[[Mapping[str, str]], str]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A number that the product computes; the sentences around it are true while it lies in [`low`, `high`].

    `form` is a format of Python such as ",.0f" or ".2f".
    """

    value: Callable[[], float]
    form: str
    low: float
    high: float


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Source:
    """A source: who says it and where, its own date if it has one, and the day on which the writer read it."""

    key: Key
    text: Words
    date: _Date
    read: _Day
    url: _Link = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a lesson, and what is right."""

    part: LessonPart
    key: LessonKey


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson in one language.

    `example` is the id of the part with the worked example. `reviewed` names who, of those whose language it is, has
    read a translation; it is empty while nobody has.
    """

    name: str
    language: str
    title: str
    minutes: int
    goals: tuple[str, ...]
    sections: tuple[Section, ...]
    sources: tuple[Source, ...]
    example: str
    reviewed: str

    def section(self, section_id: str) -> Section | None:
        """The part of an id, None where there is none."""
        return next((one for one in self.sections if one.part.section == section_id), None)

    def require_same_as(self, english: Lesson) -> None:
        """Require the parts of the English lesson, its figures and right options; raises `LessonInvalidError`."""
        mine, theirs = list(map(_shape, self.sections)), list(map(_shape, english.sections))
        if mine != theirs:
            differ = [one[0] for one in mine if one not in theirs] + [one[0] for one in theirs if one not in mine]
            raise LessonInvalidError(
                f"{self.name}/{self.language}.md: its parts have the ids, order, figures, number of options and right "
                f"options of the English ones; these differ: {', '.join(differ) or 'their order'}."
            )


def _shape(one: Section) -> tuple[str, list[str], int, int]:
    return one.part.section, [figure.name for figure in one.part.figures], len(one.part.options), one.key.right
