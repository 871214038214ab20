"""Nothing that a trainee receives before an answer is locked tells what is right, in whatever exercise."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from fr_api.v1 import training_pb2
from fr_locales.rendering import render
from fr_training.courses import Course
from fr_training.exercises.photos import advice
from fr_training.keys import AnswerKey, PairKey
from fr_training.sessions.views import key_of
from support.counts import NIGHTLY, count
from support.courses import (
    PLAN,
    Chance,
    Clock,
    Trial,
    answer,
    ask,
    create,
    enrol,
    link_footage,
    next_trial,
    start,
    store_of,
    take,
)
from support.leaks import (
    LEAK,
    PROBE,
    Heard,
    Listening,
    Row,
    bare,
    chance,
    drawn_secrets,
    forbidden,
    opposed,
    planted,
    truth_of,
    with_keys,
)
from support.servers import Running, running

NAMES = ("Jane", "Roe", "people_folder", "chokepoint", ".png", ".jpg", "low_prevalence")
STEPS = ("RATE", "CHOOSE", "DECIDE")
LESSON = """
format = 1
title = "A lesson"
[[sittings]]
name = "all"
blocks = [{id = "lesson", exercise = "lesson", lesson = "thresholds", feedback = false}]
"""
FOOTAGE = """
format = 1
title = "Footage"
claims = false
[[sittings]]
name = "all"
blocks = [
  {id = "silent", exercise = "footage", same = 1, different = 1, reveal_scores = false},
  {id = "told", exercise = "footage", same = 1, different = 1, feedback = true},
]
"""
# What a trainee may be told the exercises are: the others are verifications to look at.
TOLD = set(training_pb2.Exercise.values()) - {
    training_pb2.EXERCISE_UNSPECIFIED,
    training_pb2.EXERCISE_LOW_PREVALENCE,
    training_pb2.EXERCISE_BLIND,
}
AROUND = re.compile(rb"OK\n\n(?:x-request-id\n[0-9a-f]{32}|(?:user-agent|content-type|accept-encoding)\n[^\n]*|\n)*")


@pytest.fixture(scope="module")
def server(home: Path, clock: Clock) -> Iterator[Running]:
    link_footage(home / "footage", 15)
    with running(home / "data", clock=clock) as server:
        yield server


@dataclass(frozen=True)
class Photos:
    """sha256 of every photo that a course is made of."""

    sha256: tuple[str, ...] = field(repr=False)  # too long to be told of a failure


@pytest.fixture(scope="module")
def photos(home: Path) -> Photos:
    paths = sorted([*(home / "people").rglob("*.png"), *(home / "footage").rglob("*.[jJ][pP][gG]")])
    return Photos(tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths))


_BLOCKS: Mapping[str, str] = {
    "verification": "same = {a}\ndifferent = {b}\nfeedback = {feedback}",
    "adaptive": "adaptive = true\nsame = 3\ndifferent = 3\ntrials = {trials}\nfeedback = {feedback}",
    "triad": "trials = {trials}\nfeedback = {feedback}",
    "features": "same = {a}\ndifferent = {b}\nfeedback = {feedback}",
    "footage": "same = {a}\ndifferent = {b}\nfeedback = {feedback}\nreveal_scores = {scores}",
    "candidates": "size = {size}\npresent = {a}\nabsent = {b}\nfeedback = {feedback}\nreveal_scores = {scores}",
    "triage": "usable = {a}\nlimited = {b}\nreject = 1\nfeedback = {feedback}",
    "aided": "same = {a}\ndifferent = {b}\nwrong = {wrong}\nfeedback = {feedback}",
    "low_prevalence": "same = {trials}\ndifferent = 1\nfeedback = {feedback}",
    "evidence": "trials = {trials}\nfeedback = {feedback}",
    "lab": 'about = "threshold"\ntrials = {trials}\nfeedback = {feedback}',
    "lesson": 'lesson = "thresholds"\nfeedback = {feedback}',
    "own_probe": "trials = 1\nsize = {size}\nfeedback = {feedback}\nreveal_scores = {scores}",
}


def block_text(kind: str, numbers: Mapping[str, str]) -> str:
    exercise = "verification" if kind == "adaptive" else kind
    head = f'[[sittings.blocks]]\nid = "{kind[:2]}{len(kind)}"\nexercise = "{exercise}"\n'
    return f"{head}{_BLOCKS[kind].format(**numbers)}\n"


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Plans of some exercises, in some order, each with few trials."""
    text = 'format = 1\ntitle = "Squares"\nclaims = false\nmask = "{}"\ncolour = {}\n[[sittings]]\nname = "all"\n'
    text = text.format(draw(st.sampled_from(["head", "oval", "none"])), draw(st.sampled_from(["true", "false"])))
    flag = st.sampled_from(["true", "false"])
    for kind in draw(st.lists(st.sampled_from(sorted(_BLOCKS)), min_size=2, max_size=5, unique=True)):
        few = st.integers(1, 2)
        numbers = {name: str(draw(few)) for name in ("a", "b", "trials", "wrong")}
        numbers |= {"size": str(draw(st.integers(2, 4))), "feedback": draw(flag), "scores": draw(flag)}
        text += block_text(kind, numbers)
    return text


