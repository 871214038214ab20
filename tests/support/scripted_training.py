"""A small TrainingService that does as a test tells it: a fixed sitting, refusals on demand, everything noted down."""

import io
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from fr_api.v1 import training_pb2, training_pb2_grpc
from support.scripted import answering, refuse

LOST = ""  # as the reason of a refusal: the connection breaks, and no reason comes


def face(colour: tuple[int, int, int] = (200, 160, 140), side: int = 64) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(made, "JPEG", quality=95)
    return made.getvalue()


def picture(picture_id: str, role: str = "COMPARED", data: bytes | None = None) -> training_pb2.Picture:
    shown = training_pb2.PictureRole.Value(f"PICTURE_ROLE_{role}")
    return training_pb2.Picture(picture_id=picture_id, data=face() if data is None else data, role=shown)


def trial(
    step: str,
    pictures: Sequence[training_pb2.Picture] = (),
    *,
    trial_id: str = "t1",
    exercise: str = "VERIFICATION",
    left_s: int | None = None,
    **more: Any,
) -> training_pb2.Trial:
    return training_pb2.Trial(
        trial_id=trial_id,
        block_id="b1",
        number=1,
        of=1,
        exercise=training_pb2.Exercise.Value(f"EXERCISE_{exercise}"),
        step=training_pb2.TrialStep.Value(f"TRIAL_STEP_{step}"),
        pictures=pictures,
        left=None if left_s is None else Duration(seconds=left_s),
        **more,
    )


def noted(name: str, fields: Callable[[Any, Any], dict[str, Any]] = lambda service, request: {}) -> Any:
    """A call that notes its request, and answers with fields of its response."""
    response = getattr(training_pb2, f"{name}Response")

    def answer(service: Any, request: Any, context: Any) -> Any:
        service._called(name, request, context)
        return response(**fields(service, request))

    return answer


