"""Over the wire: filters, fusion, photos that are kept, erasure, retention and expiry, and the commands for them."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from fr_api.v1 import gallery_pb2
from fr_client import Client
from support.servers import Fr, Running, ended, photo


@pytest.fixture
def client(server: Running) -> Client:
    return Client(server.address)


def fill(client: Client) -> None:
    client.create_gallery("g", keeps_photos=True)
    for blue in range(6):
        client.enrol("g", f"s{blue}", photo(blue), metadata={"list": "wanted" if blue % 2 else "staff"})


def subjects(answer: gallery_pb2.SearchResponse) -> set[str]:
    return {candidate.subject_id for candidate in answer.results[0].candidates}


def test_a_search_can_be_kept_to_some_subjects_and_says_how_it_was_made(client: Client) -> None:
    fill(client)
    answer = client.search("g", photo(1), metadata={"list": "wanted"})
    assert subjects(answer) == {"s1", "s3", "s5"}
    assert (answer.searched_templates, answer.exhaustive) == (3, True)
    assert answer.fusion == gallery_pb2.SCORE_FUSION_MAX
    answer = client.search("g", photo(1), subject_ids=["s1", "s2"], fusion="mean-template")
    assert subjects(answer) == {"s1", "s2"}
    assert answer.fusion == gallery_pb2.SCORE_FUSION_MEAN_TEMPLATE


def test_a_misspelt_filter_is_refused(server: Running, client: Client) -> None:
    fill(client)
    for among in ({"metadata": {"lst": "wanted"}}, {"subject_ids": ["nobody"]}, {}):
        request = gallery_pb2.SearchRequest(gallery_id="g", filter=gallery_pb2.SubjectFilter(**among))
        request.probe.image.data = photo(1)
        with pytest.raises(grpc.RpcError) as refused:
            server.gallery.Search(request)
        assert ended(refused.value).info.reason in ("INVALID_FILTER", "UNKNOWN_SUBJECT")
    with pytest.raises(ValueError, match="nobody to search"):
        client.search("g", photo(1), subject_ids=[])


def test_an_unknown_fusion_is_refused(server: Running, client: Client) -> None:
    fill(client)
    request = gallery_pb2.SearchRequest(gallery_id="g", fusion=9)  # type: ignore[arg-type]
    request.probe.image.data = photo(1)
    with pytest.raises(grpc.RpcError) as refused:
        server.gallery.Search(request)
    assert ended(refused.value).info.reason == "INVALID_FIELD"


def test_a_template_is_read_with_its_photo_until_its_subject_is_erased(client: Client) -> None:
    fill(client)
    (template,) = client.get_subject("g", "s2").templates
    kept = client.get_template("g", template.template_id, embedding=True, photo=True)
    assert (kept.subject_id, kept.photo.data, len(kept.embedding.vector)) == ("s2", photo(2), 64)
    erased = client.erase_subject("g", "s2")
    assert (erased.erased_templates, erased.erased_photos, len(erased.receipt_id), erased.scrubbed) == (1, 1, 16, True)
    assert "s2" not in subjects(client.search("g", photo(2)))


def test_a_gallery_has_an_end_and_its_templates_too(client: Client) -> None:
    end = datetime.now(UTC) + timedelta(days=30)
    made = client.create_gallery("short", expires=end, retention=timedelta(days=7))
    assert made.expire_time.ToDatetime(UTC) == end
    assert made.retention.ToTimedelta() == timedelta(days=7)
    assert not made.keeps_photos
    client.enrol("short", "s", photo(1))
    assert not client.purge_expired(dry_run=True).galleries
    with pytest.raises(ValueError, match="time zone"):
        client.create_gallery("other", expires=datetime(2030, 1, 1))


def test_the_commands(fr: Fr, client: Client, tmp_path: Path) -> None:
    code, out, error = fr(
        "gallery", "create", "g", "--keep-photos", "--retention-days", "90", "--expires", "2099-01-01"
    )
    assert code == 0, error
    assert "2099-01-01" in out
    assert "90 days" in out
    assert fr("gallery", "create", "x", "--retention-days", "1e9")[0] == 2
    for blue in range(3):
        client.enrol("g", f"s{blue}", photo(blue), display_name="Jane Roe", metadata={"list": "wanted"})
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
    client.create_gallery("lean")
    client.enrol("lean", "s", photo(1))
    _, _, error = fr("search", "lean", tmp_path / "probe.png", "--draw", tmp_path / "leads.png")
    assert "1 candidates have no photo in the picture: name the enrolled folder with --candidate-photos" in error
    code, out, _ = fr("search", "g", tmp_path / "probe.png", "--subject", "s2", "--json")
    assert [one["subject_id"] for one in json.loads(out)["results"][0]["candidates"]] == ["s2"]

    archive = tmp_path / "s1.zip"
    code, out, error = fr("subject", "export", "g", "s1", archive)
    assert code == 0, error
    assert_export(archive)
    assert fr("subject", "export", "g", "s1", archive)[0] == 1  # it is there
    assert fr("subject", "export", "g", "nobody", tmp_path / "n.zip")[0] == 1
    assert not (tmp_path / "n.zip").exists()

    code, out, _ = fr("subject", "erase", "g", "s1", "--yes")
    assert code == 0
    assert "1 templates, 1 photos" in out
    assert fr("gallery", "purge", "--dry-run") == (0, "Nothing has expired.\n", "")


def assert_export(archive: Path) -> None:
    with zipfile.ZipFile(archive) as held:
        subject: dict[str, Any] = json.loads(held.read("subject.json"))
        (number,) = [template["template_id"] for template in subject["templates"]]
        template = json.loads(held.read(f"templates/{number}.json"))
        assert held.read(f"photos/{number}.png") == photo(1)
    assert (subject["subject_id"], subject["display_name"], subject["metadata"]) == (
        "s1",
        "Jane Roe",
        {"list": "wanted"},
    )
    assert len(template["embedding"]["vector"]) == 64
    assert "photo" not in template