@dataclass
class Watched:
    """A trainee who takes all sittings of a course, and at first provokes refusals at each step of each block."""

    listening: Listening
    seed: int
    careful: bool
    trials: list[Trial] = field(default_factory=list)

    def take(self, code: str, sittings: list[str]) -> None:
        stub, how = self.listening.training, Chance(random.Random(self.seed), PROBE)
        stub.JoinCourse(training_pb2.JoinCourseRequest(code=code))
        for sitting in sittings:
            session = start(stub, code, sitting)

            def met(trial: Trial, session: str = session) -> None:
                new = not any((trial.block_id, trial.step) == (one.block_id, one.step) for one in self.trials)
                self.trials.append(trial)
                if new and not self.careful:
                    self.provoke(code, session, trial)

            for _ in take(stub, session, how, met):
                pass
            ask(stub, session)
            stub.FinishSession(training_pb2.FinishSessionRequest(session_id=session))
        stub.JoinCourse(training_pb2.JoinCourseRequest(code=code))

    def provoke(self, code: str, session: str, trial: Trial) -> None:
        """Make every mistake that there is with a trial; none of it may tell anything, nor change anything."""
        stub = self.listening.training
        both: Any = {"session_id": session, "trial_id": trial.trial_id}
        other: Any = {"session_id": session, "trial_id": "0" * 32}
        image: Any = {"data": b"none"}
        decision = training_pb2.SubmitDecisionRequest
        again = training_pb2.NextTrialRequest
        rate, choose, decide = (training_pb2.TrialStep.Value(f"TRIAL_STEP_{name}") for name in STEPS)
        pictures = [one.picture_id for one in trial.pictures]
        listed = training_pb2.CandidateDecision(picture_id="0" * 16, ratings=dict.fromkeys(pictures, 0))
        bad: list[tuple[Callable[[Any], Any], Any]] = [
            (stub.SubmitDecision, decision(**both, step=rate, rating=training_pb2.PairRating(rating=4))),
            (stub.SubmitDecision, decision(**both, step=choose, odd_picture_id="0" * 16)),
            (stub.SubmitDecision, decision(**both, step=decide, candidates=listed)),
            (stub.SubmitDecision, decision(**other, step=rate, rating=training_pb2.PairRating(rating=1))),
            (stub.SubmitDecision, decision(**both)),
            (stub.LockNotes, training_pb2.LockNotesRequest(**both)),
            (stub.SubmitProbe, training_pb2.SubmitProbeRequest(**both, image=image)),
            (stub.SaveDraft, training_pb2.SaveDraftRequest(**both, draft=training_pb2.Draft(ratings={"0" * 16: 1}))),
            (stub.SaveDraft, training_pb2.SaveDraftRequest(**both)),
            (stub.ListReview, training_pb2.ListReviewRequest(code=code, all=True)),
            (stub.GetReview, training_pb2.GetReviewRequest(code=code, trial_id=trial.trial_id)),
            (stub.NextTrial, again(session_id=session, begin_block="none")),
            (stub.StartSession, training_pb2.StartSessionRequest(code=code, sitting="none", consent=True)),
        ]
        for call, request in bad:
            with suppress(grpc.RpcError):
                call(request)
        stub.PauseSession(training_pb2.PauseSessionRequest(session_id=session))
        with suppress(grpc.RpcError):
            ask(stub, session)
        stub.ResumeSession(training_pb2.ResumeSessionRequest(session_id=session))


