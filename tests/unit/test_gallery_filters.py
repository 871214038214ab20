"""Filters and fusion through the galleries: nobody is lost, nobody else is found, and what is misspelt is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_core.errors import GalleryExpired, InvalidField, InvalidFilter, UnknownSubject, UnknownTemplate
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import MAX_FILTER_SUBJECTS, ScoreFusion, SubjectFilter
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.values import Enrolment, Found, NewTemplate, Purged
from fr_core.storage import log_copier
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 16


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def embedding(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(SIZE)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["compact", "flat", "numpy"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", index=request.param, clock=clock) as opened:
        opened.create("g", "", MODEL, SIZE, keeps_photos=True)
        yield opened


def fill(galleries: Galleries, number: int = 40) -> None:
    for n in range(number):
        metadata = {"list": "wanted" if n % 4 == 0 else "staff", "office": str(n % 3)}
        for template in range(2):
            enrolment = Enrolment(f"s{n}", NewTemplate(embedding(10 * n + template)), metadata=metadata)
            galleries.enrol("g", enrolment)


def found_by(galleries: Galleries, k: int = 100, **options: object) -> Found:
    return galleries.search("g", embedding(0), k, 0.0, **options)  # type: ignore[arg-type]


def ids(found: Found) -> list[str]:
    return [candidate.subject_id for candidate in found.identification.candidates]


def test_a_filter_finds_what_a_gallery_of_these_subjects_alone_would(galleries: Galleries, tmp_path: Path) -> None:
    fill(galleries)
    among = SubjectFilter({"list": "wanted", "office": "0"})
    found = found_by(galleries, among=among)
    with Galleries.open(tmp_path / "other", index="numpy") as other:
        other.create("g", "", MODEL, SIZE)
        for n in range(0, 40, 12):
            for template in range(2):
                other.enrol("g", Enrolment(f"s{n}", NewTemplate(embedding(10 * n + template))))
        expected = found_by(other)
    assert ids(found) == ids(expected)
    scores = [candidate.similarity for candidate in found.identification.candidates]
    assert scores == [candidate.similarity for candidate in expected.identification.candidates]
    assert (found.searched_templates, found.fusion) == (8, ScoreFusion.MAX)
    assert found_by(galleries).searched_templates == 80


def test_a_filter_by_subjects(galleries: Galleries) -> None:
    fill(galleries)
    assert set(ids(found_by(galleries, among=SubjectFilter(subject_ids=("s3", "s7", "s3"))))) == {"s3", "s7"}
    both = SubjectFilter({"list": "wanted"}, ("s3", "s8"))
    assert ids(found_by(galleries, among=both)) == ["s8"]
    assert ids(found_by(galleries, among=SubjectFilter({"list": "nobody"}))) == []


def test_deleted_subjects_are_not_let_through(galleries: Galleries) -> None:
    fill(galleries, 8)
    galleries.delete_subject("g", "s0")
    assert ids(found_by(galleries, among=SubjectFilter({"list": "wanted"}))) == ["s4"]
    with pytest.raises(UnknownSubject):
        found_by(galleries, among=SubjectFilter(subject_ids=("s0",)))


def test_replaced_metadata_are_what_counts(galleries: Galleries) -> None:
    fill(galleries, 4)
    galleries.enrol("g", Enrolment("s1", NewTemplate(embedding(99)), metadata={"list": "wanted"}))
    assert set(ids(found_by(galleries, among=SubjectFilter({"list": "wanted"})))) == {"s0", "s1"}


def test_all_subjects_of_a_filter_are_asked_for_at_once(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come one by one have the interpreter's lock change hands as often, to the harm of everybody."""
    fill(galleries)
    among = SubjectFilter(subject_ids=tuple(f"s{n}" for n in range(40)))
    rows: list[int] = []
    read = Snapshot.rows

    def noting(self: Snapshot, sql: str, *values: Any) -> list[Any]:
        found = read(self, sql, *values)
        rows.append(len(found))
        return found

    monkeypatch.setattr(Snapshot, "rows", noting)
    assert len(ids(found_by(galleries, 1, among=among))) == 1
    assert sum(rows) < 10


@pytest.mark.parametrize("name", ["s40", "", "s1\0", "\ud800", " s1"])
def test_one_name_that_the_gallery_does_not_hold_refuses_the_filter(galleries: Galleries, name: str) -> None:
    fill(galleries)
    with pytest.raises(UnknownSubject):
        found_by(galleries, among=SubjectFilter(subject_ids=("s1", "s1", name)))


