"""Answers the calls of a trainee: join, start, answer, pause, finish."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from fr_api.v1 import training_pb2 as pb
from fr_api.v1 import training_pb2_grpc
from fr_locales.messages import message
from fr_locales.rendering import best_language, render, speak, spoken
from fr_server.rpc.convert import trials
from fr_server.rpc.convert.cohorts import STATES
from fr_server.rpc.convert.common import image_data, timestamp_ms
from fr_server.rpc.convert.training import sitting_message
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.training.own_probe import lock_found, search_for
from fr_server.rpc.services.training.resources import TrainingResources
from fr_training.answers import ProbeSent
from fr_training.courses import Course
from fr_training.errors import ConsentRequired
from fr_training.sessions.clock import left_ms
from fr_training.sessions.flow import finish, lock, new_session, pause, rejoined, resume, save_draft, show
from fr_training.sessions.order import sitting_of
from fr_training.sessions.probes import require_probe
from fr_training.sessions.results import SessionState, progress, state_of
from fr_training.sessions.views import Over, ShowBlock, ShowTrial
from fr_training.store.values import Cohort
from fr_training.trials import Session


async def with_pictures(resources: TrainingResources, course_id: str, shown: ShowTrial, language: str) -> pb.Trial:
    """Return the message of a trial, its pictures from memory or the store; raises `StoreFailed`, `StoreCorrupt`."""
    if shown.prompt.lesson is not None:  # which may have to be read from its file
        return await resources.work.storage(trials.trial_message, shown, (), language)
    remembered = [resources.store.remembered_picture(course_id, number) for number in shown.photos]
    pictures = [one for one in remembered if one is not None]
    if len(pictures) < len(shown.photos):
        pictures = await resources.work.storage(_read, resources, course_id, shown.photos)
    return trials.trial_message(shown, pictures, language)


def asked_language(request: pb.NextTrialRequest | pb.SubmitDecisionRequest | pb.GetReviewRequest) -> str:
    """Return the language of a request, else that of its call; what is told from now on is told in it."""
    if request.language:
        speak(best_language(request.language))
    return request.language or spoken()


def _read(resources: TrainingResources, course_id: str, numbers: Sequence[int]) -> list[bytes]:
    return [resources.store.picture(course_id, number) for number in numbers]


class SessionCalls(training_pb2_grpc.TrainingServiceServicer):
    """Shows trials and locks answers; see `TrainingResources` for what it works with."""

    def __init__(self, resources: TrainingResources) -> None:
        self._resources = resources

    async def JoinCourse(self, request: pb.JoinCourseRequest, context: Context) -> pb.JoinCourseResponse:
        def joined() -> pb.JoinCourseResponse:
            store = self._resources.store
            trainee = store.trainee_of_code(request.code)
            cohort = store.cohort(trainee.cohort_id)
            course = store.course(cohort.course_id).in_language(spoken())
            begun = {session.sitting: session for session in store.sessions_of(trainee.trainee_id)}
            return pb.JoinCourseResponse(
                trainee_id=trainee.trainee_id,
                title=course.plan.title,
                notice=_notice(course, cohort),
                expire_time=timestamp_ms(cohort.expires_ms),
                sittings=[
                    pb.SittingState(
                        sitting=sitting_message(sitting),
                        state=STATES[
                            state_of(begun[sitting.name]) if sitting.name in begun else SessionState.NOT_STARTED
                        ],
                        closed=sitting.name in cohort.closed,
                    )
                    for sitting in course.plan.sittings
                ],
            )

        return await self._resources.work.storage(joined)

    async def StartSession(self, request: pb.StartSessionRequest, context: Context) -> pb.StartSessionResponse:
        now_ms = self._resources.now_ms()

        def started() -> Session:
            store = self._resources.store
            trainee = store.trainee_of_code(request.code)
            course = store.course(store.cohort(trainee.cohort_id).course_id)

            def make() -> Session:
                if not request.consent:
                    raise ConsentRequired(message("error.rpc.consent_not_set"), field="consent")
                session_id, secret = secrets.token_hex(16), secrets.token_bytes(32)
                return new_session(
                    course, trainee.trainee_id, trainee.group, request.sitting, session_id, secret, now_ms
                )

            sitting_of(course, request.sitting)
            return store.start_session(trainee, request.sitting, make)

        session = await self._resources.work.storage(started)
        found = await self._set(session.session_id, rejoined)
        return pb.StartSessionResponse(session=found)

    async def NextTrial(self, request: pb.NextTrialRequest, context: Context) -> pb.NextTrialResponse:
        now_ms, language = self._resources.now_ms(), asked_language(request)

        def shown(course: Course, session: Session) -> tuple[Session, tuple[Course, ShowTrial | ShowBlock | Over]]:
            after, found = show(course, session, request.begin_block, now_ms)
            return after, (course, found)

        course, found = await self._resources.change(request.session_id, shown)
        if isinstance(found, ShowTrial):
            trial = await with_pictures(self._resources, course.course_id, found, language)
            return pb.NextTrialResponse(trial=trial)
        if isinstance(found, ShowBlock):
            block = await self._resources.work.storage(trials.block_to_begin, course, found, language)
            return pb.NextTrialResponse(block=block)
        return pb.NextTrialResponse(over=trials.over_message(found))

    async def SubmitProbe(self, request: pb.SubmitProbeRequest, context: Context) -> pb.SubmitProbeResponse:
        resources, arrived_ms = self._resources, self._resources.now_ms()
        data = image_data(request.image, "image")
        sent = await resources.work.storage(lambda: ProbeSent(hashlib.sha256(data).hexdigest()))

        def asked(course: Course, session: Session) -> tuple[Session, tuple[Course, Session, ShowTrial | None]]:
            return session, (course, session, require_probe(course, session, request.trial_id, arrived_ms, sent))

        course, session, shown = await resources.change(request.session_id, asked)
        if shown is None:
            own = await search_for(resources, course, session, request.trial_id, data, sent.image_sha256)
            found_ms = resources.now_ms()

            def locked(course: Course, session: Session) -> tuple[Session, ShowTrial]:
                return lock_found(course, session, request.trial_id, sent, own, arrived_ms, found_ms)

            shown = await resources.change(request.session_id, locked)
        return pb.SubmitProbeResponse(trial=await with_pictures(resources, course.course_id, shown, spoken()))

    async def SaveDraft(self, request: pb.SaveDraftRequest, context: Context) -> pb.SaveDraftResponse:
        now_ms, draft = self._resources.now_ms(), trials.sent_draft(request.draft)

        def saved(course: Course, session: Session) -> tuple[Session, int | None]:
            return save_draft(course, session, request.trial_id, draft, now_ms)

        left = await self._resources.change(request.session_id, saved)
        return pb.SaveDraftResponse(left=trials.duration_message(left))

    async def LockNotes(self, request: pb.LockNotesRequest, context: Context) -> pb.LockNotesResponse:
        now_ms = self._resources.now_ms()
        step, answer = trials.sent_notes(request)

        def locked(course: Course, session: Session) -> tuple[Session, tuple[str, ShowTrial | None]]:
            after, found = lock(course, session, request.trial_id, step, answer, now_ms)
            return after, (course.course_id, found.trial)

        course_id, shown = await self._resources.change(request.session_id, locked)
        trial = None if shown is None else await with_pictures(self._resources, course_id, shown, spoken())
        return pb.LockNotesResponse(trial=trial)

    async def SubmitDecision(self, request: pb.SubmitDecisionRequest, context: Context) -> pb.SubmitDecisionResponse:
        now_ms, language = self._resources.now_ms(), asked_language(request)
        step, answer = trials.sent_decision(request)

        def locked(course: Course, session: Session) -> tuple[Session, tuple[str, ShowTrial | None, pb.Reveal | None]]:
            after, found = lock(course, session, request.trial_id, step, answer, now_ms)
            reveal = None if found.reveal is None else trials.reveal_message(found.reveal, language)
            return after, (course.course_id, found.trial, reveal)

        course_id, shown, reveal = await self._resources.change(request.session_id, locked)
        trial = None if shown is None else await with_pictures(self._resources, course_id, shown, language)
        return pb.SubmitDecisionResponse(trial=trial, reveal=reveal)

    async def PauseSession(self, request: pb.PauseSessionRequest, context: Context) -> pb.PauseSessionResponse:
        return pb.PauseSessionResponse(session=await self._set(request.session_id, pause))

    async def ResumeSession(self, request: pb.ResumeSessionRequest, context: Context) -> pb.ResumeSessionResponse:
        return pb.ResumeSessionResponse(session=await self._set(request.session_id, lambda _, *at: resume(*at)))

    async def FinishSession(self, request: pb.FinishSessionRequest, context: Context) -> pb.FinishSessionResponse:
        return pb.FinishSessionResponse(session=await self._set(request.session_id, lambda _, *at: finish(*at)))

    async def _set(self, session_id: str, step: Callable[[Course, Session, int], Session]) -> pb.Session:
        now_ms = self._resources.now_ms()

        def changed(course: Course, session: Session) -> tuple[Session, pb.Session]:
            after = step(course, session, now_ms)
            return after, _session_message(course, after, now_ms)

        return await self._resources.change(session_id, changed)


def _session_message(course: Course, session: Session, now_ms: int) -> pb.Session:
    found = progress(course, session)
    runs = session.finished_ms is None and session.block_started_ms is not None
    block = sitting_of(course, session.sitting).blocks[session.block] if runs else None
    return pb.Session(
        session_id=session.session_id,
        sitting=sitting_message(sitting_of(course.in_language(spoken()), session.sitting)),
        state=STATES[found.state],
        answered=found.answered,
        trials=found.trials,
        left=None if block is None else trials.duration_message(left_ms(session, block, now_ms)),
    )


def _notice(course: Course, cohort: Cohort) -> str:
    day = datetime.fromtimestamp(cohort.expires_ms / 1000, UTC).date()
    return course.plan.notice or render(message("notice.course", day=day))
