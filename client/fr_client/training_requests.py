"""From Python's values to the messages of `TrainingService`: shared by both clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

import grpc

from fr_api.v1 import training_pb2
from fr_client.errors import CONNECTION_LOST, FrApiError
from fr_client.handshake import Endpoint
from fr_client.requests import MAX_PLAN_BYTES
from fr_core.reading import read_whole

# A plan: the name of one that comes with the server, the file of one, or the message.
Plan = str | Path | training_pb2.PlanSource
# An answer of `submit_decision`: a message, or the picture of the odd one out.
Decision = training_pb2.PairRating | training_pb2.CandidateDecision | training_pb2.QualityDecision | str
# What `lock_notes` locks: notes on the probe, or what was observed of each component.
Notes = str | Sequence[training_pb2.Observation]
# Is told how far the making of a course has come.
OnCourseProgress = Callable[[training_pb2.CourseProgress], None]
# A file of a training report, and a format of an export.
TrainingFile = Literal["json", "html"]
ExportFormat = Literal["csv", "xapi", "ags", "open-badges"]

_FILES: dict[str, training_pb2.TrainingReportFile.ValueType] = {
    "json": training_pb2.TRAINING_REPORT_FILE_JSON,
    "html": training_pb2.TRAINING_REPORT_FILE_HTML,
}
_FORMATS: dict[str, training_pb2.ExportFormat.ValueType] = {
    "csv": training_pb2.EXPORT_FORMAT_CSV,
    "xapi": training_pb2.EXPORT_FORMAT_XAPI,
    "ags": training_pb2.EXPORT_FORMAT_AGS,
    "open-badges": training_pb2.EXPORT_FORMAT_OPEN_BADGES,
}


def plan_source(plan: Plan) -> training_pb2.PlanSource:
    """Return the message for a plan; raises `OSError` or `UnicodeDecodeError` where its file cannot be read."""
    if isinstance(plan, training_pb2.PlanSource):
        return plan
    if isinstance(plan, Path):
        return training_pb2.PlanSource(toml=read_whole(plan, MAX_PLAN_BYTES).decode())
    return training_pb2.PlanSource(name=plan)


def create_course(
    plan: Plan,
    datasets: Sequence[str],
    seed: int | None,
    learn_from: Sequence[str] = (),
    exclude_photos: Sequence[str] = (),
) -> training_pb2.CreateCourseRequest:
    """Return the request that makes a course; raises what `plan_source` does."""
    return training_pb2.CreateCourseRequest(
        plan=plan_source(plan), datasets=datasets, seed=seed, learn_from=learn_from, exclude_photos=exclude_photos
    )


def made_course(
    response: training_pb2.CreateCourseResponse, on_progress: OnCourseProgress | None
) -> training_pb2.Course | None:
    """Return the course that the making ended with, or tell how far it has come and return None."""
    if response.WhichOneof("event") == "course":
        return response.course
    if on_progress is not None:
        on_progress(response.progress)
    return None


def without_course(target: Endpoint) -> FrApiError:
    """Return the error for a making that the server ended without a course."""
    message = f"{target} ended the making of the course without a course. Call again."
    return FrApiError(grpc.StatusCode.UNAVAILABLE, CONNECTION_LOST, message)


def set_probe_key(course_id: str, image_sha256: str, identity: str | None) -> training_pb2.SetProbeKeyRequest:
    """Return the request that says whom a photo shows; None = nobody of the course's gallery."""
    request = training_pb2.SetProbeKeyRequest(course_id=course_id, image_sha256=image_sha256)
    if identity is None:
        request.absent = True
    else:
        request.identity = identity
    return request


def create_cohort(
    course_id: str, trainees: int, display_name: str, retention: timedelta | None
) -> training_pb2.CreateCohortRequest:
    """Return the request that makes a cohort."""
    request = training_pb2.CreateCohortRequest(course_id=course_id, display_name=display_name, trainees=trainees)
    if retention is not None:
        request.retention.FromTimedelta(retention)
    return request


def lock_notes(session_id: str, trial_id: str, notes: Notes) -> training_pb2.LockNotesRequest:
    """Return the request that locks notes or observations."""
    request = training_pb2.LockNotesRequest(session_id=session_id, trial_id=trial_id)
    if isinstance(notes, str):
        request.notes = notes
    else:
        request.observations.extend(notes)
    return request


def submit_decision(
    session_id: str, trial: training_pb2.Trial, decision: Decision, difficulty: int | None, known_to_me: bool
) -> training_pb2.SubmitDecisionRequest:
    """Return the request that locks a decision at the step of a trial; raises `TypeError` for any other answer."""
    request = training_pb2.SubmitDecisionRequest(
        session_id=session_id,
        trial_id=trial.trial_id,
        step=trial.step,
        difficulty=difficulty,
        known_to_me=known_to_me,
    )
    if isinstance(decision, str):
        request.odd_picture_id = decision
    elif isinstance(decision, training_pb2.PairRating):
        request.rating.CopyFrom(decision)
    elif isinstance(decision, training_pb2.CandidateDecision):
        request.candidates.CopyFrom(decision)
    elif isinstance(decision, training_pb2.QualityDecision):
        request.quality.CopyFrom(decision)
    else:
        raise TypeError("A decision is a PairRating, a CandidateDecision, a QualityDecision, or the id of a picture.")
    return request


def get_report(
    code: str | None, trainee_id: str | None, cohort_id: str | None, file: TrainingFile
) -> training_pb2.GetTrainingReportRequest:
    """Return the request of a report; raises `ValueError` unless it is about one, and for any other word of a file."""
    whom = {"code": code, "trainee_id": trainee_id, "cohort_id": cohort_id}
    given = {name: value for name, value in whom.items() if value is not None}
    if len(given) != 1:
        raise ValueError("A report is about one of code, trainee_id and cohort_id; give one of them.")
    if file not in _FILES:
        raise ValueError(f"file is {file!r}; it can be {', '.join(map(repr, _FILES))}.")
    request = training_pb2.GetTrainingReportRequest(file=_FILES[file])
    for name, value in given.items():
        setattr(request, name, value)
    return request


def export_results(cohort_id: str, form: ExportFormat) -> training_pb2.ExportResultsRequest:
    """Return the request of an export; raises `ValueError` for any other word."""
    if form not in _FORMATS:
        raise ValueError(f"form is {form!r}; it can be {', '.join(map(repr, _FORMATS))}.")
    return training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=_FORMATS[form])
