"""Sudden death of two processes that write answers at once, and of the power: what was acknowledged is there.

Run as a script, this file makes two processes for each line that it reads, in the folder of its argument.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from fr_core.errors import StoreFailed
from fr_core.storage import log_copier
from fr_core.storage.location import Location
from fr_training.courses import Course
from fr_training.errors import UnknownCourse
from fr_training.store.schema import DATABASE_NAME
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Session
from support.commands import Script, have_children, say, script
from support.counts import count
from support.power_cut import Image, PowerCut
from support.stores import as_argument, located
from support.training_stores import (
    DAY_MS,
    NOW_MS,
    add_course,
    answered,
    begin,
    open_store,
    pictures_of,
    shown,
    small_course,
)

KILLS = count("TRAINING_KILLS")
CUTS = count("TRAINING_POWER_CUTS")
SESSIONS = 24
HANDS = 6  # threads of a process, each with its own sessions

# The processes live until they have acknowledged up to so many changes, and up to so long after that.
MOST_CHANGES = 120
LONGEST_S = 0.03

COURSE = small_course()
PASSING = small_course(course_id="0" * 16)  # a course that comes and goes meanwhile


def changed(session: Session) -> Session:
    """The session after its next change, which follows from the session alone."""
    if session.trials and not session.trials[-1].done:
        return answered(session, len(session.trials) % 7 - 3, NOW_MS + len(session.trials))
    return shown(COURSE, session, NOW_MS + len(session.trials))


def changes_of(session: Session) -> int:
    return sum(1 + trial.done for trial in session.trials)


def after(session: Session, changes: int) -> Session:
    for _ in range(changes):
        session = changed(session)
    return session


def _change_for_ever(folder: Location, how: str, child: int) -> None:
    say("pid", os.getpid())
    store = open_store(folder)
    (cohort,) = store.cohorts()
    ids = [session.session_id for session in store.changes_since(cohort.cohort_id, -1).sessions]

    def change(_: Course, session: Session) -> tuple[Session, None]:
        return changed(session), None

    def work(hand: int) -> None:
        while True:
            for number in range(2 * hand + child, SESSIONS, 2 * HANDS):
                say("begin", number)
                if how == "promise":
                    say("done", number)
                store.change(ids[number], change).result()
                if how != "promise":
                    say("done", number)

    for hand in range(HANDS):
        threading.Thread(target=work, args=(hand,), daemon=True).start()
    while child == 0:
        add_course(store, PASSING)
        store.delete_course(PASSING.course_id)
    time.sleep(600)


@dataclass(slots=True)
class Book:
    """The acknowledged changes of each session, and those under way when the processes died."""

    done: list[int] = field(default_factory=lambda: [0] * SESSIONS)
    begun: set[int] = field(default_factory=set)
    lost: int = 0
    acknowledged: int = 0
    in_the_midst: int = 0


def live_and_die(parent: Script, how: str, at: random.Random, book: Book) -> None:
    parent.tell(how)
    pids: list[int] = []
    left = at.randrange(MOST_CHANGES)
    for line in parent.lines():
        word, *values = json.loads(line)
        if word == "pid":
            pids += values
        elif word == "begin":
            book.begun.update(values)
        elif word == "done":
            book.begun.difference_update(values)
            book.done[values[0]] += 1
            book.acknowledged += 1
            left -= 1
        elif word == "dead":
            assert values == [-signal.SIGKILL] * 2
            return
        if left <= 0 and len(pids) == 2:
            left = sys.maxsize
            for pid in at.sample(pids, 2):
                time.sleep(at.uniform(0, LONGEST_S))
                os.kill(pid, signal.SIGKILL)
    raise AssertionError("the process that makes the children has ended")


def judge(store: TrainingStore, begun: list[Session], book: Book) -> None:
    for number, first in enumerate(begun):
        session = store.session(first.session_id)
        changes = changes_of(session)
        assert session == after(first, changes)
        if not book.done[number] <= changes <= book.done[number] + (number in book.begun):
            book.lost += 1
        book.done[number] = changes
    book.in_the_midst += bool(book.begun)
    book.begun.clear()
    with store._database.reading() as now:
        ((courses, pictures),) = now.rows("SELECT (SELECT count(*) FROM courses), (SELECT count(*) FROM pictures)")
    assert pictures == courses * len(pictures_of(COURSE))  # no part of one
    try:
        assert store.course(PASSING.course_id) == PASSING
        store.delete_course(PASSING.course_id)
    except UnknownCourse:
        assert courses == 1


def kill_many(folder: Location, kills: int, how: str, seed: int) -> Book:
    with open_store(folder) as store:
        add_course(store, COURSE)
        _, enrolled = store.create_cohort(COURSE.course_id, "", SESSIONS, DAY_MS)
        begun = begin(store, COURSE, enrolled)
    at, book = random.Random(seed), Book()
    with script(__file__, as_argument(folder)) as parent:
        for _ in range(kills):
            live_and_die(parent, how, at, book)
            with open_store(folder) as store:
                judge(store, begun, book)
            if book.lost:
                break
    return book


def test_what_was_acknowledged_survives_kill_9(location: Location) -> None:
    book = kill_many(location, KILLS, "change", seed=1)
    print(f"{2 * KILLS} processes killed: {book.acknowledged} acknowledged, {book.lost} lost")  # noqa: T201
    assert book.lost == 0
    assert book.acknowledged > 10 * KILLS
    assert book.in_the_midst > KILLS / 2


@pytest.mark.nightly
def test_control_what_was_promised_too_early_does_not(location: Location) -> None:
    assert kill_many(location, 20, "promise", seed=2).lost > 0


@dataclass(slots=True)
class Cut:
    """The files left by a power cut, with the changes acknowledged and begun until then."""

    image: Image
    done: list[int]
    begun: list[int]


def cut_many(
    folder: Path,
    cuts: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    synchronous: str = "FULL",
    refuses: tuple[float, float] = (0.0, 0.0),
    stores: int = 1,
) -> tuple[list[Cut], list[Session]]:
    """Change sessions from several threads, in a store that is open so often, until the power has failed enough."""
    monkeypatch.setattr(log_copier, "_CHECKPOINT_FRAMES", 40)  # as frequent as in days
    with open_store(folder) as store:
        add_course(store, COURSE)
        _, enrolled = store.create_cohort(COURSE.course_id, "", HANDS, DAY_MS)
        first = begin(store, COURSE, enrolled)
    done, begun, taken, enough = [0] * HANDS, [0] * HANDS, [], threading.Event()

    def take(image: Image) -> None:
        # A thread that comes here holds the disk: nothing that is begun from now on can be in the image.
        taken.append(Cut(image, done.copy(), begun.copy()))
        if len(taken) >= cuts and disk.failures >= cuts * sum(refuses) / 8:
            enough.set()

    disk = PowerCut(random.Random(1), 60, take, folder)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_store(folder, vfs=disk.vfs_name)) for _ in range(stores)]
        for store in opened:
            store._database.writer.execute(f"PRAGMA synchronous = {synchronous}")
        disk.refuse(*refuses)

        def work(hand: int) -> None:
            store = opened[hand % stores]
            while not enough.is_set():
                begun[hand] += 1
                try:
                    store.change(first[hand].session_id, lambda _, one: (changed(one), None)).result()
                except StoreFailed as error:
                    begun[hand] -= "refused to undo it" not in error.what  # where it says so, nobody knows
                    time.sleep(0.002 * hand)  # the next cut may come before it begins again
                else:
                    done[hand] += 1

        threads = [threading.Thread(target=work, args=(hand,)) for hand in range(HANDS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return taken[:cuts], first


def lost_in(cut: Cut, first: list[Session], folder: Path) -> int:
    cut.image.write(folder)
    lost = 0
    with open_store(folder) as store:
        for number, session in enumerate(first):
            now = store.session(session.session_id)
            assert now == after(session, changes_of(now))
            lost += not cut.done[number] <= changes_of(now) <= cut.begun[number]
    shutil.rmtree(folder)
    return lost


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts, first = cut_many(tmp_path / "training", CUTS, monkeypatch)
    assert sum(lost_in(cut, first, tmp_path / "cut") for cut in cuts) == 0
    assert len({cut.image.files[DATABASE_NAME] for cut in cuts}) > CUTS / 10  # the log was copied again and again
    assert sum(cut.image.torn for cut in cuts) > CUTS / 20
    assert sum(cuts[-1].done) > CUTS


def test_power_cuts_after_failed_syncs_take_and_give_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a commit or a checkpoint; what is left of them in the log is taken for no loss."""
    cuts, first = cut_many(tmp_path / "training", CUTS, monkeypatch, refuses=(0.3, 0.3))
    assert sum(lost_in(cut, first, tmp_path / "cut") for cut in cuts) == 0


def test_copied_changes_survive_a_sync_that_fails_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts, first = cut_many(tmp_path / "training", 2 * CUTS, monkeypatch, refuses=(0.3, 0.0), stores=2)
    assert sum(lost_in(cut, first, tmp_path / "cut") for cut in cuts) == 0


if __name__ == "__main__":
    have_children(partial(_change_for_ever, located(sys.argv[1])), at_once=2)
