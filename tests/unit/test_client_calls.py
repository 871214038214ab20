"""Calls of both clients: errors, repetitions, training and evaluations; the files that `fr report get` writes."""

import asyncio
import json
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime
from operator import methodcaller
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import (
    common_pb2,
    error_reason_pb2,
    evaluation_pb2,
    evaluation_pb2_grpc,
    gallery_pb2,
    review_pb2,
    training_pb2,
)
from fr_client import AsyncClient, Client, FrApiError, RetryPolicy, SearchItem, reason_of, requests
from fr_client.errors import Wire, parse
from fr_client.handshake import Endpoint
from fr_client.photos import PhotoFit
from fr_client.streams import STORES_NOTHING, SendAgain, StreamSettings, Window
from support.cli import Said, fr_at
from support.cli import reason_of as refused_with
from support.scripted import (
    LIMITS,
    QUICK,
    Kind,
    Script,
    asked,
    both,
    refuse,
    released,
    scripted,
    serving,
    serving_trust,
)
from support.scripted_training import ScriptedTraining, picture, serving_training, trial


def enrol_one(kind: Kind, target: str, **settings: Any) -> gallery_pb2.EnrolResponse:
    settings = {"retry": QUICK, "timeout_s": 5.0} | settings
    found: gallery_pb2.EnrolResponse = asked(
        kind,
        target,
        lambda client: client.enrol("g", "s", b"photo", metadata={"k": "v"}, several_faces="largest"),
        **settings,
    )
    return found


@both
@pytest.mark.parametrize(
    ("reason", "busy", "calls"),
    [
        *((reason, 2, 3) for reason in ("OVERLOADED", "SHUTTING_DOWN", "RATE_LIMITED")),
        ("OVERLOADED", 99, 3),
        ("STORE_FAILED", 1, 1),
    ],
)
def test_a_call_is_repeated_a_few_times_if_it_was_not_begun(kind: Kind, reason: str, busy: int, calls: int) -> None:
    gallery = scripted(busy=busy, reason=reason)
    with serving(gallery) as target:
        if busy < calls:
            assert enrol_one(kind, target).template_id == 7
            (request,) = gallery.requests
            assert (request.gallery_id, request.face.image.data, request.metadata) == ("g", b"photo", {"k": "v"})
            assert request.several_faces == common_pb2.SEVERAL_FACES_POLICY_LARGEST
        else:
            with pytest.raises(FrApiError) as caught:
                enrol_one(kind, target)
            error = caught.value
            assert (error.reason, error.request_id, error.retry_after_s) == (reason, "id-1", 0.02)
    assert gallery.calls == calls


@both
def test_no_call_waits_beyond_its_time_or_sends_more_than_the_server_accepts(kind: Kind) -> None:
    gallery = scripted(busy=99, retry_after_s=30.0)
    begun = time.monotonic()
    released.clear()
    with serving(gallery) as target:
        with pytest.raises(FrApiError) as caught:
            enrol_one(kind, target, timeout_s=20.0)
        assert (caught.value.reason, caught.value.retry_after_s, gallery.calls) == ("OVERLOADED", 30.0, 1)
        assert time.monotonic() - begun < 20.0
        with pytest.raises(FrApiError, match=rf"{target} did not answer within 0\.2 s") as caught:
            asked(kind, target, lambda client: client.detect(b"x"), timeout_s=0.2)
        assert caught.value.reason == "TIMED_OUT"
        released.set()
        for downscale, says in (
            (True, "Pillow cannot read it here"),
            (False, "the client does not scale this one down"),
        ):
            with pytest.raises(FrApiError, match=f"5,000 bytes; the server accepts at most 4,096.*{says}") as caught:
                asked(kind, target, lambda client: client.enrol("g", "s", bytes(5000)), downscale=downscale)
            assert (caught.value.reason, caught.value.metadata["limit"]) == ("IMAGE_TOO_MANY_BYTES", "4096")


TARGET = "example:50061"


