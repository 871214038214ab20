"""Reads the text of a lesson, and refuses what is incomplete, with the line where it is.

The head is TOML between lines of `+++`. Then come the parts:

    ## Title of the part {#id}

    Text in CommonMark, without HTML and links. `[@key]` cites a source of the head, `{{name}}` stands for a number that
    the product computes, `![](figure:name)`, alone in its paragraph, for a figure that the product draws.

    ---

    The question?

    - [ ] An option.

      The reason why it is wrong.

    - [x] The right option.

      The reason why it is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from markdown_it.token import Token
from pydantic import ConfigDict, Field, with_config

from fr_training.keys import LessonKey
from fr_training.lessons.text import Figure, Head, Text, line_of, read_head
from fr_training.lessons.values import Drawn, Key, Lesson, LessonInvalidError, Number, Section, Source, Words
from fr_training.prompts import LessonPart

__all__ = ["MAX_OPTIONS", "LessonInvalidError", "read_lesson"]

MIN_MINUTES, MAX_MINUTES = 10, 20
MIN_SECTIONS, MAX_SECTIONS = 5, 12
MIN_OPTIONS, MAX_OPTIONS = 3, 5
LEAST_NUMBERS = 3
"""Numbers of the product in a worked example."""

_OPTION = re.compile(r"\[([ x])\] (\S.*)", re.DOTALL)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True, kw_only=True)
class _Head(Head):
    minutes: Annotated[int, Field(strict=True, ge=MIN_MINUTES, le=MAX_MINUTES)]
    goals: Annotated[tuple[Words, ...], Field(min_length=2, max_length=6)]
    example: Key
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    figures: Annotated[Mapping[Key, Figure], Field(min_length=1)]


def read_lesson(
    name: str, language: str, text: str, drawn: Mapping[str, Drawn], numbers: Mapping[str, Number]
) -> Lesson:
    """Read the text of a lesson whose package draws these figures and computes these numbers.

    Raises `LessonInvalidError`.
    """
    where = f"{name}/{language}.md"
    head, above, below = read_head(where, text, _Head)
    return _Body(where, above, head, head.sources, drawn, numbers).lesson(name, language, below, head)


@dataclass(slots=True)
class _Body(Text):
    """The text below a head, while it is read."""

    def lesson(self, name: str, language: str, text: str, head: _Head) -> Lesson:
        tokens, starts = self.tokens(text)
        if not starts or starts[0]:
            self.wrong(0, "the text begins with the title of a part: ## Title {#id}")
        sections = tuple(
            self._section(name, language, tokens[start:end], head.example)
            for start, end in pairwise([*starts, len(tokens)])
        )
        self._require_whole([one.part.section for one in sections], head)
        more = (head.minutes, head.goals, sections, head.sources, head.example, head.reviewed)
        return Lesson(name, language, head.title, *more)

    def _require_whole(self, ids: Sequence[str], head: _Head) -> None:
        if not MIN_SECTIONS <= len(ids) <= MAX_SECTIONS:
            self.wrong(None, f"a lesson has {MIN_SECTIONS} to {MAX_SECTIONS} parts, and this one {len(ids)}")
        if len(set(ids)) < len(ids):
            self.wrong(None, "two parts have one id")
        if head.example not in ids:
            self.wrong(None, f"`example` is the id of a part, one of {', '.join(ids)}")
        named = {f"the source {one.key}" for one in self.sources} | {f"the number {one}" for one in self.numbers}
        if left := (named | {f"the figure {one}" for one in self.figures}) - self.used:
            self.wrong(None, f"{min(left)} is nowhere in the text")
        if len({one.key for one in self.sources}) < len(self.sources):
            self.wrong(None, "two sources have one key")

    def _section(self, name: str, language: str, tokens: Sequence[Token], example: str) -> Section:
        line = line_of(tokens[0])
        title, part_id = self.title(tokens)
        rules = [place for place, one in enumerate(tokens) if one.type == "hr" and one.level == 0]
        if len(rules) != 1:
            self.wrong(line, "a part has one line of ---, between its text and its question")
        text, asked = tokens[3 : rules[0]], tokens[rules[0] + 1 :]
        begin, end = line + 1, line_of(tokens[rules[0]])
        figures = self.checked(text)
        written = "\n".join(self.lines[begin:end])
        if part_id == example and sum(begin <= one < end for one in self.computed) < LEAST_NUMBERS:
            self.wrong(line, f"a worked example has at least {LEAST_NUMBERS} numbers that the product computes")
        question, options, reasons, right = self._question(line, asked)
        cited = self.cited(line, "\n".join([written, question, *options, *reasons]))
        for figure in figures:
            written = written.replace(f"![](figure:{figure.name})", f"![{figure.alt}](figure:{figure.name})")
        part = LessonPart(
            lesson=name,
            section=part_id,
            language=language,
            lesson_title=self.head.title,
            title=title,
            text=self.marked(written.strip("\n")),
            question=self.marked(question),
            options=tuple(map(self.marked, options)),
            sources=tuple(cited),
            figures=tuple(figures),
        )
        return Section(part, LessonKey(name, part_id, right, tuple(map(self.marked, reasons))))

    def _question(self, line: int, tokens: Sequence[Token]) -> tuple[str, list[str], list[str], int]:
        """Return the question behind the line of ---, the options, their reasons, and the index of the right one."""
        kinds = [one.type for one in tokens if one.level == 0]
        if kinds != ["paragraph_open", "paragraph_close", "bullet_list_open", "bullet_list_close"]:
            self.wrong(line, "behind --- come the question, one paragraph, and the list of its options")
        words = [one for one in tokens if one.type == "inline"]
        loose = [one for one in tokens if one.level > 0 and one.type.removesuffix("_open") not in _LISTED]
        if loose or any(inner.type not in ("text", "softbreak") for one in words for inner in one.children or ()):
            self.wrong(line, "a question, its options and reasons are plain words, each one paragraph")
        question, *rest = (" ".join(one.content.split("\n")) for one in words)
        items = sum(one.type == "list_item_open" for one in tokens)
        if len(rest) != 2 * items or not MIN_OPTIONS <= items <= MAX_OPTIONS:
            self.wrong(
                line, f"a question has {MIN_OPTIONS} to {MAX_OPTIONS} options, each with one paragraph of reason"
            )
        options = [_OPTION.fullmatch(one) for one in rest[::2]]
        marks = [one[1] for one in options if one is not None]
        if len(marks) < items or marks.count("x") != 1:
            self.wrong(line, "an option begins with [ ], and the right one, which there is once, with [x]")
        texts = [one[2] for one in options if one is not None]
        if len(set(texts)) < items:
            self.wrong(line, "two options are the same")
        return question, texts, rest[1::2], marks.index("x")


_LISTED = frozenset({"list_item", "list_item_close", "paragraph", "paragraph_close", "inline"})
