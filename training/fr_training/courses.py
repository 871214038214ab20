"""Defines a course: items in forms, forms in blocks, blocks in sittings. All of it is fixed when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from typing import NamedTuple

from fr_core.types import ModelId
from fr_training.keys import AnswerKey
from fr_training.plan import CoursePlan
from fr_training.prompts import Evidence, Lab, LessonPart


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be shown and answered."""

    item_id: str  # 16 hexadecimal digits, from what it shows and what is right; the same on every machine
    photos: tuple[int, ...]  # numbers of the course's pictures, of a list the probe first; empty for an own probe
    key: AnswerKey | None  # what is right; None for an own probe, whose key is made when its photo has come
    # Difficulty in standard deviations of all items of its kind and truth, mean 0, positive = harder; or None.
    b: float | None
    people: tuple[int, ...]  # numbers of the people shown, each once
    # Labels that all people shown share, by kind, such as "gender": "female"; for differentials.
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)
    # Of a lab or a lesson, which show no photo, or of an evidence exercise; None elsewhere.
    asked: Lab | Evidence | LessonPart | None = None
    # Of a photo and a track: of each shot of the track, milliseconds after the first one; empty elsewhere.
    times: tuple[int, ...] = ()

    @property
    def places(self) -> int:
        """Number of its photos, or of the options of a lesson: a trial has an order of them."""
        return len(self.asked.options) if isinstance(self.asked, LessonPart) else len(self.photos)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and SD (with n - 1; 0 of one item) of the difficulties of a form, on the scale of `Item.b`."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Form:
    """A fixed list of items, in an order that tells nothing: each session has an order of its own.

    The name is unique in the course, such as "test-a". `manifest_sha256`, 64 hexadecimal digits, is of `bank.manifest`.
    """

    name: str
    items: tuple[Item, ...]
    manifest_sha256: str

    @property
    def difficulty(self) -> Spread | None:
        """Of its items; None where they have none."""
        values = [item.b for item in self.items if item.b is not None]
        return Spread(mean(values), stdev(values) if len(values) > 1 else 0.0) if values else None


class Share(NamedTuple):
    """An expected share of right answers, in [0, 1], and bounds between which it lies with 90 %."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The difficulty of a form, as forecast when it was made; see `fr_training.bank.forecast`.

    Areas are under the curve, in [0, 1], where .5 tells nothing; None where there is nothing to compute it of.
    """

    form: str
    right: Share  # of people
    # Of observers who say "same" the rather, the more pixels, or colours, of two pictures agree; for pairs alone.
    pixels: float | None = None
    colours: float | None = None
    machine: float | None = None  # of pairs its area; of triads and of lists with the person, the share it gets right
    of_all: bool = False  # whether pixels and colours are those of all pairs of the course: the form has too few
    similarity: float | None = None  # mean, by the machine, of the two people of pairs, or of foils to the probe
    of_pairs: float | None = None  # of lists and triads, that of all pairs of two people of the course
    few: bool = False  # whether it is to measure, and has too few items to say anything about one trainee
    enlarged: float = 1.0  # pixels of a picture that one of a photo becomes, in each direction, at most


class ByPeople(NamedTuple):
    """The difficulty of an item by the answers of people, at least 1: logits, on the scale of `Item.b`."""

    b: float
    people: int


@dataclass(frozen=True, slots=True)
class Learned:
    """The knowledge about items from the answers to earlier courses, by item id; none by default.

    `difficulties` are of items that enough people answered; `suspects` the able get wrong more often than others do: no
    course should show them.
    """

    difficulties: Mapping[str, ByPeople] = field(default_factory=dict, hash=False)
    suspects: frozenset[str] = frozenset()


class OperatingPoints(NamedTuple):
    """Similarities from which on the machine says "same"; None where its pack or its calibration has none."""

    search: float | None = None  # the pack's threshold
    at_fmr: float | None = None  # that of the false match rate that the plan names
    search_fmr: float | None = None  # false match rate at the pack's threshold, in [0, 1]; None if it was not measured


NO_POINTS = OperatingPoints()


@dataclass(frozen=True, slots=True)
class Course:
    """A course that was made."""

    course_id: str  # 16 hexadecimal digits
    plan: CoursePlan
    datasets: tuple[str, ...]
    terms: tuple[str, ...]  # on which the photos of each data set may be used
    model: ModelId  # behind difficulties and lists
    seed: int  # decided who is shown where
    forms: Mapping[str, Form]
    gallery_id: str  # that probes are searched in; "" where no block searches
    created_ms: int  # milliseconds since 1970, UTC
    manifest_sha256: str  # over the manifests of all forms in the order of their names, 64 hexadecimal digits
    # People and photos that were left out, by reason, such as "NO_FACE": 3.
    excluded: Mapping[str, int] = field(default_factory=dict, hash=False)
    learned_from: tuple[str, ...] = ()  # ids of the courses whose answers it learned from
    learned_items: int = 0  # items of its forms whose difficulty these answers have moved
    quarantined_items: int = 0  # items that these answers make suspect, so that it shows none of them
    forecasts: tuple[Forecast, ...] = ()  # of its forms; empty for a course that an earlier version made
    machine: OperatingPoints = NO_POINTS  # of its pairs; none in a course that an earlier version made
    excluded_items: tuple[str, ...] = ()  # ids of the items that its maker left out, sorted
    source: str = ""  # the text of its plan, as TOML; empty for a course that an earlier version made
    photos_left_out: tuple[str, ...] = ()  # sha256 of the photos that its maker left out, sorted

    def in_language(self, language: str) -> Course:
        """The course, with its plan translated; see `CoursePlan.in_language`."""
        return replace(self, plan=self.plan.in_language(language))
