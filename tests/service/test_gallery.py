"""Galleries over the wire: searches, streams, changes, erasure, duplicates; by both clients and the commands."""

import asyncio
import csv
import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import KEEP, AsyncClient, Client, Exported, FrApiError
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.scan import blocks as scan
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, Embedding
from support.faults import until
from support.scripted import Kind, asked
from support.servers import Fr, Running, photo, refusal_of, running


@pytest.fixture
def blank(server: Running) -> Client:
    return Client(server.address)


def test_a_stranger_gets_candidates_and_no_decision_and_the_threshold_counts_at_equality(blank: Client) -> None:
    blank.create_gallery("g")
    assert not blank.search("g", photo(1)).results[0].candidates
    blank.enrol("g", "s1", photo(1))
    (result,) = blank.search("g", photo(99)).results
    assert result.decision == gallery_pb2.SEARCH_DECISION_NO_CANDIDATE
    assert not result.candidates[0].above_threshold
    assert not blank.search("g", photo(99), only_above_threshold=True).results[0].candidates
    similarity = blank.search("g", photo(2)).results[0].candidates[0].similarity
    assert blank.search("g", photo(2), threshold=similarity).results[0].candidates[0].above_threshold
    second = blank.enrol("g", "s1", photo(2)).template_id  # of several templates of a subject the best counts
    assert [one.template_id for one in blank.search("g", photo(2)).results[0].candidates] == [second]


def test_what_was_enrolled_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server, Client(server.address) as client:
        client.create_gallery("g")
        template_id = client.enrol("g", "s1", photo(1)).template_id
    with running(tmp_path) as server, Client(server.address) as client:
        candidate = client.search("g", photo(1)).results[0].candidates[0]
    assert (candidate.subject_id, candidate.template_id) == ("s1", template_id)


def fill(blank: Client) -> None:
    blank.create_gallery("g", keeps_photos=True)
    for blue in range(6):
        blank.enrol("g", f"s{blue}", photo(blue), metadata={"list": "wanted" if blue % 2 else "staff"})


def subjects(answer: gallery_pb2.SearchResponse) -> set[str]:
    return {candidate.subject_id for candidate in answer.results[0].candidates}


def test_a_search_can_be_kept_to_some_subjects_and_says_how_it_was_made(blank: Client) -> None:
    fill(blank)
    answer = blank.search("g", photo(1), metadata={"list": "wanted"})
    assert subjects(answer) == {"s1", "s3", "s5"}
    assert (answer.searched_templates, answer.exhaustive) == (3, True)
    assert answer.fusion == gallery_pb2.SCORE_FUSION_MAX
    answer = blank.search("g", photo(1), subject_ids=["s1", "s2"], fusion="mean-template")
    assert subjects(answer) == {"s1", "s2"}
    assert answer.fusion == gallery_pb2.SCORE_FUSION_MEAN_TEMPLATE


def test_a_template_is_read_with_its_photo_until_its_subject_is_erased(blank: Client) -> None:
    fill(blank)
    (template,) = blank.get_subject("g", "s2").templates
    kept = blank.get_template("g", template.template_id, embedding=True, photo=True)
    assert (kept.subject_id, kept.photo.data, len(kept.embedding.vector)) == ("s2", photo(2), 64)
    erased = blank.erase_subject("g", "s2")
    assert (erased.erased_templates, erased.erased_photos, len(erased.receipt_id), erased.scrubbed) == (1, 1, 16, True)
    assert "s2" not in subjects(blank.search("g", photo(2)))


