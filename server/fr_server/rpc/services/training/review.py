"""Answers the calls on looking again: a trainer releases items, and trainees review their own answers to them."""

from dataclasses import dataclass
from itertools import chain

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_core.errors import InvalidField, MissingField, message
from fr_locales.rendering import spoken
from fr_server.rpc.convert.cohorts import MAX_RELEASED, release_message
from fr_server.rpc.convert.training import SHOWN_AS
from fr_server.rpc.convert.trials import class_item_message, component_message, given_answer, reveal_message
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.training.own_probe import class_items, read_cohort, with_known_truth
from fr_server.rpc.services.training.resources import TrainingResources
from fr_server.rpc.services.training.sessions import asked_language, with_pictures
from fr_training.courses import Course
from fr_training.errors import ItemsAhead, ItemsOfTest, NotReleased
from fr_training.exercises.checks import COMPONENTS
from fr_training.exports.ags import together
from fr_training.grading.class_items import block_of_item
from fr_training.prompts import ExerciseKind
from fr_training.sessions.order import sitting_of
from fr_training.sessions.results import results
from fr_training.sessions.review import (
    ItemKey,
    Reviewable,
    Reviews,
    find_review,
    forms_ahead,
    forms_of_tests,
    items_named,
    reviews,
    shown_again,
)
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Changes, Release
from fr_training.trials import Session


@dataclass(frozen=True, slots=True)
class OwnReviews:
    """The trials that a trainee may look at again, with the course and the sessions that they are of."""

    course: Course
    sessions: tuple[Session, ...]
    reviews: Reviews


class ReviewCalls(training_pb2_grpc.TrainingServiceServicer):
    """Releases items, and shows trainees what is released; see `TrainingResources` for what it works with."""

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources

    async def ReleaseItems(self, request: pb.ReleaseItemsRequest, context: Context) -> pb.ReleaseItemsResponse:
        if not request.block_ids and not request.item_ids:
            raise MissingField(message("error.rpc.no_items_named"), field="block_ids")
        if len(request.item_ids) > MAX_RELEASED:
            raise InvalidField(message("error.rpc.too_many_items", most=MAX_RELEASED), field="item_ids")
        course, release = await self._resources.work.storage(_released, self._resources.store, request)
        return pb.ReleaseItemsResponse(release=release_message(course, release))

    async def ListReview(self, request: pb.ListReviewRequest, context: Context) -> pb.ListReviewResponse:
        found = await self._resources.work.storage(_own, self._resources.store, request.code)
        listed = [one for one in found.reviews.open if request.all or one.result.correct is False]
        return pb.ListReviewResponse(entries=map(_entry, listed), closed=found.reviews.closed)

    async def GetReview(self, request: pb.GetReviewRequest, context: Context) -> pb.GetReviewResponse:
        language = asked_language(request)
        found = await self._resources.work.storage(_own, self._resources.store, request.code)
        one = find_review(found.reviews, found.sessions, request.trial_id)
        shown, reveal = shown_again(found.course, one)
        trial = await with_pictures(self._resources, found.course.course_id, shown, language)
        answers = [given_answer(one) for one in one.trial.locked]
        if any(one.HasField("observations") for one in answers):
            trial.components.extend(map(component_message, COMPONENTS))  # the names of what was observed
        return pb.GetReviewResponse(
            trial=trial,
            answers=answers,
            reveal=reveal_message(reveal, language),
        )

    async def GetSittingScore(self, request: pb.GetSittingScoreRequest, context: Context) -> pb.GetSittingScoreResponse:
        return await self._resources.work.storage(_score, self._resources.store, request)

    async def GetClassItem(self, request: pb.GetClassItemRequest, context: Context) -> pb.GetClassItemResponse:
        if not request.item_id:
            raise MissingField(message("error.rpc.no_item_id"), field="item_id")
        return await self._resources.work.storage(self._for_class, request)

    def _for_class(self, request: pb.GetClassItemRequest) -> pb.GetClassItemResponse:
        store = self._resources.store
        found = read_cohort(store, request.cohort_id, request.item_id).in_language(spoken())
        named = items_named(found.course, (), (request.item_id,))
        blocks = [block_of_item(found.course.plan.blocks, form) for form, _ in named]
        if all(block.exercise == ExerciseKind.OWN_PROBE for block in blocks):
            raise InvalidField(message("error.rpc.item_of_own_probe"), field="item_id")
        items = class_items(store, found, named)
        if not items:
            raise NotReleased(message("error.rpc.item_not_released"))
        one = max(items, key=lambda of_form: of_form.people)  # two forms may have it, such as two labs
        pictures = [store.picture(found.course.course_id, number) for number in one.photos]
        return class_item_message(one, pictures)


