"""Both Python clients, and clients of other languages, against a real server with the null models."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client import Client, EmbedItem, EnrolItem, FrApiError, RetryPolicy, SearchItem, reason_of
from fr_client.cli.main import build
from fr_core.embed.null import NULL_MODEL
from fr_core.engine import Engine
from fr_core.scoring.calibration_json import to_json
from fr_server.config import Config
from support.commands import REPOSITORY, blocks, page, shell
from support.engines import calibration
from support.photos import link_lfw
from support.scripted import Kind, asked
from support.servers import Running, null_engine, photo

GREY = photo()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_whole_way_of_a_client(server: Running, tmp_path: Path, kind: Kind) -> None:
    def get(ask: Callable[[Any], Any]) -> Any:
        return asked(kind, server.address, ask, timeout_s=20)

    file = tmp_path / "one.png"
    file.write_bytes(photo(1))
    info = get(lambda client: client.server_info())
    assert (info.model.id.pack, info.model.embedding_size) == ("null", 64)
    assert len(get(lambda client: client.detect(photo(1, 2))).faces) == 2
    (embedded,) = get(lambda client: client.embed(file)).faces
    assert get(lambda client: client.compare(file, embedded.embedding)).similarity == pytest.approx(1.0)
    assert get(lambda client: client.compare(photo(1), photo(2), threshold=-1.0)).above_threshold

    gallery = get(lambda client: client.create_gallery("staff", display_name="The staff"))
    assert (gallery.gallery_id, gallery.model.pack) == ("staff", "null")
    named: dict[str, Any] = {"display_name": "Ada", "metadata": {"unit": "maths"}}
    assert get(lambda client: client.enrol("staff", "ada", file, **named)).subject_created
    get(lambda client: client.enrol("staff", "ada", embedded.embedding))
    get(lambda client: client.enrol("staff", "grace", photo(2, 3), several_faces="largest"))
    assert get(lambda client: client.get_gallery("staff")).template_count == 3
    assert [one.gallery_id for one in get(lambda client: client.list_galleries(page_size=1))] == ["staff"]
    subjects = get(lambda client: client.list_subjects("staff", page_size=1))
    assert [one.subject_id for one in subjects] == ["ada", "grace"]

    (result,) = get(lambda client: client.search("staff", file, top_k=1)).results
    assert (result.candidates[0].subject_id, result.candidates[0].display_name) == ("ada", "Ada")
    assert len(get(lambda client: client.search("staff", photo(1, 2), several_faces="all")).results) == 2
    subject = get(lambda client: client.get_subject("staff", "ada"))
    assert dict(subject.metadata) == {"unit": "maths"}
    assert [len(one.image_sha256) for one in subject.templates] == [64, 0]

    measured = to_json(calibration())
    written = tmp_path / "calibration.json"
    written.write_text(measured, encoding="utf-8")
    version = get(lambda client: client.set_calibration("staff", written)).gallery_version
    with pytest.raises(TypeError, match="A calibration is the text of"):
        get(lambda client: client.set_calibration("staff", measured.encode()))
    assert get(lambda client: client.calibration("staff")).calibration.people == 50
    assert get(lambda client: client.search("staff", file, target_fmr=0.01)).error_rates.fmr.value <= 0.01
    assert get(lambda client: client.get_gallery("staff")).has_calibration
    for _ in range(2):  # done twice is the same as once
        deleted = get(lambda client: client.delete_calibration("staff"))
        assert (deleted.HasField("calibration"), deleted.gallery_version) == (False, version + 1)
    assert not get(lambda client: client.get_gallery("staff")).has_calibration

    get(lambda client: client.delete_template("staff", subject.templates[0].template_id))
    assert get(lambda client: client.delete_subject("staff", "ada")).deleted_templates == 1
    assert get(lambda client: client.delete_gallery("staff")).deleted_subjects == 1


def test_errors_carry_reason_code_message_metadata_and_request_id(server: Running) -> None:
    with Client(server.address, timeout_s=20) as client:
        with pytest.raises(FrApiError) as caught:
            client.get_gallery("nowhere")
        error = caught.value
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_GALLERY")
        assert "List the galleries" in error.message
        assert error.request_id
        client.create_gallery("staff")
        with pytest.raises(FrApiError) as caught:
            client.enrol("staff", "ada", photo(1, 2))
        assert (caught.value.reason, caught.value.metadata["count"]) == ("SEVERAL_FACES", "2")
        with pytest.raises(FrApiError) as caught:
            client.search("staff", b"no photo")
        assert caught.value.reason == "UNDECODABLE"


def test_many_are_enrolled_searched_and_embedded_each_with_an_answer_of_its_own(server: Running) -> None:
    faces = [EnrolItem(f"s{n:02}", photo(n), item_id=f"item {n}") for n in range(40)]
    faces[7] = EnrolItem("s07", GREY, item_id="item 7")
    faces[9] = EnrolItem("s09", photo(8), item_id="item 9")
    with Client(server.address, timeout_s=20) as client:
        client.create_gallery("staff")
        answers = dict(client.enrol_many("staff", faces, max_in_flight=5))
        assert answers.keys() == {face.item_id for face in faces}
        refusals = {key: reason_of(one) for key, one in answers.items() if isinstance(one, common_pb2.Refusal)}
        assert refusals.pop("item 7") == "NO_FACE"
        assert set(refusals) in ({"item 8"}, {"item 9"})
        assert set(refusals.values()) == {"DUPLICATE_IMAGE"}
        assert client.get_gallery("staff").template_count == 38

        probes = [SearchItem(photo(n), item_id=str(n), top_k=1) for n in (3, 20, 33)] + [SearchItem(b"", item_id="x")]
        found = dict(client.search_many("staff", probes))
        for n in (3, 20, 33):
            answer = found[str(n)]
            assert isinstance(answer, gallery_pb2.SearchResponse)
            assert answer.results[0].candidates[0].subject_id == f"s{n:02}"
        assert isinstance(found["x"], common_pb2.Refusal)

        embedded = dict(client.embed_many([EmbedItem(photo(1, 2), "a"), EmbedItem(b"no", "b"), EmbedItem(GREY, "c")]))
        assert isinstance(embedded["a"], recognition_pb2.EmbedResponse)
        assert len(embedded["a"].faces) == 2
        assert isinstance(embedded["b"], common_pb2.Refusal)
        assert isinstance(embedded["c"], recognition_pb2.EmbedResponse)
        assert len(embedded["c"].faces) == 0


def test_an_overloaded_server_is_asked_again_until_it_has_room(start_server: Callable[..., Running]) -> None:
    server = start_server(server={"max_in_flight": 1})
    with Client(server.address, timeout_s=20, retry=RetryPolicy(attempts=50)) as patient:
        patient.create_gallery("staff")
        stream = patient.enrol_many("staff", (EnrolItem(f"s{n}", photo(n)) for n in range(3)), max_in_flight=1)
        next(stream)  # the only place of the server is taken from now on
        with Client(server.address, timeout_s=20, retry=RetryPolicy(attempts=1)) as hasty:
            with pytest.raises(FrApiError) as caught:
                hasty.server_info()
            assert caught.value.reason == "OVERLOADED"
            assert caught.value.retry_after_s == 0.5
        assert len(list(stream)) == 2
        assert patient.server_info().version


def calibrated_engine(config: Config) -> Engine:
    return replace(null_engine(config), calibration=calibration())


GUIDE = page("docs/client.md")


def test_every_example_and_command_of_the_guide_does_what_it_says(
    start_server: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start_server(engine=calibrated_engine)
    photos = {"group": photo(1, 2), "probe": photo(1), "people/ada/1": photo(1), "people/ada/2": photo(4)}
    photos |= {"people/grace/1": photo(5), "unnamed/1": photo(6), "unnamed/2": photo(7)}
    for name, data in photos.items():
        file = tmp_path / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (manifest,) = blocks(GUIDE, "csv")
    (tmp_path / "people.csv").write_text(manifest, encoding="utf-8")
    vectors = np.eye(3, 64, dtype=np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "rows.csv").write_text("subject_id\none\ntwo\nthree\n", encoding="utf-8")
    table = pyarrow.table({"subject_id": ["one", "two", "three"], "embedding": vectors.tolist()})
    pyarrow.parquet.write_table(table, tmp_path / "vectors.parquet")
    (tmp_path / "calibration.json").write_text(to_json(calibration()), encoding="utf-8")
    monkeypatch.setenv("FR_HOME", str(tmp_path / "home"))
    link_lfw(tmp_path / "home" / "lfw")
    # A server without matplotlib: the pages of reports take seconds, and other tests hold them.
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "fr_evaluation.write", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FR_SERVER", server.address)

    guarded = "desk.toml"  # of a server that asks who calls: tests/models/test_trust_guides.py
    examples = [block for block in blocks(GUIDE, "python") if guarded not in block]
    assert len(examples) == 7
    for example in examples:
        exec(compile(example.replace("localhost:50061", server.address), "client.md", "exec"), {})
    printed = capsys.readouterr().out
    for words in ("stored as template", "refused: DUPLICATE_IMAGE", "True ada", "UNKNOWN_GALLERY", "NOT_FOUND"):
        assert words in printed
    for words in ("measured on made-up with 50 people", "['lfw']", "12 of 12 photos", "12 pairs of 12 photos"):
        assert words in printed
    with Client(server.address) as client:
        (made,) = client.reports()

    lines = [line for block in blocks(GUIDE, "sh") for line in block.splitlines() if line.startswith("fr ")]
    commands = [line for line in lines if guarded not in line]
    assert len(commands) == 42
    for command in commands:
        command = command.replace("buffalo_s@1:9cc6e4a75f0e", str(NULL_MODEL))
        command = command.replace("20261125-221530-250-verification-lfw-5f0c2a9e", made.report_id)
        result = CliRunner().invoke(build(), shlex.split(command)[1:])
        assert result.exit_code == 0, (command, result.output)
    for name in ("faces.png", "leads.png", "lfw-report/report.json", "lfw-report/calibration.json"):
        assert (tmp_path / name).is_file()


def shell_blocks() -> list[str]:
    """Those for a server that asks nobody; tests/models/test_trust_guides.py has that with keys."""
    return [block for block in blocks(page("docs/other-languages.md"), "sh") if "https://" not in block]


def test_reflection_serves_the_shell(server: Running, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photo(1, 2))
    by_reflection, with_photo, _ = (block.replace("127.0.0.1:50061", server.address) for block in shell_blocks())
    told = shell(by_reflection, tmp_path)
    assert "fr_api.v1.GalleryService\n" in told
    assert "fr_api.v1.GalleryService/StreamEnrol\n" in told
    assert '"galleryId": "staff"' in told
    assert '"pack": "null"' in told
    assert len(json.loads(shell(with_photo, tmp_path))["faces"]) == 2


@pytest.mark.network
def test_node_enrols_and_searches(server: Running, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    folder = tmp_path / "examples" / "node"
    shutil.copytree(REPOSITORY / "examples" / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "proto").symlink_to(REPOSITORY / "proto")
    (folder / "enrolled.jpg").write_bytes(photo(1))
    (folder / "probe.jpg").write_bytes(photo(1, width=500))
    script = shell_blocks()[-1].replace("127.0.0.1:50061", server.address)
    told = shell(script, tmp_path)
    assert re.search(r"^1  s1  1\.0000  lead$", told, re.MULTILINE)
    assert "examiner" in told
