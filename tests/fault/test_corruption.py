"""Bytes that change on the disk: each change is noticed, or changes no answer at all; nothing else is ever served."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import apsw
import pytest

from fr_core.errors import FrError, InputRefused, KeyUnavailable, StoreCorrupt, StoreNewer, WrongKey
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.connection import PAGE_BYTES
from fr_core.storage.keys import key_beside
from support.counts import count
from support.ledger import MODEL, SIZE, embedding

BYTES = count("CORRUPTIONS")
TRUNCATIONS = SWAPS = max(10, BYTES // 20)

GALLERIES = ("a", "b")
SUBJECTS = 9
LOG_NAME = f"{DATABASE_NAME}-wal"
# https://www.sqlite.org/fileformat2.html
_DATABASE_HEADER, _LOG_HEADER, _FRAME_HEADER = 100, 32, 24
_FRAME = _FRAME_HEADER + PAGE_BYTES
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Answers = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Data:
    files: dict[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Data:
        names = (f"{folder.name}/{DATABASE_NAME}", f"{folder.name}/{LOG_NAME}", f"{folder.name}.key")
        return cls({name: path.read_bytes() for name in names if (path := folder.parent / name).exists()})

    def with_changed(self, name: str, data: bytes) -> Data:
        return Data({**self.files, name: data})

    def write(self, parent: Path) -> None:
        shutil.rmtree(parent, ignore_errors=True)
        for name, data in self.files.items():
            path = parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)


def enrol(galleries: Galleries, gallery: int, subject: int, templates: int) -> None:
    for nth in range(templates):
        seed = 10_000 * gallery + 100 * subject + nth
        photo = random.Random(seed).randbytes(9_000 if seed % 2 else 900)
        bare = subject % 3 == 0
        template = NewTemplate(embedding(seed), *((None, None, None) if bare else (f"{seed:064x}", nth / 7, photo)))
        galleries.enrol(
            GALLERIES[gallery], Enrolment(f"case-{subject}", template, f"Name {subject}", {"k": str(subject % 4)})
        )


def begin(galleries: Galleries) -> None:
    for number, gallery_id in enumerate(GALLERIES):
        retention = timedelta(days=number) or None
        galleries.create(gallery_id, f"Gallery {number}", MODEL, SIZE, None, retention, keeps_photos=True)
        for subject in range(SUBJECTS):
            enrol(galleries, number, subject, 1 + subject % 3)
    galleries.delete_subject("a", "case-1")
    galleries.erase_subject("b", "case-2")


def opened(folder: Path) -> Galleries:
    return Galleries.open(folder, index="numpy", clock=lambda: NOW)


def answers(folder: Path) -> Answers:
    def told(galleries: Galleries) -> Iterator[object]:
        yield galleries.list()
        yield galleries.purge(dry_run=True)
        for gallery_id in GALLERIES:
            yield from (galleries.get(gallery_id), galleries.subjects(gallery_id))
            yield from (one(galleries.subject, gallery_id, f"case-{number}") for number in range(SUBJECTS + 2))
            for number in range(1, 4 * SUBJECTS + 2):
                kept = one(galleries.template, gallery_id, number)
                yield kept
                yield getattr(getattr(kept, "embedding", None), "vector", embedding(0).vector).tobytes()
                yield getattr(kept, "photo", None)
            for fusion in ScoreFusion:
                for among in (None, SubjectFilter({"k": "1"}), SubjectFilter(subject_ids=("case-3", "case-5"))):
                    yield galleries.search(gallery_id, embedding(7), 100, 0.1, False, fusion, among)

    with opened(folder) as galleries:
        return (*map(repr, told(galleries)), verify(folder, key_beside(folder, new=False)))


def one(call: object, *arguments: object) -> object:
    assert callable(call)
    try:
        return call(*arguments)
    except StoreCorrupt:
        raise
    except FrError as refusal:
        return type(refusal)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one file, a truncation where it is `shorter`: the data after it, and the first byte that differs."""

    what: str
    data: bytes
    first: int
    shorter: bool = False


def byte_changes(data: bytes, rng: random.Random, header: int = 0) -> Iterator[Change]:
    """Single bytes, each to a random other value: every one of the header, and one in each stretch of the file."""
    for number in range(-header, BYTES):
        place = header + number if number < 0 else int((number + rng.random()) * len(data) / BYTES)
        changed = bytearray(data)
        changed[place] ^= rng.randint(1, 255)
        yield Change(f"byte {place}: {data[place]} to {changed[place]}", bytes(changed), place)


