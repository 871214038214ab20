"""Writes the debrief of a cohort: one HTML file with a page for each item, its photos inside, and the truth last.

It needs neither scripts nor matplotlib. On the screen each answer opens with a click; printed, an item fills a
page, after one that says what this is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence

from fr_evaluation.html import escaped, page, paragraph
from fr_locales.messages import Message, message
from fr_training.courses import Course
from fr_training.grading.class_items import Bar, ClassItem
from fr_training.prompts import ExerciseKind, Question
from fr_training.report.keys import NOTICE

STYLE = """
body { max-width: 72rem; font-size: 18px; }
section { border-top: 2px solid var(--line); padding: .5rem 0 1rem; min-height: 90vh; break-after: page; }
.photos { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
figure { margin: 0; }
figure img { display: block; width: 100%; }
.many figure { width: 11rem; }
.few figure { width: 21rem; max-width: 47%; }
figcaption { text-align: center; font-weight: 600; }
.bar { display: grid; grid-template-columns: 17rem 1fr; align-items: center; gap: .8rem; }
.bar span { text-align: end; }
.bar i {
  display: inline-block; background: var(--cold); height: 1.1rem; margin-inline-end: .5rem; vertical-align: middle;
}
td { white-space: nowrap; }
summary { font-weight: 600; padding: .5rem 0; }
@media print {
  body { font-size: 16px; }
  details:not([open]) { display: block; }
  section { border: 0; min-height: 0; }
  section:first-of-type { break-before: page; }
}
"""
MANY = 4  # photos from which on they are shown small, so that all fit on a screen

_PROBE = message("deck.probe")
_PAIR = ("A", "B")  # as trainees saw them


def deck_html(course: Course, items: Sequence[ClassItem], left_out: int, pictures: Mapping[int, bytes]) -> str:
    """The whole file, which says how many other items are left out; `pictures` has the JPEG file of each photo."""
    sections = "".join(_section(one, number, len(items), pictures) for number, one in enumerate(items, 1))
    more = message("deck.left_out", count=left_out) if left_out else ""
    notice = f'<p class="notice">{escaped(NOTICE)}</p>\n'
    title = message("deck.title", course=course.plan.title)
    return page(title, notice + paragraph((message("deck.summary"), more)) + sections, STYLE)


def _section(item: ClassItem, number: int, total: int, pictures: Mapping[int, bytes]) -> str:
    heading = message("deck.item", number=number, total=total, block=item.block.title)
    most = max((bar.people for bar in item.bars), default=0)
    parts = [_folded(message("deck.answers"), "".join(_bar(bar, most) for bar in item.bars))]
    if item.machine is not None:
        parts.append(_folded(message("deck.machine"), paragraph(item.machine)))
    share = message("item.right", right=item.right, people=item.people)
    parts.append(_folded(message("deck.truth"), paragraph((item.truth, share))))
    shown = f"<h2>{escaped(heading)}</h2>\n{_photos(item, pictures)}{_asked(item.question)}"
    return f"<section>\n{shown}{''.join(parts)}</section>\n"


def _photos(item: ClassItem, pictures: Mapping[int, bytes]) -> str:
    probes = 1 if item.block.exercise == ExerciseKind.CANDIDATES else 0
    pair = len(item.photos) == len(_PAIR) and not probes and not item.times
    labels = _PAIR if pair else [*[escaped(_PROBE)] * probes, *map(str, range(1, len(item.photos) - probes + 1))]
    if item.times:  # a photo, and the shots of a track
        labels = [_PAIR[0], *(f"{_PAIR[1]}{number}" for number in range(1, len(item.times) + 1))]
    shown = "".join(_photo(pictures[one], label) for one, label in zip(item.photos, labels, strict=True))
    size = "many" if len(item.photos) >= MANY else "few"
    return f'<div class="photos {size}">{shown}</div>\n' if shown else ""


def _photo(data: bytes, label: str) -> str:
    uri = f"data:image/jpeg;base64,{b64encode(data).decode()}"
    return f'<figure><img src="{uri}" alt="{label}"><figcaption>{label}</figcaption></figure>'


def _asked(question: Question | None) -> str:
    """The question of a lab or an evidence exercise, with its table."""
    if question is None:
        return ""
    rows = [*([question.columns] if question.columns else []), *question.rows]
    cells = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return paragraph(question.text) + (f"<table>\n{cells}</table>\n" if cells else "")


def _bar(bar: Bar, most: int) -> str:
    """A bar; which one is right is told last."""
    width = 0 if not most else 80 * bar.people / most
    people = f'<div><i style="width:{width:.1f}%"></i>{bar.people}</div>'
    return f'<div class="bar"><span>{escaped(bar.label)}</span>{people}</div>\n'


def _folded(heading: Message, content: str) -> str:
    return f"<details><summary>{escaped(heading)}</summary>\n{content}</details>\n"