class ScriptedTraining(training_pb2_grpc.TrainingServiceServicer):
    """One block of a sitting: its trials' steps in their order, and what follows a trial that ends with a decision."""

    def __init__(
        self,
        steps: Sequence[training_pb2.Trial] = (),
        reveal: training_pb2.Reveal | None = None,
        state: training_pb2.SessionState.ValueType = training_pb2.SESSION_STATE_NOT_STARTED,
    ) -> None:
        self.steps = list(steps)
        self.reveal = reveal
        self.state = state
        self.begun = False
        self.requests: list[tuple[str, Any]] = []
        self.refusals: dict[str, list[str]] = defaultdict(list)
        self.cancelled = threading.Event()
        self.release = training_pb2.Release(items=4, test_items=1)
        self.entries: list[training_pb2.ReviewEntry] = []
        self.reviews: dict[str, dict[str, Any]] = {}
        self.class_item: dict[str, Any] = {}
        self.files = {training_pb2.TRAINING_REPORT_FILE_JSON: b"{}", training_pb2.TRAINING_REPORT_FILE_HTML: b"<p>"}

    def calls(self, name: str) -> list[Any]:
        return [request for called, request in self.requests if called == name]

    def _called(self, name: str, request: Any, context: Any) -> None:
        self.requests.append((name, request))
        if self.refusals[name]:
            reason = self.refusals[name].pop(0)
            if reason == LOST:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, reason, 0.0)

    # --- courses and cohorts ----------------------------------------------------------------------------------

    def GetManual(self, request: Any, context: Any) -> training_pb2.GetManualResponse:  # noqa: N802
        return training_pb2.GetManualResponse(title="The manual", language="fr", html=f"<p>{request.language}</p>")

    def JoinFromPlatform(self, request: Any, context: Any) -> training_pb2.JoinFromPlatformResponse:  # noqa: N802
        self._called("JoinFromPlatform", request, context)
        return training_pb2.JoinFromPlatformResponse()

    def GetSittingScore(self, request: Any, context: Any) -> training_pb2.GetSittingScoreResponse:  # noqa: N802
        self._called("GetSittingScore", request, context)
        return training_pb2.GetSittingScoreResponse()

    def GetLessonPackage(self, request: Any, context: Any) -> training_pb2.GetLessonPackageResponse:  # noqa: N802
        self._called("GetLessonPackage", request, context)
        return training_pb2.GetLessonPackageResponse(name="../one.zip", language="fr", content=b"PK")

    def ListPlans(self, request: Any, context: Any) -> training_pb2.ListPlansResponse:  # noqa: N802
        needs = training_pb2.PlanNeeds(people=212, people_with_two_photos=80, minutes=90, trials=148)
        plan = training_pb2.Plan(
            name="taster-90", title="A taster", toml='format = 1\ntitle = "A taster"\n', needs=needs
        )
        return training_pb2.ListPlansResponse(plans=[plan])

    def CheckPlan(self, request: Any, context: Any) -> training_pb2.CheckPlanResponse:  # noqa: N802
        self._called("CheckPlan", request, context)
        needs = training_pb2.PlanNeeds(people=212, people_with_two_photos=80, minutes=90, trials=148)
        found = training_pb2.CheckPlanResponse(title="A taster", needs=needs)
        day = found.sittings.add(title="Day [1]")
        for at, kind, title in ((540, "WELCOME", ""), (550, "BLOCK", "Pairs"), (570, "TALK", "What was hard")):
            row = day.timetable.add(kind=f"SLOT_KIND_{kind}", title=title, block_id=title * (kind == "BLOCK"))
            row.at.seconds, row.length.seconds = 60 * at, 60 * 10
        found.sittings.add(title="Day 2")
        if request.datasets:
            found.people, found.people_with_two_photos, found.missing = 102, 60, 110
        if list(request.datasets) == ["lfw"]:
            found.people, found.people_with_two_photos, found.missing = 5_749, 1_680, 0
        return found

    def CreateCourse(self, request: Any, context: Any) -> Iterator[training_pb2.CreateCourseResponse]:  # noqa: N802
        self._called("CreateCourse", request, context)
        context.add_callback(self.cancelled.set)
        for stage, total in ((1, 20), (2, 3), (3, 40)):
            for done in (1, total):
                progress = training_pb2.CourseProgress(stage=stage, done=done, total=total)  # type: ignore[arg-type]
                yield training_pb2.CreateCourseResponse(progress=progress)
        if "slow" in request.datasets:
            time.sleep(0.4)
        if "silent" in request.datasets:
            self.cancelled.wait(10)
        if "cut" not in request.datasets:
            made = course("c1")
            made.learned_from.extend(request.learn_from)
            made.learned_items, made.quarantined_items = 2 * len(request.learn_from), len(request.learn_from)
            made.excluded_photos = len(request.exclude_photos)
            made.forecasts.add(
                form="test-a", right=0.81, right_low=0.7, right_high=0.9, pixels_auc=0.985, warnings=["Too easy."]
            )
            made.course_id = "" if request.only_forecast else made.course_id
            yield training_pb2.CreateCourseResponse(course=made)

    def ListFormItems(self, request: Any, context: Any) -> Iterator[training_pb2.ListFormItemsResponse]:  # noqa: N802
        self._called("ListFormItems", request, context)
        for form in (request.form,) if request.form else ("test-a", "lists"):
            item = training_pb2.FormItem(form=form, item_id="ab" * 8, truth="<same>", difficulty=-0.5)
            item.pictures.add(data=b"a jpeg", role=training_pb2.PICTURE_ROLE_PROBE)
            item.pictures.add(data=b"a jpeg", role=training_pb2.PICTURE_ROLE_CANDIDATE, similarity=0.25)
            yield training_pb2.ListFormItemsResponse(item=item)

    def CreateCohort(self, request: Any, context: Any) -> training_pb2.CreateCohortResponse:  # noqa: N802
        self._called("CreateCohort", request, context)
        made = training_pb2.Cohort(cohort_id="k1", course_id=request.course_id, trainees=request.trainees)
        return training_pb2.CreateCohortResponse(cohort=made, enrolled=enrolled(request.trainees))

    def GetCohort(self, request: Any, context: Any) -> training_pb2.GetCohortResponse:  # noqa: N802
        self._called("GetCohort", request, context)
        found = training_pb2.Cohort(cohort_id=request.cohort_id, course_id="c1", display_name="Autumn", trainees=2)
        return training_pb2.GetCohortResponse(cohort=found, progress=[progress("p1", 3), progress("p2", 0)])

    def ListCohorts(self, request: Any, context: Any) -> training_pb2.ListCohortsResponse:  # noqa: N802
        self._called("ListCohorts", request, context)
        pages = {"": (["k2"], "next"), "next": (["k1"], "")}
        ids, token = pages[request.page_token]
        found = [training_pb2.Cohort(cohort_id=one, course_id="c1", trainees=2) for one in ids]
        return training_pb2.ListCohortsResponse(cohorts=found, next_page_token=token)

    def WatchCohort(self, request: Any, context: Any) -> Iterator[training_pb2.WatchCohortResponse]:  # noqa: N802
        self._called("WatchCohort", request, context)
        context.add_callback(self.cancelled.set)
        yield training_pb2.WatchCohortResponse(progress=[progress("p1", 3), progress("p2", 0)])
        yield training_pb2.WatchCohortResponse(progress=[progress("p1", 4)])
        if request.cohort_id == "live":
            self.cancelled.wait(10)

    DeleteCourse, SetProbeKey = noted("DeleteCourse"), noted("SetProbeKey")
    DeleteCohort, DeleteTrainee, ListCourses = noted("DeleteCohort"), noted("DeleteTrainee"), noted("ListCourses")
    SetSittingClosed = noted("SetSittingClosed", lambda _, request: {"cohort": {"cohort_id": request.cohort_id}})
    ExtendTime = noted("ExtendTime", lambda *_: {"trainee_ids": ["p1", "p2"]})
    GetCourse = noted("GetCourse", lambda _, request: {"course": course(request.course_id)})
    AddTrainees = noted("AddTrainees", lambda _, request: {"enrolled": enrolled(request.trainees)})

    # --- a sitting --------------------------------------------------------------------------------------------

    def JoinCourse(self, request: Any, context: Any) -> training_pb2.JoinCourseResponse:  # noqa: N802
        self._called("JoinCourse", request, context)
        done = training_pb2.SittingState(
            sitting=training_pb2.Sitting(name="day-0", title="Day 0"), state=training_pb2.SESSION_STATE_FINISHED
        )
        now = training_pb2.SittingState(sitting=self._sitting(), state=self.state)
        return training_pb2.JoinCourseResponse(
            trainee_id="p1", title="A course", notice="Your answers are kept.", sittings=[done, now]
        )

    def _sitting(self) -> training_pb2.Sitting:
        return training_pb2.Sitting(name="day-1", title="Day 1", blocks=[self._block()])

    def _block(self) -> training_pb2.Block:
        return training_pb2.Block(
            block_id="b1",
            title="Pairs",
            instructions="Look.\nThen answer.",
            exercise=self.steps[0].exercise if self.steps else training_pb2.EXERCISE_VERIFICATION,
            trials=1,
            limit=Duration(seconds=600),
        )

    def _session(self) -> training_pb2.Session:
        return training_pb2.Session(session_id="secret-session", sitting=self._sitting(), state=self.state, trials=1)

    StartSession = noted("StartSession", lambda service, _: {"session": service._session()})
    PauseSession = noted("PauseSession", lambda service, _: {"session": service._session()})
    ResumeSession = noted("ResumeSession", lambda service, _: {"session": service._session()})
    FinishSession = noted("FinishSession", lambda service, _: {"session": service._session()})
    SubmitProbe = noted("SubmitProbe", lambda service, request: {"trial": service._following(request.trial_id)})
    SaveDraft = noted("SaveDraft")
    LockNotes = noted("LockNotes", lambda service, request: {"trial": service._following(request.trial_id)})

    def NextTrial(self, request: Any, context: Any) -> training_pb2.NextTrialResponse:  # noqa: N802
        self._called("NextTrial", request, context)
        if not self.steps:
            return training_pb2.NextTrialResponse(over=training_pb2.SessionOver(answered=1, trials=1))
        if not self.begun and request.begin_block != "b1":
            begins = training_pb2.BlockToBegin(block=self._block(), number=1, of=1, enlarged=2.44)
            return training_pb2.NextTrialResponse(block=begins)
        self.begun = True
        return training_pb2.NextTrialResponse(trial=self.steps[0])

    def _following(self, done: str) -> training_pb2.Trial | None:
        self.steps.pop(0)
        return self.steps[0] if self.steps and self.steps[0].trial_id == done else None

    def SubmitDecision(self, request: Any, context: Any) -> training_pb2.SubmitDecisionResponse:  # noqa: N802
        self._called("SubmitDecision", request, context)
        following = self._following(request.trial_id)
        return training_pb2.SubmitDecisionResponse(trial=following, reveal=None if following else self.reveal)

    ReleaseItems = noted("ReleaseItems", lambda service, _: {"release": service.release})
    ListReview = noted("ListReview", lambda service, _: {"entries": service.entries, "closed": 3})
    GetReview = noted("GetReview", lambda service, request: service.reviews[request.trial_id])
    GetClassItem = noted("GetClassItem", lambda service, _: service.class_item)

    # --- results ----------------------------------------------------------------------------------------------

    def GetTrainingReport(self, request: Any, context: Any) -> Iterator[training_pb2.GetTrainingReportResponse]:  # noqa: N802
        self._called("GetTrainingReport", request, context)
        if request.file not in self.files:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_REPORT", 0.0)
        for byte in self.files[request.file]:
            yield training_pb2.GetTrainingReportResponse(content=bytes([byte]))

    def ExportResults(self, request: Any, context: Any) -> Iterator[training_pb2.ExportResultsResponse]:  # noqa: N802
        self._called("ExportResults", request, context)
        for byte in b"a,b\n":
            yield training_pb2.ExportResultsResponse(content=bytes([byte]))


