"""Search: candidates, filters, fusion of scores, turns; and galleries and subjects that are changed."""

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import (
    DuplicateImage,
    FrError,
    GalleryExpired,
    InvalidField,
    InvalidFilter,
    StorageLow,
    UnknownSubject,
    UnknownTemplate,
)
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.changes import Enrol, UpdateGallery, UpdateSubject
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import MAX_FILTER_SUBJECTS, ScoreFusion, SubjectFilter
from fr_core.gallery.search import filters
from fr_core.gallery.search.ranking import by_best_template, fused
from fr_core.gallery.search.sharing import Nearest
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import Enrolment, Found, GalleryUpdate, NewTemplate, Purged, SubjectName, SubjectUpdate
from fr_core.storage import log_copier
from fr_core.storage.database import Database
from fr_core.types import F32, I64, Candidate, Embedding
from support.faults import until
from support.histories import Clock
from support.ledger import KEY, MODEL, SIZE, embedding
from support.results import defined


def at(degrees: float) -> Embedding:
    """A point of the unit circle; two of them have the cosine of the angle between as their similarity."""
    angle = np.radians(degrees)
    return Embedding(np.array([np.cos(angle), np.sin(angle)], dtype=np.float32), MODEL)


@pytest.fixture(params=["compact", "numpy"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Galleries]:
    """The gallery `plane` of points of the unit circle, and `g` of random vectors."""
    with Galleries.open(tmp_path / "data", index=request.param) as opened:
        opened.create("plane", "", MODEL, 2)
        opened.create("g", "", MODEL, SIZE, keeps_photos=True)
        yield opened


def enrol(galleries: Galleries, subject_id: str, *degrees: float) -> None:
    for angle in degrees:
        galleries.enrol("plane", Enrolment(subject_id, NewTemplate(at(angle)), f"name of {subject_id}"))


def candidates(galleries: Galleries, k: int = 10, threshold: float = 0.0) -> tuple[Candidate, ...]:
    return galleries.search("plane", at(0), k, threshold).identification.candidates


def test_the_nearest_templates_of_one_subject_do_not_hide_another(galleries: Galleries) -> None:
    enrol(galleries, "crowd", *np.linspace(0, 1, 300))
    enrol(galleries, "second", 50)
    enrol(galleries, "third", 60)
    assert [c.subject_id for c in candidates(galleries, 2)] == ["crowd", "second"]
    assert [c.subject_id for c in candidates(galleries, 1000)] == ["crowd", "second", "third"]


def fill(galleries: Galleries, number: int = 40) -> None:
    enrolments = []
    for n in range(number):
        metadata = {"list": "wanted" if n % 4 == 0 else "staff", "office": str(n % 3)}
        enrolments += [Enrolment(f"s{n}", NewTemplate(embedding(10 * n + nth)), metadata=metadata) for nth in range(2)]
    galleries.enrol_many("g", enrolments)


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
    assert set(ids(found_by(galleries, among=SubjectFilter(subject_ids=("s3", "s7", "s3"))))) == {"s3", "s7"}
    assert ids(found_by(galleries, among=SubjectFilter({"list": "wanted"}, ("s3", "s8")))) == ["s8"]
    assert ids(found_by(galleries, among=SubjectFilter({"list": "nobody"}))) == []


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
def test_an_unknown_name_refuses_the_filter(galleries: Galleries, name: str) -> None:
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
        assert candidate.similarity == pytest.approx(expected, abs=1e-7)


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


def test_an_erasure_beside_a_long_reader_has_its_receipt_and_is_seen_to(
    galleries: Galleries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_copier, "_SCRUB_S", 0.3)
    galleries.enrol("g", Enrolment("Jane Roe", NewTemplate(embedding(1))))
    with galleries._store.snapshot():
        erased = galleries.erase_subject("g", "Jane Roe")
        assert (erased.templates, erased.scrubbed) == (1, False)
        assert held(tmp_path, b"Jane Roe")
    until(lambda: not held(tmp_path, b"Jane Roe"))
    galleries.enrol("g", Enrolment("Joe", NewTemplate(embedding(2))))
    assert galleries.erase_subject("g", "Joe").scrubbed


def held(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file() and "shm" not in path.name)


SUBJECTS = 30
FEW = SubjectFilter(subject_ids=("s1", "s2"))
MANY = SubjectFilter(subject_ids=tuple(f"s{n}" for n in range(SUBJECTS)))


class Reading:
    """The store, in which readers of many subjects, `now` and `most` at once, go on when `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        self.go = threading.Event()
        read, lock = Snapshot.subject_nos, threading.Lock()

        def held_up(snapshot: Snapshot, gallery_no: int, subject_ids: Collection[str]) -> I64 | None:
            if len(subject_ids) < SUBJECTS:
                return read(snapshot, gallery_no, subject_ids)
            with lock:
                self.now += 1
                self.most = max(self.most, self.now)
            assert self.go.wait(20)
            with lock:
                self.now -= 1
            return read(snapshot, gallery_no, subject_ids)

        monkeypatch.setattr(Snapshot, "subject_nos", held_up)


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path, index="numpy") as opened:
        opened.create("g", "", MODEL, SIZE)
        opened.enrol_many("g", [Enrolment(f"s{n}", NewTemplate(embedding(0))) for n in range(SUBJECTS)])
        yield opened


def searched(crowded: Galleries, among: SubjectFilter | None) -> int:
    return crowded.search("g", embedding(0), 1, 0.0, False, ScoreFusion.MAX, among).searched_templates


@pytest.mark.parametrize(("many", "at_once"), [(SUBJECTS - 1, 1), (SUBJECTS, 3)], ids=["turns", "control"])
def test_large_filters_take_turns_and_small_ones_wait_for_none(
    crowded: Galleries, monkeypatch: pytest.MonkeyPatch, many: int, at_once: int
) -> None:
    monkeypatch.setattr(filters, "MANY", many)
    reading = Reading(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        large = [pool.submit(searched, crowded, MANY) for _ in range(3)]
        try:
            until(lambda: reading.now >= at_once)
            time.sleep(0.2)  # in which the others would begin too
            assert pool.submit(searched, crowded, FEW).result(10) == 2
            assert pool.submit(searched, crowded, None).result(10) == SUBJECTS
        finally:
            reading.go.set()
        assert [one.result(10) for one in large] == [SUBJECTS] * 3
    assert reading.most == at_once


def test_a_refused_search_gives_its_turn_back(crowded: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MANY", 1)
    for _ in range(2):
        with pytest.raises(UnknownSubject):
            searched(crowded, SubjectFilter(subject_ids=("s1", "nobody")))
    assert searched(crowded, FEW) == 2


def plainly(fusion: ScoreFusion, probe: F32, vectors: F32) -> float:
    similarities: list[float] = sorted((vectors.astype(np.float64) @ probe.astype(np.float64)).tolist(), reverse=True)
    if fusion is ScoreFusion.MAX:
        return similarities[0]
    if fusion is ScoreFusion.MEAN_TOP_2:
        return sum(similarities[:2]) / len(similarities[:2])
    mean = vectors.astype(np.float64).mean(axis=0)
    return float(mean @ probe.astype(np.float64) / np.linalg.norm(mean))


@pytest.mark.parametrize("fusion", list(ScoreFusion))
@given(owners=st.lists(st.integers(1, 6), min_size=1, max_size=24), seed=st.integers(0, 2**32 - 1))
def test_each_subject_gets_the_score_of_the_plain_computation(
    fusion: ScoreFusion, owners: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((len(owners) + 1, 8), np.float32)
    probe, *rows = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    vectors = np.stack(rows)
    subject_nos, template_ids = np.array(owners), np.arange(100, 100 + len(owners))
    ranked = fused(fusion, probe, subject_nos, template_ids, vectors, True)
    assert sorted(ranked.subject_nos.tolist()) == sorted(set(owners))
    assert (np.diff(ranked.similarities) <= 0).all()
    rows_of_subjects = zip(ranked.subject_nos, ranked.template_ids, ranked.similarities, strict=True)
    for subject_no, template_id, score in rows_of_subjects:
        own = subject_nos == subject_no
        assert score == pytest.approx(plainly(fusion, probe, vectors[own]), abs=1e-12)
        assert template_id == template_ids[own][np.argmax(vectors[own].astype(np.float64) @ probe)]


def test_fusion_of_ties_of_templates_that_cancel_out_and_of_the_best_template() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    for fusion in ScoreFusion:
        ranked = fused(fusion, vectors[0], np.array([3, 2, 1]), np.array([5, 9, 7]), vectors, True)
        assert ranked.template_ids.tolist() == [5, 7, 9]
    vectors = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    ranked = fused(ScoreFusion.MEAN_TEMPLATE, vectors[2], np.array([1, 1, 2]), np.array([1, 2, 3]), vectors, True)
    assert ranked.subject_nos.tolist() == [2]
    found = Nearest(np.array([1, 2, 3, 4]), np.array([0.9, 0.8, 0.7, 0.6]), exhaustive=False)
    ranked = by_best_template(np.array([7, 8, 7, 9]), found)
    assert not ranked.exhaustive
    assert (ranked.subject_nos.tolist(), ranked.template_ids.tolist()) == ([7, 8, 9], [1, 2, 4])
    assert ranked.first(1).similarities.tolist() == [0.9]


BEGIN = Clock().now
DAY = timedelta(days=1)


def enrolment(subject_id: str, seed: int, **metadata: str) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), f"{seed:064x}"), "Name", metadata)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dated(tmp_path: Path, clock: Clock) -> Iterator[Galleries]:
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
    dated: Galleries, clock: Clock, tmp_path: Path, changes: dict[str, object]
) -> None:
    before = dated.get("g")
    changed = dated.update("g", GalleryUpdate(**changes))  # type: ignore[arg-type]
    assert changed == replace(before, version=before.version + 1, **changes)  # type: ignore[arg-type]
    assert dated.get("g") == changed
    assert dated.list().items == (changed,)
    dated.close()
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
def test_a_wrong_update_of_a_gallery_changes_nothing(dated: Galleries, wrong: GalleryUpdate) -> None:
    before = dated.get("g")
    with pytest.raises(InvalidField):
        dated.update("g", wrong)
    assert dated.get("g") == before


@pytest.mark.parametrize("expires", [BEGIN + 20 * DAY, None])
def test_a_gallery_that_has_expired_is_opened_again(dated: Galleries, clock: Clock, expires: datetime | None) -> None:
    dated.update("g", GalleryUpdate(retention=None))
    clock.now += 10 * DAY
    with pytest.raises(GalleryExpired):
        dated.search("g", embedding(1), 1, 0.5)
    dated.update("g", GalleryUpdate(display_name="Still closed"))
    assert dated.update_subject("g", "s", SubjectUpdate("Right")).subject.display_name == "Right"
    with pytest.raises(GalleryExpired):
        dated.enrol("g", enrolment("t", 2))
    dated.update("g", GalleryUpdate(expires=expires))
    assert dated.search("g", embedding(1), 1, 0.5).identification.candidates[0].subject_id == "s"
    dated.enrol("g", enrolment("t", 2))


def test_a_retention_holds_for_templates_that_are_there_already(dated: Galleries, clock: Clock) -> None:
    clock.now += 4 * DAY
    dated.enrol("g", enrolment("t", 2))
    assert dated.purge() == ()
    dated.update("g", GalleryUpdate(retention=3 * DAY))
    assert dated.purge(dry_run=True) == (Purged("g", 1, 1),)
    dated.update("g", GalleryUpdate(retention=6 * DAY))
    clock.now += DAY
    assert dated.purge() == ()  # by the first retention it would be gone now
    dated.update("g", GalleryUpdate(retention=3 * DAY))
    assert dated.purge() == (Purged("g", 1, 1),)
    assert [subject.subject_id for subject in dated.subjects("g").items] == ["t"]


def test_an_end_that_was_set_in_time_may_be_sent_again(dated: Galleries, clock: Clock) -> None:
    end = GalleryUpdate(expires=BEGIN + DAY)
    dated.update("g", end)
    clock.now += 2 * DAY
    assert dated.update("g", end).expires == BEGIN + DAY  # as the caller that got no answer the first time sends it
    with pytest.raises(InvalidField, match="has passed"):
        dated.update("g", GalleryUpdate(expires=BEGIN + DAY / 2))


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
            row = defined(snapshot.gallery("g"))
            info, subject = row.info, defined(snapshot.subject(row.gallery_no, "s"))
        assert (info.display_name, info.retention, info.version, info.template_count) == ("First", DAY, 5, 1)
        assert dict(subject.metadata) == {"k": "v"}
        assert verify(tmp_path, KEY).subjects == 1


def _rename_and_enrol_twice(transaction: GalleryTransaction) -> None:
    UpdateGallery("g", GalleryUpdate(display_name="Never"), BEGIN).run(transaction)
    Enrol("g", enrolment("t", 1), BEGIN).run(transaction)


def test_filters_and_candidates_see_the_change_at_its_version(dated: Galleries) -> None:
    dated.enrol("g", enrolment("t", 2, list="wanted"))
    changed = dated.update_subject("g", "s", SubjectUpdate("New", {"list": "staff"}))
    found = dated.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"list": "staff"}))
    assert [one.subject_id for one in found.identification.candidates] == ["s"]
    assert found.identification.gallery_version == changed.gallery_version
    assert found.subjects["s"] == SubjectName("s", "New", {"list": "staff"})
    found = dated.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"list": "wanted"}))
    assert [one.subject_id for one in found.identification.candidates] == ["t"]
    with pytest.raises(InvalidFilter):  # nobody has the key any more
        dated.search("g", embedding(1), 9, 0.5, among=SubjectFilter({"unit": "maths"}))


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
    dated: Galleries, subject_id: str, wrong: SubjectUpdate, refusal: type[FrError]
) -> None:
    before = dated.get("g"), dated.subject("g", "s")
    with pytest.raises(refusal):
        dated.update_subject("g", subject_id, wrong)
    assert (dated.get("g"), dated.subject("g", "s")) == before


def test_a_full_disk_takes_no_metadata_but_a_shorter_retention(
    dated: Galleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dated.subject("g", "s")
    monkeypatch.setattr(Database, "spare_bytes", lambda store: 0)
    with pytest.raises(StorageLow):
        dated.update_subject("g", "s", SubjectUpdate(metadata={"a": "b"}))
    assert dated.update("g", GalleryUpdate(retention=DAY)).retention == DAY
    assert dated.subject("g", "s") == before