def test_the_commands(fr: Fr, blank: Client, tmp_path: Path) -> None:
    ends = ("--retention-days", "90", "--expires", "2099-01-01")
    code, out, error = fr("gallery", "create", "g", "--keep-photos", *ends)
    assert code == 0, error
    assert "2099-01-01" in out
    assert "90 days" in out
    assert fr("gallery", "create", "x", "--retention-days", "1e9")[0] == 2
    for blue in range(3):
        blank.enrol("g", f"s{blue}", photo(blue), display_name="Jane Roe", metadata={"list": "wanted"})
    (tmp_path / "probe.png").write_bytes(photo(1))
    code, out, _ = fr("search", "g", tmp_path / "probe.png", "--where", "list=wanted", "--fusion", "mean-top-2")
    assert code == 0
    assert "3 templates searched, each compared exactly; a subject counts by the mean of its best two." in out
    assert "Searched only: list=wanted." in out
    assert fr("search", "g", tmp_path / "probe.png", "--where", "list")[0] == 2
    assert fr("search", "g", tmp_path / "probe.png", "--where", "list=a", "--where", "list=b")[0] == 2
    code, out, _ = fr("search", "g", tmp_path / "probe.png", "--where", "list=nobody")
    assert code == 0
    assert "Nobody was searched" in out
    code, _, error = fr("search", "g", tmp_path / "probe.png", "--draw", tmp_path / "leads.png")
    assert code == 0
    assert "without a photo" not in error  # those that the gallery keeps are drawn
    assert (tmp_path / "leads.png").is_file()
    blank.create_gallery("lean")
    blank.enrol("lean", "s", photo(1))
    _, _, error = fr("search", "lean", tmp_path / "probe.png", "--draw", tmp_path / "leads.png")
    assert "probe.png lacks photos of s: name the enrolled folder with --candidate-photos" in error
    assert (tmp_path / "leads.png").stat().st_mode & 0o777 == 0o600
    code, out, _ = fr("search", "g", tmp_path / "probe.png", "--subject", "s2", "--json")
    assert [one["subject_id"] for one in json.loads(out)["results"][0]["candidates"]] == ["s2"]

    archive = tmp_path / "s1.zip"
    code, out, error = fr("subject", "export", "g", "s1", archive)
    assert code == 0, error
    assert_export(archive, "s1")
    assert fr("subject", "export", "g", "s1", archive)[0] == 1  # it is there
    assert fr("subject", "export", "g", "nobody", tmp_path / "n.zip")[0] == 1
    assert not (tmp_path / "n.zip").exists()

    code, out, _ = fr("subject", "erase", "g", "s1", "--yes")
    assert code == 0
    assert "1 template, 1 photo." in out
    assert fr("gallery", "purge", "--dry-run") == (0, "Nothing has expired.\n", "")


def assert_export(archive: Path, subject_id: str) -> None:
    with zipfile.ZipFile(archive) as held:
        subject: dict[str, Any] = json.loads(held.read("subject.json"))
        (number,) = [template["template_id"] for template in subject["templates"]]
        template = json.loads(held.read(f"templates/{number}.json"))
        assert held.read(f"photos/{number}.png") == photo(1)
    told = [subject[name] for name in ("subject_id", "display_name", "metadata")]
    assert told == [subject_id, "Jane Roe", {"list": "wanted"}]
    assert len(template["embedding"]["vector"]) == 64
    assert "photo" not in template


END = datetime(2099, 1, 2, tzinfo=UTC)


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    """Of a server with one subject in a gallery that ends, deletes its templates, and keeps photos."""
    with Client(server.address, timeout_s=20) as made:
        made.create_gallery("g", display_name="A", expires=END, retention=timedelta(days=7), keeps_photos=True)
        made.enrol("g", "s", photo(1), display_name="Jane Roe", metadata={"list": "wanted"})
        yield made