@dataclass(frozen=True, repr=False)
class Forbidden:
    """Values that must not be received."""

    tokens: tuple[bytes, ...]


def messages_of(heard: Heard) -> Any:
    return getattr(training_pb2, f"{heard.call}Response").FromString(heard.message)


def all_known(message: Any) -> bool:
    """Return True if a message holds nothing but what the API describes."""
    before = message.ByteSize()
    message.DiscardUnknownFields()
    return bool(message.ByteSize() == before)


def trial_in(message: Any) -> Trial | None:
    return message.trial if "trial" in message.DESCRIPTOR.fields_by_name and message.HasField("trial") else None


def require_silent(heard: Heard, never: Forbidden) -> Any:
    """Fail where a response holds what it must not, whatever of it is a reveal left out; returns it as a message."""
    assert not tokens_in(heard.around, never)
    message = messages_of(heard)
    assert all_known(message)
    assert message.ByteSize() == len(heard.message)
    left = heard.message
    trial = trial_in(message)
    if trial is not None:
        for picture in trial.pictures:
            assert picture.data in left
            left = left.replace(picture.data, b"", 1)
            assert not long_tokens_in(picture.data, never)
        require_shown(trial)
        if trial.exercise == training_pb2.EXERCISE_LAB:  # its thresholds may equal the similarity of a pair, rounded
            left = re.sub(rb"\b0\.\d{3}\b", b"", left)
    if heard.call == "SubmitDecision" and message.HasField("reveal"):
        assert trial is None
        message.ClearField("reveal")
        assert message.ByteSize() == 0
        left = b""
    assert not tokens_in(left, never)
    return message


def tokens_in(data: bytes, never: Forbidden) -> list[bytes]:
    return [token for token in never.tokens if token in data]


@cache  # a picture comes many times
def long_tokens_in(data: bytes, never: Forbidden) -> tuple[bytes, ...]:
    """Return the forbidden tokens in a picture that are too long to be there by chance."""
    return tuple(token for token in never.tokens if len(token) > 8 and token in data)


def require_shown(trial: Trial) -> None:
    """Fail where a trial shows more than its step does."""
    assert trial.exercise in TOLD
    assert trial.HasField("advice") == (trial.step == training_pb2.TRIAL_STEP_RATE_AGAIN)
    assert bool(trial.components) == (trial.step == training_pb2.TRIAL_STEP_OBSERVE)
    asks = (training_pb2.EXERCISE_LAB, training_pb2.EXERCISE_EVIDENCE)
    assert trial.HasField("question") == (trial.exercise in asks)
    assert trial.HasField("lesson") == (trial.exercise == training_pb2.EXERCISE_LESSON)
    answers = trial.step == training_pb2.TRIAL_STEP_ANSWER
    assert bool(trial.lesson.options) == bool(trial.lesson.question) == answers
    assert not any(option.reason or option.right for option in trial.lesson.options)
    concludes = trial.step == training_pb2.TRIAL_STEP_CONCLUDE
    lab = trial.exercise == training_pb2.EXERCISE_LAB
    assert bool(trial.question.rows) == bool(trial.question.columns) == (concludes and lab)
    assert bool(trial.question.files) == (concludes and not lab)
    roles = Counter(picture.role for picture in trial.pictures)
    shots = [picture for picture in trial.pictures if picture.role == training_pb2.PICTURE_ROLE_SHOT]
    assert bool(shots) == (trial.exercise == training_pb2.EXERCISE_FOOTAGE)
    assert [picture for picture in trial.pictures if picture.HasField("at")] == shots
    if trial.step in (training_pb2.TRIAL_STEP_NOTE, training_pb2.TRIAL_STEP_SEND_PROBE) and trial.exercise not in asks:
        own = trial.exercise == training_pb2.EXERCISE_OWN_PROBE
        assert roles == ({} if own else {training_pb2.PICTURE_ROLE_PROBE: 1})


