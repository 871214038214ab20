"""The case store in the hands of a holder of its file: every row edited, exchanged, taken out or put back is found.

And processes that die while they keep findings, and two examiners in two processes at the same moment. Run as a script,
this file gives findings, or makes processes that do, as `main` says.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt
from fr_core.storage.location import Location
from fr_trust.casework.store import CaseStore
from fr_trust.casework.store_schema import SCHEMA
from fr_trust.casework.values import Finding, Purpose
from fr_trust.errors import ExaminerNotIndependent, FindingLocked
from support.audits import DAY_MS, START_MS, Clock
from support.cases import (
    EXAMINERS,
    SEARCHER,
    a_search,
    cannot_say,
    noise,
    none_of_them,
    open_store,
    picks,
    some_candidates,
)
from support.commands import Script, say, script
from support.counts import count
from support.stores import as_argument, located

ANNA, BERT, CLEO, DORA = EXAMINERS
NAME = "Erika Mustermann"
PROBE = noise(1)
KILLS = count("CASE_KILLS")
RACES = 8


def anybody(_: str) -> bool:
    return True


def fill(store: CaseStore) -> None:
    """Three cases of two examinations each; the first of each has two findings that differ."""
    for number in range(3):
        case = store.open_case(f"{NAME} {number}", Purpose.TESTING, SEARCHER, START_MS + (number + 1) * DAY_MS)
        for at in range(2):
            searched = a_search(PROBE, at_ms=START_MS + 10 * number + at)
            own = store.add_examination(case.case_id, searched, some_candidates(), PROBE)
            if at == 0:
                store.give_finding(own.examination_id, picks(ANNA, notes=NAME))
                store.give_finding(own.examination_id, none_of_them(BERT, notes=NAME))


def read_all(store: CaseStore) -> None:
    waiting = store.awaiting(CLEO, anybody, size=1_000)
    assert len(waiting) == 6
    cases = store.cases()
    assert len(cases) == 3
    for case in cases:
        for one in store.examinations_of(case.case_id):
            store.examination(one.examination_id)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "cases"
    with open_store(folder) as store:
        fill(store)
        read_all(store)
    return folder


def altered(filled: Path, folder: Path, *statements: str) -> Path:
    shutil.copytree(filled, folder)
    with closing(apsw.Connection(str(folder / SCHEMA.database_name))) as connection:
        before = connection.total_changes()
        for statement in statements:
            connection.execute(statement)
        assert connection.total_changes() > before, "nothing was altered"
    return folder


def exchanged(table: str, columns: str, one: str, other: str) -> str:
    return f"UPDATE {table} SET ({columns}) = (SELECT {columns} FROM {table} WHERE {other}) WHERE {one}"


FLIPPED = (
    "CAST(substr(sealed, 1, 20) || CASE substr(sealed, 21, 1) WHEN x'00' THEN x'01' ELSE x'00' END || "
    "substr(sealed, 22) AS BLOB)"
)
EDITS: dict[str, tuple[str, ...]] = {
    "head sealed": (f"UPDATE head SET sealed = {FLIPPED}",),
    "head version": ("UPDATE head SET version = version - 1",),
    "head gone": ("DELETE FROM head",),
    "vault": ("UPDATE vault SET wrapped_key = zeroblob(60)",),
    "case sealed": (f"UPDATE cases SET sealed = {FLIPPED} WHERE case_no = 2",),
    "case key": ("UPDATE cases SET wrapped_key = zeroblob(60) WHERE case_no = 2",),
    "case key of another": (exchanged("cases", "wrapped_key", "case_no = 2", "case_no = 1"),),
    "case of another": (exchanged("cases", "wrapped_key, sealed", "case_no = 2", "case_no = 1"),),
    "case opened": ("UPDATE cases SET opened_ms = opened_ms - 1 WHERE case_no = 2",),
    "case lives longer": ("UPDATE cases SET expires_ms = NULL WHERE case_no = 2",),
    "case reference": ("UPDATE cases SET open_mac = zeroblob(16) WHERE case_no = 2",),
    "case id": ("UPDATE cases SET case_id = 'ffffffffffffffff' WHERE case_no = 2",),
    "case version": ("UPDATE cases SET version = 1000 WHERE case_no = 2",),
    "case deleted": ("DELETE FROM cases WHERE case_no = 2",),
    "case deleted as if by us": ("DELETE FROM cases WHERE case_no = 2", "INSERT INTO gone VALUES (2)"),
    "case doubled": (
        "INSERT INTO cases SELECT 9, 'f', 1000, opened_ms, expires_ms, NULL, wrapped_key, sealed FROM cases "
        "WHERE case_no = 2",
    ),
    "examination sealed": (f"UPDATE examinations SET sealed = {FLIPPED} WHERE examination_no = 3",),
    "examination of another": (exchanged("examinations", "sealed", "examination_no = 3", "examination_no = 4"),),
    "examination in another case": ("UPDATE examinations SET case_no = 1, ordinal = 9 WHERE examination_no = 3",),
    "examination time": ("UPDATE examinations SET searched_ms = 0 WHERE examination_no = 3",),
    "examination number": ("UPDATE examinations SET ordinal = 3 WHERE examination_no = 3",),
    "examination id": ("UPDATE examinations SET examination_id = 'ffffffffffffffff' WHERE examination_no = 3",),
    "examination waits no more": ("UPDATE examinations SET waiting = 0 WHERE examination_no = 3",),
    "examination with fewer findings": (
        "UPDATE examinations SET findings = 1 WHERE examination_no = 3",
        "DELETE FROM findings WHERE examination_no = 3 AND number = 2",
    ),
    "examination deleted": ("DELETE FROM examinations WHERE examination_no = 3",),
    "examination a text": ("UPDATE examinations SET examination_id = CAST(x'ff' AS TEXT) WHERE examination_no = 3",),
    "finding sealed": (f"UPDATE findings SET sealed = {FLIPPED} WHERE examination_no = 3 AND number = 1",),
    "finding deleted": ("DELETE FROM findings WHERE examination_no = 3 AND number = 2",),
    "finding before it deleted": ("DELETE FROM findings WHERE examination_no = 3 AND number = 1",),
    "finding put in": ("INSERT INTO findings SELECT 3, 3, sealed FROM findings WHERE examination_no = 3 LIMIT 1",),
    "finding twice": (
        exchanged("findings", "sealed", "examination_no = 3 AND number = 2", "examination_no = 3 AND number = 1"),
    ),
    "finding of another": (
        exchanged("findings", "sealed", "examination_no = 3 AND number = 1", "examination_no = 1 AND number = 1"),
    ),
    "photo sealed": (f"UPDATE photos SET sealed = {FLIPPED} WHERE examination_no = 3 AND number = 0",),
    "photo of another": (
        exchanged("photos", "sealed", "examination_no = 3 AND number = 0", "examination_no = 4 AND number = 0"),
    ),
    "photos exchanged": (
        exchanged("photos", "sealed", "examination_no = 3 AND number = 1", "examination_no = 3 AND number = 3"),
    ),
    "photo deleted": ("DELETE FROM photos WHERE examination_no = 3 AND number = 3",),
    "photo put in": ("INSERT INTO photos SELECT 3, 2, sealed FROM photos WHERE number = 0 LIMIT 1",),
}


def said(error: BaseException | None) -> str:
    """All that a log could show of an error."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error} {getattr(error, 'metadata', '')}")
        error = error.__cause__
    return " ".join(texts)


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_altered_is_found(edit: str, filled: Path, tmp_path: Path) -> None:
    folder = altered(filled, tmp_path / "cases", *EDITS[edit])
    with pytest.raises(StoreCorrupt) as found, open_store(folder) as store:
        read_all(store)
    assert "Mustermann" not in said(found.value)
    assert "key:" not in said(found.value)


