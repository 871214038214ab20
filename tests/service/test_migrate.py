"""`fr store migrate`: every row comes to the other database and back, bit for bit, whatever interrupts it."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_client.cli.main import build
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.keys import load_key
from fr_core.storage.location import Postgres, schema_name
from fr_core.storage.moving import Digest
from fr_core.storage.opening import open_database
from fr_core.storage.protocol import Row
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.main import open_galleries
from fr_server.storage.opening import open_stores
from fr_server.storage.places import Place, places_in
from fr_trust.casework.values import Purpose
from support.access import new_key
from support.counts import at_night, count
from support.ledger import MODEL, SIZE, embedding
from support.stores import outside
from support.training_stores import add_course, small_course

PEOPLE = 40
KILLS = count("MIGRATION_KILLS")


@pytest.fixture
def database(postgres: object) -> Postgres:
    return postgres.database()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def path(tmp_path: Path, database: Postgres) -> Path:
    """The configuration of a server whose stores lie in folders, and are full, with the database that they go to."""
    made = tmp_path / "server.toml"
    folder = f'server.port = 0\ngallery.folder = "{tmp_path / "data"}"\n'
    made.write_text(folder, encoding="utf-8")
    config = load_config(made)
    with open_galleries(config) as galleries:
        fill(galleries)
    stores = open_stores(config, wall_ms)
    add_course(stores.training, small_course())
    stores.training.create_cohort(small_course().course_id, "Monday", 3, 86_400_000)
    for reference in ("one", "two"):
        stores.cases.open_case(reference, Purpose.TESTING, "local")
    for _ in range(3):
        stores.access.create(new_key())
    stores.close()
    made.write_text(f'{folder}storage.url = "{database.url}"\n', encoding="utf-8")
    return made


def fill(galleries: Galleries) -> None:
    galleries.create("g", "Ünïcödé 名前", MODEL, SIZE, keeps_photos=True)
    for number in range(PEOPLE):
        template = NewTemplate(
            embedding(number), f"{number:064x}", None if number % 3 else number / 70, bytes([number]) * 999
        )
        galleries.enrol("g", Enrolment(f"s{number // 2}", template, f"Name {number}", {"k": "v\\\t\n", "ü": "😀"}))
    galleries.erase_subject("g", "s3")
    galleries.delete_subject("g", f"s{PEOPLE // 2 - 1}")  # the newest: its numbers are never given again


def fr(*words: object) -> Result:
    return CliRunner().invoke(build(), [str(word) for word in words])


def migrated(path: Path, to: str) -> dict[str, dict[str, object]]:
    ended = fr("store", "migrate", "--to", to, "--config", path, "--json")
    assert ended.exit_code == 0, ended.output
    stores: dict[str, dict[str, object]] = json.loads(ended.stdout)["stores"]
    return stores


def places(path: Path, *, folders: bool) -> tuple[Place, ...]:
    return places_in(load_config(path), folders=folders)


def content_of(path: Path, *, folders: bool) -> dict[str, object]:
    """Return every row of every store, and the greatest numbers."""
    key = load_key(f"file:{path.parent / 'data.key'}")
    found: dict[str, object] = {}
    for place in places(path, folders=folders):
        with closing(open_database(place.location, place.schema, key)) as opened, opened.reading() as now:
            rows: dict[str, list[Row]] = {}
            for table, names in opened.columns().items():
                rows[table] = sorted(now.rows(f"SELECT {', '.join(names)} FROM {table}"), key=repr)
            found[place.chain] = (opened.columns(), rows, dict(now.rows(LAST_NUMBERS)))
    return found


def test_there_and_back_again(path: Path) -> None:
    before = content_of(path, folders=True)
    told = migrated(path, "postgresql")
    assert set(told) == {"galleries", "training", "cases", "access"}
    assert not any(store["before"] for store in told.values())
    assert content_of(path, folders=False) == before
    assert fr("server", "verify", "--config", path).exit_code == 0
    assert all(store["before"] for store in migrated(path, "postgresql").values())  # once more does no harm
    shutil.rmtree(path.parent / "data")
    assert migrated(path, "sqlite").keys() == told.keys()
    assert content_of(path, folders=True) == before
    text = path.read_text(encoding="utf-8")
    path.write_text(text.partition("storage.url")[0], encoding="utf-8")
    assert fr("server", "verify", "--config", path).exit_code == 0
    with open_galleries(load_config(path)) as galleries:
        template = galleries.enrol("g", Enrolment("new", NewTemplate(embedding(999)))).template_id
        assert template == PEOPLE + 1
        assert galleries.search("g", embedding(5), 1, 0.0).identification.candidates[0].subject_id == "s2"


def test_what_runs_or_is_there_already_is_not_touched(path: Path) -> None:
    config = load_config(path)
    with open_stores_in_folders(path):
        refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("STORE_IN_USE")
    migrated(path, "postgresql")
    with open_galleries(config) as galleries:  # the server runs on the copy, and goes on
        galleries.delete_subject("g", "s1")
        busy = fr("store", "migrate", "--to", "sqlite", "--config", path)
        assert "STORE_IN_USE" in busy.stderr
    for to in ("postgresql", "sqlite"):
        other = fr("store", "migrate", "--to", to, "--config", path)
        assert other.exit_code == 1
        assert other.stderr.startswith("TARGET_TAKEN")
    with open_galleries(config) as galleries:
        assert galleries.get("g").subject_count == PEOPLE // 2 - 3


@contextmanager
def open_stores_in_folders(path: Path) -> Iterator[None]:
    alone = path.with_name("folders.toml")
    alone.write_text(path.read_text(encoding="utf-8").partition("storage.url")[0], encoding="utf-8")
    with open_galleries(load_config(alone)):
        yield


def test_one_altered_value_makes_another_store(path: Path) -> None:
    migrated(path, "postgresql")
    cases = places(path, folders=False)[2]
    outside(cases.location, cases.schema, "UPDATE cases SET opened_ms = opened_ms + 1 WHERE case_no = 2")
    refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("TARGET_TAKEN")
    outside(cases.location, cases.schema, "UPDATE cases SET opened_ms = opened_ms - 1 WHERE case_no = 2")
    assert all(store["before"] for store in migrated(path, "postgresql").values())  # the control


@pytest.mark.parametrize(
    "damage", ["DROP TABLE photos", "ALTER TABLE templates DROP COLUMN sealed", "CREATE TABLE more (a INTEGER)"]
)
def test_a_copy_that_lacks_a_table_or_a_column_is_no_copy(path: Path, damage: str) -> None:
    migrated(path, "postgresql")
    galleries = places(path, folders=False)[0]
    outside(galleries.location, galleries.schema, damage)
    refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("TARGET_TAKEN")
    assert str(galleries.named) in refused.stderr
    assert "drop the schemas fr_galleries," in refused.stderr


def test_damage_is_told_of_the_side_that_has_it(path: Path) -> None:
    migrated(path, "postgresql")
    source, target = places(path, folders=True)[2], places(path, folders=False)[2]
    for damaged in (target, source):
        outside(damaged.location, damaged.schema, "UPDATE store SET wrapped_key = zeroblob(16)")
        refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
        assert refused.stderr.startswith("STORE_CORRUPT"), refused.stderr
        assert str(damaged.named) in refused.stderr


def test_tables_that_belong_to_no_store_are_not_touched(path: Path) -> None:
    migrated(path, "postgresql")
    target = places(path, folders=False)[0]
    outside(target.location, target.schema, "DROP TABLE store_header")
    refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
    assert refused.stderr.startswith("STORE_CORRUPT"), refused.stderr
    assert str(target.named) in refused.stderr


def test_a_digest_tells_rows_apart_in_any_order() -> None:
    rows: list[Row] = [(1, "a", b"b", 0.5, None), (2, "", b"", -0.5, 7)]

    def digest(*given: Row) -> tuple[int, int]:
        made = Digest()
        assert list(made.counted(given)) == list(given)
        return made.rows, made.total

    assert digest(*rows) == digest(*reversed(rows))
    others: list[Row] = [(2, "", b"", -0.5, 8), (2, "", None, -0.5, 7), (2, b"", b"", -0.5, 7), (2, "", b"", 0.5, 7)]
    assert len({digest(rows[0], other) for other in (rows[1], rows[0], *others)}) == 6


def test_without_a_database_or_a_store(path: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.toml"
    alone.write_text(f'gallery.folder = "{tmp_path / "none"}"\n', encoding="utf-8")
    no_url = fr("store", "migrate", "--to", "postgresql", "--config", alone)
    assert no_url.exit_code == 1
    assert "no `storage.url`" in no_url.stderr
    nothing = fr("store", "migrate", "--to", "sqlite", "--config", path)
    assert nothing.exit_code == 1
    assert nothing.stderr.startswith("NO_STORE")


def test_a_damaged_chain_is_not_copied(path: Path) -> None:
    cases = places(path, folders=True)[2]
    outside(cases.location, cases.schema, "UPDATE audit SET mac = zeroblob(16) WHERE seq = 1")
    refused = fr("store", "migrate", "--to", "postgresql", "--config", path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("STORE_CORRUPT")
    assert str(cases.named) in refused.stderr
    assert [place.chain for place in places(path, folders=False) if place.is_there] == ["galleries", "training"]


@pytest.mark.parametrize("to", ["postgresql", at_night("sqlite")])
def test_killed_on_the_way_nothing_is_lost(path: Path, to: str) -> None:
    before = content_of(path, folders=True)
    if to == "sqlite":
        migrated(path, "postgresql")
        shutil.rmtree(path.parent / "data")
    begun = time.monotonic()
    migrated(path, to)
    longest_s = time.monotonic() - begun
    assert content_of(path, folders=to == "sqlite") == before
    at, seen = random.Random(to), Counter[int]()
    for _ in range(KILLS):
        if len([place for place in places(path, folders=to == "sqlite") if place.is_there]) == len(before):
            delete_copies(path, to)
        seen[killed_once(path, to, at.uniform(0, 2 * longest_s))] += 1
        assert content_of(path, folders=to == "postgresql") == before  # the source
    told = migrated(path, to)
    assert content_of(path, folders=to == "sqlite") == before
    assert set(told) == set(before)
    print(f"killed {KILLS} times, with so many stores copied: {sorted(seen.items())}")  # noqa: T201 - the figures of the long run
    data = path.parent / "data"
    if to == "sqlite":
        assert not list(data.rglob("*.new*"))


def delete_copies(path: Path, to: str) -> None:
    for place in places(path, folders=to == "sqlite"):
        if isinstance(place.location, Path):
            shutil.rmtree(place.location, ignore_errors=True)
        else:
            outside(place.location, place.schema, f"DROP SCHEMA {schema_name(place.schema)} CASCADE")


def killed_once(path: Path, to: str, after_s: float) -> int:
    """Kill a migration in the midst of it; returns how many stores were copied then."""
    code = (
        "import sys; from fr_server.commands.store import store; print('ready', flush=True); "
        "sys.stdin.readline(); store(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "migrate", "--to", to, "--config", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    return sum(place.is_there for place in places(path, folders=to == "sqlite"))
