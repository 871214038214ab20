"""TrainingService refuses bad input with a status, a reason and a sentence, and changes nothing."""

from __future__ import annotations

import csv
import gc
import io
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import apsw
import grpc
import pytest
from google.protobuf import duration_pb2
from google.protobuf.json_format import MessageToDict

from fr_api.v1 import gallery_pb2, training_pb2
from fr_core.errors import StoreFailed
from fr_core.gallery.pages import page_token
from fr_datasets.links import Link, datasets_folder, find_link, write_link
from support.counts import NIGHTLY
from support.courses import Chance, Clock, Stub, Trial, answer, ask, create, enrol, next_trial, running_by, start, take
from support.faults import until
from support.servers import Ended, Running, photo, refusal_of
from support.web import Web, web

# Requests of any kind, right or wrong: what mypy would find in them is what is sent here.
pb: Any = training_pb2
Wrong = Callable[[Trial], dict[str, Any]]
Course = training_pb2.Course
RATE, CHOOSE, DECIDE, AGAIN = pb.TRIAL_STEP_RATE, pb.TRIAL_STEP_CHOOSE, pb.TRIAL_STEP_DECIDE, pb.TRIAL_STEP_RATE_AGAIN
PREDICT, CONCLUDE = pb.TRIAL_STEP_PREDICT, pb.TRIAL_STEP_CONCLUDE
HASH, DERIVE, PROBE = pb.TRIAL_STEP_HASH, pb.TRIAL_STEP_DERIVE, pb.PICTURE_ROLE_PROBE

# A sitting for each exercise.
EACH = """
format = 1
title = "One of each"
sittings = [
  { name = "pairs", blocks = [
    { id = "pairs", exercise = "verification", same = 2, different = 2, minutes = 1, feedback = true },
    { id = "more", exercise = "verification", same = 1, different = 0 },
  ] },
  { name = "odd", blocks = [{ id = "odd", exercise = "triad", trials = 2 }] },
  { name = "parts", blocks = [{ id = "parts", exercise = "features", same = 1, different = 1 }] },
  { name = "lists", blocks = [{ id = "lists", exercise = "candidates", size = 3, present = 1, absent = 1 }] },
  { name = "triage", blocks = [{ id = "triage", exercise = "triage", usable = 1, limited = 1, reject = 1 }] },
  { name = "lab", blocks = [{ id = "lab", exercise = "lab", about = "threshold", trials = 2 }] },
  { name = "custody", blocks = [{ id = "custody", exercise = "evidence", trials = 2 }] },
  { name = "lesson", blocks = [{ id = "lesson", exercise = "lesson", lesson = "thresholds" }] },
  { name = "own", blocks = [{ id = "own", exercise = "own_probe", trials = 1, size = 3 }] },
]
"""
MANY = """
format = 1
title = "Many"
sittings = [
  { name = "all", blocks = [{ id = "all", exercise = "verification", same = 60, different = 76 }] },
]
"""
# A course with a gallery, which is made soon.
SMALL = """
format = 1
title = "Lists"
sittings = [
  { name = "lists", blocks = [{ id = "lists", exercise = "candidates", size = 3, present = 1, absent = 1 }] },
]
"""
LONG = "x" * 200_000
"""As much as a request without photos may hold; a longer one is not read: tests/fault/test_hostile_requests.py."""
# Ids as nobody has them: none, too long for any, with characters that databases and headers dislike.
MALFORMED = ("", LONG, "a\0b", "Zoë", "' OR 1=1 --", "0" * 32)


@pytest.fixture(scope="module")
def server(home: Path, clock: Clock) -> Iterator[Running]:
    with running_by(clock, home / "data") as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Running) -> Stub:
    return server.training


@pytest.fixture(scope="module")
def course(stub: Stub) -> Course:
    return create(stub, EACH)


@pytest.fixture(scope="module")
def refused(server: Running, home: Path) -> Iterator[Refused]:
    with web(server.address) as site:
        yield Refused(server, home / "data" / "training" / "training.sqlite", site)


class Refused:
    """Looks at what a server keeps before and after a call that is refused."""

    def __init__(self, server: Running, path: Path, site: Web) -> None:
        self._server = server
        self._path = path
        self._site = site

    def kept(self) -> dict[str, list[Any]]:
        """Every row that the server keeps of courses, and its galleries."""
        # By the server's own SQLite: another one in this process would undo its locks when it closes the file.
        with closing(apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            tables = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = {"pictures": "course_no, number, length(sealed)"}
            found = {name: list(db.execute(f"SELECT {columns.get(name, '*')} FROM {name}")) for name in tables}
        listed = self._server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest(page_size=1000))
        return found | {"galleries": [(one.gallery_id, one.subject_count) for one in listed.galleries]}

    def __call__(self, call: Callable[[], Any], reason: str, status: str = "INVALID_ARGUMENT") -> Ended:
        before = self.kept()
        end = refusal_of(call)
        assert (end.code.name, end.info.reason) == (status, reason)
        sentence = end.status.message
        assert sentence[0].isupper() or sentence[0] == "`" or sentence[0].isdigit()
        assert sentence.endswith((".", "?"))
        assert len(sentence) < 500
        assert self.kept() == before
        return end

    def both(self, method: str, request: Any, reason: str, status: str = "INVALID_ARGUMENT") -> Ended:
        """Also over HTTP, with the same words."""
        end = self(partial(getattr(self._server.training, method), request), reason, status)
        before = self.kept()
        told = self._site.call(f"TrainingService/{method}", MessageToDict(request))
        assert (told.reason, told.json["code"], told.json["message"]) == (reason, status.lower(), end.status.message)
        assert self.kept() == before
        return end


def code_of(stub: Stub, course: Course) -> str:
    return enrol(stub, course.course_id).enrolled[0].code


def begun(stub: Stub, course: Course, sitting: str, answers: int = 0) -> tuple[str, Trial]:
    session = start(stub, code_of(stub, course), sitting)
    trial = next_trial(stub, session)
    for _ in range(answers):
        assert trial is not None
        trial = answer(stub, session, trial, Chance())[1]
    assert trial is not None
    return session, trial


def ids_of(trial: Trial, role: int = pb.PICTURE_ROLE_COMPARED) -> list[str]:
    return [one.picture_id for one in trial.pictures if one.role == role]


def candidates(trial: Trial, rating: int = 0, **more: int) -> dict[str, int]:
    return {**dict.fromkeys(ids_of(trial, pb.PICTURE_ROLE_CANDIDATE), rating), **more}


def observed(trial: Trial) -> list[Any]:
    return list(Chance().notes("", trial).observations)


def rated(**fields: Any) -> Wrong:
    """A rating of a pair, with what is wrong of it."""
    rating = {"rating": 1, **{name: fields.pop(name) for name in ("rating", "p_same") if name in fields}}
    return lambda trial: {"step": RATE, "rating": pb.PairRating(**rating), **fields}


def listed(decision: Wrong) -> Wrong:
    return lambda trial: {"step": DECIDE, "candidates": pb.CandidateDecision(**decision(trial))}


def triaged(usability: int, *reasons: int) -> Wrong:
    decision = {"usability": usability, "reasons": reasons}
    return lambda trial: {"step": pb.TRIAL_STEP_TRIAGE, "quality": pb.QualityDecision(**decision)}


