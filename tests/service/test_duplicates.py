"""FindDuplicates and ClusterGallery over the wire: both clients, the command line, front-ends, the ends of a stream."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import Client
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.scan import blocks as scan
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, Embedding
from support.faults import until
from support.scripted import asked
from support.servers import Fr, Running, ended, refusal_of

D = 64


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_AT_ONCE", 4)


def vectors(persons: int, photos: int) -> F32:
    """Photos of persons who take turns; photos of one are alike, those of two are not."""
    rng = np.random.default_rng(9)
    centres = np.tile(np.linalg.qr(rng.normal(size=(D, D)))[0][:persons], (photos, 1))
    spread = centres + rng.normal(size=centres.shape) * 0.05
    scaled: F32 = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def fill(galleries: Galleries, persons: int = 10, photos: int = 2) -> None:
    for n, vector in enumerate(vectors(persons, photos), start=1):
        galleries.enrol("staff", Enrolment(f"photo {n}", NewTemplate(Embedding(vector, NULL_MODEL))))


@pytest.fixture
def filled(server: Running) -> Running:
    """Ten persons, each of whom is two subjects: n and n + 10."""
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
    assert isinstance(server.app.galleries, Galleries)
    fill(server.app.galleries)
    return server


def pairs_of(answers: list[gallery_pb2.FindDuplicatesResponse]) -> set[tuple[str, int, str, int]]:
    pairs = [one.pair for one in answers if one.HasField("pair")]
    told = {(pair.subject_a, pair.template_a, pair.subject_b, pair.template_b) for pair in pairs}
    assert len(told) == len(pairs)
    return told


EXPECTED = {(f"photo {n}", n, f"photo {n + 10}", n + 10) for n in range(1, 11)}


def of_both(filled: Running, call: Callable[[Any], Any]) -> list[list[Any]]:
    return [asked(kind, filled.address, call) for kind in ("sync", "async")]


@pytest.mark.usefixtures("small_blocks")
def test_both_clients_get_every_pair_once_and_the_progress(filled: Running) -> None:
    for answers in of_both(filled, lambda client: client.find_duplicates("staff")):
        assert pairs_of(answers) == EXPECTED
        told = [one.progress for one in answers if one.HasField("progress")]
        assert [(one.searched, one.total) for one in told] == [(n, 20) for n in range(0, 24, 4)]
        assert answers[0].HasField("progress")
        assert answers[-1].HasField("progress")
        assert {one.gallery_version for one in told} == {21}
        assert {one.threshold for one in told} == {0.5}
        assert all(one.exhaustive for one in told)
        assert "examiner" in told[0].notice


def test_a_threshold_that_is_sent_is_applied(filled: Running) -> None:
    request = gallery_pb2.FindDuplicatesRequest(gallery_id="staff", threshold=1.0)
    assert not pairs_of(list(filled.gallery.FindDuplicates(request)))
    assert len(pairs_of(list(filled.gallery.FindDuplicates(
        gallery_pb2.FindDuplicatesRequest(gallery_id="staff", threshold=-1.0)
    )))) == 190  # fmt: skip


def test_both_clients_get_every_cluster(filled: Running) -> None:
    for answers in of_both(filled, lambda client: client.cluster_gallery("staff")):
        clusters = [one.cluster for one in answers if one.HasField("cluster")]
        assert [cluster.number for cluster in clusters] == list(range(1, 11))
        members = {tuple((m.template_id, m.subject_id) for m in cluster.members) for cluster in clusters}
        assert members == {((n, f"photo {n}"), (n + 10, f"photo {n + 10}")) for n in range(1, 11)}
        assert all(cluster.size == 2 and 0.5 < cluster.cohesion < 1.0 for cluster in clusters)
        assert all(0.9 < member.similarity <= 1.0 for cluster in clusters for member in cluster.members)


def test_a_large_cluster_comes_in_parts(filled: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_server.rpc.services.scans._MEMBERS", 3)
    request = gallery_pb2.ClusterGalleryRequest(gallery_id="staff", threshold=0.0)
    clusters = [one.cluster for one in filled.gallery.ClusterGallery(request) if one.HasField("cluster")]
    templates = Counter(member.template_id for cluster in clusters for member in cluster.members)
    assert templates == Counter(range(1, 21))
    for number in {cluster.number for cluster in clusters}:
        parts = [cluster for cluster in clusters if cluster.number == number]
        assert {part.size for part in parts} == {sum(len(part.members) for part in parts)}
        assert all(len(part.members) == 3 for part in parts[:-1])


@pytest.mark.parametrize(
    ("gallery_id", "threshold", "reason"),
    [("nowhere", 0.5, "UNKNOWN_GALLERY"), ("nowhere", None, "UNKNOWN_GALLERY"), ("staff", 1.5, "INVALID_THRESHOLD")],
)
def test_refusals_have_their_reasons(filled: Running, gallery_id: str, threshold: float | None, reason: str) -> None:
    for answers in (
        filled.gallery.FindDuplicates(gallery_pb2.FindDuplicatesRequest(gallery_id=gallery_id, threshold=threshold)),
        filled.gallery.ClusterGallery(gallery_pb2.ClusterGalleryRequest(gallery_id=gallery_id, threshold=threshold)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list(answers)
        assert ended(caught.value).info.reason == reason
        assert any(item.key == "x-request-id" for item in caught.value.trailing_metadata())


class Gate:
    """Counts the steps of scans; those beyond the first `free` wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.steps = 0
        self.open = threading.Event()
        step = Galleries.duplicates_after

        def gated(*arguments: Any) -> Any:
            self.steps += 1
            assert self.steps <= free or self.open.wait(20)
            return step(*arguments)

        monkeypatch.setattr(Galleries, "duplicates_after", gated)


