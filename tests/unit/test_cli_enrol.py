"""Sources of `fr enrol`, its progress, and the exit status of long runs."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
import typer

from fr_client.cli.gallery.photo_sources import (
    PhotoFile,
    read_folder,
    read_manifest,
    read_source,
    read_unnamed,
)
from fr_client.cli.progress import progress
from fr_client.cli.state import INTERRUPTED, SOME_REFUSED, Ending, Unusable


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("Enrolling", "photos", 1000, clock) as advance:
        for done in range(1, 251):
            clock.now += 0.125
            advance(done, done // 80)
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "Enrolling: 80 of 1,000 photos, 8.0/s, 0:01:55 left, 1 refused",
        "Enrolling: 160 of 1,000 photos, 8.0/s, 0:01:45 left, 2 refused",
        "Enrolling: 240 of 1,000 photos, 8.0/s, 0:01:35 left, 3 refused",
    ]


@pytest.mark.parametrize(
    ("stop", "some_refused", "status"),
    [
        (None, False, None),
        (None, True, SOME_REFUSED),
        (KeyboardInterrupt(), True, INTERRUPTED),
        (Unusable("NO_PHOTOS", "There is none."), True, 1),
    ],
)
def test_a_run_ends_with_the_status_that_it_has_earned(
    stop: BaseException | None, some_refused: bool, status: int | None
) -> None:
    ending = Ending()
    with ending.noted():
        if stop is not None:
            raise stop
    assert ending.early == (stop is not None)
    if status is None:
        ending.leave(some_refused)
        return
    with pytest.raises(typer.Exit) as caught:
        ending.leave(some_refused)
    assert caught.value.exit_code == status


def test_a_defect_in_a_run_is_not_noted_as_its_end() -> None:
    with pytest.raises(RuntimeError), Ending().noted():
        raise RuntimeError("a defect")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_for_each_subject(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "2.JPG", tmp_path / "b" / "1.png", tmp_path / "a b" / "x.webp")
    touch(tmp_path / ".git" / "x.jpg", tmp_path / "b" / "._x.jpg", tmp_path / ".DS_Store")
    touch(tmp_path / unicodedata.normalize("NFD", "Zoë") / "x.jpg")  # the same id however the disk spells it
    found = read_folder(tmp_path)
    assert [(photo.subject_id, photo.path.name) for photo in found.photos] == [
        (unicodedata.normalize("NFC", "Zoë"), "x.jpg"),
        ("a b", "x.webp"),
        ("b", "1.png"),
        ("b", "2.JPG"),
    ]
    assert found.photos[0].display_name == ""
    assert (found.empty_subjects, found.ignored) == ((), ())


def test_what_is_no_photo_of_a_subject_is_told(tmp_path: Path) -> None:
    touch(
        tmp_path / "loose.jpg",
        tmp_path / "a" / "notes.txt",
        tmp_path / "a" / "x.jpg",
        tmp_path / "a" / "more" / "y.jpg",
    )
    (tmp_path / "nobody").mkdir()
    touch(tmp_path / "only-notes" / "notes.txt")
    found = read_folder(tmp_path)
    assert [photo.path.name for photo in found.photos] == ["x.jpg"]
    assert found.empty_subjects == ("nobody", "only-notes")
    assert [path.name for path in found.ignored] == ["more", "notes.txt", "loose.jpg", "notes.txt"]


def test_each_unnamed_photo_is_a_subject(tmp_path: Path) -> None:
    touch(
        tmp_path / "2.jpg", tmp_path / "trip" / "1.png", tmp_path / "trip" / "day 2" / "x.webp", tmp_path / "notes.txt"
    )
    touch(tmp_path / ".cache" / "x.jpg", tmp_path / unicodedata.normalize("NFD", "Zoë") / "1.png")
    (tmp_path / "trip" / "round").symlink_to(tmp_path)
    found = read_unnamed(tmp_path)
    assert [photo.subject_id for photo in found.photos] == ["2.jpg", "Zoë/1.png", "trip/1.png", "trip/day 2/x.webp"]
    assert all(photo.path.is_file() for photo in found.photos)
    assert [path.name for path in found.ignored] == ["notes.txt", "round"]
    assert read_source(tmp_path, unnamed=True) == found


def test_no_unnamed_photo_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="Name a folder with photos") as caught:
        read_source(tmp_path, unnamed=True)
    assert caught.value.reason == "NO_PHOTOS"
    with pytest.raises(Unusable, match="Not a directory") as caught:
        read_source(manifest(tmp_path, "subject_id,path\na,x.jpg\n"), unnamed=True)
    assert caught.value.reason == "FILE_UNREADABLE"


def manifest(folder: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    file = folder / "people.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return file


def test_a_manifest_has_names_and_metadata(tmp_path: Path) -> None:
    text = (
        "subject_id,path,display_name,unit,note\r\n"
        'p1,photos/1.jpg,"Curie, Marie",physics,\r\n'
        "\r\n"
        "p2,/elsewhere/2.jpg,,chemistry,new\r\n"
    )
    photos = read_manifest(manifest(tmp_path, text)).photos
    assert photos == (
        PhotoFile(tmp_path / "photos/1.jpg", "p1", "Curie, Marie", {"unit": "physics"}),
        PhotoFile(Path("/elsewhere/2.jpg"), "p2", "", {"unit": "chemistry", "note": "new"}),
    )


def test_a_manifest_from_a_spreadsheet_may_have_a_byte_order_mark_and_other_columns_first(tmp_path: Path) -> None:
    file = manifest(tmp_path, "path, subject_id\nx.jpg, Zoë\n", "utf-8-sig")
    assert read_manifest(file).photos == (PhotoFile(tmp_path / "x.jpg", "Zoë"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "row 1.*'subject_id'"),
        ("subject_id,file\na,b\n", "row 1.*'path'"),
        ("subject_id,path,path\na,b,c\n", "row 1.*twice"),
        ("subject_id,path,\na,b,c\n", "row 1.*empty"),
        ("subject_id,path\na,b\nc\n", "row 3.*1 cells under 2 columns"),
        ("subject_id,path\na,\n", "row 2.*empty"),
        ("subject_id,path\n ,b\n", "row 2.*empty"),
        ('subject_id,path\na,"b\n', "cannot be used"),
        (b"subject_id,path\nZo\xeb,x.jpg\n", "UTF-8"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "manifest"),
    ],
)
def test_a_manifest_that_breaks_the_rules_is_refused_with_the_row(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(Unusable, match=says) as caught:
        read_source(manifest(tmp_path, text))
    assert caught.value.reason == "MANIFEST_INVALID"


def test_a_source_that_is_not_there_or_empty_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="nowhere cannot be read: No such file") as caught:
        read_source(tmp_path / "nowhere")
    assert caught.value.reason == "FILE_UNREADABLE"
    touch(tmp_path / "loose.jpg")
    with pytest.raises(Unusable, match="FOLDER/SUBJECT/PHOTO") as caught:
        read_source(tmp_path)
    assert caught.value.reason == "NO_PHOTOS"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.jpg")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(Unusable, match="a cannot be read: Permission denied"):
            read_source(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)
