"""A trainer's kit of a course: its timetable."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import training_pb2
from fr_locales.messages import Message, message
from fr_web.console.views.trainer import TRAINS, read_course
from fr_web.console.visit import Screen, Visit

_TRAINER, _TRAINEES = message("console.timetable.trainer"), message("console.timetable.trainees")


@dataclass(frozen=True, slots=True)
class Use:
    """A row of a timetable: its name where it has no title, what it needs, and who leads it."""

    name: Message
    material: Message | None
    lead: Message | None


SLOTS: Mapping[int, Use] = {
    training_pb2.SLOT_KIND_BLOCK: Use(
        message("console.timetable.exercise"), message("console.timetable.exercise_needs"), _TRAINEES
    ),
    training_pb2.SLOT_KIND_WELCOME: Use(
        message("console.timetable.welcome"), message("console.timetable.welcome_needs"), _TRAINER
    ),
    training_pb2.SLOT_KIND_TALK: Use(
        message("console.timetable.talk"), message("console.timetable.talk_needs"), _TRAINER
    ),
    training_pb2.SLOT_KIND_BREAK: Use(message("console.timetable.break"), None, None),
    training_pb2.SLOT_KIND_LUNCH: Use(message("console.timetable.lunch"), None, None),
    training_pb2.SLOT_KIND_DEBRIEF: Use(
        message("console.timetable.debrief"), message("console.timetable.debrief_needs"), _TRAINER
    ),
}
LESSON = Use(message("console.timetable.lesson"), message("console.timetable.lesson_needs"), _TRAINEES)
TEST = Use(message("console.timetable.test"), message("console.timetable.test_needs"), _TRAINEES)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a timetable: when, how many minutes, what, and what it needs."""

    at: Message
    minutes: int
    title: str
    use: Use
    is_pause: bool


def clock(minutes: int) -> Message:
    """Return a time, of a day or of a sitting, in minutes from its beginning."""
    return message("console.timetable.clock", hours=str(minutes // 60), minutes=f"{minutes % 60:02}")


def timetable_of(sitting: training_pb2.Sitting) -> list[Row]:
    """Return the timetable of a sitting, with a row that says when it ends; empty if it has none."""
    blocks = {one.block_id: one for one in sitting.blocks}
    rows, end = [], 0
    for slot in sitting.timetable:
        use, at = SLOTS[slot.kind], slot.at.seconds // 60
        block = blocks.get(slot.block_id)
        if block is not None and (block.test or block.exercise == training_pb2.EXERCISE_LESSON):
            use = TEST if block.test else LESSON
        minutes = slot.length.seconds // 60
        rows.append(Row(clock(at), minutes, slot.title, use, use.lead is None))
        end = at + minutes
    return [*rows, Row(clock(end), 0, "", Use(message("console.timetable.end"), None, None), True)] if rows else []


async def timetable(visit: Visit) -> Response:
    """Show the timetable of each sitting, to print."""
    course = await read_course(visit, visit.path["course"])
    days = [(one, timetable_of(one)) for one in course.sittings]
    return visit.page("trainer_timetable.html", course=course, days=days)


SCREENS = (Screen("/courses/{course}/timetable", timetable, roles=TRAINS),)