@pytest.mark.usefixtures("small_blocks")
def test_a_cancelled_scan_takes_no_further_step(filled: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, free=1)
    with Client(filled.address) as client:
        answers = client.find_duplicates("staff")
        assert next(answers).progress.total == 20
        until(lambda: gate.steps == 2)
        answers.close()  # type: ignore[attr-defined]
        until(filled.app._admission.idle.is_set)
        gate.open.set()
        time.sleep(0.2)
        assert gate.steps == 2
        assert pairs_of(list(client.find_duplicates("staff"))) == EXPECTED


@pytest.mark.usefixtures("small_blocks")
def test_one_scan_takes_a_step_at_a_time_and_others_hold_no_thread(
    filled: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, free=0)
    with Client(filled.address) as client:
        request = gallery_pb2.FindDuplicatesRequest(gallery_id="staff")
        scans = [filled.gallery.FindDuplicates(request) for _ in range(40)]  # more than there are threads for galleries
        until(lambda: gate.steps == 1)
        time.sleep(0.3)
        assert gate.steps == 1
        probe = common_pb2.Embedding(
            vector=vectors(10, 2)[0].tolist(),
            model=common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256),
        )
        found = client.search("staff", probe)
        assert found.results[0].candidates[0].subject_id == "photo 1"
        gate.open.set()
        for answers in scans:
            assert pairs_of(list(answers)) == EXPECTED


@pytest.mark.usefixtures("small_blocks")
def test_a_server_that_stops_ends_a_scan_with_its_reason(filled: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, free=1)
    answers = filled.gallery.FindDuplicates(gallery_pb2.FindDuplicatesRequest(gallery_id="staff"))
    next(answers)
    until(lambda: gate.steps == 2)
    stopping = filled.stop()
    until(lambda: filled.app._work is not None and filled.app._work.draining.is_set())
    gate.open.set()
    assert refusal_of(lambda: answers).info.reason == "SHUTTING_DOWN"
    stopping.result(10)


def test_scans_are_bulk_work_and_count_as_calls(start_server: Callable[..., Running]) -> None:
    server = start_server(server={"max_in_flight": 1})
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
    held = server.recognition.StreamEmbed(_never())
    until(lambda: not server.app._admission.idle.is_set())
    assert (
        refusal_of(
            lambda: server.gallery.FindDuplicates(gallery_pb2.FindDuplicatesRequest(gallery_id="staff"))
        ).info.reason
        == "OVERLOADED"
    )
    with Client(server.address) as client:
        scan = client.find_duplicates("staff")
        threading.Timer(0.5, held.cancel).start()
        assert len(list(scan)) == 2  # begun anew until there was room


def _never() -> Any:
    threading.Event().wait(3)
    yield recognition_pb2.StreamEmbedRequest()


# --- the command line ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_the_command_prints_pairs_then_the_subjects(fr: Fr) -> None:
    code, out, error = fr("gallery", "duplicates", "staff")
    assert code == 0, error
    lines = out.splitlines()
    assert sum("photo 1 (1)" in line and "photo 11 (11)" in line for line in lines) == 1
    assert "10 pairs of subjects reach 0.5000 among 20 templates." in lines
    assert "Pairs that reach the threshold may show different people" in out
    table = [line.split()[0] for line in lines if line.lstrip().startswith("0.") and "(" not in line]
    assert len(table) == 10
    assert table == sorted(table, reverse=True)


@pytest.mark.usefixtures("filled")
def test_the_command_prints_json_lines(fr: Fr) -> None:
    code, out, _ = fr("gallery", "duplicates", "staff", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert sum("pair" in answer for answer in answers) == 10
    assert answers[-1]["progress"]["searched"] == "20"
    code, out, error = fr("gallery", "duplicates", "nowhere", "--json")
    assert (code, json.loads(out)["error"]["reason"]) == (1, "UNKNOWN_GALLERY")
    assert error.startswith("UNKNOWN_GALLERY: ")


@pytest.mark.usefixtures("filled")
def test_the_command_writes_clusters(fr: Fr, tmp_path: Path) -> None:
    target = tmp_path / "clusters.csv"
    code, out, error = fr("gallery", "cluster", "staff", "--csv", target)
    assert code == 0, error
    assert "10 clusters of several templates, 0 templates without a similar one, at threshold 0.5000." in out
    assert "A cluster is a lead, not an identity." in out
    assert "Any two of a cluster may show different people" in out
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["cluster", "size", "cohesion", "template_id", "subject_id", "similarity"]
    assert {(row["cluster"], row["subject_id"]) for row in rows} == {
        (str(n), f"photo {n + more}") for n in range(1, 11) for more in (0, 10)
    }
    code, _, error = fr("gallery", "cluster", "staff", "--csv", tmp_path)
    assert (code, error.splitlines()[-1].partition(":")[0]) == (1, "FILE_UNWRITABLE")


# --- front-ends ------------------------------------------------------------------------------------------------
