"""Messages of cohorts and their trainees, to and from values."""

from datetime import timedelta

from fr_api.v1 import training_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_server.rpc.convert.common import by_name, duration, timestamp_ms
from fr_training.courses import Course
from fr_training.plan import CoursePlan
from fr_training.sessions.flow import MOST_ADDED_MS
from fr_training.sessions.results import Progress, SessionState
from fr_training.sessions.review import forms_of_tests
from fr_training.store.values import Cohort, NewTrainee, Release

MAX_TRAINEES = 1_000
MAX_ISSUER, MAX_SUBJECT = 500, 255  # characters; OpenID Connect Core 1.0, 2, limits a subject to 255
MAX_RETENTION = timedelta(days=3_650)
MAX_RELEASED = 10_000  # items that a release names by their ids

STATES = by_name(SessionState, pb.SessionState, "SESSION_STATE")


def sent_trainees(trainees: int) -> int:
    """Return how many trainees are wanted; raises `InvalidField` for none or too many."""
    if not 1 <= trainees <= MAX_TRAINEES:
        raise InvalidField(message("error.rpc.trainees_number_1", most=MAX_TRAINEES), field="trainees")
    return trainees


def sent_person(sent: pb.JoinFromPlatformRequest) -> tuple[str, str, str]:
    """Return a platform user's issuer, client and subject; raises `InvalidField` if one is empty or too long."""
    for field, most in (("issuer", MAX_ISSUER), ("client_id", MAX_SUBJECT), ("subject", MAX_SUBJECT)):
        if not 1 <= len(getattr(sent, field)) <= most:
            raise InvalidField(message("error.rpc.person_of_platform", field=field, most=most), field=field)
    return sent.issuer, sent.client_id, sent.subject


def sent_retention_ms(request: pb.CreateCohortRequest, plan: CoursePlan) -> int:
    """Return how long results are kept, in milliseconds; raises `InvalidField` where that is out of range."""
    if not request.HasField("retention"):
        return plan.retention_days * 24 * 3600 * 1000
    length = request.retention
    if not 1 <= length.seconds <= MAX_RETENTION.total_seconds():
        raise InvalidField(message("error.rpc.retention_range", days=MAX_RETENTION.days), field="retention")
    return length.seconds * 1000


def sent_more_ms(request: pb.ExtendTimeRequest) -> int:
    """Return the time to add, in milliseconds; raises `InvalidField` where that is out of range."""
    if not 60 <= request.more.seconds <= MOST_ADDED_MS // 1000:
        raise InvalidField(message("error.session.too_much_time"), field="more")
    return request.more.seconds * 1000


def cohort_message(cohort: Cohort) -> pb.Cohort:
    """Build the message of a cohort."""
    return pb.Cohort(
        cohort_id=cohort.cohort_id,
        course_id=cohort.course_id,
        display_name=cohort.display_name,
        create_time=timestamp_ms(cohort.created_ms),
        expire_time=timestamp_ms(cohort.expires_ms),
        trainees=cohort.trainees,
        closed_sittings=sorted(cohort.closed),
    )


def release_message(course: Course, release: Release) -> pb.Release:
    """Build the message of a release to a cohort of a course."""
    tests = forms_of_tests(course)
    return pb.Release(
        release_time=timestamp_ms(release.released_ms),
        items=len(release.items),
        test_items=sum(form in tests for form, _ in release.items),
        item_ids=sorted({item_id for _, item_id in release.items}),
    )


def enrolled_message(trainee: NewTrainee) -> pb.Enrolled:
    """Build the message of a new trainee."""
    return pb.Enrolled(trainee_id=trainee.trainee_id, code=trainee.code)


def progress_message(trainee_id: str, sitting: str, found: Progress) -> pb.SittingProgress:
    """Build the message of how far a trainee is in a sitting."""
    return pb.SittingProgress(
        trainee_id=trainee_id,
        sitting=sitting,
        state=STATES[found.state],
        block_id=found.block_id,
        answered=found.answered,
        trials=found.trials,
        last_time=None if found.last_ms is None else timestamp_ms(found.last_ms),
        scored=found.scored,
        right=found.right,
        extended=duration(timedelta(milliseconds=found.extended_ms)) if found.extended_ms else None,
    )
