"""The `fr` command against a real server with the null models."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from PIL import Image
from typer.testing import CliRunner

from fr_api.v1 import gallery_pb2
from fr_client.cli.main import build
from fr_client.requests import MAX_CALIBRATION_BYTES, MAX_PHOTO_BYTES, MAX_PLAN_BYTES
from fr_core.embed.null import NULL_MODEL
from fr_core.scoring.calibration_json import to_json
from support.engines import calibration
from support.servers import Fr, Running, photo, scene

MANY = 200
"""Photos, of which some are still to be sent when others are stored."""


def keys(outcome: tuple[int, str, str]) -> Any:
    code, out, error = outcome
    assert code == 0, error
    return documents(out)[-1]


def documents(out: str) -> list[Any]:
    """The JSON document of a command, or its documents if it prints one on each line."""
    try:
        return [json.loads(out)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in out.splitlines()]


def refusals(out: str) -> list[dict[str, str]]:
    return [{**one, **one["error"]} for one in documents(out)[:-1] if "error" in one]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of three subjects, four photos, and one subject without any."""
    folder = tmp_path / "people"
    for name, blues in {"ada": (1, 2), "grace": (3,), "Zoë [x]": (4,), "nobody": ()}.items():
        (folder / name).mkdir(parents=True)
        for blue in blues:
            (folder / name / f"{blue}.png").write_bytes(photo(blue))
    return folder


def refusal(outcome: tuple[int, str, str]) -> str:
    code, _, error = outcome
    assert code == 1
    return error.partition(":")[0]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_detect_prints_counts_and_draws(fr: Fr, tmp_path: Path) -> None:
    file, out_file = write(tmp_path / "two.png", photo(1, 2)), tmp_path / "drawn.png"
    found = keys(fr("detect", file, "--json"))
    assert len(found["faces"]) == 2
    assert (found["image_width"], found["image_height"]) == (400, 200)
    code, out, error = fr("detect", file, "--draw", out_file)
    assert (code, error) == (0, f"Wrote {out_file}\n")
    assert "2 faces in 400 x 200 pixels" in out
    with Image.open(out_file) as drawn:
        assert drawn.size == (400, 200)
    assert "no face in 400 x 200" in fr("detect", write(tmp_path / "none.png", photo()))[1]


def test_compare_tells_the_similarity_the_threshold_and_the_notice(fr: Fr, tmp_path: Path) -> None:
    a, b, two = (write(tmp_path / f"{n}.png", photo(*n)) for n in ((1,), (2,), (1, 2)))
    same = keys(fr("compare", a, a, "--json"))
    assert (same["similarity"], same["above_threshold"], same["threshold"]) == (pytest.approx(1.0), True, 0.5)
    assert "examiner" in same["notice"]
    code, out, _ = fr("compare", a, b)
    assert code == 0
    assert "is below the threshold 0.5000" in out
    assert "examiner" in out
    assert "reaches the threshold -1.0000" in fr("compare", a, b, "--threshold", "-1")[1]
    assert refusal(fr("compare", a, two)) == "SEVERAL_FACES"
    for photos, place in (((a, two), "Second"), ((two, a), "First")):
        code, out, told = fr("compare", *photos)
        assert (code, out) == (1, "")
        assert f"{place} photo, {two}: 2 faces were found in the photo, and more than one" in told
    assert fr("compare", a, two, "--several-faces", "largest")[0] == 0


def test_other_faces_are_passed_over_and_told(fr: Fr, tmp_path: Path) -> None:
    """A neighbour that the border cuts, and one in the background, beside a subject in the middle."""
    folder = tmp_path / "people" / "ada"
    folder.mkdir(parents=True)
    crowd = write(folder / "1.png", scene((1, 150, 50, 100), (2, 0, 60, 90), (3, 335, 20, 55)))
    enrolled = keys(fr("enrol", "team", tmp_path / "people", "--create", "--json"))
    assert (enrolled["stored"], enrolled["stored_with_other_faces"]) == (1, 1)
    told = "face 1 of 3, quality 0.51; passed over: 1 cut off, 1 in the background"
    assert f"Probe: {told}." in fr("search", "team", crowd)[1]
    assert f"In the first photo: {told}." in fr("compare", crowd, write(tmp_path / "1.png", photo(1)))[1]
    (result,) = keys(fr("search", "team", crowd, "--json"))["results"]
    assert result["choice"]["number"] == 1
    reasons = [one["reason"] for one in result["choice"]["passed_over"]]
    assert reasons == ["PASSED_OVER_REASON_CUT_OFF", "PASSED_OVER_REASON_BACKGROUND"]
    assert [one["box"]["left"] for one in result["choice"]["passed_over"]] == [0, 335]
    assert "Other faces were passed over in 1 photo." in fr("enrol", "others", tmp_path / "people", "--create")[1]


