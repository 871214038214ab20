"""What befalls a store: a file that cannot grow, a second process, a newer schema, damage. Each with its control."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import StoreCorrupt, StoreInUse, StoreNewer
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 64
KEY = KeyEncryptionKey(bytes(range(32)))
NAME = "Anna Muster"
SUBJECT = "case-4711"

# What every child process below begins with.
PRELUDE = f"""
import os, resource, sys, threading
from pathlib import Path
import numpy as np
from fr_core.errors import StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import Embedding, ModelId

KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)

def embedding(seed):
    vector = np.random.default_rng(seed).standard_normal({SIZE})
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)

def say(text):
    os.write(1, (text + chr(10)).encode())

folder, argument = Path(sys.argv[1]), sys.argv[2]
"""

# Enrols from four threads for ever, and says so of each.
ENROL_FOR_EVER = """
def work(worker):
    number = first
    while True:
        seed = worker * 1_000_000 + number
        galleries.enrol("g", Enrolment(str(seed), NewTemplate(embedding(seed))))
        say(str(seed))
        number += 1

galleries = Galleries.open(folder, key=KEY, index="flat")
first = galleries.get("g").template_count
for worker in range(4):
    threading.Thread(target=work, args=(worker,)).start()
"""

# Lets no file grow beyond the argument, enrols until that is refused, then looks at what still works.
FILL_THE_DISK = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
galleries = Galleries.open(folder, key=KEY, index="flat")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), hard))

stored = []
refused = []

def work(worker):
    for number in range(100_000):
        seed = worker * 1_000_000 + number
        try:
            galleries.enrol("g", Enrolment(str(seed), NewTemplate(embedding(seed), f"{seed:064x}"), "n" * 256))
        except StoreFailed as error:
            refused.append(seed)
            return
        stored.append(seed)

threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(refused) == 4 and stored, (refused, stored)

def check():
    info = galleries.get("g")
    count = len(stored)
    assert (info.subject_count, info.template_count, info.version) == (count, count, 1 + count), info
    for seed in (stored[0], stored[-1]):
        found = galleries.search("g", embedding(seed), 1000, 0.99).identification
        assert (found.candidates[0].subject_id, found.gallery_version) == (str(seed), info.version)

check()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for seed in refused:
    galleries.enrol("g", Enrolment(str(seed), NewTemplate(embedding(seed), f"{seed:064x}")))
    stored.append(seed)
check()
galleries.close()
say(str(len(stored)))
"""

HOLD_THE_FOLDER = """
galleries = Galleries.open(folder, key=KEY, index="flat")
say("open")
sys.stdin.read()
"""


