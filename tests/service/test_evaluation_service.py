"""Measuring on the server: progress, reports, refusals, the end of a run, and callers who wait meanwhile."""

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import grpc
import pytest

from fr_api.v1 import common_pb2, evaluation_pb2, recognition_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.engine import Engine
from fr_datasets.links import Link, datasets_folder, write_link
from fr_evaluation.files import report_keys
from fr_evaluation.verification.run import read_pairs, run_verification
from fr_server.config import Config
from support.callers import paged, reason_of
from support.faults import FaultyModel, until
from support.photos import PEOPLE, draw_lfw, face
from support.servers import GatedDetector, Running, batched_engine, null_engine, photo, refusal_of, running

NAMES = [f"Jane_Roe_{number}" for number in range(PEOPLE)]
VERIFY = evaluation_pb2.RunVerificationRequest(dataset="lfw")
EMBED = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(200)))


def link(name: str, root: Path) -> None:
    write_link(name, Link(root), datasets_folder())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_link("lfw", Link(draw_lfw(folder / "lfw")), folder / "datasets")
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FR_HOME", str(home))


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(home / "data") as server:
        yield server


def told(steps: Any) -> tuple[list[tuple[int, int]], evaluation_pb2.ReportSummary]:
    """The progress, and the report, which comes last."""
    *before, last = list(steps)
    stages = [step.progress.stage for step in before]
    assert stages == sorted(stages)
    assert last.WhichOneof("event") == "report"
    return [(step.progress.photos, step.progress.total) for step in before], last.report


def content(server: Running, report_id: str, file: int = evaluation_pb2.REPORT_FILE_UNSPECIFIED) -> bytes:
    request = evaluation_pb2.GetReportRequest(report_id=report_id, file=file)  # type: ignore[arg-type]
    with patch("fr_server.rpc.services.evaluation._PIECE", 100):
        first, *pieces = server.evaluation.GetReport(request)
    assert first.WhichOneof("part") == "report"
    assert first.report.report_id == report_id
    assert {len(piece.content) for piece in pieces[:-1]} == {100}
    return b"".join(piece.content for piece in pieces)


def refusal(call: Callable[[], object]) -> str:
    told = refusal_of(call)
    assert not any(name in told.status.message for name in NAMES)
    reason: str = told.info.reason
    return reason