@pytest.mark.parametrize(
    "among",
    [
        SubjectFilter(),
        SubjectFilter({"lst": "wanted"}),
        SubjectFilter({f"key {n}": "" for n in range(33)}),
        SubjectFilter(subject_ids=("s1",) * (MAX_FILTER_SUBJECTS + 1)),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(galleries: Galleries, among: SubjectFilter) -> None:
    fill(galleries, 2)
    with pytest.raises(InvalidFilter):
        found_by(galleries, among=among)


@pytest.mark.parametrize("fusion", [ScoreFusion.MEAN_TOP_2, ScoreFusion.MEAN_TEMPLATE])
def test_fusion_counts_every_template_of_a_subject(galleries: Galleries, fusion: ScoreFusion) -> None:
    fill(galleries, 10)
    found = found_by(galleries, fusion=fusion)
    assert found.fusion is fusion
    assert len(ids(found)) == 10
    probe = embedding(0).vector.astype(np.float64)
    for candidate in found.identification.candidates:
        n = int(candidate.subject_id[1:])
        pair = np.stack([embedding(10 * n).vector, embedding(10 * n + 1).vector]).astype(np.float64)
        mean = pair.mean(axis=0)
        expected = (pair @ probe).mean() if fusion is ScoreFusion.MEAN_TOP_2 else mean @ probe / np.linalg.norm(mean)
        assert candidate.similarity == pytest.approx(expected, abs=1e-9)


def test_an_expired_gallery_takes_and_tells_nothing_and_can_be_deleted(galleries: Galleries, clock: Clock) -> None:
    galleries.create("old", "", MODEL, SIZE, expires=clock.now + timedelta(days=1))
    galleries.enrol("old", Enrolment("s", NewTemplate(embedding(1))))
    assert galleries.search("old", embedding(1), 1, 0.0).identification.candidates
    clock.now += timedelta(days=1)
    with pytest.raises(GalleryExpired):
        galleries.search("old", embedding(1), 1, 0.0)
    with pytest.raises(GalleryExpired):
        galleries.enrol("old", Enrolment("s", NewTemplate(embedding(2))))
    assert galleries.get("old").template_count == 1
    assert galleries.delete("old").templates == 1


def test_times_that_make_no_sense_are_refused(galleries: Galleries, clock: Clock) -> None:
    for expires, retention in (
        (clock.now, None),
        (datetime(2027, 1, 1), None),
        (None, timedelta(0)),
        (None, timedelta(days=-1)),
    ):
        with pytest.raises(InvalidField):
            galleries.create("new", "", MODEL, SIZE, expires, retention)


def test_a_purge_deletes_what_has_expired_and_a_dry_run_only_counts(galleries: Galleries, clock: Clock) -> None:
    galleries.create("short", "", MODEL, SIZE, retention=timedelta(days=10))
    for n in range(3):
        galleries.enrol("short", Enrolment(f"s{n}", NewTemplate(embedding(n))))
    galleries.enrol("g", Enrolment("stays", NewTemplate(embedding(5))))
    clock.now += timedelta(days=5)
    galleries.enrol("short", Enrolment("s0", NewTemplate(embedding(7))))
    assert galleries.purge() == ()
    clock.now += timedelta(days=5)
    would = (Purged("short", 3, 2),)
    assert galleries.purge(dry_run=True) == would
    assert galleries.get("short").template_count == 4
    assert galleries.purge() == would
    assert (galleries.get("short").subject_count, galleries.get("short").template_count) == (1, 1)
    found = galleries.search("short", embedding(1), 5, -1.0)
    assert ids(found) == ["s0"]
    assert galleries.get("g").template_count == 1


def test_a_template_is_read_with_everything_that_is_kept_and_erased_with_it(galleries: Galleries) -> None:
    own = embedding(3)
    enrolled = galleries.enrol("g", Enrolment("s", NewTemplate(own, "ab" * 32, 0.5, b"a photo")))
    kept = galleries.template("g", enrolled.template_id)
    assert (kept.subject_id, kept.photo, kept.info.quality, kept.info.image_sha256) == ("s", b"a photo", 0.5, "ab" * 32)
    assert kept.embedding.vector.tobytes() == own.vector.tobytes()
    for unknown in (0, -1, 2**63, enrolled.template_id + 1):
        with pytest.raises(UnknownTemplate):
            galleries.template("g", unknown)
    erased = galleries.erase_subject("g", "s")
    assert (erased.templates, erased.photos, len(erased.receipt_id)) == (1, 1, 16)
    assert ids(found_by(galleries)) == []
    with pytest.raises(UnknownTemplate):
        galleries.template("g", enrolled.template_id)
    with pytest.raises(UnknownSubject):
        galleries.erase_subject("g", "s")


def test_photos_are_kept_only_where_the_gallery_keeps_them(galleries: Galleries) -> None:
    galleries.create("lean", "", MODEL, SIZE)
    enrolled = galleries.enrol("lean", Enrolment("s", NewTemplate(embedding(3), "cd" * 32, 0.5, b"a photo")))
    assert galleries.template("lean", enrolled.template_id).photo is None


def test_an_erasure_beside_a_long_reader_has_its_receipt_and_is_seen_to(
    galleries: Galleries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_copier, "_SCRUB_S", 0.3)
    galleries.enrol("g", Enrolment("Jane Roe", NewTemplate(embedding(1))))
    with galleries._store.snapshot():
        erased = galleries.erase_subject("g", "Jane Roe")
        assert (erased.templates, erased.scrubbed) == (1, False)
        assert held(tmp_path, b"Jane Roe")
    for _ in range(500):
        if not held(tmp_path, b"Jane Roe"):
            break
        time.sleep(0.02)
    assert not held(tmp_path, b"Jane Roe")
    galleries.enrol("g", Enrolment("Joe", NewTemplate(embedding(2))))
    assert galleries.erase_subject("g", "Joe").scrubbed


def held(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file() and "shm" not in path.name)
