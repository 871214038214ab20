"""An answer is kept as a trainee types it, before it is locked; the time of a block goes by the server's clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from support.callers import reason_of
from support.courses import Chance, Clock, Trial, answer, ask, create, enrol, next_trial, running_by, start
from support.servers import Running

pb: Any = training_pb2
MINUTE_MS = 60_000

LINKED = 60  # people: few more than the plan needs

PLAN = """
format = 1
title = "Squares"
sittings = [
  { name = "all", blocks = [
    { id = "lists", exercise = "candidates", size = 3, present = 1, absent = 1, minutes = 10 },
    { id = "parts", exercise = "features", same = 1, different = 1, minutes = 10 },
  ] },
]
"""
SIMILAR = {"component_id": "nose", "comparison": training_pb2.COMPARISON_SIMILAR, "similarity": 7}


@pytest.fixture(scope="module")
def course_id(home: Path, clock: Clock) -> str:
    with running_by(clock, home / "data") as server:
        return create(server.training, PLAN).course_id


@pytest.fixture
def opened(home: Path, clock: Clock, course_id: str) -> Iterator[Callable[[], Any]]:
    """Opens the server with this course, again and again; time passes only as a test says."""

    @contextmanager
    def at() -> Iterator[Running]:
        with running_by(clock, home / "data") as server:
            yield server

    clock.stopped_ms = clock()
    yield at
    clock.stopped_ms = None


def save(server: Running, session: str, trial: Trial, **draft: Any) -> Any:
    request = pb.SaveDraftRequest(session_id=session, trial_id=trial.trial_id, draft=pb.Draft(**draft))
    return server.training.SaveDraft(request)


def test_drafts_and_the_time_left_survive_a_restart(opened: Any, clock: Clock, course_id: str) -> None:
    with opened() as server:
        code = enrol(server.training, course_id).enrolled[0].code
        session = start(server.training, code)
        trial = next_trial(server.training, session)
        assert trial is not None
        assert not trial.HasField("draft")
        clock.ahead_ms += MINUTE_MS
        assert save(server, session, trial, notes="A mark on the").left.seconds == 9 * 60
        assert ask(server.training, session).trial.draft.notes == "A mark on the"
    clock.ahead_ms += 5 * MINUTE_MS  # the server is away
    with opened() as server:
        # The trainee was there until the draft; the time since is given back, and no more.
        again = server.training.StartSession(pb.StartSessionRequest(code=code, sitting="all")).session
        assert (again.session_id, again.left.seconds) == (session, 9 * 60)
        trial = next_trial(server.training, session)
        assert trial is not None
        assert (trial.draft.notes, trial.left.seconds) == ("A mark on the", 9 * 60)
        _, decide = answer(server.training, session, trial, Chance())
        assert decide is not None
        assert not decide.HasField("draft")
        candidates = [one.picture_id for one in decide.pictures if one.role == pb.PICTURE_ROLE_CANDIDATE]
        save(server, session, decide, ratings={candidates[1]: -2})
        assert dict(ask(server.training, session).trial.draft.ratings) == {candidates[1]: -2}
        clock.ahead_ms += 9 * MINUTE_MS
        assert reason_of(partial(save, server, session, decide, ratings={})) == "BLOCK_EXPIRED"


def test_a_draft_says_that_the_trainee_was_there(opened: Any, clock: Clock, course_id: str) -> None:
    with opened() as server:
        left = {}
        for drafts in (False, True):
            code = enrol(server.training, course_id).enrolled[0].code
            session = start(server.training, code)
            trial = next_trial(server.training, session)
            assert trial is not None
            clock.ahead_ms += 2 * MINUTE_MS
            if drafts:
                save(server, session, trial)
            clock.ahead_ms += MINUTE_MS
            left[drafts] = server.training.StartSession(pb.StartSessionRequest(code=code, sitting="all")).session.left
        assert (left[False].seconds, left[True].seconds) == (10 * 60, 8 * 60)


def test_wrong_drafts_change_nothing(opened: Any, course_id: str) -> None:
    with opened() as server:
        session = start(server.training, enrol(server.training, course_id).enrolled[0].code)
        trial = next_trial(server.training, session)
        assert trial is not None
        save(server, session, trial, notes="Ears")
        refused: list[tuple[dict[str, Any], str]] = [
            ({"notes": "a" * 2_001}, "INVALID_FIELD"),
            ({"notes": "\x1b[2J"}, "INVALID_FIELD"),
            ({"notes": " " * 2_001}, "INVALID_FIELD"),
            ({"notes": "\x1c\x0b"}, "INVALID_FIELD"),
            ({"observations": [SIMILAR]}, "WRONG_STEP"),
            ({"notes": "x", "ratings": {"0" * 16: 1}}, "WRONG_STEP"),
        ]
        for draft, reason in refused:
            assert reason_of(partial(save, server, session, trial, **draft)) == reason
        assert ask(server.training, session).trial.draft == pb.Draft(notes="Ears")
        other = Trial(trial_id="0" * 32)
        assert reason_of(partial(save, server, session, other)) == "UNKNOWN_TRIAL"
        _, decide = answer(server.training, session, trial, Chance())
        assert decide is not None
        probe = next(one.picture_id for one in decide.pictures if one.role == pb.PICTURE_ROLE_PROBE)
        for ratings in ({probe: 1}, {"0" * 16: 1}, {decide.pictures[1].picture_id: 4}):
            assert reason_of(partial(save, server, session, decide, ratings=ratings)) == "INVALID_RATING"
        assert not ask(server.training, session).trial.HasField("draft")
        server.training.PauseSession(pb.PauseSessionRequest(session_id=session))
        assert reason_of(partial(save, server, session, decide)) == "SESSION_PAUSED"


def test_observations_are_kept_one_by_one(opened: Any, course_id: str) -> None:
    with opened() as server:
        session = start(server.training, enrol(server.training, course_id).enrolled[0].code)
        while (trial := next_trial(server.training, session)) is not None and trial.block_id == "lists":
            step: Trial | None = trial
            while step is not None:
                _, step = answer(server.training, session, step, Chance())
        assert trial is not None
        save(server, session, trial, observations=[SIMILAR])
        assert ask(server.training, session).trial.draft == pb.Draft(observations=[SIMILAR])
        refused = partial(save, server, session, trial, observations=[SIMILAR, SIMILAR])
        assert reason_of(refused) == "INVALID_FIELD"
        _, rate = answer(server.training, session, trial, Chance())
        assert rate is not None
        assert not rate.HasField("draft")
        assert reason_of(partial(save, server, session, rate, observations=[SIMILAR])) == "WRONG_STEP"