def predicted(percent: float) -> Wrong:
    return lambda trial: {"step": PREDICT, "prediction": pb.Prediction(percent=percent)}


def hashed(sha256: str, step: int = HASH) -> Wrong:
    return lambda trial: {"step": step, "file_hash": pb.FileHash(sha256=sha256)}


DECISIONS: list[tuple[str, int, Wrong, str]] = [
    ("pairs", 0, rated(rating=4), "INVALID_RATING"),
    ("pairs", 0, rated(p_same=math.nan), "INVALID_RATING"),
    ("pairs", 0, rated(difficulty=6), "INVALID_RATING"),
    ("pairs", 0, rated(step=0), "MISSING_FIELD"),
    ("pairs", 0, rated(step=99), "INVALID_FIELD"),
    ("pairs", 0, lambda trial: {"step": RATE}, "MISSING_FIELD"),
    ("pairs", 0, rated(step=AGAIN), "WRONG_STEP"),
    ("pairs", 0, lambda trial: {"step": RATE, "odd_picture_id": ids_of(trial)[0]}, "WRONG_STEP"),
    ("pairs", 0, lambda trial: {"step": CHOOSE, "odd_picture_id": ids_of(trial)[0]}, "WRONG_STEP"),
    ("odd", 0, lambda trial: {"step": CHOOSE, "odd_picture_id": ""}, "INVALID_RATING"),
    ("odd", 0, lambda trial: {"step": CHOOSE, "odd_picture_id": LONG}, "INVALID_RATING"),
    ("lists", 0, listed(lambda trial: {"none": True}), "WRONG_STEP"),
    ("lists", 1, listed(lambda trial: {"picture_id": "0" * 16, "ratings": candidates(trial)}), "INVALID_RATING"),
    ("lists", 1, listed(lambda trial: {"none": True, "ratings": candidates(trial, zzz=0)}), "INVALID_RATING"),
    ("lists", 1, listed(lambda trial: {"none": True}), "MISSING_FIELD"),
    ("lists", 1, listed(lambda trial: {"none": False, "ratings": candidates(trial)}), "MISSING_FIELD"),
    ("lists", 1, listed(lambda trial: {"ratings": candidates(trial)}), "MISSING_FIELD"),
    ("parts", 0, rated(), "WRONG_STEP"),
    ("triage", 0, triaged(pb.USABILITY_USABLE, pb.DEGRADATION_BLUR), "INVALID_FIELD"),
    ("triage", 0, triaged(0), "MISSING_FIELD"),
    ("triage", 0, triaged(9), "INVALID_FIELD"),
    ("triage", 0, triaged(pb.USABILITY_REJECT, 0), "INVALID_FIELD"),
    ("triage", 0, triaged(pb.USABILITY_REJECT, pb.DEGRADATION_BLUR, 99), "INVALID_FIELD"),
    ("own", 0, listed(lambda trial: {"none": True}), "WRONG_STEP"),
    *(
        ("lab", 0, predicted(percent), "INVALID_RATING")
        for percent in (math.nan, math.inf, -math.inf, -1e-9, 100.001, 1e308)
    ),
    ("lab", 0, lambda trial: {"step": PREDICT}, "MISSING_FIELD"),
    ("lab", 1, predicted(5.0), "DECISION_LOCKED"),
    ("pairs", 0, predicted(5.0), "WRONG_STEP"),
    ("lab", 0, lambda trial: {"step": PREDICT, "conclusion": pb.Conclusion(row=1)}, "WRONG_STEP"),
    ("lab", 0, lambda trial: {"step": CONCLUDE, "conclusion": pb.Conclusion(row=1)}, "WRONG_STEP"),
    *(("custody", 0, hashed(one), "INVALID_FIELD") for one in ("A" * 64, "a" * 63, "", "\uff41" * 64, LONG)),
    ("custody", 0, hashed("a" * 64, DERIVE), "WRONG_STEP"),
    ("custody", 1, hashed("A" * 64, DERIVE), "INVALID_FIELD"),
    ("custody", 1, hashed("a" * 64), "DECISION_LOCKED"),
    ("custody", 2, hashed("a" * 64, DERIVE), "DECISION_LOCKED"),
    ("custody", 3, lambda trial: {"step": CONCLUDE, "conclusion": pb.Conclusion(row=2**32 - 1)}, "INVALID_RATING"),
    ("lab", 0, hashed("a" * 64), "WRONG_STEP"),
    ("lesson", 0, lambda trial: {"step": pb.TRIAL_STEP_READ, "read": False}, "MISSING_FIELD"),
    ("lesson", 0, lambda trial: {"step": pb.TRIAL_STEP_READ, "option_id": "a"}, "WRONG_STEP"),
    ("lesson", 0, lambda trial: {"step": pb.TRIAL_STEP_ANSWER, "option_id": "0" * 16}, "WRONG_STEP"),
    *(
        ("lesson", 1, lambda trial, one=one: {"step": pb.TRIAL_STEP_ANSWER, "option_id": one}, "INVALID_RATING")
        for one in ("", "0" * 16, LONG)
    ),
    ("lesson", 1, lambda trial: {"step": pb.TRIAL_STEP_ANSWER}, "MISSING_FIELD"),
    ("custody", 0, lambda trial: {"step": CONCLUDE, "conclusion": pb.Conclusion(row=1)}, "WRONG_STEP"),
    ("lab", 1, lambda trial: {"step": CONCLUDE, "conclusion": pb.Conclusion(row=13)}, "INVALID_RATING"),
]
STATUS = {"WRONG_STEP": "FAILED_PRECONDITION", "DECISION_LOCKED": "ALREADY_EXISTS"}


NOTES: list[tuple[str, int, Wrong, str]] = [
    ("lists", 0, lambda trial: {}, "MISSING_FIELD"),
    ("lists", 0, lambda trial: {"notes": LONG}, "INVALID_FIELD"),
    ("lists", 0, lambda trial: {"notes": "\x1b[31m"}, "INVALID_FIELD"),
    ("lists", 0, lambda trial: {"notes": "a", "observations": [pb.Observation(comparison=1)]}, "INVALID_FIELD"),
    ("lists", 0, lambda trial: {"observations": [pb.Observation(component_id="nose", comparison=1)]}, "WRONG_STEP"),
    ("lists", 1, lambda trial: {"observations": [pb.Observation(component_id="nose", comparison=1)]}, "WRONG_STEP"),
    ("parts", 0, lambda trial: {"notes": "a"}, "WRONG_STEP"),
    ("parts", 0, lambda trial: {"observations": observed(trial)[1:]}, "MISSING_FIELD"),
    ("parts", 0, lambda trial: {"observations": [*observed(trial)[1:], _seen(LONG)]}, "INVALID_FIELD"),
    ("parts", 0, lambda trial: {"observations": [_like(trial), *observed(trial)[1:]]}, "MISSING_FIELD"),
    ("parts", 0, lambda trial: {"observations": [_like(trial, comparison=0), *observed(trial)[1:]]}, "INVALID_RATING"),
    ("pairs", 0, lambda trial: {"notes": "a"}, "WRONG_STEP"),
    ("own", 0, lambda trial: {"notes": "a"}, "WRONG_STEP"),
    ("lab", 0, lambda trial: {"notes": "a"}, "WRONG_STEP"),
    ("custody", 0, lambda trial: {"notes": "a"}, "WRONG_STEP"),
    ("custody", 2, lambda trial: {"notes": "\n "}, "MISSING_FIELD"),
    ("custody", 2, lambda trial: {"notes": LONG}, "INVALID_FIELD"),
    ("custody", 2, lambda trial: {"observations": [_seen("nose")]}, "WRONG_STEP"),
]


