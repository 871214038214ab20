"""Galleries over the wire: searches, streams, changes, erasure and ends, by both clients and by the commands."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import gallery_pb2
from fr_client import KEEP, AsyncClient, Client, Exported, FrApiError
from support.scripted import Kind, asked
from support.servers import Fr, Running, photo, running


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
    code, out, error = fr(
        "gallery", "create", "g", "--keep-photos", "--retention-days", "90", "--expires", "2099-01-01"
    )
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
    assert "1 candidates have no photo in the picture: name the enrolled folder with --candidate-photos" in error
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
    assert "1 templates, 1 photos" in out
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
    request = gallery_pb2.UpdateGalleryRequest(
        gallery_id="g", display_name="B", update_mask=FieldMask(paths=["display_name", "display_name"])
    )
    changed = server.gallery.UpdateGallery(request).gallery
    assert (changed.display_name, changed.expire_time.ToDatetime(UTC), changed.version) == ("B", END, 3)
    assert changed.retention.ToTimedelta() == timedelta(days=7)
    request = gallery_pb2.UpdateGalleryRequest(
        gallery_id="g", display_name="C", update_mask=FieldMask(paths=["expire_time", "retention"])
    )
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
            get(lambda one, dated=dated: getattr(one, dated)("other", expires=datetime(2099, 1, 1)))

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
