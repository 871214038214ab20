"""The contact sheet of a form: its items with pictures and right answers, and those to leave out of the next course."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.responses import Response

from fr_api.v1 import training_pb2
from fr_locales.messages import Message, message
from fr_web.console.addresses import embedded
from fr_web.console.views.trainer import TRAINS, read_course
from fr_web.console.views.trainer_drafts import Draft, keep, of_course
from fr_web.console.visit import Screen, Visit

_ON_A_SHEET = 12
_TRUTHS: Mapping[str, Message] = {
    "same": message("console.truth.same"),
    "different": message("console.truth.different"),
    "absent": message("console.truth.absent"),
    "row:0": message("console.truth.no_row"),
    "record:0": message("console.truth.whole"),
    "usable": message("console.truth.usable"),
    "limited": message("console.truth.limited"),
    "reject": message("console.truth.reject"),
    "": message("console.truth.own"),
}


@dataclass(frozen=True, slots=True)
class Marks:
    """A page of a contact sheet: the items on it, those to leave out, and whether to make the course again."""

    shown: dict[str, int]
    item: dict[str, int]
    again: bool = False


async def sheet(visit: Visit) -> Response:
    """Show items of a form with their pictures and right answers."""
    found = await read_course(visit, visit.path["course"])
    form, start = visit.query("form"), _number(visit.query("from"))
    request = training_pb2.ListFormItemsRequest(course_id=found.course_id, form=form)
    items: list[training_pb2.FormItem] = []
    number = 0
    answers = visit.each(request, training_pb2.ListFormItemsResponse)
    async for one in answers:
        if number == start + _ON_A_SHEET:
            number += 1
            break
        if number >= start:
            items.append(one.item)
        number += 1
    await answers.aclose()
    return visit.page(
        "trainer_sheet.html",
        course=found,
        form=form,
        start=start,
        following=start + _ON_A_SHEET if number > start + _ON_A_SHEET else None,
        before=max(start - _ON_A_SHEET, 0) if start else None,
        items=[(one, _truth(one.truth), [embedded(picture.data) for picture in one.pictures]) for one in items],
        left_out=_left_out(visit, found.course_id),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def _truth(truth: str) -> Message:
    """Return the right answer of an item in words; places count from 1."""
    kind, _, place = truth.partition(":")
    if truth in _TRUTHS or not place.isdecimal():
        return _TRUTHS.get(truth, _TRUTHS[""])
    number = int(place)
    if kind == "odd":
        return message("console.truth.odd", number=number + 1)
    if kind == "mate":
        return message("console.truth.mate", number=number + 1)
    return (
        message("console.truth.row", number=number) if kind == "row" else message("console.truth.record", number=number)
    )


def _left_out(visit: Visit, course_id: str) -> frozenset[str]:
    found = visit.who.drafts.get(f"left:{course_id}", frozenset())
    return found if isinstance(found, frozenset) else frozenset()


async def mark_items(visit: Visit) -> Response:
    """Remember the items to leave out; plan the course without them, or go on with the sheet."""
    marks, course_id = visit.form(Marks), visit.path["course"]
    left_out = _left_out(visit, course_id) - frozenset(marks.shown) | frozenset(marks.item)
    visit.who.drafts[f"left:{course_id}"] = left_out
    if not marks.again:
        following = {"form": visit.query("form"), "from": visit.query("next")}
        return visit.go(f"/courses/{course_id}/items", **following)
    wanted = await of_course(visit, course_id)
    lines = dict.fromkeys([*wanted.leave_out.splitlines(), *sorted(left_out)])
    return visit.go("/courses/new", draft=keep(visit, Draft(replace(wanted, leave_out="\n".join(lines)))))


SCREENS = (
    Screen("/courses/{course}/items", sheet, roles=TRAINS),
    Screen("/courses/{course}/items", mark_items, method="POST", roles=TRAINS),
)
