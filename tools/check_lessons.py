"""Checks lessons beyond their form: short sentences, sources for numbers, time, fair options; writes a page to look at.

python tools/check_lessons.py                        # all lessons, in all languages
python tools/check_lessons.py thresholds --html DIR  # one lesson, and its pages
python tools/check_lessons.py --manual --html DIR    # the manual, and its pages
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from fr_api.v1 import training_pb2 as pb
from fr_training.lessons import ENGLISH, Lesson, languages_of, lesson, lesson_names
from fr_training.lessons.values import LessonInvalidError
from fr_training.manual import FIGURES, NUMBERS, Manual, manual, manual_languages
from fr_training.manual.page import manual_page
from fr_web.console.lessons import lesson_html

MOST_WORDS = 30
"""Of an English sentence: readers whose second language is English lose longer ones."""
WORDS_A_MINUTE = 140
"""A careful reader whose second language is English; our assumption, below the 238 words a minute of adults who read
non-fiction in their own (M. Brysbaert, Journal of Memory and Language 109 (2019) 104047)."""
A_QUESTION, A_FIGURE = 0.75, 0.5  # minutes
OFF_BY = 4  # minutes between the head and this estimate

_CITES = re.compile(r"\[\d+\]|\[\\\[\d+\\\]\]\(#source-[a-z0-9-]+\)")
_NO_CLAIM = re.compile(r"\(#[a-z0-9-]+\)|`[^`]*`|\{#[a-z0-9-]+\}|SHA-?256")  # in the manual: addresses and commands
PROCEDURE = ("Who", "When", "Input", "Steps", "Record", "Stop if")
_SENTENCES = re.compile(r"(?<=[.?!:])[\"*)]*\s+")
_READER = MarkdownIt("commonmark", {"html": False}).enable("table")


def main() -> int:
    """Print what is wrong; 1 if there is anything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="LESSON", help="names of lessons; all if unset")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write a page for each lesson and language")
    parser.add_argument("--manual", action="store_true", help="the manual, in place of lessons")
    chosen = parser.parse_args()
    if chosen.html is not None:
        chosen.html.mkdir(parents=True, exist_ok=True)
    found = _manual(chosen.html) if chosen.manual else []
    for name in () if chosen.manual else chosen.names or lesson_names():
        try:
            for language in languages_of(name):
                one = lesson(name, language)
                found += faults(one)
                print(f"{name}/{language}: {len(one.sections)} parts, {words_of(one)} words, {minutes_of(one):.0f} min")
                if chosen.html is not None:
                    (chosen.html / f"{name}.{language}.html").write_text(page_of(one), encoding="utf-8")
        except (LookupError, LessonInvalidError) as error:
            found.append(str(error))
    print("\n".join(found))
    return int(bool(found))


def words_of(one: Lesson) -> int:
    """Count the words of the texts of the parts."""
    return sum(len(section.part.text.split()) for section in one.sections)


def minutes_of(one: Lesson) -> float:
    """Estimate how long the lesson takes."""
    figures = sum(len(section.part.figures) for section in one.sections)
    return words_of(one) / WORDS_A_MINUTE + A_QUESTION * len(one.sections) + A_FIGURE * figures


def faults(one: Lesson) -> list[str]:
    """Return what is wrong with a lesson, a line each."""
    where = f"{one.name}/{one.language}"
    found = [f"{where}, {section}: {what}" for section, what in _faults(one)]
    if one.language == ENGLISH and abs(minutes_of(one) - one.minutes) > OFF_BY:
        found.append(f"{where}: the head says {one.minutes} minutes, and it takes about {minutes_of(one):.0f}")
    rights = [section.key.right for section in one.sections]
    if len(set(rights)) == 1:
        found.append(f"{where}: the right option is always at the same place")
    longest = [max(range(len(o)), key=lambda n: len(o[n])) for o in (section.part.options for section in one.sections)]
    if sum(map(int.__eq__, rights, longest)) > len(rights) / 2:
        found.append(f"{where}: the right option is the longest in most questions")
    return found


def _faults(one: Lesson) -> Iterator[tuple[str, str]]:
    for section in one.sections:
        part = section.part
        if not part.sources:
            yield part.section, "it cites no source"
        for block in _uncited(part.text):
            yield part.section, f"a number, and no source in its block or the one before: {block[:60]!r}"
        if one.language != ENGLISH:
            continue
        texts = [*_plain(part.text), part.question, *part.options, *section.key.reasons]
        yield from ((part.section, told) for told in _long(texts))


