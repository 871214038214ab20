"""`fr bench evaluation`: photos of a data set measured through a server, and similarities reduced to error rates."""

from __future__ import annotations

import dataclasses
import json
import resource
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import numpy as np

from fr_api.v1 import evaluation_pb2, evaluation_pb2_grpc
from fr_bench.speed.child import Child, answer_requests
from fr_bench.speed.conditions import conditions
from fr_bench.speed.errors import BenchFailed
from fr_bench.speed.life import OnStep
from fr_bench.speed.report import machine_text
from fr_bench.speed.requests import connected
from fr_bench.speed.server_process import started_server
from fr_bench.speed.values import Conditions
from fr_bench.values import Bar
from fr_core.packs.cache import cache_folder
from fr_core.scoring.calibration import Provenance, fit_calibration
from fr_core.scoring.det import det_curve, equal_error_rate, threshold_table
from fr_datasets import lfw
from fr_datasets.links import Link, write_link

# Of all similarities, those of mated pairs.
_MATED = 10
_BARS_FROM = 10_000_000
_BARS = {
    "service_s": Bar(60.0, at_least=False),
    "det_s": Bar(5.0, at_least=False),
    "det_mib": Bar(1024.0, at_least=False),
}


@dataclass(frozen=True, slots=True)
class Reduced:
    """Similarities reduced to error rates, in a process of its own.

    Attributes:
        det_s: seconds to the whole DET curve, its equal error rate and the table of thresholds.
        det_mib: most memory of the process until then, the similarities included.
        calibration_s: seconds to a calibration, without intervals by people.
        calibration_mib: most memory until then.
    """

    det_s: float
    det_mib: float
    calibration_s: float
    calibration_mib: float


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was measured.

    Attributes:
        photos: of the data set, every one of them analysed.
        photos_s: seconds from the call to the last photo.
        service_s: seconds from the call to the report that is kept.
        n: similarities.
        reduced: they.
        machine: where and with what.
        command: "evaluation".
    """

    photos: int
    photos_s: float
    service_s: float
    n: int
    reduced: Reduced
    machine: Conditions
    command: str = "evaluation"


def bench_evaluation(testdata: Path, n: int, seed: int, on_step: OnStep) -> EvaluationReport:
    """Measure an identification of LFW on a server, then `n` random similarities; `on_step` is told what has been done.

    Raises:
        BenchFailed: the server does not start, or does not measure.
        DatasetError: LFW does not lie in the test data.
    """
    before, root = conditions(), testdata / "lfw"
    lfw.people(root)
    photos, photos_s, service_s = _served(root)
    on_step(f"{photos:,} photos through the server: {service_s:.1f} s")
    child = Child("the scoring", _score)
    try:
        reduced: Reduced = child.ask((n, seed))
    finally:
        child.close()
    on_step(f"{n:,} similarities to a DET curve: {reduced.det_s:.2f} s")
    return EvaluationReport(photos, photos_s, service_s, n, reduced, before)


def evaluation_json(report: EvaluationReport) -> str:
    """The report as one JSON document."""
    return json.dumps(dataclasses.asdict(report), indent=2) + "\n"


def evaluation_text(report: EvaluationReport) -> str:
    """The report for people."""
    rows = [
        (f"{report.photos:,} photos through the server", f"{report.photos_s:.1f} s"),
        ("from the call to the report that is kept", f"{report.service_s:.1f} s"),
        (f"{report.n:,} similarities to a DET curve", f"{report.reduced.det_s:.2f} s"),
        ("most memory for that", f"{report.reduced.det_mib:,.0f} MiB"),
        ("the same similarities to a calibration", f"{report.reduced.calibration_s:.2f} s"),
        ("most memory for that", f"{report.reduced.calibration_mib:,.0f} MiB"),
    ]
    held = [
        f"{name} {value:,.2f}, bar <= {bar.limit:,.0f}: {'ok' if bar.met(value) else 'MISSED'}"
        for name, value, bar in _bars(report)
    ]
    lines = [*machine_text(report.machine), *(f"{name:44} {value}" for name, value in rows), *held]
    return "".join(f"{line}\n" for line in lines)


def missed(report: EvaluationReport) -> bool:
    """Whether a figure misses its bar; those of fewer similarities have none."""
    return not all(bar.met(value) for _, value, bar in _bars(report))


def _bars(report: EvaluationReport) -> list[tuple[str, float, Bar]]:
    values = {"service_s": report.service_s}
    if report.n >= _BARS_FROM:
        values |= {"det_s": report.reduced.det_s, "det_mib": report.reduced.det_mib}
    return [(name, value, _BARS[name]) for name, value in values.items()]


def _served(root: Path) -> tuple[int, float, float]:
    """How many photos there were, and seconds to the last of them and to the report."""
    with tempfile.TemporaryDirectory(prefix="fr-bench-evaluation-") as home:
        (Path(home) / "models").symlink_to(cache_folder().resolve(), target_is_directory=True)
        write_link("lfw", Link(root.resolve(), partial=True), Path(home) / "datasets")
        with started_server((), {"FR_HOME": home}) as server, connected(server.address) as (channel, _):
            began = time.perf_counter()
            photos, photos_s = 0, 0.0
            request = evaluation_pb2.RunIdentificationRequest(dataset="lfw")
            try:
                for step in evaluation_pb2_grpc.EvaluationServiceStub(channel).RunIdentification(request):
                    if step.progress.photos > photos:
                        photos, photos_s = step.progress.photos, time.perf_counter() - began
            except grpc.RpcError as error:
                raise BenchFailed(f"The server did not measure: {error.details()}") from error
            return photos, photos_s, time.perf_counter() - began


def _score(connection: Connection) -> None:
    """A process that reduces similarities; a request is (how many, seed)."""
    answer_requests(connection, lambda request: _reduced(*request))


def _reduced(n: int, seed: int) -> Reduced:
    chance = np.random.default_rng(seed)
    mated = chance.normal(0.6, 0.12, n // _MATED).clip(-1, 1)
    nonmated = chance.normal(0.0, 0.07, n - len(mated)).clip(-1, 1)
    began = time.perf_counter()
    equal_error_rate(det_curve(mated, nonmated))
    threshold_table(mated, nonmated)
    det_s, det_mib = time.perf_counter() - began, _peak_mib()
    source = Provenance("random", "0" * 64, None, "none", date.today(), {})
    began = time.perf_counter()
    fit_calibration(mated, nonmated, source)
    return Reduced(det_s, det_mib, time.perf_counter() - began, _peak_mib())


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
