"""A trainer's kit of a course: timetable, slides and handouts, glossary, guide to the debrief, answers, set-up card.

All texts of lessons come from the course itself, so that nothing is written twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import training_pb2
from fr_client.words import PACKAGE_FORMATS
from fr_locales.messages import Message, message
from fr_web.console.lessons import explained, key_lines
from fr_web.console.views.trainer import TRAINS, read_course
from fr_web.console.views.trainer_cohorts import qr_code, site_of
from fr_web.console.visit import Screen, Visit

_TRAINER, _TRAINEES = message("console.timetable.trainer"), message("console.timetable.trainees")


@dataclass(frozen=True, slots=True)
class Use:
    """A kind of slot: its name, the material it needs, who leads it, and the lines of its slide."""

    name: Message
    material: Message | None
    lead: Message | None
    lines: tuple[Message, ...] = ()


_PAUSE = (message("console.kit.break_1"), message("console.kit.break_2"))
SLOTS: Mapping[int, Use] = {
    training_pb2.SLOT_KIND_BLOCK: Use(
        message("console.timetable.exercise"), message("console.timetable.exercise_needs"), _TRAINEES
    ),
    training_pb2.SLOT_KIND_WELCOME: Use(
        message("console.timetable.welcome"),
        message("console.timetable.welcome_needs"),
        _TRAINER,
        (
            message("console.kit.welcome_1"),
            message("console.kit.welcome_2"),
            message("console.kit.welcome_3"),
            message("console.kit.welcome_4"),
            message("console.kit.welcome_5"),
        ),
    ),
    training_pb2.SLOT_KIND_TALK: Use(
        message("console.timetable.talk"),
        message("console.timetable.talk_needs"),
        _TRAINER,
        (message("console.kit.talk_1"), message("console.kit.talk_2"), message("console.kit.talk_3")),
    ),
    training_pb2.SLOT_KIND_BREAK: Use(message("console.timetable.break"), None, None, _PAUSE),
    training_pb2.SLOT_KIND_LUNCH: Use(message("console.timetable.lunch"), None, None, _PAUSE),
    training_pb2.SLOT_KIND_DEBRIEF: Use(
        message("console.timetable.debrief"),
        message("console.timetable.debrief_needs"),
        _TRAINER,
        (
            message("console.kit.debrief_1"),
            message("console.kit.debrief_2"),
            message("console.kit.debrief_3"),
            message("console.kit.debrief_4"),
        ),
    ),
}
LESSON = Use(message("console.timetable.lesson"), message("console.timetable.lesson_needs"), _TRAINEES)
TEST = Use(message("console.timetable.test"), message("console.timetable.test_needs"), _TRAINEES)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a timetable: time, minutes, title, kind of slot and, for a break, the time to be back."""

    at: Message
    minutes: int
    title: str
    use: Use
    back: Message | None = None


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
        end = at + minutes
        is_timed_pause = use.lines == _PAUSE and sitting.timetable[0].at.seconds  # else no time of day
        rows.append(Row(clock(at), minutes, slot.title, use, clock(end) if is_timed_pause else None))
    return [*rows, Row(clock(end), 0, "", Use(message("console.timetable.end"), None, None))] if rows else []


async def timetable(visit: Visit) -> Response:
    """Show the timetable of each sitting, to print."""
    course = await read_course(visit, visit.path["course"])
    days = [(one, timetable_of(one)) for one in course.sittings]
    return visit.page("trainer_timetable.html", course=course, days=days, debrief=SLOTS[training_pb2.SLOT_KIND_DEBRIEF])


# --- lessons


@dataclass(frozen=True, slots=True)
class Taught:
    """A lesson of a course: the block that shows it, and its parts, at least one, with what is right."""

    block_id: str
    parts: tuple[training_pb2.LessonPage, ...]

    @property
    def sources(self) -> list[str]:
        """Return the sources of all parts, each once, by their numbers."""
        found = {one for part in self.parts for one in part.sources}
        return sorted(found, key=lambda one: (len(one.partition("]")[0]), one))

    @property
    def figure(self) -> training_pb2.LessonFigure:
        """Return its first figure; each lesson has one."""
        return next(one for part in self.parts for one in part.figures)