def _long(texts: Iterable[str]) -> Iterator[str]:
    for sentence in (sentence for text in texts for sentence in _SENTENCES.split(text)):
        if len(sentence.split()) > MOST_WORDS:
            yield f"a sentence of {len(sentence.split())} words: {sentence[:60]!r}"


def _manual(folder: Path | None) -> list[str]:
    """Return what is wrong with the manual, a line each; write its pages into a folder."""
    found = []
    for language in manual_languages():
        try:
            one = manual(language)
        except LessonInvalidError as error:
            found.append(str(error))
            continue
        found += manual_faults(one)
        print(
            f"manual/{language}: {len(one.chapters)} chapters, {sum(len(c.text.split()) for c in one.chapters):,} words"
        )
        if folder is not None:
            (folder / f"manual.{language}.html").write_text(manual_page(language).html, encoding="utf-8")
    return found


def manual_faults(one: Manual) -> list[str]:
    """Return what is wrong with the manual in one language, a line each."""
    named = {f"the source {source.key}" for source in one.sources} | {f"the number {name}" for name in NUMBERS}
    named |= {f"the figure {name}" for name in FIGURES}
    found = [
        f"manual: {left} is nowhere in the text" for left in sorted(named - {u for c in one.chapters for u in c.used})
    ]
    for chapter in one.chapters:
        where = f"manual/{chapter.language}, {chapter.chapter_id}"
        found += [f"{where}: a number, and no source near it: {block[:60]!r}" for block in _uncited(chapter.text)]
        if chapter.language == ENGLISH:
            found += [f"{where}: {told}" for told in _long(t.replace(";", ".") for t in _plain(chapter.text))]
            lines = re.findall(r"(?m)^- \*\*(" + "|".join(PROCEDURE) + r"):\*\* \S", chapter.text)
            if lines != [*PROCEDURE] * (len(lines) // len(PROCEDURE)):
                found.append(f"{where}: a procedure has the lines {', '.join(PROCEDURE)}, in this order")
    return found


def _blocks(text: str) -> list[str]:
    """The source of each block of a text, lists and tables whole."""
    lines = text.split("\n")
    tops = [one for one in _READER.parse(text) if one.level == 0 and one.map is not None]
    return ["\n".join(lines[one.map[0] : one.map[1]]) for one in tops if one.map is not None and one.nesting >= 0]


def _uncited(text: str) -> Iterator[str]:
    """Blocks with a digit, where neither they nor the block before, which may introduce them, cites a source."""
    before = ""
    for block in _blocks(text):
        claims = _NO_CLAIM.sub("", _CITES.sub("", re.sub(r"(?m)^\s*\d+\.", "", block)))
        if re.search(r"\d", claims) and not (
            _CITES.search(block) or _CITES.search(before) or block.startswith(("![", "```"))
        ):
            yield block
        before = block if not block.startswith("![") else before


def _plain(text: str) -> list[str]:
    return [
        " ".join(one.content.split())
        for one in _READER.parse(text)
        if one.type == "inline" and not (one.children and one.children[0].type == "image")
    ]


def page_of(one: Lesson) -> str:
    """Return a page with the whole lesson, as the console shows its parts."""
    goals = Markup("").join(Markup("<li>{}</li>").format(goal) for goal in one.goals)
    body = Markup("<h1>{}</h1><p>{} min</p><ul>{}</ul>").format(one.title, one.minutes, goals)
    for section in one.sections:
        part, key = section.part, section.key
        figures = [pb.LessonFigure(name=f.name, alt=f.alt, caption=f.caption, svg=f.svg) for f in part.figures]
        html = lesson_html(pb.LessonPage(title=part.title, text=part.text, figures=figures))
        options = Markup("").join(
            Markup("<li>{}{}<br><i>{}</i></li>").format("(right) " if n == key.right else "", text, reason)
            for n, (text, reason) in enumerate(zip(part.options, key.reasons, strict=True))
        )
        sources = Markup("<br>").join(part.sources)
        body += Markup("<h2>{}</h2>{}<small>{}</small><h3>{}</h3><ol>{}</ol>").format(
            part.title, html, sources, part.question, options
        )
    style = "body{font:1.1rem/1.5 sans-serif;max-width:44rem;margin:2rem auto}td,th{text-align:start;padding:.4rem}"
    top = f'<!doctype html><html lang="{one.language}" dir="auto"><meta charset="utf-8">'
    return f"{top}<style>{style}</style>{body}</html>"


if __name__ == "__main__":
    sys.exit(main())