def truncations(data: bytes, rng: random.Random, block: int, header: int = 0) -> Iterator[Change]:
    """The file ends earlier: at a random byte, or behind a page."""
    for number in range(TRUNCATIONS):
        end = rng.randrange(len(data))
        if number % 2:
            end = header + (end - header) // block * block
        yield Change(f"{end} bytes", data[:end], end, shorter=True)


def swaps(data: bytes, rng: random.Random, block: int, header: int = 0) -> Iterator[Change]:
    starts = range(header, len(data) - block + 1, block)
    for _ in range(SWAPS):
        one, other = sorted(rng.sample(starts, 2))
        first, second = data[one : one + block], data[other : other + block]
        if first != second:
            changed = data[:one] + second + data[one + block : other] + first + data[other + block :]
            yield Change(f"pages at {one} and {other}", changed, one)


def all_changes(data: bytes, block: int, header: int = 0) -> Iterator[Change]:
    rng = random.Random(1)
    yield from byte_changes(data, rng, header + _FRAME_HEADER if header else _DATABASE_HEADER)
    yield from truncations(data, rng, block, header)
    yield from swaps(data, rng, block, header)


class Tally:
    """Counts the outcomes of changes to one data file; the changed copies go to `parent`."""

    def __init__(self, parent: Path, data: Data) -> None:
        self._parent = parent
        self._data = data
        self._folder = parent / "data"
        self.before = self.answers(data)
        self.counts: Counter[str] = Counter()
        self.served: list[str] = []

    def answers(self, data: Data) -> Answers:
        data.write(self._parent)
        return answers(self._folder)

    def count(self, name: str, change: Change, also_right: Iterator[Answers] | tuple[Answers, ...] = ()) -> None:
        """Open what was changed and count what comes of it; `also_right` are answers that are no fault."""
        try:
            found = self.answers(self._data.with_changed(name, change.data))
        except (StoreCorrupt, WrongKey, KeyUnavailable, StoreNewer) as error:
            self.counts[error.reason] += 1
            return
        if found == self.before:
            self.counts["harmless"] += 1
        elif found in also_right:
            self.counts["as if written less"] += 1
        else:
            self.served.append(change.what)

    def require_nothing_served(self, name: str) -> None:
        print(f"{name}: {dict(self.counts)}, served: {len(self.served)}")  # noqa: T201 - the figures of the long run
        assert self.served == []


@pytest.fixture
def closed(tmp_path: Path) -> Data:
    (tmp_path / "made").mkdir()
    with opened(tmp_path / "made" / "data") as galleries:
        begin(galleries)
    return Data.of(tmp_path / "made" / "data")


@pytest.fixture
def killed(tmp_path: Path) -> list[Data]:
    """Kill a process after each of several commits, and return the files as they were while it lived."""
    (tmp_path / "made").mkdir()
    with opened(tmp_path / "made" / "data") as galleries:
        begin(galleries)
        left = [Data.of(tmp_path / "made" / "data")]
        for subject in range(20, 32):
            enrol(galleries, subject % 2, subject, 1)
            left.append(Data.of(tmp_path / "made" / "data"))
    return left


def test_a_change_of_the_database_is_noticed_or_changes_no_answer(closed: Data, tmp_path: Path) -> None:
    name = f"data/{DATABASE_NAME}"
    tally = Tally(tmp_path / "changed", closed)
    for change in all_changes(closed.files[name], PAGE_BYTES):
        tally.count(name, change)
    tally.require_nothing_served(name)
    assert tally.counts["STORE_CORRUPT"] > BYTES / 3  # the rest are free pages and the ends of others


def test_a_change_of_the_key_is_noticed_or_changes_no_answer(closed: Data, tmp_path: Path) -> None:
    name = "data.key"
    tally = Tally(tmp_path / "changed", closed)
    rng = random.Random(1)
    key = closed.files[name]
    another = Change("another first digit", (b"1" if key[:1] == b"0" else b"0") + key[1:], 0)
    for change in (another, *byte_changes(key, rng), *truncations(key, rng, 1)):
        tally.count(name, change)
    tally.require_nothing_served(name)
    assert tally.counts["KEY_UNAVAILABLE"] > 0 < tally.counts["WRONG_KEY"]


