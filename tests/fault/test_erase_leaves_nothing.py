"""After an erasure no file of the data folder holds a byte of the subject, neither in clear nor as it was stored."""

import random
import string
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.template_codec import pack_vector
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage import clean_pages
from support.full_disk import pieces_left, pieces_of
from support.ledger import GALLERY, KEY, MODEL, SIZE, embedding

PEOPLE = 240
FEW_PEOPLE = 60  # for controls where something of everybody is left
# Photos of some bytes, of about a page, and of several; one in a few people has all of them, the others the first.
PHOTO_BYTES = (300, 8_000, 20_000)
ALL_PHOTOS = 5
STORED = {"id", "name", "metadata", "sha256", "key", "mac", "template", "photo"}
"""The parts of a subject that the files hold before it is erased."""

Traces = dict[int, str]  # what each piece is a part of


@dataclass(frozen=True, slots=True)
class Person:
    """A subject with everything that is enrolled of it; eight characters of its texts are hardly found by chance."""

    number: int

    @property
    def subject_id(self) -> str:
        return self._text("id", 24)

    @property
    def name(self) -> str:
        return self._text("name", 40)

    @property
    def metadata(self) -> dict[str, str]:
        return {"k": self._text("k", 32), "l": self._text("l", 800)}

    def template(self, nth: int) -> NewTemplate:
        source = random.Random(f"{self.number}-{nth}")
        sha256, photo = f"{source.getrandbits(256):064x}", source.randbytes(PHOTO_BYTES[nth])
        return NewTemplate(embedding(self.number * len(PHOTO_BYTES) + nth), sha256, 0.5, photo)

    @property
    def templates(self) -> int:
        return 1 if self.number % ALL_PHOTOS else len(PHOTO_BYTES)

    def enrol(self, galleries: Galleries) -> None:
        for nth in range(self.templates):
            galleries.enrol(GALLERY, Enrolment(self.subject_id, self.template(nth), self.name, self.metadata))

    def given(self) -> Iterator[tuple[str, bytes]]:
        yield from (("id", self.subject_id.encode()), ("name", self.name.encode()))
        yield from (("metadata", value.encode()) for value in self.metadata.values())
        for nth in range(self.templates):
            template = self.template(nth)
            assert template.image_sha256 is not None
            assert template.photo is not None
            yield "sha256", template.image_sha256.encode()
            yield "template in clear", pack_vector(template.embedding.vector)
            yield "photo in clear", template.photo

    def stored(self, connection: apsw.Connection) -> Iterator[tuple[str, bytes]]:
        of_subject = "FROM subjects JOIN {} USING (subject_no) WHERE subject_id = ?"
        for kind, sql in (
            ("key", "SELECT wrapped_key FROM subjects WHERE subject_id = ?"),
            ("mac", "SELECT mac FROM subjects WHERE subject_id = ?"),
            ("mac", f"SELECT subject_metadata.mac {of_subject.format('subject_metadata')}"),
            ("template", f"SELECT sealed {of_subject.format('templates')}"),
            ("photo", f"SELECT photos.sealed {of_subject.format('(templates JOIN photos USING (template_id))')}"),
        ):
            yield from ((kind, data) for (data,) in connection.execute(sql, (self.subject_id,)))

    def _text(self, kind: str, length: int) -> str:
        return "".join(random.Random(f"{self.number}-{kind}").choices(string.ascii_letters + string.digits, k=length))


def pieces(person: Person, folder: Path) -> Traces:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        data = (*person.given(), *person.stored(connection))
        return {piece: kind for kind, one in data for piece in pieces_of(one)}


def left(folder: Path, wanted: Traces) -> dict[str, set[str]]:
    return {name: {wanted[hit] for hit in hits} for name, hits in pieces_left(folder, wanted).items()}


def erase_some(folder: Path, galleries: Galleries, people: int) -> dict[str, set[str]]:
    """Enrol people, delete and erase a fourth of them each, and return what is left of those who were erased."""
    galleries.create(GALLERY, "", MODEL, SIZE, keeps_photos=True)
    order = [int(number) for number in np.random.default_rng(1).permutation(people)]
    for number in order:
        Person(number).enrol(galleries)
    for number in order[::4]:  # what is on the pages is moved and freed
        galleries.delete_subject(GALLERY, Person(number).subject_id)
    wanted: Traces = {}
    for number in order[1::4]:
        person = Person(number)
        wanted |= pieces(person, folder)
        erased = galleries.erase_subject(GALLERY, person.subject_id)
        assert (erased.templates, erased.photos) == (person.templates, person.templates)
    return left(folder, wanted)


def erased_in(folder: Path, people: int) -> dict[str, set[str]]:
    with Galleries.open(folder, key=KEY, index="numpy") as galleries:
        return erase_some(folder, galleries, people)


def test_an_erasure_leaves_nothing(tmp_path: Path) -> None:
    assert erased_in(tmp_path / "data", PEOPLE) == {}


def test_control_before_an_erasure_it_is_all_there_and_nothing_of_it_in_clear(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE, keeps_photos=True)
        Person(0).enrol(galleries)
        found = left(tmp_path / "data", pieces(Person(0), tmp_path / "data"))
    assert found == {f"{DATABASE_NAME}-wal": STORED}


@pytest.mark.nightly
def test_control_without_the_scrub_it_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GalleryStore, "scrub", lambda _: None)
    assert erased_in(tmp_path / "data", FEW_PEOPLE)[f"{DATABASE_NAME}-wal"] == STORED


def test_control_without_secure_deletion_it_is_in_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = GalleryStore(folder, KEY)
    store.database.writer.execute("PRAGMA secure_delete = OFF")
    with Galleries(store, index="numpy") as galleries:
        galleries.load()
        found = erase_some(folder, galleries, FEW_PEOPLE)
    assert {"id", "name", "metadata", "key", "template", "photo"} <= found[DATABASE_NAME]


@pytest.mark.nightly
def test_control_without_clean_pages_the_database_has_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_pages, "clean_page", lambda page, _header: page)
    assert erased_in(tmp_path / "data", PEOPLE)[DATABASE_NAME]
