"""Both Python clients, clients of other languages, plain calls, and `fr` with keys, against a real server."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_client import Client, EmbedItem, EnrolItem, FrApiError, RetryPolicy, SearchItem, reason_of
from fr_client.cli.main import build
from fr_core.embed.null import NULL_MODEL
from fr_core.engine import Engine
from fr_core.scoring.calibration_json import to_json
from fr_server.config import Config
from fr_trust.access.principal import Role
from support.callers import Caller, Staffed, staffed
from support.commands import blocks, page, shell
from support.engines import calibration
from support.photos import link_lfw
from support.scripted import Kind, asked
from support.servers import Fr, Running, null_engine, photo

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
        assert "Choose one of those that you may use" in error.message
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


def test_a_batch_has_the_answers_of_single_calls_in_the_order_of_its_photos(server: Running) -> None:
    photos = [photo(1, 2), b"no photo", GREY, *map(photo, range(3, 64))]
    with Client(server.address, timeout_s=20) as client:
        answers = client.embed_batch(photos)
        assert [isinstance(answer, common_pb2.Refusal) for answer in answers] == [n == 1 for n in range(64)]
        assert isinstance(answers[1], common_pb2.Refusal)
        assert reason_of(answers[1]) == "UNDECODABLE"
        assert [answers[n] for n in (0, 2, 20, 63)] == [client.embed(photos[n]) for n in (0, 2, 20, 63)]
        (refused,) = client.embed_batch([b"no photo"])
        assert refused == answers[1]


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
    assert len(examples) == 4
    files = [page(f"examples/python/{name}.py") for name in ("embeddings", "error_rates")]
    for example in (*examples[:3], *files, *examples[3:]):
        exec(compile(example.replace("localhost:50061", server.address), "client.md", "exec"), {})
    printed = capsys.readouterr().out
    for words in ("stored as template", "refused: DUPLICATE_IMAGE", "True ada", "UNKNOWN_GALLERY", "NOT_FOUND"):
        assert words in printed
    for words in ("measured on made-up with 50 people", "['lfw']", "12 of 12 photos", "12 pairs of 12 photos"):
        assert words in printed
    with Client(server.address) as client:
        (made,) = client.reports()

    lines = [line for block in blocks(GUIDE, "sh") for line in block.splitlines() if " fr " in f" {line}"]
    commands = [line for line in lines if guarded not in line]
    assert len(commands) == 48
    for command in commands:
        if "<" in command or "|" in command:
            assert '"photo": ' in shell(command.partition(" >")[0], tmp_path)
            continue
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
    by_reflection, with_photo, *_ = (block.replace("127.0.0.1:50061", server.address) for block in shell_blocks())
    told = shell(by_reflection, tmp_path)
    assert "fr_api.v1.GalleryService\n" in told
    assert "fr_api.v1.GalleryService/StreamEnrol\n" in told
    assert '"galleryId": "staff"' in told
    assert '"pack": "null"' in told
    assert len(json.loads(shell(with_photo, tmp_path))["faces"]) == 2


def image(data: bytes) -> common_pb2.Image:
    return common_pb2.Image(data=data)


def test_detect_finds_every_face_the_largest_first(server: Running) -> None:
    answer = server.recognition.Detect(recognition_pb2.DetectRequest(image=image(photo(1, 2, 3))))
    assert (answer.image_width, answer.image_height) == (400, 200)
    boxes = [(face.box.left, face.box.top, face.box.right, face.box.bottom) for face in answer.faces]
    assert boxes == [(10, 20, 74, 84), (84, 20, 148, 84), (158, 20, 222, 84)]
    face = answer.faces[0]
    assert face.box.left < face.landmarks.left_eye.x < face.landmarks.right_eye.x < face.box.right
    assert face.score == pytest.approx(0.9)
    assert not face.quality.HasField("embedding_norm")


def test_embedding_that_was_returned_is_accepted_as_a_probe(server: Running) -> None:
    embedded = server.recognition.Embed(recognition_pb2.EmbedRequest(image=image(photo(7)))).faces[0]
    assert embedded.face.quality.embedding_norm == pytest.approx(1.0)
    a, b = recognition_pb2.Probe(embedding=embedded.embedding), recognition_pb2.Probe(image=image(photo(7)))
    answer = server.recognition.Compare(recognition_pb2.CompareRequest(a=a, b=b, threshold=0.999))
    assert answer.similarity == pytest.approx(1.0)
    assert answer.above_threshold
    assert "examiner" in answer.notice
    assert not answer.HasField("face_a")
    assert answer.HasField("face_b")


def test_stream_embed_answers_every_item_and_goes_on_after_a_refusal(server: Running) -> None:
    items = {"good": photo(1, 2), "none": photo(), "bad": b"text", "empty": b""}
    requests = [recognition_pb2.StreamEmbedRequest(item_id=name, image=image(data)) for name, data in items.items()]
    requests.append(recognition_pb2.StreamEmbedRequest(item_id="x" * 129, image=image(photo(1))))
    answers = {answer.item_id: answer for answer in server.recognition.StreamEmbed(iter(requests))}
    assert set(answers) == {*items, "x" * 128}
    assert len(answers["good"].embedded.faces) == 2
    assert answers["none"].HasField("embedded")
    assert answers["bad"].refusal.reason == error_reason_pb2.ERROR_REASON_UNDECODABLE
    assert answers["empty"].refusal.reason == error_reason_pb2.ERROR_REASON_MISSING_FIELD
    assert answers["x" * 128].refusal.reason == error_reason_pb2.ERROR_REASON_INVALID_FIELD


def test_server_info_tells_model_device_licence_and_limits(server: Running) -> None:
    info = server.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    assert info.model.id.pack == "null"
    assert info.model.embedding_size == 64
    assert info.device.active == "cpu"
    assert info.limits.max_image_bytes == 8 * 1024 * 1024
    assert list(info.limits.image_formats) == ["JPEG", "PNG", "WEBP", "AVIF", "HEIC"]
    assert "examiner" in info.notice


LAST = "It is the last admin key that you see"
OWN = "You call with this key"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Staffed]:
    with staffed(tmp_path / "data") as made:
        yield made


def id_of(who: Caller) -> str:
    return who.principal_id.removeprefix("key:")


def revoked(fr_as: Fr, who: Caller, key_id: str) -> bool:
    keys = json.loads(fr_as(who, "key", "list", "--json")[1])["keys"]
    return any("revoke_time" in one for one in keys if one["key_id"] == key_id)


def test_the_last_admin_key_is_revoked_when_somebody_says_so(fr_as: Fr, at: Staffed) -> None:
    own, other, operator = id_of(at.admin), at.caller(Role.ADMIN, number=2), at.caller(Role.OPERATOR)
    # Of any other key nothing is asked.
    code, _, error = fr_as(at.admin, "key", "revoke", id_of(operator))
    assert (code, error) == (0, "")
    code, _, error = fr_as(at.admin, "key", "revoke", own)
    assert (code, OWN in error, LAST in error, "Nothing was revoked." in error) == (1, True, False, True)
    assert fr_as(at.admin, "key", "revoke", id_of(other))[0] == 0
    code, _, error = fr_as(at.admin, "key", "revoke", own, typed="n\n")
    assert (code, OWN in error, LAST in error, "`fr server key create`" in error) == (1, True, True, True)
    assert not revoked(fr_as, at.admin, own)
    brief = at.caller(Role.ADMIN, lifetime_ms=60_000)
    assert LAST not in fr_as(at.admin, "key", "revoke", own)[2]
    assert fr_as(brief, "key", "revoke", own)[0] == 0
    code, _, error = fr_as(brief, "key", "revoke", id_of(brief), "--yes")
    assert (code, error) == (0, "")
    assert fr_as(brief, "whoami")[0] == 1


def test_who_may_delete_no_case_is_not_asked(fr_as: Fr, at: Staffed) -> None:
    operator = at.caller(Role.OPERATOR)
    case_id = operator.opens("2026-014")
    code, out, error = fr_as(operator, "case", "delete", case_id, typed="y\n")
    assert (code, out, error.partition(":")[0], "[y/N]" in error) == (1, "", "NOT_PERMITTED", False)
    # As the server has it.
    code, _, error = fr_as(operator, "case", "delete", case_id, "--yes")
    assert (code, error.partition(":")[0]) == (1, "NOT_PERMITTED")
    code, _, error = fr_as(at.admin, "case", "delete", case_id, typed="n\n")
    assert (code, "[y/N]" in error, "Nothing was deleted." in error) == (1, True, True)
    assert fr_as(at.admin, "case", "delete", case_id, typed="y\n")[0] == 0


def test_a_gallery_outside_ones_scope_is_told_like_one_that_is_not_there(fr_as: Fr, at: Staffed) -> None:
    at.gallery("others")
    narrow = at.caller(Role.OPERATOR, galleries=("own-*",))
    said = [fr_as(narrow, "gallery", "show", one)[2] for one in ("others", "nowhere")]
    assert all("Choose one of those that you may use" in one for one in said), said
    assert said[0].replace("others", "nowhere").partition(" (request")[0] == said[1].partition(" (request")[0]


CREATE = ("key", "create", "--role", "operator", "--gallery", "persons")


@pytest.fixture
def brief(at: Staffed) -> Caller:
    """An admin whose key ends in two days."""
    return at.caller(Role.ADMIN, lifetime_ms=2 * 86_400_000)


def end_of(fr_as: Fr, who: Caller) -> str:
    keys = json.loads(fr_as(who, "key", "list", "--json")[1])["keys"]
    (end,) = (one["expire_time"] for one in keys if f"key:{one['key_id']}" == who.principal_id)
    return f"{end[:19]}Z"


def test_a_key_cannot_outlive_that_of_its_maker(fr_as: Fr, brief: Caller, tmp_path: Path) -> None:
    file = tmp_path / "made.toml"
    code, out, error = fr_as(brief, *CREATE, "--days", 3, "--connection-file", file)
    assert (code, out, file.exists(), len(error.splitlines())) == (1, "", False, 1)
    assert error.startswith("NOT_PERMITTED: ")
    assert f"Your own key is the limit: it ends {end_of(fr_as, brief)}. Ask for fewer --days" in error
    assert "`fr server key create`" in error
    assert "role" not in error
    told = json.loads(fr_as(brief, *CREATE, "--days", 3, "--json")[1])["error"]
    assert f"it ends {end_of(fr_as, brief)}" in told["message"]
    assert told["metadata"] == {"field": "lifetime"}
    assert fr_as(brief, *CREATE, "--days", 1)[0] == 0


def test_a_key_without_days_tells_its_end(fr_as: Fr, at: Staffed, brief: Caller) -> None:
    code, out, error = fr_as(brief, *CREATE)
    end = end_of(fr_as, brief)
    assert code == 0
    assert f"until {end}" in out
    assert f"Without --days it ends {end}: " in error
    assert "Without --days" not in fr_as(at.admin, *CREATE, "--days", 1)[2]


def test_a_doubtful_key_is_made_and_warned_of(fr_as: Fr, at: Staffed) -> None:
    words = ("key", "create", "--days", 1, "--json")
    code, out, error = fr_as(at.admin, *words, "--role", "operator", "--role", "examiner")
    assert (code, len(error.splitlines())) == (0, 3)
    assert json.loads(out)["key"]["roles"] == ["ROLE_OPERATOR", "ROLE_EXAMINER"]
    assert all(line.startswith("Warning: the ") for line in error.splitlines())
    assert error.count("without --gallery") == 2
    code, _, error = fr_as(at.admin, *words, "--role", "operator", "--gallery", "persons")
    assert (code, error) == (0, "")