def _seen(component: str, similarity: int = 1) -> Any:
    return pb.Observation(component_id=component, comparison=pb.COMPARISON_SIMILAR, similarity=similarity)


def _like(trial: Trial, comparison: int = pb.COMPARISON_SIMILAR) -> Any:
    return pb.Observation(component_id=trial.components[0].component_id, comparison=comparison)


def drafted(**parts: Any) -> Wrong:
    return lambda trial: {"draft": pb.Draft(**parts)}


DRAFTS: list[tuple[str, int, Wrong, str]] = [
    ("lists", 0, drafted(notes=LONG), "INVALID_FIELD"),
    ("lists", 0, drafted(notes=" " * 2_001), "INVALID_FIELD"),
    ("lists", 0, drafted(notes="\x1c"), "INVALID_FIELD"),
    ("lists", 0, drafted(notes="a", observations=[_seen("nose")]), "WRONG_STEP"),
    ("lists", 0, drafted(ratings={"0" * 16: 1}), "WRONG_STEP"),
    ("lists", 1, drafted(notes="a"), "WRONG_STEP"),
    ("lists", 1, drafted(ratings={"0" * 16: 1}), "INVALID_RATING"),
    ("lists", 1, lambda trial: {"draft": pb.Draft(ratings=candidates(trial, 4))}, "INVALID_RATING"),
    ("lists", 1, lambda trial: {"draft": pb.Draft(ratings=candidates(trial, -(2**31)))}, "INVALID_RATING"),
    ("lists", 1, lambda trial: {"draft": pb.Draft(ratings={ids_of(trial, PROBE)[0]: 1})}, "INVALID_RATING"),
    ("parts", 0, drafted(observations=[_seen(LONG)]), "INVALID_FIELD"),
    ("parts", 0, drafted(observations=[_seen("nose"), _seen("nose")]), "INVALID_FIELD"),
    ("parts", 0, drafted(observations=[pb.Observation(component_id="nose", comparison=9)]), "INVALID_RATING"),
    ("parts", 0, drafted(observations=[pb.Observation(component_id="nose", comparison=1)]), "MISSING_FIELD"),
    ("parts", 0, drafted(observations=[_seen("nose", 2**32 - 1)]), "INVALID_RATING"),
    ("pairs", 0, drafted(notes="a"), "WRONG_STEP"),
    ("triage", 0, drafted(ratings={"": 0}), "WRONG_STEP"),
    ("own", 0, drafted(notes="a"), "WRONG_STEP"),
    ("lab", 0, drafted(notes="a"), "WRONG_STEP"),
    ("custody", 0, drafted(notes="a"), "WRONG_STEP"),
    ("custody", 2, drafted(notes="a\0b"), "INVALID_FIELD"),
]


WRONG = [
    *(("SubmitDecision", *one) for one in DECISIONS),
    *(("LockNotes", *one) for one in NOTES),
    *(("SaveDraft", *one) for one in DRAFTS),
]


# By day one for each call and reason: the exercises by themselves are asked for every one.
@pytest.mark.parametrize("call", WRONG if NIGHTLY else {(one[0], one[-1]): one for one in WRONG}.values())
def test_a_wrong_answer_is_refused(stub: Stub, course: Course, refused: Refused, call: tuple[Any, ...]) -> None:
    method, sitting, answers, wrong, reason = call
    session, trial = begun(stub, course, sitting, answers)
    request = getattr(pb, f"{method}Request")(session_id=session, trial_id=trial.trial_id, **wrong(trial))
    refused.both(method, request, reason, STATUS.get(reason, "INVALID_ARGUMENT"))
    again = ask(stub, session)
    assert (again.trial.step, again.trial.pictures) == (trial.step, trial.pictures)
    assert not again.trial.HasField("draft")


PROBES: list[tuple[bytes, str, str]] = [
    (b"", "MISSING_FIELD", "INVALID_ARGUMENT"),
    (b"no photo", "UNDECODABLE", "INVALID_ARGUMENT"),
    (b"\xff\xd8\xff\xe0" + bytes(100), "UNDECODABLE", "INVALID_ARGUMENT"),
    (photo(6)[:-200], "UNDECODABLE", "INVALID_ARGUMENT"),
    (photo(), "NO_FACE", "FAILED_PRECONDITION"),
]


@pytest.mark.parametrize(("data", "reason", "status"), PROBES)
def test_a_wrong_probe(stub: Stub, course: Course, refused: Refused, data: bytes, reason: str, status: str) -> None:
    session, trial = begun(stub, course, "own")
    request = pb.SubmitProbeRequest(session_id=session, trial_id=trial.trial_id, image={"data": data})
    refused(lambda: stub.SubmitProbe(request), reason, status)
    assert ask(stub, session).trial.step == pb.TRIAL_STEP_SEND_PROBE


def test_another_photo_is_refused_and_the_same_is_harmless(stub: Stub, course: Course, refused: Refused) -> None:
    session, trial = begun(stub, course, "own")
    send = partial(pb.SubmitProbeRequest, session_id=session, trial_id=trial.trial_id)
    first = stub.SubmitProbe(send(image={"data": photo(6)}))
    kept = refused.kept()
    assert stub.SubmitProbe(send(image={"data": photo(6)})) == first
    assert refused.kept() == kept
    refused(lambda: stub.SubmitProbe(send(image={"data": photo(8)})), "DECISION_LOCKED", "ALREADY_EXISTS")
    pair, shown = begun(stub, course, "pairs")
    probe = pb.SubmitProbeRequest(session_id=pair, trial_id=shown.trial_id, image={"data": photo(6)})
    refused(lambda: stub.SubmitProbe(probe), "WRONG_STEP", "FAILED_PRECONDITION")


def test_a_decision_counts_once_and_no_other_takes_its_place(stub: Stub, course: Course, refused: Refused) -> None:
    session, trial = begun(stub, course, "pairs")
    send = partial(pb.SubmitDecisionRequest, session_id=session, trial_id=trial.trial_id, step=RATE)
    first = stub.SubmitDecision(send(rating={"rating": 2, "p_same": 0.7}, difficulty=3))
    assert first.reveal.text
    kept = refused.kept()
    assert stub.SubmitDecision(send(rating={"rating": 2, "p_same": 0.7}, difficulty=3)) == first
    assert refused.kept() == kept
    others: list[dict[str, Any]] = [
        {"rating": {"rating": 3, "p_same": 0.7}, "difficulty": 3},
        {"rating": {"rating": 2}, "difficulty": 3},
        {"rating": {"rating": 2, "p_same": 0.7}},
        {"rating": {"rating": 2, "p_same": 0.7}, "difficulty": 3, "known_to_me": True},
        {"odd_picture_id": "0" * 16},
    ]
    for other in others:
        refused(partial(stub.SubmitDecision, send(**other)), "DECISION_LOCKED", "ALREADY_EXISTS")
    state = stub.PauseSession(pb.PauseSessionRequest(session_id=session)).session
    assert state.answered == 1
    assert stub.SubmitDecision(send(rating={"rating": 2, "p_same": 0.7}, difficulty=3)) == first  # also while paused


