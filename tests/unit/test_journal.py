"""The journal of `fr enrol`: what it remembers, and what it does not believe."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fr_api.v1 import gallery_pb2
from fr_client.cli.gallery.enrol_log import EnrolLog, FileState, Noted
from fr_client.cli.gallery.enrol_run import PASSING
from fr_client.cli.gallery.photo_sources import PhotoFile
from fr_client.cli.state import Unusable
from fr_core.errors import Failure

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


def test_a_file_that_changed_or_a_photo_of_another_subject_is_not_known(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with EnrolLog(tmp_path / "j", gallery()) as journal:
        assert journal.noted(photo("0.jpg"), STATE) is not None
        assert journal.noted(photo("0.jpg"), FileState(1001, STATE.mtime_ns)) is None
        assert journal.noted(photo("0.jpg"), FileState(1000, STATE.mtime_ns + 1)) is None
        assert journal.noted(photo("0.jpg"), None) is None
        assert journal.noted(photo("0.jpg", "b"), STATE) is None


@pytest.mark.parametrize("other", [gallery("h"), gallery("g", 1_700_000_001)])
def test_a_journal_of_another_gallery_is_refused(tmp_path: Path, other: gallery_pb2.Gallery) -> None:
    before = written(tmp_path / "j")
    assert reason_of_opening(tmp_path / "j", other) == "JOURNAL_OTHER"
    assert (tmp_path / "j").read_bytes() == before


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
