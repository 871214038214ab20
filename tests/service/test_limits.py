"""Limits of what a call may cost, in time, faces and memory; and the shares of callers, whatever they ask for."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, server_pb2, training_pb2
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import CallEnded, CallTooLong
from fr_core.gallery.values import Enrolment, GalleryUpdate, NewTemplate
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.ticket import current_ticket
from fr_core.types import U8, Detection, Embedding, frozen_array
from fr_server.config import Config
from fr_server.pools import photo_threads
from fr_server.rpc.interceptors import boundary
from fr_server.rpc.interceptors.admission import Admission
from fr_server.rpc.interceptors.wrapping import Context, first_of
from fr_server.telemetry.listener import Ended, Listener
from fr_server.telemetry.open import Telemetry
from fr_trust.access.principal import Role
from support.callers import Caller, Staffed, reason_of, staffed
from support.courses import Chance, create, enrol, link_people, start, take
from support.faults import FaultyModel, until
from support.servers import GatedDetector, Running, batched_engine, photo, refusal_of, running


def detect(*blues: int) -> recognition_pb2.DetectRequest:
    return recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(*blues)))


def batch(*blues: int) -> recognition_pb2.BatchEmbedRequest:
    return recognition_pb2.BatchEmbedRequest(images=[common_pb2.Image(data=photo(blue)) for blue in blues])


class Outcomes(Listener):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        return lambda outcome, took_s: self.seen.append(outcome)


@pytest.mark.parametrize("photos", [1, 64])
def test_a_call_ends_in_time_whatever_its_client_waits_for(tmp_path: Path, photos: int) -> None:
    held, outcomes = GatedDetector(), Outcomes()
    with running(tmp_path / "data", held, Telemetry(outcomes), limits={"call_s": 1.0}) as server:
        began = time.monotonic()
        if photos == 1:
            told = refusal_of(lambda: server.recognition.Detect(detect(1), timeout=60))
        else:
            told = refusal_of(lambda: server.recognition.BatchEmbed(batch(*range(photos)), timeout=60))
        took_s = time.monotonic() - began
        held.gate.set()
        assert (told.code, told.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CALL_TOO_LONG")
        assert "limits.call_s" in told.status.message
        assert 0.9 < took_s < 30
        assert outcomes.seen == ["CALL_TOO_LONG"]  # no caller that left: an alert is to see it
        assert server.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version
        assert len(server.recognition.Detect(detect(1)).faces) == 1  # the control: one that is done in time


def test_work_that_hears_of_the_end_first_is_told_in_the_same_way() -> None:
    async def work(request: object, context: object) -> None:
        while (ticket := current_ticket()).left_s > 0:
            pass  # the event loop has no time to end the call itself
        ticket.require_wanted()

    class Waits:
        def __init__(self, left_s: float | None) -> None:
            self.left_s = left_s

        def time_remaining(self) -> float | None:
            return self.left_s

    async def call(left_s: float | None, call_s: float) -> None:
        async def found(details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(cast("Any", work))

        details = cast("grpc.HandlerCallDetails", SimpleNamespace(method="/fr_api.v1.ServerService/GetServerInfo"))
        handler = await Admission(1, call_s).intercept_service(found, details)
        await cast("Any", handler).unary_unary(None, Waits(left_s))

    for left_s in (None, 60.0):
        with pytest.raises(CallTooLong):
            asyncio.run(call(left_s, 0.2))
    with pytest.raises(CallEnded):  # the control: the caller's own deadline
        asyncio.run(call(0.1, 60.0))


def test_a_refusal_says_how_many_of_what_there_are(tmp_path: Path) -> None:
    def refused(call: Callable[[], object]) -> tuple[str, str]:
        told = refusal_of(call)
        assert told.info.reason == "OVERLOADED"
        return told.info.metadata["limit"], told.status.message.split(";")[0]

    held, go = GatedDetector(), threading.Event()

    def first_alone() -> Iterator[recognition_pb2.StreamEmbedRequest]:
        yield recognition_pb2.StreamEmbedRequest(item_id="1")
        go.wait(10)

    with running(tmp_path / "data", held, server={"max_in_flight": 4}) as server:
        streams = [server.recognition.StreamEmbed(first_alone()) for _ in range(3)]
        for stream in streams:
            next(stream)
        assert refused(lambda: server.recognition.StreamEmbed(first_alone())) == ("3", "The server has 3 streams open")
        assert refused(lambda: server.recognition.BatchEmbed(batch(1))) == ("3", "The server has 3 streams open")
        call = server.recognition.Detect.future(detect(1))
        assert held.entered.acquire(timeout=10)
        assert refused(lambda: server.recognition.StreamEmbed(first_alone())) == ("4", "The server has 4 calls in work")
        assert refused(lambda: server.recognition.Detect(detect(1))) == ("4", "The server has 4 calls in work")
        held.gate.set()
        go.set()
        assert call.result(10).faces


def test_of_a_batch_that_is_cancelled_nothing_more_is_begun(tmp_path: Path) -> None:
    held, outcomes = GatedDetector(), Outcomes()
    with running(tmp_path / "data", held, Telemetry(outcomes)) as server:
        given_up = server.recognition.BatchEmbed.future(batch(*range(64)))
        assert held.entered.acquire(timeout=10)
        given_up.cancel()
        until(lambda: outcomes.seen == ["CANCELLED"])
        held.gate.set()
        assert len(server.recognition.BatchEmbed(batch(1, 2)).results) == 2
    assert held.calls <= photo_threads(ActiveDevice("cpu", "cpu", "null", "f32")) + 2


def test_a_photo_of_too_many_faces_is_refused_before_they_are_embedded(tmp_path: Path) -> None:
    with running(tmp_path / "data", images={"max_faces": 2}) as server:
        assert len(server.recognition.Detect(detect(1, 2)).faces) == 2
        for call in (
            lambda: server.recognition.Detect(detect(1, 2, 3)),
            lambda: server.recognition.Embed(recognition_pb2.EmbedRequest(image=detect(1, 2, 3).image)),
        ):
            told = refusal_of(call)
            assert (told.info.reason, told.info.metadata["limit"]) == ("TOO_MANY_FACES", "2")
            assert told.code == grpc.StatusCode.FAILED_PRECONDITION
            assert told.status.message.startswith("3 faces were found in the photo; the limit is 2.")


DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))
NO_PHOTO = recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo" * 100))
PROBE = recognition_pb2.Probe(image=common_pb2.Image(data=photo(2)))
SEARCH = gallery_pb2.SearchRequest(gallery_id="none", probe=PROBE)
BATCH = recognition_pb2.BatchEmbedRequest(images=[NO_PHOTO.image, PROBE.image])
TIMES = 5
ITEMS = 3


class SlowDetector(NullDetector):
    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        time.sleep(0.2)
        return super().detect(pixels)


def messages_held() -> list[Message]:
    """Every message that anything holds which the garbage collector knows."""
    return [one for holder in gc.get_objects() for one in gc.get_referents(holder) if isinstance(one, Message)]


Kept = Callable[[int], list[str]]
"""Tells the types of the messages of so many bytes, or more, that are held."""


@contextmanager
def collecting_nothing(folder: Path, detector: NullDetector | None = None) -> Iterator[tuple[Running, Kept]]:
    """Run a server and collect no garbage; yield it with what tells which of its messages are held since."""
    gc.collect()
    gc.freeze()
    with running(folder, detector) as server:
        before = [*messages_held(), DETECT, NO_PHOTO, PROBE, SEARCH, BATCH]
        known = {id(message) for message in before}  # which stay theirs while `before` is there

        def held(least: int) -> list[str]:
            new = (one for one in messages_held() if id(one) not in known)
            return [type(one).__name__ for one in new if one.ByteSize() >= least]

        gc.disable()
        try:
            yield server, held
        finally:
            gc.enable()


def answered(server: Running) -> None:
    server.recognition.Detect(DETECT, timeout=20)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """Return the status of a call that fails. Not with `pytest.raises`, which would keep the call, with its answer."""
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return pytest.fail("the call did not fail")


def no_photo(server: Running) -> None:
    told = code_of(lambda: server.recognition.Detect(NO_PHOTO, timeout=20))
    assert told is grpc.StatusCode.INVALID_ARGUMENT


def no_gallery(server: Running) -> None:
    assert code_of(lambda: server.gallery.Search(SEARCH, timeout=20)) is grpc.StatusCode.NOT_FOUND


def too_late(server: Running) -> None:
    told = code_of(lambda: server.recognition.Detect(DETECT, timeout=0.1))
    assert told is grpc.StatusCode.DEADLINE_EXCEEDED


def in_a_batch(server: Running) -> None:
    refused, embedded = server.recognition.BatchEmbed(BATCH, timeout=20).results
    assert (refused.HasField("refusal"), len(embedded.embedded.faces)) == (True, 1)


def streamed(server: Running) -> None:
    assert len(list(server.recognition.StreamEmbed(items(), timeout=20))) == ITEMS


def cut_off(server: Running) -> None:
    left = threading.Event()
    answers = server.recognition.StreamEmbed(items(left), timeout=20)
    for _ in range(ITEMS):
        next(answers)
    answers.cancel()
    left.set()


def items(left: threading.Event | None = None) -> Iterator[recognition_pb2.StreamEmbedRequest]:
    for number in range(ITEMS):
        yield recognition_pb2.StreamEmbedRequest(item_id=str(number), image=PROBE.image)
    if left is not None:
        left.wait(20)  # until then, the caller may say more


@pytest.mark.parametrize("call", [answered, no_photo, no_gallery, too_late, in_a_batch, streamed, cut_off])
def test_no_request_waits_for_the_garbage_collector(tmp_path: Path, call: Callable[[Running], None]) -> None:
    with collecting_nothing(tmp_path, SlowDetector() if call is too_late else None) as (server, held):
        for _ in range(TIMES):
            call(server)
        until_s = time.monotonic() + 10  # some goes on after a caller has its answer
        while (left := held(0)) and time.monotonic() < until_s:
            time.sleep(0.1)
        assert left == []


def test_an_idle_stream_holds_nothing_of_what_was_answered(tmp_path: Path) -> None:
    """The client sends and reads bytes, so that every message that is held is the server's; gRPC holds an empty one."""
    go_on = threading.Event()
    encoded = [item.SerializeToString() for item in items()]
    encoded[1] = recognition_pb2.StreamEmbedRequest(item_id="1", image=NO_PHOTO.image).SerializeToString()

    def sent() -> Iterator[bytes]:
        yield from encoded
        go_on.wait(60)

    with collecting_nothing(tmp_path) as (server, held):
        stream = server.channel.stream_stream(
            "/fr_api.v1.RecognitionService/StreamEmbed", lambda message: message, lambda message: message
        )(sent(), timeout=60)
        for _ in range(ITEMS):
            next(stream)
        until_s = time.monotonic() + 10  # some goes on after a caller has its answer
        while (left := held(1)) and time.monotonic() < until_s:
            time.sleep(0.1)
        assert left == []
        go_on.set()
        assert not list(stream)


