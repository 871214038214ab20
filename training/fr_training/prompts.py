"""Defines what a trainee may see: it holds no truth, no score, no name, and nothing that gives them away.

All that is served before an answer is locked is made of a `Prompt` and of pictures; what was right comes as a `Reveal`,
after the answer is locked and only where the block gives feedback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fr_locales.messages import Message


class ExerciseKind(StrEnum):
    """The exercise of a block, as its word in a plan."""

    VERIFICATION = "verification"
    TRIAD = "triad"
    CANDIDATES = "candidates"
    FEATURES = "features"
    TRIAGE = "triage"
    AIDED = "aided"
    LOW_PREVALENCE = "low_prevalence"
    BLIND = "blind"
    OWN_PROBE = "own_probe"
    LAB = "lab"
    EVIDENCE = "evidence"
    LESSON = "lesson"
    FOOTAGE = "footage"


class Step(StrEnum):
    """The answer that a trial waits for."""

    RATE = "rate"
    CHOOSE = "choose"
    NOTE = "note"
    OBSERVE = "observe"
    DECIDE = "decide"
    TRIAGE = "triage"
    RATE_AGAIN = "rate_again"
    SEND_PROBE = "send_probe"
    PREDICT = "predict"
    CONCLUDE = "conclude"
    HASH = "hash"
    DERIVE = "derive"
    READ = "read"
    ANSWER = "answer"


class Role(StrEnum):
    """The part of a picture in its trial."""

    COMPARED = "compared"
    PROBE = "probe"
    CANDIDATE = "candidate"
    SHOT = "shot"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the face that two photos are compared by, such as "nose"; `look_at` is one sentence."""

    component_id: str
    name: Message
    look_at: Message


@dataclass(frozen=True, slots=True)
class Advice:
    """The machine's opinion as a trainee reads it: `same` is what it leans to, which may be wrong."""

    same: bool
    text: Message


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A picture under an id that is drawn for its trial: 16 hexadecimal digits that tell nothing.

    `at_ms` is of a shot of a track: milliseconds after the first one; None for other pictures.
    """

    picture_id: str
    role: Role
    at_ms: int | None = None


class LabKind(StrEnum):
    """The question of a lab, as its word in a plan."""

    THRESHOLD = "threshold"
    GALLERY = "gallery"
    QUALITY = "quality"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class Measured:
    """A share of comparisons or searches that the machine got wrong, as counts, with a 95 % interval in [0, 1].

    `total` is at least 1.
    """

    count: int
    total: int
    low: float
    high: float

    @property
    def percent(self) -> float:
        """Of the total, in [0, 100]."""
        return 100.0 * self.count / self.total


@dataclass(frozen=True, slots=True)
class LabRow:
    """The machine's errors in one setting.

    `name` is a threshold, a number of people enrolled, the strength of a fault ("0" for none), or a group. `false`
    counts what shows two people and was called one, of searches those for people who are not enrolled that returned a
    lead; `missed` counts what shows one person and was not found.
    """

    name: str
    false: Measured
    missed: Measured


@dataclass(frozen=True, slots=True)
class Lab:
    """The question of a lab, with the errors of the course's own model on the course's own photos.

    Before the prediction, a trainee learns of the row `given` alone, and of the name of the row `asked`, counted from
    0. `limit` is the most that may be missed, percent; of a gallery, one in so many people who are searched for is
    enrolled; of groups 0. `fault` is the fault of photos, or the kind of label; "" elsewhere.
    """

    kind: LabKind
    rows: tuple[LabRow, ...]
    given: int
    asked: int
    limit: float
    threshold: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The task of an evidence exercise: a crop to derive from the original, and the records of its custody.

    `box` is (x, y, width, height) in pixels of the original, from its top left corner. `records` is an export of an
    audit, one line of JSON each, as `fr_trust.audit.export` writes it, and `public_key` the key of its chain, as PEM.
    """

    box: tuple[int, int, int, int]
    records: str
    public_key: str


@dataclass(frozen=True, slots=True)
class LessonFigure:
    """A drawing of a lesson, as an SVG document; `alt` says in words what it shows, the caption stands below it."""

    name: str
    alt: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class LessonPart:
    """A part of a lesson with the question about it, in one language.

    `text` is CommonMark with tables, without HTML; the address of a figure in it is `figure:NAME`. `options` stand in
    the order of the lesson.
    """

    lesson: str  # its name, as a plan has it
    section: str  # id, the same in every language
    language: str
    lesson_title: str
    title: str
    text: str
    question: str
    options: tuple[str, ...]
    sources: tuple[str, ...]  # that the part cites, each with its number
    figures: tuple[LessonFigure, ...] = ()
    # Shown position -> index in `options`; empty in a course, where no trial has an order yet.
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LessonTold:
    """The reasons for every option of a part, in the order of `part.options`, and the index of the right one."""

    part: LessonPart
    option_ids: tuple[str, ...]  # in the order of `part.order`
    reasons: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class LessonPage:
    """A part of a lesson as a trainee sees it; `option_ids`, in the order of `part.order`, come at ANSWER alone."""

    part: LessonPart
    option_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question in words, with a table, and files, by their names, where the step has them."""

    text: Message
    columns: tuple[Message, ...] = ()
    rows: tuple[tuple[Message | str, ...], ...] = ()
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A trial at the step that it waits for.

    Components come at OBSERVE alone, advice at RATE_AGAIN alone, a question in labs and evidence exercises, a page in
    lessons.
    """

    exercise: ExerciseKind
    step: Step
    pictures: tuple[ShownPicture, ...]
    components: tuple[Component, ...] = ()
    advice: Advice | None = None
    question: Question | None = None
    lesson: LessonPage | None = None


@dataclass(frozen=True, slots=True)
class Reveal:
    """The right answer, told after the trainee's own was locked."""

    correct: bool | None  # whether the answer was right; None where it is neither, such as inconclusive or unscored
    text: Message | None  # None where only scores are shown
    # Of the machine, by picture id, in [-1, 1]; empty where they are not shown.
    similarities: Mapping[str, float] = field(default_factory=dict, hash=False)
    picture_id: str = ""  # of the mate or of the odd one out; empty where there is none, or it is not shown
    lesson: LessonTold | None = None
