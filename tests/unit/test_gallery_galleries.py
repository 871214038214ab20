"""Galleries: what the model of `tests/property` does not tell: refusals, times, pages, and many templates at once."""

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
    NewTemplate,
    TemplateInfo,
)
from fr_core.storage.location import Location
from fr_core.types import Embedding, ModelId
from support.histories import Clock
from support.ledger import KEY, MODEL, SIZE, embedding

OTHER = ModelId("null", "1+flip", "0" * 64)
SHA = "ab" * 32
BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
ELSEWHERE = BEGIN.astimezone(timezone(timedelta(hours=5)))


def enrolment(subject_id: str, seed: int = 0, sha256: str | None = None) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), sha256))


@pytest.fixture
def galleries(location: Location) -> Iterator[Galleries]:
    with Galleries.open(location, key=KEY, clock=lambda: ELSEWHERE) as opened:
        opened.create("g", "A gallery", MODEL, SIZE)
        yield opened


def test_an_enrolment_creates_the_subject_and_gives_a_receipt(galleries: Galleries) -> None:
    info = GalleryInfo("g", "A gallery", MODEL, SIZE, BEGIN, 0, 0, 1)
    assert galleries.list().items == (info,)
    assert galleries.get("g").created.tzinfo is UTC
    template = NewTemplate(embedding(1), SHA, 0.75)
    enrolled = galleries.enrol("g", Enrolment("s", template, "Name", {"b": "2", "a": "ü"}))
    assert enrolled == Enrolled("s", 1, True, 2)
    subject = galleries.subject("g", "s")
    assert (subject.subject_id, subject.display_name, subject.created) == ("s", "Name", BEGIN)
    assert dict(subject.metadata) == {"a": "ü", "b": "2"}
    assert subject.templates == (TemplateInfo(1, SHA, BEGIN, 0.75),)
    assert galleries.get("g") == replace(info, subject_count=1, template_count=1, version=2)


AXIS = np.eye(SIZE, dtype=np.float32)[0]


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (replace(embedding(1), model=OTHER), ModelMismatch),
        (Embedding(AXIS[1:], ModelId("null", "2", "0" * 64)), ModelMismatch),  # the model is checked before the size
        *((Embedding(np.resize(AXIS, n), MODEL), EmbeddingWrongSize) for n in (SIZE - 1, SIZE + 1, (1, SIZE), ())),
        *((Embedding(AXIS + np.float32(odd), MODEL), EmbeddingNotFinite) for odd in (math.nan, math.inf, -math.inf)),
        *((Embedding(AXIS * np.float32(n), MODEL), EmbeddingNotUnit) for n in (0.0, 0.999, 1.001, 2.0, 3e38)),
    ],
)
def test_an_unfit_embedding_is_refused(galleries: Galleries, wrong: Embedding, refusal: type[FrError]) -> None:
    before = galleries.get("g")
    with pytest.raises(refusal):
        galleries.enrol("g", Enrolment("s", NewTemplate(wrong)))
    with pytest.raises(refusal):
        galleries.search("g", wrong, 1, 0.5)
    assert galleries.get("g") == before


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (enrolment("Anna Muster\n"), InvalidIdentifier),
        (enrolment("s", 1, "no sha256"), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1)), "x" * 257), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1)), "", {"": "v"}), InvalidField),
        (Enrolment("s", NewTemplate(embedding(1), None, 2.0)), InvalidField),
    ],
)
def test_a_wrong_enrolment_changes_nothing(galleries: Galleries, wrong: Enrolment, refusal: type[FrError]) -> None:
    before = galleries.get("g")
    with pytest.raises(refusal) as refused:
        galleries.enrol("g", wrong)
    assert "Anna" not in str(refused.value) + str(refused.value.metadata)
    assert galleries.get("g") == before
    with pytest.raises(InvalidField):
        galleries.create("h", "x" * 257, MODEL, SIZE)
    assert len(galleries.list().items) == 1


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


def test_an_unknown_index_lets_the_folder_go_and_closed_galleries_refuse(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="auto, compact, cuvs, flat, gpu, int8, numpy"):
        Galleries.open(tmp_path, index="ivf")
    naive = Galleries.open(tmp_path, clock=lambda: datetime(2026, 1, 1))
    with naive, pytest.raises(ValueError, match="time zone"):
        naive.create("g", "", MODEL, SIZE)
    opened = Galleries.open(tmp_path)
    for _ in range(2):
        opened.close()
    for call in (lambda: opened.enrol("g", enrolment("s")), lambda: opened.get("g")):
        with pytest.raises(ShuttingDown):
            call()


