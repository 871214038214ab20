"""Many templates in one change: each stands alone, and all that are kept become visible and durable together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import FrError, GalleryExpired, StorageLow, StoreFailed, UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import Enrolled, Enrolment, NewTemplate
from fr_core.types import F32, Embedding, ModelId

MODEL = ModelId("pack", "1", "a" * 64)
SIZE = 16


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", index="flat") as opened:
        opened.create("g", "", MODEL, SIZE)
        yield opened


def units(n: int) -> F32:
    vectors = np.random.default_rng(n).standard_normal((n, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def enrolment(subject_id: str, vector: F32, image_sha256: str | None = None, model: ModelId = MODEL) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(Embedding(vector, model), image_sha256))


def reasons(outcomes: tuple[Enrolled | FrError, ...]) -> list[str]:
    return [outcome.reason if isinstance(outcome, FrError) else "" for outcome in outcomes]


def test_each_stands_alone_and_all_share_one_version(galleries: Galleries) -> None:
    vectors = units(7)
    before = galleries.get("g").version
    outcomes = galleries.enrol_many(
        "g",
        [
            enrolment("a", vectors[0], "1" * 64),
            enrolment("a ", vectors[1]),
            enrolment("b", vectors[2], model=ModelId("other", "1", "a" * 64)),
            enrolment("b", vectors[3][:5]),
            enrolment("b", vectors[4], "1" * 64),
            enrolment("a", vectors[5]),
            enrolment("b", vectors[6]),
        ],
    )
    assert reasons(outcomes) == [
        "",
        "INVALID_IDENTIFIER",
        "MODEL_MISMATCH",
        "EMBEDDING_WRONG_SIZE",
        "DUPLICATE_IMAGE",
        "",
        "",
    ]
    stored = [outcome for outcome in outcomes if isinstance(outcome, Enrolled)]
    assert [one.subject_created for one in stored] == [True, False, True]
    assert {one.gallery_version for one in stored} == {before + 1}
    info = galleries.get("g")
    assert (info.subject_count, info.template_count, info.version) == (2, 3, before + 1)
    for one, row in zip(stored, (0, 5, 6), strict=True):
        found = galleries.search("g", Embedding(vectors[row], MODEL), 1, 0.9)
        assert found.identification.candidates[0].template_id == one.template_id
        assert found.identification.gallery_version == before + 1


def test_nothing_but_refusals_leaves_the_version(galleries: Galleries) -> None:
    before = galleries.get("g")
    assert reasons(galleries.enrol_many("g", [enrolment("a", units(1)[0] * 2)])) == ["EMBEDDING_NOT_UNIT"]
    assert galleries.enrol_many("g", []) == ()
    assert galleries.get("g") == before
    assert galleries.search("g", Embedding(units(1)[0], MODEL), 1, 0.9).searched_templates == 0


@pytest.mark.parametrize("error", [StoreFailed("The database cannot be written."), StorageLow("The disk is full.")])
def test_where_one_fails_while_it_is_written_nothing_is_kept(
    galleries: Galleries, monkeypatch: pytest.MonkeyPatch, error: FrError
) -> None:
    """Also where it fails with what is a refusal of one before anything of it is written."""
    before = galleries.get("g")
    insert = GalleryTransaction.insert_template

    def fails(self: GalleryTransaction, *arguments: object) -> int:
        if arguments[1] == 2:
            raise error
        return insert(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(GalleryTransaction, "insert_template", fails)
    many = [enrolment(name, vector) for name, vector in zip("abc", units(3), strict=True)]
    with pytest.raises(type(error)):
        galleries.enrol_many("g", many)
    assert galleries.get("g") == before
    monkeypatch.undo()
    assert reasons(galleries.enrol_many("g", many)) == ["", "", ""]


def test_an_unknown_or_expired_gallery_refuses_all(tmp_path: Path) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    with Galleries.open(tmp_path / "data", index="flat", clock=lambda: now) as galleries:
        galleries.create("old", "", MODEL, SIZE, expires=datetime(2030, 6, 1, tzinfo=UTC))
        now = datetime(2031, 1, 1, tzinfo=UTC)
        with pytest.raises(GalleryExpired):
            galleries.enrol_many("old", [enrolment("a", units(1)[0])])
        with pytest.raises(UnknownGallery):
            galleries.enrol_many("none", [enrolment("a", units(1)[0])])


def test_all_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    vectors = units(1000)
    with Galleries.open(tmp_path / "data", index="flat") as galleries:
        galleries.create("g", "", MODEL, SIZE)
        outcomes = galleries.enrol_many("g", [enrolment(f"s{i}", vector) for i, vector in enumerate(vectors)])
    assert reasons(outcomes) == [""] * 1000
    with Galleries.open(tmp_path / "data", index="flat") as galleries:
        for i in (0, 500, 999):
            found = galleries.search("g", Embedding(vectors[i], MODEL), 1, 0.9).identification.candidates[0]
            assert found.subject_id == f"s{i}"
        assert galleries.get("g").template_count == 1000
