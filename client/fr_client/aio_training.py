"""Training of the asynchronous client: courses, cohorts, sittings and results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_client import requests, training_requests
from fr_client.handshake import Endpoint
from fr_client.requests import Photo
from fr_client.training_requests import (
    Decision,
    ExportFormat,
    Notes,
    OnCourseProgress,
    Plan,
    TrainingFile,
    made_course,
    without_course,
)

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT")

# Yields the answers to one request: takes what makes the call, and the longest wait in seconds for the next answer.
AsyncAnswers = Callable[[Callable[[], Any], float | None], AsyncGenerator[Any]]


class AsyncCall(Protocol):
    """Makes a call with one answer, again where the server refused to begin; raises `FrApiError`."""

    def __call__(
        self, method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT
    ) -> Awaitable[ResponseT]:
        """Return the answer."""
        ...


class AsyncTraining:
    """Training for asyncio; `AsyncClient.training` is one. The methods and their errors are those of `Training`.

    Args:
        channel: to the server.
        streams: a channel of the synchronous API, for answers in pieces; `aio_stream` says why.
        call: makes a call with one answer.
        answers: makes a call with many.
        target: the server, for messages.
        timeout_s: of streams, the longest wait for the next answer; None for no limit.
    """

    def __init__(
        self,
        channel: aio.Channel,
        streams: grpc.Channel,
        call: AsyncCall,
        answers: AsyncAnswers,
        target: Endpoint,
        timeout_s: float | None,
    ) -> None:
        self._stub = training_pb2_grpc.TrainingServiceStub(channel)
        self._streams = training_pb2_grpc.TrainingServiceStub(streams)
        self._call = call
        self._answers = answers
        self._target = target
        self._timeout_s = timeout_s

    # --- plans and courses ----------------------------------------------------------------------------------

    async def plans(self) -> Sequence[training_pb2.Plan]:
        """See `Training.plans`."""
        return (await self._call(self._stub.ListPlans, training_pb2.ListPlansRequest())).plans

    async def check_plan(self, plan: Plan, datasets: Sequence[str] = ()) -> training_pb2.CheckPlanResponse:
        """See `Training.check_plan`."""
        source = await asyncio.to_thread(training_requests.plan_source, plan)
        return await self._call(self._stub.CheckPlan, training_pb2.CheckPlanRequest(plan=source, datasets=datasets))

    async def create_course(
        self,
        plan: Plan,
        datasets: Sequence[str],
        *,
        seed: int | None = None,
        learn_from: Sequence[str] = (),
        exclude_photos: Sequence[str] = (),
        on_progress: OnCourseProgress | None = None,
    ) -> training_pb2.Course:
        """See `Training.create_course`; a task that is cancelled ends the making."""
        request = await asyncio.to_thread(
            training_requests.create_course, plan, datasets, seed, learn_from, exclude_photos
        )
        async with aclosing(self._answers(lambda: self._streams.CreateCourse(request), None)) as answers:
            async for answer in answers:
                course = made_course(answer, on_progress)
                if course is not None:
                    return course
        raise without_course(self._target)

    async def course(self, course_id: str) -> training_pb2.Course:
        """See `Training.course`."""
        return (await self._call(self._stub.GetCourse, training_pb2.GetCourseRequest(course_id=course_id))).course

    async def courses(self, *, page_size: int | None = None) -> AsyncIterator[training_pb2.Course]:
        """See `Training.courses`."""
        token = ""
        while True:
            request = training_pb2.ListCoursesRequest(page_size=page_size, page_token=token)
            page = await self._call(self._stub.ListCourses, request)
            for one in page.courses:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def delete_course(self, course_id: str) -> None:
        """See `Training.delete_course`."""
        await self._call(self._stub.DeleteCourse, training_pb2.DeleteCourseRequest(course_id=course_id))

    async def set_probe_key(self, course_id: str, image_sha256: str, identity: str | None) -> None:
        """See `Training.set_probe_key`."""
        await self._call(self._stub.SetProbeKey, training_requests.set_probe_key(course_id, image_sha256, identity))

    # --- cohorts --------------------------------------------------------------------------------------------

    async def create_cohort(
        self, course_id: str, trainees: int, *, display_name: str = "", retention: timedelta | None = None
    ) -> training_pb2.CreateCohortResponse:
        """See `Training.create_cohort`."""
        request = training_requests.create_cohort(course_id, trainees, display_name, retention)
        return await self._call(self._stub.CreateCohort, request)

    async def add_trainees(self, cohort_id: str, trainees: int) -> Sequence[training_pb2.Enrolled]:
        """See `Training.add_trainees`."""
        request = training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=trainees)
        return (await self._call(self._stub.AddTrainees, request)).enrolled

    async def cohort(self, cohort_id: str) -> training_pb2.GetCohortResponse:
        """See `Training.cohort`."""
        return await self._call(self._stub.GetCohort, training_pb2.GetCohortRequest(cohort_id=cohort_id))

    async def cohorts(self, course_id: str = "", *, page_size: int | None = None) -> AsyncIterator[training_pb2.Cohort]:
        """See `Training.cohorts`."""
        token = ""
        while True:
            request = training_pb2.ListCohortsRequest(course_id=course_id, page_size=page_size, page_token=token)
            page = await self._call(self._stub.ListCohorts, request)
            for one in page.cohorts:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def watch_cohort(self, cohort_id: str) -> AsyncGenerator[Sequence[training_pb2.SittingProgress]]:
        """See `Training.watch_cohort`."""
        request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
        async with aclosing(self._answers(lambda: self._streams.WatchCohort(request), None)) as answers:
            async for answer in answers:
                yield answer.progress

    async def delete_cohort(self, cohort_id: str) -> None:
        """See `Training.delete_cohort`."""
        await self._call(self._stub.DeleteCohort, training_pb2.DeleteCohortRequest(cohort_id=cohort_id))

    async def delete_trainee(self, trainee_id: str) -> None:
        """See `Training.delete_trainee`."""
        await self._call(self._stub.DeleteTrainee, training_pb2.DeleteTraineeRequest(trainee_id=trainee_id))

    # --- sittings -------------------------------------------------------------------------------------------

    async def join(self, code: str) -> training_pb2.JoinCourseResponse:
        """See `Training.join`."""
        return await self._call(self._stub.JoinCourse, training_pb2.JoinCourseRequest(code=code))

    async def start_session(self, code: str, sitting: str, *, consent: bool = False) -> training_pb2.Session:
        """See `Training.start_session`."""
        request = training_pb2.StartSessionRequest(code=code, sitting=sitting, consent=consent)
        return (await self._call(self._stub.StartSession, request)).session

    async def next_trial(self, session_id: str, begin_block: str = "") -> training_pb2.NextTrialResponse:
        """See `Training.next_trial`."""
        request = training_pb2.NextTrialRequest(session_id=session_id, begin_block=begin_block)
        return await self._call(self._stub.NextTrial, request)

    async def submit_probe(self, session_id: str, trial_id: str, photo: Photo) -> training_pb2.Trial:
        """See `Training.submit_probe`."""
        image = await asyncio.to_thread(requests.image, photo)
        request = training_pb2.SubmitProbeRequest(session_id=session_id, trial_id=trial_id, image=image)
        return (await self._call(self._stub.SubmitProbe, request)).trial

    async def lock_notes(self, session_id: str, trial_id: str, notes: Notes) -> training_pb2.Trial:
        """See `Training.lock_notes`."""
        request = training_requests.lock_notes(session_id, trial_id, notes)
        return (await self._call(self._stub.LockNotes, request)).trial

    async def submit_decision(
        self,
        session_id: str,
        trial: training_pb2.Trial,
        decision: Decision,
        *,
        difficulty: int | None = None,
        known_to_me: bool = False,
    ) -> training_pb2.SubmitDecisionResponse:
        """See `Training.submit_decision`."""
        request = training_requests.submit_decision(session_id, trial, decision, difficulty, known_to_me)
        return await self._call(self._stub.SubmitDecision, request)

    async def pause_session(self, session_id: str) -> training_pb2.Session:
        """See `Training.pause_session`."""
        request = training_pb2.PauseSessionRequest(session_id=session_id)
        return (await self._call(self._stub.PauseSession, request)).session

    async def resume_session(self, session_id: str) -> training_pb2.Session:
        """See `Training.resume_session`."""
        request = training_pb2.ResumeSessionRequest(session_id=session_id)
        return (await self._call(self._stub.ResumeSession, request)).session

    async def finish_session(self, session_id: str) -> training_pb2.Session:
        """See `Training.finish_session`."""
        request = training_pb2.FinishSessionRequest(session_id=session_id)
        return (await self._call(self._stub.FinishSession, request)).session

    # --- results --------------------------------------------------------------------------------------------

    async def report(
        self,
        *,
        code: str | None = None,
        trainee_id: str | None = None,
        cohort_id: str | None = None,
        file: TrainingFile = "json",
    ) -> bytes:
        """See `Training.report`."""
        parts = self.report_parts(code=code, trainee_id=trainee_id, cohort_id=cohort_id, file=file)
        async with aclosing(parts):
            return b"".join([part async for part in parts])

    def report_parts(
        self,
        *,
        code: str | None = None,
        trainee_id: str | None = None,
        cohort_id: str | None = None,
        file: TrainingFile = "json",
    ) -> AsyncGenerator[bytes]:
        """See `Training.report_parts`."""
        request = training_requests.get_report(code, trainee_id, cohort_id, file)
        return self._contents(lambda: self._streams.GetTrainingReport(request))

    async def export(self, cohort_id: str, form: ExportFormat = "csv") -> bytes:
        """See `Training.export`."""
        async with aclosing(self.export_parts(cohort_id, form)) as parts:
            return b"".join([part async for part in parts])

    def export_parts(self, cohort_id: str, form: ExportFormat = "csv") -> AsyncGenerator[bytes]:
        """See `Training.export_parts`."""
        request = training_requests.export_results(cohort_id, form)
        return self._contents(lambda: self._streams.ExportResults(request))

    async def _contents(self, start: Callable[[], Any]) -> AsyncGenerator[bytes]:
        """Yield the pieces of a file; the call ends with the iteration."""
        async with aclosing(self._answers(start, self._timeout_s)) as answers:
            async for answer in answers:
                yield answer.content