def test_galleries_are_paged(galleries: Galleries) -> None:
    for gallery_id in ("z", "_", "0", "h"):
        galleries.create(gallery_id, "", MODEL, SIZE)
    first = galleries.list(3)
    second = galleries.list(3, first.next_page_token)
    pages = [[info.gallery_id for info in page.items] for page in (first, second)]
    assert (pages, second.next_page_token) == ([["0", "_", "g"], ["h", "z"]], "")


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
    of_g, of_all = galleries.subjects("g", 1).next_page_token, galleries.list(1).next_page_token
    with pytest.raises(InvalidPage):
        galleries.list(1, of_g)
    for gallery_id, token in (("h", of_g), ("g", of_all)):
        with pytest.raises(InvalidPage):
            galleries.subjects(gallery_id, 1, token)
    galleries.delete("g")
    galleries.create("g", "", MODEL, SIZE)
    with pytest.raises(InvalidPage):
        galleries.subjects("g", 1, of_g)


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
    refused = ["INVALID_IDENTIFIER", "MODEL_MISMATCH", "EMBEDDING_WRONG_SIZE", "DUPLICATE_IMAGE"]
    assert reasons(outcomes) == ["", *refused, "", ""]
    stored = [outcome for outcome in outcomes if isinstance(outcome, Enrolled)]
    assert [one.subject_created for one in stored] == [True, False, True]
    assert {one.gallery_version for one in stored} == {before + 1}
    info = galleries.get("g")
    assert (info.subject_count, info.template_count, info.version) == (2, 3, before + 1)
    for one, row in zip(stored, (0, 5, 6), strict=True):
        found = galleries.search("g", embedding(row), 1, 0.9)
        assert found.identification.candidates[0].template_id == one.template_id
        assert found.identification.gallery_version == before + 1
    twice_as_long = NewTemplate(Embedding(embedding(1).vector * 2, MODEL))
    assert reasons(galleries.enrol_many("g", [Enrolment("a", twice_as_long)])) == ["EMBEDDING_NOT_UNIT"]
    assert galleries.enrol_many("g", []) == ()
    assert galleries.get("g") == info  # nothing but refusals leaves the version
    assert galleries.search("g", embedding(1), 1, 0.9).searched_templates == 3


@pytest.mark.parametrize("error", [StoreFailed("The database cannot be written."), StorageLow("The disk is full.")])
def test_if_one_fails_none_is_kept(galleries: Galleries, monkeypatch: pytest.MonkeyPatch, error: FrError) -> None:
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


CALL = "subjects of 3"


def test_every_changed_or_missing_character_is_noticed() -> None:
    for last in ("a", "Case 7/2", "名 😀", "x" * 128):
        assert last_of(CALL, page_token(CALL, last)) == last
    token = page_token(CALL, "subject")
    assert "subject" not in token
    for wrong in ("=", "a", "!!!!", "a" * 10_000, token + "=", " ", "\ud800"):
        with pytest.raises(InvalidPage):
            last_of(CALL, wrong)
    for place in range(len(token)):
        with pytest.raises(InvalidPage):
            last_of(CALL, token[:place] + "=")
        for other in "Aa0_-=+ é":
            if token[place] != other:
                with pytest.raises(InvalidPage):
                    last_of(CALL, token[:place] + other + token[place + 1 :])


NOW, HOUR, DAY = Clock().now, timedelta(hours=1), timedelta(days=1)


def template(sha256: str | None = None, quality: float | None = None) -> NewTemplate:
    return NewTemplate(Embedding(AXIS, MODEL), sha256, quality)


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
    (checks.require_display_name, InvalidField, ["", "A name", "x" * 256, "two\nlines"], ["x" * 257, "a\0", "\udfff"]),
    (
        checks.require_metadata,
        InvalidField,
        [{f"{n:064}": "v" * 64 for n in range(32)}, {"k": "v" * 1024}],
        [{str(n): "" for n in range(33)}, {"": "v"}, {"k" * 65: "v"}, {"k": "v" * 1025}, {"k": "\0"}, {"\ud800": "v"}],
    ),
    (
        lambda sha256: checks.require_template(template(sha256)),
        InvalidField,
        ["0" * 64],
        ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"],
    ),
    (
        lambda quality: checks.require_template(template(None, quality)),
        InvalidField,
        [0.0, 1.0],
        [-0.01, 1.01, math.nan, math.inf],
    ),
    (lambda size: checks.require_model(MODEL, size), InvalidField, [1, 4096], [0, -1, 4097]),
    (lambda name: checks.require_model(ModelId(name, "1", "0" * 64), 4), InvalidField, ["n"], [""]),
    (
        lambda end: checks.require_end(end, NOW),
        InvalidField,
        [None, NOW + timedelta(microseconds=1)],
        [NOW, NOW - HOUR, datetime(2027, 1, 1)],
    ),
    (checks.require_retention, InvalidField, [None, 36_525 * DAY], [timedelta(0), -HOUR, 36_526 * DAY]),
    (require_page_size, InvalidPage, [1, 1000], [0, -1, 1001]),
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
