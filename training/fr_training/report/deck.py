"""Writes the debrief of a cohort: one HTML file with a page for each item, its photos inside, and the truth last.

It needs neither scripts nor matplotlib. On the screen each answer opens with a click; printed, an item fills a page.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, render
from fr_training.courses import Course
from fr_training.grading.class_items import Bar, ClassItem
from fr_training.prompts import ExerciseKind, Question
from fr_training.report.keys import NOTICE

STYLE = """
body { font: 18px/1.4 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem; color: #1a1a1a; }
section { border-top: 2px solid #ddd; padding: 1rem 0; min-height: 90vh; break-after: page; }
.photos { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; }
figure img { width: 16rem; max-width: 100%; }
figcaption { text-align: center; }
.bar { display: flex; align-items: center; gap: .6rem; }
.bar span { width: 9rem; text-align: right; }
.bar i { background: #0072B2; height: 1.2rem; }
.notice { border-left: 4px solid #D55E00; padding: .5rem 1rem; background: #fff6ee; }
td { padding: 0 1rem .2rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .4rem 0; }
"""
_PROBE = message("deck.probe")


def deck_html(course: Course, items: Sequence[ClassItem], left_out: int, pictures: Mapping[int, bytes]) -> str:
    """The whole file, which says how many other items are left out; `pictures` has the JPEG file of each photo."""
    title = _text(message("deck.title", course=course.plan.title))
    pages = "".join(_page(one, number, len(items), pictures) for number, one in enumerate(items, 1))
    more = f" {_text(message('deck.left_out', count=left_out))}" if left_out else ""
    return (
        f'<!doctype html>\n<html lang="{ENGLISH}">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f'<p class="notice">{_text(NOTICE)}</p>\n<p>{_text(message("deck.summary"))}{more}</p>\n{pages}'
        "</body>\n</html>\n"
    )


def _page(item: ClassItem, number: int, total: int, pictures: Mapping[int, bytes]) -> str:
    heading = message("deck.item", number=number, total=total, block=item.block.title)
    photos = "".join(_photo(pictures[one], label) for one, label in zip(item.photos, _labels(item), strict=True))
    most = max((bar.people for bar in item.bars), default=0)
    parts = [_folded(message("deck.answers"), "".join(_bar(bar, most) for bar in item.bars))]
    if item.machine is not None:
        parts.append(_folded(message("deck.machine"), f"<p>{_text(item.machine)}</p>\n"))
    share = message("item.right", right=item.right, people=item.people)
    parts.append(_folded(message("deck.truth"), f"<p>{_text(item.truth)} {_text(share)}</p>\n"))
    shown = f'<h2>{_text(heading)}</h2>\n<div class="photos">{photos}</div>\n{_asked(item.question)}'
    return f"<section>\n{shown}{''.join(parts)}</section>\n"


def _asked(question: Question | None) -> str:
    """The question of a lab or an evidence exercise, with its table."""
    if question is None:
        return ""
    rows = [*([question.columns] if question.columns else []), *question.rows]
    table = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<p>{_text(question.text)}</p>\n<table>\n{table}</table>\n"


def _labels(item: ClassItem) -> list[str]:
    probes = 1 if item.block.exercise == ExerciseKind.CANDIDATES else 0
    numbers = [str(number) for number in range(1, len(item.photos) - probes + 1)]
    return [*[_text(_PROBE)] * probes, *numbers]


def _photo(data: bytes, label: str) -> str:
    uri = f"data:image/jpeg;base64,{b64encode(data).decode()}"
    return f'<figure><img src="{uri}" alt="{label}"><figcaption>{label}</figcaption></figure>'


def _bar(bar: Bar, most: int) -> str:
    """A bar; which one is right is told last."""
    width = 0 if not most else 30 * bar.people / most
    return f'<div class="bar"><span>{_text(bar.label)}</span><i style="width:{width:.1f}rem"></i>{bar.people}</div>\n'


def _folded(heading: Message, content: str) -> str:
    return f"<details><summary>{_text(heading)}</summary>\n{content}</details>\n"


def _text(words: Message | str) -> str:
    return escape(words if isinstance(words, str) else render(words))