def test_notes_are_locked_once(stub: Stub, course: Course, refused: Refused) -> None:
    session, trial = begun(stub, course, "lists")
    send = partial(pb.LockNotesRequest, session_id=session, trial_id=trial.trial_id)
    first = stub.LockNotes(send(notes="a scar"))
    assert stub.LockNotes(send(notes="a scar")) == first
    refused(lambda: stub.LockNotes(send(notes="no scar")), "DECISION_LOCKED", "ALREADY_EXISTS")


def calls_of_a_session(stub: Stub, session_id: str) -> list[Callable[[], Any]]:
    rating = pb.SubmitDecisionRequest(session_id=session_id, trial_id="x", step=RATE, rating={"rating": 1})
    return [
        partial(stub.NextTrial, pb.NextTrialRequest(session_id=session_id)),
        partial(stub.SubmitDecision, rating),
        partial(stub.LockNotes, pb.LockNotesRequest(session_id=session_id, trial_id="x", notes="a")),
        partial(stub.SaveDraft, pb.SaveDraftRequest(session_id=session_id, trial_id="x", draft={"notes": "a"})),
        partial(stub.SubmitProbe, pb.SubmitProbeRequest(session_id=session_id, trial_id="x", image={"data": photo(6)})),
        partial(stub.PauseSession, pb.PauseSessionRequest(session_id=session_id)),
        partial(stub.ResumeSession, pb.ResumeSessionRequest(session_id=session_id)),
        partial(stub.FinishSession, pb.FinishSessionRequest(session_id=session_id)),
    ]


@pytest.mark.parametrize("malformed", MALFORMED if NIGHTLY else MALFORMED[:3:2], ids=repr)
def test_ids_that_nobody_has_are_unknown(stub: Stub, course: Course, refused: Refused, malformed: str) -> None:
    session, _ = begun(stub, course, "pairs")
    unknown = partial(refused, status="NOT_FOUND")
    for call in calls_of_a_session(stub, malformed):
        unknown(call, "UNKNOWN_SESSION")
    named = {"session_id": session, "trial_id": malformed}
    rating = pb.SubmitDecisionRequest(**named, step=RATE, rating={"rating": 1})
    unknown(lambda: stub.SubmitDecision(rating), "UNKNOWN_TRIAL")
    unknown(lambda: stub.LockNotes(pb.LockNotesRequest(**named, notes="a")), "UNKNOWN_TRIAL")
    missing = partial(refused.both, status="NOT_FOUND")
    missing("SaveDraft", pb.SaveDraftRequest(**named), "UNKNOWN_TRIAL")
    missing("GetReview", pb.GetReviewRequest(code=code_of(stub, course), trial_id=malformed), "UNKNOWN_TRIAL")
    missing("GetReview", pb.GetReviewRequest(code=malformed, trial_id="0" * 32), "UNKNOWN_TRAINEE")
    missing("ListReview", pb.ListReviewRequest(code=malformed, all=True), "UNKNOWN_TRAINEE")
    missing("ReleaseItems", pb.ReleaseItemsRequest(cohort_id=malformed, block_ids=["odd"]), "UNKNOWN_COHORT")
    missing("GetClassItem", pb.GetClassItemRequest(cohort_id=malformed, item_id="0" * 16), "UNKNOWN_COHORT")
    unknown(lambda: list(stub.ListFormItems(pb.ListFormItemsRequest(course_id=malformed))), "UNKNOWN_COURSE")
    for file in (pb.TRAINING_REPORT_FILE_DECK, pb.TRAINING_REPORT_FILE_CERTIFICATE):
        for whom, reason in (("cohort_id", "COHORT"), ("trainee_id", "TRAINEE"), ("code", "TRAINEE")):
            asked = pb.GetTrainingReportRequest(**{whom: malformed}, file=file)
            unknown(partial(lambda one: list(stub.GetTrainingReport(one)), asked), f"UNKNOWN_{reason}")
    unknown(lambda: stub.SubmitProbe(pb.SubmitProbeRequest(**named, image={"data": photo(6)})), "UNKNOWN_TRIAL")
    unknown(lambda: stub.GetCourse(pb.GetCourseRequest(course_id=malformed)), "UNKNOWN_COURSE")
    unknown(lambda: stub.DeleteCourse(pb.DeleteCourseRequest(course_id=malformed)), "UNKNOWN_COURSE")
    key = pb.SetProbeKeyRequest(course_id=malformed, image_sha256="0" * 64, absent=True)
    unknown(lambda: stub.SetProbeKey(key), "UNKNOWN_COURSE")
    unknown(lambda: stub.CreateCohort(pb.CreateCohortRequest(course_id=malformed, trainees=1)), "UNKNOWN_COURSE")
    if malformed:
        unknown(lambda: stub.ListCohorts(pb.ListCohortsRequest(course_id=malformed)), "UNKNOWN_COURSE")
    unknown(lambda: stub.AddTrainees(pb.AddTraineesRequest(cohort_id=malformed, trainees=1)), "UNKNOWN_COHORT")
    person = {"issuer": "https://lms.example", "client_id": "1", "subject": "someone"}
    missing("JoinFromPlatform", pb.JoinFromPlatformRequest(cohort_id=malformed, **person), "UNKNOWN_COHORT")
    missing("GetSittingScore", pb.GetSittingScoreRequest(code=malformed, sitting="pairs"), "UNKNOWN_TRAINEE")
    score = pb.GetSittingScoreRequest(code=code_of(stub, course), sitting=malformed)
    missing("GetSittingScore", score, "UNKNOWN_SITTING")
    unknown(lambda: stub.GetCohort(pb.GetCohortRequest(cohort_id=malformed)), "UNKNOWN_COHORT")
    unknown(lambda: list(stub.WatchCohort(pb.WatchCohortRequest(cohort_id=malformed))), "UNKNOWN_COHORT")
    unknown(lambda: stub.DeleteCohort(pb.DeleteCohortRequest(cohort_id=malformed)), "UNKNOWN_COHORT")
    unknown(lambda: list(stub.ExportResults(pb.ExportResultsRequest(cohort_id=malformed, format=1))), "UNKNOWN_COHORT")
    report = pb.GetTrainingReportRequest
    unknown(lambda: list(stub.GetTrainingReport(report(cohort_id=malformed))), "UNKNOWN_COHORT")
    unknown(lambda: list(stub.GetTrainingReport(report(trainee_id=malformed))), "UNKNOWN_TRAINEE")
    unknown(lambda: list(stub.GetTrainingReport(report(code=malformed))), "UNKNOWN_TRAINEE")
    unknown(lambda: stub.DeleteTrainee(pb.DeleteTraineeRequest(trainee_id=malformed)), "UNKNOWN_TRAINEE")
    unknown(lambda: stub.JoinCourse(pb.JoinCourseRequest(code=malformed)), "UNKNOWN_TRAINEE")
    start_it = pb.StartSessionRequest(code=malformed, sitting="pairs", consent=True)
    unknown(lambda: stub.StartSession(start_it), "UNKNOWN_TRAINEE")
    sitting = pb.StartSessionRequest(code=code_of(stub, course), sitting=malformed, consent=True)
    unknown(lambda: stub.StartSession(sitting), "UNKNOWN_SITTING")
    if malformed:
        begin = pb.NextTrialRequest(session_id=session, begin_block=malformed)
        refused(lambda: stub.NextTrial(begin), "INVALID_FIELD")


RELEASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "MISSING_FIELD", "block_ids"),
    ({"include_tests": True, "before_all_finished": True}, "MISSING_FIELD", "block_ids"),
    *(({"block_ids": [one]}, "INVALID_FIELD", "block_ids") for one in MALFORMED),
    *(({"item_ids": [one]}, "INVALID_FIELD", "item_ids") for one in MALFORMED),
    ({"block_ids": ["odd", "ODD"]}, "INVALID_FIELD", "block_ids"),
    ({"block_ids": ["odd"], "item_ids": ["odd"]}, "INVALID_FIELD", "item_ids"),
    ({"item_ids": ["0" * 16] * 10_001}, "INVALID_FIELD", "item_ids"),
]


def test_a_wrong_release_releases_nothing(stub: Stub, course: Course, refused: Refused) -> None:
    cohort_id = enrol(stub, course.course_id).cohort.cohort_id
    for fields, reason, field in RELEASES:
        end = refused.both("ReleaseItems", pb.ReleaseItemsRequest(cohort_id=cohort_id, **fields), reason)
        assert end.info.metadata["field"] == field
    for one in MALFORMED:
        reason = "INVALID_FIELD" if one else "MISSING_FIELD"
        refused.both("GetClassItem", pb.GetClassItemRequest(cohort_id=cohort_id, item_id=one), reason)
    (shown, *_) = stub.ListFormItems(pb.ListFormItemsRequest(course_id=course.course_id, form="odd"))
    asked = pb.GetClassItemRequest(cohort_id=cohort_id, item_id=shown.item.item_id)
    refused.both("GetClassItem", asked, "NOT_RELEASED", "FAILED_PRECONDITION")
    ahead = pb.ReleaseItemsRequest(cohort_id=cohort_id, block_ids=["odd"])
    assert refused.both("ReleaseItems", ahead, "ITEMS_AHEAD", "FAILED_PRECONDITION").info.metadata["trainees"] == "1"
    get, report = stub.GetTrainingReport, partial(pb.GetTrainingReportRequest, file=pb.TRAINING_REPORT_FILE_DECK)
    refused(lambda: list(get(report(cohort_id=cohort_id))), "NOTHING_TO_REPORT", "FAILED_PRECONDITION")
    refused(lambda: list(get(report())), "MISSING_FIELD")
    for one in MALFORMED[1:]:
        form = pb.ListFormItemsRequest(course_id=course.course_id, form=one)
        refused(partial(lambda sent: list(stub.ListFormItems(sent)), form), "INVALID_FIELD")


PACKAGES: list[tuple[dict[str, Any], str, str]] = [
    ({"lessons": ["bias"]}, "MISSING_FIELD", "format"),
    ({"lessons": ["bias"], "format": 99}, "INVALID_FIELD", "format"),
    ({"format": 1}, "INVALID_FIELD", "lessons"),
    ({"lessons": ["bias", "bias"], "format": 1}, "INVALID_FIELD", "lessons"),
    *(({"lessons": ["bias", one], "format": 1}, "INVALID_FIELD", "lessons") for one in MALFORMED),
    *(
        ({"lessons": ["bias"], "format": 2, "mastery_score": one}, "INVALID_FIELD", "mastery_score")
        for one in (0, 1.01, -1, float("nan"))
    ),
]


def test_a_wrong_package_is_refused(stub: Stub, refused: Refused) -> None:
    for fields, reason, field in PACKAGES:
        end = refused.both("GetLessonPackage", pb.GetLessonPackageRequest(**fields), reason)
        assert end.info.metadata["field"] == field
    made = stub.GetLessonPackage(pb.GetLessonPackageRequest(lessons=["bias"], format=2, language="fr"))
    assert (made.name, made.language, made.content[:2]) == ("bias-fr-cmi5.zip", "fr", b"PK")


def test_wrong_lists_of_what_to_leave_out(stub: Stub, refused: Refused) -> None:
    for wrong in (["0" * 16, ""], ["0" * 15], ["G" * 16], ["A" * 16], [LONG], ["0" * 16] * 10_001):
        for only_forecast in (False, True):
            end = refused(
                partial(create, stub, EACH, exclude_items=wrong, only_forecast=only_forecast), "INVALID_FIELD"
            )
            assert end.info.metadata["field"] == "exclude_items"


def test_a_draft_out_of_its_time_is_refused(stub: Stub, course: Course, refused: Refused, clock: Clock) -> None:
    session, trial = begun(stub, course, "pairs")
    draft, failed = pb.SaveDraftRequest(session_id=session, trial_id=trial.trial_id), "FAILED_PRECONDITION"
    stub.PauseSession(pb.PauseSessionRequest(session_id=session))
    refused.both("SaveDraft", draft, "SESSION_PAUSED", failed)
    stub.ResumeSession(pb.ResumeSessionRequest(session_id=session))
    stub.SubmitDecision(Chance().decision(session, trial))
    refused.both("SaveDraft", draft, "WRONG_STEP", failed)
    waiting = next_trial(stub, session)
    assert waiting is not None
    late = pb.SaveDraftRequest(session_id=session, trial_id=waiting.trial_id)
    clock.ahead_ms += 61_000
    refused.both("SaveDraft", late, "BLOCK_EXPIRED", failed)
    stub.FinishSession(pb.FinishSessionRequest(session_id=session))
    refused.both("SaveDraft", late, "SESSION_FINISHED", failed)


def test_pauses_that_are_used_up_are_refused(stub: Stub, course: Course, refused: Refused) -> None:
    code = code_of(stub, course)
    session = start(stub, code, "pairs")
    pause = pb.PauseSessionRequest(session_id=session)
    for again in (False, False, False, True):
        trial = next_trial(stub, session)
        assert trial is not None
        if again:
            break
        stub.PauseSession(pause)
        stub.ResumeSession(pb.ResumeSessionRequest(session_id=session))
        stub.SubmitDecision(Chance().decision(session, trial))
    refused.both("PauseSession", pause, "PAUSES_USED_UP", "FAILED_PRECONDITION")
    before = stub.NextTrial(pb.NextTrialRequest(session_id=session)).trial.left.ToMilliseconds()
    stub.StartSession(pb.StartSessionRequest(code=code, sitting="pairs"))  # gives no time back any more
    assert stub.NextTrial(pb.NextTrialRequest(session_id=session)).trial.left.ToMilliseconds() <= before


def test_a_trial_of_another_session_is_unknown(stub: Stub, course: Course, refused: Refused) -> None:
    (session, _), (_, other) = begun(stub, course, "pairs"), begun(stub, course, "pairs")
    request = pb.SubmitDecisionRequest(session_id=session, trial_id=other.trial_id, step=RATE, rating={"rating": 1})
    refused(lambda: stub.SubmitDecision(request), "UNKNOWN_TRIAL", "NOT_FOUND")


