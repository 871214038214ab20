"""Renders texts of a server: of a lesson its Markdown, of the manual the plain markup that follows, and nothing else.

No script, no address of another site and no style of a text gets into a page, whatever the server sends. For slides and
handouts of a lesson it takes the first sentences of a text, and for a glossary the words that a text explains.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from fr_api.v1 import training_pb2 as pb
from fr_web.console.addresses import data_address

_ADDRESS = "figure:"
_CITED = re.compile(r"\s*\[\d+(?:, \d+)*\]")
_SENTENCES = re.compile(r"(?<=[.!?؟])\s+")
_LATE = 2  # words before an explained one, from which on the sentence needs the one before
_LEAST, _SHORT = 30, 60  # letters that a sentence for a slide has, and those of an explanation that needs one more
_READER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink"])


def lesson_html(page: pb.LessonPage, with_figures: bool = True) -> Markup:
    """Return the text of a part with its figures; they are pictures, in which a browser runs no script."""
    figures = {one.name: one for one in page.figures if with_figures}
    tokens = _READER.parse(page.text)
    for before, inline, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        before.attrs.pop("style", None)  # which the Content-Security-Policy forbids
        if (figure := _figure(inline, figures)) is not None:
            before.hidden = after.hidden = True
            inline.children = [Token("html_inline", "", 0, content=figure)]
    rendered = _READER.renderer.render(tokens, _READER.options, {})
    region = Markup('<div class="wide" role="region" tabindex="0" aria-label="{}"><table>').format(page.title)
    return Markup(rendered.replace("<table>", region).replace("</table>", "</table></div>"))


def _figure(inline: Token, figures: dict[str, pb.LessonFigure]) -> Markup | None:
    """Return the markup of a paragraph that is a figure alone, None for any other token."""
    children: Sequence[Token] = inline.children or ()
    if len(children) != 1 or children[0].type != "image":
        return None
    source: Any = children[0].attrs.get("src", "")
    one = figures.get(str(source).removeprefix(_ADDRESS))
    if one is None:
        return Markup("")
    return figure_html(one)


def figure_html(one: pb.LessonFigure) -> Markup:
    """Return a figure with its caption."""
    shown = Markup('<img src="{}" alt="{}">').format(data_address("image/svg+xml", one.svg.encode()), one.alt)
    return Markup('<figure class="plot">{}<figcaption>{}</figcaption></figure>').format(shown, one.caption)


def key_lines(text: str, most: int = 3) -> list[str]:
    """Return the first sentence that tells something of each of the first paragraphs of a text.

    They have neither figures nor the numbers of sources; questions and what leads to a list tell nothing. A text of
    lists has those of its lists.
    """

    def telling(listed: bool) -> list[str]:
        found = (
            next((one for one in _sentences(words) if len(one) >= _LEAST and one[-1] not in "?؟:"), "")
            for words in _paragraphs(text, listed)
        )
        return [one for one in found if one][:most]

    return telling(False) or telling(True)


def explained(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield each word that a text explains, and so marks with emphasis, how, and if the explanation begins with it.

    A sentence that comes to the word late also needs the one before, and a short one the next.
    """
    for inline in _paragraphs(text, listed=True):
        sentences, children = _sentences(inline), inline.children or ()
        for before, one, after in zip(children, children[1:], children[2:], strict=False):
            place = next((n for n, sentence in enumerate(sentences) if one.content in sentence), None)
            if (before.type, after.type) != ("em_open", "em_close") or place is None:
                continue
            is_late = len(sentences[place].partition(one.content)[0].split()) >= _LATE
            told = " ".join(sentences[max(place - is_late, 0) : place + 1])
            if len(told) < _SHORT:
                told = " ".join((told, *sentences[place + 1 : place + 2]))
            yield one.content, told, not is_late


def _paragraphs(text: str, listed: bool = False) -> Iterator[Token]:
    """Yield the words of each paragraph that is not a figure; those of lists only if they are wanted."""
    tokens = _READER.parse(text)
    for before, inline in pairwise(tokens):
        if before.type == "paragraph_open" and (listed or before.level == 0) and not inline.content.startswith("!["):
            yield inline


def _sentences(inline: Token) -> list[str]:
    told = (" " if one.type in ("softbreak", "hardbreak") else one.content for one in inline.children or ())
    return _SENTENCES.split(_CITED.sub("", "".join(told)).strip())


class _Plain(HTMLParser):
    """Keeps the elements and attributes that a text needs; the words of all others stay."""

    ELEMENTS = frozenset(
        {"p", "h2", "h3", "h4", "ul", "ol", "li", "a", "em", "strong", "code", "pre", "blockquote", "table", "thead"}
        | {"tbody", "tr", "th", "td", "br", "section", "nav", "span", "figure", "img", "figcaption"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Markup] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = Markup("").join(
            Markup(' {}="{}"').format(name, value)
            for name, value in ((name, value or "") for name, value in attrs)
            if name in ("id", "class", "lang", "dir", "alt", "aria-label")
            or (name == "href" and value.startswith("#"))
            or (name == "src" and value.startswith("data:image/svg+xml;base64,"))
        )
        if tag in self.ELEMENTS:
            self.kept.append(Markup("<{}{}>").format(tag, told))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.ELEMENTS and tag not in ("br", "img"):
            self.kept.append(Markup("</{}>").format(tag))

    def handle_data(self, data: str) -> None:
        self.kept.append(Markup.escape(data))


@lru_cache(maxsize=8)
def manual_html(document: str) -> Markup:
    """Return the text of the manual, of a document of the server."""
    reader = _Plain()
    reader.feed(document.partition('<main class="manual">')[2].partition("</main>")[0])
    reader.close()
    return Markup("").join(reader.kept)
