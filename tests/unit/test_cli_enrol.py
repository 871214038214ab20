"""Enrolling many photos: what is read, how far it is, how the run ends, and the journal of what was done."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path

import pytest
import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.gallery.enrol_log import EnrolLog, FileState, Noted
from fr_client.cli.gallery.enrol_run import PASSING
from fr_client.cli.gallery.photo_sources import (
    PhotoFile,
    read_folder,
    read_manifest,
    read_source,
    read_unnamed,
)
from fr_client.cli.progress import progress
from fr_client.cli.state import INTERRUPTED, SOME_REFUSED, Ending, Unusable
from fr_core.errors import Failure


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


# --- the journal ------------------------------------------------------------------------------------------------------


STATE = FileState(1000, 1_700_000_000_123_456_789)


def gallery(gallery_id: str = "g", seconds: int = 1_700_000_000) -> gallery_pb2.Gallery:
    made = gallery_pb2.Gallery(gallery_id=gallery_id)
    made.create_time.FromNanoseconds(seconds * 10**9 + 5)
    return made


def photo(name: str, subject_id: str = "a") -> PhotoFile:
    return PhotoFile(Path("/photos") / name, subject_id)


def written(path: Path, count: int = 4) -> bytes:
    with EnrolLog(path, gallery()) as journal:
        for number in range(count):
            reason = "NO_FACE" if number % 2 else ""
            journal.note(photo(f"{number}.jpg"), Noted(STATE, reason, "No face." if reason else ""))
    return path.read_bytes()


def reason_of_opening(path: Path, of: gallery_pb2.Gallery) -> str:
    with pytest.raises(Unusable) as caught, EnrolLog(path, of):
        pass
    return caught.value.reason


def test_what_was_noted_is_known_to_the_next_run(tmp_path: Path) -> None:
    odd = PhotoFile(Path(os.fsdecode(b'/photos/\xff "\n.jpg')), "Zoë")
    with EnrolLog(tmp_path / "j", gallery()) as journal:
        assert len(journal) == 0
        journal.note(photo("1.jpg"), Noted(STATE))
        journal.note(photo("2.jpg"), Noted(STATE, "NO_FACE", "No face."))
        journal.note(odd, Noted(STATE))
    with EnrolLog(tmp_path / "j", gallery()) as journal:
        assert len(journal) == 3
        assert journal.noted(photo("1.jpg"), STATE) == Noted(STATE)
        assert journal.noted(photo("2.jpg"), STATE) == Noted(STATE, "NO_FACE", "No face.")
        assert journal.noted(odd, STATE) == Noted(STATE)
        assert journal.noted(photo("3.jpg"), STATE) is None
        journal.note(photo("2.jpg"), Noted(STATE))
    with EnrolLog(tmp_path / "j", gallery()) as journal:
        assert journal.noted(photo("2.jpg"), STATE) == Noted(STATE)


def test_a_torn_last_line_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    data = written(tmp_path / "j")
    last = data[:-1].rindex(b"\n") + 1
    for cut in range(last, len(data)):
        (tmp_path / "torn").write_bytes(data[:cut])
        with EnrolLog(tmp_path / "torn", gallery()) as journal:
            assert len(journal) == 3
            journal.note(photo("3.jpg"), Noted(STATE, "NO_FACE", "No face."))
        assert (tmp_path / "torn").read_bytes() == data


def test_a_journal_whose_first_line_was_torn_begins_anew(tmp_path: Path) -> None:
    data = written(tmp_path / "j", 0)
    (tmp_path / "j").write_bytes(data[:20])
    assert written(tmp_path / "j", 0) == data


def test_any_changed_byte_of_a_whole_line_is_noticed(tmp_path: Path) -> None:
    data = written(tmp_path / "j", 3)
    end = data[:-1].rindex(b"\n")
    for place in range(end):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / "damaged").write_bytes(changed)
        assert reason_of_opening(tmp_path / "damaged", gallery()) in ("JOURNAL_DAMAGED", "JOURNAL_OTHER"), place
        assert (tmp_path / "damaged").read_bytes() == bytes(changed)


def test_one_command_at_a_time_holds_a_journal_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    with EnrolLog(tmp_path / "j", gallery()):
        assert reason_of_opening(tmp_path / "j", gallery()) == "JOURNAL_IN_USE"
        assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600
    written(tmp_path / "j")


def test_a_journal_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason_of_opening(tmp_path / "none" / "j", gallery()) == "JOURNAL_UNUSABLE"
    assert reason_of_opening(Path("/dev/zero"), gallery()) == "JOURNAL_UNUSABLE"
    before = written(tmp_path / "j")
    write = os.write

    def full_in_the_middle_of_a_line(file: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) - 90])

    monkeypatch.setattr(os, "write", full_in_the_middle_of_a_line)
    with pytest.raises(Unusable, match="No space left") as caught, EnrolLog(tmp_path / "j", gallery()) as journal:
        journal.note(photo("x" * 100), Noted(STATE))
    assert caught.value.reason == "JOURNAL_UNUSABLE"
    assert len((tmp_path / "j").read_bytes()) > len(before)
    monkeypatch.undo()
    with EnrolLog(tmp_path / "j", gallery()) as journal:
        assert len(journal) == 4
    assert (tmp_path / "j").read_bytes() == before


def test_the_disk_has_it_within_a_second_of_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with EnrolLog(tmp_path / "j", gallery(), clock=lambda: now) as journal:
        synced.clear()
        for tenth in range(1, 26):
            now = tenth / 10
            journal.note(photo("1.jpg"), Noted(STATE))
        assert len(synced) == 2
    assert len(synced) == 3


def test_refusals_that_may_pass_are_those_of_the_core() -> None:
    assert {error.reason for error in Failure.__subclasses__()} | {"FILE_UNREADABLE"} == PASSING
