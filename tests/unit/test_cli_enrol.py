"""Enrolling many photos: what is read, how the run ends, and its journal; and who may read files that `fr` writes."""

import errno
import os
import signal
import stat
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from fr_api.v1 import gallery_pb2
from fr_client.cli.files import refused_file
from fr_client.cli.gallery import duplicates
from fr_client.cli.gallery.enrol_log import EnrolLog, FileState, Noted
from fr_client.cli.gallery.enrol_run import PASSING
from fr_client.cli.gallery.photo_sources import PhotoFile, read_folder, read_manifest, read_source, read_unnamed
from fr_client.cli.plugins import INTERRUPTED
from fr_client.cli.progress import progress
from fr_client.cli.state import SOME_REFUSED, Ending, Unusable
from fr_client.private import private_file
from fr_client.unpack import Exported, write_export
from fr_core.errors import Failure
from fr_trust.errors import RateLimited


def test_without_a_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    with progress("Enrolling", "photos", 1000, lambda: now) as advance:
        for done in range(1, 251):
            now += 0.125
            advance(done, done // 80)
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "Enrolling: 80 of 1,000 photos, 8.0/s, 0:01:55 left, 1 refused",
        "Enrolling: 160 of 1,000 photos, 8.0/s, 0:01:45 left, 2 refused",
        "Enrolling: 240 of 1,000 photos, 8.0/s, 0:01:35 left, 3 refused",
    ]


def test_a_run_ends_with_the_status_that_it_has_earned() -> None:
    with pytest.raises(RuntimeError), Ending().noted():
        raise RuntimeError("a defect is not noted")
    Ending().leave(False)
    unusable = Unusable("NO_PHOTOS", "There is none.")
    for stop, status in ((None, SOME_REFUSED), (KeyboardInterrupt(), INTERRUPTED), (unusable, 1)):
        ending = Ending()
        with ending.noted():
            if stop is not None:
                raise stop
        assert ending.early == (stop is not None)
        with pytest.raises(typer.Exit) as caught:
            ending.leave(True)
        assert caught.value.exit_code == status


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_for_each_subject(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.JPG", "b/1.png", "a b/x.webp", ".git/x.jpg", "b/._x.jpg", ".DS_Store")
    touch(tmp_path, unicodedata.normalize("NFD", "Zoë") + "/x.jpg")  # the same id however the disk spells it
    found = read_folder(tmp_path)
    photos = [(photo.subject_id, photo.path.name, photo.display_name) for photo in found.photos]
    named = (unicodedata.normalize("NFC", "Zoë"), "x.jpg", "")
    assert photos == [named, ("a b", "x.webp", ""), ("b", "1.png", ""), ("b", "2.JPG", "")]
    assert (found.empty_subjects, found.ignored) == ((), ())


def test_what_is_no_photo_of_a_subject_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "loose.jpg", "a/notes.txt", "a/x.jpg", "a/more/y.jpg", "only-notes/notes.txt")
    (tmp_path / "nobody").mkdir()
    found = read_folder(tmp_path)
    assert [photo.path.name for photo in found.photos] == ["x.jpg"]
    assert found.empty_subjects == ("nobody", "only-notes")
    assert [path.name for path in found.ignored] == ["more", "notes.txt", "loose.jpg", "notes.txt"]


def test_each_unnamed_photo_is_a_subject(tmp_path: Path) -> None:
    zoe = unicodedata.normalize("NFD", "Zoë")
    touch(tmp_path, "2.jpg", "trip/1.png", "trip/day 2/x.webp", "notes.txt", ".cache/x.jpg", f"{zoe}/1.png")
    (tmp_path / "trip" / "round").symlink_to(tmp_path)
    found = read_unnamed(tmp_path)
    assert [photo.subject_id for photo in found.photos] == ["2.jpg", "Zoë/1.png", "trip/1.png", "trip/day 2/x.webp"]
    assert all(photo.path.is_file() for photo in found.photos)
    assert [path.name for path in found.ignored] == ["notes.txt", "round"]
    assert read_source(tmp_path, unnamed=True) == found


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
    spreadsheet = manifest(tmp_path, "path, subject_id\nx.jpg, Zoë\n", "utf-8-sig")
    assert read_manifest(spreadsheet).photos == (PhotoFile(tmp_path / "x.jpg", "Zoë"),)


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