@pytest.mark.usefixtures("client")
def test_only_what_the_mask_names_is_changed_whatever_else_is_sent(server: Running) -> None:
    mask = FieldMask(paths=["display_name", "display_name"])
    request = gallery_pb2.UpdateGalleryRequest(gallery_id="g", display_name="B", update_mask=mask)
    changed = server.gallery.UpdateGallery(request).gallery
    assert (changed.display_name, changed.expire_time.ToDatetime(UTC), changed.version) == ("B", END, 3)
    assert changed.retention.ToTimedelta() == timedelta(days=7)
    mask = FieldMask(paths=["expire_time", "retention"])
    request = gallery_pb2.UpdateGalleryRequest(gallery_id="g", display_name="C", update_mask=mask)
    changed = server.gallery.UpdateGallery(request).gallery
    assert (changed.display_name, changed.keeps_photos, changed.version) == ("B", True, 4)
    assert not changed.HasField("expire_time")
    assert not changed.HasField("retention")
    assert server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="g")).gallery == changed


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_keeps_what_is_not_given(client: Client, tmp_path: Path, kind: Kind) -> None:
    def get(ask: Callable[[Any], Any]) -> Any:
        return asked(kind, client.target, ask, timeout_s=20)

    archive = tmp_path / "s.zip"
    assert get(lambda one: one.export_subject("g", "s", archive)) == Exported(templates=1, photos=1)
    assert_export(archive, "s")
    with pytest.raises(FileExistsError):
        get(lambda one: one.export_subject("g", "s", archive))
    with pytest.raises(FrApiError):
        get(lambda one: one.export_subject("g", "nobody", tmp_path / "n.zip"))
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")] == ["s.zip"]

    changed = get(lambda one: one.update_gallery("g", retention=timedelta(days=1)))
    assert (changed.display_name, changed.expire_time.ToDatetime(UTC)) == ("A", END)
    assert changed.retention.ToTimedelta() == timedelta(days=1)
    changed = get(lambda one: one.update_gallery("g", display_name="", expires=None, retention=None))
    assert (changed.display_name, changed.HasField("expire_time"), changed.HasField("retention")) == ("", False, False)
    assert get(lambda one: one.update_gallery("g", expires=END)).expire_time.ToDatetime(UTC) == END
    with pytest.raises(FrApiError, match="names no field") as refused:
        get(lambda one: one.update_gallery("g", expires=KEEP))
    assert refused.value.reason == "INVALID_FIELD"
    for dated in ("update_gallery", "create_gallery"):
        with pytest.raises(ValueError, match="time zone"):
            get(lambda one, dated=dated: getattr(one, dated)("other", expires=datetime(2099, 1, 1)))  # type: ignore[misc]

    subject = get(lambda one: one.update_subject("g", "s", display_name="Mary"))
    assert (dict(subject.metadata), len(subject.templates)) == ({"list": "wanted"}, 1)
    subject = get(lambda one: one.update_subject("g", "s", metadata={}))
    assert (subject.display_name, dict(subject.metadata)) == ("Mary", {})
    assert get(lambda one: one.get_subject("g", "s")) == subject


def test_an_export_that_is_cancelled_leaves_nothing(client: Client, tmp_path: Path) -> None:
    client.enrol("g", "s", photo(2))

    async def run() -> None:
        async with AsyncClient(client.target, timeout_s=20) as other:
            asked = asyncio.Event()
            read = other.get_template

            async def slow(gallery_id: str, template_id: int, **more: Any) -> gallery_pb2.GetTemplateResponse:
                asked.set()
                await asyncio.sleep(0.05)
                return await read(gallery_id, template_id, **more)

            other.get_template = slow  # type: ignore[method-assign]
            export = asyncio.create_task(other.export_subject("g", "s", tmp_path / "s.zip"))
            await asked.wait()
            export.cancel()
            with pytest.raises(asyncio.CancelledError):
                await export
            await asyncio.sleep(0.3)

    asyncio.run(run())
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")]


def test_a_gallery_is_changed_by_its_command(fr: Fr, client: Client) -> None:
    code, out, error = fr("gallery", "update", "g", "--name", "B", "--retention-days", "1.5")
    assert code == 0, error
    assert ["B"] in [line.split()[1:] for line in out.splitlines() if line.startswith("Name")]
    assert "1.5 days" in out
    assert "2099-01-02T00:00:00Z" in out
    code, out, _ = fr("gallery", "update", "g", "--no-expiry", "--no-retention", "--json")
    assert code == 0
    assert {"expire_time", "retention"}.isdisjoint(json.loads(out))
    assert client.get_gallery("g").display_name == "B"
    assert fr("gallery", "update", "g", "--expires", "2098-01-01")[0] == 0
    assert client.get_gallery("g").expire_time.ToDatetime() == datetime(2098, 1, 1)
    before = client.get_gallery("g")
    for wrong in (
        (),
        ("--expires", "2099-01-01", "--no-expiry"),
        ("--retention-days", "1", "--no-retention"),
        ("--retention-days", "0"),
        ("--expires", "soon"),
    ):
        assert fr("gallery", "update", "g", *wrong)[0] == 2, wrong
    code, _, error = fr("gallery", "update", "g", "--expires", "2001-01-01")
    assert (code, error.partition(":")[0]) == (1, "INVALID_FIELD")
    assert fr("gallery", "update", "nowhere", "--name", "x")[0] == 1
    assert client.get_gallery("g") == before


