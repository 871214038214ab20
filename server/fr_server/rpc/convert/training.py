"""Messages of courses, plans and lessons, to and from values."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from fr_api.v1 import training_pb2 as pb
from fr_core.errors import InvalidField, MissingField, message
from fr_datasets.manifests import translated
from fr_locales.messages import Message, Written
from fr_locales.rendering import number as marked
from fr_locales.rendering import render, spoken
from fr_server.rpc.convert.common import by_name, duration, model_message, timestamp_ms
from fr_training.bank.forecast import sentence_of, warnings_of
from fr_training.bank.manifest import truth_of
from fr_training.bank.needs import PlanNeeds, needs
from fr_training.build.course import EXCLUDED
from fr_training.courses import Course, Forecast, Form, Item
from fr_training.exercises import exercise_of
from fr_training.exercises.questions import question
from fr_training.keys import LessonKey, ListKey, PairKey
from fr_training.lessons import ENGLISH, in_language, languages_of, lesson, lesson_names
from fr_training.manual.page import manual_page
from fr_training.packages import PackageFormat, package
from fr_training.plan import MAX_SEED, BlockPlan, CoursePlan, Entry, SittingPlan, SlotKind, SlotPlan
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind, LessonPart, Question
from fr_training.shipped_plans import plan_text

MAX_DATASETS = 16
MAX_LEARN_FROM = 16  # courses that one course learns from
MAX_EXCLUDED = 10_000  # photos that the maker of a course leaves out
LEAST_MASTERY = 0.01  # smallest pass mark of a packaged lesson, as a share of its questions

EXERCISES = by_name(ExerciseKind, pb.Exercise, "EXERCISE")
# A trainee sees exercises that look like verifications under that name: their own would give the prior away.
SHOWN_AS = {
    **EXERCISES,
    ExerciseKind.LOW_PREVALENCE: pb.EXERCISE_VERIFICATION,
    ExerciseKind.BLIND: pb.EXERCISE_VERIFICATION,
}
_SLOTS = by_name(SlotKind, pb.SlotKind, "SLOT_KIND")
_PACKAGE_VALUES = by_name(PackageFormat, pb.LessonPackageFormat, "LESSON_PACKAGE_FORMAT")
_PACKAGES = {value: form for form, value in _PACKAGE_VALUES.items()}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ITEM_ID = re.compile(r"[0-9a-f]{16}")


# --- what is sent ----------------------------------------------------------------------------------------------


def sent_plan(source: pb.PlanSource) -> tuple[CoursePlan, str]:
    """Read the plan that was sent or named, and return its text too; raises `MissingField`, and as `read_plan`."""
    which = source.WhichOneof("source")
    if which is None:
        raise MissingField(message("error.rpc.plan_holds_neither_name"), field="plan")
    text = plan_text(source.name) if which == "name" else source.toml
    return read_plan(text), text


def sent_datasets(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of data sets, in their order; raises `InvalidField` for too many, or one twice."""
    found = tuple(names)
    if len(set(found)) < len(found):
        raise InvalidField(message("error.rpc.datasets_names_data_set"), field="datasets")
    if len(found) > MAX_DATASETS:
        raise InvalidField(message("error.rpc.datasets_names_data_sets", most=MAX_DATASETS), field="datasets")
    return found


def sent_seed(request: pb.CreateCourseRequest, plan: CoursePlan) -> int:
    """Return the seed that was sent, or that of the plan; raises `InvalidField` where it is out of range."""
    if request.HasField("seed") and request.seed > MAX_SEED:
        raise InvalidField(message("error.rpc.seed_whole_number_0", most=MAX_SEED), field="seed")
    return request.seed if request.HasField("seed") else plan.seed