def test_one_in_a_cycle_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what a cycle holds is found."""

    async def first_in_a_cycle(context: Context, within_s: float) -> Any:
        cycle: list[Any] = [await first_of(context, within_s)]
        cycle.append(cycle)
        return cycle[0]

    monkeypatch.setattr(boundary, "first_of", first_in_a_cycle)
    with collecting_nothing(tmp_path) as (server, held):
        for _ in range(TIMES):
            answered(server)
        assert held(0).count("DetectRequest") == TIMES


REPORTS = 12
RECORDS = 600


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    folder = tmp_path_factory.mktemp("shares")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FR_HOME", str(folder))
        link_people(folder / "people", 60)
        with staffed(folder / "data") as made:
            made.gallery("wanted")
            yield made


@pytest.fixture(scope="module")
def trainee(at: Staffed) -> training_pb2.Enrolled:
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


WATCHED = """
format = 1
title = "Watched"
sittings = [{ name = "all", blocks = [{ id = "odd", exercise = "triad", trials = 1 }] }]
"""


@pytest.fixture(scope="module")
def watched(at: Staffed) -> str:
    return create(trainer(at).training, WATCHED).course_id


@pytest.mark.parametrize("same", [False, True], ids=["another", "control"])
def test_who_watches_all_that_may_be_watched_leaves_watches_to_others(at: Staffed, watched: str, same: bool) -> None:
    attacker, victim = trainer(at), trainer(at, 1 if same else 2)
    cohort_id = enrol(attacker.training, watched).cohort.cohort_id
    request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
    with ExitStack() as open_watches:
        calls = [attacker.training.WatchCohort(request) for _ in range(16)]
        for call in calls:
            open_watches.callback(call.cancel)
        reasons = [reason_of(partial(next, call)) for call in calls]
        assert sorted(reasons) == ["OK"] * 12 + ["OVERLOADED"] * 4
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


@pytest.mark.nightly
def test_many_reports_of_one_do_not_hold_up_others(at: Staffed, trainee: training_pb2.Enrolled) -> None:
    form = training_pb2.TRAINING_REPORT_FILE_JSON
    request = training_pb2.GetTrainingReportRequest(trainee_id=trainee.trainee_id, file=form)
    attack, victim = (partial(trainer(at, number).training.GetTrainingReport, request) for number in (1, 2))
    require_shared("reports", lambda: list(attack()), REPORTS, victim, attack)


def test_many_photos_of_one_do_not_hold_up_others(tmp_path: Path) -> None:
    def engine(config: Config) -> Any:
        return batched_engine(config, [FaultyModel(0.05)], sizes=(1, 2))

    with staffed(tmp_path, engine=engine) as at:
        many = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(1, 2, 3, 4)))
        one = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(5)))
        attacker, other = at.operator.recognition, at.caller(Role.OPERATOR, number=2).recognition
        attack, victim, same = partial(attacker.Embed, many), partial(other.Embed, one), partial(attacker.Embed, one)
        require_shared("photos", attack, 16, victim, same)


@pytest.mark.nightly
def test_many_checks_of_one_do_not_hold_up_others(at: Staffed) -> None:
    for number in range(RECORDS):
        at.server.app.galleries.update("wanted", GalleryUpdate(display_name=str(number)))
    request = audit_pb2.VerifyAuditRequest(chain="galleries")
    attack, victim = (partial(at.caller(Role.AUDITOR, number=number).audit.VerifyAudit, request) for number in (1, 2))
    require_shared("audits", attack, 30, victim, attack)


def test_many_searches_of_one_do_not_hold_up_others(at: Staffed) -> None:
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
