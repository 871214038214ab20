"""Shows the parts of lessons and the reasons of their options as lines of text."""

import io
import re
import shutil
from collections.abc import Iterable, Iterator

from fr_api.v1 import training_pb2

FIGURE = "trial-figure-{}.svg"
"""Name of the file of a figure, beside the picture of a trial."""
_IMAGE = re.compile(r"!\[[^\]]*\]\(figure:([a-z0-9-]{1,40})\)")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_WIDEST = 100


def page_lines(page: training_pb2.LessonPage) -> Iterator[str]:
    """Yield the text of a part, its figures in words, and its sources."""
    from rich.console import Console
    from rich.markdown import Markdown

    figures = {one.name: one for one in page.figures}

    def in_words(found: re.Match[str]) -> str:
        one = figures.get(found[1])
        return "" if one is None else f"> {one.caption} {one.alt}"

    out = io.StringIO()
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    console = Console(file=out, width=width, color_system=None, force_terminal=False, emoji=False, markup=False)
    console.print(Markdown(_IMAGE.sub(in_words, page.text), hyperlinks=False))
    yield f"{page.lesson_title}: {page.title}"
    yield from (line.rstrip() for line in out.getvalue().splitlines())
    yield ""
    yield from page.sources


def figure_files(page: training_pb2.LessonPage) -> Iterator[tuple[str, bytes]]:
    """Yield the figures of a part as files; a server chooses no other file of this machine."""
    for one in page.figures:
        if _NAME.fullmatch(one.name):
            yield FIGURE.format(one.name), one.svg.encode()


def option_lines(options: Iterable[training_pb2.LessonOption]) -> Iterator[str]:
    """Yield numbered options; after the answer each with its reason."""
    for number, one in enumerate(options, start=1):
        yield f"{number}  {one.text}" + ("  \u2713" if one.right else "")
        if one.reason:
            yield f"   {one.reason}"
