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
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, NoReturn

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from fr_files.reading import TextRefused, read_toml
from fr_training.keys import LessonKey
from fr_training.lessons.values import Drawn, Key, Lesson, LessonInvalidError, Number, Section, Source, Words
from fr_training.prompts import LessonFigure, LessonPart

MIN_MINUTES, MAX_MINUTES = 10, 20
MIN_SECTIONS, MAX_SECTIONS = 5, 12
MIN_OPTIONS, MAX_OPTIONS = 3, 5
LEAST_NUMBERS = 3
"""Numbers of the product in a worked example."""

_MAX_BYTES = 128 * 1024
_HEAD = re.compile(r"\+\+\+\n(.*?\n)\+\+\+\n", re.DOTALL)
_TITLE = re.compile(r"(\S.*) \{#([a-z0-9]+(?:-[a-z0-9]+)*)\}")
_OPTION = re.compile(r"\[([ x])\] (\S.*)", re.DOTALL)
_NUMBER = re.compile(r"\{\{ *([a-z0-9_]+) *\}\}")
_CITED = re.compile(r"\[@([a-z0-9-]*)\]")
_TEXT = frozenset(
    {"paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote", "inline", "fence", "table"}
    | {"thead", "tbody", "tr", "th", "td", "text", "softbreak", "hardbreak", "strong", "em", "code_inline", "image"}
)
"""Tokens of markdown-it that the text of a part may have; a question has plain words."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class _Figure:
    alt: Words
    caption: Words
    words: Mapping[str, Words] = field(default_factory=dict)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class _Head:
    title: Words
    minutes: Annotated[int, Field(strict=True, ge=MIN_MINUTES, le=MAX_MINUTES)]
    goals: Annotated[tuple[Words, ...], Field(min_length=2, max_length=6)]
    example: Key
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    figures: Annotated[Mapping[Key, _Figure], Field(min_length=1)]
    decimal: Annotated[str, Field(max_length=1)] = "."  # the mark before the decimals of a number
    group: Annotated[str, Field(max_length=1)] = ","  # and that between thousands
    reviewed: Annotated[str, Field(max_length=200)] = ""


def read_lesson(
    name: str, language: str, text: str, drawn: Mapping[str, Drawn], numbers: Mapping[str, Number]
) -> Lesson:
    """Read the text of a lesson whose package draws these figures and computes these numbers.

    Raises `LessonInvalidError`.
    """
    found = _HEAD.match(text)
    if found is None or len(text.encode()) > _MAX_BYTES:
        raise LessonInvalidError(
            f"{name}/{language}.md begins with a head between lines of +++, and has 128 KiB at most."
        )
    where = f"{name}/{language}.md"
    head = _head(where, found[1])
    body = _Body(where, text[: found.end()].count("\n"), head, drawn, numbers)
    return body.lesson(name, language, text[found.end() :])


def _head(where: str, toml: str) -> _Head:
    try:
        return TypeAdapter(_Head).validate_python(read_toml(toml, _MAX_BYTES))
    except TextRefused as error:
        raise LessonInvalidError(f"{where}: the head is no TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise LessonInvalidError(f"{where}: the head has a mistake at {at or 'its top'}: {first['msg']}.") from error


@dataclass(slots=True)
class _Body:
    """The text below a head, while it is read; lines are counted from 0 behind the head."""

    where: str
    above: int  # lines of the head
    head: _Head
    drawn: Mapping[str, Drawn]
    numbers: Mapping[str, Number]
    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # what the text names, each with its kind
    computed: list[int] = field(default_factory=list)  # the line of each number
    figures: dict[str, LessonFigure] = field(default_factory=dict)

    def wrong(self, line: int | None, rule: str) -> NoReturn:
        at = "" if line is None else f", line {self.above + line + 1}"
        raise LessonInvalidError(f"{self.where}{at}: {rule}.")

    def lesson(self, name: str, language: str, text: str) -> Lesson:
        self.figures = {one: self._figure(one) for one in {**self.drawn, **self.head.figures}}
        self.lines = [self._filled(number, line) for number, line in enumerate(text.split("\n"))]
        tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse("\n".join(self.lines))
        starts = [place for place, one in enumerate(tokens) if one.type == "heading_open" and one.tag == "h2"]
        if not starts or starts[0]:
            self.wrong(0, "the text begins with the title of a part: ## Title {#id}")
        sections = tuple(
            self._section(name, language, tokens[start:end]) for start, end in pairwise([*starts, len(tokens)])
        )
        self._require_whole([one.part.section for one in sections])
        head = self.head
        more = (head.minutes, head.goals, sections, head.sources, head.example, head.reviewed)
        return Lesson(name, language, head.title, *more)

    def _require_whole(self, ids: Sequence[str]) -> None:
        if not MIN_SECTIONS <= len(ids) <= MAX_SECTIONS:
            self.wrong(None, f"a lesson has {MIN_SECTIONS} to {MAX_SECTIONS} parts, and this one {len(ids)}")
        if len(set(ids)) < len(ids):
            self.wrong(None, "two parts have one id")
        if self.head.example not in ids:
            self.wrong(None, f"`example` is the id of a part, one of {', '.join(ids)}")
        named = {f"the source {one.key}" for one in self.head.sources} | {f"the number {one}" for one in self.numbers}
        if left := (named | {f"the figure {one}" for one in self.figures}) - self.used:
            self.wrong(None, f"{min(left)} is nowhere in the text")
        if len({one.key for one in self.head.sources}) < len(self.head.sources):
            self.wrong(None, "two sources have one key")

    def _figure(self, name: str) -> LessonFigure:
        if name not in self.drawn or name not in self.head.figures:
            self.wrong(None, f"the figure {name} is in the head and among `FIGURES`, or in neither")
        one, drawn = self.head.figures[name], self.drawn[name]
        if set(one.words) != set(drawn.words):
            self.wrong(None, f"the figure {name} has these words: {', '.join(drawn.words) or 'none'}")
        if set(one.alt) & set("[]\\\n"):
            self.wrong(None, f"the alt of the figure {name} has brackets, a backslash or a line break")
        alt, caption = self._filled(None, one.alt), self._filled(None, one.caption)
        words = {place: self._filled(None, word) for place, word in one.words.items()}
        return LessonFigure(name, alt, caption, drawn.draw(words))

    def _filled(self, number: int | None, line: str) -> str:
        def computed(found: re.Match[str]) -> str:
            one = self.numbers.get(found[1])
            if one is None:
                self.wrong(number, f"there is no number {found[1]} among `NUMBERS`")
            value = one.value()
            if not one.low <= value <= one.high:
                self.wrong(number, f"{found[1]} is {value:g}: the text is true from {one.low:g} to {one.high:g}")
            self.used.add(f"the number {found[1]}")
            if number is not None:
                self.computed.append(number)
            marks = {".": self.head.decimal, ",": self.head.group}
            return "".join(marks.get(mark, mark) for mark in format(value, one.form))

        return _NUMBER.sub(computed, line)

    def _section(self, name: str, language: str, tokens: Sequence[Token]) -> Section:
        line = _line(tokens[0])
        title = _TITLE.fullmatch(tokens[1].content)
        if title is None:
            self.wrong(line, "the title of a part ends with its id: ## Title {#id}")
        rules = [place for place, one in enumerate(tokens) if one.type == "hr" and one.level == 0]
        if len(rules) != 1:
            self.wrong(line, "a part has one line of ---, between its text and its question")
        text, asked = tokens[3 : rules[0]], tokens[rules[0] + 1 :]
        begin, end = line + 1, _line(tokens[rules[0]])
        figures = self._checked(text)
        written = "\n".join(self.lines[begin:end])
        if title[2] == self.head.example and sum(begin <= one < end for one in self.computed) < LEAST_NUMBERS:
            self.wrong(line, f"a worked example has at least {LEAST_NUMBERS} numbers that the product computes")
        question, options, reasons, right = self._question(line, asked)
        cited = self._cited(line, "\n".join([written, question, *options, *reasons]))
        for figure in figures:
            written = written.replace(f"![](figure:{figure.name})", f"![{figure.alt}](figure:{figure.name})")
        part = LessonPart(
            lesson=name,
            section=title[2],
            language=language,
            lesson_title=self.head.title,
            title=title[1],
            text=self._marked(written.strip("\n")),
            question=self._marked(question),
            options=tuple(map(self._marked, options)),
            sources=tuple(cited),
            figures=tuple(figures),
        )
        return Section(part, LessonKey(name, title[2], right, tuple(map(self._marked, reasons))))

    def _checked(self, tokens: Sequence[Token]) -> list[LessonFigure]:
        """Return the figures of the text of a part, which must be one that every reader of Markdown shows alike."""
        figures = []
        for block in tokens:
            for one in (block, *(block.children or ())):
                kind, line = one.type.removesuffix("_open").removesuffix("_close"), _line(block)
                if kind not in _TEXT or (kind == "heading" and one.tag != "h3"):
                    self.wrong(
                        line, f"a text has no {kind.replace('_', ' ')}" + (" but ###" if kind == "heading" else "")
                    )
                if kind == "text" and re.search(r"<[a-zA-Z/!]", one.content):
                    self.wrong(line, "a text has no HTML")
        for token in tokens:
            images = [one for one in token.children or () if one.type == "image"]
            for image in images:
                name = str(image.attrs.get("src", "")).removeprefix("figure:")
                if len(token.children or ()) > 1 or image.content or name not in self.figures:
                    self.wrong(_line(token), "a figure stands alone in its paragraph: ![](figure:name)")
                if f"the figure {name}" in self.used:
                    self.wrong(_line(token), f"the figure {name} comes twice")
                self.used.add(f"the figure {name}")
                figures.append(self.figures[name])
        return figures

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

    def _cited(self, line: int, text: str) -> list[str]:
        places = {one.key: (number, one) for number, one in enumerate(self.head.sources, start=1)}
        found = set(_CITED.findall(text))
        if unknown := found - set(places):
            self.wrong(line, f"the head has no source {min(unknown)}")
        self.used |= {f"the source {one}" for one in found}
        cited = sorted(places[one] for one in found)
        return [f"[{number}] {one.text} ({one.date}). {one.url}".strip() for number, one in cited]

    def _marked(self, text: str) -> str:
        places = {one.key: number for number, one in enumerate(self.head.sources, start=1)}
        return _CITED.sub(lambda found: f"[{places[found[1]]}]", text)


_LISTED = frozenset({"list_item", "list_item_close", "paragraph", "paragraph_close", "inline"})


def _line(token: Token) -> int:
    """The first line of a block."""
    return token.map[0] if token.map is not None else 0
