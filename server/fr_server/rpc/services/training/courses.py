"""Answers the calls on plans and courses."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_core.errors import FrError, InvalidField, MissingField, Overloaded, ShuttingDown, UnknownGallery, message
from fr_core.runtime.ticket import current_ticket
from fr_core.sharing import Places
from fr_locales.rendering import spoken
from fr_server.authz.callers import courses_seen, current_sharer
from fr_server.pools import KEPT_S
from fr_server.rpc.convert import training
from fr_server.rpc.convert.gallery import page_size
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.datasets import dataset_errors, dataset_root
from fr_server.rpc.services.paging import last_moment, moment_token
from fr_server.rpc.services.training.course_gallery import CourseGallery, gallery_of_course
from fr_server.rpc.services.training.own_probe import read_cohort
from fr_server.rpc.services.training.resources import TrainingResources
from fr_server.telemetry.logs import FIELDS, describe
from fr_training.bank.labs import require_groups
from fr_training.bank.needs import Available, available, needs, require_enough
from fr_training.bank.pool import PoolPhoto
from fr_training.build.course import Progress, build_course
from fr_training.build.people import LastAnalysis, NamedPeople, read_datasets
from fr_training.courses import Item
from fr_training.errors import CourseBuilding, UnknownCohort, UnknownItem
from fr_training.grading.items import learned
from fr_training.plan import CoursePlan
from fr_training.shipped_plans import plan_names
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Result

log = logging.getLogger("fr_server.training")

# Between two looks at how far a course has come.
_LOOK_S = 0.1
# What page tokens are bound to.
_LIST = "courses"
# Cohorts that are looked up at once.
_COHORTS = 100
# Courses whose items are looked through at once, of a megabyte or so each.
_COURSES = 8
# Ids that a refusal names.
_NAMED = 5

_STAGES = {"photos": pb.COURSE_STAGE_PHOTOS, "forms": pb.COURSE_STAGE_FORMS, "pictures": pb.COURSE_STAGE_PICTURES}


class CourseCalls(training_pb2_grpc.TrainingServiceServicer):
    """Makes one course at a time; see `TrainingResources` for what it works with.

    One at a time in this process: where `server.frontends` has several, each may make one. They share the engine, and
    take turns to write what they made into the store. A course whose call has ended leaves nothing in either.
    """

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources
        self._analyses = LastAnalysis()
        self._builds = Places(1, message("error.sharing.courses"), kept_s=KEPT_S)

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        plans = await self._resources.work.storage(lambda: [training.plan_message(name) for name in plan_names()])
        return pb.ListPlansResponse(plans=plans)

    async def GetManual(self, request: pb.GetManualRequest, context: Context) -> pb.GetManualResponse:
        return await self._resources.work.storage(training.manual_message, request.language)

    async def GetLessonPackage(
        self, request: pb.GetLessonPackageRequest, context: Context
    ) -> pb.GetLessonPackageResponse:
        return await self._resources.work.storage(training.package_message, request)

    async def CheckPlan(self, request: pb.CheckPlanRequest, context: Context) -> pb.CheckPlanResponse:
        plan, _ = await self._resources.work.storage(training.sent_plan, request.plan)
        wanted, told = needs(plan), await self._resources.work.storage(plan.in_language, spoken())
        response = pb.CheckPlanResponse(
            title=told.title,
            needs=training.needs_message(wanted),
            sittings=[training.sitting_message(one, for_trainee=False) for one in told.sittings],
        )
        if names := training.sent_datasets(request.datasets):
            datasets = await self._resources.work.storage(_read, names)
            require_groups(plan, [person.labels for dataset in datasets for person in dataset.people])
            there = _available(datasets)
            response.people, response.people_with_two_photos = there.people, there.with_two_photos
            response.people_with_two_alike, response.people_with_tracks = there.with_two_alike, there.with_tracks
            response.missing = there.missing(wanted)
        return response

    async def CreateCourse(
        self, request: pb.CreateCourseRequest, context: Context
    ) -> AsyncIterator[pb.CreateCourseResponse]:
        plan, source = await self._resources.work.storage(training.sent_plan, request.plan)
        seed, names = training.sent_seed(request, plan), training.sent_datasets(request.datasets)
        if not names:
            raise MissingField(message("error.rpc.datasets_names_no_data"), field="datasets")
        learn_from, exclude = (
            training.sent_learn_from(request.learn_from),
            training.sent_excluded(request.exclude_photos),
        )
        aside = training.sent_items(request.exclude_items)
        caller = current_sharer()
        try:
            self._builds.take(caller)
        except Overloaded as refusal:
            raise CourseBuilding(message("error.rpc.server_makes_course_another")) from refusal
        seen = _Seen()
        running = asyncio.ensure_future(
            self._resources.work.course(
                self._made, plan, source, names, seed, learn_from, exclude, aside, request.only_forecast, seen
            )
        )
        running.add_done_callback(partial(self._ended, caller))
        while not running.done():
            await asyncio.wait((running,), timeout=_LOOK_S)
            if self._resources.work.draining.is_set() and not running.done():
                raise ShuttingDown(message("error.rpc.server_shutting_down_make"))
            if (progress := seen.new()) is not None:
                yield pb.CreateCourseResponse(progress=progress)
        yield pb.CreateCourseResponse(course=running.result())

    async def GetCourse(self, request: pb.GetCourseRequest, context: Context) -> pb.GetCourseResponse:
        store = self._resources.store

        def found() -> pb.GetCourseResponse:
            course = store.course(request.course_id)
            return pb.GetCourseResponse(course=training.course_message(course), made_from=training.made_from(course))

        return await self._resources.work.storage(found)

    async def ListCourses(self, request: pb.ListCoursesRequest, context: Context) -> pb.ListCoursesResponse:
        size, before = page_size(request), last_moment(_LIST, request.page_token)

        def listed() -> pb.ListCoursesResponse:
            shown, more = courses_seen(self._resources.store, before, size)
            return pb.ListCoursesResponse(
                courses=map(training.course_message, shown),
                next_page_token=moment_token(_LIST, shown[-1].created_ms, shown[-1].course_id) if more else "",
            )

        return await self._resources.work.storage(listed)

    async def ListFormItems(
        self, request: pb.ListFormItemsRequest, context: Context
    ) -> AsyncIterator[pb.ListFormItemsResponse]:
        store = self._resources.store
        course = await self._resources.work.storage(store.course, request.course_id)
        if request.form and request.form not in course.forms:
            raise InvalidField(message("error.rpc.course_no_form"), field="form")
        language = request.language or spoken()

        def shown(name: str, item: Item) -> pb.FormItem:
            pictures = [store.picture(course.course_id, number) for number in item.photos]
            return training.item_message(course, name, item, pictures, language)

        for name, form in course.forms.items():
            for item in form.items if request.form in ("", name) else ():
                yield pb.ListFormItemsResponse(item=await self._resources.work.storage(shown, name, item))

    async def DeleteCourse(self, request: pb.DeleteCourseRequest, context: Context) -> pb.DeleteCourseResponse:
        await self._resources.work.storage(self._deleted, request.course_id)
        return pb.DeleteCourseResponse()

    async def SetProbeKey(self, request: pb.SetProbeKeyRequest, context: Context) -> pb.SetProbeKeyResponse:
        sha256, which = training.sent_sha256(request.image_sha256), request.WhichOneof("truth")
        if which is None or (which == "absent" and not request.absent):
            raise MissingField(message("error.rpc.truth_says_neither_who"), field="truth")
        identity = request.identity if which == "identity" else None
        await self._resources.work.storage(self._resources.store.set_probe_key, request.course_id, sha256, identity)
        return pb.SetProbeKeyResponse()

    def _made(
        self,
        plan: CoursePlan,
        source: str,
        names: tuple[str, ...],
        seed: int,
        learn_from: tuple[str, ...],
        exclude: frozenset[str],
        aside: frozenset[str],
        only_forecast: bool,
        seen: _Seen,
    ) -> pb.Course:
        resources = self._resources
        for known in learn_from:
            resources.store.course(known)  # refused before any photo is read
        _require_items(resources.store, aside)
        with dataset_errors():
            datasets = _read(names)
            require_enough(plan, _available(datasets))
            course_id = "" if only_forecast else secrets.token_hex(8)
            pipeline = resources.engine.pipeline
            gallery = CourseGallery(resources.galleries, course_id, pipeline.model, pipeline.embedding_size)
            try:
                built = build_course(
                    plan,
                    datasets,
                    resources.engine,
                    _NoGallery() if only_forecast else gallery,
                    seed=seed,
                    workers=resources.workers,
                    course_id=course_id,
                    gallery_id="" if only_forecast else gallery.gallery_id,
                    now_ms=resources.now_ms(),
                    on_progress=seen,
                    learned=learned(_answers(resources.store, one) for one in learn_from),
                    learned_from=learn_from,
                    exclude=exclude,
                    exclude_items=aside,
                    analyse=self._analyses,
                )
                current_ticket().require_wanted()
                if only_forecast:
                    return training.course_message(built.course)
                course = replace(built.course, source=source, photos_left_out=tuple(sorted(exclude)))
                resources.store.add_course(course, built.pictures, built.gallery, built.probe_keys, built.identities)
                self._settle(gallery, course_id)
            except BaseException:
                _drop(gallery)
                raise
        fields = {"forms": len(built.course.forms), "pictures": len(built.pictures)}
        log.info("Made a course: %d forms, %d pictures", *fields.values(), extra={FIELDS: fields})
        return training.course_message(course)

    def _settle(self, gallery: CourseGallery, course_id: str) -> None:
        """Let the gallery of a stored course stay; where that fails, or the call has ended, there is no course."""
        try:
            gallery.keep()
            current_ticket().require_wanted()
        except BaseException:
            self._resources.store.delete_course(course_id)
            raise

    def _deleted(self, course_id: str) -> None:
        course = self._resources.store.course(course_id)
        if course.gallery_id:  # first: what is cut off here is asked for again, while the course is there
            try:
                self._resources.galleries.delete(gallery_of_course(self._resources.galleries, course.gallery_id))
            except UnknownGallery:
                log.info("The gallery of a deleted course was deleted before")
        self._resources.store.delete_course(course_id)

    def _ended(self, caller: str, running: asyncio.Future[pb.Course]) -> None:
        self._builds.give_back(caller)
        if not running.cancelled():
            running.exception()  # which nobody may wait for any more


def _require_items(store: TrainingStore, wanted: frozenset[str]) -> None:
    """Raise `UnknownItem` for ids of items that no course shows or leaves out."""
    unknown, page = set(wanted), store.courses(None, _COURSES) if wanted else ()
    while page and unknown:
        for course in page:
            unknown -= {item.item_id for form in course.forms.values() for item in form.items}
            unknown.difference_update(course.excluded_items)
        current_ticket().require_wanted()
        page = store.courses((page[-1].created_ms, page[-1].course_id), _COURSES)
    if unknown:
        named = ", ".join(sorted(unknown)[:_NAMED])
        raise UnknownItem(message("error.rpc.no_such_items", count=len(unknown), items=named), field="exclude_items")


def _answers(store: TrainingStore, course_id: str) -> Mapping[str, Sequence[Result]]:
    found: dict[str, Sequence[Result]] = {}
    for cohort_id in _cohorts(store, course_id):
        current_ticket().require_wanted()
        try:
            by_trainee = read_cohort(store, cohort_id).by_trainee
        except UnknownCohort:  # its time is over since it was listed
            continue
        found.update((trainee_id, rows) for trainee_id, rows in by_trainee.items() if rows)
    return found


def _cohorts(store: TrainingStore, course_id: str) -> Iterator[str]:
    page = store.cohorts(course_id, None, _COHORTS)
    while page:
        yield from (cohort.cohort_id for cohort in page)
        page = store.cohorts(course_id, (page[-1].created_ms, page[-1].cohort_id), _COHORTS)


class _NoGallery:
    """Takes nobody up: of a forecast nothing stays."""

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """Do nothing."""


class _Seen:
    def __init__(self) -> None:
        self._now: pb.CourseProgress | None = None
        self._told: pb.CourseProgress | None = None

    def __call__(self, stage: Progress, done: int, total: int) -> None:
        self._now = pb.CourseProgress(stage=_STAGES[stage], done=done, total=total)

    def new(self) -> pb.CourseProgress | None:
        if self._now == self._told:
            return None
        self._told = self._now
        return self._told


def _available(datasets: Sequence[NamedPeople]) -> Available:
    return available([person.taken for dataset in datasets for person in dataset.people])


def _read(names: tuple[str, ...]) -> tuple[NamedPeople, ...]:
    with dataset_errors():
        return read_datasets([(name, dataset_root(name, "course")) for name in names])


def _drop(gallery: CourseGallery) -> None:
    """Delete the gallery of a course that was not made; where that fails, it expires."""
    try:
        gallery.drop()
    except FrError as error:
        log.warning("The gallery of a course that was not made could not be deleted: %s", describe(error))