def test_sources_that_cannot_be_used_are_one_sentence(tmp_path: Path) -> None:
    touch(tmp_path, "loose.jpg")
    (tmp_path / "empty").mkdir()
    for path, unnamed, says, reason in (
        (tmp_path / "nowhere", False, "nowhere cannot be read: No such file", "FILE_UNREADABLE"),
        (tmp_path, False, "FOLDER/SUBJECT/PHOTO", "NO_PHOTOS"),
        (tmp_path / "empty", True, "Name a folder with photos", "NO_PHOTOS"),
        (tmp_path / "loose.jpg", True, "Not a directory", "FILE_UNREADABLE"),
    ):
        with pytest.raises(Unusable, match=says) as caught:
            read_source(path, unnamed=unnamed)
        assert caught.value.reason == reason
    if os.geteuid():  # root may read everything
        (tmp_path / "empty").chmod(0)
        with pytest.raises(Unusable, match="empty cannot be read: Permission denied"):
            read_source(tmp_path)
        (tmp_path / "empty").chmod(0o700)


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
    only = written(tmp_path / "only", 0)
    (tmp_path / "only").write_bytes(only[:20])
    assert written(tmp_path / "only", 0) == only


def test_any_changed_byte_of_a_whole_line_is_noticed(tmp_path: Path) -> None:
    data = written(tmp_path / "j", 3)
    end = data[:-1].rindex(b"\n")
    for place in range(end):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / "damaged").write_bytes(changed)
        assert reason_of_opening(tmp_path / "damaged", gallery()) in (
            "JOURNAL_DAMAGED",
            "JOURNAL_OTHER",
            "JOURNAL_FOREIGN",
        ), place
        assert (tmp_path / "damaged").read_bytes() == bytes(changed)


