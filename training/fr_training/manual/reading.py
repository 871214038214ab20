"""Reads a chapter or annex of the manual, and refuses what breaks a rule, with the line where it is.

A file is LANGUAGE/NN-id.md; NN is the number of a chapter, the letter of an annex, or `z` for a glossary. Below the
head come the parts, `## Title {#id}`, with text as in `lessons.text`, and beside it `[](#id)`, a link to a chapter or a
part, `- [ ]`, a box to tick on paper, and `____`, a line to fill in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import ConfigDict, Field, with_config

from fr_training.lessons.text import Head, Text, line_of, read_as, read_head
from fr_training.lessons.values import Drawn, LessonInvalidError, Number, Source
from fr_training.prompts import LessonFigure

NAME = re.compile(r"(\d\d|[a-z])-([a-z0-9]+(?:-[a-z0-9]+)*)\.md")
_BOX = re.compile(r"(?m)^ *- \[ \] |_{4,}")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True, kw_only=True)
class Sources(Head):
    """The list that all chapters cite, and the day of the text."""

    title: str = ""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter or annex in one language; `number` is "1" or "A", and empty for a glossary.

    `text` is Markdown with the numbers and sources filled in. `parts` are the titles of its parts by their ids, `boxes`
    the boxes and lines to fill in before the first part and in each, and `used` the sources, figures and numbers.
    """

    chapter_id: str
    number: str
    language: str
    title: str
    reviewed: str
    text: str
    parts: Mapping[str, str]
    boxes: tuple[int, ...]
    figures: Mapping[str, LessonFigure]
    links: frozenset[str]
    used: frozenset[str]

    @property
    def is_annex(self) -> bool:
        """Return whether it stands on a sheet of its own."""
        return not self.number.isdigit()

    @property
    def shape(self) -> object:
        """Return what a translation has in common with the English text."""
        return tuple(self.parts), self.boxes, tuple(self.figures), self.links


def read_sources(toml: str) -> Sources:
    """Return the list of sources; raises `LessonInvalidError`."""
    return read_as("manual/sources.toml", toml, Sources)


def read_chapter(
    file: str, language: str, text: str, sources: Sources, drawn: Mapping[str, Drawn], numbers: Mapping[str, Number]
) -> Chapter:
    """Read the text of a file of this name; it has the figures that its head names. Raises `LessonInvalidError`."""
    where, found = f"manual/{language}/{file}", NAME.fullmatch(file)
    if found is None:
        raise LessonInvalidError(f"{where}: a chapter is called NN-id.md, and an annex A to Y a-id.md.")
    head, above, below = read_head(where, text, Head)
    own = {name: drawn[name] for name in head.figures if name in drawn}
    number = found[1].lstrip("0") if found[1].isdigit() else found[1].upper().replace("Z", "")
    return _Body(where, above, head, sources.sources, own, numbers).chapter(found[2], number, language, below)


@dataclass(slots=True)
class _Body(Text):
    """The text below a head, while it is read."""

    kinds = Text.kinds | {"link"}

    def chapter(self, chapter_id: str, number: str, language: str, text: str) -> Chapter:
        tokens, starts = self.tokens(text)
        links, figures = set(), {one.name: one for one in self.checked([one for one in tokens if one.tag != "h2"])}
        for block in tokens:
            for one, after in pairwise([*(block.children or ()), block]):
                if one.type == "link_open":
                    address = str(one.attrs.get("href", ""))
                    if not address.startswith("#") or after.type != "link_close":
                        self.wrong(line_of(block), "a link leads to a chapter or a part, and has no words: [](#id)")
                    links.add(address[1:])
        parts: dict[str, str] = {}
        for start in starts:
            title, part_id = self.title(tokens[start:])
            if part_id in parts or part_id == chapter_id:
                self.wrong(line_of(tokens[start]), "two parts have one id")
            parts[part_id] = title
        edges = [0, *(line_of(tokens[start]) for start in starts), len(self.lines)]
        boxes = (len(_BOX.findall("\n".join(self.lines[start:end]))) for start, end in pairwise(edges))
        written = "\n".join(self.lines)
        self.cited(0, written)
        if set(self.figures) != set(figures):
            self.wrong(None, "each figure of the head is in the text")
        return Chapter(
            chapter_id=chapter_id,
            number=number,
            language=language,
            title=self.head.title,
            reviewed=self.head.reviewed,
            text=self.marked(written.strip("\n")),
            parts=parts,
            boxes=tuple(boxes),
            figures=figures,
            links=frozenset(links),
            used=frozenset(self.used),
        )

    def mark(self, number: int, key: str) -> str:
        return f"[\\[{number}\\]](#source-{key})"