def test_a_change_of_the_log_is_noticed_or_costs_only_the_last_transaction(killed: list[Data], tmp_path: Path) -> None:
    """A damaged last transaction looks like one that was never acknowledged; nothing tells that a cut end was there."""
    name = f"data/{LOG_NAME}"
    tally = Tally(tmp_path / "changed", killed[-1])
    earlier = tuple(map(tally.answers, killed[:-1]))
    last = len(killed[-2].files[name])
    for change in all_changes(killed[-1].files[name], _FRAME, _LOG_HEADER):
        shorter = change.shorter
        tally.count(name, change, earlier if shorter else earlier[-1:] if change.first >= last else ())
    tally.require_nothing_served(name)
    assert tally.counts["STORE_CORRUPT"] > BYTES / 2


def calls(galleries: Galleries, gallery: int) -> Iterator[Callable[[], object]]:
    name = GALLERIES[gallery]
    some = SubjectFilter({"k": "1"})
    yield galleries.list
    yield partial(galleries.get, name)
    yield partial(galleries.subjects, name)
    yield from (partial(galleries.template, name, number) for number in range(1, 4 * SUBJECTS))
    for among in (None, some, SubjectFilter(subject_ids=("case-3", "case-5"))):
        yield partial(galleries.search, name, embedding(7), 100, 0.1, among=among)
    yield lambda: list(galleries.duplicates(name, 0.1))
    yield lambda: list(galleries.clusters(name, 0.1))
    yield partial(enrol, galleries, gallery, 3, 4)
    yield partial(enrol, galleries, gallery, 40, 1)
    yield partial(galleries.erase_subject, name, "case-5")
    yield partial(galleries.create, name, "", MODEL, SIZE)
    yield partial(galleries.delete, name)


def test_damage_under_open_galleries_is_told_as_what_it_is(closed: Data, tmp_path: Path) -> None:
    """Beside the refusals of each call nothing is raised but `StoreCorrupt`, for whatever reason that is."""
    rng, told = random.Random(1), Counter[str]()
    pages = len(closed.files[f"data/{DATABASE_NAME}"]) // PAGE_BYTES
    for number in range(max(pages, BYTES // 4)):
        closed.write(tmp_path / "run")
        with opened(tmp_path / "run" / "data") as galleries:
            with (tmp_path / "run" / "data" / DATABASE_NAME).open("r+b") as file:
                file.seek(number % pages * PAGE_BYTES + number // pages)
                file.write(rng.randbytes(PAGE_BYTES - number // pages))
            for gallery in range(len(GALLERIES)):
                for call in calls(galleries, gallery):
                    try:
                        call()
                    except (InputRefused, StoreCorrupt) as error:
                        told[error.reason] += 1
    assert told["STORE_CORRUPT"] > pages


@pytest.mark.parametrize(
    "ask",
    [
        lambda galleries: galleries.search("a", embedding(0), 100, -1.0),
        lambda galleries: list(galleries.duplicates("a", -1.0)),
        lambda galleries: list(galleries.clusters("a", 0.0)),
    ],
    ids=["search", "duplicates", "clusters"],
)
def test_a_subject_that_memory_has_and_the_store_has_no_more_is_damage(
    closed: Data, tmp_path: Path, ask: Callable[[Galleries], object]
) -> None:
    closed.write(tmp_path / "run")
    with opened(tmp_path / "run" / "data") as galleries:
        ask(galleries)
        with closing(apsw.Connection(str(tmp_path / "run" / "data" / DATABASE_NAME))) as connection:
            connection.execute("DELETE FROM subjects WHERE subject_id = 'case-3'").fetchall()
        with pytest.raises(StoreCorrupt) as found:
            ask(galleries)
    assert found.value.metadata == {"check": "template_subject"}


def test_control_without_macs_changes_are_served(closed: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"data/{DATABASE_NAME}"
    monkeypatch.setattr("fr_core.storage.vault.Vault.require_mac", lambda *_: None)
    tally = Tally(tmp_path / "changed", closed)
    data = closed.files[name]
    for number in range(SUBJECTS):
        place = data.index(f"Name {number}".encode()) if number else data.index(b"Gallery 0")
        tally.count(name, Change(f"byte {place}", data[:place] + b"X" + data[place + 1 :], place))
    assert tally.served


def test_control_without_a_look_at_what_sqlite_leaves_out_commits_are_lost(
    killed: list[Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"data/{LOG_NAME}"
    monkeypatch.setattr("fr_core.storage.database.require_no_lost_commits", lambda *_: None)
    tally = Tally(tmp_path / "changed", killed[-1])
    for change in byte_changes(killed[-1].files[name][: 4 * _FRAME], random.Random(1)):
        tally.count(name, Change(change.what, change.data + killed[-1].files[name][4 * _FRAME :], change.first))
        if tally.served:
            break
    assert tally.served
