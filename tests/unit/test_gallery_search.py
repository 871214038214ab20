"""Search: candidates, filters, fusion of scores, and the turns of searches among very many."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import InvalidFilter, UnknownSubject, UnknownTemplate
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import MAX_FILTER_SUBJECTS, ScoreFusion, SubjectFilter
from fr_core.gallery.search import filters
from fr_core.gallery.search.ranking import by_best_template, fused
from fr_core.gallery.search.sharing import Nearest
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.values import Enrolment, Found, NewTemplate, SubjectName
from fr_core.storage import log_copier
from fr_core.types import F32, I64, Candidate, Decision, Embedding
from support.ledger import MODEL, SIZE, embedding


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


def test_candidates_come_best_first_with_ranks_and_subjects(galleries: Galleries) -> None:
    enrol(galleries, "far", 90)
    enrol(galleries, "near", 10)
    enrol(galleries, "middle", 45)
    found = galleries.search("plane", at(0), 2, 0.8)
    assert found.identification.candidates == (
        Candidate("near", 2, at(0).similarity(at(10)), 1, True),
        Candidate("middle", 3, at(0).similarity(at(45)), 2, False),
    )
    assert found.identification.decision is Decision.POTENTIAL_CANDIDATES
    assert (found.identification.threshold, found.identification.gallery_version) == (0.8, 4)
    assert found.identification.model == MODEL
    assert {key: subject.display_name for key, subject in found.subjects.items()} == {
        "near": "name of near",
        "middle": "name of middle",
    }
    near = galleries.subject("plane", "near")
    assert found.subjects["near"] == SubjectName("near", near.display_name, near.metadata)
    with pytest.raises(TypeError):
        found.subjects["far"] = found.subjects["near"]  # type: ignore[index]
    with pytest.raises(TypeError):
        found.subjects["near"].metadata["k"] = "v"  # type: ignore[index]


def test_the_nearest_templates_of_one_subject_do_not_hide_another(galleries: Galleries) -> None:
    enrol(galleries, "crowd", *np.linspace(0, 1, 300))
    enrol(galleries, "second", 50)
    enrol(galleries, "third", 60)
    assert [c.subject_id for c in candidates(galleries, 2)] == ["crowd", "second"]
    assert [c.subject_id for c in candidates(galleries, 1000)] == ["crowd", "second", "third"]


def test_a_similarity_equal_to_the_threshold_is_accepted(galleries: Galleries) -> None:
    enrol(galleries, "a", 37)
    similarity = at(0).similarity(at(37))
    for threshold, accepted in ((similarity, True), (float(np.nextafter(similarity, 2)), False)):
        found = galleries.search("plane", at(0), 1, threshold).identification
        assert found.candidates[0].above_threshold is accepted
        assert found.decision is (Decision.POTENTIAL_CANDIDATES if accepted else Decision.NO_CANDIDATE)
        only = galleries.search("plane", at(0), 1, threshold, only_above_threshold=True)
        assert len(only.identification.candidates) == len(only.subjects) == int(accepted)


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
    for _ in range(500):
        if not held(tmp_path, b"Jane Roe"):
            break
        time.sleep(0.02)
    assert not held(tmp_path, b"Jane Roe")
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
        until = time.monotonic() + 10
        while reading.now < at_once and time.monotonic() < until:
            time.sleep(0.01)
        try:
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
    for subject_no, template_id, score in zip(
        ranked.subject_nos, ranked.template_ids, ranked.similarities, strict=True
    ):
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