def sent_learn_from(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of courses, each once, in their order; raises `InvalidField` for too many."""
    found = tuple(dict.fromkeys(ids))
    if len(found) > MAX_LEARN_FROM:
        raise InvalidField(message("error.rpc.learn_from_names_courses_most", most=MAX_LEARN_FROM), field="learn_from")
    return found


def sent_excluded(hashes: Sequence[str]) -> frozenset[str]:
    """Return the hashes of photos to leave out; raises `InvalidField` for too many, and for anything else."""
    if len(hashes) > MAX_EXCLUDED:
        raise InvalidField(message("error.rpc.too_many_photos", most=MAX_EXCLUDED), field="exclude_photos")
    if not all(map(_SHA256.fullmatch, hashes)):
        raise InvalidField(message("error.rpc.no_hashes"), field="exclude_photos")
    return frozenset(hashes)


def sent_items(sent: Sequence[str]) -> frozenset[str]:
    """Return the ids of items to leave out; raises `InvalidField` for too many, or what is no id."""
    if len(sent) > MAX_EXCLUDED:
        raise InvalidField(message("error.rpc.exclude_items_names_most", most=MAX_EXCLUDED), field="exclude_items")
    for number, item_id in enumerate(sent, start=1):
        if not _ITEM_ID.fullmatch(item_id):
            raise InvalidField(message("error.rpc.exclude_items_no_id", number=number), field="exclude_items")
    return frozenset(sent)


def sent_sha256(text: str) -> str:
    """Return the hash of a photo; raises `InvalidField` for anything else."""
    if not _SHA256.fullmatch(text):
        raise InvalidField(message("error.rpc.no_image_sha256"), field="image_sha256")
    return text


# --- what is answered ------------------------------------------------------------------------------------------


def needs_message(found: PlanNeeds) -> pb.PlanNeeds:
    """Build the message of what a plan needs."""
    return pb.PlanNeeds(
        people=found.people,
        people_with_two_photos=found.people_with_two_photos,
        people_with_two_alike=found.people_with_two_alike,
        people_with_tracks=found.people_with_tracks,
        minutes=found.minutes,
        trials=found.trials,
    )


def plan_message(name: str) -> pb.Plan:
    """Build the message of a plan that comes with the server."""
    text = plan_text(name)
    plan = read_plan(text)
    return pb.Plan(name=name, title=plan.in_language(spoken()).title, toml=text, needs=needs_message(needs(plan)))


def manual_message(language: str) -> pb.GetManualResponse:
    """Build the message of the manual in a language, else in English."""
    tongue, title, reviewed, html = manual_page(language)
    return pb.GetManualResponse(title=title, language=tongue, reviewed=reviewed, html=html)


def package_message(request: pb.GetLessonPackageRequest) -> pb.GetLessonPackageResponse:
    """Package the lessons that a request names; raises `MissingField` or `InvalidField`."""
    if not request.format:
        raise MissingField(message("error.rpc.format_not_set"), field="format")
    if request.format not in _PACKAGES:
        raise InvalidField(message("error.rpc.format_value_call_does"), field="format")
    names, known = tuple(request.lessons), lesson_names()
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        raise InvalidField(message("error.rpc.package_lessons", names=", ".join(known)), field="lessons")
    mastery = request.mastery_score if request.HasField("mastery_score") else None
    if mastery is not None and not LEAST_MASTERY <= mastery <= 1:
        raise InvalidField(message("error.rpc.package_mastery", least=LEAST_MASTERY), field="mastery_score")
    name, tongue, content = package(names, _PACKAGES[request.format], request.language, mastery)
    return pb.GetLessonPackageResponse(name=name, language=tongue, content=content)


def block_message(block: BlockPlan, for_trainee: bool = True, language: str = ENGLISH) -> pb.Block:
    """Build the message of a block, for a trainee or for a trainer; the goals of a lesson are in a language it has."""
    return pb.Block(
        block_id=block.block_id,
        title=block.title,
        instructions=block.instructions or _instructions(block, language),
        exercise=(SHOWN_AS if for_trainee else EXERCISES)[block.exercise],
        trials=block.shown,
        limit=None if block.minutes is None else duration(timedelta(minutes=block.minutes)),
        feedback=block.feedback,
        test=bool(block.occasion) and not for_trainee,
    )


def _instructions(block: BlockPlan, language: str) -> str:
    found = render(exercise_of(block.exercise).instructions)
    if block.lesson not in lesson_names():
        return found
    about = lesson(block.lesson, language if language in languages_of(block.lesson) else ENGLISH)
    goals = render(message("lesson.goals", count=about.minutes))
    return "\n".join((found, goals, *(f"- {goal}" for goal in about.goals)))


def sitting_message(sitting: SittingPlan, for_trainee: bool = True) -> pb.Sitting:
    """Build the message of a sitting, for a trainee or for a trainer."""
    blocks = [block_message(block, for_trainee) for block in sitting.blocks]
    timetable = [] if for_trainee else map(_slot_message, sitting.timetable)
    return pb.Sitting(name=sitting.name, title=sitting.title, blocks=blocks, timetable=timetable)


def _slot_message(entry: Entry) -> pb.Slot:
    what = entry.what
    made = pb.Slot(
        at=duration(timedelta(minutes=entry.at)), length=duration(timedelta(minutes=entry.minutes)), title=what.title
    )
    if isinstance(what, SlotPlan):
        made.kind = _SLOTS[what.kind]
    else:
        made.kind, made.block_id = pb.SLOT_KIND_BLOCK, what.block_id
    return made


def course_message(course: Course) -> pb.Course:
    """Build the message of a course, with its words in the language of the call."""
    plan = course.plan.in_language(spoken())
    return pb.Course(
        course_id=course.course_id,
        title=plan.title,
        create_time=timestamp_ms(course.created_ms),
        model=model_message(course.model),
        datasets=course.datasets,
        seed=course.seed,
        manifest_sha256=course.manifest_sha256,
        forms=[_form_message(form) for form in course.forms.values()],
        sittings=[sitting_message(sitting, for_trainee=False) for sitting in plan.sittings],
        terms=[translated(one, spoken()) for one in course.terms],
        gallery_id=course.gallery_id,
        learned_from=course.learned_from,
        learned_items=course.learned_items,
        quarantined_items=course.quarantined_items,
        excluded_photos=course.excluded.get(EXCLUDED, 0),
        forecasts=map(_forecast_message, course.forecasts),
    )


def made_from(course: Course) -> pb.CreateCourseRequest | None:
    """Build the request that made a course; None for a course of an earlier version."""
    if not course.source:
        return None
    return pb.CreateCourseRequest(
        plan=pb.PlanSource(toml=course.source),
        datasets=course.datasets,
        seed=course.seed,
        learn_from=course.learned_from,
        exclude_photos=course.photos_left_out,
        exclude_items=course.excluded_items,
    )


def _forecast_message(one: Forecast) -> pb.FormForecast:
    return pb.FormForecast(
        form=one.form,
        right=one.right.expected,
        right_low=one.right.low,
        right_high=one.right.high,
        pixels_auc=one.pixels,
        colours_auc=one.colours,
        machine=one.machine,
        of_all_pairs=one.of_all,
        similarity=one.similarity,
        enlarged=one.enlarged,
        text=render(sentence_of(one)),
        warnings=map(render, warnings_of(one)),
    )


def lesson_page(part: LessonPart) -> pb.LessonPage:
    """Build the message of a part of a lesson, without its question."""
    return pb.LessonPage(
        lesson=part.lesson,
        lesson_title=part.lesson_title,
        section=part.section,
        title=part.title,
        text=part.text,
        figures=[pb.LessonFigure(name=o.name, alt=o.alt, caption=o.caption, svg=o.svg) for o in part.figures],
        sources=part.sources,
        language=part.language,
    )


def _taught(asked: LessonPart, key: LessonKey, language: str) -> pb.LessonPage:
    """Build the message of a part of a lesson with what is right."""
    part, reasons = in_language(asked, key.reasons, language)
    made = lesson_page(part)
    made.question = part.question
    for n, (option, reason) in enumerate(zip(part.options, reasons, strict=True)):
        made.options.add(text=option, reason=reason, right=n == key.right)
    if part.lesson in lesson_names():
        made.goals.extend(lesson(part.lesson, part.language).goals)
    return made


def item_message(
    course: Course, form: str, item: Item, pictures: Sequence[bytes], language: str = ENGLISH
) -> pb.FormItem:
    """Build the message of an item with its pictures, in the order of its photos; for trainers alone.

    `language` is that of lessons; where they have no translation, they stay English.
    """
    exercise, key = course.plan.forms()[form].exercise, item.key
    found = pb.FormItem(
        form=form,
        item_id=item.item_id,
        exercise=EXERCISES[exercise],
        truth=truth_of(key),
        difficulty=item.b,
        similarity=key.similarity if isinstance(key, PairKey) else None,
        question=None
        if item.asked is None
        else question_message(question(exercise_of(exercise).steps[-1], item.asked)),
    )
    if isinstance(item.asked, LessonPart) and isinstance(key, LessonKey):
        found.lesson.CopyFrom(_taught(item.asked, key, language))
    for number, data in enumerate(pictures):
        if item.times and number:
            at = duration(timedelta(milliseconds=item.times[number - 1]))
            found.pictures.add(data=data, role=pb.PICTURE_ROLE_SHOT, at=at)
        elif not isinstance(key, ListKey):
            found.pictures.add(data=data, role=pb.PICTURE_ROLE_COMPARED)
        elif number == 0:
            found.pictures.add(data=data, role=pb.PICTURE_ROLE_PROBE)
        else:
            similarity = key.similarities[number - 1]
            found.pictures.add(data=data, role=pb.PICTURE_ROLE_CANDIDATE, similarity=similarity)
    return found


def question_message(question: Question) -> pb.Question:
    """Build the message of the question of a lab or of an evidence exercise."""

    def words(cell: Message | str) -> str:
        if isinstance(cell, Written):
            return marked(cell)
        return cell if isinstance(cell, str) else render(cell)

    return pb.Question(
        text=render(question.text),
        columns=map(render, question.columns),
        rows=[pb.QuestionRow(cells=map(words, row)) for row in question.rows],
        files=[pb.QuestionFile(name=name, text=text) for name, text in question.files],
    )


def _form_message(form: Form) -> pb.Form:
    spread = form.difficulty
    return pb.Form(
        name=form.name,
        manifest_sha256=form.manifest_sha256,
        items=len(form.items),
        mean_difficulty=None if spread is None else spread.mean,
        sd_difficulty=None if spread is None else spread.sd,
        people=len({person for item in form.items for person in item.people}),
    )