@dataclass(frozen=True, slots=True)
class Term:
    """A word that a lesson explains, its part, and the drawing there if it has one."""

    word: str
    told: str
    part: training_pb2.LessonPage
    figure: training_pb2.LessonFigure | None


async def _taught(visit: Visit, course: training_pb2.Course, block_id: str) -> Taught:
    request = training_pb2.ListFormItemsRequest(course_id=course.course_id, form=block_id, language=visit.language)
    items = visit.each(request, training_pb2.ListFormItemsResponse)
    return Taught(block_id, tuple([one.item.lesson async for one in items]))


def _blocks(course: training_pb2.Course) -> list[training_pb2.Block]:
    """Return the lessons of a course, in their order."""
    kind = training_pb2.EXERCISE_LESSON
    return [block for sitting in course.sittings for block in sitting.blocks if block.exercise == kind]


async def _lessons(visit: Visit, course: training_pb2.Course) -> list[Taught]:
    return [await _taught(visit, course, one.block_id) for one in _blocks(course)]


async def kit(visit: Visit) -> Response:
    """Lead to all material of a course."""
    course = await read_course(visit, visit.path["course"])
    return visit.page("kit.html", course=course, lessons=_blocks(course))


async def slides(visit: Visit) -> Response:
    """Send the slides of a lesson as one file, with notes for the trainer if they are wanted."""
    course, block_id = await read_course(visit, visit.path["course"]), visit.path["block"]
    if block_id not in {one.block_id for one in _blocks(course)}:
        raise visit.invalid(message("console.kit.no_lesson"), "block")
    has_notes = bool(visit.query("notes"))
    values = {"lesson": await _taught(visit, course, block_id), "has_notes": has_notes, "key_lines": key_lines}
    html = visit.desk.html(visit, "kit_slides.html", {"course": course, **values})
    return await visit.file(f"{block_id}{'-notes' if has_notes else ''}.html", "text/html", html.encode())


async def class_slides(visit: Visit) -> Response:
    """Send one file with a slide for each welcome, talk, break and debrief; one of each without a timetable."""
    course = await read_course(visit, visit.path["course"])
    shown = [row for sitting in course.sittings for row in timetable_of(sitting) if row.use.lines]
    shown = shown or [Row(clock(0), 0, "", use) for use in SLOTS.values() if use.lines]
    html = visit.desk.html(visit, "kit_class.html", {"course": course, "slides": shown})
    return await visit.file("class.html", "text/html", html.encode())


async def package(visit: Visit) -> Response:
    """Send all lessons of a course as a package for a learning platform."""
    course = await read_course(visit, visit.path["course"])
    names = dict.fromkeys(one.parts[0].lesson for one in await _lessons(visit, course))
    form = PACKAGE_FORMATS.get(visit.path["format"])
    if not names or form is None:
        raise visit.invalid(message("console.kit.no_package"), "format")
    request = training_pb2.GetLessonPackageRequest(lessons=names, format=form, language=visit.language)
    made = await visit.ask(request, training_pb2.GetLessonPackageResponse)
    return await visit.file(made.name, "application/zip", made.content)


async def handouts(visit: Visit) -> Response:
    """Show a sheet for each lesson, to print."""
    course = await read_course(visit, visit.path["course"])
    return visit.page("kit_handouts.html", course=course, lessons=await _lessons(visit, course), key_lines=key_lines)


async def glossary(visit: Visit) -> Response:
    """Show the words that the lessons of a course explain, with their drawings, to print."""
    course = await read_course(visit, visit.path["course"])
    return visit.page("kit_glossary.html", course=course, terms=terms_of(await _lessons(visit, course)))


