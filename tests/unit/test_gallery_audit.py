"""What the audit keeps of the galleries: a record for each change, with it or not at all, and nothing of who it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from fr_core.errors import DuplicateImage, StoreCorrupt, StoreFailed, UnknownSubject
from fr_core.gallery.backup.restore import restore
from fr_core.gallery.backup.take import back_up
from fr_core.gallery.backup.verify import verify as verify_folder
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import (
    Enrolment,
    GalleryCalibration,
    GalleryUpdate,
    GalleryUse,
    NewTemplate,
    SubjectUpdate,
    calibration_id,
)
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.database import Database
from support.audits import checkpoint_of, pseudonyms_of
from support.histories import Clock
from support.ledger import KEY, MODEL, OTHER_KEY, SIZE, embedding

NOW = Clock().now
NOW_MS = int(NOW.timestamp() * 1000)
WHO = Attribution("key:k3", ("operator", "admin"), "r-1", "investigation", "Case 7/2026")


def enrolment(subject_id: str, seed: int, photo: bytes | None = None) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), f"{seed:064x}", photo=photo), "A Name", {"k": "v"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def opened(folder: Path) -> Galleries:
    return Galleries.open(folder, key=KEY, index="numpy", clock=Clock())


@pytest.fixture
def galleries(folder: Path) -> Iterator[Galleries]:
    """A gallery of Ann with two templates, one with a photo, and Bob with one."""
    with opened(folder) as found:
        found.create("g", "A gallery", MODEL, SIZE, keeps_photos=True)
        found.enrol("g", enrolment("Ann", 1, b"a photo"))
        found.enrol("g", enrolment("Ann", 2))
        found.enrol("g", enrolment("Bob", 3))
        yield found


def records(galleries: Galleries, after: int = 0) -> list[Record]:
    with galleries.auditing() as audit:
        assert isinstance(verify(audit), Verified)
        return [kept.record for kept in audit.every(after)]


def seq(galleries: Galleries) -> int:
    with galleries.auditing() as audit:
        return audit.head().seq


def purge_late(galleries: Galleries) -> object:
    galleries.update("g", GalleryUpdate(retention=timedelta(seconds=1)))
    clock = galleries._clock
    assert isinstance(clock, Clock)
    clock.now += timedelta(days=1)
    return galleries.purge()


ONE = {"subjects": 1, "templates": 1}
NAMED = "null@1:000000000000"
# What is done, and what its record says beside the gallery "g" at version 5.
CHANGES: dict[str, tuple[Callable[[Galleries], object], dict[str, object]]] = {
    "gallery.create": (
        lambda g: g.create("h", "Another", MODEL, SIZE, use=GalleryUse.OPERATIONAL),
        {
            "gallery": "h",
            "version": 1,
            "model": NAMED,
            "detail": {"use": "operational", "keeps_photos": "false"},
        },
    ),
    "gallery.update": (
        lambda g: g.update("g", GalleryUpdate("Other", NOW + timedelta(days=1), timedelta(days=2))),
        {
            "detail": {
                "fields": "display_name,expires,retention",
                "expires": "2026-01-03T00:00:00Z",
                "retention_s": "172800",
            }
        },
    ),
    "gallery.set_calibration": (
        lambda g: g.set_calibration("g", GalleryCalibration(str(MODEL), "text")),
        {"detail": {"calibration": calibration_id("text")}},
    ),
    "gallery.delete": (lambda g: g.delete("g"), {"counts": {"subjects": 2, "templates": 3}}),
    "gallery.enrol": (
        lambda g: g.enrol("g", enrolment("Eve", 9)),
        {"subjects": ("Eve",), "model": NAMED, "counts": ONE, "detail": {"template_id": "4"}},
    ),
    "gallery.enrol_many": (
        lambda g: g.enrol_many("g", [enrolment("Eve", 9), enrolment("Ann", 1), enrolment("Eve", 10)]),
        {"subjects": ("Eve",), "model": NAMED, "counts": {"kept": 2, "refused": 1}},
    ),
    "gallery.update_subject": (
        lambda g: g.update_subject("g", "Ann", SubjectUpdate(metadata={})),
        {"subjects": ("Ann",), "detail": {"fields": "metadata"}},
    ),
    "gallery.delete_subject": (
        lambda g: g.delete_subject("g", "Ann"),
        {"subjects": ("Ann",), "counts": {"templates": 2}},
    ),
    "gallery.erase_subject": (
        lambda g: g.erase_subject("g", "Ann"),
        {"subjects": ("Ann",), "counts": {"receipts": 1, "templates": 2, "photos": 1}},
    ),
    "gallery.delete_template": (
        lambda g: g.delete_template("g", 2),
        {"counts": {"templates": 1}, "detail": {"template_id": "2"}},
    ),
    "gallery.purge": (purge_late, {"version": 6, "counts": {"templates": 3, "subjects": 2}}),
}


# --- a record for each change -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_is_told_with_who_asked_for_it(galleries: Galleries, action: str) -> None:
    change, expected = CHANGES[action]
    before = seq(galleries)
    with attributed(WHO):
        change(galleries)
    *_, record = records(galleries, before)
    pseudonyms = pseudonyms_of(galleries)
    who = (record.actor, record.roles, record.request_id, record.purpose, record.case)
    assert who == ("key:k3", ("admin", "operator"), "r-1", "investigation", pseudonyms.case("Case 7/2026"))
    assert (record.action, record.outcome) == (action, "OK")
    where = (record.gallery, record.gallery_version)
    assert where == (expected.get("gallery", "g"), expected.get("version", 5))
    subjects = expected.get("subjects", ())
    assert isinstance(subjects, tuple)
    assert record.subjects == tuple(pseudonyms.subject("g", one) for one in subjects)
    assert (record.model, record.threshold) == (expected.get("model"), None)
    assert dict(record.counts) == expected.get("counts", {})
    assert dict(record.detail) == expected.get("detail", {})
    assert len(records(galleries, before)) == (2 if action == "gallery.purge" else 1)


def test_no_name_no_metadata_and_no_id_is_in_any_record(galleries: Galleries) -> None:
    for action in ("gallery.update", "gallery.update_subject", "gallery.enrol_many", "gallery.erase_subject"):
        CHANGES[action][0](galleries)
    with galleries.auditing() as audit:
        told = b"".join(kept.body for kept in audit.every())
    for text in (b"Ann", b"Bob", b"Eve", b"Name", b"Other", b"A gallery", b'"k"'):
        assert text not in told


def test_outside_of_calls_it_is_the_system(galleries: Galleries) -> None:
    first, *_ = records(galleries)
    assert (first.actor, first.roles, first.request_id, first.case, first.at_ms) == ("system", (), None, None, NOW_MS)


def test_each_of_many_threads_is_told_of_by_itself(galleries: Galleries) -> None:
    before = seq(galleries)

    def enrol(number: int) -> None:
        with attributed(Attribution(f"key:k{number}")):
            galleries.enrol("g", enrolment(f"Subject {number}", 100 + number))

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(enrol, range(24)))
    pseudonyms = pseudonyms_of(galleries)
    told = {record.actor: record.subjects for record in records(galleries, before)}
    assert told == {f"key:k{number}": (pseudonyms.subject("g", f"Subject {number}"),) for number in range(24)}


def test_more_subjects_than_a_record_holds_are_told_in_several(galleries: Galleries) -> None:
    before = seq(galleries)
    many = [enrolment(f"Subject {number}", 100 + number) for number in range(1_002)]
    galleries.enrol_many("g", [enrolment("Ann", 1), *many])
    told = records(galleries, before)
    assert [dict(record.counts) for record in told] == [{"kept": 1_000, "refused": 1}, {"kept": 2, "refused": 0}]
    assert len({subject for record in told for subject in record.subjects}) == 1_002
    assert {record.gallery_version for record in told} == {5}


# --- with its change, or not at all -----------------------------------------------------------------------------


def test_what_changes_nothing_and_what_is_refused_is_not_told(galleries: Galleries) -> None:
    calibration = GalleryCalibration(str(MODEL), "text")
    galleries.set_calibration("g", calibration)
    before = seq(galleries)
    galleries.set_calibration("g", calibration)
    galleries.purge()
    galleries.purge(dry_run=True)
    galleries.enrol_many("g", [enrolment("Ann", 1)])
    with pytest.raises(DuplicateImage):
        galleries.enrol("g", enrolment("Ann", 1))
    with pytest.raises(UnknownSubject):
        galleries.erase_subject("g", "Nobody")
    assert seq(galleries) == before
    galleries.enrol("g", enrolment("Ann", 50))  # the control
    assert [record.action for record in records(galleries, before)] == ["gallery.enrol"]


def test_a_failed_transaction_leaves_no_record(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seq(galleries)
    append = AuditTable.append

    def and_fail(*arguments: object) -> int:
        append(*arguments)  # type: ignore[arg-type]
        raise StoreFailed("The disk is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(AuditTable, "append", and_fail)
        with pytest.raises(StoreFailed):
            galleries.delete_subject("g", "Ann")
    assert (seq(galleries), galleries.get("g").version) == (before, 4)
    assert galleries.subject("g", "Ann").subject_id == "Ann"
    galleries.delete_subject("g", "Ann")  # the chain goes on
    assert [record.gallery_version for record in records(galleries)] == [1, 2, 3, 4, 5]


def test_a_change_without_its_record_is_not_made(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seq(galleries)
    record = GalleryTransaction.record

    def and_fail(*arguments: object) -> None:
        record(*arguments)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(GalleryTransaction, "record", and_fail)
        with pytest.raises(ZeroDivisionError):
            galleries.delete_template("g", 1)
    galleries.delete_template("g", 2)
    (told,) = records(galleries, before)
    assert (told.gallery_version, dict(told.detail)) == (5, {"template_id": "2"})
    assert galleries.template("g", 1).photo == b"a photo"


def test_an_altered_head_stops_every_change(galleries: Galleries, folder: Path) -> None:
    damage(folder, "UPDATE audit_head SET seq = 3")
    with pytest.raises(StoreCorrupt) as refused:
        galleries.delete_template("g", 1)
    assert refused.value.metadata["check"] == "audit_head"
    assert galleries.get("g").template_count == 3


# --- the start --------------------------------------------------------------------------------------------------


def damage(folder: Path, sql: str) -> None:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute(sql).fetchall()


DAMAGES = {
    "UPDATE audit SET body = replace(body, 'system', 'nobody') WHERE seq = 2": "edited",
    "UPDATE audit SET hash = zeroblob(32) WHERE seq = 4": "edited",
    "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3": "edited",
    "DELETE FROM audit WHERE seq = 2": "missing",
    "DELETE FROM audit WHERE seq = 4": "truncated",
    "DELETE FROM audit": "truncated",
    "UPDATE audit SET seq = seq + 10 WHERE seq = 3": "missing",
    "INSERT INTO audit SELECT 5, body, hash, mac FROM audit WHERE seq = 4": "edited",
    "UPDATE audit_head SET seq = 3": "head_altered",
    "UPDATE audit_head SET chain_id = substr(chain_id, 2) || 'x'": "head_altered",
    "DELETE FROM audit_head": "head_altered",
}


@pytest.mark.parametrize("sql", DAMAGES)
def test_a_store_with_an_altered_audit_does_not_open(galleries: Galleries, folder: Path, sql: str) -> None:
    galleries.close()
    damage(folder, sql.replace("replace(body, 'system', 'nobody')", "CAST(replace(body, 'system', 'nobody') AS BLOB)"))
    before = (folder / DATABASE_NAME).read_bytes()
    with pytest.raises(StoreCorrupt) as refused:
        opened(folder)
    assert refused.value.metadata["check"] in ("audit", "audit_head")
    assert (folder / DATABASE_NAME).read_bytes() == before
    with pytest.raises(StoreCorrupt) as refused:
        verify_folder(folder, KEY)
    why = refused.value.metadata["why"]
    assert (refused.value.metadata["check"], why in (DAMAGES[sql], "inserted", "out_of_order")) == ("audit", True)


def test_the_start_looks_at_the_newest_records_and_verification_at_all(
    galleries: Galleries, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_core.storage.audit.verify._RECENT", 2)
    galleries.close()
    damage(folder, "UPDATE audit SET mac = zeroblob(16) WHERE seq = 1")
    opened(folder).close()
    with pytest.raises(StoreCorrupt) as refused:
        verify_folder(folder, KEY)
    assert refused.value.metadata == {"check": "audit", "seq": "1", "why": "edited"}
    damage(folder, "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3")
    with pytest.raises(StoreCorrupt):
        opened(folder)


def test_the_chain_goes_on_after_a_start_and_under_another_key(galleries: Galleries, folder: Path) -> None:
    before, name = checkpoint_of(galleries), pseudonyms_of(galleries).subject("g", "Ann")
    galleries.close()
    with closing(GalleryStore(folder, KEY)) as store:
        assert checkpoint_of(store).hash == before.hash
        assert pseudonyms_of(store).subject("g", "Ann") == name
        store.rotate(OTHER_KEY)
    with Galleries.open(folder, key=OTHER_KEY, index="numpy") as again:
        again.enrol("g", enrolment("Eve", 9))
        assert pseudonyms_of(again).subject("g", "Ann") == name
        with again.auditing() as audit:
            assert verify(audit, [before]) == Verified(before.chain_id, 5, 5, 1)


# --- stores that had no audit, and restored ones ----------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_store_of_before_the_audit_begins_a_chain(folder: Path, version: int) -> None:
    Database(folder, replace(SCHEMA, migrations=SCHEMA.migrations[:version]), KEY, 0).close()
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        assert connection.pragma("user_version") == version
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'audit%'").get == 0
    with opened(folder) as galleries:
        assert records(galleries) == []
        galleries.create("g", "", MODEL, SIZE)
        assert [record.action for record in records(galleries)] == ["gallery.create"]
        assert checkpoint_of(galleries).seq == 1
    assert verify_folder(folder, KEY).audit_records == 1


def test_a_restored_store_says_from_which_chain_it_comes(galleries: Galleries, folder: Path, tmp_path: Path) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    before = checkpoint_of(galleries)
    galleries.erase_subject("g", "Bob")
    back_up(folder, KEY, tmp_path / "out-2", tmp_path / "keys", NOW)
    with attributed(WHO):
        restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new", clock_ms=lambda: NOW_MS + 5)
    with opened(tmp_path / "new") as again:
        (told,) = records(again)
        assert (told.action, told.actor, told.at_ms) == ("gallery.restore", "key:k3", NOW_MS + 5)
        chain = {"chain_id": before.chain_id, "seq": "4", "hash": before.hash}
        assert dict(told.detail) == {"backup_created": "2026-01-02T00:00:00Z", **chain}
        assert dict(told.counts) == {"galleries": 1, "subjects": 1, "left_out": 1}
        assert checkpoint_of(again).chain_id != before.chain_id
        assert pseudonyms_of(again).subject("g", "Ann") != pseudonyms_of(galleries).subject("g", "Ann")
