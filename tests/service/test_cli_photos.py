"""The commands that take photos: several of them, folders, lists and standard input, in each form of the answer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fr_client import Client
from fr_client.cli.gallery.pictures import MAX_FACES, MAX_SIDE
from fr_client.cli.gallery.probes import OF_A_PHOTO
from fr_core.errors import photos as errors_of_photos
from fr_locales.rendering import render
from fr_server.rpc.convert.common import NOTICE
from support.servers import Fr, GatedDetector, Running, photo

WAIT_S = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with photos of one face in `a`, one without a face, and one of two."""
    monkeypatch.chdir(tmp_path)
    for name, data in {
        "a/1.png": photo(1),
        "a/deep/2.png": photo(2),
        "none.png": photo(),
        "two.png": photo(3, 4),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_refusals_of_a_photo_are_those_of_the_core() -> None:
    reasons = {one.reason for one in vars(errors_of_photos).values() if getattr(one, "reason", "")}
    assert reasons - {""} | {"FILE_UNREADABLE"} == OF_A_PHOTO


def test_each_photo_has_one_answer_in_the_order_typed(fr: Fr, folder: Path) -> None:
    (folder / "list").write_text("two.png\n\na/1.png\n")
    code, out, error = fr("detect", "none.png", "a", "--list", "list", "--json")
    assert (code, error) == (0, "")
    found = [(one["photo"], len(one["faces"])) for one in lines(out)]
    assert found == [("none.png", 0), ("a/1.png", 1), ("a/deep/2.png", 1), ("two.png", 2), ("a/1.png", 1)]
    code, out, _ = fr("detect", "none.png", "a", "--brief")
    assert (code, len(out.splitlines())) == (0, 3)
    assert out.splitlines()[0] == "none.png: no face"
    assert out.splitlines()[1].startswith("a/1.png: 1 face; the largest: quality ")
    whole = fr("detect", "none.png", "a")[1]
    assert "a/deep/2.png: 1 face in 400 x 200 pixels" in whole


def test_one_photo_and_a_folder_with_one_have_the_same_document(fr: Fr, folder: Path) -> None:
    (folder / "a" / "deep" / "2.png").unlink()
    alone, inside = fr("detect", "a/1.png", "--json"), fr("detect", "a", "--json")
    assert alone == inside
    assert len(alone[1].splitlines()) == 1


def test_standard_input_is_a_photo_or_a_list(fr: Fr, folder: Path) -> None:
    code, out, _ = fr("detect", "-", "--json", typed=photo(1, 2))
    assert (code, [(one["photo"], len(one["faces"])) for one in lines(out)]) == (0, [("-", 2)])
    code, out, _ = fr("detect", "--list", "-", "--brief", typed="a/1.png\nnone.png\n")
    assert (code, [line.partition(":")[0] for line in out.splitlines()]) == (0, ["a/1.png", "none.png"])
    (folder / "of-an-editor").write_bytes(b"\xef\xbb\xbfa/1.png\r\nnone.png\r\n")
    assert fr("detect", "--list", "of-an-editor", "--brief")[:2] == (code, out)
    code, out, _ = fr("compare", "-", "a", "--json", typed=photo(1))
    assert [(one["photo_a"], one["photo_b"], one["above_threshold"]) for one in lines(out)] == [
        ("-", "a/1.png", True),
        ("-", "a/deep/2.png", False),
    ]
    assert fr("detect", "-", typed="")[2].startswith("FILE_UNREADABLE: Standard input is empty")


def test_a_file_may_have_the_name_that_stands_for_standard_input(fr: Fr, folder: Path) -> None:
    (folder / "-").write_bytes(photo(1, 2))
    (folder / "list").write_text("./-\n")
    (folder / "people.csv").write_text("subject_id,path\nada,-\n")
    for words in (("./-",), ("--list", "list")):
        code, out, _ = fr("detect", *words, "--json", typed=photo())
        assert (code, [len(one["faces"]) for one in lines(out)]) == (0, [2])
    code, out, _ = fr("compare", "./-", "-", "--several-faces", "largest", "--json", typed=photo(1))
    assert (code, [one["photo_b"] for one in lines(out)]) == (0, ["-"])
    code, out, _ = fr(
        "enrol", "team", "people.csv", "--create", "--several-faces", "largest", "--brief", typed="no photo"
    )
    assert (code, len(out.splitlines())) == (0, 1)


def test_entries_of_a_folder_that_are_passed_over_are_told(fr: Fr, folder: Path) -> None:
    (folder / "a" / "notes.txt").write_text("notes")
    (folder / "a" / "round").symlink_to(folder)
    (folder / "a" / "gone.png").symlink_to("nowhere")
    os.mkfifo(folder / "a" / "pipe.png")
    (folder / ".kept").mkdir()
    (folder / ".kept" / "5.png").write_bytes(photo(5))
    (folder / "a" / "linked.png").symlink_to(folder / ".kept" / "5.png")  # a photo
    told = (
        "Passed over in a: files without the name of a photo, such as .jpg (1), links to a folder or to nothing (2), "
        "pipes, sockets and devices (1).\n"
    )
    for words in (("detect",), ("compare", "a/1.png"), ("enrol", "team", "ada", "--create"), ("search", "team")):
        code, out, error = fr(*words, "a", "--brief")
        assert (code, len(out.splitlines()), error.count(told)) == (0, 3, 1), error
    (folder / "set").mkdir()
    (folder / "a").rename(folder / "set" / "a")
    (folder / "two.png").rename(folder / "set" / "two.png")
    code, _, error = fr("enrol", "many", "set", "--create", "--brief")
    assert (code, error.partition("\n")[0]) == (
        0,
        "Passed over in set: files without the name of a photo, such as .jpg (1), folders inside the folder of a "
        "subject (1), links to a folder or to nothing (2), photos outside the folder of a subject (1), pipes, sockets "
        "and devices (1).",
    )


def test_a_refused_photo_does_not_end_the_run(fr: Fr, folder: Path) -> None:
    assert fr("enrol", "team", "ada", "a/1.png", "--create")[0] == 0
    words = ("search", "team", "two.png", "missing.png", "a/1.png", "none.png")
    code, out, error = fr(*words, "--json")
    assert code == 3
    assert [one.get("error", {}).get("reason") for one in lines(out)] == [
        "SEVERAL_FACES",
        "FILE_UNREADABLE",
        None,
        "NO_FACE",
    ]
    assert error == (
        "SEVERAL_FACES: The option is --several-faces largest; `fr search --several-faces all` searches each face.\n"
        "3 of 4 photos were refused or could not be read.\n"
    )
    code, out, error = fr(*words, "--brief")
    assert code == 3
    told = out.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in (told[0], told[1], told[3])] == [
        "SEVERAL_FACES",
        "FILE_UNREADABLE",
        "NO_FACE",
    ]
    assert told[1].startswith("missing.png: FILE_UNREADABLE: cannot be read: ")
    assert told[2].startswith("a/1.png: 1 lead, ada (1.0000), quality ")
    assert "examiner" in error.splitlines()[0]
    code, out, _ = fr(*words)
    assert (code, "ada" in out, "none.png: NO_FACE" in out) == (3, True, True)
    code, out, error = fr("compare", "a/1.png", "none.png", "missing.png")
    assert out.startswith("none.png: NO_FACE: No face")
    assert error == "2 of 2 photos were refused or could not be read.\n"
    # An error that is not about a photo ends the run, with one document for it.
    code, out, error = fr("search", "nowhere", "two.png", "a", "--json")
    assert (code, [one["error"]["reason"] for one in lines(out)]) == (1, ["UNKNOWN_GALLERY"])
    # If there is one photo, its refusal ends the command.
    code, out, error = fr("search", "team", "none.png", "--json")
    assert (code, lines(out)[0]["photo"], error.startswith("NO_FACE: ")) == (1, "none.png", True)