def test_a_folder_is_enrolled_and_running_again_changes_nothing(fr: Fr, people: Path) -> None:
    assert refusal(fr("enrol", "team", people)) == "UNKNOWN_GALLERY"
    first = keys(fr("enrol", "team", people, "--create", "--json"))
    numbers = {"photos": 4, "stored": 4, "already_enrolled": 0, "refused": 0, "unanswered": 0, "new_subjects": 3}
    numbers["stored_with_other_faces"] = 0
    others = {"empty_subjects": ["nobody"], "ignored_files": [], "scaled_down": 0}
    assert first == {"gallery_id": "team", **numbers, **others}
    again = keys(fr("enrol", "team", people, "--create", "--json"))
    assert (again["stored"], again["already_enrolled"], again["refused"]) == (0, 4, 0)
    (people / "ada" / "5.png").write_bytes(photo(5))
    code, out, _ = fr("enrol", "team", people)
    assert code == 0
    assert "Gallery team: 1 photo stored (0 new subjects), 4 already enrolled, 0 refused." in out
    assert "Subjects without a photo (1): nobody" in out
    assert keys(fr("gallery", "show", "team", "--json"))["template_count"] == "5"


def test_every_refusal_is_told_with_its_file_and_the_rest_is_stored(fr: Fr, people: Path) -> None:
    (people / "ada" / "broken.jpg").write_bytes(b"no photo")
    (people / "ada" / "copy of 1.png").write_bytes(photo(1))
    (people / "grace" / "empty.png").write_bytes(photo())
    (people / "grace" / "several.png").write_bytes(photo(6, 7))
    (people / "grace" / "of ada.png").write_bytes(photo(2))
    with (people / "grace" / "huge.png").open("wb") as huge:
        huge.truncate(9 << 20)
    code, out, _ = fr("enrol", "team", people, "--create", "--json")
    assert code == 3
    told = documents(out)[-1]
    reasons = {(Path(one["photo"]).name, one["subject_id"]): one["reason"] for one in refusals(out)}
    assert reasons == {
        ("broken.jpg", "ada"): "UNDECODABLE",
        ("empty.png", "grace"): "NO_FACE",
        ("several.png", "grace"): "SEVERAL_FACES",
        ("of ada.png", "grace"): "DUPLICATE_IMAGE",
        ("huge.png", "grace"): "IMAGE_TOO_MANY_BYTES",
    }
    assert (told["photos"], told["stored"], told["already_enrolled"], told["refused"]) == (10, 4, 1, 5)
    why = {Path(one["photo"]).name: one["message"] for one in refusals(out)}
    assert "2.png, which belongs to another subject" in why["of ada.png"]
    assert "9,437,184 bytes; the server accepts at most 8,388,608" in why["huge.png"]
    code, out, _ = fr("enrol", "team", people, "--several-faces", "largest")
    assert code == 3
    assert "1 photo stored (0 new subjects), 5 already enrolled, 4 refused" in out
    for word in ("broken.jpg", "UNDECODABLE", "of ada.png", "DUPLICATE_IMAGE", "NO_FACE"):
        assert word in out


def test_unnamed_photos_are_subjects_of_their_own(fr: Fr, people: Path) -> None:
    told = keys(fr("enrol", "unnamed", people, "--unnamed", "--create", "--json"))
    assert (told["stored"], told["new_subjects"], told["refused"]) == (4, 4, 0)
    subjects = {subject["subject_id"] for subject in keys(fr("subject", "list", "unnamed", "--json"))["subjects"]}
    assert subjects == {file.relative_to(people).as_posix() for file in people.rglob("*.png")}
    again = keys(fr("enrol", "unnamed", people, "--unnamed", "--json"))
    assert (again["stored"], again["already_enrolled"]) == (0, 4)


