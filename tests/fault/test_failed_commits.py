"""A disk that refuses a commit: what a caller was told to have failed is not there after a crash, and no store suffers.

What a power cut leaves after such commits is in `test_power_cut` and `test_training_kill`. Run as a script, this file
is killed while it commits.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_training.store.training_store import TrainingStore
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Purpose
from support import access as accessing
from support import cases as casefiles
from support import training_stores as trainingstore
from support.audits import Clock
from support.commands import script
from support.full_disk import WatchedDisk
from support.ledger import KEY, MODEL, SIZE, embedding

COURSE = trainingstore.small_course()

_numbers = itertools.count()


class FailingDisk(WatchedDisk):
    """Refuses so many of the next syncs and truncations of the log, or kills the process at one of its syncs."""

    syncs = truncations = 0
    kills = False

    def step(self, kind: str, path: str, size: int) -> None:
        if not path.endswith("-wal"):
            return
        if kind == "sync" and self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "sync" and self.syncs:
            self.syncs -= 1
            raise apsw.IOError("a sync is refused")
        if kind == "truncate" and self.truncations:
            self.truncations -= 1
            raise apsw.IOError("a truncation is refused")


@dataclass(frozen=True, slots=True)
class Kept:
    """An open store: what keeps a name in a transaction, of so many rows where it can, and all names that it keeps."""

    keep: Callable[[str, int], object]
    names: Callable[[], set[str]]


@contextmanager
def access(folder: Path, vfs: str) -> Iterator[Kept]:
    clocks = accessing.Clocks()
    with AccessStore.open(folder, KEY, clocks.clock_ms, monotonic_s=clocks.monotonic_s, vfs=vfs) as store:
        yield Kept(
            lambda name, _: store.create(accessing.new_key(label=name)),
            lambda: {key.label for key in store.keys(size=100)},
        )


@contextmanager
def cases(folder: Path, vfs: str) -> Iterator[Kept]:
    with CaseStore.open(folder, KEY, Clock(), vfs=vfs) as store:
        yield Kept(
            lambda name, _: store.open_case(name, Purpose.TESTING, casefiles.SEARCHER, None),
            lambda: {case.reference for case in store.cases()},
        )


@contextmanager
def training(folder: Path, vfs: str) -> Iterator[Kept]:
    with TrainingStore.open(folder, KEY, trainingstore.Clock(), 0, vfs=vfs) as store:
        if not store.courses():
            trainingstore.add_course(store, COURSE)
        yield Kept(
            lambda name, rows: store.create_cohort(COURSE.course_id, name, rows, trainingstore.DAY_MS),
            lambda: {cohort.display_name for cohort in store.cohorts()},
        )


@contextmanager
def galleries(folder: Path, vfs: str) -> Iterator[Kept]:
    with Galleries(GalleryStore(folder, KEY, vfs=vfs), index="numpy") as store:
        store.load()
        if not store.list().items:
            store.create("g", "", MODEL, SIZE)
        seeds = itertools.count(1_000 * next(_numbers))
        yield Kept(
            lambda name, rows: store.enrol_many(
                "g", [Enrolment(f"{name}-{n}", NewTemplate(embedding(next(seeds)))) for n in range(rows)]
            ),
            lambda: {subject.subject_id.partition("-")[0] for subject in store.subjects("g", 1_000).items},
        )


STORES = {one.__name__: one for one in (access, cases, training, galleries)}
LARGE, MIDDLE, SMALL = 400, 150, 40


def after_a_crash(name: str, folder: Path) -> set[str]:
    """Return the ids that the store still finds if everything stops now."""
    copy = folder.with_name("after")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    try:
        with STORES[name](copy, "") as store:
            return store.names()
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", STORES)
def test_what_has_failed_is_not_there_after_a_crash(name: str, tmp_path: Path) -> None:
    disk, folder = FailingDisk(), tmp_path / "store"
    with STORES[name](folder, disk.vfs_name) as store:
        store.keep("first", 1)
        disk.syncs = 1
        with pytest.raises(StoreFailed) as failed:
            store.keep("second", 1)
        assert "refused to undo it" not in failed.value.what
        assert disk.syncs == 0
        assert after_a_crash(name, folder) == store.names() == {"first"}
        store.keep("third", 1)
        assert after_a_crash(name, folder) == store.names() == {"first", "third"}


@pytest.mark.parametrize("name", STORES)
def test_where_it_cannot_be_taken_back_that_is_said_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    """Control: after a crash it is there."""
    disk, folder = FailingDisk(), tmp_path / "store"
    with STORES[name](folder, disk.vfs_name) as store:
        store.keep("first", 1)
        disk.syncs, disk.truncations = 1, 2
        with pytest.raises(StoreFailed, match="refused to undo it"):
            store.keep("second", 1)
        with pytest.raises(StoreFailed, match="refused to undo it"):
            store.keep("third", 1)
        assert (disk.syncs, disk.truncations) == (0, 0)
        assert store.names() == {"first"}
        assert after_a_crash(name, folder) == {"first", "second"}
        store.keep("fourth", 1)  # the disk has recovered
        assert after_a_crash(name, folder) == store.names() == {"first", "fourth"}
        disk.truncations = 1
        store.keep("fifth", 1)  # nothing is left that would have to be taken back


@pytest.mark.parametrize("name", ["training", "galleries"])
def test_a_store_is_sound_after_ever_shorter_commits_that_failed(name: str, tmp_path: Path) -> None:
    """The rest of such a commit in the log, partly overwritten by a shorter one, would look like lost commits."""
    disk, folder = FailingDisk(), tmp_path / "store"
    with STORES[name](folder, disk.vfs_name) as store:
        store.keep("first", 1)
        for rows in (LARGE, MIDDLE, SMALL):
            disk.syncs = 1
            with pytest.raises(StoreFailed):
                store.keep("failed", rows)
        store.keep("last", 1)
        assert after_a_crash(name, folder) == store.names() == {"first", "last"}


@pytest.mark.parametrize("name", ["training", "galleries"])
def test_the_first_commit_of_a_log_may_fail(name: str, tmp_path: Path) -> None:
    """It leaves the header of a log before the frames of a log that is in the database."""
    disk, folder = FailingDisk(), tmp_path / "store"
    with STORES[name](folder, disk.vfs_name) as store:
        store.keep("first", LARGE)
        log = copy_log(folder)
        disk.syncs = 1
        with pytest.raises(StoreFailed):
            store.keep("second", 1)
        assert log.stat().st_size == 0
        assert after_a_crash(name, folder) == store.names() == {"first"}
        store.keep("third", 1)
        assert after_a_crash(name, folder) == store.names() == {"first", "third"}


def test_a_log_that_cannot_be_copied_at_the_end_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk, folder = FailingDisk(), tmp_path / "store"
    with galleries(folder, disk.vfs_name) as store:
        store.keep("first", 1)
        disk.truncations = 1
    assert "could not be copied at the end" in caplog.text
    with galleries(folder, "") as store:
        assert store.names() == {"first"}


def copy_log(folder: Path) -> Path:
    """Have all of the log in the database, so that the next commit begins it anew; returns its path."""
    (path,) = (path for path in folder.iterdir() if path.suffix in {".db", ".sqlite"})
    with closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        frames, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    assert frames == copied > 0
    return path.with_name(f"{path.name}-wal")


def test_a_store_is_sound_after_processes_were_killed_while_they_committed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with training(folder, "") as store:
        store.keep("first", 1)
        for rows in (LARGE, MIDDLE):
            with script(__file__, folder, rows) as killed:
                assert killed.wait(60) == -signal.SIGKILL
        store.keep("last", 1)
        assert after_a_crash("training", folder) == store.names() == {"first", "last"}


if __name__ == "__main__":
    disk = FailingDisk()
    with training(Path(sys.argv[1]), disk.vfs_name) as store:
        disk.kills = True
        store.keep("killed", int(sys.argv[2]))