@pytest.mark.parametrize(
    "data",
    [
        b"a diary without an end",
        b"subject_id,path\nada,1.jpg\n",
        b"\xff\xd8\xff\xe0 a photo",
        b'{"journal',
        b'{"journal": 1, "gallery_id": "other',
        b'{"journal": "mine"}\n',
        b"x" * 200_000,
    ],
)
def test_no_other_file_is_taken_for_a_journal(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mine").write_bytes(data)
    if written(tmp_path / "new", 0).startswith(data):  # control: a header that was cut short is completed
        assert written(tmp_path / "mine", 0) == written(tmp_path / "new", 0)
        return
    assert reason_of_opening(tmp_path / "mine", gallery()) in ("JOURNAL_FOREIGN", "JOURNAL_DAMAGED")
    assert (tmp_path / "mine").read_bytes() == data


@pytest.mark.parametrize("end", [b"notes of mine", b"x" * 200_000])
def test_what_follows_the_lines_of_a_journal_stays_unless_it_is_a_torn_line(tmp_path: Path, end: bytes) -> None:
    data = written(tmp_path / "j") + end
    (tmp_path / "j").write_bytes(data)
    assert reason_of_opening(tmp_path / "j", gallery()) == "JOURNAL_DAMAGED"
    assert (tmp_path / "j").read_bytes() == data


def test_a_table_of_refusals_replaces_only_a_table_of_refusals(tmp_path: Path) -> None:
    target, columns = tmp_path / "people.csv", ("file", "subject_id", "reason", "message")
    target.write_text("subject_id,path\nada,1.jpg\n")
    with pytest.raises(Unusable, match="stays as it is") as caught, refused_file(target, columns):
        pass
    assert (caught.value.reason, target.read_text()) == ("FILE_EXISTS", "subject_id,path\nada,1.jpg\n")
    for _ in range(2):
        target.unlink(missing_ok=True)
        with refused_file(target, columns) as write:
            write(("1.jpg", "ada", "NO_FACE", "There is none."))
    with refused_file(target, columns):
        pass
    assert target.read_text().splitlines() == [",".join(columns)]


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
    assert {error.reason for error in Failure.__subclasses__()} | {"FILE_UNREADABLE", RateLimited.reason} == PASSING


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """Let the umask keep nobody out."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


SUBJECT = gallery_pb2.Subject(subject_id="s", templates=[gallery_pb2.Template(template_id=7)])


class Holding:
    """Holds the template of `SUBJECT`; looks at the folder when it is asked for that."""

    def __init__(self, folder: Path, error: BaseException | None = None) -> None:
        self.seen: dict[str, int] = {}
        self._folder = folder
        self._error = error

    def __call__(self, template_id: int) -> gallery_pb2.GetTemplateResponse:
        self.seen = {path.name: mode(path) for path in self._folder.iterdir()}
        if self._error is not None:
            raise self._error
        return gallery_pb2.GetTemplateResponse()


def test_an_archive_has_its_name_when_it_is_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    target, template = tmp_path / "out.zip", Holding(tmp_path)
    assert write_export(SUBJECT, template, target) == Exported(templates=1, photos=0)
    assert list(template.seen.values()) == [0o600]
    assert target.name not in template.seen
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert mode(target) == 0o600
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert "templates/7.json" in archive.namelist()


def test_an_archive_replaces_no_file_and_leaves_nothing_unfinished(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    for error in (KeyboardInterrupt(), ValueError("x"), OSError(28, "No space left on device")):
        with pytest.raises(type(error)):
            write_export(SUBJECT, Holding(tmp_path, error), target)
        assert list(tmp_path.iterdir()) == []

    def write() -> None:
        with private_file(target, replace=False) as file:
            file.write(b"ours")
            target.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write()
    assert target.read_bytes() == b"theirs"
    with pytest.raises(FileExistsError):
        write_export(SUBJECT, Holding(tmp_path), target)
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_a_kill_leaves_no_half_of_a_file_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    program = (
        "import os, pathlib, signal, sys; from fr_client.private import private_file\n"
        "with private_file(pathlib.Path(sys.argv[1]), replace=False) as file:\n"
        "    file.write(bytes(100_000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, target], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.match(".fr-*.part")
    assert mode(left) == 0o600


def cluster() -> gallery_pb2.Cluster:
    return gallery_pb2.Cluster(number=1, size=1, members=[gallery_pb2.ClusterMember(template_id=7, subject_id="Zoë")])


def test_a_table_of_clusters_is_for_its_owner_also_where_it_replaces_one_for_all(tmp_path: Path) -> None:
    target = tmp_path / "clusters.csv"
    yesterday = "cluster,size,cohesion,template_id,subject_id,similarity\n"
    target.write_text(yesterday)
    target.chmod(0o644)
    with duplicates._csv(target) as write:
        write(cluster())
        assert target.read_text() == yesterday
    assert target.read_bytes().decode().splitlines()[1:] == ["1,1,,7,Zoë,0.000000"]
    assert mode(target) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_tables_can_be_written_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with duplicates._csv(pipe) as write:
        write(cluster())
    assert os.read(reader, 1000).decode().splitlines()[1:] == ["1,1,,7,Zoë,0.000000"]
    with refused_file(pipe, ("photo",)) as write_row:
        write_row(("Zoë.jpg",))
    assert os.read(reader, 1000).decode().splitlines() == ["photo", "Zoë.jpg"]
    assert mode(pipe) == 0o644  # a device, such as /dev/null, is not ours to change
    os.close(reader)


def test_what_was_refused_is_for_the_owner_from_its_first_row_on(tmp_path: Path) -> None:
    for target in (tmp_path / "new.csv", tmp_path / "old.csv"):
        if target.name == "old.csv":
            target.write_text("photo,reason\nof,yesterday\n")
            target.chmod(0o644)
        with refused_file(target, ("photo", "reason")) as write:
            assert mode(target) == 0o600
            write(("Zoë.jpg", "NO_FACE"))
            assert target.read_text().splitlines() == ["photo,reason", "Zoë.jpg,NO_FACE"]
        assert mode(target) == 0o600
