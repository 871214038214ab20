"""Galleries: what the model of `tests/property` does not tell: refusals, times, pages, and many templates at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import (
    ConfigInvalid,
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    FrError,
    InvalidField,
    InvalidIdentifier,
    InvalidPage,
    InvalidThreshold,
    InvalidTopK,
    ModelMismatch,
    ShuttingDown,
    StorageLow,
    StoreFailed,
    UnknownGallery,
    UnknownSubject,
    UnknownTemplate,
)
from fr_core.gallery import checks
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.pages import last_of, page_token, require_page_size
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import (
    Enrolled,
    Enrolment,
    GalleryInfo,
    GalleryUpdate,
    NewTemplate,
    SubjectUpdate,
    TemplateInfo,
)
from fr_core.types import F32, Embedding, ModelId
from support.histories import Clock
from support.ledger import MODEL, SIZE, embedding

OTHER = ModelId("null", "1+flip", "0" * 64)
SHA = "ab" * 32
BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
ELSEWHERE = BEGIN.astimezone(timezone(timedelta(hours=5)))


def enrolment(subject_id: str, seed: int = 0, sha256: str | None = None) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), sha256))


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", clock=lambda: ELSEWHERE) as opened:
        opened.create("g", "A gallery", MODEL, SIZE)
        yield opened


def test_a_new_gallery_is_empty(galleries: Galleries) -> None:
    info = GalleryInfo("g", "A gallery", MODEL, SIZE, BEGIN, 0, 0, 1)
    assert galleries.get("g") == info
    assert galleries.get("g").created.tzinfo is UTC
    assert galleries.list().items == (info,)


@pytest.mark.parametrize(
    ("gallery_id", "name", "size", "refusal"),
    [("Ü", "", SIZE, InvalidIdentifier), ("h", "x" * 257, SIZE, InvalidField), ("h", "", 0, InvalidField)],
)
def test_a_wrong_gallery_is_not_created(
    galleries: Galleries, gallery_id: str, name: str, size: int, refusal: type[FrError]
) -> None:
    with pytest.raises(refusal):
        galleries.create(gallery_id, name, MODEL, size)
    assert len(galleries.list().items) == 1


def test_an_enrolment_creates_the_subject_and_gives_a_receipt(galleries: Galleries) -> None:
    template = NewTemplate(embedding(1), SHA, 0.75)
    enrolled = galleries.enrol("g", Enrolment("s", template, "Name", {"b": "2", "a": "ü"}))
    assert enrolled == Enrolled("s", 1, True, 2)
    subject = galleries.subject("g", "s")
    assert (subject.subject_id, subject.display_name) == ("s", "Name")
    assert dict(subject.metadata) == {"a": "ü", "b": "2"}
    assert subject.created == BEGIN
    assert subject.templates == (TemplateInfo(1, SHA, subject.created, 0.75),)
    info = galleries.get("g")
    assert (info.subject_count, info.template_count, info.version) == (1, 1, 2)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (replace(embedding(1), model=OTHER), ModelMismatch),
        (Embedding(np.append(embedding(1).vector, np.float32(0)), MODEL), EmbeddingWrongSize),
        (Embedding(np.full(SIZE, np.nan, dtype=np.float32), MODEL), EmbeddingNotFinite),
        (Embedding(np.ones(SIZE, dtype=np.float32), MODEL), EmbeddingNotUnit),
        (Embedding(np.zeros(SIZE, dtype=np.float32), MODEL), EmbeddingNotUnit),
    ],
)
def test_an_unfit_embedding_is_neither_enrolled_nor_searched(
    galleries: Galleries, wrong: Embedding, refusal: type[FrError]
) -> None:
    before = galleries.get("g")
    with pytest.raises(refusal):
        galleries.enrol("g", Enrolment("s", NewTemplate(wrong)))
    with pytest.raises(refusal):
        galleries.search("g", wrong, 1, 0.5)
    assert galleries.get("g") == before


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (enrolment(" s"), InvalidIdentifier),
        (enrolment("s", 1, "no sha256"), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1)), "x" * 257), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1)), "", {"": "v"}), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1), None, 2.0)), InvalidField),
    ],
)
def test_a_wrong_enrolment_changes_nothing(galleries: Galleries, wrong: Enrolment, refusal: type[FrError]) -> None:
    before = galleries.get("g")
    with pytest.raises(refusal):
        galleries.enrol("g", wrong)
    assert galleries.get("g") == before


def test_what_is_unknown_is_not_deleted(galleries: Galleries) -> None:
    galleries.create("h", "", MODEL, SIZE)
    template = galleries.enrol("h", enrolment("s")).template_id
    before = galleries.get("g"), galleries.get("h")
    with pytest.raises(UnknownTemplate):
        galleries.delete_template("g", template)  # of another gallery
    for unknown in (0, -1, template + 1, 2**63 - 1, 2**63, -(2**64)):
        with pytest.raises(UnknownTemplate):
            galleries.delete_template("h", unknown)
    for subject_id in ("s", "", "S", "\ud800", " s"):
        with pytest.raises(UnknownSubject):
            galleries.delete_subject("g", subject_id)
        with pytest.raises(UnknownSubject):
            galleries.subject("g", subject_id)
    assert (galleries.get("g"), galleries.get("h")) == before


@pytest.mark.parametrize("gallery_id", ["none", "", "G", "x" * 1000, "nüll", "\ud800"])
def test_an_unknown_gallery_is_refused_by_every_call(galleries: Galleries, gallery_id: str) -> None:
    for call in (
        lambda: galleries.get(gallery_id),
        lambda: galleries.delete(gallery_id),
        lambda: galleries.enrol(gallery_id, enrolment("s")),
        lambda: galleries.search(gallery_id, embedding(0), 1, 0.5),
        lambda: galleries.subject(gallery_id, "s"),
        lambda: galleries.subjects(gallery_id),
        lambda: galleries.delete_subject(gallery_id, "s"),
        lambda: galleries.delete_template(gallery_id, 1),
        lambda: galleries.update(gallery_id, GalleryUpdate(display_name="x")),
        lambda: galleries.update_subject(gallery_id, "s", SubjectUpdate(display_name="x")),
        lambda: galleries.enrol_many(gallery_id, [enrolment("s")]),
    ):
        with pytest.raises(UnknownGallery):
            call()


def test_closed_galleries_refuse_and_close_again(galleries: Galleries) -> None:
    galleries.close()
    galleries.close()
    with pytest.raises(ShuttingDown):
        galleries.enrol("g", enrolment("s"))
    with pytest.raises(ShuttingDown):
        galleries.get("g")


def test_an_unknown_index_is_refused_and_lets_the_folder_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="auto, compact, flat, gpu, numpy"):
        Galleries.open(tmp_path, index="ivf")
    Galleries.open(tmp_path).close()


def test_a_clock_without_a_time_zone_is_a_mistake(tmp_path: Path) -> None:
    with (
        Galleries.open(tmp_path, clock=lambda: datetime(2026, 1, 1)) as opened,
        pytest.raises(ValueError, match="time zone"),
    ):
        opened.create("g", "", MODEL, SIZE)


def test_galleries_are_paged(galleries: Galleries) -> None:
    for gallery_id in ("z", "_", "0", "h"):
        galleries.create(gallery_id, "", MODEL, SIZE)
    first = galleries.list(3)
    assert [info.gallery_id for info in first.items] == ["0", "_", "g"]
    second = galleries.list(3, first.next_page_token)
    assert [info.gallery_id for info in second.items] == ["h", "z"]
    assert second.next_page_token == ""


def test_a_token_outlives_its_subject(galleries: Galleries) -> None:
    for subject_id in "abcd":
        galleries.enrol("g", enrolment(subject_id))
    token = galleries.subjects("g", 2).next_page_token
    galleries.delete_subject("g", "b")
    galleries.delete_subject("g", "c")
    assert [subject.subject_id for subject in galleries.subjects("g", 2, token).items] == ["d"]
    galleries.delete_subject("g", "d")
    assert galleries.subjects("g", 2, token).items == ()


def test_a_foreign_token_is_refused(galleries: Galleries) -> None:
    galleries.create("h", "", MODEL, SIZE)
    for gallery_id in "gh":
        for subject_id in "ab":
            galleries.enrol(gallery_id, enrolment(subject_id))
    of_g = galleries.subjects("g", 1).next_page_token
    with pytest.raises(InvalidPage):
        galleries.subjects("h", 1, of_g)
    with pytest.raises(InvalidPage):
        galleries.list(1, of_g)
    with pytest.raises(InvalidPage):
        galleries.subjects("g", 1, galleries.list(1).next_page_token)
    galleries.delete("g")
    galleries.create("g", "", MODEL, SIZE)
    with pytest.raises(InvalidPage):
        galleries.subjects("g", 1, of_g)


# --- many templates in one change -----------------------------------------------------------------------------


def reasons(outcomes: tuple[Enrolled | FrError, ...]) -> list[str]:
    return [outcome.reason if isinstance(outcome, FrError) else "" for outcome in outcomes]


def test_each_stands_alone_and_all_share_one_version(galleries: Galleries) -> None:
    odd = [embedding(1), replace(embedding(2), model=OTHER), Embedding(embedding(3).vector[:5], MODEL)]
    before = galleries.get("g").version
    outcomes = galleries.enrol_many(
        "g",
        [
            enrolment("a", 0, SHA),
            *[Enrolment(subject_id, NewTemplate(one)) for subject_id, one in zip(("a ", "b", "b"), odd, strict=True)],
            enrolment("b", 4, SHA),
            enrolment("a", 5),
            enrolment("b", 6),
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
        found = galleries.search("g", embedding(row), 1, 0.9)
        assert found.identification.candidates[0].template_id == one.template_id
        assert found.identification.gallery_version == before + 1


def test_nothing_but_refusals_leaves_the_version(galleries: Galleries) -> None:
    before = galleries.get("g")
    assert reasons(
        galleries.enrol_many("g", [Enrolment("a", NewTemplate(Embedding(embedding(1).vector * 2, MODEL)))])
    ) == ["EMBEDDING_NOT_UNIT"]
    assert galleries.enrol_many("g", []) == ()
    assert galleries.get("g") == before
    assert galleries.search("g", embedding(1), 1, 0.9).searched_templates == 0


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
    many = [enrolment(name, number) for number, name in enumerate("abc")]
    with pytest.raises(type(error)):
        galleries.enrol_many("g", many)
    assert galleries.get("g") == before
    monkeypatch.undo()
    assert reasons(galleries.enrol_many("g", many)) == ["", "", ""]


def test_all_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", index="flat") as galleries:
        galleries.create("g", "", MODEL, SIZE)
        outcomes = galleries.enrol_many("g", [enrolment(f"s{i}", i) for i in range(1000)])
    assert reasons(outcomes) == [""] * 1000
    with Galleries.open(tmp_path / "data", index="flat") as galleries:
        for i in (0, 500, 999):
            found = galleries.search("g", embedding(i), 1, 0.9).identification.candidates[0]
            assert found.subject_id == f"s{i}"
        assert galleries.get("g").template_count == 1000


# --- pages ----------------------------------------------------------------------------------------------------


CALL = "subjects of 3"


@pytest.mark.parametrize("last", ["a", "Case 7/2", "名 😀", "x" * 128])
def test_a_token_leads_back_to_its_item(last: str) -> None:
    assert last_of(CALL, page_token(CALL, last)) == last


def test_every_changed_or_missing_character_is_noticed() -> None:
    token = page_token(CALL, "subject")
    assert "subject" not in token
    for place in range(len(token)):
        with pytest.raises(InvalidPage):
            last_of(CALL, token[:place] + "=")
        for other in "Aa0_-=+ é":
            if token[place] != other:
                with pytest.raises(InvalidPage):
                    last_of(CALL, token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("token", ["=", "a", "!!!!", "a" * 10_000, page_token(CALL, "a") + "=", " ", "\ud800"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPage):
        last_of(CALL, token)


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_a_page_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InvalidPage):
        require_page_size(size)


# --- values just within and just beyond what is allowed -------------------------------------------------------


NOW = Clock().now
AXIS = np.eye(4, dtype=np.float32)[0]


def require_sha256(sha256: str) -> None:
    checks.require_template(NewTemplate(Embedding(AXIS, MODEL), sha256))


def require_quality(quality: float) -> None:
    checks.require_template(NewTemplate(Embedding(AXIS, MODEL), None, quality))


def require_size(size: int) -> None:
    checks.require_model(MODEL, size)


def require_end(expires: datetime | None) -> None:
    checks.require_end(expires, NOW)


HOUR = timedelta(hours=1)
CASES: list[tuple[Callable[..., object], type[FrError], list[object], list[object]]] = [
    (
        checks.require_gallery_id,
        InvalidIdentifier,
        ["a", "watch-list_7", "x" * 128, "-"],
        ["", "x" * 129, "A", "ä", "a b", "a\n", "a/b", "٣"],
    ),
    (
        checks.require_subject_id,
        InvalidIdentifier,
        ["a", "Case 7/2", "Ærø", "名", "x" * 128, "😀"],
        ["", " ", " a", "a ", "x" * 129, "a\tb", "a\0b", "a\u200bb", "\ud800", "a\u00a0"],
    ),
    (
        checks.require_display_name,
        InvalidField,
        ["", "Name of a person", "x" * 256, "two\nlines"],
        ["x" * 257, "a\0", "\udfff"],
    ),
    (
        checks.require_metadata,
        InvalidField,
        [{f"{n:064}": "v" * 64 for n in range(32)}, {"k": "v" * 1024}],
        [{str(n): "" for n in range(33)}, {"": "v"}, {"k" * 65: "v"}, {"k": "v" * 1025}, {"k": "\0"}, {"\ud800": "v"}],
    ),
    (require_sha256, InvalidField, ["0" * 64], ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"]),
    (require_quality, InvalidField, [0.0, 1.0], [-0.01, 1.01, math.nan, math.inf]),
    (require_size, InvalidField, [1, 4096], [0, -1, 4097]),
    (require_end, InvalidField, [None, NOW + timedelta(microseconds=1)], [NOW, NOW - HOUR, datetime(2027, 1, 1)]),
    (
        checks.require_retention,
        InvalidField,
        [None, timedelta(days=36_525)],
        [timedelta(0), -HOUR, timedelta(days=36_526)],
    ),
    (checks.require_top_k, InvalidTopK, [1, 1000], [0, -1, 1001]),
    (checks.require_threshold, InvalidThreshold, [-1.0, 0.0, 1.0], [-1.0001, 1.0001, math.nan, math.inf]),
]


@pytest.mark.parametrize(("check", "refusal", "good", "bad"), CASES)
def test_what_is_within_limits_is_taken_and_what_is_beyond_is_refused(
    check: Callable[..., object], refusal: type[FrError], good: list[object], bad: list[object]
) -> None:
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(refusal):
            check(value)


def test_a_refusal_does_not_repeat_the_id() -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        checks.require_subject_id("Anna Muster\n")
    assert "Anna" not in str(refused.value) + str(refused.value.metadata)


def test_a_model_must_have_a_name() -> None:
    with pytest.raises(InvalidField):
        checks.require_model(ModelId("", "1", "0" * 64), 4)


@pytest.mark.parametrize(
    ("vector", "refusal"),
    [
        *[(np.zeros(shape, dtype=np.float32), EmbeddingWrongSize) for shape in ((3,), (5,), (1, 4), ())],
        *[(np.where([0, 0, 1, 0], value, AXIS), EmbeddingNotFinite) for value in (math.nan, math.inf, -math.inf)],
        *[(AXIS * np.float32(length), EmbeddingNotUnit) for length in (0.0, 0.999, 1.001, 2.0, 3e38)],
    ],
)
def test_a_vector_that_is_no_embedding_of_the_model_is_refused(vector: F32, refusal: type[FrError]) -> None:
    with pytest.raises(refusal):
        checks.unit_vector(Embedding(vector.astype(np.float32), MODEL), MODEL, 4)


def test_a_fit_vector_comes_back_unchanged_and_the_model_is_checked_before_the_size() -> None:
    assert checks.unit_vector(Embedding(AXIS, MODEL), MODEL, 4) is AXIS
    with pytest.raises(ModelMismatch):
        checks.unit_vector(Embedding(AXIS[:3], ModelId("null", "2", "0" * 64)), MODEL, 4)
