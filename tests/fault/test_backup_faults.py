"""Faults of backups: changed bytes, full disks, sudden death, a server that writes. Each with its control.

Run as a script, this file backs up and dies, or enrols until it is killed.
"""

import itertools
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import BackupUnusable, FrError, StoreFailed
from fr_core.gallery.backup.restore import restore
from fr_core.gallery.backup.saved import saved_store
from fr_core.gallery.backup.staged import Staged
from fr_core.gallery.backup.take import back_up
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from support.commands import script
from support.counts import NIGHTLY
from support.full_disk import WatchedDisk
from support.ledger import KEY, MODEL, SIZE, embedding

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHANGES = 600


def fill(folder: Path, subjects: int = 12) -> None:
    with Galleries.open(folder, key=KEY, index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE, keeps_photos=True)
        for seed in range(subjects):
            template = NewTemplate(embedding(seed), f"{seed:064x}", 0.5, bytes([seed]) * 700)
            galleries.enrol("g", Enrolment(f"s{seed % 8}", template, "Name", {"k": "v"}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, its backup `out` and the `keys` of it; nobody changes them."""
    folder = tmp_path_factory.mktemp("made")
    fill(folder / "data")
    back_up(folder / "data", KEY, folder / "out", folder / "keys", NOW)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    fill(tmp_path / "data")
    back_up(tmp_path / "data", KEY, tmp_path / "out", tmp_path / "keys", NOW)
    return tmp_path


def everything(out: Path, keys: Path) -> object:
    with saved_store(out, keys, KEY) as saved:
        found = saved.created, saved.extent, saved.galleries, saved.numbers, list(saved.subjects())
        return *found, list(saved.erasures())


def changed_byte(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(data)))
    return data[:place] + bytes([data[place] ^ int(rng.integers(1, 256))]) + data[place + 1 :]


def cut_short(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def swapped_pages(data: bytes, rng: np.random.Generator) -> bytes:
    pages = [data[at : at + 8_192] for at in range(0, len(data), 8_192)]
    first, second = rng.choice(len(pages), 2, replace=False)
    pages[first], pages[second] = pages[second], pages[first]
    return b"".join(pages)


def finds_nothing_amiss(path: Path) -> bool:
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").get == "ok")
    except apsw.Error:
        return False


@pytest.mark.parametrize("name", ["out", "keys"])
@pytest.mark.parametrize(
    ("change", "times"),
    [(changed_byte, CHANGES), (cut_short, 40), (swapped_pages, 10)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_change_is_found_or_does_no_harm(
    made: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[bytes, np.random.Generator], bytes],
    times: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every answer equals that of the unchanged file, or there is none; what SQLite alone would let pass is counted."""
    before = everything(made / "out", made / "keys")
    whole = (made / name).read_bytes()
    rng = np.random.default_rng(7)
    counts: Counter[str] = Counter()
    spoilt = tmp_path / name
    paths = {"out": made / "out", "keys": made / "keys", name: spoilt}
    for _ in range(times):
        data = change(whole, rng)
        if data == whole:
            continue
        spoilt.write_bytes(data)
        try:
            assert everything(paths["out"], paths["keys"]) == before
            counts["harmless"] += 1
        except FrError:
            counts["found"] += 1
            counts["found by the ciphers alone"] += finds_nothing_amiss(spoilt)
        assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    with capsys.disabled():
        sys.stdout.write(f"\n{name}, {change.__name__}: {dict(counts)}\n")
    assert counts["found"] > times / 20
    if change is changed_byte:
        assert counts["found by the ciphers alone"] > 0  # the control: SQLite would have let it pass


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    with Galleries.open(folder / "data", key=KEY, index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE)
        for seed in range(400):
            galleries.enrol("g", Enrolment(f"s{seed}", NewTemplate(embedding(seed))))
        galleries.erase_subject("g", "s7")
    back_up(folder / "data", KEY, folder / "out", folder / "keys", NOW)
    return folder


def test_no_change_of_the_keys_makes_anybody_pass_for_erased(many: Path, tmp_path: Path) -> None:
    """Every bit of the root of the tree, bytes anywhere, every pair of pages, cuts at and within every page."""
    whole = (many / "keys").read_bytes()
    pages = [whole[at : at + 8_192] for at in range(0, len(whole), 8_192)]
    (inner,) = (number for number, page in enumerate(pages) if page[0] == 5)  # an interior page of a table
    places = [inner * 8_192 + at for at in (*range(12 + 12), *range(8_192 - 64, 8_192))]
    changes = [whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :] for at in places for bit in range(8)]
    changes = changes if NIGHTLY else changes[::5]  # by day, a few bits of each byte
    rng = np.random.default_rng(3)
    changes += [changed_byte(whole, rng) for _ in range(200 if NIGHTLY else 60)]
    for first, second in itertools.combinations(range(len(pages)), 2):
        swapped = list(pages)
        swapped[first], swapped[second] = pages[second], pages[first]
        changes.append(b"".join(swapped))
    changes += [whole[:cut] for page in range(len(pages)) for cut in (page * 8_192, page * 8_192 + 4_000)]
    spoilt, reasons = tmp_path / "keys", Counter[str]()
    for data in changes:
        # Four bytes of the header claim a later version, which is refused as such; nothing authenticates them.
        spoilt.write_bytes(data[:60] + whole[60:64] + data[64:] if len(data) > 64 else data)
        try:
            with saved_store(many / "out", spoilt, KEY) as saved:
                assert sum(subject is not None for subject in saved.subjects()) == 399
                reasons["harmless"] += 1
        except FrError as error:
            reasons[error.reason] += 1
    assert set(reasons) == {"BACKUP_UNUSABLE", "harmless"}
    assert reasons["BACKUP_UNUSABLE"] > len(changes) / 4
    assert reasons["harmless"] > 0


def test_a_damaged_backup_leaves_no_folder(own: Path) -> None:
    whole = (own / "out").read_bytes()
    with closing(apsw.Connection(str(own / "out"))) as connection:
        connection.execute("UPDATE photos SET sealed = zeroblob(40) WHERE template_id = 12").fetchall()
    with pytest.raises(FrError) as raised:
        restore(own / "out", own / "keys", KEY, own / "deep" / "new")
    assert (raised.value.reason, raised.value.metadata) == ("BACKUP_UNUSABLE", {"check": "photo"})
    assert not (own / "deep").exists()
    (own / "out").write_bytes(whole)  # the control
    assert restore(own / "out", own / "keys", KEY, own / "deep" / "new").held.photos == 12


class Small(WatchedDisk):
    """A disk that takes so many bytes and no more."""

    room, written = 2**40, 0

    def step(self, kind: str, path: str, size: int) -> None:
        if kind == "write":
            if self.written + size > self.room:
                raise apsw.FullError("full")
            self.written += size


@pytest.fixture
def disk() -> Iterator[Small]:
    small = Small()
    yield small
    small.unregister()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_of_a_backup(own: Path, disk: Small) -> None:
    older = (own / "keys").read_bytes()
    back_up(own / "data", KEY, own / "control", own / "keys-2", NOW, vfs=disk.vfs_name)
    needed, before = disk.written, names(own)
    for room in range(0, needed, needed // 12):
        disk.room, disk.written = room, 0
        with pytest.raises(StoreFailed):
            back_up(own / "data", KEY, own / "new", own / "keys", NOW, vfs=disk.vfs_name)
        assert names(own) == before
        assert (own / "keys").read_bytes() == older
    disk.room, disk.written = needed, 0  # the control: with as much room as it needs
    back_up(own / "data", KEY, own / "new", own / "keys", NOW, vfs=disk.vfs_name)
    assert restore(own / "new", own / "keys", KEY, own / "restored").held.templates == 12


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_of_a_restoration(own: Path, disk: Small) -> None:
    restore(own / "out", own / "keys", KEY, own / "control", vfs=disk.vfs_name)
    needed, before = disk.written, names(own)
    (own / "empty").mkdir()
    for room in range(0, needed, needed // 12):
        for folder in ("new", "empty"):
            disk.room, disk.written = room, 0
            with pytest.raises(StoreFailed):
                restore(own / "out", own / "keys", KEY, own / folder, vfs=disk.vfs_name)
        assert names(own) == sorted([*before, "empty"])
        assert names(own / "empty") == []
    disk.room, disk.written = needed, 0  # the control
    assert restore(own / "out", own / "keys", KEY, own / "empty", vfs=disk.vfs_name).held.templates == 12


def test_death_in_the_middle_leaves_the_older_backup_and_keys_in_force(own: Path) -> None:
    older = (own / "keys").read_bytes()
    ended = []
    for write in (0, 2, 5, 9, 10_000):
        out = own / f"out-{write}"
        with script(__file__, "die", own / "data", out, write) as child:
            ended.append(child.wait(60))
        if ended[-1] == -signal.SIGKILL:
            assert not out.exists()
            assert (own / "keys").read_bytes() == older
    assert ended == [-signal.SIGKILL] * 4 + [0]  # the last is the control
    assert not (own / "keys.new").exists()
    for name in ("out", "out-10000"):
        assert restore(own / name, own / "keys", KEY, own / f"new-{name}").held.templates == 12


def test_keys_left_by_a_dead_process_open_nothing_and_are_overwritten(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keys.new` must not keep the key of a person who is erased afterwards."""
    back_up(own / "data", KEY, own / "out-2", own / "keys-2", NOW)
    whole = (own / "keys-2").read_bytes()
    unproved = whole.replace(b"FRCK", b"FRCN", 1)
    assert unproved != whole
    left = own / "keys.new"
    left.write_bytes(unproved)
    with pytest.raises(BackupUnusable):
        restore(own / "out", left, KEY, own / "new")
    other = own / "other"
    truncate = os.ftruncate
    seen = list[bytes]()

    def truncated(handle: int, size: int) -> None:
        seen.append(os.pread(handle, len(whole), 0))
        truncate(handle, size)

    monkeypatch.setattr("os.ftruncate", truncated)
    back_up(own / "data", KEY, own / "out-3", own / "keys", NOW)
    assert seen == [b"", bytes(len(whole))]
    assert not left.exists()
    other.write_bytes(whole)  # the control: the same file, proved
    assert restore(own / "out", other, KEY, own / "new").held.templates == 12


def test_a_file_of_keys_is_none_before_it_is_proved(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = list[bytes]()

    def stop(self: Staged, data: bytes, place: int) -> None:
        held.append(self.path.read_bytes())
        raise StoreFailed("The power has failed.")

    monkeypatch.setattr(Staged, "mark", stop)
    with pytest.raises(StoreFailed):
        back_up(own / "data", KEY, own / "out-2", own / "keys", NOW)
    (own / "left").write_bytes(held[0])
    with pytest.raises(BackupUnusable):
        restore(own / "out", own / "left", KEY, own / "new")
    (own / "left").write_bytes(held[0].replace(b"FRCN", b"FRCK", 1))  # the control
    assert restore(own / "out", own / "left", KEY, own / "new").held.templates == 12


def test_a_backup_that_cannot_be_renamed_leaves_the_older_as_it_was(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys get their name first. The other order is the control: a backup without keys that open all of it."""
    with Galleries.open(own / "data", key=KEY, index="numpy") as galleries:
        galleries.enrol("g", Enrolment("later", NewTemplate(embedding(99))))
        galleries.erase_subject("g", "s0")
    keep, kept = Staged.keep, list[str]()

    def keep_one(self: Staged) -> None:
        if kept:
            raise StoreFailed("The power has failed.")
        kept.append(self.path.name)
        keep(self)

    monkeypatch.setattr(Staged, "keep", keep_one)
    with pytest.raises(StoreFailed):
        back_up(own / "data", KEY, own / "out-2", own / "keys", NOW)
    assert kept == ["keys.new"]
    assert names(own) == ["data", "keys", "out"]
    restored = restore(own / "out", own / "keys", KEY, own / "new")
    assert (restored.held.subjects, restored.erased_since) == (7, 1)


def test_backups_beside_a_process_that_enrols_hold_all_that_was_acknowledged(own: Path) -> None:
    """The folder is locked by the other process; that each backup holds more than the one before is the control."""
    sizes = []
    with script(__file__, "enrol", own / "data") as child:
        for number in range(3):
            acknowledged = [child.line() for _ in range(60)]
            out = own / f"out-{number}"
            back_up(own / "data", KEY, out, own / "keys", NOW)
            with saved_store(out, own / "keys", KEY) as saved:
                held = {subject.subject_id for subject in saved.subjects() if subject is not None}
            assert set(acknowledged) <= held
            sizes.append(len(held))
        assert verify(own / "data", KEY).subjects >= sizes[-1]
    assert sizes[0] < sizes[1] < sizes[2]
    for number, size in enumerate(sizes):  # the newest keys open each of them
        restored = restore(own / f"out-{number}", own / "keys", KEY, own / f"new-{number}")
        assert (restored.held.subjects, restored.erased_since) == (size, 0)
    assert verify(own / "data", KEY).subjects >= sizes[-1]


class Deadly(WatchedDisk):
    """Kills the process at the write of a number."""

    writes = 0

    def step(self, kind: str, path: str, size: int) -> None:
        if kind == "write":
            if not self.writes:
                os.kill(os.getpid(), signal.SIGKILL)
            self.writes -= 1


def die(data: str, out: str, write: str) -> None:
    disk = Deadly()
    disk.writes = int(write)
    back_up(Path(data), KEY, Path(out), Path(out).with_name("keys"), datetime.now(UTC), vfs=disk.vfs_name)


def enrol_for_ever(data: str) -> None:
    galleries = Galleries.open(Path(data), key=KEY, index="numpy")

    def work(worker: int) -> None:
        for number in itertools.count():
            template = NewTemplate(embedding(worker * 1_000_000 + number))
            galleries.enrol("g", Enrolment(f"new-{worker}-{number}", template))
            os.write(1, f"new-{worker}-{number}\n".encode())

    for worker in range(1, 4):
        threading.Thread(target=work, args=(worker,)).start()


PROGRAMS: dict[str, Callable[..., None]] = {"die": die, "enrol": enrol_for_ever}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
