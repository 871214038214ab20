"""One caller gets only its share of a server and leaves enough for others, no matter what it asks for.

The control is the same for all: the victim calls with the attacker's key, and so has no more than what is left of that
caller's share.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import pytest

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, training_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import Enrolment, GalleryUpdate, NewTemplate
from fr_core.types import Embedding, frozen_array
from fr_server.config import Config
from fr_trust.access.roles import Role
from support.callers import Caller, Staffed, reason_of, staffed
from support.courses import Chance, create, enrol, link_people, start, take
from support.faults import FaultyModel, until
from support.servers import batched_engine, ended, photo

REPORTS = 12
RECORDS = 600


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    folder = tmp_path_factory.mktemp("shares")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FR_HOME", str(folder))
        link_people(folder / "people")
        with staffed(folder / "data") as made:
            made.gallery("wanted")
            yield made


@pytest.fixture(scope="module")
def trainee(at: Staffed) -> training_pb2.Enrolled:
    """A trainee who has answered everything."""
    stub = trainer(at).training
    enrolled = enrol(stub, create(stub).course_id, 2).enrolled[0]
    taker = at.caller(Role.TRAINEE).training
    list(take(taker, start(taker, enrolled.code), Chance()))
    return enrolled


def trainer(at: Staffed, number: int = 1) -> Caller:
    return at.caller(Role.TRAINER, number=number)


@contextmanager
def kept_up(attackers: int, attack: Callable[[], Any]) -> Iterator[None]:
    """Let threads attack again and again, even if they are refused."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                attack()
            except grpc.RpcError:
                over.wait(0.01)

    with ThreadPoolExecutor(attackers) as pool:
        try:
            working = [pool.submit(work) for _ in range(attackers)]
            time.sleep(0.5)  # until they are at their most
            yield
        finally:
            over.set()
        for one in working:
            one.result()