def test_an_answer_after_its_block_is_refused(stub: Stub, course: Course, refused: Refused, clock: Clock) -> None:
    session, trial = begun(stub, course, "pairs")
    send = partial(pb.SubmitDecisionRequest, session_id=session, step=RATE, rating={"rating": 1})
    first = send(trial_id=trial.trial_id)
    response = stub.SubmitDecision(first)
    second = next_trial(stub, session)
    assert second is not None
    clock.ahead_ms += 61_000
    refused(lambda: stub.SubmitDecision(send(trial_id=second.trial_id)), "BLOCK_EXPIRED", "FAILED_PRECONDITION")
    assert stub.SubmitDecision(first) == response  # it was locked in time
    assert ask(stub, session).block.block.block_id == "more"
    refused(lambda: stub.SubmitDecision(send(trial_id=second.trial_id)), "BLOCK_EXPIRED", "FAILED_PRECONDITION")
    begin = pb.NextTrialRequest(session_id=session, begin_block="odd")
    refused(lambda: stub.NextTrial(begin), "INVALID_FIELD")


def test_a_session_that_is_paused_or_finished_takes_no_answer(stub: Stub, course: Course, refused: Refused) -> None:
    session, trial = begun(stub, course, "pairs")
    request = pb.SubmitDecisionRequest(session_id=session, trial_id=trial.trial_id, step=RATE, rating={"rating": 1})
    stub.PauseSession(pb.PauseSessionRequest(session_id=session))
    refused(lambda: stub.SubmitDecision(request), "SESSION_PAUSED", "FAILED_PRECONDITION")
    refused(lambda: ask(stub, session), "SESSION_PAUSED", "FAILED_PRECONDITION")
    stub.ResumeSession(pb.ResumeSessionRequest(session_id=session))
    stub.FinishSession(pb.FinishSessionRequest(session_id=session))
    refused(lambda: stub.SubmitDecision(request), "SESSION_FINISHED", "FAILED_PRECONDITION")
    pause, go_on = pb.PauseSessionRequest(session_id=session), pb.ResumeSessionRequest(session_id=session)
    refused(lambda: stub.PauseSession(pause), "SESSION_FINISHED", "FAILED_PRECONDITION")
    refused(lambda: stub.ResumeSession(go_on), "SESSION_FINISHED", "FAILED_PRECONDITION")
    own, waiting = begun(stub, course, "own")
    stub.FinishSession(pb.FinishSessionRequest(session_id=own))
    probe = pb.SubmitProbeRequest(session_id=own, trial_id=waiting.trial_id, image={"data": photo(6)})
    refused(lambda: stub.SubmitProbe(probe), "SESSION_FINISHED", "FAILED_PRECONDITION")


def test_a_session_begins_with_consent_alone(stub: Stub, course: Course, refused: Refused) -> None:
    code = code_of(stub, course)
    without = pb.StartSessionRequest(code=code, sitting="pairs")
    refused(lambda: stub.StartSession(without), "CONSENT_REQUIRED", "FAILED_PRECONDITION")
    assert start(stub, code, "pairs") == stub.StartSession(without).session.session_id  # which was agreed to


def test_a_report_of_nothing_and_of_what_goes_on_is_refused(stub: Stub, course: Course, refused: Refused) -> None:
    made = enrol(stub, course.course_id)
    report = pb.GetTrainingReportRequest
    get = stub.GetTrainingReport
    failed = "FAILED_PRECONDITION"
    cohort_id, one = made.cohort.cohort_id, made.enrolled[0]
    refused(lambda: list(get(report())), "MISSING_FIELD")
    refused(lambda: list(get(report(cohort_id=cohort_id))), "NOTHING_TO_REPORT", failed)
    refused(lambda: list(get(report(trainee_id=one.trainee_id))), "NOTHING_TO_REPORT", failed)
    refused(lambda: list(get(report(code=one.code))), "NOTHING_TO_REPORT", failed)
    start(stub, one.code, "pairs")
    refused(lambda: list(get(report(code=one.code))), "SESSION_UNFINISHED", failed)
    for number in (9, -1):
        refused(partial(get, report(cohort_id=cohort_id, file=number)), "INVALID_FIELD")
    for number, reason in ((0, "MISSING_FIELD"), (9, "INVALID_FIELD"), (-1, "INVALID_FIELD")):
        form = pb.ExportResultsRequest(cohort_id=cohort_id, format=number)
        refused(partial(stub.ExportResults, form), reason)


@pytest.mark.parametrize(("field", "most"), [("issuer", 500), ("client_id", 255), ("subject", 255)])
def test_a_wrong_person_of_a_platform(stub: Stub, course: Course, refused: Refused, field: str, most: int) -> None:
    cohort_id = enrol(stub, course.course_id).cohort.cohort_id
    person = {"cohort_id": cohort_id, "issuer": "i", "client_id": "c", "subject": "s"}
    for wrong in ("", "x" * (most + 1)):
        request = pb.JoinFromPlatformRequest(**{**person, field: wrong})
        refused.both("JoinFromPlatform", request, "INVALID_FIELD")
    stub.JoinFromPlatform(pb.JoinFromPlatformRequest(**{**person, field: "x" * most}))  # control


COHORTS: list[tuple[dict[str, Any], str]] = [
    ({"trainees": 0}, "trainees"),
    ({"trainees": 1_001}, "trainees"),
    ({"retention": duration_pb2.Duration(seconds=0)}, "retention"),
    ({"retention": duration_pb2.Duration(seconds=3_650 * 86_400 + 1)}, "retention"),
    ({"retention": duration_pb2.Duration(seconds=2**62)}, "retention"),
    ({"display_name": LONG}, "display_name"),
    ({"display_name": "a\0b"}, "display_name"),
]


@pytest.mark.parametrize(("fields", "what"), COHORTS, ids=range(len(COHORTS)))
def test_a_wrong_cohort(stub: Stub, course: Course, refused: Refused, fields: dict[str, Any], what: str) -> None:
    request = pb.CreateCohortRequest(**{"course_id": course.course_id, "trainees": 1, **fields})
    end = refused(lambda: stub.CreateCohort(request), "INVALID_FIELD")
    assert end.info.metadata["field"] == what
    if "trainees" in fields:
        cohort_id = enrol(stub, course.course_id).cohort.cohort_id
        more = pb.AddTraineesRequest(cohort_id=cohort_id, trainees=fields["trainees"])
        refused(lambda: stub.AddTrainees(more), "INVALID_FIELD")


def test_page_tokens_that_the_call_did_not_give_are_refused(stub: Stub, course: Course, refused: Refused) -> None:
    for _ in range(2):
        enrol(stub, course.course_id)
    cohorts = pb.ListCohortsRequest
    given = stub.ListCohorts(cohorts(course_id=course.course_id, page_size=1)).next_page_token
    assert given
    courses = pb.ListCoursesRequest
    for token in ("x", "????", given, given[:-2], "ü", LONG, page_token("galleries", "a b")):
        refused(partial(stub.ListCourses, courses(page_token=token)), "INVALID_PAGE")
    for token in ("x", given[:-2], f"{given}A"):
        refused(partial(stub.ListCohorts, cohorts(course_id=course.course_id, page_token=token)), "INVALID_PAGE")
    refused(lambda: stub.ListCohorts(cohorts(page_token=given)), "INVALID_PAGE")
    for size in (0, 1_001, 2**32 - 1):
        refused(partial(stub.ListCourses, courses(page_size=size)), "INVALID_PAGE")
        refused(partial(stub.ListCohorts, cohorts(page_size=size)), "INVALID_PAGE")