def test_what_the_answers_to_several_photos_share_is_told_once(fr: Fr, folder: Path) -> None:
    assert fr("enrol", "team", "ada", "a/1.png", "--create")[0] == 0
    alone, out, compared = (
        fr(*words)[1] for words in (("search", "team", "a/1.png"), ("search", "team", "a"), ("compare", "a/1.png", "a"))
    )
    searched = "1 template searched, each compared exactly; a subject counts by its best."
    assert (alone.count(searched), out.count(searched)) == (1, 1)
    assert [" ".join(text.split()).count(render(NOTICE)) for text in (alone, out, compared)] == [1, 1, 1]
    assert "\n\na/deep/2.png\n" in out
    assert [line.split()[0] for line in fr("compare", "a/1.png", "a/1.png")[1].splitlines()[5:7]] == ["first", "second"]
    out = fr("detect", "none.png", "a/1.png")[1]
    assert out.startswith("none.png: no face in 400 x 200 pixels\n\na/1.png: 1 face")
    assert out.count("a/1.png") == 1


def test_a_brief_search_tells_the_most_similar_without_a_lead(fr: Fr, folder: Path) -> None:
    assert fr("enrol", "team", "ada", "a/1.png", "--create")[0] == 0
    out = fr("search", "team", "a/deep/2.png", "--brief")[1]
    assert out.startswith("a/deep/2.png: no lead, the most similar is ada (")
    assert fr("search", "team", "a/deep/2.png", "--brief", "--only-above")[1].startswith("a/deep/2.png: no candidate")
    out = fr("search", "team", "two.png", "--brief", "--several-faces", "all")[1]
    assert [part.partition(":")[0] for part in out.partition(": ")[2].split("; ")] == ["face 1", "face 2"]
    assert out.count("face ") == 2


