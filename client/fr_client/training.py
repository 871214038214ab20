"""Training of the synchronous client: courses, cohorts, sittings and results."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_client import requests, training_requests
from fr_client.answers import each
from fr_client.channel import RetryPolicy
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


class Call(Protocol):
    """Makes a call with one answer, again where the server refused to begin; raises `FrApiError`."""

    def __call__(self, method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Return the answer."""
        ...


class Training:
    """Training in the comparison of faces; `Client.training` is one. Errors are those of `Client`.

    A session id and a trainee's code let whoever has them answer in the trainee's place: show and log neither.

    Args:
        channel: to the server.
        call: makes a call with one answer.
        target: the server, for messages, and for why there is no connection.
        timeout_s: of streams, the longest wait for the next answer; None for no limit.
        retry: when a stream that the server refused to begin is begun again.
    """

    def __init__(
        self, channel: grpc.Channel, call: Call, target: Endpoint, timeout_s: float | None, retry: RetryPolicy
    ) -> None:
        self._stub = training_pb2_grpc.TrainingServiceStub(channel)
        self._call = call
        self._target = target
        self._timeout_s = timeout_s
        self._retry = retry

    # --- plans and courses ----------------------------------------------------------------------------------

    def plans(self) -> Sequence[training_pb2.Plan]:
        """Return the plans that come with the server."""
        return self._call(self._stub.ListPlans, training_pb2.ListPlansRequest()).plans

    def check_plan(self, plan: Plan, datasets: Sequence[str] = ()) -> training_pb2.CheckPlanResponse:
        """Read a plan, and say what it needs and what there is.

        Args:
            plan: the name of one that comes with the server, the file of one, or the message.
            datasets: names of data sets of people, as `Client.datasets` has them; none to say only what it needs.

        Raises:
            OSError: the file of the plan cannot be read.
            UnicodeDecodeError: it is no text in UTF-8.
        """
        request = training_pb2.CheckPlanRequest(plan=training_requests.plan_source(plan), datasets=datasets)
        return self._call(self._stub.CheckPlan, request)

    def create_course(
        self,
        plan: Plan,
        datasets: Sequence[str],
        *,
        seed: int | None = None,
        learn_from: Sequence[str] = (),
        exclude_photos: Sequence[str] = (),
        on_progress: OnCourseProgress | None = None,
    ) -> training_pb2.Course:
        """Make a course of a plan and of data sets, and return it.

        It may take minutes: `timeout_s` does not end it. What ends the wait, such as Ctrl-C, ends the making too, and
        leaves no course.

        Args:
            plan: see `check_plan`, its errors too.
            datasets: likewise; at least one.
            seed: in place of the plan's, decides who is shown where; None for that of the plan.
            learn_from: ids of courses whose answers move the difficulty of the same items, and set suspect ones aside.
            exclude_photos: sha256 of photo files that are labelled wrong, 64 hexadecimal digits each.
            on_progress: is told how far it has come.
        """
        request = training_requests.create_course(plan, datasets, seed, learn_from, exclude_photos)
        with closing(each(lambda: self._stub.CreateCourse(request), self._target, None, self._retry)) as answers:
            for answer in answers:
                course = made_course(answer, on_progress)
                if course is not None:
                    return course
        raise without_course(self._target)

    def course(self, course_id: str) -> training_pb2.Course:
        """Describe a course."""
        return self._call(self._stub.GetCourse, training_pb2.GetCourseRequest(course_id=course_id)).course

    def courses(self, *, page_size: int | None = None) -> Iterator[training_pb2.Course]:
        """Yield every course, the newest first, page by page; None for the server's size of a page."""
        token = ""
        while True:
            request = training_pb2.ListCoursesRequest(page_size=page_size, page_token=token)
            page = self._call(self._stub.ListCourses, request)
            yield from page.courses
            token = page.next_page_token
            if not token:
                return

    def delete_course(self, course_id: str) -> None:
        """Delete a course with its cohorts, their sessions and answers, its pictures and its gallery."""
        self._call(self._stub.DeleteCourse, training_pb2.DeleteCourseRequest(course_id=course_id))

    def set_probe_key(self, course_id: str, image_sha256: str, identity: str | None) -> None:
        """Say whom a photo shows that trainees may send as their own probe.

        Args:
            course_id: the course.
            image_sha256: of the photo's file, 64 hexadecimal digits.
            identity: name or number of the person in the data set; None = nobody of the course's gallery.
        """
        self._call(self._stub.SetProbeKey, training_requests.set_probe_key(course_id, image_sha256, identity))

    # --- cohorts --------------------------------------------------------------------------------------------

    def create_cohort(
        self, course_id: str, trainees: int, *, display_name: str = "", retention: timedelta | None = None
    ) -> training_pb2.CreateCohortResponse:
        """Make a cohort of a course; the trainees' codes are told this once.

        Args:
            course_id: the course that it takes.
            trainees: how many, from 1 to 1,000.
            display_name: a name for people.
            retention: how long its results are kept; None for what the plan says.
        """
        request = training_requests.create_cohort(course_id, trainees, display_name, retention)
        return self._call(self._stub.CreateCohort, request)

    def add_trainees(self, cohort_id: str, trainees: int) -> Sequence[training_pb2.Enrolled]:
        """Add 1 to 1,000 trainees to a cohort, and return them with their codes, which are told this once."""
        request = training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=trainees)
        return self._call(self._stub.AddTrainees, request).enrolled

    def cohort(self, cohort_id: str) -> training_pb2.GetCohortResponse:
        """Describe a cohort and how far its trainees are."""
        return self._call(self._stub.GetCohort, training_pb2.GetCohortRequest(cohort_id=cohort_id))

    def cohorts(self, course_id: str = "", *, page_size: int | None = None) -> Iterator[training_pb2.Cohort]:
        """Yield the cohorts of a course, or all where it is empty, the newest first, page by page."""
        token = ""
        while True:
            request = training_pb2.ListCohortsRequest(course_id=course_id, page_size=page_size, page_token=token)
            page = self._call(self._stub.ListCohorts, request)
            yield from page.cohorts
            token = page.next_page_token
            if not token:
                return

    def watch_cohort(self, cohort_id: str) -> Generator[Sequence[training_pb2.SittingProgress]]:
        """Yield how far each trainee is, at once and whenever that changes: first all, then those that are new.

        It goes on until the iterator is closed; `timeout_s` does not end it.
        """
        request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
        with closing(each(lambda: self._stub.WatchCohort(request), self._target, None, self._retry)) as answers:
            for answer in answers:
                yield answer.progress

    def delete_cohort(self, cohort_id: str) -> None:
        """Delete a cohort with its trainees, their sessions and answers."""
        self._call(self._stub.DeleteCohort, training_pb2.DeleteCohortRequest(cohort_id=cohort_id))

    def delete_trainee(self, trainee_id: str) -> None:
        """Delete a trainee with all sessions and answers."""
        self._call(self._stub.DeleteTrainee, training_pb2.DeleteTraineeRequest(trainee_id=trainee_id))

    # --- sittings -------------------------------------------------------------------------------------------

    def join(self, code: str) -> training_pb2.JoinCourseResponse:
        """Say what the trainee with a code is about to do, and what is kept of it."""
        return self._call(self._stub.JoinCourse, training_pb2.JoinCourseRequest(code=code))

    def start_session(self, code: str, sitting: str, *, consent: bool = False) -> training_pb2.Session:
        """Begin a sitting, or go on with it.

        Args:
            code: of the trainee.
            sitting: its name, as `join` has it.
            consent: that the trainee agrees to the notice of `join`; needed to begin.
        """
        request = training_pb2.StartSessionRequest(code=code, sitting=sitting, consent=consent)
        return self._call(self._stub.StartSession, request).session

    def next_trial(self, session_id: str, begin_block: str = "") -> training_pb2.NextTrialResponse:
        """Return what is next: a block to begin, the trial that waits for an answer, or the end.

        Args:
            session_id: the session.
            begin_block: id of the block to begin, as the answer before named it; its time runs from then.
        """
        request = training_pb2.NextTrialRequest(session_id=session_id, begin_block=begin_block)
        return self._call(self._stub.NextTrial, request)

    def submit_probe(self, session_id: str, trial_id: str, photo: Photo) -> training_pb2.Trial:
        """Send the photo of an own probe, and return the trial at its next step; see `Client.detect` for the photo."""
        request = training_pb2.SubmitProbeRequest(session_id=session_id, trial_id=trial_id, image=requests.image(photo))
        return self._call(self._stub.SubmitProbe, request).trial

    def lock_notes(self, session_id: str, trial_id: str, notes: Notes) -> training_pb2.Trial:
        """Lock notes on the probe, or what was observed of each component; return the trial at its next step."""
        return self._call(self._stub.LockNotes, training_requests.lock_notes(session_id, trial_id, notes)).trial

    def submit_decision(
        self,
        session_id: str,
        trial: training_pb2.Trial,
        decision: Decision,
        *,
        difficulty: int | None = None,
        known_to_me: bool = False,
    ) -> training_pb2.SubmitDecisionResponse:
        """Lock a decision. It is durable when this returns; sending the same again is harmless, another is refused.

        Args:
            session_id: the session.
            trial: as it was shown; it says which step is answered.
            decision: a `PairRating`, a `CandidateDecision`, a `QualityDecision`, or the picture of the odd one out.
            difficulty: how hard it was, from 1, easy, to 5; None where it was not given.
            known_to_me: whether the trainee knows one of the people shown; the trial then counts in no figure.
        """
        request = training_requests.submit_decision(session_id, trial, decision, difficulty, known_to_me)
        return self._call(self._stub.SubmitDecision, request)

    def pause_session(self, session_id: str) -> training_pb2.Session:
        """Stop the time of a session."""
        return self._call(self._stub.PauseSession, training_pb2.PauseSessionRequest(session_id=session_id)).session

    def resume_session(self, session_id: str) -> training_pb2.Session:
        """Let the time of a session go on."""
        return self._call(self._stub.ResumeSession, training_pb2.ResumeSessionRequest(session_id=session_id)).session

    def finish_session(self, session_id: str) -> training_pb2.Session:
        """End a session; trials that were not answered stay so."""
        return self._call(self._stub.FinishSession, training_pb2.FinishSessionRequest(session_id=session_id)).session

    # --- results --------------------------------------------------------------------------------------------

    def report(
        self,
        *,
        code: str | None = None,
        trainee_id: str | None = None,
        cohort_id: str | None = None,
        file: TrainingFile = "json",
    ) -> bytes:
        """Read a report of a trainee or of a cohort, as UTF-8; arguments and errors are those of `report_parts`."""
        parts = self.report_parts(code=code, trainee_id=trainee_id, cohort_id=cohort_id, file=file)
        with closing(parts):
            return b"".join(parts)

    def report_parts(
        self,
        *,
        code: str | None = None,
        trainee_id: str | None = None,
        cohort_id: str | None = None,
        file: TrainingFile = "json",
    ) -> Generator[bytes]:
        """Yield a report piece by piece.

        Args:
            code: of a trainee who asks for the own one; all sessions that were begun must be finished.
            trainee_id: pseudonym of a trainee, for the trainer.
            cohort_id: a cohort.
            file: "json" has every figure, "html" is a page for people.

        Raises:
            ValueError: not exactly one of code, trainee and cohort is given.
        """
        request = training_requests.get_report(code, trainee_id, cohort_id, file)
        answers = each(lambda: self._stub.GetTrainingReport(request), self._target, self._timeout_s, self._retry)
        return _contents(answers)

    def export(self, cohort_id: str, form: ExportFormat = "csv") -> bytes:
        """Write the results of a cohort for other systems; see `export_parts`."""
        with closing(self.export_parts(cohort_id, form)) as parts:
            return b"".join(parts)

    def export_parts(self, cohort_id: str, form: ExportFormat = "csv") -> Generator[bytes]:
        """Yield the results of a cohort piece by piece, as UTF-8.

        Args:
            cohort_id: the cohort.
            form: "csv", a row for each answer; "xapi", statements of xAPI; "ags", scores of LTI's Assignment and Grade
                Services; "open-badges", signed credentials.
        """
        request = training_requests.export_results(cohort_id, form)
        answers = each(lambda: self._stub.ExportResults(request), self._target, self._timeout_s, self._retry)
        return _contents(answers)


def _contents(
    answers: Generator[training_pb2.GetTrainingReportResponse] | Generator[training_pb2.ExportResultsResponse],
) -> Generator[bytes]:
    """Yield the pieces of a file; the call ends with the iteration."""
    with closing(answers):
        for answer in answers:
            yield answer.content
