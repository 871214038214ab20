"""Galleries and subjects that are changed: what changes, what stays, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import apsw
import pytest

from fr_core.errors import (
    DuplicateImage,
    FrError,
    GalleryExpired,
    InvalidField,
    InvalidFilter,
    StorageLow,
    StoreCorrupt,
    UnknownSubject,
)
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.changes import Enrol, UpdateGallery, UpdateSubject
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import SubjectFilter
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import Enrolment, GalleryUpdate, NewTemplate, Purged, SubjectName, SubjectUpdate
from fr_core.storage.database import Database
from support.histories import Clock
from support.ledger import KEY, MODEL, SIZE, embedding

BEGIN = Clock().now
DAY = timedelta(days=1)


def enrolment(subject_id: str, seed: int, **metadata: str) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), f"{seed:064x}"), "Name", metadata)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def galleries(tmp_path: Path, clock: Clock) -> Iterator[Galleries]:
    """One gallery that ends in ten days and keeps templates for five; one template of the subject `s` is in it."""
    with Galleries.open(tmp_path / "data", key=KEY, clock=clock) as opened:
        opened.create("g", "A gallery", MODEL, SIZE, BEGIN + 10 * DAY, 5 * DAY)
        opened.enrol("g", enrolment("s", 1, list="wanted", unit="maths"))
        yield opened


@pytest.mark.parametrize(
    "changes",
    [
        {"display_name": "Another"},
        {"display_name": ""},
        {"expires": BEGIN + 20 * DAY},
        {"expires": None},
        {"retention": DAY},
        {"retention": None},
        {"display_name": "ü", "expires": BEGIN + timedelta(microseconds=1), "retention": timedelta(microseconds=1)},
    ],
)
def test_what_is_named_changes_in_one_step_and_nothing_else(
    galleries: Galleries, clock: Clock, tmp_path: Path, changes: dict[str, object]
) -> None:
    before = galleries.get("g")
    changed = galleries.update("g", GalleryUpdate(**changes))  # type: ignore[arg-type]
    assert changed == replace(before, version=before.version + 1, **changes)  # type: ignore[arg-type]
    assert galleries.get("g") == changed
    assert galleries.list().items == (changed,)
    galleries.close()
    assert verify(tmp_path / "data", KEY).templates == 1
    with Galleries.open(tmp_path / "data", key=KEY, clock=clock) as again:
        assert again.get("g") == changed


@pytest.mark.parametrize(
    "wrong",
    [
        GalleryUpdate(),
        GalleryUpdate(display_name="x" * 257),
        GalleryUpdate(display_name="Another", expires=BEGIN),
        GalleryUpdate(expires=datetime(2099, 1, 1)),
        GalleryUpdate(retention=timedelta(0)),
        GalleryUpdate(retention=timedelta(days=40_000)),
    ],
)
def test_a_wrong_update_of_a_gallery_changes_nothing(galleries: Galleries, wrong: GalleryUpdate) -> None:
    before = galleries.get("g")
    with pytest.raises(InvalidField):
        galleries.update("g", wrong)
    assert galleries.get("g") == before


@pytest.mark.parametrize("expires", [BEGIN + 20 * DAY, None])
def test_a_gallery_that_has_expired_is_opened_again(
    galleries: Galleries, clock: Clock, expires: datetime | None
) -> None:
    galleries.update("g", GalleryUpdate(retention=None))
    clock.now += 10 * DAY
    with pytest.raises(GalleryExpired):
        galleries.search("g", embedding(1), 1, 0.5)
    galleries.update("g", GalleryUpdate(display_name="Still closed"))
    assert galleries.update_subject("g", "s", SubjectUpdate("Right")).subject.display_name == "Right"
    with pytest.raises(GalleryExpired):
        galleries.enrol("g", enrolment("t", 2))
    galleries.update("g", GalleryUpdate(expires=expires))
    assert galleries.search("g", embedding(1), 1, 0.5).identification.candidates[0].subject_id == "s"
    galleries.enrol("g", enrolment("t", 2))


def test_a_retention_holds_for_templates_that_are_there_already(galleries: Galleries, clock: Clock) -> None:
    clock.now += 4 * DAY
    galleries.enrol("g", enrolment("t", 2))
    assert galleries.purge() == ()
    galleries.update("g", GalleryUpdate(retention=3 * DAY))
    assert galleries.purge(dry_run=True) == (Purged("g", 1, 1),)
    galleries.update("g", GalleryUpdate(retention=6 * DAY))
    clock.now += DAY
    assert galleries.purge() == ()  # by the first retention it would be gone now
    galleries.update("g", GalleryUpdate(retention=3 * DAY))
    assert galleries.purge() == (Purged("g", 1, 1),)
    assert [subject.subject_id for subject in galleries.subjects("g").items] == ["t"]


def test_an_end_that_was_set_in_time_may_be_sent_again(galleries: Galleries, clock: Clock) -> None:
    end = GalleryUpdate(expires=BEGIN + DAY)
    galleries.update("g", end)
    clock.now += 2 * DAY
    assert galleries.update("g", end).expires == BEGIN + DAY  # as the caller that got no answer the first time sends it
    with pytest.raises(InvalidField, match="has passed"):
        galleries.update("g", GalleryUpdate(expires=BEGIN + DAY / 2))


def test_changes_of_one_commit_are_all_written_and_a_refused_one_is_not(tmp_path: Path) -> None:
    with Galleries.open(tmp_path, key=KEY) as opened:
        opened.create("g", "", MODEL, SIZE)
    with closing(GalleryStore(tmp_path, KEY)) as store:
        assert list(store.vectors(10)) == []
        with store.transaction() as transaction:
            for change in (
                UpdateGallery("g", GalleryUpdate(display_name="First"), BEGIN),
                Enrol("g", enrolment("s", 1), BEGIN),
                UpdateGallery("g", GalleryUpdate(retention=DAY), BEGIN),
                UpdateSubject("g", "s", SubjectUpdate(metadata={"k": "v"})),
            ):
                with transaction.item():
                    change.run(transaction)
            with pytest.raises(DuplicateImage), transaction.item():
                _rename_and_enrol_twice(transaction)
        with store.snapshot() as snapshot:
            row = snapshot.gallery("g")
            assert row is not None
            info, subject = row.info, snapshot.subject(row.gallery_no, "s")
        assert (info.display_name, info.retention, info.version, info.template_count) == ("First", DAY, 5, 1)
        assert subject is not None
        assert dict(subject.metadata) == {"k": "v"}
        assert verify(tmp_path, KEY).subjects == 1


def _rename_and_enrol_twice(transaction: GalleryTransaction) -> None:
    UpdateGallery("g", GalleryUpdate(display_name="Never"), BEGIN).run(transaction)
    Enrol("g", enrolment("t", 1), BEGIN).run(transaction)


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("UPDATE galleries SET expires_us = NULL", UpdateGallery("g", GalleryUpdate(display_name="x"), BEGIN)),
        ("UPDATE subjects SET display_name = 'y'", UpdateSubject("g", "s", SubjectUpdate(metadata={}))),
        ("UPDATE templates SET quality = 1", UpdateSubject("g", "s", SubjectUpdate(display_name="x"))),
    ],
)
def test_a_row_that_was_altered_is_not_written_again_as_if_it_were_sound(
    galleries: Galleries, tmp_path: Path, sql: str, change: UpdateGallery | UpdateSubject
) -> None:
    galleries.close()
    with closing(GalleryStore(tmp_path / "data", KEY)) as store:
        list(store.vectors(10))
        with closing(apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))) as connection:
            connection.execute(sql).fetchall()
        with pytest.raises(StoreCorrupt), store.transaction() as transaction:
            change.run(transaction)


def test_filters_and_candidates_see_the_change_at_its_version(galleries: Galleries) -> None:
    galleries.enrol("g", enrolment("t", 2, list="wanted"))
    changed = galleries.update_subject("g", "s", SubjectUpdate("New", {"list": "staff"}))
    found = galleries.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"list": "staff"}))
    assert [one.subject_id for one in found.identification.candidates] == ["s"]
    assert found.identification.gallery_version == changed.gallery_version
    assert found.subjects["s"] == SubjectName("s", "New", {"list": "staff"})
    found = galleries.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"list": "wanted"}))
    assert [one.subject_id for one in found.identification.candidates] == ["t"]
    with pytest.raises(InvalidFilter):  # nobody has the key any more
        galleries.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"unit": "maths"}))


@pytest.mark.parametrize(
    ("subject_id", "wrong", "refusal"),
    [
        ("s", SubjectUpdate(), InvalidField),
        ("s", SubjectUpdate("x" * 257), InvalidField),
        ("s", SubjectUpdate("x", {"": "v"}), InvalidField),
        ("s", SubjectUpdate(metadata={str(number): "" for number in range(33)}), InvalidField),
        ("nobody", SubjectUpdate("x"), UnknownSubject),
        (" s", SubjectUpdate("x"), UnknownSubject),
    ],
)
def test_a_wrong_update_of_a_subject_changes_nothing(
    galleries: Galleries, subject_id: str, wrong: SubjectUpdate, refusal: type[FrError]
) -> None:
    before = galleries.get("g"), galleries.subject("g", "s")
    with pytest.raises(refusal):
        galleries.update_subject("g", subject_id, wrong)
    assert (galleries.get("g"), galleries.subject("g", "s")) == before


def test_a_full_disk_takes_no_metadata_but_a_shorter_retention(
    galleries: Galleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = galleries.subject("g", "s")
    monkeypatch.setattr(Database, "spare_bytes", lambda store: 0)
    with pytest.raises(StorageLow):
        galleries.update_subject("g", "s", SubjectUpdate(metadata={"a": "b"}))
    assert galleries.update("g", GalleryUpdate(retention=DAY)).retention == DAY
    assert galleries.subject("g", "s") == before
