"""Pages that need nothing beside them: one HTML file with its style and its pictures inside."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType

from matplotlib.figure import Figure

from fr_evaluation.plots import as_svg
from fr_evaluation.words import Section, Text, in_words
from fr_locales.rendering import ENGLISH

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td img { margin-right: .3rem; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.notice { border-left: 4px solid #D55E00; padding: .5rem 1rem; background: #fff6ee; }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
details { border-top: 1px solid #ddd; }
summary { cursor: pointer; }
summary h2 { display: inline-block; font-size: 1.1rem; margin: .5rem 0; }
@media print { body { margin: 0; } details:not([open]) { display: none; } }
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
    heading = _escaped(title)
    body = "".join(f"<h2>{_escaped(name)}</h2>\n{content}" for name, content in sections.items())
    body += "".join(
        f"<details>\n<summary><h2>{_escaped(name)}</h2></summary>\n{content}</details>\n"
        for name, content in folded.items()
    )
    return (
        f'<!doctype html>\n<html lang="{ENGLISH}">\n<head>\n<meta charset="utf-8">\n<title>{heading}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n"
        f'<p class="notice">{_escaped(notice)}</p>\n<p>{_escaped(summary)}</p>\n{body}</body>\n</html>\n'
    )


def paragraph(text: Text) -> str:
    """A paragraph of text."""
    return f"<p>{_escaped(text)}</p>\n"


def table(header: Sequence[Text], rows: Iterable[Sequence[Text]]) -> str:
    """A table of texts, or of `Html`; without a head where all its cells are empty."""
    head = "".join(f"<th>{_escaped(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_inside(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>\n" if any(header) else ""
    return f"<table>\n{top}<tbody>\n{body}</tbody>\n</table>\n"


def words(section: Section) -> str:
    """The paragraph and the tables of a section, each table under its title."""
    text = paragraph(section.text) if section.text else ""
    return text + "".join(
        (f"<h3>{_escaped(one.title)}</h3>\n" if one.title else "") + table(one.header, one.rows)
        for one in section.tables
    )


def image(uri: str, alt: Text) -> Html:
    """A picture from a data: URI, with what it is in words."""
    return Html(f'<img src="{escape(uri)}" alt="{_escaped(alt)}">')


def pictures(figures: Mapping[str, Figure], captions: Mapping[str, Text]) -> str:
    """The pictures, each with what it shows."""
    return "".join(
        f"<figure>{as_svg(figure)}<figcaption>{_escaped(captions[name])}</figcaption></figure>\n"
        for name, figure in figures.items()
    )


def _escaped(text: Text) -> str:
    return escape(in_words(text))


def _inside(cell: Text) -> str:
    return cell if isinstance(cell, Html) else _escaped(cell)