@contextmanager
def child(program: str, folder: Path, argument: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a program of this page in a process of its own, and leave nothing of it behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program, str(folder), argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def embedding(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(SIZE)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Galleries.open(tmp_path, key=KEY, index="flat") as galleries:
        galleries.create("g", "", MODEL, SIZE)
    return tmp_path


def test_an_enrolment_is_refused_whole_when_the_disk_is_full_and_the_service_goes_on(folder: Path) -> None:
    with child(FILL_THE_DISK, folder, "400000") as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    with Galleries.open(folder, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count == int(said)
        assert sum(len(subject.templates) for subject in galleries.subjects("g", 1000).items) == int(said)


def test_a_second_process_is_refused(folder: Path) -> None:
    with child(HOLD_THE_FOLDER, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse):
            Galleries.open(folder, key=KEY, index="flat")
    Galleries.open(folder, key=KEY, index="flat").close()  # the lock has died with its process


def content(folder: Path) -> dict[str, bytes]:
    """What the database and its log hold; the index of the log is rebuilt at will and holds nothing of its own."""
    kept = (folder / DATABASE_NAME, folder / f"{DATABASE_NAME}-wal")
    return {path.name: path.read_bytes() for path in kept if path.exists() and path.stat().st_size}


def test_a_newer_schema_is_refused_and_left_as_it_is(folder: Path) -> None:
    change(folder, f"PRAGMA user_version = {SCHEMA.version + 1}")
    before = content(folder)
    with pytest.raises(StoreNewer) as refused:
        Galleries.open(folder, key=KEY, index="flat")
    assert refused.value.metadata == {"found": str(SCHEMA.version + 1), "known": str(SCHEMA.version)}
    assert content(folder) == before
    change(folder, f"PRAGMA user_version = {SCHEMA.version}")
    Galleries.open(folder, key=KEY, index="flat").close()


# --- damage -------------------------------------------------------------------------------------------------


@pytest.fixture
def enrolled(folder: Path) -> Path:
    """A data folder with a few people in it, closed."""
    with Galleries.open(folder, key=KEY, index="flat") as galleries:
        for number in range(20):
            template = NewTemplate(embedding(number), f"{number:064x}")
            galleries.enrol("g", Enrolment(f"{SUBJECT}-{number}", template, NAME, {"k": NAME}))
    return folder


def change(folder: Path, sql: str) -> None:
    """Change the database behind the back of FR Core, with none of its safeguards; the change stays in the log."""
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
    connection.execute(sql)
    connection.close()


def require_corrupt(folder: Path, check: str | None = None) -> None:
    before = content(folder)
    with pytest.raises(StoreCorrupt) as refused:
        Galleries.open(folder, key=KEY, index="flat")
    told = str(refused.value) + str(refused.value.metadata)
    assert NAME not in told
    assert SUBJECT not in told
    if check is not None:
        assert refused.value.metadata == {"check": check}
    assert content(folder) == before


def test_control_without_damage_everything_is_there(enrolled: Path) -> None:
    change(enrolled, "UPDATE templates SET sealed = sealed")
    with Galleries.open(enrolled, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count == 20


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("DELETE FROM templates WHERE template_id = 7", "template_count"),
        ("DELETE FROM subjects WHERE subject_no = 7; DELETE FROM templates WHERE subject_no = 7", "metadata"),
        ("DELETE FROM subjects WHERE subject_no = 20; DELETE FROM templates WHERE subject_no = 20", "metadata"),
        (
            "DELETE FROM subjects WHERE subject_no = 7; DELETE FROM templates WHERE subject_no = 7; "
            "DELETE FROM subject_metadata WHERE subject_no = 7",
            "subject_count",
        ),
        ("DELETE FROM subject_metadata WHERE subject_no = 7", "metadata"),
        ("UPDATE subject_metadata SET value = 'other' WHERE subject_no = 7", "subject_metadata"),
        ("UPDATE subject_metadata SET subject_no = 99 WHERE subject_no = 7", "metadata"),
        ("UPDATE templates SET gallery_no = 99 WHERE template_id = 7", "template_subject"),
        ("UPDATE templates SET subject_no = 8 WHERE template_id = 7", "template"),
        ("UPDATE templates SET quality = 0.5 WHERE template_id = 7", "template"),
        ("UPDATE templates SET created_us = created_us + 1 WHERE template_id = 7", "template"),
        ("UPDATE templates SET image_sha256 = upper(image_sha256) WHERE template_id = 12", "template"),
        ("UPDATE templates SET has_photo = 1 WHERE template_id = 7", "template"),
        ("UPDATE templates SET sealed = substr(sealed, 5) WHERE template_id = 7", "template"),
        (
            "UPDATE templates SET sealed = (SELECT o.sealed FROM templates o WHERE o.template_id = "
            "15 - templates.template_id) WHERE template_id IN (7, 8)",
            "template",
        ),
        ("UPDATE templates SET sealed = x'' WHERE template_id = 7", "template"),
        ("DELETE FROM galleries", "subject_gallery"),
        ("UPDATE galleries SET template_count = template_count + 1", "galleries"),
        ("UPDATE galleries SET embedding_size = 32", "galleries"),
        ("UPDATE galleries SET display_name = 'Other'", "galleries"),
        ("UPDATE galleries SET expires_us = 1", "galleries"),
        ("UPDATE subjects SET display_name = 'Other' WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET subject_id = 'other' WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET gallery_no = 99 WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET mac = zeroblob(16) WHERE subject_no = 7", "subjects"),
        ("UPDATE store SET mac = zeroblob(16)", "store"),
        ("UPDATE store SET wrapped_key = zeroblob(60)", "store_key"),
        ("UPDATE store SET key_id = '0000000000000000'", "store"),
        ("DELETE FROM store", "store"),
        (f"UPDATE store SET schema_version = {SCHEMA.version + 1}", "store"),
        ("PRAGMA application_id = 7", "application_id"),
        ("PRAGMA user_version = 0", "user_version"),
        ("PRAGMA user_version = 1", "user_version"),
    ],
)
def test_a_store_that_contradicts_itself_is_refused(enrolled: Path, sql: str, check: str) -> None:
    change(enrolled, sql)
    require_corrupt(enrolled, check)


def overwrite(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda data: b"\0" * 100 + data[100:],
        lambda data: data[:8192] + b"\xff" * 8192 + data[16384:],
        lambda data: data[: 3 * 8192] + b"\0" * 8192 + data[4 * 8192 :],
        overwrite(b"no database at all, but long enough to be taken for one" * 100),
        overwrite(b"x"),
        overwrite(b""),
    ],
    ids=[
        "half",
        "a byte short",
        "header only",
        "no header",
        "page of ones",
        "page of zeros",
        "text",
        "a byte",
        "empty",
    ],
)
def test_a_damaged_file_is_refused(enrolled: Path, damage: Callable[[bytes], bytes]) -> None:
    path = enrolled / DATABASE_NAME
    path.write_bytes(damage(path.read_bytes()))
    require_corrupt(enrolled)


def test_one_flipped_bit_of_any_template_is_noticed(enrolled: Path) -> None:
    path = enrolled / DATABASE_NAME
    with closing(apsw.Connection(str(path))) as connection:
        sealed = [row[0] for row in connection.execute("SELECT sealed FROM templates ORDER BY template_id")]
    sound = path.read_bytes()
    for number in (0, 9, 19):
        place = sound.index(sealed[number])
        for byte, bit in ((0, 1), (3, 128), (100, 4), (255, 64)):
            damaged = bytearray(sound)
            damaged[place + byte] ^= bit
            path.write_bytes(damaged)
            require_corrupt(enrolled, "template")
    path.write_bytes(sound)
    Galleries.open(enrolled, key=KEY, index="flat").close()


def test_a_log_without_its_database_is_refused(enrolled: Path) -> None:
    """A new database beside it would take in the pages of the old one."""
    with child(ENROL_FOR_EVER, enrolled) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate()
    database = (enrolled / DATABASE_NAME).read_bytes()
    (enrolled / DATABASE_NAME).unlink()
    with pytest.raises(StoreCorrupt) as refused:
        Galleries.open(enrolled, key=KEY, index="flat")
    assert refused.value.metadata == {"check": "missing_database"}
    (enrolled / DATABASE_NAME).write_bytes(database)
    with Galleries.open(enrolled, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count > 20


def test_what_a_process_that_died_at_the_very_first_start_left_is_cleared_away(tmp_path: Path) -> None:
    for name in ("galleries.db.new", "galleries.db.new-wal", "galleries.db.new-shm"):
        (tmp_path / name).write_bytes(b"half a database")
    Galleries.open(tmp_path, key=KEY, index="flat").close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["galleries.db", "galleries.lock"]


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE mine (a)")
    require_corrupt(tmp_path, "application_id")