def course(course_id: str) -> training_pb2.Course:
    blocks = [
        training_pb2.Block(block_id="pre", title="Before", exercise=1, trials=40, limit=Duration(seconds=900)),  # type: ignore[arg-type]
        training_pb2.Block(block_id="own", title="Own", exercise=9, trials=2, feedback=True),  # type: ignore[arg-type]
    ]
    sitting = training_pb2.Sitting(name="day-1", title="Day 1", blocks=blocks)
    form = training_pb2.Form(name="test-a", items=40, people=60, mean_difficulty=0.012, sd_difficulty=0.98)
    return training_pb2.Course(
        course_id=course_id, title="A course", datasets=["lfw"], sittings=[sitting], forms=[form], terms=["Research."]
    )


def enrolled(trainees: int) -> list[training_pb2.Enrolled]:
    return [training_pb2.Enrolled(trainee_id=f"p{number}", code=f"code-{number}") for number in range(1, trainees + 1)]


def progress(trainee_id: str, answered: int) -> training_pb2.SittingProgress:
    state = training_pb2.SESSION_STATE_RUNNING if answered else training_pb2.SESSION_STATE_NOT_STARTED
    found = training_pb2.SittingProgress(
        trainee_id=trainee_id, sitting="day-1", state=state, answered=answered, trials=9, scored=answered
    )
    if answered:
        found.block_id, found.right = "pre", answered - 1
        found.last_time.CopyFrom(Timestamp(seconds=answered))
    return found


def serving_training(service: ScriptedTraining, port: int = 0) -> AbstractContextManager[str]:
    return answering(lambda server: training_pb2_grpc.add_TrainingServiceServicer_to_server(service, server), port)