@pytest.mark.parametrize("last", ["x y", "1", "9999999999999999999999 y", f"{'9' * 5_000} y", "-1e3 y", "1.5 y"])
def test_page_tokens_that_somebody_has_composed_are_refused(stub: Stub, refused: Refused, last: str) -> None:
    token = page_token("courses", last)
    refused(lambda: stub.ListCourses(pb.ListCoursesRequest(page_token=token)), "INVALID_PAGE")
    token = page_token("cohorts ", last)
    refused(lambda: stub.ListCohorts(pb.ListCohortsRequest(page_token=token)), "INVALID_PAGE")


def test_probe_keys_that_cannot_be_are_refused(stub: Stub, course: Course, refused: Refused) -> None:
    key = partial(pb.SetProbeKeyRequest, course_id=course.course_id)
    for sha256 in ("", "0" * 63, "G" * 64, "A" * 64, LONG):
        refused(partial(stub.SetProbeKey, key(image_sha256=sha256, absent=True)), "INVALID_FIELD")
    refused(lambda: stub.SetProbeKey(key(image_sha256="0" * 64)), "MISSING_FIELD")
    refused(lambda: stub.SetProbeKey(key(image_sha256="0" * 64, absent=False)), "MISSING_FIELD")
    for identity in ("", "Waldo", "Jane\0Roe", LONG):
        end = refused(partial(stub.SetProbeKey, key(image_sha256="0" * 64, identity=identity)), "INVALID_FIELD")
        assert not identity or identity not in end.status.message


def block(**fields: object) -> str:
    values = {"id": '"a"', "exercise": '"verification"', "same": 1, "different": 1, **fields}
    lines = "\n".join(f"{name} = {value}" for name, value in values.items() if value is not None)
    return f'format = 1\ntitle = "A"\n[[sittings]]\nname = "all"\n[[sittings.blocks]]\n{lines}\n'


