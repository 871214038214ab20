"""Builds a course from a plan and the people of data sets, with its pictures and the gallery to search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from fr_core.engine import Engine
from fr_core.errors import InputRefused
from fr_core.runtime.ticket import current_ticket
from fr_core.types import F32, U8
from fr_datasets.errors import DatasetUnreadable, read_photo
from fr_evaluation.photos import EmbeddedPhoto, in_threads, most_central
from fr_locales.messages import message
from fr_training.answers import Degraded
from fr_training.bank.compose import compose
from fr_training.bank.forecast import forecasts
from fr_training.bank.labs import require_groups
from fr_training.bank.lists import Matcher
from fr_training.bank.manifest import Shown
from fr_training.bank.needs import available, require_enough
from fr_training.bank.pool import Looks, PoolPhoto, without_photos
from fr_training.build.custody import with_custody
from fr_training.build.jpegs import file_of, jpeg, padded
from fr_training.build.people import (
    NO_PHOTO_LEFT,
    Analyse,
    AnalysedPeople,
    NamedPeople,
    analyse_people,
    identities_of,
)
from fr_training.build.pictures import enlarged, looks_of_picture, render
from fr_training.build.sources import PhotoSource
from fr_training.courses import Course, Form, Item, Learned, OperatingPoints
from fr_training.grading.values import unless_undefined
from fr_training.keys import EvidenceKey
from fr_training.plan import CoursePlan

Progress = Literal["photos", "forms", "pictures"]  # the stages of building a course, in order
EXCLUDED = "EXCLUDED"  # why a photo was left out: the maker of the course wanted it so


@dataclass(frozen=True, slots=True, eq=False)
class BuiltCourse:
    """A course and what is stored with it."""

    course: Course
    pictures: tuple[bytes, ...]  # JPEG files, all of one length, by their numbers
    # People who are enrolled, by number, and the number of the picture by which each is shown.
    gallery: Mapping[int, int]
    # Sha256 of the photos of the data sets, 64 hexadecimal digits, and the number of the person whom each shows; None
    # for those who are not in the gallery.
    probe_keys: Mapping[str, int | None]
    # Numbers of all people of the data sets, by name of the set and identity in it, such as "london:001"; by the
    # identity alone too, where only one set has it.
    identities: Mapping[str, int]


def build_course(
    plan: CoursePlan,
    datasets: Sequence[NamedPeople],
    engine: Engine,
    matcher: Matcher,
    *,
    seed: int,
    workers: int,
    course_id: str,
    gallery_id: str,
    now_ms: int,
    on_progress: Callable[[Progress, int, int], None],
    learned: Learned | None = None,
    learned_from: Sequence[str] = (),
    exclude: Set[str] = frozenset(),
    exclude_items: Set[str] = frozenset(),
    analyse: Analyse = analyse_people,
) -> BuiltCourse:
    """Make a course; it ends early where the caller's ticket is no longer wanted.

    The same plan, photos, model and seed give the same forms and pictures, where the same was learned and excluded.

    Args:
        plan: what is wanted.
        datasets: whose people are shown; no two with the same people.
        engine: analyses the photos, from several threads at once.
        matcher: takes up the people who are enrolled, and is searched for the candidates of lists.
        seed: decides who is shown where.
        workers: photos at a time, at least 1.
        course_id: 16 hexadecimal digits.
        gallery_id: of the matcher's people; the course has none where nobody is enrolled.
        now_ms: milliseconds since 1970, UTC.
        on_progress: called from this thread with the stage, and how many photos, steps or pictures of how many are
            done.
        learned: from the answers to the courses `learned_from`; None for nothing.
        learned_from: see `learned`.
        exclude: sha256 of photos that are labelled wrong, 64 hexadecimal digits each; they are left out.
        exclude_items: ids of items that are not shown; others take their place.
        analyse: `analyse_people`, or what remembers what it found.

    Raises:
        InvalidField: by `require_different_people`.
        TooFewPeople: too few people, or too few with usable faces, without what is excluded or suspect, for the plan.
        CallEnded: the caller's ticket is no longer wanted.
        DatasetUnreadable: a photo has gone or has changed since it was read first.
    """
    require_enough(plan, available([person.taken for dataset in datasets for person in dataset.people]))
    require_groups(plan, [person.labels for dataset in datasets for person in dataset.people])
    learned = learned or Learned()
    gathered = _without(analyse(datasets, engine, workers, partial(on_progress, "photos")), exclude)
    require_enough(plan, available([person.taken for person in gathered.pool.people]))
    require_groups(plan, [person.labels for person in gathered.pool.people])
    current_ticket().require_wanted()
    on_progress("forms", 0, 1)
    aside = replace(learned, suspects=learned.suspects | exclude_items)
    made = _Pictures(gathered, engine, plan, workers)
    spoil = partial(_spoilt, gathered, engine, workers)
    composed = compose(plan, gathered.pool, seed, matcher, aside, spoil, made.looks)
    on_progress("forms", 1, 1)
    current_ticket().require_wanted()
    pictures = made.of(composed.pictures, partial(on_progress, "pictures"))
    files = tuple(padded([picture.data for picture in pictures]))
    course = Course(
        course_id=course_id,
        plan=plan,
        datasets=tuple(dataset.name for dataset in datasets),
        terms=tuple(dataset.terms for dataset in datasets),
        model=gathered.pool.model,
        seed=seed,
        forms={name: _with_tasks(form, files, engine) for name, form in composed.forms.items()},
        gallery_id=gallery_id if composed.gallery else "",
        created_ms=now_ms,
        manifest_sha256=composed.manifest_sha256,
        excluded=gathered.excluded,
        learned_from=tuple(learned_from),
        learned_items=composed.learned_items,
        quarantined_items=len(learned.suspects),
        forecasts=forecasts(
            plan,
            composed.forms,
            {number: picture.looks for number, picture in enumerate(pictures)},
            {number: picture.enlarged for number, picture in enumerate(pictures)},
            composed.near,
        ),
        machine=_operating_points(engine, plan.machine_fmr),
        excluded_items=tuple(sorted(exclude_items)),
    )
    probe_keys = {
        photo.sha256: person.number if person.number in composed.gallery else None
        for person in gathered.pool.people
        for photo in person.photos
    }
    return BuiltCourse(course, files, composed.gallery, probe_keys, identities_of(gathered.numbers))


def _with_tasks(form: Form, files: Sequence[bytes], engine: Engine) -> Form:
    """A form whose evidence exercises have their custody, which is of the picture's file."""

    def task(item: Item) -> Item:
        if not isinstance(item.key, EvidenceKey):
            return item
        file = files[item.photos[0]]
        return with_custody(item, file, engine.pipeline.decode(file).pixels)

    return replace(form, items=tuple(map(task, form.items)))