def require_told_where_planned(heard: list[Heard], course: Course, trials: list[Trial]) -> int:
    """Fail where more is told after an answer than the block tells; returns how many responses tell nothing."""
    blocks = {block.block_id: block for block in course.plan.blocks}
    done = [messages_of(one) for one in heard if one.call == "SubmitDecision" and one.status is grpc.StatusCode.OK]
    decided = [one for one in trials if one.step not in (training_pb2.TRIAL_STEP_NOTE, training_pb2.TRIAL_STEP_OBSERVE)]
    decided = [one for one in decided if one.step != training_pb2.TRIAL_STEP_SEND_PROBE]
    silent = 0
    for trial, response in zip(decided, done, strict=True):
        block, reveal = blocks[trial.block_id], response.reveal
        if not block.feedback:
            assert (reveal.HasField("correct"), reveal.text, reveal.picture_id) == (False, "", "")
            assert block.reveal_scores or not reveal.similarities
        if not response.HasField("reveal") and not response.HasField("trial"):
            silent += 1
        shown = {one.picture_id for one in trial.pictures}
        assert shown.issuperset({*reveal.similarities, *filter(None, [reveal.picture_id])})
    return silent


Test = TypeVar("Test", bound=Callable[..., None])


def other_form_at_night(test: Test) -> Test:
    return example(plan=PLAN, seed=1, group=0)(test) if NIGHTLY else test