PLANS = {
    "not TOML": ("format = 1\ntitle = ", "PLAN_INVALID"),
    "NUL": ("\0", "PLAN_INVALID"),
    "too long": (f"{block()}# {'x' * 256 * 1024}", "PLAN_INVALID"),
    "200,000 characters": (LONG, "PLAN_INVALID"),
    "a number of 5,000 digits": (f"{'format = 1'}{'0' * 5_000}\n", "PLAN_INVALID"),
    "a key of 10,000 characters": (block(**{"k" * 10_000: 1}), "PLAN_INVALID"),
    "markup as a key": (block(**{'"<script>"': 1}), "PLAN_INVALID"),
    "not a number": (block(adaptive="true", trials=1, target="nan"), "PLAN_INVALID"),
    "an id with markup": (block(id='"<b>"'), "PLAN_INVALID"),
    "NUL in a title": (block(title='"a\\u0000"'), "PLAN_INVALID"),
    "an unknown exercise": (block(exercise='"verfication"'), "UNKNOWN_EXERCISE"),
    **{
        f"{key} = {value}": (block(**{key: value}), "PLAN_INVALID")
        for key, value in {"scale": "nan", "blur": "inf", "compression": "9" * 300, "light": "true"}.items()
    },
    "a scale of a photo to triage": (
        block(exercise='"triage"', same=None, different=None, usable=1, limited=1, reject=1, scale=20),
        "PLAN_INVALID",
    ),
    **{
        f"{key} = {value}": (block().replace("format = 1", f"format = 1\n{key} = {value}"), "PLAN_INVALID")
        for key, value in {"mask": '"<b>"', "colour": '"no"', "claims": "0", "machine_fmr": '"0.5"'}.items()
    },
    "five labs": (
        block(exercise='"lab"', same=None, different=None, trials=5, about='"threshold"'),
        "PLAN_INVALID",
    ),
    "a lab about nothing": (
        block(exercise='"lab"', same=None, different=None, trials=1, about='"<b>"'),
        "PLAN_INVALID",
    ),
    "evidence of nothing": (block(exercise='"evidence"', same=None, different=None, trials=0), "PLAN_INVALID"),
    "evidence that is blurred": (
        block(exercise='"evidence"', same=None, different=None, trials=1, blur=1),
        "PLAN_INVALID",
    ),
    "a lesson that is not there": (
        block(exercise='"lesson"', same=None, different=None, lesson='"thresholdz"'),
        "PLAN_INVALID",
    ),
    "no lesson": (block(exercise='"lesson"', same=None, different=None), "PLAN_INVALID"),
    "2,000 lists of 50": (
        block(exercise='"candidates"', same=None, different=None, present=1_000, absent=1_000, size=50),
        "PLAN_INVALID",
    ),
    "a test of few items": (block(equated='"x"', occasion='"pre"'), "PLAN_INVALID"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_cannot_be_is_refused(stub: Stub, refused: Refused, name: str) -> None:
    text, reason = PLANS[name]
    gc.collect()  # nothing that other tests have left is to be finalised where the parser is at its deepest
    end = refused(lambda: stub.CheckPlan(pb.CheckPlanRequest(plan={"toml": text})), reason)
    assert len(end.status.message) < 300
    refused(lambda: create(stub, text), reason)


def test_the_exercises_that_there_are_are_told(stub: Stub, refused: Refused) -> None:
    plan = pb.CheckPlanRequest(plan={"toml": PLANS["an unknown exercise"][0]})
    end = refused(lambda: stub.CheckPlan(plan), "UNKNOWN_EXERCISE")
    assert "Did you mean verification?" in end.status.message
    assert "low_prevalence" in end.status.message


def test_how_many_people_are_missing_is_told(stub: Stub, refused: Refused) -> None:
    end = refused(lambda: create(stub, MANY), "TOO_FEW_PEOPLE", "FAILED_PRECONDITION")
    said = "The plan shows 212 people, of whom 60 need two photos; the data sets hold 100 and 100: 112 are missing. "
    assert end.status.message.startswith(said)
    assert dict(end.info.metadata) == {"people": "212", "with_two_photos": "60", "missing": "112"}
    checked = stub.CheckPlan(pb.CheckPlanRequest(plan={"toml": MANY}, datasets=["people_folder"]))
    assert checked.missing == 112


TRIADS = """
format = 1
title = "Triads"
sittings = [
  { name = "all", blocks = [{ id = "odd", exercise = "triad", trials = 4 }] },
]
"""


def test_triads_of_photos_that_differ_in_condition_are_refused(stub: Stub, refused: Refused) -> None:
    root = find_link("people_folder", datasets_folder()).root
    asked = pb.CheckPlanRequest(plan={"toml": TRIADS}, datasets=["people_folder"])
    checked = stub.CheckPlan(asked)
    assert (checked.needs.people_with_two_alike, checked.people_with_two_alike, checked.missing) == (4, 100, 0)
    said = [f"{photo.parent.name},{photo.name},{photo.stem}" for photo in sorted(root.rglob("*.png"))]
    conditions = root / "conditions.csv"
    conditions.write_text("\n".join(["person,photo,condition", *said]), encoding="utf-8")
    try:
        checked = stub.CheckPlan(asked)
        end = refused(lambda: create(stub, TRIADS), "TOO_FEW_PEOPLE", "FAILED_PRECONDITION")
    finally:
        conditions.unlink()
    assert (checked.people_with_two_photos, checked.people_with_two_alike, checked.missing) == (100, 0, 4)
    assert "Show pairs instead of triads" in end.status.message


def test_a_course_without_people_is_refused(stub: Stub, refused: Refused, home: Path, tmp_path: Path) -> None:
    def made(*datasets: str, **plan: str) -> None:
        list(stub.CreateCourse(pb.CreateCourseRequest(plan=plan or {"toml": EACH}, datasets=datasets)))

    refused(made, "MISSING_FIELD")
    for name in ("nobody", "", LONG, "../../etc", "Zoë", "agedb30", "london"):
        end = refused(partial(made, name), "DATASET_UNAVAILABLE", "NOT_FOUND")
        assert "/etc" not in end.status.message
    refused(partial(made, *(f"set-{n}" for n in range(17))), "INVALID_FIELD")
    refused(partial(made, "people_folder", "people_folder"), "INVALID_FIELD")
    refused(lambda: list(stub.CreateCourse(pb.CreateCourseRequest(datasets=["people_folder"]))), "MISSING_FIELD")
    for name in ("nothing", "", "../demo", LONG):
        refused(partial(made, "people_folder", name=name), "UNKNOWN_PLAN", "NOT_FOUND")
    try:
        write_link("people_folder", Link(tmp_path), datasets_folder())
        end = refused(partial(made, "people_folder"), "DATASET_UNUSABLE", "FAILED_PRECONDITION")
        assert str(tmp_path) not in end.status.message
    finally:
        write_link("people_folder", Link(home / "people"), datasets_folder())


@contextmanager
def held(name: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold up the callers of a function: the first event says that somebody came, the second lets them go."""
    came, go = threading.Event(), threading.Event()
    target = resolve_name(name)

    def waiting(*args: Any, **kwargs: Any) -> Any:
        came.set()
        assert go.wait(30)
        return target(*args, **kwargs)

    with patch(name, waiting):
        yield came, go


def until_free(stub: Stub) -> None:
    until(lambda: refusal_of(lambda: create(stub, MANY)).info.reason == "TOO_FEW_PEOPLE", 30)


def test_two_courses_at_once_are_refused(stub: Stub, refused: Refused) -> None:
    source = pb.PlanSource(toml=SMALL)
    with held("fr_server.rpc.services.training.courses.build_course") as (came, go):
        first = stub.CreateCourse(pb.CreateCourseRequest(plan=source, datasets=["people_folder"]))
        assert came.wait(30)
        refused(lambda: create(stub, SMALL), "COURSE_BUILDING", "RESOURCE_EXHAUSTED")
        go.set()
        assert list(first)[-1].course.course_id
    until_free(stub)


STAGES = {
    "before the photos": "fr_server.rpc.services.training.courses.build_course",
    "before the forms": "fr_training.build.course.compose",
    "before the pictures": "fr_training.build.course.render",
    "before it is stored": "fr_training.store.courses._chunks",
}


@pytest.mark.parametrize("stage", STAGES if NIGHTLY else ("before it is stored",))
def test_a_cancelled_course_leaves_nothing(stub: Stub, refused: Refused, stage: str) -> None:
    before = refused.kept()
    source = pb.PlanSource(toml=SMALL)
    with held(STAGES[stage]) as (came, go):
        call = stub.CreateCourse(pb.CreateCourseRequest(plan=source, datasets=["people_folder"]))
        assert came.wait(30)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(call)
        time.sleep(1.0)  # the server is told of it
        go.set()
    until_free(stub)
    after = refused.kept()
    assert without_numbers(after) == without_numbers(before)
    made = create(stub, SMALL)
    stub.DeleteCourse(pb.DeleteCourseRequest(course_id=made.course_id))


def without_numbers(kept: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The stored state, without numbers that are never reused and without the audit of what was made and undone."""
    return {name: rows for name, rows in kept.items() if not name.startswith(("sqlite_", "audit"))}


def test_a_course_whose_gallery_cannot_be_kept_leaves_nothing(stub: Stub, refused: Refused) -> None:
    before = refused.kept()
    keep = "fr_server.rpc.services.training.course_gallery.CourseGallery.keep"
    with patch(keep, side_effect=StoreFailed("The disk is gone.")):
        assert refusal_of(lambda: create(stub, SMALL)).info.reason == "STORE_FAILED"
    until_free(stub)
    assert without_numbers(refused.kept()) == without_numbers(before)


EVIL = "<script>alert(1)</script>"
FORMULAS = ("=HYPERLINK(0)", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "x;=1+1", " =1+1")


LABEL = "&lt;script&gt;label"


def test_no_text_of_a_plan_or_a_name_is_run_by_a_browser_or_a_spreadsheet(stub: Stub) -> None:
    plan = block(title=f"'{EVIL}'", instructions=f"'{EVIL}'").replace('title = "A"', f"title = '=1+1 {EVIL}'")
    plan += '[[sittings.blocks]]\nid = "lab"\nexercise = "lab"\nabout = "groups"\ntrials = 1\n'
    root = find_link("people_folder", datasets_folder()).root
    words = ("<script>label", "=1+1")
    rows = [
        f"{path.name},{words[n % 2]}" for n, path in enumerate(sorted(path for path in root.iterdir() if path.is_dir()))
    ]
    labels = root / "labels.csv"
    labels.write_text("\n".join(["person,ethnicity", *rows]), encoding="utf-8")
    try:
        made = create(stub, plan.replace('name = "all"', f"name = \"all\"\ntitle = '@1 {EVIL}'"))
    finally:
        labels.unlink()
    for formula in FORMULAS if NIGHTLY else FORMULAS[-2:]:
        request = pb.CreateCohortRequest(course_id=made.course_id, display_name=f"{formula}{EVIL}", trainees=1)
        cohort = stub.CreateCohort(request)
        list(take(stub, start(stub, cohort.enrolled[0].code), Chance(random.Random(1))))
        cohort_id = cohort.cohort.cohort_id
        export = pb.ExportResultsRequest(cohort_id=cohort_id, format=pb.EXPORT_FORMAT_CSV)
        text = b"".join(one.content for one in stub.ExportResults(export)).decode()
        for row in csv.DictReader(io.StringIO(text, newline="")):
            for part in row["cohort"].split(";"):
                assert not part.lstrip(" \t").startswith(("=", "+", "-", "@"))
    stub.ReleaseItems(pb.ReleaseItemsRequest(cohort_id=cohort_id, block_ids=["a", "lab"]))
    of_cohort, of_trainee = {"cohort_id": cohort_id}, {"trainee_id": cohort.enrolled[0].trainee_id}
    for whom, file in (
        (of_cohort, pb.TRAINING_REPORT_FILE_HTML),
        (of_trainee, pb.TRAINING_REPORT_FILE_HTML),
        (of_cohort, pb.TRAINING_REPORT_FILE_DECK),
        (of_trainee, pb.TRAINING_REPORT_FILE_CERTIFICATE),
    ):
        html = pb.GetTrainingReportRequest(**whom, file=file)
        page = b"".join(one.content for one in stub.GetTrainingReport(html)).decode()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert LABEL in page or file != pb.TRAINING_REPORT_FILE_DECK  # in the table of the lab
    for whom in (of_cohort, of_trainee):
        data = pb.GetTrainingReportRequest(**whom, file=pb.TRAINING_REPORT_FILE_JSON)
        assert json.loads(b"".join(one.content for one in stub.GetTrainingReport(data)))
    for form in (pb.EXPORT_FORMAT_XAPI, pb.EXPORT_FORMAT_AGS, pb.EXPORT_FORMAT_OPEN_BADGES):
        export = pb.ExportResultsRequest(cohort_id=cohort_id, format=form)
        assert json.loads(b"".join(one.content for one in stub.ExportResults(export)))
