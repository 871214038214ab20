"""Reads and checks what texts of lessons and of the manual have in common: a head, numbers, figures and sources.

The head is TOML between lines of `+++`. The text is CommonMark, without HTML. `[@key]` cites a source, `{{name}}` is a
number that the product computes, and `![](figure:name)`, alone in its paragraph, a figure that the product draws.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Annotated, ClassVar, NoReturn, TypeVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from fr_files.reading import TextRefused, read_toml
from fr_training.lessons.values import Drawn, Key, LessonInvalidError, Number, Source, Words
from fr_training.prompts import LessonFigure

HeadT = TypeVar("HeadT", bound="Head")

READER = MarkdownIt("commonmark", {"html": False}).enable("table")
MAX_BYTES = 128 * 1024
TITLE = re.compile(r"(\S.*) \{#([a-z0-9]+(?:-[a-z0-9]+)*)\}")
_HEAD = re.compile(r"\+\+\+\n(.*?\n)\+\+\+\n", re.DOTALL)
_NUMBER = re.compile(r"\{\{ *([a-z0-9_]+) *\}\}")
_CITED = re.compile(r"\[@([a-z0-9-]*)\]")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Figure:
    """The words of a text about a figure, and those in it."""

    alt: Words
    caption: Words
    words: Mapping[str, Words] = field(default_factory=dict)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a text. `reviewed` names who, of those whose language it is, has read a translation."""

    title: Words
    figures: Mapping[Key, Figure] = field(default_factory=dict)
    decimal: Annotated[str, Field(max_length=1)] = "."  # the mark before the decimals of a number
    group: Annotated[str, Field(max_length=1)] = ","  # and that between thousands
    reviewed: Annotated[str, Field(max_length=200)] = ""


def figure_html(one: LessonFigure) -> str:
    """Return the HTML of a drawing and its caption. The drawing is an `<img>`, in which browsers run no script."""
    data = b64encode(one.svg.encode()).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(one.alt)}">'
        f"<figcaption>{escape(one.caption)}</figcaption></figure>\n"
    )


def read_head(where: str, text: str, kind: type[HeadT]) -> tuple[HeadT, int, str]:
    """Return the head of a text, its lines, and the text below it; raises `LessonInvalidError`."""
    found = _HEAD.match(text)
    if found is None or len(text.encode()) > MAX_BYTES:
        raise LessonInvalidError(f"{where} begins with a head between lines of +++, and has 128 KiB at most.")
    return read_as(where, found[1], kind), text[: found.end()].count("\n"), text[found.end() :]


def read_as(where: str, toml: str, kind: type[HeadT]) -> HeadT:
    """Return TOML as a value; raises `LessonInvalidError`."""
    try:
        return TypeAdapter(kind).validate_python(read_toml(toml, MAX_BYTES))
    except TextRefused as error:
        raise LessonInvalidError(f"{where}: the head is no TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise LessonInvalidError(f"{where}: the head has a mistake at {at or 'its top'}: {first['msg']}.") from error


@dataclass(slots=True)
class Text:
    """The text below a head, while it is read; lines are counted from 0 behind the head."""

    where: str
    above: int  # lines of the head
    head: Head
    sources: Sequence[Source]
    drawn: Mapping[str, Drawn]
    numbers: Mapping[str, Number]
    lines: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # what the text names, each with its kind
    computed: list[int] = field(default_factory=list)  # the line of each number
    figures: dict[str, LessonFigure] = field(default_factory=dict)

    kinds: ClassVar[frozenset[str]] = frozenset(
        {"paragraph", "heading", "bullet_list", "ordered_list", "list_item", "blockquote", "inline", "fence", "table"}
        | {"thead", "tbody", "tr", "th", "td", "text", "softbreak", "hardbreak", "strong", "em", "code_inline", "image"}
    )
    """Tokens of markdown-it that the text may have."""

    def wrong(self, line: int | None, rule: str) -> NoReturn:
        """Raise `LessonInvalidError` with the place."""
        at = "" if line is None else f", line {self.above + line + 1}"
        raise LessonInvalidError(f"{self.where}{at}: {rule}.")

    def tokens(self, text: str) -> tuple[list[Token], list[int]]:
        """Draw the figures, fill the numbers in, and return the tokens and the places of the headings of parts."""
        self.figures = {one: self._figure(one) for one in {**self.drawn, **self.head.figures}}
        self.lines = [self.filled(number, line) for number, line in enumerate(text.split("\n"))]
        tokens = READER.parse("\n".join(self.lines))
        return tokens, [n for n, one in enumerate(tokens) if one.type == "heading_open" and one.tag == "h2"]

    def _figure(self, name: str) -> LessonFigure:
        if name not in self.drawn or name not in self.head.figures:
            self.wrong(None, f"the figure {name} is in the head and among `FIGURES`, or in neither")
        one, drawn = self.head.figures[name], self.drawn[name]
        if set(one.words) != set(drawn.words):
            self.wrong(None, f"the figure {name} has these words: {', '.join(drawn.words) or 'none'}")
        if set(one.alt) & set("[]\\\n"):
            self.wrong(None, f"the alt of the figure {name} has brackets, a backslash or a line break")
        alt, caption = self.filled(None, one.alt), self.filled(None, one.caption)
        words = {place: self.filled(None, word) for place, word in one.words.items()}
        return LessonFigure(name, alt, caption, drawn.draw({**words, ".": self.head.decimal}))

    def filled(self, number: int | None, line: str) -> str:
        """Return a line with its numbers."""

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

    def title(self, tokens: Sequence[Token]) -> tuple[str, str]:
        """Return the title and the id of a part, which these tokens begin."""
        found = TITLE.fullmatch(tokens[1].content)
        if found is None:
            self.wrong(line_of(tokens[0]), "the title of a part ends with its id: ## Title {#id}")
        return found[1], found[2]

    def checked(self, tokens: Sequence[Token]) -> list[LessonFigure]:
        """Return the figures of the text of a part, which must be one that every reader of Markdown shows alike."""
        figures = []
        for block in tokens:
            for one in (block, *(block.children or ())):
                kind, line = one.type.removesuffix("_open").removesuffix("_close"), line_of(block)
                if kind not in self.kinds or (kind == "heading" and one.tag != "h3"):
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
                    self.wrong(line_of(token), "a figure stands alone in its paragraph: ![](figure:name)")
                if f"the figure {name}" in self.used:
                    self.wrong(line_of(token), f"the figure {name} comes twice")
                self.used.add(f"the figure {name}")
                figures.append(self.figures[name])
        return figures

    def cited(self, line: int, text: str) -> list[str]:
        """Return the sources that a text cites, as readers see them."""
        places = {one.key: (number, one) for number, one in enumerate(self.sources, start=1)}
        found = set(_CITED.findall(text))
        if unknown := found - set(places):
            self.wrong(line, f"the head has no source {min(unknown)}")
        self.used |= {f"the source {one}" for one in found}
        cited = sorted(places[one] for one in found)
        return [f"[{number}] {one.text} ({one.date}). {one.url}".strip() for number, one in cited]

    def marked(self, text: str) -> str:
        """Return a text with the numbers of its sources."""
        places = {one.key: number for number, one in enumerate(self.sources, start=1)}
        return _CITED.sub(lambda found: self.mark(places[found[1]], found[1]), text)

    def mark(self, number: int, key: str) -> str:
        """Return how a source is cited."""
        return f"[{number}]"


def line_of(token: Token) -> int:
    """Return the first line of a block."""
    return token.map[0] if token.map is not None else 0
