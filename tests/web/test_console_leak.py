"""Nothing that a browser receives before an answer is locked tells what is right: a classifier on all bytes but pixels.

Times are those of the API: tests/service/test_training_leak.py measures them.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fr_api.v1 import training_pb2
from support.courses import create, enrol, link_footage, link_people, store_of
from support.leaks import LEAK, Row, bare, chance, planted, standing_out, truth_of
from support.servers import Running, running
from support.surfer import Trainee, signed_in
from support.web import Answered, Web, web

pytestmark = pytest.mark.nightly
PLAN = """
format = 1
title = "Pairs and lists"
claims = false
sittings = [
  { name = "all", blocks = [
    { id = "pairs", exercise = "verification", same = 12, different = 12 },
    { id = "mixed", exercise = "low_prevalence", same = 6, different = 3 },
    { id = "lists", exercise = "candidates", size = 3, present = 6, absent = 6, reveal_scores = false },
    { id = "odd", exercise = "triad", trials = 10 },
    { id = "footage", exercise = "footage", same = 5, different = 5, reveal_scores = false },
  ] },
]
"""
BLOCKS = {"pairs": 24, "mixed": 9, "lists": 12, "odd": 10, "footage": 10}
SESSIONS = 4
PHOTO = re.compile(rb"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")
# Drawn anew for a session, a trial or a page; the first two characters of each are features of their own.
DRAWN = re.compile(rb"[0-9a-f]{16,}|(?<=nonce[-=])\"?[\w-]{16,}")


@dataclass(frozen=True)
class Taken:
    """All that came from the first page of a trial to the lock of its answer; `truth` as in `truth_of`."""

    session: int
    block_id: str
    truth: int
    received: tuple[Answered, ...]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("leak")
    with pytest.MonkeyPatch.context() as patching:
        patching.setenv("FR_HOME", str(folder))
        link_people(folder / "people")
        link_footage(folder / "footage", 15)
        with running(folder / "data") as started:
            yield started


@pytest.fixture(scope="module")
def site(server: Running) -> Iterator[Web]:
    with web(server.address) as started:
        yield started


@pytest.fixture(scope="module")
def course_id(server: Running) -> str:
    return create(server.training, PLAN).course_id


def taken(server: Running, site: Web, course_id: str, sessions: int) -> list[Taken]:
    """Take a course several times over HTTP, with the same answer to everything."""
    store, found = store_of(server), []
    course = store.course(course_id)
    made = enrol(server.training, course_id, sessions)
    for number, one in enumerate(made.enrolled):
        trainee = Trainee(signed_in(site, "", one.code), server.training, one.code)
        trials = list(_trials(trainee))
        (session,) = store.sessions_of(one.trainee_id)
        kept = {trial.trial_id: trial for trial in session.trials}
        for trial_id, received in trials:
            trial = kept[trial_id]
            found.append(Taken(number, trial.block_id, truth_of(course, trial)[0], received))
    return found


def _trials(trainee: Trainee) -> Iterator[tuple[str, tuple[Answered, ...]]]:
    """The id of each trial of a sitting, with all that was received for it before its answer was locked."""
    received = trainee.surfer.received
    page, trial_id, begun = trainee.begin(), "", 0
    while True:
        text = page.body.decode()
        named = re.search(r'name="trial" value="(\w+)"', text)
        over = "The sitting is over" in text
        if trial_id and (over or 'name="block"' in text or (named and named[1] != trial_id)):
            yield trial_id, tuple(received[begun:-2])  # the answer was locked, and led to this page
            trial_id = ""
        if over:
            return
        if named and not trial_id:
            trial_id, begun = named[1], len(received) - 1
        page = trainee.go_on(page)


def features(received: Sequence[Answered]) -> tuple[float, ...]:
    """Of each response: status, lengths of its head, its page and its photos, and what is drawn; of all, each byte."""
    found: list[float] = []
    counts = np.zeros(256)
    for one in received:
        head, photos = repr([*one.headers.items()]).encode(), PHOTO.findall(one.body)
        left = PHOTO.sub(b"", one.body)
        found += [one.status, len(head), len(left), *map(len, photos)]
        for drawn in dict.fromkeys(DRAWN.findall(left)):
            found += [*drawn.strip(b'"')[:2]]
        counts += np.bincount(np.frombuffer(DRAWN.sub(b"", head + left), np.uint8), minlength=256)
    return (*found, *counts)


def chances(trials: Sequence[Taken], blocks: Iterable[str] = BLOCKS) -> dict[str, float]:
    """By block, the probability that chance tells as much as the classifiers find; of two, the least counts twice."""
    found = {}
    for block_id in blocks:
        own = [one for one in trials if one.block_id == block_id]
        rows = [Row(one.session, features(one.received), one.truth) for one in own]
        assert len({len(row.features) for row in rows}) == 1, "a trial has more to receive than another"
        found[block_id] = min(1.0, 2 * min(chance(rows), standing_out(rows)))
    return found


@pytest.fixture(scope="module")
def trials(server: Running, site: Web, course_id: str) -> list[Taken]:
    return taken(server, site, course_id, SESSIONS)


def test_all_that_a_browser_receives_tells_nothing(
    server: Running, site: Web, course_id: str, trials: list[Taken]
) -> None:
    assert len(trials) == SESSIONS * sum(BLOCKS.values())
    found = chances(trials)
    doubtful = {block_id for block_id, one in found.items() if one < LEAK}
    if doubtful:  # a leak is there again, and bad luck is not
        again = chances(taken(server, site, course_id, SESSIONS))
        found |= {block_id: again[block_id] for block_id in doubtful}
    assert min(found.values()) >= LEAK, found


def test_photos_on_pages_have_nothing_but_pixels(trials: list[Taken]) -> None:
    photos = {photo for one in trials for answer in one.received for photo in PHOTO.findall(answer.body)}
    assert len({len(photo) for photo in photos}) == 1
    for photo in photos:
        bare(base64.b64decode(photo))
    with pytest.raises(AssertionError):
        bare(base64.b64decode(min(photos)) + b"0")  # control


def body(pattern: bytes, becomes: bytes) -> Callable[[Answered], Answered]:
    return lambda one: replace(one, body=re.sub(pattern, becomes, one.body))


UNDRAWN = "an id that is not drawn"
LEAKS: dict[str, Callable[[Answered], Answered]] = {
    "a header": lambda one: replace(one, headers={**one.headers, "x-cache": "hit"}),
    "another spelling": body(b'<img src="', b'<img Src="'),  # no length changes
    "a blank": body(b"</main>", b" </main>"),
    "a longer photo": body(PHOTO.pattern, rb"data:image/jpeg;base64,\g<1>AAAA"),
    UNDRAWN: body(rb'name="trial" value="\w\w', b'name="trial" value="00'),
    "a status": lambda one: replace(one, status=203),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_classifier_finds_what_is_planted(trials: list[Taken], name: str) -> None:
    """The control: on each page of one person, or of a list with the person."""
    spoilt = [replace(one, received=tuple(map(LEAKS[name], one.received))) if one.truth == 1 else one for one in trials]
    found = chances(spoilt, ["pairs"] if name == UNDRAWN else ["pairs", "lists"])
    assert max(found.values()) < LEAK, found


def test_a_classifier_finds_bytes_more_from_the_server(server: Running, site: Web, course_id: str) -> None:
    def longer(trial: training_pb2.Trial) -> None:
        trial.pictures[0].data += b"000"

    with planted(longer, 0.0):
        spoilt = taken(server, site, course_id, SESSIONS)
    assert chances(spoilt, ["pairs"])["pairs"] < LEAK
