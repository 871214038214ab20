"""A trainer releases items; trainees then look at their own answers again, and learn nothing that is not released."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import pytest

from fr_api.v1 import training_pb2
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.sessions import review
from fr_training.sessions.views import key_of
from support.callers import reason_of
from support.courses import Chance, Clock, Trial, create, enrol, start, store_of, take
from support.leaks import PROBE, Listening, drawn_secrets, opposed, with_keys
from support.servers import Running, refusal_of, running

pb: Any = training_pb2

LINKED = 60  # people: few more than the plan needs

# Two sittings, so that a test lies ahead; trainees of the other group are shown the other form of the test.
PLAN = """
format = 1
title = "Squares"
claims = false
sittings = [
  { name = "first", blocks = [
    { id = "pre", exercise = "verification", same = 3, different = 3, equated = "test", occasion = "pre" },
    { id = "odd", title = "Odd ones", exercise = "triad", trials = 4 },
    { id = "lists", exercise = "candidates", size = 3, present = 2, absent = 1, reveal_scores = false },
    { id = "parts", exercise = "features", same = 1, different = 1 },
    { id = "aided", exercise = "aided", same = 2, different = 2, wrong = 1 },
    { id = "triage", exercise = "triage", usable = 1, limited = 1, reject = 1 },
    { id = "lab", exercise = "lab", about = "threshold", trials = 2 },
    { id = "custody", exercise = "evidence", trials = 1 },
    { id = "lesson", exercise = "lesson", lesson = "thresholds", feedback = false },
  ] },
  { name = "own", blocks = [{ id = "own", exercise = "own_probe", trials = 1, size = 3 }] },
  { name = "last", blocks = [
    { id = "post", exercise = "verification", same = 3, different = 3, equated = "test", occasion = "post" },
  ] },
]
"""
FIRST = ("odd", "lists", "parts", "aided", "triage", "lab", "custody", "lesson")


@pytest.fixture(scope="module")
def server(home: Path, clock: Clock) -> Iterator[Running]:
    with running(home / "data", clock=clock) as server:
        yield server


@dataclass
class Class:
    """A cohort whose trainees have finished the first sitting and the own probe; the test after the course is ahead."""

    server: Running
    cohort_id: str
    codes: list[str]
    answered: list[list[Trial]]  # the trials of each trainee, each at its last step

    def release(self, **fields: Any) -> Any:
        return self.server.training.ReleaseItems(pb.ReleaseItemsRequest(cohort_id=self.cohort_id, **fields)).release

    def listed(self, number: int = 0, *, right: bool = True) -> Any:
        return self.server.training.ListReview(pb.ListReviewRequest(code=self.codes[number], all=right))

    def shown(self, trial_id: str, number: int = 0) -> Any:
        return self.server.training.GetReview(pb.GetReviewRequest(code=self.codes[number], trial_id=trial_id))


def kept(last: dict[str, Trial], trial: Trial) -> None:
    last[trial.trial_id] = trial


def taken(server: Running, course_id: str, trainees: int = 2) -> Class:
    made = enrol(server.training, course_id, trainees)
    found = Class(server, made.cohort.cohort_id, [one.code for one in made.enrolled], [])
    for number, code in enumerate(found.codes):
        last: dict[str, Trial] = {}
        with drawn_secrets(f"trainee {number}"):
            for sitting in ("first", "own"):
                session = start(server.training, code, sitting)
                how = Chance(random.Random(number), PROBE)
                for _ in take(server.training, session, how, partial(kept, last)):
                    pass
        found.answered.append(list(last.values()))
    return found


@pytest.fixture(scope="module")
def course_id(server: Running) -> str:
    return create(server.training, PLAN).course_id


@pytest.fixture
def group(server: Running, course_id: str) -> Class:
    return taken(server, course_id)


@pytest.fixture(scope="module")
def closed(server: Running, course_id: str) -> Class:
    """A class to which nothing is released."""
    return taken(server, course_id)


@pytest.fixture(scope="module")
def opened(server: Running, course_id: str) -> Class:
    """A class to which everything but the test is released."""
    found = taken(server, course_id)
    found.release(block_ids=[*FIRST, "own"])
    return found


def require_closed(group: Class) -> None:
    """Fail where a trainee is told anything about a trial but that it is not open."""
    for number, trials in enumerate(group.answered):
        found = group.listed(number)
        assert not found.entries
        assert found.closed == len(trials)
        answers = {refusal_of(partial(group.shown, one.trial_id, number)).status.message for one in trials}
        assert len(answers) == 1
        assert {reason_of(partial(group.shown, one.trial_id, number)) for one in trials} == {"NOT_RELEASED"}


def test_nothing_is_open_before_a_release(closed: Class) -> None:
    require_closed(closed)


def test_the_check_finds_reviews_that_ignore_releases(closed: Class) -> None:
    real = review.reviews

    class Everything:
        def __contains__(self, item: object) -> bool:
            return True

    def open_to_all(course: Any, number: int, sessions: Any, released: Any) -> Any:
        return real(course, number, sessions, Everything())  # type: ignore[arg-type]

    with patch("fr_server.rpc.services.training.review.reviews", open_to_all), pytest.raises(AssertionError):
        require_closed(closed)


def test_released_answers_come_with_what_is_right(server: Running, opened: Class) -> None:
    group = opened
    (made,) = server.training.GetCohort(pb.GetCohortRequest(cohort_id=group.cohort_id)).releases
    course = store_of(server).course(store_of(server).cohort(group.cohort_id).course_id)
    # Both groups do the same blocks; each form has its own items.
    forms = {name for block in course.plan.blocks if not block.occasion for name in block.forms}
    assert (made.items, made.test_items) == (sum(len(course.forms[name].items) for name in forms), 0)
    for number, code in enumerate(group.codes):
        trials = {one.trial_id: one for one in group.answered[number] if one.block_id != "pre"}
        found = group.listed(number)
        assert [one.trial_id for one in found.entries] == list(trials)
        assert found.closed == len(group.answered[number]) - len(trials)
        wrong = [one.trial_id for one in found.entries if one.HasField("correct") and not one.correct]
        assert [one.trial_id for one in group.listed(number, right=False).entries] == wrong
        assert wrong
        sessions = store_of(server).sessions_of(store_of(server).trainee_of_code(code).trainee_id)
        by_id = {trial.trial_id: trial for session in sessions for trial in session.trials}
        for entry in found.entries:
            before, again = trials[entry.trial_id], group.shown(entry.trial_id, number)
            assert (entry.block_id, entry.number) == (before.block_id, before.number)
            assert (again.trial.pictures, again.trial.step) == (before.pictures, before.step)
            assert not again.trial.HasField("left")
            assert len(again.answers) == len(by_id[entry.trial_id].locked)
            assert again.reveal.correct == entry.correct
            if entry.block_id in FIRST:
                require_right(key_of(course, by_id[entry.trial_id]), by_id[entry.trial_id].order, again)


def require_right(key: AnswerKey | None, order: tuple[int, ...], again: Any) -> None:
    ids = [one.picture_id for one in again.trial.pictures]
    match key:
        case PairKey():
            assert ("one person" if key.mated else "two people") in again.reveal.text
        case TriadKey():
            assert again.reveal.picture_id == ids[order.index(key.odd)]
        case ListKey():
            assert again.reveal.picture_id == ("" if key.mate is None else ids[order.index(key.mate + 1)])
            assert len(again.reveal.similarities) == len(key.similarities)
        case TriageKey() | LabKey() | EvidenceKey():
            assert again.reveal.text
        case LessonKey():
            assert [one.right for one in again.reveal.options].index(True) == order.index(key.right)
            assert [one.reason for one in again.reveal.options] == [key.reasons[index] for index in order]
        case None:
            raise AssertionError("an answered trial has a key")


def test_every_answer_comes_back_as_it_was_given(opened: Class) -> None:
    found: dict[str, list[list[str | None]]] = {}
    for entry in opened.listed().entries:
        again = opened.shown(entry.trial_id)
        found.setdefault(entry.block_id, []).append([one.WhichOneof("answer") for one in again.answers])
        seen = {part.component_id for one in again.answers for part in one.observations.observations}
        assert seen <= {one.component_id for one in again.trial.components if one.name}
    assert {name: kinds[0] for name, kinds in found.items()} == {
        "odd": ["odd_picture_id"],
        "lists": ["notes", "candidates"],
        "parts": ["observations", "rating"],
        "aided": ["rating", "rating"],
        "triage": ["quality"],
        "lab": ["prediction", "conclusion"],
        "custody": ["file_hash", "file_hash", "notes", "conclusion"],
        "lesson": ["read", "option_id"],
        "own": [None, "notes", "candidates"],
    }
    assert all(len({tuple(one) for one in kinds}) == 1 for kinds in found.values())


def test_items_of_tests_are_released_only_by_name_and_never_ahead_of_a_trainee(server: Running, group: Class) -> None:
    refused = partial(reason_of)
    assert refused(partial(group.release, block_ids=["pre"])) == "TEST_ITEMS"
    error = refusal_of(partial(group.release, block_ids=["pre"], include_tests=True))
    assert (error.info.reason, error.info.metadata["trainees"]) == ("ITEMS_AHEAD", "2")
    require_closed(group)
    made = group.release(block_ids=["pre"], include_tests=True, before_all_finished=True)
    assert (made.items, made.test_items) == (12, 12)
    # What the first trainee was shown before the course, the other one is shown after it, and has still ahead.
    first, second = ({one.trial_id for one in group.listed(number).entries} for number in (0, 1))
    assert len(first) == len(second) == 6
    certificate = partial(deck, server, file=pb.TRAINING_REPORT_FILE_CERTIFICATE)
    assert reason_of(partial(certificate, group, code=group.codes[0])) == "NOTHING_TO_REPORT"
    list(take(server.training, start(server.training, group.codes[0], "last"), Chance()))
    assert len(group.listed(0).entries) == 12
    assert "Certificate of completion" in certificate(group, code=group.codes[0])
    assert reason_of(partial(certificate, group)) == "INVALID_FIELD"


# The same form before and after: a look at the first would answer the second.
AHEAD = """
format = 1
title = "Opinions"
claims = false
sittings = [
  { name = "first", blocks = [{ id = "opinion", exercise = "verification", same = 2, different = 2 }] },
  { name = "own", blocks = [{ id = "own", exercise = "own_probe", trials = 1, size = 3 }] },
  { name = "last", blocks = [{ id = "second", exercise = "blind", verifies = "opinion" }] },
]
"""


def test_a_form_that_is_ahead_stays_closed(server: Running) -> None:
    made = taken(server, create(server.training, AHEAD).course_id)
    made.release(block_ids=["opinion"], before_all_finished=True)
    course = store_of(server).course(store_of(server).cohort(made.cohort_id).course_id)
    blocks = {block.block_id: block for block in course.plan.blocks}
    for number in (0, 1):
        ahead = blocks["second"].forms[number] == blocks["opinion"].forms[number]
        assert len(made.listed(number).entries) == (0 if ahead else 4)


def test_a_session_that_runs_shows_nothing(server: Running, course_id: str) -> None:
    made = enrol(server.training, course_id)
    group = Class(server, made.cohort.cohort_id, [made.enrolled[0].code], [[]])
    session = start(server.training, group.codes[0], "first")
    how, trials = Chance(), list[Trial]()
    for _ in take(server.training, session, how, trials.append):
        if len(trials) == 8:
            break
    group.release(block_ids=FIRST, before_all_finished=True)
    assert not group.listed().entries
    server.training.FinishSession(pb.FinishSessionRequest(session_id=session))
    assert group.listed().entries


def test_the_opposite_truth_changes_no_byte_before_a_release(server: Running, clock: Clock, course_id: str) -> None:
    course = store_of(server).course(course_id)

    def heard(of: str) -> list[tuple[str, bytes]]:
        group = taken(server, of, 1)
        listening = Listening(server.channel)
        stub = listening.training
        with_all = pb.ListReviewRequest(code=group.codes[0], all=True)
        for request in (with_all, pb.ListReviewRequest(code=group.codes[0])):
            stub.ListReview(request)
        for trial in group.answered[0]:
            with suppress(grpc.RpcError):
                stub.GetReview(pb.GetReviewRequest(code=group.codes[0], trial_id=trial.trial_id))
        return [(one.call, one.message) for one in listening.heard]

    assert heard(course_id) == heard(with_keys(server, course, opposed).course_id)


def test_others_learn_nothing(server: Running, opened: Class) -> None:
    mine = opened.listed(0).entries[0].trial_id
    assert reason_of(partial(opened.shown, mine, 1)) == "UNKNOWN_TRIAL"
    other = enrol(server.training, store_of(server).cohort(opened.cohort_id).course_id).enrolled[0].code
    listed = server.training.ListReview(pb.ListReviewRequest(code=other, all=True))
    assert (len(listed.entries), listed.closed) == (0, 0)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "MISSING_FIELD"),
    ({"block_ids": ["none"]}, "INVALID_FIELD"),
    ({"item_ids": ["0" * 16]}, "INVALID_FIELD"),
    ({"item_ids": ["0" * 16] * 10_001}, "INVALID_FIELD"),
    ({"block_ids": ["odd", "none"]}, "INVALID_FIELD"),
    ({"block_ids": ["odd"], "cohort_id": "none"}, "UNKNOWN_COHORT"),
]


def test_wrong_releases_release_nothing(server: Running, closed: Class) -> None:
    for fields, reason in WRONG:
        request = pb.ReleaseItemsRequest(**{"cohort_id": closed.cohort_id, **fields})
        assert reason_of(partial(server.training.ReleaseItems, request)) == reason
    require_closed(closed)


def test_releases_are_listed_recorded_and_kept(server: Running, group: Class) -> None:
    store = store_of(server)
    course = store.course(store.cohort(group.cohort_id).course_id)
    odd = next(block for block in course.plan.blocks if block.block_id == "odd")
    item = course.forms[odd.forms[0]].items[0]
    assert group.release(item_ids=[item.item_id]).items == 1
    rest = group.release(block_ids=["odd"])
    assert group.release(block_ids=["odd"]).items == 0
    (one, two) = server.training.GetCohort(pb.GetCohortRequest(cohort_id=group.cohort_id)).releases
    assert (one.items, two.items) == (1, rest.items)
    assert one.release_time.ToNanoseconds()


def item_ids(server: Running, group: Class, block_id: str) -> list[str]:
    course = store_of(server).course(store_of(server).cohort(group.cohort_id).course_id)
    block = next(one for one in course.plan.blocks if one.block_id == block_id)
    return [item.item_id for item in course.forms[block.forms[0]].items]


def for_class(server: Running, group: Class, item_id: str) -> Any:
    return server.training.GetClassItem(pb.GetClassItemRequest(cohort_id=group.cohort_id, item_id=item_id))


def test_a_class_sees_released_items_alone(server: Running, closed: Class, opened: Class) -> None:
    for block_id in FIRST:
        for item_id in item_ids(server, closed, block_id):
            assert reason_of(partial(for_class, server, closed, item_id)) == "NOT_RELEASED"
    assert reason_of(partial(for_class, server, closed, "")) == "MISSING_FIELD"
    assert reason_of(partial(for_class, server, closed, "0" * 16)) == "INVALID_FIELD"
    assert reason_of(partial(deck, server, closed)) == "NOT_RELEASED"
    for block_id in FIRST:
        for item_id in item_ids(server, opened, block_id):
            found = for_class(server, opened, item_id)
            assert sum(one.people for one in found.answers) == found.people <= 2
            assert found.right <= sum(one.people for one in found.answers if one.right)
            assert found.truth.startswith("The right answer")
            assert len({len(one.data) for one in found.pictures}) == (block_id not in ("lab", "lesson"))
            assert bool(found.machine) == (block_id not in ("triage", "lab", "custody", "lesson"))
            assert bool(found.question.rows) == (block_id in ("lab", "lesson"))
            assert bool(found.question.files) == (block_id == "custody")
            assert any(one.right for one in found.answers)
    # Each trainee sends another photo, which the server does not keep.
    for group in (closed, opened):
        assert reason_of(partial(for_class, server, group, item_ids(server, group, "own")[0])) == "INVALID_FIELD"


def deck(server: Running, group: Class, file: Any = pb.TRAINING_REPORT_FILE_DECK, **whom: Any) -> str:
    request = pb.GetTrainingReportRequest(file=file, **(whom or {"cohort_id": group.cohort_id}))
    return b"".join(one.content for one in server.training.GetTrainingReport(request)).decode()


def test_a_deck_has_every_released_item_and_needs_nothing_beside_it(server: Running, opened: Class) -> None:
    page = deck(server, opened)
    items = [item_id for block_id in FIRST for item_id in item_ids(server, opened, block_id)]
    assert page.count("<section>") == len(items)
    assert page.count("data:image/jpeg;base64,") == 4 * 3 + 3 * 4 + 2 * 2 + 4 * 2 + 3 + 1
    assert not any(word in page for word in ("http://", "https://", "<script", 'src="/', *items))
    for section in page.split("<section>")[1:]:
        shown = "<img" if "<img" in section else "<table"
        parts = [section.index(one) for one in (shown, "How the class answered", "The right answer")]
        if "The machine" in section:
            parts.insert(2, section.index("The machine"))
        assert parts == sorted(parts)
    assert reason_of(partial(deck, server, opened, code=opened.codes[0])) == "INVALID_FIELD"
    with patch("fr_server.rpc.services.training.results.MOST_PHOTOS", 6):
        page = deck(server, opened)
    assert 0 < page.count("<section>") < len(items)
    assert page.count("data:image/jpeg;base64,") <= 6
    assert f"{len(items) - page.count('<section>')} other released items" in page
