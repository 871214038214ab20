"""Writes contact sheets: a page of HTML for each form of a course, with every item and its right answer."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import TextIO

from fr_api.v1 import training_pb2
from fr_client.cli.state import Unusable
from fr_client.cli.train.labels import PAIR
from fr_client.cli.train.questions import question_lines

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ --ink: #1a1a1a; --paper: #fff; --line: #d4d4d4; --warm: #D55E00; }}
@media screen and (prefers-color-scheme: dark) {{
  :root {{ color-scheme: dark; --ink: #e4e4e4; --paper: #181a1b; --line: #484848; --warm: #E69F00; }}
}}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: var(--ink); background: var(--paper); }}
h1 {{ font-size: 1.4rem; }}
h2 {{ font-size: 1rem; margin: 0 0 .3rem; }}
section {{ border-top: 1px solid var(--line); padding: .8rem 0; break-inside: avoid; }}
.photos {{ display: flex; flex-wrap: wrap; gap: .6rem; }}
figure {{ margin: 0; width: 10rem; }}
img {{ display: block; width: 100%; }}
figcaption {{ text-align: center; }}
.right img {{ outline: 3px solid var(--warm); outline-offset: -3px; }}
.notice {{ border-left: 4px solid var(--warm); padding: .3rem 1rem; }}
pre {{ white-space: pre-wrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="notice">Not for trainees: this page shows the right answers.</p>
"""
_FORM = re.compile(r"[a-z0-9-]{1,50}")  # A server chooses no other file of this machine

_TRUTHS = {
    "same": "one person",
    "different": "two people",
    "absent": "the person of the probe is not in the list",
    "row:0": "none of the rows",
    "record:0": "the chain is whole",
    "usable": "usable",
    "limited": "usable within limits",
    "reject": "to be rejected",
    "": "a photo of the trainee's own",
}
_MARKED = {"odd": "photo {} is the odd one", "mate": "candidate {}"}


def write_pages(folder: Path, course_id: str, items: Iterable[training_pb2.FormItem]) -> dict[str, int]:
    """Write a page for each form into a folder; return the number of items by form."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        pages: dict[str, TextIO] = {}
        for item in items:
            if item.form not in pages:
                if not _FORM.fullmatch(item.form):
                    raise Unusable("FORM_NAME", "The server names a form in a way that no plan can.")
                page = stack.enter_context((folder / f"{item.form}.html").open("w", encoding="utf-8"))
                page.write(_HEAD.format(title=escape(f"Form {item.form} of course {course_id}")))
                pages[item.form] = page
            counts[item.form] += 1
            pages[item.form].write(_section(item, counts[item.form]))
        for each in pages.values():
            each.write("</body>\n</html>\n")
    return dict(counts)


def _section(item: training_pb2.FormItem, number: int) -> str:
    facts = [f"Right: {_truth_text(item.truth)}"]
    facts += [f"the machine's similarity {item.similarity:.2f}"] if item.HasField("similarity") else []
    facts += [f"difficulty {item.difficulty:+.2f}"] if item.HasField("difficulty") else []
    head = f"<h2>{number}. Item <code>{escape(item.item_id)}</code></h2>\n<p>{escape('; '.join(facts))}</p>\n"
    asked = escape("\n".join(question_lines(item.question)))
    return f"<section>\n{head}{_photos(item)}{f'<pre>{asked}</pre>' if asked else ''}</section>\n"


def _photos(item: training_pb2.FormItem) -> str:
    kind, _, marked = item.truth.partition(":")
    probes = sum(one.role == training_pb2.PICTURE_ROLE_PROBE for one in item.pictures)
    pair = len(item.pictures) == len(PAIR) and not probes
    shown = []
    for place, picture in enumerate(item.pictures, start=1 - probes):
        caption = PAIR[place - 1] if pair else str(place) if place else "probe"
        right = ' class="right"' if kind in _MARKED and str(place - 1) == marked else ""
        if picture.HasField("similarity"):
            caption += f" (similarity {picture.similarity:.2f})"
        data = base64.b64encode(picture.data).decode()
        image = f'<img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
        shown.append(f"<figure{right}>{image}<figcaption>{escape(caption)}</figcaption></figure>\n")
    return f'<div class="photos">\n{"".join(shown)}</div>\n' if shown else ""


def _truth_text(truth: str) -> str:
    """The right answer in words; what a newer server says as it is."""
    kind, _, number = truth.partition(":")
    if truth in _TRUTHS or not number.isdecimal():
        return _TRUTHS.get(truth, truth)
    if kind in _MARKED:
        return _MARKED[kind].format(int(number) + 1)
    return f"{kind} {number}"