def terms_of(lessons: Sequence[Taught]) -> list[Term]:
    """Return the words that lessons explain, each once, in their order; explanations that begin with the word first."""
    found: dict[str, tuple[bool, Term]] = {}
    for part in (part for lesson in lessons for part in lesson.parts):
        for word, told, begins in explained(part.text):
            known = found.get(word.casefold())
            if known is None or (begins and not known[0]):
                figure = part.figures[0] if part.figures else None
                found[word.casefold()] = begins, Term(word, told, part, figure)
    return [term for _, (_, term) in sorted(found.items())]


# --- for the trainer alone

FAQ: tuple[tuple[Message, Message], ...] = (
    (message("console.faq.enough"), message("console.faq.enough_answer")),
    (message("console.faq.lists"), message("console.faq.lists_answer")),
    (message("console.faq.shuffle"), message("console.faq.shuffle_answer")),
    (message("console.faq.advice"), message("console.faq.advice_answer")),
    (message("console.faq.talk"), message("console.faq.talk_answer")),
    (message("console.faq.famous"), message("console.faq.famous_answer")),
    (message("console.faq.late"), message("console.faq.late_answer")),
    (message("console.faq.break"), message("console.faq.break_answer")),
    (message("console.faq.slow"), message("console.faq.slow_answer")),
    (message("console.faq.passed"), message("console.faq.passed_answer")),
    (message("console.faq.same"), message("console.faq.same_answer")),
    (message("console.faq.compare"), message("console.faq.compare_answer")),
    (message("console.faq.gift"), message("console.faq.gift_answer")),
    (message("console.faq.photos"), message("console.faq.photos_answer")),
    (message("console.faq.duty"), message("console.faq.duty_answer")),
)
DEBRIEF: tuple[Message, ...] = (
    message("console.debrief.step_1"),
    message("console.debrief.step_2"),
    message("console.debrief.step_3"),
    message("console.debrief.step_4"),
    message("console.debrief.step_5"),
    message("console.debrief.step_6"),
    message("console.debrief.step_7"),
    message("console.debrief.step_8"),
    message("console.debrief.step_9"),
    message("console.debrief.step_10"),
)
CARD: tuple[Message, ...] = (
    message("console.card.step_1"),
    message("console.card.step_2"),
    message("console.card.step_3"),
    message("console.card.step_4"),
    message("console.card.step_5"),
    message("console.card.step_6"),
    message("console.card.step_7"),
    message("console.card.step_8"),
    message("console.card.step_9"),
    message("console.card.step_10"),
)


async def debrief(visit: Visit) -> Response:
    """Show the steps of a debrief, to print."""
    course = await read_course(visit, visit.path["course"])
    return visit.page("kit_debrief.html", course=course, steps=DEBRIEF)


async def questions(visit: Visit) -> Response:
    """Show what trainers ask, with answers and their sources."""
    course = await read_course(visit, visit.path["course"])
    return visit.page("kit_questions.html", course=course, faq=FAQ)


async def card(visit: Visit) -> Response:
    """Show the steps that set the laptop up, with the address of this site as a QR code, to print."""
    course = await read_course(visit, visit.path["course"])
    site, only_here = site_of(visit)
    return visit.page("kit_card.html", course=course, steps=CARD, site=site, only_here=only_here, picture=qr_code(site))


SCREENS = (
    Screen("/courses/{course}/timetable", timetable, roles=TRAINS),
    Screen("/courses/{course}/kit", kit, roles=TRAINS),
    Screen("/courses/{course}/kit/slides", class_slides, roles=TRAINS),
    Screen("/courses/{course}/kit/slides/{block}", slides, roles=TRAINS),
    Screen("/courses/{course}/kit/package/{format}", package, roles=TRAINS),
    Screen("/courses/{course}/kit/handouts", handouts, roles=TRAINS),
    Screen("/courses/{course}/kit/glossary", glossary, roles=TRAINS),
    Screen("/courses/{course}/kit/debrief", debrief, roles=TRAINS),
    Screen("/courses/{course}/kit/questions", questions, roles=TRAINS),
    Screen("/courses/{course}/kit/card", card, roles=TRAINS),
)