def same(keys: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs from run to run."""
    return {name: value for name, value in keys.items() if name not in ("measured_at", "seconds")}


def test_a_verification_is_that_of_a_direct_one(server: Running, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress, report = told(server.evaluation.RunVerification(VERIFY))
    assert progress[0] == (0, 2 * PEOPLE)
    assert progress[-1] == (2 * PEOPLE, 2 * PEOPLE)
    assert (report.kind, report.dataset) == (evaluation_pb2.EVALUATION_KIND_VERIFICATION, "lfw")
    assert report.model.pack == NULL_MODEL.pack
    assert "12 pairs" in report.summary
    direct = run_verification(
        null_engine(server.app.config),
        read_pairs("lfw", home / "lfw"),
        flip=False,
        seed=1,
        workers=2,
        clock=lambda: datetime.now(UTC),
        on_progress=lambda done, total: None,
    )
    assert same(json.loads(content(server, report.report_id))) == same(json.loads(json.dumps(report_keys(direct))))
    assert content(server, report.report_id, evaluation_pb2.REPORT_FILE_HTML).startswith(b"<!doctype html>")
    assert content(server, report.report_id, evaluation_pb2.REPORT_FILE_SCORES_CSV).count(b"\n") == 13
    files = [evaluation_pb2.ReportFile.Name(file) for file in report.files]
    assert files[:3] == ["REPORT_FILE_JSON", "REPORT_FILE_HTML", "REPORT_FILE_SCORES_CSV"]
    folder = Path(server.app.config.gallery.folder) / "reports" / report.report_id
    kept = {path.name for path in folder.iterdir()}
    assert kept - {"calibration.json"} == {"summary.json", "report.json", "report.html", "scores.csv"}  # no picture
    delete = partial(server.evaluation.DeleteReport, evaluation_pb2.DeleteReportRequest(report_id=report.report_id))
    delete()
    assert not folder.exists()
    assert refusal(delete) == "UNKNOWN_REPORT"
    assert "Measured: verification on lfw, 12 photos" in caplog.text
    assert not any(name in caplog.text for name in NAMES)


def test_the_audit_has_who_kept_a_report_and_who_deleted_it(server: Running) -> None:
    assert server.app._stores is not None
    store = server.app._stores.access
    with store.auditing() as audit:
        before = audit.head().seq
    _, verified = told(server.evaluation.RunVerification(VERIFY))
    identify = evaluation_pb2.RunIdentificationRequest(dataset="lfw")
    _, identified = told(server.evaluation.RunIdentification(identify))
    server.evaluation.DeleteReport(evaluation_pb2.DeleteReportRequest(report_id=verified.report_id))
    expected = [
        ("run_verification", "BEGUN", None),
        ("run_verification", "OK", verified.report_id),
        ("run_identification", "BEGUN", None),
        ("run_identification", "OK", identified.report_id),
        ("delete_report", "OK", verified.report_id),
    ]

    def found() -> list[tuple[str, str, str | None]]:
        with store.auditing() as audit:
            records = [json.loads(kept.body) for kept in audit.every(before)]
        assert {record["actor"] for record in records} <= {"local"}
        return [
            (record["action"].removeprefix("evaluation."), record["outcome"], record.get("detail", {}).get("report_id"))
            for record in records
            if record["outcome"] in ("BEGUN", "OK")  # refusals of earlier tests are recorded at a pace
        ]

    until(lambda: found() == expected)


def test_a_full_disk_refuses_a_run_before_its_photos(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=0, f_frsize=4096, f_blocks=10**6))
    assert refusal(lambda: next(server.evaluation.RunVerification(VERIFY))) == "STORAGE_LOW"


def test_an_identification_fills_galleries_up_to_the_sizes_asked_for(server: Running) -> None:
    request = evaluation_pb2.RunIdentificationRequest(dataset="lfw", gallery_sizes=[200, 50, 50], seed=2)
    progress, report = told(server.evaluation.RunIdentification(request))
    assert progress[0][0] == 0
    keys = json.loads(content(server, report.report_id))
    assert keys["settings"]["seed"] == 2
    assert [size["gallery_size"] for size in keys["galleries"]] == [3, 50, 200]
    assert content(server, report.report_id, evaluation_pb2.REPORT_FILE_SCORES_CSV).startswith(b"search,photo,")
    missing = partial(content, server, report.report_id, evaluation_pb2.REPORT_FILE_CALIBRATION)
    assert refusal(missing) == "UNKNOWN_REPORT"


def test_reports_are_listed_page_by_page(server: Running) -> None:
    _, report = [told(server.evaluation.RunVerification(VERIFY)) for _ in range(2)][1]
    listed = evaluation_pb2.ListReportsRequest
    found = paged(server.evaluation.ListReports, listed(page_size=1), "reports")
    assert found[0] == report
    kept = {path.name for path in (Path(server.app.config.gallery.folder) / "reports").iterdir()}
    assert {one.report_id for one in found} == kept
    for wrong in (listed(page_token="x"), listed(page_size=0)):
        assert refusal(partial(server.evaluation.ListReports, wrong)) == "INVALID_PAGE"


def test_data_sets_are_listed_with_their_terms_and_what_lies_here(server: Running, home: Path) -> None:
    link("calfw", home / "nowhere")
    sets = {one.name: one for one in server.evaluation.ListDatasets(evaluation_pb2.ListDatasetsRequest()).datasets}
    assert list(sets) == sorted(sets)
    assert len(sets["lfw"].kinds) == 2
    assert sets["lfw"].terms
    assert sets["calfw"].kinds == [evaluation_pb2.EVALUATION_KIND_VERIFICATION]
    assert sets["lfw"].available
    assert not sets["calfw"].available
    assert not sets["cplfw"].available


def test_a_report_that_is_not_there_is_refused_and_a_damaged_one_is_told(server: Running) -> None:
    _, report = told(server.evaluation.RunVerification(VERIFY))
    reports = Path(server.app.config.gallery.folder) / "reports"
    for report_id in ("", f"../reports/{report.report_id}", "20260102-030405-678-verification-lfw-01234567"):
        assert refusal(partial(content, server, report_id)) == "UNKNOWN_REPORT"
    assert refusal(lambda: content(server, report.report_id, 99)) == "INVALID_FIELD"
    (reports / report.report_id / "report.json").write_bytes(b"{}")
    assert refusal(lambda: content(server, report.report_id)) == "STORE_CORRUPT"
    shutil.rmtree(reports / report.report_id)


def test_refusals_of_runs_name_nobody(server: Running, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    def verify(name: str) -> str:
        request = evaluation_pb2.RunVerificationRequest(dataset=name)
        return refusal(lambda: list(server.evaluation.RunVerification(request)))

    def identify(*sizes: int, name: str = "lfw") -> str:
        request = evaluation_pb2.RunIdentificationRequest(dataset=name, gallery_sizes=sizes)
        return refusal(lambda: list(server.evaluation.RunIdentification(request)))

    for name, said in (
        ("", "There is no data set with that name. Choose"),
        ("lfx", "There is no data set with that name. Did you mean lfw? Choose"),
        ("cplfw", "The data set cplfw is not linked on this server. "),
        ("nonface", "The data set nonface has no pairs to compare. "),
    ):
        request = evaluation_pb2.RunVerificationRequest(dataset=name)
        told = refusal_of(partial(server.evaluation.RunVerification, request))
        assert (told.info.reason, told.status.message.startswith(said)) == ("DATASET_UNAVAILABLE", True)
    assert identify(name="cplfw") == "DATASET_UNAVAILABLE"  # it has pairs alone
    for sizes in ([0], [10_000_001], range(1, 18)):
        assert identify(*sizes) == "INVALID_FIELD"
    broken = draw_lfw(home / "broken")
    (broken / "images" / NAMES[0] / f"{NAMES[0]}_0001.jpg").unlink()
    link("lfw_funneled", broken)
    assert verify("lfw_funneled") == "DATASET_UNUSABLE"
    faceless = home / "people"
    for name in NAMES[:2]:
        face(faceless / name / "a.png", None)
    link("people_folder", faceless)
    assert identify(name="people_folder") == "FIGURE_UNDEFINED"
    link("calfw", home)
    assert identify(name="calfw") == "DATASET_UNAVAILABLE"  # it has pairs alone
    assert not any(name in caplog.text for name in NAMES)


def photo_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("photos")]


@pytest.mark.parametrize("timeout_s", [None, 6.0], ids=["cancelled", "late"])
def test_a_run_that_is_cut_off_leaves_nothing_and_no_other_runs_meanwhile(
    home: Path, tmp_path: Path, timeout_s: float | None
) -> None:
    detector = GatedDetector()
    with running(tmp_path / "data", detector, model={"workers": 2}) as server:
        steps = server.evaluation.RunVerification(VERIFY, timeout=timeout_s)
        for _ in range(2):  # both workers
            assert detector.entered.acquire(timeout=10)
        again = refusal(lambda: list(server.evaluation.RunVerification(VERIFY)))
        assert again == "EVALUATION_RUNNING"
        if timeout_s is None:
            steps.cancel()
        with pytest.raises(grpc.RpcError):
            list(steps)
        until(server.app._admission.idle.is_set)  # the server has heard of it
        begun = detector.calls
        detector.gate.set()
        until(lambda: not photo_threads(), 5)
        assert detector.calls == begun
        assert not (tmp_path / "data" / "reports").exists()
        until(lambda: reason_of(lambda: list(server.evaluation.RunVerification(VERIFY))) == "OK")  # its place is free
        assert told(server.evaluation.RunVerification(VERIFY))[0][-1] == (12, 12)


def test_a_search_of_millions_of_strangers_ends_with_its_call(server: Running) -> None:
    request = evaluation_pb2.RunIdentificationRequest(dataset="lfw", gallery_sizes=[2_000_000])
    steps = server.evaluation.RunIdentification(request)
    while (progress := next(steps).progress).photos < progress.total or not progress.total:
        pass
    assert progress.stage == evaluation_pb2.EVALUATION_STAGE_FIGURES
    steps.cancel()
    until(lambda: reason_of(lambda: server.evaluation.RunVerification(VERIFY)) == "OK", 2)


def test_a_run_ends_when_the_server_stops(home: Path, tmp_path: Path) -> None:
    detector = GatedDetector()
    with running(tmp_path / "data", detector, model={"workers": 1}) as server:
        steps = server.evaluation.RunVerification(VERIFY)
        assert detector.entered.acquire(timeout=10)
        stopping = server.stop()
        assert refusal(lambda: list(steps)) == "SHUTTING_DOWN"
        detector.gate.set()
        stopping.result(10)
        assert not photo_threads()
        assert not (tmp_path / "data" / "reports").exists()


def test_who_waits_for_an_answer_goes_before_the_photos_of_a_run(home: Path, tmp_path: Path) -> None:
    model = FaultyModel(0.2)

    def engine(config: Config) -> Engine:
        return batched_engine(config, [model], sizes=(1,))

    with running(tmp_path / "data", engine=engine, model={"workers": 10}) as server:
        steps = server.evaluation.RunVerification(VERIFY)
        progress = next(steps)  # of the first photo: nine or so wait for the model
        assert progress.WhichOneof("event") == "progress"
        before = len(model.batches)
        server.recognition.Embed(EMBED)
        between = len(model.batches) - before
        assert between <= 6  # the one that ran, its own, and those that began on its way; behind all it would be ten
        assert len(model.batches) < 2 * (PEOPLE - 1)  # the run goes on; the model does not count the first person
        told(steps)
