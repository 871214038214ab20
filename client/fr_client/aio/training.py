"""Training of the asynchronous client: courses, cohorts, sittings and results."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_client import requests
from fr_client.aio.calls import AsyncCalls
from fr_client.requests import Decision, Notes, OnCourseProgress, Photo, Plan
from fr_client.tasks import run
from fr_client.words import (
    EXPORT_FORMATS,
    PACKAGE_FORMATS,
    TRAINING_FILES,
    ExportFormat,
    PackageFormat,
    TrainingFile,
    value_of,
)

# The field of each kind of decision.
_ANSWERS: Mapping[type, str] = {
    training_pb2.PairRating: "rating",
    training_pb2.CandidateDecision: "candidates",
    training_pb2.QualityDecision: "quality",
    training_pb2.Prediction: "prediction",
    training_pb2.Conclusion: "conclusion",
    training_pb2.FileHash: "file_hash",
}


class AsyncTraining:
    """Training in the comparison of faces: `AsyncClient.training`. Errors are those of `AsyncClient`.

    Anybody with a session id or a trainee's code can answer in the trainee's place: show and log neither.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls
        self._stub = training_pb2_grpc.TrainingServiceStub(calls.unary)
        self._streams = training_pb2_grpc.TrainingServiceStub(calls.streams)

    async def plans(self) -> Sequence[training_pb2.Plan]:
        """Return the plans that come with the server."""
        return (await self._calls.call(self._stub.ListPlans, training_pb2.ListPlansRequest())).plans

    async def manual(self, language: str = "") -> training_pb2.GetManualResponse:
        """Return the manual of good practice as an HTML document, in a language such as "fr"; else in English."""
        return await self._calls.call(self._stub.GetManual, training_pb2.GetManualRequest(language=language))

    async def lesson_package(
        self, lessons: Sequence[str], form: PackageFormat, language: str = "", mastery: float | None = None
    ) -> training_pb2.GetLessonPackageResponse:
        """Return lessons and their questions as a package for a learning platform, "scorm-2004" or "cmi5".

        Args:
            lessons: their names, such as "thresholds", in display order and without repetition.
            form: the standard of the package.
            language: such as "fr"; English if it is empty, or if one of the lessons is not translated.
            mastery: the share of right answers needed to pass a lesson, in [0.01, 1]; None for no pass mark.
        """
        request = training_pb2.GetLessonPackageRequest(
            lessons=lessons, format=value_of("form", form, PACKAGE_FORMATS), language=language, mastery_score=mastery
        )
        return await self._calls.call(self._stub.GetLessonPackage, request)

    async def check_plan(self, plan: Plan, datasets: Sequence[str] = ()) -> training_pb2.CheckPlanResponse:
        """Read a plan, and return its needs, and what the data sets have.

        Args:
            plan: the name of one that comes with the server, the file of one, or the message.
            datasets: names of data sets of people, as `AsyncClient.datasets` has them; none to return only the needs.

        Raises `OSError` or `UnicodeDecodeError` if the file of the plan cannot be read.
        """
        request = training_pb2.CheckPlanRequest(plan=await run(requests.plan_source, plan), datasets=datasets)
        return await self._calls.call(self._stub.CheckPlan, request)

    async def create_course(
        self,
        plan: Plan,
        datasets: Sequence[str],
        *,
        seed: int | None = None,
        learn_from: Sequence[str] = (),
        exclude_photos: Sequence[str] = (),
        exclude_items: Sequence[str] = (),
        only_forecast: bool = False,
        on_progress: OnCourseProgress | None = None,
    ) -> training_pb2.Course:
        """Make a course from a plan and data sets, at least one, as `check_plan` takes them, and return it.

        It may take minutes: `timeout_s` does not end it. If the wait ends early (Ctrl-C, a cancelled task), the server
        stops and leaves no course.

        Args:
            seed: decides who appears where; None for that of the plan.
            learn_from: ids of courses whose answers move the difficulty of the same items, and set aside suspect ones.
            exclude_photos: sha256 of photo files with wrong labels, 64 hexadecimal digits each.
            exclude_items: ids of items to leave out, as `form_items` has them.
            only_forecast: make nothing, and return how hard the course would be: its `forecasts`, without an id.
        """
        request = training_pb2.CreateCourseRequest(
            plan=await run(requests.plan_source, plan),
            datasets=datasets,
            seed=seed,
            learn_from=learn_from,
            exclude_photos=exclude_photos,
            exclude_items=exclude_items,
            only_forecast=only_forecast,
        )
        tell = on_progress or (lambda now: None)
        course: training_pb2.Course = await self._calls.awaited(
            lambda: self._streams.CreateCourse(request), "course", tell, "the making of the course"
        )
        return course

    async def course(self, course_id: str) -> training_pb2.Course:
        """Describe a course."""
        return (await self._calls.call(self._stub.GetCourse, training_pb2.GetCourseRequest(course_id=course_id))).course

    async def form_items(
        self, course_id: str, form: str = "", *, language: str = ""
    ) -> AsyncGenerator[training_pb2.FormItem]:
        """Yield the items of a form of a course, or of all forms, with their pictures and right answers.

        Args:
            language: of the texts of lessons, such as "fr"; "" for English.
        """
        request = training_pb2.ListFormItemsRequest(course_id=course_id, form=form, language=language)
        answers = self._calls.answers(lambda: self._streams.ListFormItems(request), self._calls.timeout_s)
        async with aclosing(answers) as found:
            async for answer in found:
                yield answer.item

    def courses(self, *, page_size: int | None = None) -> AsyncIterator[training_pb2.Course]:
        """Yield every course, the newest first, page by page; None for the server's size of a page."""
        request = training_pb2.ListCoursesRequest(page_size=page_size)
        return self._calls.pages(self._stub.ListCourses, request, "courses")

    async def delete_course(self, course_id: str) -> None:
        """Delete a course with its cohorts, their sessions and answers, its pictures and its gallery."""
        await self._calls.call(self._stub.DeleteCourse, training_pb2.DeleteCourseRequest(course_id=course_id))

    async def set_probe_key(self, course_id: str, image_sha256: str, identity: str | None) -> None:
        """Set the person on a photo that trainees may send as their own probe.

        Args:
            image_sha256: of the photo's file, 64 hexadecimal digits.
            identity: name or number of the person in the data set; None for nobody of the course's gallery.
        """
        request = training_pb2.SetProbeKeyRequest(course_id=course_id, image_sha256=image_sha256)
        if identity is None:
            request.absent = True
        else:
            request.identity = identity
        await self._calls.call(self._stub.SetProbeKey, request)

    async def create_cohort(
        self, course_id: str, trainees: int, *, display_name: str = "", retention: timedelta | None = None
    ) -> training_pb2.CreateCohortResponse:
        """Make a cohort of 1 to 1,000 trainees; the server says their codes only this once.

        `retention` is how long the server keeps its results; None for that of the plan.
        """
        request = training_pb2.CreateCohortRequest(
            course_id=course_id, display_name=display_name, trainees=trainees, retention=requests.duration(retention)
        )
        return await self._calls.call(self._stub.CreateCohort, request)

    async def add_trainees(self, cohort_id: str, trainees: int) -> Sequence[training_pb2.Enrolled]:
        """Add 1 to 1,000 trainees to a cohort, and return them with their codes, which are said only once."""
        request = training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=trainees)
        return (await self._calls.call(self._stub.AddTrainees, request)).enrolled

    async def cohort(self, cohort_id: str) -> training_pb2.GetCohortResponse:
        """Describe a cohort and the progress of its trainees."""
        return await self._calls.call(self._stub.GetCohort, training_pb2.GetCohortRequest(cohort_id=cohort_id))

    def cohorts(self, course_id: str = "", *, page_size: int | None = None) -> AsyncIterator[training_pb2.Cohort]:
        """Yield the cohorts of a course, or of all (""), the newest first, page by page."""
        request = training_pb2.ListCohortsRequest(course_id=course_id, page_size=page_size)
        return self._calls.pages(self._stub.ListCohorts, request, "cohorts")

    async def watch_cohort(self, cohort_id: str) -> AsyncGenerator[Sequence[training_pb2.SittingProgress]]:
        """Yield the progress of all trainees at once, and then each change until it is closed; has no limit of time."""
        request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
        async with aclosing(self._calls.answers(lambda: self._streams.WatchCohort(request), None)) as answers:
            async for answer in answers:
                yield answer.progress

    async def set_sitting_closed(self, cohort_id: str, sitting: str, closed: bool) -> training_pb2.Cohort:
        """Close a sitting to a cohort, which stops the time of all who are in it, or open it again."""
        request = training_pb2.SetSittingClosedRequest(cohort_id=cohort_id, sitting=sitting, closed=closed)
        return (await self._calls.call(self._stub.SetSittingClosed, request)).cohort

    async def extend_time(self, cohort_id: str, more: timedelta, trainee_id: str = "") -> Sequence[str]:
        """Add time, a minute to a day, to the limits of the running blocks, of one trainee or of all ("").

        Returns the pseudonyms of the trainees who have more time now.
        """
        request = training_pb2.ExtendTimeRequest(
            cohort_id=cohort_id, trainee_id=trainee_id, more=requests.duration(more)
        )
        return (await self._calls.call(self._stub.ExtendTime, request)).trainee_ids

    async def delete_cohort(self, cohort_id: str) -> None:
        """Delete a cohort with its trainees, their sessions and answers."""
        await self._calls.call(self._stub.DeleteCohort, training_pb2.DeleteCohortRequest(cohort_id=cohort_id))

    async def delete_trainee(self, trainee_id: str) -> None:
        """Delete a trainee with all sessions and answers."""
        await self._calls.call(self._stub.DeleteTrainee, training_pb2.DeleteTraineeRequest(trainee_id=trainee_id))

    async def join_from_platform(
        self, cohort_id: str, issuer: str, client_id: str, subject: str
    ) -> training_pb2.Enrolled:
        """Enrol a person of a learning platform in a cohort, or find them there; the code is the same each time."""
        request = training_pb2.JoinFromPlatformRequest(
            cohort_id=cohort_id, issuer=issuer, client_id=client_id, subject=subject
        )
        return (await self._calls.call(self._stub.JoinFromPlatform, request)).enrolled

    async def get_sitting_score(self, code: str, sitting: str) -> training_pb2.GetSittingScoreResponse:
        """Return the score of a trainee in a finished sitting: none of a test before its items are released."""
        request = training_pb2.GetSittingScoreRequest(code=code, sitting=sitting)
        return await self._calls.call(self._stub.GetSittingScore, request)

    async def release_items(
        self,
        cohort_id: str,
        block_ids: Sequence[str] = (),
        item_ids: Sequence[str] = (),
        *,
        include_tests: bool = False,
        before_all_finished: bool = False,
    ) -> training_pb2.Release:
        """Let the trainees of a cohort look at their answers to items again, with the right ones; at least one item.

        Args:
            block_ids: of the course; all of their items.
            item_ids: as a cohort's report lists them.
            include_tests: release items of tests too, with which nobody can be tested afterwards.
            before_all_finished: release items that some trainees still have ahead; those trainees see them later.
        """
        request = training_pb2.ReleaseItemsRequest(
            cohort_id=cohort_id,
            block_ids=block_ids,
            item_ids=item_ids,
            include_tests=include_tests,
            before_all_finished=before_all_finished,
        )
        return (await self._calls.call(self._stub.ReleaseItems, request)).release

    async def class_item(self, cohort_id: str, item_id: str) -> training_pb2.GetClassItemResponse:
        """Return a released item for a class: photos, answers of the cohort, the machine, and last the right answer."""
        request = training_pb2.GetClassItemRequest(cohort_id=cohort_id, item_id=item_id)
        return await self._calls.call(self._stub.GetClassItem, request)

    async def list_review(self, code: str, *, include_right: bool = False) -> training_pb2.ListReviewResponse:
        """Return a trainee's own wrong answers to released items; with `include_right` all of them."""
        request = training_pb2.ListReviewRequest(code=code, all=include_right)
        return await self._calls.call(self._stub.ListReview, request)

    async def review(self, code: str, trial_id: str, language: str = "") -> training_pb2.GetReviewResponse:
        """Return one of these trials with its pictures, the trainee's answers, and the right one.

        `language` is that of the answer, such as "fr"; empty for English, as which what lacks it comes.
        """
        request = training_pb2.GetReviewRequest(code=code, trial_id=trial_id, language=language)
        return await self._calls.call(self._stub.GetReview, request)

    async def join(self, code: str) -> training_pb2.JoinCourseResponse:
        """Return the course of a trainee's code, its sittings, and the notice of what the server keeps."""
        return await self._calls.call(self._stub.JoinCourse, training_pb2.JoinCourseRequest(code=code))

    async def start_session(self, code: str, sitting: str, *, consent: bool = False) -> training_pb2.Session:
        """Begin a sitting of a trainee by its name, as `join` has it, or continue it.

        `consent` says whether the trainee agrees to the notice of `join`; needed to begin.
        """
        request = training_pb2.StartSessionRequest(code=code, sitting=sitting, consent=consent)
        return (await self._calls.call(self._stub.StartSession, request)).session

    async def next_trial(
        self, session_id: str, begin_block: str = "", language: str = ""
    ) -> training_pb2.NextTrialResponse:
        """Return the next step: a block to begin, the trial that waits for an answer, or the end.

        `begin_block` is the id of the block to begin, from the answer before; its time starts now. `language` as in
        `review`.
        """
        request = training_pb2.NextTrialRequest(session_id=session_id, begin_block=begin_block, language=language)
        return await self._calls.call(self._stub.NextTrial, request)

    async def submit_probe(self, session_id: str, trial_id: str, photo: Photo) -> training_pb2.Trial:
        """Send the photo of an own probe, and return the trial at its next step; see `AsyncClient.detect`."""
        image = await run(requests.image, photo, await self._calls.fit())
        request = training_pb2.SubmitProbeRequest(session_id=session_id, trial_id=trial_id, image=image)
        return (await self._calls.call(self._stub.SubmitProbe, request)).trial

    async def save_draft(
        self, session_id: str, trial_id: str, draft: training_pb2.Draft
    ) -> training_pb2.SaveDraftResponse:
        """Keep what is typed so far of an answer; `next_trial` returns it. An empty draft only says: I am here."""
        request = training_pb2.SaveDraftRequest(session_id=session_id, trial_id=trial_id, draft=draft)
        return await self._calls.call(self._stub.SaveDraft, request)

    async def lock_notes(self, session_id: str, trial_id: str, notes: Notes) -> training_pb2.Trial:
        """Lock notes on the probe, or observations of its components; return the trial at its next step."""
        request = training_pb2.LockNotesRequest(session_id=session_id, trial_id=trial_id)
        if isinstance(notes, str):
            request.notes = notes
        else:
            request.observations.extend(notes)
        return (await self._calls.call(self._stub.LockNotes, request)).trial

    async def submit_decision(
        self,
        session_id: str,
        trial: training_pb2.Trial,
        decision: Decision,
        *,
        difficulty: int | None = None,
        known_to_me: bool = False,
        language: str = "",
    ) -> training_pb2.SubmitDecisionResponse:
        """Lock a decision. It is durable when this returns; the server accepts the same one again, and refuses another.

        `trial` is that which the trainee saw; a string is the id of the odd picture, `trial.lesson` says that it was
        read. `difficulty` goes from 1 (easy) to 5. A trial with somebody whom the trainee knows counts in no figure.
        `language` as in `review`.
        """
        request = training_pb2.SubmitDecisionRequest(
            session_id=session_id,
            trial_id=trial.trial_id,
            step=trial.step,
            difficulty=difficulty,
            known_to_me=known_to_me,
            language=language,
        )
        if isinstance(decision, str):
            request.odd_picture_id = decision
        elif isinstance(decision, training_pb2.LessonPage):
            request.read = True
        elif isinstance(decision, training_pb2.LessonOption):
            request.option_id = decision.option_id
        elif type(decision) in _ANSWERS:
            getattr(request, _ANSWERS[type(decision)]).CopyFrom(decision)
        else:
            raise TypeError(
                "A decision is a PairRating, a CandidateDecision, a QualityDecision, a Prediction, a Conclusion, "
                "a FileHash, a LessonPage, a LessonOption, or the id of a picture."
            )
        return await self._calls.call(self._stub.SubmitDecision, request)

    async def pause_session(self, session_id: str) -> training_pb2.Session:
        """Stop the time of a session."""
        request = training_pb2.PauseSessionRequest(session_id=session_id)
        return (await self._calls.call(self._stub.PauseSession, request)).session

    async def resume_session(self, session_id: str) -> training_pb2.Session:
        """Start the time of a session again."""
        request = training_pb2.ResumeSessionRequest(session_id=session_id)
        return (await self._calls.call(self._stub.ResumeSession, request)).session

    async def finish_session(self, session_id: str) -> training_pb2.Session:
        """End a session; trials without an answer stay so."""
        request = training_pb2.FinishSessionRequest(session_id=session_id)
        return (await self._calls.call(self._stub.FinishSession, request)).session

    async def report(
        self,
        *,
        code: str | None = None,
        trainee_id: str | None = None,
        cohort_id: str | None = None,
        file: TrainingFile = "json",
    ) -> bytes:
        """Read a report of a trainee or of a cohort, as UTF-8; arguments and errors are those of `report_parts`."""
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
        """Yield a report piece by piece: of a trainee's own `code`, of a trainee for the trainer, or of a cohort.

        For a code, all begun sessions must be finished. The file "json" has every figure, "html" is a page for people;
        "deck" shows a class the released items of a cohort, and "certificate" of a trainee is to print.
        Raises `ValueError` if not exactly one of `code`, `trainee_id` and `cohort_id` is given.
        """
        about = {"code": code, "trainee_id": trainee_id, "cohort_id": cohort_id}
        given = {name: value for name, value in about.items() if value is not None}
        if len(given) != 1:
            raise ValueError("A report is about one of code, trainee_id and cohort_id; give one of them.")
        request = training_pb2.GetTrainingReportRequest(file=value_of("file", file, TRAINING_FILES))
        for name, value in given.items():
            setattr(request, name, value)
        return self._calls.contents(lambda: self._streams.GetTrainingReport(request), "content")

    async def export(self, cohort_id: str, form: ExportFormat = "csv") -> bytes:
        """Return the results of a cohort for other systems; see `export_parts`."""
        async with aclosing(self.export_parts(cohort_id, form)) as parts:
            return b"".join([part async for part in parts])

    def export_parts(self, cohort_id: str, form: ExportFormat = "csv") -> AsyncGenerator[bytes]:
        """Yield the results of a cohort piece by piece, as UTF-8.

        "csv" is a row for each answer; "xapi", statements of xAPI; "ags", scores of LTI's Assignment and Grade
        Services; "open-badges", signed credentials.
        """
        request = training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=value_of("form", form, EXPORT_FORMATS))
        return self._calls.contents(lambda: self._streams.ExportResults(request), "content")
