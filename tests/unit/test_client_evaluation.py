"""Evaluations and criteria of the clients: what is asked, how an evaluation ends, and what `fr report get` writes."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import common_pb2, evaluation_pb2, evaluation_pb2_grpc
from fr_client import AsyncClient, Client, FrApiError, SearchItem, requests
from support.cli import fr_at, reason_of
from support.scripted import Kind, asked, both, refuse

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

    def ListDatasets(self, request: Any, context: Any) -> evaluation_pb2.ListDatasetsResponse:  # noqa: N802
        return evaluation_pb2.ListDatasetsResponse(datasets=[evaluation_pb2.Dataset(name="lfw", available=True)])

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

    def ListReports(self, request: Any, context: Any) -> evaluation_pb2.ListReportsResponse:  # noqa: N802
        pages = {"": (["r3", "r2"], "next"), "next": (["r1"], "")}
        ids, token = pages[request.page_token]
        reports = [evaluation_pb2.ReportSummary(report_id=one) for one in ids]
        return evaluation_pb2.ListReportsResponse(reports=reports, next_page_token=token)

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
    """The service, and where it is served."""
    server, service = grpc.server(ThreadPoolExecutor(4)), ScriptedEvaluation()
    evaluation_pb2_grpc.add_EvaluationServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None).wait()


Evaluation = tuple[ScriptedEvaluation, str]


def verified(kind: Kind, target: str, dataset: str, told: list[tuple[int, int]], **more: Any) -> Any:
    def on_progress(done: int, total: int) -> None:
        told.append((done, total))

    def ask(client: Any) -> Any:
        return client.run_verification(dataset, seed=7, on_progress=on_progress)

    return asked(kind, target, ask, **more)


@both
def test_a_verification_tells_how_far_it_has_come_and_ends_with_its_report(kind: Kind, evaluation: Evaluation) -> None:
    service, target = evaluation
    told: list[tuple[int, int]] = []
    assert verified(kind, target, "lfw", told).report_id == "r1"
    assert told == [(1, 2), (2, 2), (2, 2)]
    assert (service.requests[-1].dataset, service.requests[-1].seed) == ("lfw", 7)


@both
def test_an_evaluation_without_a_report_is_an_error(kind: Kind, evaluation: Evaluation) -> None:
    with pytest.raises(FrApiError, match="ended the evaluation without a report") as caught:
        verified(kind, evaluation[1], "cut", [])
    assert caught.value.reason == "CONNECTION_LOST"


@both
def test_it_may_take_longer_than_a_call(kind: Kind, evaluation: Evaluation) -> None:
    assert verified(kind, evaluation[1], "slow", [], timeout_s=0.2).report_id == "r1"


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


@both
def test_the_rest_of_the_service_is_asked_as_it_is_told(kind: Kind, evaluation: Evaluation) -> None:
    service, target = evaluation
    made = asked(kind, target, lambda client: client.run_identification("lfw", gallery_sizes=[100, 1000]))
    listed = asked(kind, target, lambda client: client.reports(page_size=2))
    file = asked(kind, target, lambda client: client.report("r1", "scores"))
    (dataset,) = asked(kind, target, lambda client: client.datasets())
    assert (made.report_id, [one.report_id for one in listed]) == ("r2", ["r3", "r2", "r1"])
    assert (file.content, dataset.name) == (b"a,b\n", "lfw")
    assert list(service.requests[-1].gallery_sizes) == [100, 1000]
    assert not service.requests[-1].HasField("seed")


def test_the_files_that_a_report_has_are_written_for_their_owner_alone(evaluation: Evaluation, tmp_path: Path) -> None:
    out = tmp_path / "lfw"
    code, printed, error = fr_at(evaluation[1], "report", "get", "r1", "--out", out, "--json")
    assert (code, json.loads(printed)["files"]) == (0, ["report.json", "scores.csv", "calibration.json"]), error
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {
        "report.json": b"{}",
        "scores.csv": b"a,b\n",
        "calibration.json": b'{"version": 1}',
    }
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, out / "scores.csv")] == [0o700, 0o600]
    assert reason_of(fr_at(evaluation[1], "report", "get", "r1", "--out", out)) == "FILE_EXISTS"
    (tmp_path / "empty").mkdir()
    assert fr_at(evaluation[1], "report", "get", "r1", "--out", tmp_path / "empty")[0] == 1
    assert fr_at(evaluation[1], "report", "get", "r1", "--out", tmp_path / "one", "--file", "calibration")[0] == 0
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["calibration.json"]


def test_a_command_tells_that_figures_follow_the_photos_and_deletes_a_report(evaluation: Evaluation) -> None:
    service, target = evaluation
    code, _, error = fr_at(target, "report", "verification", "lfw")
    assert (code, error.count("The server now computes the figures")) == (0, 1)
    asked = len(service.requests)
    assert fr_at(target, "report", "delete", "r8")[0] == 1  # nobody said yes
    assert len(service.requests) == asked
    assert fr_at(target, "report", "delete", "r8", "--yes") == (0, "Deleted report r8.\n", "")
    assert service.requests[-1] == evaluation_pb2.DeleteReportRequest(report_id="r8")


@pytest.mark.parametrize("words", [("r9",), ("r1", "--file", "json", "--file", "html")])
def test_what_is_not_there_leaves_nothing_behind(
    evaluation: Evaluation, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert reason_of(fr_at(evaluation[1], "report", "get", *words, "--out", tmp_path / "report")) == "UNKNOWN_REPORT"
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_and_its_rates_exclude_each_other() -> None:
    face = common_pb2.Embedding()
    assert requests.compare(face, face, "error", None, 0.001).WhichOneof("criterion") == "target_fmr"
    assert requests.compare(face, face, "error", None, None).WhichOneof("criterion") is None
    found = requests.search("g", SearchItem(face, target_fpir=0.01))
    assert (found.WhichOneof("criterion"), found.target_fpir) == ("target_fpir", 0.01)
    assert requests.search("g", SearchItem(face, threshold=0.0)).WhichOneof("criterion") == "threshold"
    with pytest.raises(ValueError, match="threshold and target_fmr contradict each other"):
        requests.compare(face, face, "error", 0.0, 0.001)
    with pytest.raises(ValueError, match="target_fmr and target_fpir contradict each other"):
        requests.search("g", SearchItem(face, target_fmr=0.001, target_fpir=0.01))


def test_an_empty_file_is_no_calibration(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_bytes(b"\n")
    code, _, error = fr_at("localhost:1", "gallery", "calibrate", "g", file)
    assert (code, error) == (1, f"FILE_UNREADABLE: {file} is empty.\n")
    file.write_bytes(b"\xff")
    assert "is not text in UTF-8" in fr_at("localhost:1", "gallery", "calibrate", "g", file)[2]