def test_control_what_is_not_altered_is_read(filled: Path, tmp_path: Path) -> None:
    folder = altered(filled, tmp_path / "cases", "UPDATE store SET store_no = 1")
    with open_store(folder) as store:
        read_all(store)


KEEP = "CREATE TABLE old_{0} AS SELECT * FROM {0}"
PUT_BACK = "DELETE FROM {0}; INSERT INTO {0} SELECT * FROM old_{0}"


def on_each(folder: Path, tables: Sequence[str], statement: str) -> None:
    with closing(apsw.Connection(str(folder / SCHEMA.database_name))) as raw, raw:
        for name in tables:
            raw.execute(statement.format(name))


def test_rows_that_are_put_back_are_found(filled: Path, tmp_path: Path) -> None:
    """All rows of a case as they were before its last finding: they fit each other, but not what knows of them."""
    folder, tables = tmp_path / "cases", ("cases", "examinations", "findings")
    shutil.copytree(filled, folder)
    with open_store(folder) as store:
        own = store.awaiting(ANNA, anybody)[0]
        store.give_finding(own.examination_id, picks(ANNA))
        on_each(folder, tables, KEEP)
        store.give_finding(own.examination_id, none_of_them(BERT))  # it waits as it did before
        read_all(store)
        on_each(folder, tables, PUT_BACK)
        with pytest.raises(StoreCorrupt, match="put back"):
            store.examination(own.examination_id)
    with pytest.raises(StoreCorrupt, match="put back"):
        open_store(folder)


