"""Galleries: create, enrol, get, list and delete, each with its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import (
    ConfigInvalid,
    DuplicateImage,
    EmbeddingNotFinite,
    EmbeddingNotUnit,
    EmbeddingWrongSize,
    FrError,
    GalleryExists,
    InvalidField,
    InvalidIdentifier,
    InvalidPage,
    ModelMismatch,
    ShuttingDown,
    UnknownGallery,
    UnknownSubject,
    UnknownTemplate,
)
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Deleted, Enrolled, Enrolment, GalleryInfo, NewTemplate, TemplateInfo
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
OTHER = ModelId("null", "1+flip", "0" * 64)
SIZE = 8
SHA = "ab" * 32
BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


class Clock:
    """Each look at it is a second later; shows the time of another zone, as a clock may."""

    def __init__(self) -> None:
        self.looks = -2  # the first look is that of the purge at the start

    def __call__(self) -> datetime:
        self.looks += 1
        return (BEGIN + timedelta(seconds=self.looks)).astimezone(timezone(timedelta(hours=5)))


def embedding(seed: int, model: ModelId = MODEL, size: int = SIZE) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(size)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), model)


def enrolment(subject_id: str, seed: int = 0, sha256: str | None = None) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), sha256))


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", clock=Clock()) as opened:
        opened.create("g", "A gallery", MODEL, SIZE)
        yield opened


def test_a_new_gallery_is_empty(galleries: Galleries) -> None:
    info = GalleryInfo("g", "A gallery", MODEL, SIZE, BEGIN, 0, 0, 1)
    assert galleries.get("g") == info
    assert galleries.get("g").created.tzinfo is UTC
    assert galleries.list().items == (info,)


def test_a_gallery_is_created_once(galleries: Galleries) -> None:
    with pytest.raises(GalleryExists):
        galleries.create("g", "Another", OTHER, 4)
    assert galleries.get("g").display_name == "A gallery"


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
    assert subject.created == BEGIN + timedelta(seconds=2)  # the audit has asked the clock, too
    assert subject.templates == (TemplateInfo(1, SHA, subject.created, 0.75),)
    info = galleries.get("g")
    assert (info.subject_count, info.template_count, info.version) == (1, 1, 2)


def test_a_second_template_joins_the_subject(galleries: Galleries) -> None:
    galleries.enrol("g", Enrolment("s", NewTemplate(embedding(1)), "Name", {"a": "1"}))
    assert galleries.enrol("g", enrolment("s", 2)) == Enrolled("s", 2, False, 3)
    subject = galleries.subject("g", "s")
    assert [template.template_id for template in subject.templates] == [1, 2]
    assert (subject.display_name, dict(subject.metadata)) == ("Name", {"a": "1"})


def test_what_is_not_empty_replaces_what_the_subject_had(galleries: Galleries) -> None:
    galleries.enrol("g", Enrolment("s", NewTemplate(embedding(1)), "Name", {"a": "1", "b": "2"}))
    galleries.enrol("g", Enrolment("s", NewTemplate(embedding(2)), "New name"))
    assert galleries.subject("g", "s").display_name == "New name"
    assert dict(galleries.subject("g", "s").metadata) == {"a": "1", "b": "2"}
    galleries.enrol("g", Enrolment("s", NewTemplate(embedding(3)), "", {"c": "3"}))
    assert galleries.subject("g", "s").display_name == "New name"
    assert dict(galleries.subject("g", "s").metadata) == {"c": "3"}


def test_a_photo_is_enrolled_once_in_a_gallery_and_the_refusal_changes_nothing(galleries: Galleries) -> None:
    first = galleries.enrol("g", enrolment("s", 1, SHA))
    before = galleries.get("g")
    with pytest.raises(DuplicateImage) as refused:
        galleries.enrol("g", Enrolment("other", NewTemplate(embedding(2), SHA), "Name"))
    assert refused.value.metadata == {"template_id": str(first.template_id)}
    with pytest.raises(DuplicateImage):
        galleries.enrol("g", Enrolment("s", NewTemplate(embedding(2), SHA), "Name", {"a": "1"}))
    assert galleries.get("g") == before
    assert galleries.subject("g", "s").display_name == ""
    with pytest.raises(UnknownSubject):
        galleries.subject("g", "other")


def test_a_photo_may_be_in_two_galleries_and_come_back_after_its_template_went(galleries: Galleries) -> None:
    galleries.create("h", "", MODEL, SIZE)
    first = galleries.enrol("g", enrolment("s", 1, SHA))
    galleries.enrol("h", enrolment("s", 1, SHA))
    galleries.delete_template("g", first.template_id)
    assert galleries.enrol("g", enrolment("t", 1, SHA)).template_id == 3


def test_bare_embeddings_may_repeat(galleries: Galleries) -> None:
    for number in range(1, 4):
        assert galleries.enrol("g", enrolment("s", 1)).template_id == number


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (embedding(1, OTHER), ModelMismatch),
        (embedding(1, MODEL, SIZE + 1), EmbeddingWrongSize),
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


def test_a_subject_stays_without_templates_until_it_is_deleted(galleries: Galleries) -> None:
    first = galleries.enrol("g", Enrolment("s", NewTemplate(embedding(1)), "Name"))
    assert galleries.delete_template("g", first.template_id) == Deleted(0, 1, 3)
    assert galleries.subject("g", "s").templates == ()
    assert galleries.search("g", embedding(1), 5, 0.5).identification.candidates == ()
    assert galleries.get("g").subject_count == 1
    assert galleries.enrol("g", enrolment("s", 1)) == Enrolled("s", 2, False, 4)
    assert galleries.delete_subject("g", "s") == Deleted(1, 1, 5)
    assert galleries.get("g").subject_count == 0
    assert galleries.get("g").template_count == 0


def test_numbers_of_templates_are_never_used_again(galleries: Galleries, tmp_path: Path) -> None:
    galleries.create("h", "", MODEL, SIZE)
    assert galleries.enrol("g", enrolment("s")).template_id == 1
    galleries.delete_template("g", 1)
    assert galleries.enrol("h", enrolment("s")).template_id == 2
    galleries.delete("h")
    galleries.close()
    with Galleries.open(tmp_path / "data") as again:
        assert again.enrol("g", enrolment("s")).template_id == 3


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
    ):
        with pytest.raises(UnknownGallery):
            call()


def test_a_deleted_gallery_is_gone_and_its_id_is_free(galleries: Galleries) -> None:
    for number in range(5):
        galleries.enrol("g", enrolment(f"s{number % 2}", number))
    assert galleries.delete("g") == Deleted(2, 5, 7)
    with pytest.raises(UnknownGallery):
        galleries.search("g", embedding(0), 1, 0.5)
    assert galleries.create("g", "", OTHER, 4).version == 1
    assert galleries.subjects("g").items == ()
    assert galleries.search("g", embedding(0, OTHER, 4), 1, 0.5).identification.candidates == ()


def test_everything_is_there_after_opening_again(galleries: Galleries, tmp_path: Path) -> None:
    galleries.create("h", "", OTHER, 4)
    galleries.enrol("h", Enrolment("o", NewTemplate(embedding(9, OTHER, 4))))
    for number in range(6):
        galleries.enrol("g", Enrolment(f"s{number % 3}", NewTemplate(embedding(number), None, 0.5), "N", {"k": "v"}))
    galleries.delete_subject("g", "s1")
    galleries.delete_template("g", 2)
    infos, subjects = galleries.list(), galleries.subjects("g")
    found = galleries.search("g", embedding(0), 10, 0.5)
    galleries.close()
    for index in ("numpy", "flat", "compact"):
        with Galleries.open(tmp_path / "data", index=index) as again:
            assert again.list() == infos
            assert again.subjects("g") == subjects
            assert again.search("g", embedding(0), 10, 0.5) == found
            assert again.search("h", embedding(9, OTHER, 4), 1, 0.5).identification.candidates[0].subject_id == "o"


def test_closed_galleries_refuse_and_close_again(galleries: Galleries) -> None:
    galleries.close()
    galleries.close()
    with pytest.raises(ShuttingDown):
        galleries.enrol("g", enrolment("s"))
    with pytest.raises(ShuttingDown):
        galleries.get("g")


def test_an_unknown_index_is_refused_and_lets_the_folder_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        Galleries.open(tmp_path, index="ivf")
    Galleries.open(tmp_path).close()


def test_a_clock_without_a_time_zone_is_a_mistake(tmp_path: Path) -> None:
    with (
        Galleries.open(tmp_path, clock=lambda: datetime(2026, 1, 1)) as opened,
        pytest.raises(ValueError, match="time zone"),
    ):
        opened.create("g", "", MODEL, SIZE)


# Code points, not UTF-16 units and no language's alphabet: U+FF5E comes before U+1F600.
SUBJECT_IDS = ["A", "Z", "a", "b-10", "b-9", "z", "Ä", "é", "名", "～", "😀"]


def test_pages_go_through_everything_in_code_point_order(galleries: Galleries) -> None:
    for number, subject_id in enumerate(reversed(SUBJECT_IDS)):
        galleries.enrol("g", enrolment(subject_id, number))
    assert sorted(SUBJECT_IDS) == SUBJECT_IDS
    for size in (1, 2, 10, 11, 1000):
        seen: list[str] = []
        token, pages = "", 0
        while pages == 0 or token:
            page = galleries.subjects("g", size, token)
            assert 0 < len(page.items) <= size
            seen += [subject.subject_id for subject in page.items]
            token, pages = page.next_page_token, pages + 1
        assert seen == SUBJECT_IDS
        assert pages == -(-len(SUBJECT_IDS) // size)


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


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_a_page_of_no_size_is_refused(galleries: Galleries, size: int) -> None:
    with pytest.raises(InvalidPage):
        galleries.list(size)
    with pytest.raises(InvalidPage):
        galleries.subjects("g", size)