def _operating_points(engine: Engine, fmr: float) -> OperatingPoints:
    """The threshold of the pack, and that of a false match rate, where a calibration can show one so low."""
    at_fmr = None
    if engine.calibration is not None:
        found = unless_undefined(partial(engine.calibration.threshold_at_fmr, fmr))
        at_fmr = found if isinstance(found, float) else None
    thresholds = engine.pack.thresholds
    return OperatingPoints(thresholds.similarity, at_fmr, thresholds.fmr)


def _without(gathered: AnalysedPeople, exclude: Set[str]) -> AnalysedPeople:
    """Leave photos out, and people who have none left; both are counted."""
    left = without_photos(gathered.pool, exclude)
    people = gathered.pool.people
    photos = sum(len(person.photos) for person in people) - sum(len(person.photos) for person in left.people)
    if not photos:
        return gathered
    excluded = {**gathered.excluded, EXCLUDED: photos}
    if gone := len(people) - len(left.people):
        excluded[NO_PHOTO_LEFT] = gathered.excluded.get(NO_PHOTO_LEFT, 0) + gone
    numbers = {person.number for person in left.people}
    named = {identity: number for identity, number in gathered.numbers.items() if number in numbers}
    return replace(gathered, pool=left, numbers=named, excluded=excluded)


def _opened(gathered: AnalysedPeople, engine: Engine, photo: PoolPhoto) -> tuple[U8, PhotoSource]:
    """The pixels of a photo, opened anew."""
    source = gathered.sources[photo.number]
    data = read_photo(source.path, engine.pipeline.image_limits.max_bytes)
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise DatasetUnreadable(message("error.build.photo_changed", path=source.path))
    return engine.pipeline.decode(data).pixels, source


def _spoilt(
    gathered: AnalysedPeople,
    engine: Engine,
    workers: int,
    photos: Sequence[PoolPhoto],
    kind: Degraded | None,
    strength: float,
) -> list[F32 | None]:
    """Cut faces out, with all around them, make them poorer, and analyse them anew; see `bank.labs.Spoil`."""

    def one(photo: PoolPhoto) -> F32 | None:
        pixels, source = _opened(gathered, engine, photo)
        try:
            seen = engine.pipeline.analyze(jpeg(render(pixels, source.landmarks, "none", kind, strength)))
        except InputRefused:
            return None
        face = most_central(EmbeddedPhoto((seen.image.width, seen.image.height), seen.faces))
        return None if face is None else face.embedding.vector

    found = in_threads(one, photos, workers, lambda done, total: None)
    current_ticket().require_wanted()
    return list(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    data: bytes
    looks: Looks
    enlarged: float


@dataclass(frozen=True, slots=True, eq=False)
class _Pictures:
    """Renders and encodes pictures, each once; photos are opened anew, as a data set has more than memory holds."""

    gathered: AnalysedPeople
    engine: Engine
    plan: CoursePlan
    workers: int
    made: dict[Shown, _Picture] = field(default_factory=dict)

    def of(self, wanted: Sequence[Shown], on_progress: Callable[[int, int], None]) -> list[_Picture]:
        new = [one for one in dict.fromkeys(wanted) if one not in self.made]
        self.made.update(zip(new, in_threads(self._picture, new, self.workers, on_progress), strict=True))
        return [self.made[one] for one in wanted]

    def looks(self, wanted: Sequence[Shown]) -> list[Looks]:
        """See `bank.workbench.Seen`."""
        return [one.looks for one in self.of(wanted, lambda done, total: None)]

    def _picture(self, shown: Shown) -> _Picture:
        pixels, source = _opened(self.gathered, self.engine, shown.photo)
        what = (shown.degraded, shown.strength, shown.poorer)
        picture = render(pixels, source.landmarks, self.plan.mask, *what, colour=self.plan.colour)
        return _Picture(file_of(picture), looks_of_picture(picture, self.plan.mask), enlarged(source.landmarks))