def _released(store: TrainingStore, request: pb.ReleaseItemsRequest) -> tuple[Course, Release]:
    """Release the items of a request that it may release.

    Raises `ItemsOfTest`, `ItemsAhead`, or as `items_named` and `TrainingStore.release`.
    """
    found = store.changes_since(request.cohort_id, -1)
    items = items_named(found.course, request.block_ids, request.item_ids)
    forms = {form for form, _ in items}
    tests = forms & forms_of_tests(found.course)
    if tests and not request.include_tests:
        raise ItemsOfTest(message("error.rpc.items_of_test"), field="include_tests")
    ahead = _with_forms_ahead(found, forms)
    if ahead and not request.before_all_finished:
        words = message("error.rpc.items_ahead", trainees=ahead)
        raise ItemsAhead(words, field="before_all_finished", trainees=str(ahead))
    counts = {"items": len(items), "test_items": sum(form in tests for form, _ in items), "trainees_ahead": ahead}
    return found.course, store.release(request.cohort_id, items, counts)


def _with_forms_ahead(found: Changes, forms: set[str]) -> int:
    """Count the trainees of a cohort who still have some of these forms ahead."""
    sessions: dict[str, list[Session]] = {one.trainee_id: [] for one in found.trainees}
    for session in found.sessions:
        sessions[session.trainee_id].append(session)
    return sum(
        not forms.isdisjoint(forms_ahead(found.course, one.group, sessions[one.trainee_id])) for one in found.trainees
    )


def _own(store: TrainingStore, code: str) -> OwnReviews:
    trainee = store.trainee_of_code(code)
    released: set[ItemKey] = set(chain.from_iterable(one.items for one in store.releases(trainee.cohort_id)))
    course = store.course(store.cohort(trainee.cohort_id).course_id).in_language(spoken())
    sessions = tuple(with_known_truth(store, course, one) for one in store.sessions_of(trainee.trainee_id))
    return OwnReviews(course, sessions, reviews(course, trainee.group, sessions, released))


def _score(store: TrainingStore, request: pb.GetSittingScoreRequest) -> pb.GetSittingScoreResponse:
    trainee = store.trainee_of_code(request.code)
    course = store.course(store.cohort(trainee.cohort_id).course_id)
    sitting = sitting_of(course, request.sitting)
    own = [one for one in store.sessions_of(trainee.trainee_id) if one.sitting == sitting.name]
    if not own or own[0].finished_ms is None:
        return pb.GetSittingScoreResponse()
    session = with_known_truth(store, course, own[0])
    found = together(sitting, results(course, session))
    items = {item for one in store.releases(trainee.cohort_id) for item in one.items}
    tests = forms_of_tests(course)
    released = all((one.form, one.item_id) in items for one in session.trials if one.form in tests)
    return pb.GetSittingScoreResponse(
        finished=True,
        released=released,
        right=found.right if released else 0,
        counted=found.maximum,
        waits=bool(found.unscored),
    )


def _entry(one: Reviewable) -> pb.ReviewEntry:
    return pb.ReviewEntry(
        trial_id=one.trial.trial_id,
        sitting=one.session.sitting,
        block_id=one.block.block_id,
        block_title=one.block.title,
        number=one.number,
        exercise=SHOWN_AS[one.block.exercise],
        correct=one.result.correct,
    )