@pytest.mark.parametrize(
    ("code", "details", "reason", "says"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: x", "UNREACHABLE", "fr serve"),
        (grpc.StatusCode.UNAVAILABLE, "errors resolving example:50061: [...]", "UNREACHABLE", "does not resolve"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "CONNECTION_LOST", "Socket closed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "TIMED_OUT", "within 2.5 s"),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", "", "not FR Core"),
        (grpc.StatusCode.UNKNOWN, "", "", "UNKNOWN: no details"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (20000000 vs. 16842752)",
            "IMAGE_TOO_MANY_BYTES",
            "Send a smaller photo",
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", "", "RESOURCE_EXHAUSTED: busy"),
    ],
)
@pytest.mark.parametrize("metadata", [(), (("grpc-status-details-bin", b"\xff\xff\xff"),)])  # which nobody can read
def test_an_error_is_one_sentence(code: grpc.StatusCode, details: str, reason: str, says: str, metadata: Any) -> None:
    error = parse(Wire(code, details, metadata), TARGET, 2.5)
    assert (error.code, error.reason, error.request_id) == (code, reason, "")
    assert says in error.message
    assert TARGET in error.message
    assert not re.search(r"`fr [a-z-]*--", error.message)  # a program has no options


def test_an_error_as_text_has_its_reason_and_its_request() -> None:
    metadata = (("x-request-id", "id-1"),)
    assert str(parse(Wire(grpc.StatusCode.UNAVAILABLE, "Socket closed", metadata), TARGET, 2.5)) == (
        f"CONNECTION_LOST: The connection to {TARGET} broke before the answer came (Socket closed). Call again. "
        "(request id-1)"
    )
    assert str(FrApiError(grpc.StatusCode.UNKNOWN, "", "Failed.")) == "Failed."


def test_a_refusal_names_its_reason_as_an_error_does() -> None:
    assert reason_of(common_pb2.Refusal(reason=error_reason_pb2.ERROR_REASON_NO_FACE)) == "NO_FACE"
    assert reason_of(common_pb2.Refusal(reason=9999)) == "9999"  # type: ignore[arg-type]


def failed(reason: str, retry_after_s: float | None = None) -> FrApiError:
    return FrApiError(grpc.StatusCode.UNAVAILABLE, reason, "x", retry_after_s=retry_after_s)


@pytest.mark.parametrize("reason", ["OVERLOADED", "SHUTTING_DOWN"])
def test_what_was_not_begun_is_tried_again_when_the_server_asks_for_it(reason: str) -> None:
    for other in ("UNREACHABLE", "CONNECTION_LOST", "TIMED_OUT", "STORE_FAILED", "NO_FACE", ""):
        assert RetryPolicy().delay_s(failed(other), 1, 0.0) is None
    policy = RetryPolicy(attempts=3, first_delay_s=0.2, max_delay_s=5.0)
    asked = ((1.0, 1, 0.0), (1.0, 2, 0.8), (1.0, 3, 0.0), (6.0, 1, 0.0), (None, 1, 0.0), (None, 2, 0.0), (None, 3, 0.0))
    waits = [policy.delay_s(failed(reason, after_s), attempt, jitter) for after_s, attempt, jitter in asked]
    assert waits == [1.0, pytest.approx(1.2), None, None, 0.2, 0.4, None]


@both
def test_a_file_comes_in_pieces_and_breaks_off_with_an_error(kind: Kind) -> None:
    def ask(client: Any) -> Any:
        return client.review.evidence_parts("c1", include_unfinished=True)

    script = Script()
    script.answers["ExportEvidence"] = [review_pb2.ExportEvidenceResponse(data=one) for one in (b"one", b"two")]
    with serving_trust(script) as target:
        assert asked(kind, target, ask) == [b"one", b"two"]
        script.refusals["ExportEvidence"] = ["STORE_CORRUPT"]
        with pytest.raises(FrApiError) as caught:
            asked(kind, target, ask)
    assert caught.value.reason == "STORE_CORRUPT"


def window(retry: RetryPolicy) -> Window[Any, Any, Any]:
    settings = StreamSettings(Endpoint("somewhere"), 4, 1.0, retry, STORES_NOTHING)
    return Window(settings, lambda response: response.refusal, jitter=lambda: 0.0)


@pytest.mark.parametrize(
    ("reason", "said", "after_s"),
    [
        ("RATE_LIMITED", "2.5", 2.5),
        ("RATE_LIMITED", "nan", 0.01),
        ("RATE_LIMITED", "-1", 0.01),
        ("RATE_LIMITED", "", 0.01),
        ("RATE_LIMITED", "60", None),
        ("QUOTA_EXCEEDED", "1", None),
    ],
)
def test_an_item_that_came_too_often_is_sent_again_later(reason: str, said: str, after_s: float | None) -> None:
    one = window(QUICK)
    one.admit("mine", gallery_pb2.StreamSearchRequest())
    number = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    refusal = common_pb2.Refusal(reason=number, metadata={"retry_after_s": said})
    settled = one.settle(gallery_pb2.StreamSearchResponse(item_id="1", refusal=refusal))
    told = pytest.approx(settled.delay_s) if isinstance(settled, SendAgain) else None
    assert told == after_s
    assert after_s is not None or settled == ("mine", refusal)


Served = tuple[ScriptedTraining, str]


@pytest.fixture
def served() -> Iterator[Served]:
    service = ScriptedTraining([trial("RATE", [picture("x"), picture("y")])])
    with serving_training(service) as target:
        yield service, target


def of_training(kind: Kind, target: str, ask: Callable[[Any], Any], **more: Any) -> Any:
    return asked(kind, target, lambda client: ask(client.training), **more)


@both
def test_a_making_tells_its_progress_and_may_take_longer_than_a_call(kind: Kind, served: Served) -> None:
    service, target = served
    told: list[tuple[int, int, int]] = []

    def ask(training: Any, seed: int | None = 0) -> Any:
        tell = told.append
        return training.create_course(
            "taster-90", ["lfw", "slow"], seed=seed, on_progress=lambda now: tell((now.stage, now.done, now.total))
        )

    assert of_training(kind, target, ask, timeout_s=0.2).course_id == "c1"
    assert told == [(1, 1, 20), (1, 20, 20), (2, 1, 3), (2, 3, 3), (3, 1, 40), (3, 40, 40)]
    of_training(kind, target, lambda training: ask(training, None))
    requests = service.calls("CreateCourse")
    assert [(one.plan.name, one.HasField("seed")) for one in requests] == [("taster-90", True), ("taster-90", False)]


@both
def test_a_plan_is_a_name_or_a_file_or_a_message(kind: Kind, served: Served, tmp_path: Path) -> None:
    service, target = served
    file = tmp_path / "plan.toml"
    file.write_text('title = "Größe"', encoding="utf-8")
    for plan in ("taster-90", file, training_pb2.PlanSource(toml="x = 1")):
        of_training(kind, target, methodcaller("check_plan", plan, ["lfw"]))
    sources = [request.plan for request in service.calls("CheckPlan")]
    assert [(one.name, one.toml) for one in sources] == [("taster-90", ""), ("", 'title = "Größe"'), ("", "x = 1")]
    with pytest.raises(FileNotFoundError):
        of_training(kind, target, lambda training: training.check_plan(tmp_path / "none.toml"))


@both
def test_a_cohort_is_watched_until_nobody_asks_any_more(kind: Kind, served: Served) -> None:
    service, target = served
    changes = of_training(kind, target, lambda training: training.watch_cohort("k1"))
    assert [[(one.trainee_id, one.answered) for one in change] for change in changes] == [
        [("p1", 3), ("p2", 0)],
        [("p1", 4)],
    ]
    service.cancelled.clear()

    async def first() -> None:
        async with AsyncClient(target, timeout_s=0.2) as client:
            async with aclosing(client.training.watch_cohort("live")) as watched:
                assert len(await anext(watched)) == 2
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    if kind == "async":
        asyncio.run(first())
    else:
        with Client(target, timeout_s=0.2) as client:
            watched = client.training.watch_cohort("live")
            assert len(next(watched)) == 2
            watched.close()
            assert service.cancelled.wait(5)


UNSENT: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda client: client.access.create_key("admin"), TypeError, "are lists"),
    (lambda client: client.access.create_key(["admin"], galleries="mine"), TypeError, "are lists"),
    (lambda client: client.audit.search("cases", start=datetime(2026, 1, 1)), ValueError, "start has no time zone"),
    (lambda client: client.training.report_parts(code="c", cohort_id="k1"), ValueError, "give one of them"),
    (lambda client: client.training.report_parts(), ValueError, "give one of them"),
    (lambda client: client.training.report_parts(code="c", file="pdf"), ValueError, "it can be 'json', 'html'"),
    (lambda client: client.training.export_parts("k1", "badges"), ValueError, "it can be 'csv', 'xapi', 'ags', 'open-"),
    (lambda client: client.training.submit_decision("s", trial("RATE"), 3), TypeError, "A decision is a PairRating"),
]