def test_photos_of_one_subject_are_enrolled_under_its_name(fr: Fr, folder: Path) -> None:
    code, out, error = fr("enrol", "team", "ada", "a", "none.png", "--name", "Ada", "--create", "--json")
    assert code == 3, error
    *each, summary = lines(out)
    assert sorted((one["photo"], one["subject_id"], "template_id" in one) for one in each) == [
        ("a/1.png", "ada", True),
        ("a/deep/2.png", "ada", True),
        ("none.png", "ada", False),
    ]
    assert (summary["stored"], summary["refused"], summary["new_subjects"]) == (2, 1, 1)
    assert json.loads(fr("subject", "show", "team", "ada", "--json")[1])["display_name"] == "Ada"
    code, out, error = fr("enrol", "team", "ada", "a", "--brief")
    assert (code, sorted(out.splitlines())) == (
        0,
        ["a/1.png: ada, already enrolled", "a/deep/2.png: ada, already enrolled"],
    )
    assert error == "Gallery team: 0 photos stored (0 new subjects), 2 already enrolled, 0 refused.\n"
    code, out, _ = fr("enrol", "team", "grace", "-", "--brief", typed=photo(9))
    assert (code, out.startswith("-: grace, template ")) == (0, True)


def test_a_folder_that_is_taken_as_a_subject_is_told(fr: Fr, folder: Path) -> None:
    code, _, error = fr("enrol", "team", "a", "two.png", "none.png", "--create")
    assert code == 3
    assert error == (
        "Warning: a is a folder, too. It is taken as a subject: the photos in it are not enrolled.\n"
        "SEVERAL_FACES: The option is --several-faces largest; `fr search --several-faces all` searches each face.\n"
    )
    assert fr("enrol", "team", "a", "a/1.png")[2] == ""  # its own photos


def test_pictures_of_several_photos_come_to_a_new_folder(fr: Fr, folder: Path) -> None:
    code, _, error = fr("detect", "a", "none.png", "--draw", "drawn")
    assert (code, error) == (0, "The pictures are in drawn.\n")
    modes = [one.stat().st_mode & 0o777 for one in (folder / "drawn", folder / "drawn" / "0001-1.png")]
    assert modes == [0o700, 0o600]
    assert sorted(one.name for one in (folder / "drawn").iterdir()) == ["0001-1.png", "0002-2.png", "0003-none.png"]
    code, out, error = fr("detect", "a", "--draw", "drawn")
    assert (code, out, error.startswith("FILE_EXISTS: ")) == (1, "", True)
    assert fr("detect", "two.png", "missing.png", "--draw", "other")[0] == 3
    assert [one.name for one in (folder / "other").iterdir()] == ["0001-two.png"]
    (folder / ("n" * 251 + ".png")).write_bytes(photo(1))
    assert fr("detect", "n" * 251 + ".png", "none.png", "--draw", "long")[0] == 0
    assert sorted(one.name[:6] for one in (folder / "long").iterdir()) == ["0001-n", "0002-n"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_an_answer_that_finds_no_room_ends_with_a_sentence(server: Running, folder: Path) -> None:
    command = [sys.executable, "-c", "from fr_command import main; main()", "--server", server.address, "detect", "a"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
    words = "FILE_UNWRITABLE: The answer cannot be written: No space left on device.\n"
    assert (ended.returncode, ended.stderr) == (1, words)


def test_pictures_of_crowds_are_of_bounded_size(fr: Fr, folder: Path) -> None:
    assert fr("enrol", "team", "ada", "a/1.png", "--create")[0] == 0
    crowd = photo(*range(30), size=64, width=5000)
    (folder / "crowd.png").write_bytes(crowd)
    assert fr("detect", "crowd.png", "--draw", "faces.png")[0] == 0
    with Image.open(folder / "faces.png") as drawn:
        assert max(drawn.size) == MAX_SIDE
    assert fr("search", "team", "crowd.png", "--several-faces", "all", "--draw", "leads.png")[0] == 0
    (folder / "few.png").write_bytes(photo(*range(MAX_FACES), size=64, width=5000))
    assert fr("search", "team", "few.png", "--several-faces", "all", "--draw", "few-leads.png")[0] == 0
    with Image.open(folder / "leads.png") as many, Image.open(folder / "few-leads.png") as few:
        assert many.height - few.height < 40  # a line more, which says how many are left out


@pytest.mark.parametrize("words", [["search", "team", "a/1.png"], ["detect", "a"]])
def test_ctrl_c_ends_at_once_while_calls_run(
    start_server: Callable[..., Running], folder: Path, words: list[str]
) -> None:
    detector = GatedDetector()
    server = start_server(detector=detector)
    with Client(server.address) as client:
        client.create_gallery("team")
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from fr_command import main; main()",
            "--server",
            server.address,
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert detector.entered.acquire(timeout=WAIT_S)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=WAIT_S)
            assert time.monotonic() - begun < 15  # the call would have taken 20 s
            assert process.returncode == 130
            assert "Traceback" not in error
            assert "Stopped" in error.splitlines()[-1]
        finally:
            process.kill()
            detector.gate.set()