def test_a_process_knows_what_it_wrote_itself(filled: Path, tmp_path: Path) -> None:
    """Even the head is put back with the rows, before anybody has read what was written."""
    folder, tables = tmp_path / "cases", ("cases", "examinations", "findings", "head")
    shutil.copytree(filled, folder)
    with open_store(folder) as store:
        on_each(folder, tables, KEEP)
        own = store.awaiting(CLEO, anybody, size=1)[0]
        store.give_finding(own.examination_id, cannot_say(CLEO))
        on_each(folder, tables, PUT_BACK)
        with pytest.raises(StoreCorrupt, match="put back"):
            store.cases()
        with pytest.raises(StoreCorrupt, match="put back"):
            store.give_finding(own.examination_id, cannot_say(DORA))


def test_nothing_is_built_on_what_was_altered(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    shutil.copytree(filled, folder)
    with open_store(folder) as store:
        waiting = store.awaiting(CLEO, anybody)
        raw = apsw.Connection(str(folder / SCHEMA.database_name))
        raw.execute("DELETE FROM findings WHERE examination_no = 1 AND number = 2")
        raw.execute("UPDATE examinations SET findings = 1 WHERE examination_no = 1")
        raw.close()
        for finding in (picks(CLEO), none_of_them(BERT)):
            with pytest.raises(StoreCorrupt):
                store.give_finding(waiting[0].examination_id, finding)
        store.give_finding(waiting[2].examination_id, picks(CLEO))  # another case goes on


def test_a_missing_examination_is_no_unknown_one(filled: Path, tmp_path: Path) -> None:
    with open_store(filled) as store:
        own = store.awaiting(CLEO, anybody)[2].examination_id
    folder = altered(filled, tmp_path / "cases", f"DELETE FROM examinations WHERE examination_id = '{own}'")
    with open_store(folder) as store, pytest.raises(StoreCorrupt):
        store.examination(own)


def test_a_deleted_case_leaves_no_key_and_no_row(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    shutil.copytree(filled, folder)
    with open_store(folder) as store:
        (gone,) = (case for case in store.cases() if case.reference.endswith("1"))
        with store._database.reading() as now:
            sql = "SELECT wrapped_key FROM cases WHERE case_id = ?1 UNION ALL SELECT p.sealed FROM photos p "
            sql += "JOIN examinations e USING (examination_no) JOIN cases c USING (case_no) WHERE c.case_id = ?1"
            pieces = [row[0] for row in now.rows(sql, gone.case_id)]
        assert len(pieces) == 1 + 2 * 3
        assert all(_is_in(folder, piece) for piece in pieces)
        store.delete_case(gone.case_id)
        assert not any(_is_in(folder, piece) for piece in pieces)


def test_nothing_is_readable_in_the_files(filled: Path) -> None:
    for piece in (NAME.encode(), PROBE[100:140], noise(1_001)[100:140], b"wanted", b"key:anna", b"Mustermann"):
        held = [path for path in filled.iterdir() if piece in path.read_bytes()]
        assert not held or piece in (b"wanted", b"key:anna"), piece  # what the audit may name


def _is_in(folder: Path, piece: bytes) -> bool:
    # A row may go on in another page: its first bytes do not.
    return any(piece[:32] in path.read_bytes() for path in folder.iterdir())


def _give_for_ever(folder: Location, how: str) -> None:
    with open_store(folder, Clock(int(time.time() * 1000))) as store:
        waiting = [one.examination_id for one in store.awaiting(ANNA, anybody, size=1_000)]
        for examination_id in waiting:
            for who in (ANNA, BERT, CLEO):
                finding = picks(who) if who != BERT else none_of_them(who)
                if how == "promise":
                    say(examination_id, who)
                store.give_finding(examination_id, finding)
                if how != "promise":
                    say(examination_id, who)
    time.sleep(60)


def _race(folder: Location, who: str, examinations: list[str]) -> None:
    with open_store(folder) as store:
        say("ready")
        for examination_id in examinations:
            sys.stdin.readline()
            try:
                after = store.give_finding(examination_id, none_of_them(who))
                say("kept", [one.examiner for one in after.findings])
            except (FindingLocked, ExaminerNotIndependent) as refused:
                say(refused.reason, [])


def kill_many(folder: Location, kills: int, how: str, seed: int) -> tuple[int, int]:
    """Let processes give findings and kill them; returns how many were acknowledged, and how many of those are lost."""
    at, promised, lost = random.Random(seed), 0, 0
    for _ in range(kills):
        with open_store(folder) as store:
            case = store.open_case(f"case {at.random()}", Purpose.TESTING, SEARCHER)
            made = [
                store.add_examination(case.case_id, a_search(PROBE), some_candidates(2), PROBE).examination_id
                for _ in range(12)
            ]
        with script(__file__, "give", as_argument(folder), how) as process:
            told: list[tuple[str, str]] = []
            left = at.randrange(1, 20)
            while len(told) < left:
                examination_id, who = json.loads(process.line())
                told.append((examination_id, who))
            time.sleep(at.uniform(0, 0.005))
            os.kill(process.pid, signal.SIGKILL)
            told += [tuple(json.loads(line)) for line in process.lines()]
        with open_store(folder) as store:
            there = {(one, f.examiner) for one in made for f in store.examination(one).findings}
            lost += len(set(told) - there)
            assert len(there - set(told)) <= 1  # one that was kept and not told yet
            with store.auditing() as audit:
                records = [kept.record for kept in audit.every() if kept.record.action == "case.finding"]
            assert sum(record.detail["examination"] in made for record in records) == len(there)
            store.delete_case(case.case_id)
        promised += len(told)
    return promised, lost


def test_findings_that_were_acknowledged_survive_kill_9(location: Location) -> None:
    promised, lost = kill_many(location, KILLS, "give", seed=1)
    assert lost == 0
    assert promised > KILLS


def test_control_findings_that_were_promised_do_not(location: Location) -> None:
    assert any(kill_many(location, 1, "promise", seed)[1] for seed in range(2, 12))


def test_two_processes_at_the_same_moment(location: Location) -> None:
    """Of three examiners in three processes who find the same, two are kept, in whatever order they come."""
    with open_store(location) as store:
        case = store.open_case("case", Purpose.TESTING, SEARCHER)
        made = [
            store.add_examination(case.case_id, a_search(PROBE), some_candidates(2), PROBE).examination_id
            for _ in range(RACES)
        ]
        with ExitStack() as stack:
            racers = [
                stack.enter_context(script(__file__, "race", as_argument(location), who, *made))
                for who in (ANNA, BERT, CLEO)
            ]
            for racer in racers:
                assert json.loads(racer.line()) == ["ready"]
            for examination_id in made:
                answers = _once(racers)
                assert sorted(word for word, _ in answers) == ["FINDING_LOCKED", "kept", "kept"]
                findings: tuple[Finding, ...] = store.examination(examination_id).findings
                orders = sorted((order for word, order in answers if word == "kept"), key=len)
                assert [one.examiner for one in findings] == orders[1]
                assert orders[0] == orders[1][:1]
        with pytest.raises(FindingLocked):
            store.give_finding(made[0], none_of_them(DORA))


def _once(racers: list[Script]) -> list[tuple[str, list[str]]]:
    for racer in racers:
        racer.tell("go")
    return [tuple(json.loads(racer.line())) for racer in racers]


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what == "give":
        _give_for_ever(located(folder), rest[0])
    else:
        _race(located(folder), rest[0], rest[1:])
