"""Makes the manual one HTML document that needs nothing beside it: to read on a screen, and to print."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from typing import NamedTuple

from markdown_it.token import Token

from fr_core import __version__
from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, direction_of, languages, render
from fr_training.lessons.text import READER, TITLE, figure_html
from fr_training.manual import Manual, manual, manual_languages
from fr_training.manual.reading import Chapter

_Words = Callable[[Message], str]

_LINE = re.compile(r"_{4,}")
_STYLE = """
.paper { font: 16px/1.5 system-ui, sans-serif; color: #000; background: #fff; max-width: 46rem; margin: 1.5rem auto;
  padding: 0 1rem; }
.manual { max-inline-size: 46rem; }
.manual h2 { margin-block: 2.5rem .5rem; }
.manual h3 { margin-block: 1.5rem .5rem; }
.manual table { border-collapse: collapse; inline-size: 100%; margin-block: 1rem; }
.manual th, .manual td { border: 1px solid #767676; padding: .35rem .5rem; text-align: start; vertical-align: top;
  overflow-wrap: anywhere; }
.manual img { max-inline-size: 100%; block-size: auto; background: #fff; }
.manual figure { margin-inline: 0; }
.manual .contents ul { display: block; list-style: none; padding-inline-start: 1.5rem; }
.manual .contents > ul { columns: 2 16rem; }
.manual .tick { list-style: none; }
.manual pre { white-space: pre-wrap; }
.manual pre, .manual li { overflow-wrap: anywhere; }
.manual .box, .manual .line { display: inline-block; border: 0 solid; }
.manual .box { inline-size: .8em; block-size: .8em; border-width: 1.5px; margin-inline-end: .5em; }
.manual .line { min-inline-size: 9em; max-inline-size: 100%; border-block-end-width: 1px; block-size: 1.2em; }
.manual .long { display: block; block-size: 1.8em; }
.manual td .line { min-inline-size: 3em; }
.manual .fill { min-inline-size: 3em; block-size: 2.1em; }
.manual .fill:nth-child(2):last-child { inline-size: 55%; }
.manual .note { border: 1px solid; border-inline-start-width: 6px; padding: .5rem 1rem; }
@media print, (min-width: 45rem) {
  .manual th, .manual td { overflow-wrap: break-word; }
}
@media screen and (max-width: 45rem) {
  .manual table { table-layout: fixed; font-size: .8rem; }
  .manual td .line, .manual .fill { min-inline-size: 0; max-inline-size: 100%; }
}
@media print {
  .paper { max-width: none; margin: 0; padding: 0; }
  .manual { max-inline-size: none; font-size: 10pt; line-height: 1.35; }
  .manual th, .manual td { padding: .15rem .35rem; }
  .manual h2 { margin-block-start: 1.5rem; }
  .manual h3 { margin-block-start: 1rem; }
  .manual, .manual a { color: #000; text-decoration: none; }
  .manual .annex, .manual .annex h3 ~ h3 { break-before: page; }
  .manual tr, .manual figure, .manual .tick, .manual .note { break-inside: avoid; }
  .manual thead { display: table-header-group; }
  .manual h2, .manual h3, .manual h4 { break-after: avoid; }
}
@page {
  margin: 15mm 16mm 18mm;
  @bottom-left { content: "EDITION"; direction: DIRECTION; font: 8pt sans-serif; }
  @bottom-right { content: counter(page); font: 8pt sans-serif; }
}
"""


class ManualPage(NamedTuple):
    """The manual as a document, its language and title, and who has read the translation, if anybody."""

    language: str
    title: str
    reviewed: str
    html: str


def manual_page(language: str = ENGLISH) -> ManualPage:
    """Return the manual in a language such as "fr" or "fr-CA", else in English.

    Raises `LessonInvalidError` as `manual`.
    """
    wanted = language.partition("-")[0].lower()
    return _page(wanted if wanted in manual_languages() else ENGLISH)


@cache
def _page(language: str) -> ManualPage:
    found = manual(language)
    spoken = language if language in languages() else ENGLISH

    def words(one: Message) -> str:
        return escape(render(one, spoken))

    title, names = words(message("manual.title")), _names(found, words)
    edition = message("manual.edition", version=__version__, date=found.date)
    body = [
        f'<p class="edition">{words(edition)}</p>\n',
        *(f'<p class="note">{words(one)}</p>\n' for one in _notes(found)),
        _contents(found, names, words),
        *(_chapter(one, names, words, spoken) for one in found.chapters),
        _sources(found, words),
    ]
    foot = re.sub(r'["\\<]', lambda mark: f"\\{ord(mark[0]):x} ", render(edition, spoken))  # escaped as CSS requires
    style = _STYLE.replace("EDITION", foot).replace("DIRECTION", direction_of(spoken))
    html = (
        f'<!doctype html>\n<html lang="{spoken}" dir="{direction_of(spoken)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n"
        f'<body class="paper">\n<header><h1>{title}</h1></header>\n'
        f'<main class="manual">\n{"".join(body)}</main>\n</body>\n</html>\n'
    )
    return ManualPage(language, render(message("manual.title"), spoken), found.reviewed, html)


def _notes(found: Manual) -> list[Message]:
    """Return what readers must know before they trust the text."""
    others = [one for one in found.chapters if one.language != found.language]
    unread = [one for one in found.chapters if one.language == found.language != ENGLISH and not one.reviewed]
    notes = [message("manual.no_law")]
    if unread:
        notes.append(message("manual.not_reviewed"))
    if others:
        notes.append(message("manual.in_english", titles=", ".join(one.title for one in others)))
    if found.is_changed:
        notes.append(message("manual.changed"))
    return notes


def _names(found: Manual, words: _Words) -> Mapping[str, str]:
    """Return what a link to a chapter or a part says, and what stands before its title, by its id."""
    names = {}
    for one in found.chapters:
        of = (
            message("manual.annex", number=one.number) if one.is_annex else message("manual.chapter", number=one.number)
        )
        names[one.chapter_id] = words(of) if one.number else escape(one.title)
        for place, (part, title) in enumerate(one.parts.items(), start=1):
            names[part] = f"{one.number}.{place}" if one.number else escape(title)
    return names


def _named(one: Chapter, names: Mapping[str, str], words: _Words) -> str:
    """Return the title of a chapter, after its number if it has one."""
    before = names[one.chapter_id] + words(message("list.colon")) if one.number else ""
    return before + escape(one.title)


def _contents(found: Manual, names: Mapping[str, str], words: _Words) -> str:
    rows = []
    for one in found.chapters:
        named = _named(one, names, words)
        parts = "".join(
            f'<li><a href="#{part}">{names[part]} {escape(title)}</a></li>\n' for part, title in one.parts.items()
        )
        inside = f"\n<ul>\n{parts}</ul>" if parts and one.number else ""
        rows.append(f'<li><a href="#{one.chapter_id}">{named}</a>{inside}</li>\n')
    head = words(message("manual.contents"))
    return f'<nav class="contents" aria-label="{head}">\n<h2>{head}</h2>\n<ul>\n{"".join(rows)}</ul>\n</nav>\n'


def _chapter(one: Chapter, names: Mapping[str, str], words: _Words, spoken: str) -> str:
    other = "" if one.language == spoken else f' lang="{one.language}" dir="{direction_of(one.language)}"'
    kind, named = "annex" if one.is_annex else "chapter", _named(one, names, words)
    return f'<section class="{kind}" id="{one.chapter_id}"{other}>\n<h2>{named}</h2>\n{_text(one, names)}</section>\n'


def _text(chapter: Chapter, names: Mapping[str, str]) -> str:
    tokens = READER.parse(chapter.text)
    for place, one in enumerate(tokens):
        one.attrs.pop("style", None)  # of a column that is aligned; pages of the console allow none
        if one.type in ("heading_open", "heading_close"):
            one.tag = f"h{int(one.tag[1:]) + 1}"
        if one.type == "inline":
            _inline(chapter, tokens, place, names)
    rendered: str = READER.renderer.render(tokens, READER.options, {})
    rendered = re.sub("<td>_{4,}</td>", '<td class="fill"></td>', rendered)
    return _LINE.sub(lambda found: f'<span class="{"long " * (len(found[0]) > 7)}line"></span>', rendered)


def _inline(chapter: Chapter, tokens: Sequence[Token], place: int, names: Mapping[str, str]) -> None:
    """Complete the words of a block: the number of a part, boxes, links, and figures."""
    one, above = tokens[place], tokens[place - 1]
    children = one.children or []
    first = children[0] if children else None
    if above.tag == "h3" and (title := TITLE.fullmatch(one.content)) and title[2] in chapter.parts:
        above.attrs["id"] = title[2]
        numbered = f"{names[title[2]]} {escape(title[1])}" if chapter.number else escape(title[1])
        children = [_html(numbered)]
    elif first is not None and first.type == "image":
        figure = chapter.figures[str(first.attrs["src"]).removeprefix("figure:")]
        above.hidden = tokens[place + 1].hidden = True
        children = [_html(figure_html(figure))]
    elif first is not None and first.type == "text" and first.content.startswith("[ ] "):
        tokens[place - 2].attrs["class"] = "tick"
        first.content = first.content[4:]
        children = [_html('<span class="box"></span>'), *children]
    one.children = [
        part
        for child in children
        for part in (
            (child, _html(names[str(child.attrs["href"])[1:]]))
            if child.type == "link_open" and str(child.attrs["href"])[1:] in names
            else (child,)
        )
    ]


def _html(content: str) -> Token:
    return Token("html_inline", "", 0, content=content)


def _sources(found: Manual, words: _Words) -> str:
    rows = []
    for one in found.sources:
        dates = words(message("manual.source_dates", date=one.date, read=one.read))
        address = f" <code>{escape(one.url)}</code>" if one.url else ""
        rows.append(
            f'<li id="source-{one.key}"><span lang="en" dir="ltr">{escape(one.text)}</span>. {dates}{address}</li>\n'
        )
    head = words(message("manual.sources"))
    return f'<section class="annex" id="sources">\n<h2>{head}</h2>\n<ol>\n{"".join(rows)}</ol>\n</section>\n'