@settings(
    max_examples=count("LEAK_PLANS"),
    phases=[Phase.explicit, Phase.generate],  # what is found takes long to make smaller, and is small
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@other_form_at_night
@example(plan=PLAN, seed=2, group=1)
@example(plan=LESSON, seed=3, group=0)
@example(plan=FOOTAGE, seed=4, group=1)
@given(plan=plans(), seed=st.integers(0, 2**32 - 1), group=st.integers(0, 1))
def test_no_byte_before_an_answer_tells(server: Running, photos: Photos, plan: str, seed: int, group: int) -> None:
    made = create(server.training, plan, seed=seed)
    course = store_of(server).course(made.course_id)
    codes = [one.code for one in enrol(server.training, made.course_id, 4).enrolled]
    never = Forbidden(forbidden(course, photos.sha256, [*NAMES, made.course_id]))
    ids: list[set[str]] = []
    shown: list[set[bytes]] = []
    for number, code in enumerate(codes[group::2]):
        watched = Watched(Listening(server.channel), seed, careful=number > 0)
        watched.take(code, [one.name for one in course.plan.sittings])
        messages = [require_silent(heard, never) for heard in watched.listening.heard if heard.message]
        for heard in watched.listening.heard:
            assert heard.message or not tokens_in(heard.around, never)
        require_told_where_planned(watched.listening.heard, course, watched.trials)
        trials = [trial for trial in map(trial_in, messages) if trial is not None]
        pictures = {picture.picture_id: picture.data for trial in trials for picture in trial.pictures}
        assert len({len(data) for data in pictures.values()}) <= 1
        ids.append({*pictures, *(trial.trial_id for trial in trials)})
        shown.append(set(pictures.values()))
    for picture in set.union(*shown):
        bare(picture)
    assert not ids[0] & ids[1]
    server.training.DeleteCourse(training_pb2.DeleteCourseRequest(course_id=made.course_id))


@pytest.fixture(scope="module")
def course_id(server: Running) -> str:
    return create(server.training).course_id


def test_what_is_around_a_response_is_its_number_alone(server: Running, course_id: str) -> None:
    code = enrol(server.training, course_id).enrolled[0].code
    listening = Listening(server.channel)
    list(take(listening.training, start(listening.training, code), Chance()))
    strange = [one.around for one in listening.heard if not AROUND.fullmatch(one.around)]
    assert not strange


def test_a_wrong_and_a_right_answer_without_feedback_have_the_same_response(server: Running, course_id: str) -> None:
    store = store_of(server)
    course = store.course(course_id)
    code = enrol(server.training, course_id).enrolled[0].code
    listening = Listening(server.channel)
    session = start(listening.training, code)
    heard: dict[bool, set[bytes]] = {True: set(), False: set()}
    seen: list[Trial] = []
    for _ in take(listening.training, session, Chance(random.Random(5)), seen.append):
        if seen[-1].block_id in ("pre", "rare", "opinion", "second", "post"):
            trial = store.session(session).trials[-1]
            key, rating = key_of(course, trial), getattr(trial.locked[-1].answer.given, "rating", 0)
            assert isinstance(key, PairKey)
            heard[(rating > 0) == key.mated].add(listening.heard[-1].message)
    assert heard == {True: {b""}, False: {b""}}


# An adaptive block shows what follows from the answers and the keys: there is no telling what the same would be.
FIXED = "\n".join(line for line in PLAN.splitlines() if '"practice"' not in line)


def advised(key: AnswerKey | None) -> AnswerKey | None:
    """The same truth with the opposite advice."""
    same = isinstance(key, PairKey) and key.advice_same is not None
    return replace(key, advice_same=not key.advice_same) if same and isinstance(key, PairKey) else key


def received(server: Running, course_id: str) -> list[tuple[str, bytes]]:
    """All that a trainee receives in a course, without reveals, and ids that no key can be in."""
    code = enrol(server.training, course_id).enrolled[0].code
    listening = Listening(server.channel)
    stub = listening.training
    stub.JoinCourse(training_pb2.JoinCourseRequest(code=code))
    with drawn_secrets("the same"):
        for sitting in ("all", "own"):
            session = start(stub, code, sitting)
            list(take(stub, session, Chance(random.Random(3), PROBE)))
    found = []
    for heard in listening.heard:
        message = messages_of(heard)
        if heard.call == "SubmitDecision":
            message.ClearField("reveal")
        if heard.call == "JoinCourse":
            message.ClearField("trainee_id")
        if heard.call == "StartSession":
            message.session.ClearField("session_id")
        raw = heard.message if trial_in(message) is not None else message.SerializeToString(deterministic=True)
        found.append((heard.call, raw))
    return found


def test_the_opposite_truth_about_the_same_photos_changes_no_byte(server: Running, clock: Clock) -> None:
    clock.stopped_ms = clock()
    try:
        made = create(server.training, FIXED)
        course = store_of(server).course(made.course_id)
        first = received(server, made.course_id)
        assert received(server, made.course_id) == first
        assert received(server, with_keys(server, course, opposed).course_id) == first
        other = received(server, with_keys(server, course, advised).course_id)
    finally:
        clock.stopped_ms = None
    assert len(first) == 81
    told = [(one, two) for one, two in zip(first, other, strict=True) if one != two]
    assert len(told) == 3  # which shows that the comparison sees what there is
    for (_, one), (_, two) in told:
        trials = [training_pb2.SubmitDecisionResponse.FromString(raw).trial for raw in (one, two)]
        assert [trial.step for trial in trials] == [training_pb2.TRIAL_STEP_RATE_AGAIN] * 2
        # `same` is a bool that is left out where it is false: two bytes, of an opinion that is told anyway.
        assert abs(len(one) - len(two)) <= 2
        assert trials[0].advice.same != trials[1].advice.same
        for trial in trials:
            trial.ClearField("advice")
        assert trials[0] == trials[1]
    assert len(render(advice(True).text)) == len(render(advice(False).text))


PAIRS = """
format = 1
title = "Pairs"
claims = false
sittings = [
  { name = "all", blocks = [
    { id = "pairs", exercise = "verification", same = 12, different = 12 },
    { id = "aided", exercise = "aided", same = 5, different = 5, wrong = 4 },
    { id = "parts", exercise = "features", same = 3, different = 3 },
    { id = "mixed", exercise = "low_prevalence", same = 6, different = 3 },
    { id = "triage", exercise = "triage", usable = 5, limited = 3, reject = 2 },
    { id = "footage", exercise = "footage", same = 5, different = 5, reveal_scores = false },
  ] },
]
"""
OTHERS = """
format = 1
title = "Choices"
sittings = [
  { name = "all", blocks = [
    { id = "odd", exercise = "triad", trials = 10 },
    { id = "lists", exercise = "candidates", size = 3, present = 6, absent = 6, reveal_scores = false },
    { id = "practice", exercise = "verification", same = 8, different = 8, adaptive = true, trials = 10 },
  ] },
]
"""
# The first fills the memory, and is left out.
SESSIONS = 5 if NIGHTLY else 3
# Times that a trial is asked for again: of several times, the least tells most.
ASKED = 1


@dataclass
class Measured:
    """A trial as it was received (see `measured`), and what is right.

    `truth` is 1 for one person, a usable photo or a list with the person; of a triad, it is the place of the odd one.
    `place` is that of what is to be chosen among `choices`; None where there is none.
    """

    session: int
    block_id: str
    features: tuple[float, ...]
    truth: int
    place: int | None
    choices: int


def measured(server: Running, course_id: str, sessions: int, until_block: str = "") -> list[Measured]:
    """Take a course several times, up to a block if one is named, and look at sizes, times, numbers and places alone.

    Features: number in the block; messages and bytes of the trial; bytes of the first; length of each picture, least
    and most; seconds of the first message, the least of all asked again, and seconds of the response to the answer.
    """
    store = store_of(server)
    course = store.course(course_id)
    found = []
    codes = [one.code for one in enrol(server.training, course_id, sessions).enrolled]
    for number, code in enumerate(codes):
        listening = Listening(server.channel)
        stub = listening.training
        with drawn_secrets(f"session {number}"):
            session = start(stub, code)
        how = Chance(random.Random(number))
        while (trial := next_trial(stub, session)) is not None and trial.block_id != until_block:
            first = len(listening.heard) - 1
            step: Trial | None = trial
            pictures: set[int] = set()
            while step is not None:
                for _ in range(ASKED):
                    ask(stub, session)
                pictures.update(len(picture.data) for picture in step.pictures)
                _, step = answer(stub, session, step, how)
            heard = listening.heard[first:]
            asked = [one.took_s for one in heard if one.call == "NextTrial"]
            features = (
                trial.number,
                len(heard),
                sum(len(one.message) for one in heard),
                len(heard[0].message),
                min(pictures),
                max(pictures),
                asked[0],
                min(asked),
                heard[-1].took_s,
            )
            if number:
                kept = store.session(session).trials[-1]
                found.append(Measured(number, trial.block_id, features, *truth_of(course, kept)))
    return found


def tables(trials: list[Measured]) -> dict[str, list[Row]]:
    """By block, what a classifier is given; which of a session's trials are of which truth is dealt by chance."""
    found: dict[str, list[Row]] = {}
    for one in trials:
        found.setdefault(one.block_id, []).append(Row(one.session, one.features, one.truth))
    return found


@pytest.fixture(scope="module")
def courses(server: Running) -> tuple[str, str]:
    return create(server.training, PAIRS).course_id, create(server.training, OTHERS).course_id


def test_sizes_times_and_places_tell_nothing(server: Running, courses: tuple[str, str]) -> None:
    trials = [one for course_id in courses for one in measured(server, course_id, SESSIONS)]
    assert len(trials) == (SESSIONS - 1) * (24 + 10 + 6 + 9 + 10 + 10 + 10 + 12 + 10)
    chances = {block_id: chance(rows) for block_id, rows in tables(trials).items()}
    doubtful = {block_id for block_id, one in chances.items() if one < LEAK}
    if doubtful:  # a leak is there again, and bad luck is not
        again = [one for course_id in courses for one in measured(server, course_id, SESSIONS)]
        chances |= {block_id: chance(rows) for block_id, rows in tables(again).items() if block_id in doubtful}
    assert min(chances.values()) >= LEAK, chances
    for block_id in {one.block_id for one in trials}:
        sizes = {one.features[1:6] for one in trials if one.block_id == block_id}
        assert len({size[3:] for size in sizes}) == 1
        messages = {size[:3] for size in sizes}
        assert len(messages) <= 2  # the number in the block has one digit more, or none
    require_places_equally_likely(trials)


def require_places_equally_likely(trials: list[Measured]) -> None:
    places: dict[str, Counter[int]] = {}
    firsts: dict[str, Counter[int]] = {}
    for one in trials:
        if one.place is not None:
            places.setdefault(f"{one.block_id} of {one.choices}", Counter())[one.place] += 1
        if one.features[0] <= 4 and one.block_id in ("pairs", "lists", "practice"):
            firsts.setdefault(one.block_id, Counter())[one.truth] += 1
    assert {name.partition(" ")[0] for name in places} == {"odd", "lists"}
    for counts in (*places.values(), *firsts.values()):
        expected = 3 if counts in places.values() else 2
        assert import_module("scipy.stats").chisquare([counts[n] for n in range(expected)]).pvalue > LEAK


@pytest.mark.nightly
def test_a_classifier_finds_a_wait_of_five_milliseconds(server: Running, courses: tuple[str, str]) -> None:
    with planted(lambda trial: None, 0.005):
        trials = measured(server, courses[0], 5, until_block="aided")
    assert chance(tables(trials)["pairs"]) < LEAK


def test_a_classifier_finds_a_byte_more(server: Running, courses: tuple[str, str]) -> None:
    def longer(trial: Trial) -> None:
        trial.pictures[0].data += b"0"

    with planted(longer, 0.0):
        trials = measured(server, courses[0], 3, until_block="aided")
    assert chance(tables(trials)["pairs"]) < LEAK