@both
def test_what_no_server_takes_is_not_sent(kind: Kind, served: Served) -> None:
    for ask, error, words in UNSENT:
        with pytest.raises(error, match=words):
            asked(kind, served[1], ask)
    assert served[0].requests == []


FILES = {
    evaluation_pb2.REPORT_FILE_JSON: b"{}",
    evaluation_pb2.REPORT_FILE_SCORES_CSV: b"a,b\n",
    evaluation_pb2.REPORT_FILE_CALIBRATION: b'{"version": 1}',
}


class ScriptedEvaluation(evaluation_pb2_grpc.EvaluationServiceServicer):
    """Tells of two photos, then of a report: for `slow` later, for `silent` when it is cancelled, for `cut` never."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.cancelled = threading.Event()

    def RunVerification(self, request: Any, context: Any) -> Iterator[evaluation_pb2.RunVerificationResponse]:  # noqa: N802
        self.requests.append(request)
        context.add_callback(self.cancelled.set)
        for stage, done in enumerate((1, 2, 2), start=1):
            progress = evaluation_pb2.EvaluationProgress(photos=done, total=2, stage=stage)  # type: ignore[arg-type]
            yield evaluation_pb2.RunVerificationResponse(progress=progress)
        if request.dataset == "silent":
            self.cancelled.wait(10)
        if request.dataset == "slow":
            time.sleep(0.4)
        if request.dataset in ("lfw", "slow"):
            report = evaluation_pb2.ReportSummary(report_id="r1", dataset="lfw", summary="No error was seen.")
            yield evaluation_pb2.RunVerificationResponse(report=report)

    def RunIdentification(self, request: Any, context: Any) -> Iterator[evaluation_pb2.RunIdentificationResponse]:  # noqa: N802
        self.requests.append(request)
        yield evaluation_pb2.RunIdentificationResponse(report=evaluation_pb2.ReportSummary(report_id="r2"))

    def GetReport(self, request: Any, context: Any) -> Iterator[evaluation_pb2.GetReportResponse]:  # noqa: N802
        if request.report_id != "r1" or request.file not in FILES:
            refuse(context, grpc.StatusCode.NOT_FOUND, "UNKNOWN_REPORT", 0.0)
        report = evaluation_pb2.ReportSummary(report_id="r1", files=[*FILES, 99])  # type: ignore[list-item]
        yield evaluation_pb2.GetReportResponse(report=report)
        for byte in FILES[request.file]:
            yield evaluation_pb2.GetReportResponse(content=bytes([byte]))

    def DeleteReport(self, request: Any, context: Any) -> evaluation_pb2.DeleteReportResponse:  # noqa: N802
        self.requests.append(request)
        return evaluation_pb2.DeleteReportResponse()


@pytest.fixture(scope="module")
def evaluation() -> Iterator[tuple[ScriptedEvaluation, str]]:
    server, service = grpc.server(ThreadPoolExecutor(4)), ScriptedEvaluation()  # type: ignore[abstract]
    evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None).wait()


Evaluation = tuple[ScriptedEvaluation, str]


def verified(kind: Kind, target: str, dataset: str, told: list[tuple[int, int]], **more: Any) -> Any:
    def ask(client: Any) -> Any:
        return client.run_verification(dataset, seed=7, on_progress=lambda done, total: told.append((done, total)))

    return asked(kind, target, ask, **more)


@both
def test_a_verification_ends_with_its_report_however_long_it_takes(kind: Kind, evaluation: Evaluation) -> None:
    service, target = evaluation
    told: list[tuple[int, int]] = []
    assert verified(kind, target, "slow", told, timeout_s=0.2).report_id == "r1"
    assert told == [(1, 2), (2, 2), (2, 2)]
    assert (service.requests[-1].dataset, service.requests[-1].seed) == ("slow", 7)
    with pytest.raises(FrApiError, match="ended the evaluation without a report") as caught:
        verified(kind, target, "cut", [])
    assert caught.value.reason == "CONNECTION_LOST"


def test_ctrl_c_ends_the_evaluation_on_the_server(evaluation: Evaluation) -> None:
    service, target = evaluation
    service.cancelled.clear()

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with Client(target) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            client.run_verification("silent", on_progress=interrupted)
        assert service.cancelled.wait(5)
        assert caught.tb is not None  # which holds what was open: no collector has ended it


def test_a_task_that_is_cancelled_ends_the_evaluation_on_the_server(evaluation: Evaluation) -> None:
    service, target = evaluation
    service.cancelled.clear()

    async def run() -> None:
        begun = asyncio.Event()
        async with AsyncClient(target) as client:
            running = client.run_verification("silent", on_progress=lambda done, total: begun.set())
            task = asyncio.create_task(running)
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    asyncio.run(run())


def test_the_files_that_a_report_has_are_written_for_their_owner_alone(evaluation: Evaluation, tmp_path: Path) -> None:
    def get(name: str, *more: str) -> Said:
        return fr_at(evaluation[1], "report", "get", "r1", "--out", tmp_path / name, *more)

    code, printed, error = get("lfw", "--json")
    names = ["report.json", "scores.csv", "calibration.json"]
    assert (code, json.loads(printed)["files"]) == (0, names), error
    out = tmp_path / "lfw"
    assert {file.name: file.read_bytes() for file in out.iterdir()} == dict(zip(names, FILES.values(), strict=True))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, out / "scores.csv")] == [0o700, 0o600]
    (tmp_path / "empty").mkdir()
    assert (refused_with(get("lfw")), get("empty")[0]) == ("FILE_EXISTS", 1)
    assert get("one", "--file", "calibration")[0] == 0
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["calibration.json"]


def test_a_command_tells_that_figures_follow_the_photos_and_deletes_a_report(evaluation: Evaluation) -> None:
    service, target = evaluation
    code, _, error = fr_at(target, "report", "create", "verification", "lfw")
    assert (code, error.count("The server now computes the figures")) == (0, 1)
    assert fr_at(target, "report", "create", "identification", "lfw", "--sizes", "100")[0] == 0
    assert service.requests[-1] == evaluation_pb2.RunIdentificationRequest(dataset="lfw", gallery_sizes=[100])
    asked = len(service.requests)
    assert fr_at(target, "report", "delete", "r8")[0] == 1  # nobody said yes
    assert len(service.requests) == asked
    assert fr_at(target, "report", "delete", "r8", "--yes") == (0, "Deleted report r8.\n", "")
    assert service.requests[-1] == evaluation_pb2.DeleteReportRequest(report_id="r8")


@pytest.mark.parametrize("words", [("r9",), ("r1", "--file", "json", "--file", "html")])
def test_a_missing_report_leaves_nothing_behind(evaluation: Evaluation, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert refused_with(fr_at(evaluation[1], "report", "get", *words, "--out", tmp_path / "report")) == "UNKNOWN_REPORT"
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_and_its_rates_exclude_each_other() -> None:
    face, fit = common_pb2.Embedding(), PhotoFit(LIMITS)
    assert requests.compare(face, face, fit, "error", None, 0.001).WhichOneof("criterion") == "target_fmr"
    assert requests.compare(face, face, fit, "error", None, None).WhichOneof("criterion") is None
    found = requests.search("g", SearchItem(face, target_fpir=0.01), fit)
    assert (found.WhichOneof("criterion"), found.target_fpir) == ("target_fpir", 0.01)
    assert requests.search("g", SearchItem(face, threshold=0.0), fit).WhichOneof("criterion") == "threshold"
    with pytest.raises(ValueError, match="threshold and target_fmr contradict each other"):
        requests.compare(face, face, fit, "error", 0.0, 0.001)
    with pytest.raises(ValueError, match="target_fmr and target_fpir contradict each other"):
        requests.search("g", SearchItem(face, target_fmr=0.001, target_fpir=0.01), fit)


def test_an_empty_file_is_no_calibration(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_bytes(b"\n")
    assert fr_at("localhost:1", "gallery", "calibrate", "g", file) == (1, "", f"FILE_UNREADABLE: {file} is empty.\n")
    file.write_bytes(b"\xff")
    assert "is not text in UTF-8" in fr_at("localhost:1", "gallery", "calibrate", "g", file)[2]