def test_another_unnamed_photo_under_the_same_path_is_refused(fr: Fr, tmp_path: Path) -> None:
    for folder, number in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "IMG_0001.png").write_bytes(photo(number))
    assert keys(fr("enrol", "unnamed", tmp_path / "a", "--unnamed", "--create", "--json"))["stored"] == 1
    code, out, _ = fr("enrol", "unnamed", tmp_path / "b", "--unnamed", "--json")
    told = documents(out)[-1]
    assert (code, told["stored"], [one["reason"] for one in refusals(out)]) == (3, 0, ["SUBJECT_EXISTS"])
    # In one folder: names that differ on the disk, and are the same text.
    for name, number in ((unicodedata.normalize("NFC", "Zoë"), 3), (unicodedata.normalize("NFD", "Zoë"), 4)):
        (tmp_path / "a" / f"{name}.png").write_bytes(photo(number))
    code, out, _ = fr("enrol", "unnamed", tmp_path / "a", "--unnamed", "--json")
    told = documents(out)[-1]
    assert (code, told["stored"], told["already_enrolled"]) == (3, 1, 1)
    assert [one["reason"] for one in refusals(out)] == ["SUBJECT_EXISTS"]


def test_an_operational_gallery_is_read_with_a_purpose_and_a_case(fr: Fr, people: Path, tmp_path: Path) -> None:
    why = ("--purpose", "gallery-maintenance", "--case", "request 12")
    keys(fr("gallery", "create", "persons", "--use", "operational", "--keep-photos", "--json"))
    assert keys(fr("enrol", "persons", people, "--json"))["stored"] == 4
    code, out, _ = fr("enrol", "persons", people, "--json")
    assert (code, [one["reason"] for one in refusals(out)]) == (3, ["DUPLICATE_IMAGE"] * 4)
    assert "--purpose gallery-maintenance and --case REFERENCE" in refusals(out)[0]["message"]
    for half in (why[:2], why[2:]):  # half a reason would be none
        code, _, error = fr("enrol", "persons", people, *half)
        assert (code, "--purpose and --case go together" in error) == (2, True)
    assert keys(fr("enrol", "persons", people, *why, "--json"))["already_enrolled"] == 4
    archive = tmp_path / "ada.zip"
    for words in (("list",), ("show", "ada"), ("update", "ada", "--name", "Ada"), ("export", "ada", archive)):
        command = ("subject", words[0], "persons", *words[1:])
        told = fr(*command)
        assert refusal(told) == "PURPOSE_REQUIRED", command
        assert "--purpose and --case" in told[2]
        assert "gallery-maintenance" in told[2]
        assert keys(fr(*command, *why, "--json"))
    with zipfile.ZipFile(archive) as held:
        templates = [json.loads(held.read(name)) for name in held.namelist() if name.startswith("templates/")]
        assert [("embedding" in one, one["subject_id"]) for one in templates] == [(False, "ada")] * 2
        assert len([name for name in held.namelist() if name.startswith("photos/")]) == 2
    code, _, error = fr("search", "persons", people / "ada" / "1.png", "--purpose", "victim", "--case", "A 1")
    assert (code, error) == (0, "")
    drawn = ("--draw", tmp_path / "drawn.png", "--purpose", "victim", "--case", "A 1")
    assert fr("search", "persons", people / "ada" / "1.png", *drawn)[0] == 0
    assert keys(fr("subject", "delete", "persons", "ada", "--yes", "--json"))