def times_s(call: Callable[[], Any], times: int) -> list[float]:
    """The duration of calls that must succeed."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        assert reason_of(call) == "OK"
        taken.append(time.monotonic() - begun)
    return taken


# --- places that are taken at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [False, True], ids=["another", "control"])
def test_who_watches_all_that_may_be_watched_leaves_watches_to_others(at: Staffed, same: bool) -> None:
    attacker, victim = trainer(at), trainer(at, 1 if same else 2)
    cohort_id = enrol(attacker.training, create(attacker.training).course_id).cohort.cohort_id
    request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
    with ExitStack() as open_watches:
        calls = [attacker.training.WatchCohort(request) for _ in range(16)]
        for call in calls:
            open_watches.callback(call.cancel)
        refused = 0
        for call in calls:
            try:
                next(call)
            except grpc.RpcError as error:
                told = ended(error)
                assert (told.info.reason, told.code) == ("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED)
                assert told.retry is not None
                refused += 1
        assert refused == 4
        watching = victim.training.WatchCohort(request)
        open_watches.callback(watching.cancel)
        assert reason_of(lambda: next(watching)) == ("OVERLOADED" if same else "OK")


@pytest.mark.parametrize("same", [False, True], ids=["another", "control"])
def test_who_opens_all_streams_that_may_be_open_leaves_streams_to_others(at: Staffed, same: bool) -> None:
    attacker, victim = at.operator, at.caller(Role.OPERATOR, number=1 if same else 2)
    with silent_streams(attacker, 30):
        call = partial(search_stream, victim)
        if same:
            assert reason_of(call) == "OVERLOADED"
        else:
            assert len(times_s(call, 10)) == 10


@contextmanager
def silent_streams(caller: Caller, number: int) -> Iterator[None]:
    over = threading.Event()

    def nothing() -> Iterator[gallery_pb2.StreamSearchRequest]:
        over.wait(60)
        yield from ()

    calls = [caller.gallery.StreamSearch(nothing()) for _ in range(number)]
    try:
        until(lambda: reason_of(partial(search_stream, caller)) == "OVERLOADED")
        yield
    finally:
        over.set()
        for call in calls:
            call.cancel()


def search_stream(caller: Caller) -> Any:
    probe = recognition_pb2.Probe(image=common_pb2.Image(data=photo(10)))
    search = gallery_pb2.SearchRequest(gallery_id="wanted", probe=probe)
    return caller.gallery.StreamSearch(iter([gallery_pb2.StreamSearchRequest(item_id="1", search=search)]))


# --- places that are waited for ----------------------------------------------------------------------------------


def require_shared(
    what: str, attack: Callable[[], Any], attackers: int, victim: Callable[[], Any], same: Callable[[], Any]
) -> None:
    """Require that another caller's call waits for little while callers with one key attack; print the figures.

    The control is the same call with the attackers' key, in the same siege: the machine may be busy with other things.
    """
    quiet = times_s(victim, 5)
    with kept_up(attackers, attack):
        others, control = [], []
        for _ in range(2):
            others += times_s(victim, 3)
            control += times_s(same, 1)
    figures = (median(one) for one in (quiet, others, control))
    print("{}: median quiet {:.3f} s, besieged {:.3f} s, control {:.3f} s".format(what, *figures))  # noqa: T201
    assert 2 * median(others) < median(control)


def test_who_asks_for_many_reports_does_not_keep_others_from_theirs(
    at: Staffed, trainee: training_pb2.Enrolled
) -> None:
    request = training_pb2.GetTrainingReportRequest(
        trainee_id=trainee.trainee_id, file=training_pb2.TRAINING_REPORT_FILE_JSON
    )
    attack, victim = (partial(trainer(at, number).training.GetTrainingReport, request) for number in (1, 2))
    require_shared("reports", lambda: list(attack()), REPORTS, victim, attack)


def test_who_has_many_photos_analysed_does_not_keep_others_from_theirs(tmp_path: Path) -> None:
    def engine(config: Config) -> Any:
        return batched_engine(config, [FaultyModel(0.05)], sizes=(1, 2))

    with staffed(tmp_path, engine=engine) as at:
        many = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(1, 2, 3, 4)))
        one = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(5)))
        attacker, other = at.operator.recognition, at.caller(Role.OPERATOR, number=2).recognition
        require_shared(
            "photos", partial(attacker.Embed, many), 16, partial(other.Embed, one), partial(attacker.Embed, one)
        )


def test_who_has_audits_checked_all_the_time_does_not_keep_others_from_it(at: Staffed) -> None:
    for number in range(RECORDS):
        at.server.app.galleries.update("wanted", GalleryUpdate(display_name=str(number)))
    request = audit_pb2.VerifyAuditRequest(chain="galleries")
    attack, victim = (partial(at.caller(Role.AUDITOR, number=number).audit.VerifyAudit, request) for number in (1, 2))
    require_shared("audits", attack, 30, victim, attack)


def test_who_searches_among_many_subjects_all_the_time_does_not_keep_others_from_it(at: Staffed) -> None:
    at.gallery("practice", operational=False, people=1)
    subjects = [f"subject {number}" for number in range(5_000)]
    template = NewTemplate(Embedding(frozen_array(np.eye(64, dtype=np.float32)[0]), NULL_MODEL))
    for first in range(0, len(subjects), 1_000):
        some = [Enrolment(one, template) for one in subjects[first : first + 1_000]]
        at.server.app.galleries.enrol_many(at.server.app.galleries.get("practice"), some)
    probe = recognition_pb2.Probe(image=common_pb2.Image(data=photo(10)))
    among = gallery_pb2.SubjectFilter(subject_ids=subjects)
    request = gallery_pb2.SearchRequest(gallery_id="practice", probe=probe, filter=among)
    attack, victim = (partial(at.caller(Role.OPERATOR, number=number).gallery.Search, request) for number in (1, 2))
    require_shared("searches among many", attack, 30, victim, attack)