def test_a_subject_is_changed_by_its_command(fr: Fr, client: Client) -> None:
    code, out, error = fr("subject", "update", "g", "s", "--metadata", "unit=maths", "--metadata", "note=a=b")
    assert code == 0, error
    assert "maths" in out
    subject = client.get_subject("g", "s")
    assert (subject.display_name, dict(subject.metadata)) == ("Jane Roe", {"unit": "maths", "note": "a=b"})
    code, out, _ = fr("subject", "update", "g", "s", "--name", "", "--no-metadata", "--json")
    assert code == 0
    assert (json.loads(out)["display_name"], json.loads(out)["metadata"]) == ("", {})
    before = client.get_subject("g", "s")
    for wrong in (
        (),
        ("--metadata", "unit"),
        ("--metadata", "a=1", "--metadata", "a=2"),
        ("--metadata", "a=1", "--no-metadata"),
    ):
        assert fr("subject", "update", "g", "s", *wrong)[0] == 2, wrong
    assert fr("subject", "update", "g", "nobody", "--name", "x")[0] == 1
    assert client.get_subject("g", "s") == before


def test_an_archive_that_cannot_be_written_is_told_in_a_sentence(fr: Fr, client: Client, tmp_path: Path) -> None:
    assert client.target
    for target, reason in ((tmp_path / "no" / "s.zip", "FILE_UNWRITABLE"), (tmp_path, "FILE_EXISTS")):
        code, out, _ = fr("subject", "export", "g", "s", target, "--json")
        assert (code, json.loads(out)["error"]["reason"]) == (1, reason)


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


def enrol_all(galleries: Galleries, persons: int = 10, photos: int = 2) -> None:
    for n, vector in enumerate(vectors(persons, photos), start=1):
        galleries.enrol("staff", Enrolment(f"photo {n}", NewTemplate(Embedding(vector, NULL_MODEL))))


@pytest.fixture
def filled(server: Running) -> Running:
    """Ten persons, each of whom is two subjects: n and n + 10."""
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
    assert isinstance(server.app.galleries, Galleries)
    enrol_all(server.app.galleries)
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
    request.threshold = -1.0
    assert len(pairs_of(list(filled.gallery.FindDuplicates(request)))) == 190


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


def test_refusals_of_scans_have_their_reasons(filled: Running) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"gallery_id": "nowhere", "threshold": 0.5}, "UNKNOWN_GALLERY"),
        ({"gallery_id": "nowhere"}, "UNKNOWN_GALLERY"),
        ({"gallery_id": "staff", "threshold": 1.5}, "INVALID_THRESHOLD"),
    ]
    for sent, reason in refused:
        for answers in (
            filled.gallery.FindDuplicates(gallery_pb2.FindDuplicatesRequest(**sent)),
            filled.gallery.ClusterGallery(gallery_pb2.ClusterGalleryRequest(**sent)),
        ):
            assert refusal_of(lambda answers=answers: answers).info.reason == reason  # type: ignore[misc]
            assert "x-request-id" in dict(answers.trailing_metadata() or ())


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
def test_scans_take_turns_and_hold_one_thread(filled: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, free=0)
    with Client(filled.address) as client:
        request = gallery_pb2.FindDuplicatesRequest(gallery_id="staff")
        scans = [filled.gallery.FindDuplicates(request) for _ in range(40)]  # more than there are threads for galleries
        until(lambda: gate.steps == 1)
        time.sleep(0.3)
        assert gate.steps == 1
        model = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
        probe = common_pb2.Embedding(vector=vectors(10, 2)[0].tolist(), model=model)
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
    request = gallery_pb2.FindDuplicatesRequest(gallery_id="staff")
    assert refusal_of(lambda: server.gallery.FindDuplicates(request)).info.reason == "OVERLOADED"
    with Client(server.address) as client:
        scan = client.find_duplicates("staff")
        threading.Timer(0.5, held.cancel).start()
        assert len(list(scan)) == 2  # begun anew until there was room


def _never() -> Any:
    threading.Event().wait(3)
    yield recognition_pb2.StreamEmbedRequest()


@pytest.mark.usefixtures("filled")
def test_the_command_prints_pairs_then_the_subjects(fr: Fr) -> None:
    code, out, error = fr("gallery", "duplicate", "list", "staff")
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
    code, out, _ = fr("gallery", "duplicate", "list", "staff", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert sum("pair" in answer for answer in answers) == 10
    assert answers[-1]["progress"]["searched"] == "20"
    code, out, error = fr("gallery", "duplicate", "list", "nowhere", "--json")
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