def test_a_second_run_does_not_send_enrolled_photos(
    start_server: Callable[..., Running], people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start_server()
    monkeypatch.setenv("FR_SERVER", first.address)
    enrol = ["enrol", "team", str(people), "--create"]
    assert CliRunner().invoke(build(), enrol).exit_code == 0
    first.stop().result(20)
    refuses_every_face = start_server(quality={"min_inter_eye_px": 1000.0})
    monkeypatch.setenv("FR_SERVER", refuses_every_face.address)
    again = CliRunner().invoke(build(), enrol)
    assert (again.exit_code, "4 already enrolled" in again.stdout) == (0, True)


def test_a_manifest_gives_names_and_metadata(fr: Fr, people: Path) -> None:
    manifest = people / "people.csv"
    manifest.write_text("subject_id,path,display_name,unit\np1,ada/1.png,Ada,maths\np2,missing.png,,\n")
    code, out, _ = fr("enrol", "team", manifest, "--create", "--json")
    assert code == 3
    (refused,) = refusals(out)
    assert (refused["subject_id"], refused["reason"]) == ("p2", "FILE_UNREADABLE")
    subject = keys(fr("subject", "show", "team", "p1", "--json"))
    assert (subject["display_name"], subject["metadata"]) == ("Ada", {"unit": "maths"})
    assert subject["templates"][0]["image_sha256"] == sha256(photo(1)).hexdigest()


def test_a_search_prints_leads_and_draws_them_beside_the_probe(fr: Fr, people: Path, tmp_path: Path) -> None:
    keys(fr("enrol", "team", people, "--create", "--json"))
    probe = write(tmp_path / "probe.png", photo(4))
    found = keys(fr("search", "team", probe, "--top-k", "2", "--json"))
    (result,) = found["results"]
    assert [one["rank"] for one in result["candidates"]] == [1, 2]
    assert result["candidates"][0]["subject_id"] == "Zoë [x]"
    assert result["decision"] == "SEARCH_DECISION_POTENTIAL_CANDIDATES"
    code, out, _ = fr("search", "team", probe)
    assert code == 0
    assert "Zoë [x]" in out
    assert "examiner" in out

    plain, with_photos, moved = (tmp_path / f"{name}.png" for name in ("plain", "photos", "moved"))
    assert fr("search", "team", probe, "--draw", plain)[0] == 0
    assert fr("search", "team", probe, "--draw", with_photos, "--candidate-photos", people)[0] == 0
    shutil.copytree(people, tmp_path / "elsewhere" / "deep")
    shutil.rmtree(people)
    assert fr("search", "team", probe, "--draw", moved, "--candidate-photos", tmp_path / "elsewhere")[0] == 0
    assert with_photos.read_bytes() == moved.read_bytes() != plain.read_bytes()


def test_every_face_is_searched_where_asked_for(fr: Fr, people: Path, tmp_path: Path) -> None:
    keys(fr("enrol", "team", people, "--create", "--json"))
    probe = write(tmp_path / "probe.png", photo(3, 200))
    assert fr("search", "team", probe)[0] == 1
    found = keys(fr("search", "team", probe, "--several-faces", "all", "--only-above", "--json"))
    assert [len(result["candidates"]) for result in found["results"]] == [1, 0]
    out_file = tmp_path / "both.png"
    code, out, _ = fr("search", "team", probe, "--several-faces", "all", "--draw", out_file)
    assert code == 0
    assert "Face 1 of 2: 1 of 3 candidates is a lead at threshold" in out
    assert "Face 2 of 2: 0 of 3 candidates are leads at threshold" in out
    assert out_file.is_file()


def test_galleries_are_created_listed_shown_and_deleted_after_asking(fr: Fr, people: Path) -> None:
    assert "no gallery yet" in fr("gallery", "list")[1]
    assert keys(fr("gallery", "create", "team", "--name", "The team", "--json"))["display_name"] == "The team"
    assert refusal(fr("gallery", "create", "team")) == "GALLERY_EXISTS"
    keys(fr("enrol", "team", people, "--json"))
    assert [one["gallery_id"] for one in keys(fr("gallery", "list", "--json"))["galleries"]] == ["team"]
    assert "The team" in fr("gallery", "list")[1]
    assert "The team" in fr("gallery", "show", "team")[1]
    code, out, error = fr("gallery", "delete", "team", typed="n\n")
    assert (code, out) == (1, "")
    assert "with 3 subjects and 4 templates?" in error
    assert fr("gallery", "delete", "team")[0] == 1  # nobody there to answer
    assert fr("gallery", "show", "team")[0] == 0
    assert "3 subjects, 4 templates" in fr("gallery", "delete", "team", typed="y\n")[1]
    assert fr("gallery", "show", "team")[0] == 1


def test_subjects_and_templates_are_listed_and_deleted(fr: Fr, people: Path) -> None:
    keys(fr("enrol", "team", people, "--create", "--json"))
    listed = keys(fr("subject", "list", "team", "--json"))["subjects"]
    assert [one["subject_id"] for one in listed] == ["Zoë [x]", "ada", "grace"]
    assert "Zoë [x]" in fr("subject", "list", "team")[1]
    ada = keys(fr("subject", "show", "team", "ada", "--json"))
    assert ada["templates"][0]["image_sha256"] in fr("subject", "show", "team", "ada")[1]
    number = ada["templates"][0]["template_id"]
    assert fr("template", "delete", "team", number, typed="n\n")[0] == 1
    assert "gallery_version" in keys(fr("template", "delete", "team", number, "--yes", "--json"))
    assert keys(fr("subject", "delete", "team", "ada", "--yes", "--json"))["deleted_templates"] == "1"
    code, out, _ = fr("subject", "show", "team", "ada", "--json")
    assert (code, json.loads(out)["error"]["reason"]) == (1, "UNKNOWN_SUBJECT")


def test_a_gallery_is_calibrated_and_its_searches_tell_error_rates(fr: Fr, people: Path) -> None:
    keys(fr("enrol", "team", people, "--create", "--json"))
    probe, file = people / "ada" / "1.png", write(people / "calibration.json", to_json(calibration()).encode())
    assert keys(fr("gallery", "calibrate", "team", "--show", "--json")) == {"calibration": None, "calibration_json": ""}
    assert "Neither gallery team nor its model has a calibration" in fr("gallery", "calibrate", "team", "--show")[1]
    assert keys(fr("search", "team", probe, "--json"))["error_rates"] is None
    assert "At this threshold" not in fr("search", "team", probe)[1]
    assert refusal(fr("search", "team", probe, "--target-fmr", "0.01")) == "NO_CALIBRATION"

    assert keys(fr("gallery", "calibrate", "team", file, "--json"))["calibration"]["people"] == "50"
    assert json.loads(keys(fr("gallery", "calibrate", "team", "--show", "--json"))["calibration_json"])["version"] == 1
    assert "made-up, 50 people, 2026-11-25" in fr("gallery", "calibrate", "team", "--show")[1]
    out = " ".join(fr("search", "team", probe, "--target-fpir", "0.05")[1].split())
    assert "At this threshold 1.25 % of the comparisons of different people are accepted" in out
    assert "as measured on made-up, 50 people (the gallery's own calibration)." in out
    assert "Among 4 templates 4.91 % of the searches for somebody who is not enrolled are answered with a lead" in out
    assert "examiner" in out
    assert refusal(fr("search", "team", probe, "--target-fpir", "0.0001")) == "RATE_NOT_SUPPORTED"
    assert refusal(fr("gallery", "calibrate", "team", write(people / "other.json", b"{}"))) == "CALIBRATION_INVALID"
    assert keys(fr("gallery", "calibrate", "team", people, "--json"))["calibration"]["people"] == "50"  # its folder
    report = write(people / "report.json", b'{"kind": "verification", "dataset": {}}')
    told = fr("gallery", "calibrate", "team", report)
    assert refusal(told) == "CALIBRATION_INVALID"
    assert f"report.json is the report; give {people / 'calibration.json'}, which is beside it." in told[2]
    flipped = replace(NULL_MODEL, version=f"{NULL_MODEL.version}+flip")
    other = write(people / "flipped.json", to_json(calibration(flipped)).encode())
    told = fr("gallery", "calibrate", "team", other)
    assert refusal(told) == "CALIBRATION_INVALID"
    assert f"measured with {flipped}, without --flip, and the gallery has {NULL_MODEL}." in told[2]
    assert keys(fr("gallery", "calibrate", "team", "--remove", "--json")) == {"calibration": None}


def test_a_run_that_stops_early_tells_what_was_done(fr: Fr, server: Running, people: Path) -> None:
    keys(fr("gallery", "create", "team", "--json"))
    for number in range(MANY):
        (people / "ada" / f"more{number}.png").write_bytes(photo(number + 10))

    def stop_the_server_when_a_photo_is_stored() -> None:
        request = gallery_pb2.GetGalleryRequest(gallery_id="team")
        while server.gallery.GetGallery(request).gallery.template_count < 1:
            time.sleep(0.01)
        server.stop().result(20)

    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(stop_the_server_when_a_photo_is_stored)
        code, out, error = fr("enrol", "team", people, "--json")
        stopping.result(20)
    told = documents(out)[-1]
    assert code == 1
    assert told["stored"] >= 1
    assert told["unanswered"] >= 1
    assert told["refused"] == 0
    assert told["error"]["reason"] == "UNREACHABLE"
    assert error.startswith("UNREACHABLE: No FR Core server answers")
    assert len(error.splitlines()) == 1


WAIT_S = 240
FR = (sys.executable, "-c", "from fr_client.cli.main import main; main()")
NOWHERE = "No FR Core server answers at localhost:1. Start one there (`fr serve`), or give the address of yours."
ELSEWHERE = "`fr --server HOST:PORT`, or FR_SERVER, names another address."


@contextmanager
def watching(address: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A process that watches; it is killed where it does not end in time."""
    words = (*FR, "--server", address, "health", "--watch", *more)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        killer = threading.Timer(WAIT_S, process.kill)
        killer.start()
        try:
            yield process
        finally:
            killer.cancel()
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def rest(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate()
    return process.returncode, out, error


def test_health_is_a_word_or_a_document(fr: Fr) -> None:
    assert fr("health") == (0, "SERVING\n", "")
    code, out, error = fr("health", "--json")
    assert (code, json.loads(out), error) == (0, {"status": "SERVING"}, "")


def test_the_status_is_a_few_numbers_or_a_document(fr: Fr, tmp_path: Path) -> None:
    assert fr("gallery", "show", "none-such")[0] == 1
    (tmp_path / "one.png").write_bytes(photo(9))
    assert fr("detect", str(tmp_path / "one.png"))[0] == 0
    code, out, error = fr("status")
    assert (code, error) == (0, "")
    assert re.search(r"GalleryService/GetGallery +\S+Z +UNKNOWN_GALLERY +[0-9a-f]{32}", out)
    assert re.search(r"Time of a photo +median 0\.\d{3} s, 95 of 100 within \d+\.\d{3} s", out)
    assert re.search(r"galleries +[\d.,]+ +[\d.,]+ +yes *\n", out)
    assert re.search(r"buffalo_s 1 +512 +(yes|no) +yes +InsightFace", out)
    found = json.loads(fr("status", "--json")[1])
    refused = sum(int(one["count"]) for one in found["ended"] if one["outcome"] == "UNKNOWN_GALLERY")
    assert refused >= 1
    assert {one["name"] for one in found["stores"] if one["in_backups"]} == {"galleries"}


@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_a_server_that_does_not_answer_is_a_document_too(fr_alone: Fr, watch: tuple[str, ...]) -> None:
    words = ("--server", "localhost:1", "--timeout", "2", "health", *watch)
    said = f"UNREACHABLE: {NOWHERE} {ELSEWHERE}\n"
    assert fr_alone(*words) == (1, "", said)
    code, out, error = fr_alone(*words, "--json")
    assert (code, error) == (1, said)
    expected = {"reason": "UNREACHABLE", "message": NOWHERE, "code": "UNAVAILABLE", "metadata": {}, "request_id": ""}
    assert json.loads(out)["error"] == expected


def test_watching_ends_with_the_status_of_the_last_health(server: Running) -> None:
    with watching(server.address) as process:
        assert line_of(process) == "SERVING"
        process.send_signal(signal.SIGINT)
        assert rest(process) == (0, "", "")


def test_watching_tells_that_the_server_stops(server: Running) -> None:
    with watching(server.address, "--json") as process:
        assert json.loads(line_of(process)) == {"status": "SERVING"}
        server.stop().result(30)
        code, out, error = rest(process)
        told = [json.loads(one) for one in out.splitlines()]
        assert (code, told[0]) == (1, {"status": "NOT_SERVING"})
        last = told[-1]["error"]
        assert error.startswith(f"{last['reason']}: {last['message']}")


def test_watching_prints_each_change() -> None:
    served = health.HealthServicer()
    states = health_pb2.HealthCheckResponse
    set_to = partial(served.set, "")
    set_to(states.SERVING)
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(served, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with watching(f"127.0.0.1:{port}") as process:
            assert line_of(process) == "SERVING"
            set_to(states.NOT_SERVING)
            assert line_of(process) == "NOT_SERVING"
            set_to(states.SERVING)
            assert line_of(process) == "SERVING"
            set_to(states.NOT_SERVING)
            assert line_of(process) == "NOT_SERVING"
            process.send_signal(signal.SIGINT)
            assert rest(process) == (1, "", "")
    finally:
        server.stop(None).wait()


Said = Callable[[str], str]

SHA256 = NULL_MODEL.sha256[:12]
# FILE stands for the file in question.
COMMANDS = (
    "detect FILE",
    "compare PHOTO FILE",
    "search g FILE",
    "enrol g FILE",
    "case search c g FILE",
    "gallery calibrate g FILE",
    "gallery import g VECTORS.npy FILE --model null@1:" + SHA256,
    "gallery import g FILE.npy ROWS.csv --model null@1:" + SHA256,
    "gallery import g FILE.parquet --model null@1:" + SHA256,
    "train course create FILE.toml --dataset d",
    "train course create demo --exclude FILE --dataset d",
    "train probe set c FILE --absent",
    "review submit e --finding inconclusive --notes-file FILE",
    "key create --role operator --certificate FILE",
    "--key-file FILE info",
    "--connection FILE info",
    "--ca FILE info",
    "audit file verify FILE --public-key KEY",
    "audit file verify EXPORT --public-key FILE",
    "evidence verify FILE",
    "evidence verify PHOTO --public-key FILE",
    "evaluate repeat FILE",
)
TOO_LONG = {
    "detect FILE": MAX_PHOTO_BYTES,
    "gallery calibrate g FILE": MAX_CALIBRATION_BYTES,
    "train course create FILE.toml --dataset d": MAX_PLAN_BYTES,
    "--key-file FILE info": 64 * 2**10,
    "--ca FILE info": 4 * 2**20,
}


@pytest.fixture
def said(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """A function that runs `fr` in a folder of files, and returns what it says on standard error."""
    monkeypatch.setenv("FR_SERVER", server.address)
    monkeypatch.chdir(tmp_path)
    Path("PHOTO").write_bytes(photo(1))
    Path("EXPORT").write_text('{"chain_id":"0"}\n')
    Path("KEY").write_text("none")
    np.save("VECTORS.npy", np.eye(4, dtype=np.float32))
    Path("ROWS.csv").write_text("subject_id\na\n")

    assert CliRunner().invoke(build(), ["gallery", "create", "g", "--use", "test"]).exit_code == 0

    def run(command: str) -> str:
        ended = CliRunner().invoke(build(), command.split())
        assert isinstance(ended.exception, SystemExit), ended.exc_info
        return " ".join(ended.stderr.split())

    return run


@contextmanager
def pipe(path: Path) -> Iterator[None]:
    """A pipe whose other end sends nothing, and closes when somebody waits for it."""
    os.mkfifo(path)
    other = threading.Thread(target=lambda: path.open("wb").close())
    other.start()
    try:
        yield
    finally:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # for the thread, where nobody has come
        other.join()
        os.close(reader)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused(said: Said, command: str) -> None:
    name = next(word for word in command.split() if "FILE" in word)
    with pipe(Path(name)):
        assert "not a regular file" in said(command)


@pytest.mark.parametrize("command", ["detect FILE", "enrol g FILE", "--key-file FILE info", "evaluate repeat FILE"])
def test_a_device_without_an_end_is_refused(said: Said, command: str) -> None:
    Path("FILE").symlink_to("/dev/zero")
    assert "not a regular file" in said(command)


@pytest.mark.parametrize(("command", "most"), TOO_LONG.items())
def test_a_file_over_the_limit_is_refused(said: Said, command: str, most: int) -> None:
    with Path(next(word for word in command.split() if "FILE" in word)).open("wb") as file:
        file.truncate(most + 1)  # takes no room
    assert f"it has more than {most:,} bytes" in said(command)


def test_control_the_same_commands_read_regular_files(said: Said) -> None:
    with suppress(FileExistsError):
        Path("FILE").symlink_to("PHOTO")
    assert "not a regular file" not in said("compare PHOTO FILE --threshold 2")
