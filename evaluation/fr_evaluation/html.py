"""Pages that need nothing beside them: one HTML file with its style and its pictures inside.

Only `pictures` needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING

from fr_evaluation.words import Section, Text, in_words
from fr_locales.rendering import direction_of, spoken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root {
  --ink: #1a1a1a; --paper: #fff; --line: #d4d4d4; --soft: #f4f4f4; --notice: #fff6ee; --warm: #D55E00; --cold: #0072B2;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark; --ink: #e4e4e4; --paper: #181a1b; --line: #484848; --soft: #26292b; --notice: #33281f;
    --warm: #E69F00; --cold: #56B4E9;
  }
}
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper);
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .8rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 1.2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1rem 0 .4rem; }
p, ul { margin: .5rem 0; }
li { margin: .2rem 0; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { text-align: start; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--soft); }
th:first-child:nth-last-child(3) { width: 25%; }
th:nth-child(2):nth-last-child(2) { width: 30%; }
td img { margin-inline-end: .3rem; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.notice { border-inline-start: 4px solid var(--warm); padding: .5rem 1rem; background: var(--notice); }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; background: #fff; }
details { border-top: 1px solid var(--line); }
h2 + details, ul + details { margin-top: 1.2rem; }
summary { cursor: pointer; }
summary h2 { display: inline-block; font-size: 1rem; margin: .45rem 0; }
@media print {
  @page { size: A4; margin: 15mm; }
  body { margin: 0; padding: 0; max-width: none; }
  details:not([open]) { display: none; }
  tr, figure, .notice { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""


class Html(str):
    """Text that is HTML already."""


def document(
    title: Text,
    notice: Text,
    summary: Text,
    sections: Mapping[Text, str],
    folded: Mapping[Text, str] = MappingProxyType({}),
) -> str:
    """The whole file: what every reader must know, a paragraph, and content as HTML by its heading.

    Content that is `folded` opens with a click, and is printed only if it is open.
    """
    body = "".join(f"<h2>{escaped(name)}</h2>\n{content}" for name, content in sections.items())
    body += "".join(
        f"<details>\n<summary><h2>{escaped(name)}</h2></summary>\n{content}</details>\n"
        for name, content in folded.items()
    )
    return page(title, f'<p class="notice">{escaped(notice)}</p>\n{paragraph(summary)}{body}')


def page(title: Text, body: str, style: str = "") -> str:
    """A whole file with a heading, the body as HTML, and style that it needs beside that of every page."""
    heading, language = escaped(title), spoken()
    return (
        f'<!doctype html>\n<html lang="{language}" dir="{direction_of(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{heading}</title>\n'
        f"<style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n{body}</body>\n</html>\n"
    )


def paragraph(text: Text) -> str:
    """A paragraph of text."""
    return f"<p>{escaped(text)}</p>\n"


def table(header: Sequence[Text], rows: Iterable[Sequence[Text]]) -> str:
    """A table of texts, or of `Html`; without a head where all its cells are empty."""
    head = "".join(f"<th>{escaped(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_inside(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>\n" if any(header) else ""
    return f"<table>\n{top}<tbody>\n{body}</tbody>\n</table>\n"


def words(section: Section) -> str:
    """The paragraph and the tables of a section, each table under its title."""
    text = paragraph(section.text) if section.text else ""
    return text + "".join(
        (f"<h3>{escaped(one.title)}</h3>\n" if one.title else "") + table(one.header, one.rows)
        for one in section.tables
    )


def image(uri: str, alt: Text) -> Html:
    """A picture from a data: URI, with what it is in words."""
    return Html(f'<img src="{escape(uri)}" alt="{escaped(alt)}">')


def pictures(figures: Mapping[str, Figure], captions: Mapping[str, Text]) -> str:
    """The pictures, each with what it shows."""
    from fr_evaluation.plots import as_svg  # it draws with matplotlib, which a server may lack

    return "".join(
        f"<figure>{as_svg(figure)}<figcaption>{escaped(captions[name])}</figcaption></figure>\n"
        for name, figure in figures.items()
    )


def escaped(text: Text) -> str:
    """The text in English, as HTML."""
    return escape(in_words(text))


def _inside(cell: Text) -> str:
    return cell if isinstance(cell, Html) else escaped(cell)
