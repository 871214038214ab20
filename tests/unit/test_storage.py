"""A store that several processes have open: its keys, its transactions, and concurrent use."""

import json
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from fr_core import errors
from fr_core.storage.data_folder import SharedFolder
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.migrations import rotate
from fr_core.storage.schema import Schema, WrappedKeys
from fr_core.storage.statements import Transaction
from fr_core.storage.vault import Vault, encode
from fr_core.storage.writer import Writer
from fr_training.store.schema import SCHEMA as TRAINING
from fr_training.store.schema import bound_trial
from fr_trust.access.schema import HEAD, Locks
from fr_trust.access.schema import SCHEMA as ACCESS
from support.access import new_key
from support.access import open_store as open_access
from support.training_stores import Gate

KEY = KeyEncryptionKey(bytes(range(32)))
OTHER_KEY = KeyEncryptionKey(bytes(32))
BOX, TIN = -11, -12

SCHEMA = Schema(
    name="store of things",
    database_name="things.sqlite",
    application_id=0x54484E47,
    migrations=(
        """
        CREATE TABLE boxes (
            box_no INTEGER PRIMARY KEY AUTOINCREMENT, wrapped_key BLOB NOT NULL, sealed BLOB NOT NULL
        ) STRICT;
        CREATE TABLE tins (
            number INTEGER PRIMARY KEY AUTOINCREMENT, wrapped_key BLOB NOT NULL, sealed BLOB NOT NULL
        ) STRICT;
        """,
    ),
    wrapped=(WrappedKeys(BOX, "boxes", "box_no"), WrappedKeys(TIN, "tins", "number")),
    binding="fr-core things",
    mac_prefix="things ",
)

Things = tuple[Database, Writer[Transaction]]


@contextmanager
def opened(folder: Path, schema: Schema = SCHEMA, key: KeyEncryptionKey = KEY) -> Iterator[Things]:
    database = Database(folder, schema, key, 0)
    writer = Writer(database, Future(), Transaction)
    try:
        yield database, writer
    finally:
        writer.close()
        database.close()


@pytest.fixture
def things(tmp_path: Path) -> Iterator[Things]:
    with opened(tmp_path / "things") as things:
        yield things


def put(tx: Transaction, owner: int, table: str, column: str, text: str) -> int:
    row = tx.row(f"INSERT INTO {table} (wrapped_key, sealed) VALUES (x'', x'') RETURNING {column}")
    assert row is not None
    key, wrapped = tx.vault.new_key(owner, row[0])
    sealed = key.seal(text.encode(), SCHEMA.bound(table, row[0]))
    tx.write(f"UPDATE {table} SET wrapped_key = ?, sealed = ? WHERE {column} = ?", wrapped, sealed, row[0])
    return int(row[0])


def texts(database: Database, owner: int, table: str, column: str) -> list[str]:
    with database.reading() as now:
        rows = now.rows(f"SELECT {column}, wrapped_key, sealed FROM {table} ORDER BY {column}")
        return [
            now.vault.key(owner, number, wrapped).open(sealed, SCHEMA.bound(table, number), table).decode()
            for number, wrapped, sealed in rows
        ]


def boxes(database: Database) -> list[str]:
    return texts(database, BOX, "boxes", "box_no")


def put_box(text: str) -> Callable[[Transaction], int]:
    return lambda tx: put(tx, BOX, "boxes", "box_no", text)


def test_a_job_that_comes_alone_waits_for_no_company(things: Things) -> None:
    _, writer = things
    after_one, after_two = [], []
    for _ in range(100):
        after_one.append(_from_commit_to_commit_s(writer, 1))
        after_two.append(_from_commit_to_commit_s(writer, 2))
    assert min(after_two) < 10 * min(after_one)  # the shortest, which other work on the machine disturbed least


def _from_commit_to_commit_s(writer: Writer[Transaction], group: int) -> float:
    """The seconds from the beginning of a group to that of a job that comes alone as soon as the group is kept."""

    def begun_s(tx: Transaction) -> float:
        begun = time.monotonic()
        put_box("a")(tx)
        return begun

    gate = Gate(writer.submit)
    waiting = [writer.submit(begun_s) for _ in range(group)]
    gate.open()
    first = min(one.result() for one in waiting)
    return writer.run(begun_s) - first


def test_rows_are_bound_to_their_kind_of_store_as_they_ever_were() -> None:
    assert TRAINING.bound("courses", 3, "c1") == encode("fr-core training", 1, "courses", 3, "c1")
    assert bound_trial(5, 7) == encode("fr-core training", 1, "trials") + (5).to_bytes(8, "little") + b"\7" + bytes(7)
    secret = bytes(32)
    mac = Vault(KEY, secret, prefix=TRAINING.mac_prefix).mac("code", ("ABC", 1))
    assert mac == Vault(KEY, secret).mac("training code", ("ABC", 1))
    assert TRAINING.application_id == int.from_bytes(b"FRCT", "big")
    assert (TRAINING.lock_name, TRAINING.building_name) == ("training.lock", "training.building")
    assert {(keys.owner, keys.table) for keys in TRAINING.wrapped} == {(-1, "courses"), (-2, "cohorts")}
    other = replace(SCHEMA, binding="fr-core others", mac_prefix="others ")
    assert SCHEMA.bound("boxes", 1) != other.bound("boxes", 1)
    assert SCHEMA.bound("boxes", 1) != replace(SCHEMA, layout=2).bound("boxes", 1)
    macs = {Vault(KEY, bytes(32), prefix=one.mac_prefix).mac("token", (1,)) for one in (SCHEMA, other)}
    assert len(macs) == 2


def test_every_key_of_both_tables_is_wrapped_anew(tmp_path: Path) -> None:
    with opened(tmp_path / "things") as (database, writer):
        for number in range(3):
            writer.run(put_box(f"box {number}"))
            writer.run(lambda tx, number=number: put(tx, TIN, "tins", "number", f"tin {number}"))  # type: ignore[misc]
        before = writer.run(lambda tx: tx.rows("SELECT wrapped_key FROM boxes UNION ALL SELECT wrapped_key FROM tins"))
        rotate(database, OTHER_KEY)
        after = writer.run(lambda tx: tx.rows("SELECT wrapped_key FROM boxes UNION ALL SELECT wrapped_key FROM tins"))
        assert len(set(before) | set(after)) == 12
        writer.run(put_box("box 3"))
    with pytest.raises(errors.WrongKey), opened(tmp_path / "things"):
        pass
    with opened(tmp_path / "things", key=OTHER_KEY) as (database, _):
        assert boxes(database) == [f"box {number}" for number in range(4)]
        assert texts(database, TIN, "tins", "number") == [f"tin {number}" for number in range(3)]


def test_control_keys_of_a_table_that_is_not_named_are_lost(tmp_path: Path) -> None:
    schema = replace(SCHEMA, wrapped=SCHEMA.wrapped[:1])
    with opened(tmp_path / "things", schema) as (database, writer):
        writer.run(put_box("box"))
        writer.run(lambda tx: put(tx, TIN, "tins", "number", "tin"))
        rotate(database, OTHER_KEY)
        assert boxes(database) == ["box"]
        with pytest.raises(errors.StoreCorrupt):
            texts(database, TIN, "tins", "number")


def test_rotations_that_are_refused(things: Things, tmp_path: Path) -> None:
    database, writer = things
    writer.run(put_box("box 0"))
    writer.run(put_box("box 1"))
    writer.run(lambda tx: tx.write("UPDATE boxes SET wrapped_key = x'00' WHERE box_no = 2"))
    with pytest.raises(errors.StoreCorrupt):
        rotate(database, OTHER_KEY)
    writer.run(lambda tx: tx.write("DELETE FROM boxes WHERE box_no = 2"))
    assert boxes(database) == ["box 0"]
    assert database.vault.key_id == KEY.key_id
    with pytest.raises(errors.KeyUnavailable):
        rotate(database, KEY)
    with opened(tmp_path / "things") as (other, _):
        with pytest.raises(errors.StoreInUse):
            rotate(database, OTHER_KEY)
        assert other.vault.key_id == KEY.key_id
    rotate(database, OTHER_KEY)


def test_jobs_that_wait_share_a_transaction_and_one_that_fails_is_undone_alone(things: Things) -> None:
    database, writer = things
    kept: list[str] = []
    groups: list[Transaction] = []

    def good(tx: Transaction) -> None:
        groups.append(tx)
        put_box("good")(tx)
        tx.when_kept(lambda: kept.append("good"))

    def bad(tx: Transaction) -> None:
        groups.append(tx)
        put_box("bad")(tx)
        tx.when_kept(lambda: kept.append("bad"))
        raise KeyError("bad")

    gate = Gate(writer.submit)
    futures = [writer.submit(job) for job in (good, bad, good)]
    gate.open()
    futures[0].result()
    with pytest.raises(KeyError):
        futures[1].result()
    futures[2].result()
    assert groups[0] is groups[1] is groups[2]
    assert boxes(database) == ["good", "good"]
    assert kept == ["good", "good"]


def test_room_of_a_job_that_was_undone_is_free_again(things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    database, writer = things
    monkeypatch.setattr(database, "spare_bytes", lambda: 1_000)

    def bad(tx: Transaction) -> None:
        tx.require_room(800)
        raise KeyError("bad")

    gate = Gate(writer.submit)
    futures = [writer.submit(bad), writer.submit(lambda tx: tx.require_room(800))]
    late = writer.submit(lambda tx: tx.require_room(800))
    gate.open()
    assert isinstance(futures[0].exception(), KeyError)
    assert futures[1].exception() is None
    assert isinstance(late.exception(), errors.StorageLow)


def test_a_log_that_nobody_shortens_any_more_ends_the_writing(things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    database, _ = things

    def tidy() -> None:
        raise ZeroDivisionError("a person's name")

    monkeypatch.setattr(LogCopier, "is_long", True)
    broken: Future[None] = Future()
    writer = Writer(database, broken, Transaction)
    writer.run(put_box("before"))
    assert not broken.done()  # the control: a log that is shortened is no matter
    monkeypatch.setattr(database.log, "tidy", tidy)
    writer.run(put_box("last"))
    told = broken.exception(30)
    assert isinstance(told, errors.InternalError)
    assert told.metadata == {"cause": "ZeroDivisionError"}
    assert "person" not in str(told)
    with pytest.raises(errors.ShuttingDown):
        writer.run(put_box("after"))
    writer.close()
    assert boxes(database) == ["before", "last"]


def test_stores_have_names_and_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "things") as (database, writer):
        pass
    with pytest.raises(errors.ShuttingDown, match="store of things"), database.reading():
        pass
    with pytest.raises(errors.ShuttingDown, match="store of things"):
        writer.run(put_box(""))
    other = replace(SCHEMA, database_name="others.sqlite", application_id=7, binding="fr-core others")
    with opened(tmp_path / "both") as (database, writer), opened(tmp_path / "both", other) as (others, _):
        writer.run(put_box("box"))
        rotate(database, OTHER_KEY)  # alone with its own file
        assert boxes(database) == ["box"]
        assert boxes(others) == []
    with opened(tmp_path / "both", other) as (others, _):
        assert others.was_alone


def test_only_one_builds_and_another_knows_it(things: Things, tmp_path: Path) -> None:
    database, _ = things
    with opened(tmp_path / "things") as (other, _), database.folder.building(wait=True) as mine:
        assert mine
        with other.folder.building(wait=False) as its:
            assert not its


def test_who_waits_to_be_alone_lets_go_meanwhile(things: Things, tmp_path: Path) -> None:
    database, _ = things
    waiting = SharedFolder(tmp_path / "things", SCHEMA)

    def done_by_another() -> bool:
        with database.folder.alone_for():
            return False

    waiting.wait_alone(done_by_another, 600)
    assert not waiting.alone
    waiting.wait_alone(lambda: True, 0.05)  # nobody does it
    assert not waiting.alone
    with pytest.raises(errors.StoreInUse), database.folder.alone_for():
        pass
    waiting.close()
    with database.folder.alone_for():
        pass
    with opened(tmp_path / "others"):
        waiting = SharedFolder(tmp_path / "others", SCHEMA)
    waiting.wait_alone(lambda: True, 0)
    assert waiting.alone
    waiting.close()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("PRAGMA application_id = 5", {"check": "application_id"}),
        ("PRAGMA user_version = 0", {"check": "user_version"}),
        ("DELETE FROM store", {"check": "store"}),
        ("UPDATE store SET wrapped_key = zeroblob(60)", {"check": "store_key"}),
        ("DROP TABLE store", {"check": "SQLError"}),
        ("PRAGMA user_version = 99", {"found": "99", "known": "1"}),
    ],
)
def test_what_is_no_store_of_this_kind(tmp_path: Path, sql: str, told: dict[str, str]) -> None:
    with opened(tmp_path / "things"):
        pass
    with closing(apsw.Connection(str(tmp_path / "things" / SCHEMA.database_name))) as connection:
        connection.execute(sql)
    error = errors.StoreCorrupt if "check" in told else errors.StoreNewer
    with pytest.raises(error) as refusal, opened(tmp_path / "things"):
        pass
    assert refusal.value.metadata == told
    SharedFolder(tmp_path / "things", SCHEMA).close()  # it was let go


def left_by_a_power_cut(folder: Path, left: Path) -> Path:
    """Copy an open store as a power cut leaves it that lost a sector of its last transaction; returns its log."""
    log = f"{SCHEMA.database_name}-wal"
    with opened(folder) as (_, writer):
        writer.run(put_box("kept"))
        before = (folder / log).stat().st_size
        writer.run(put_box("under way"))
        left.mkdir(mode=0o700)
        for name in (SCHEMA.database_name, log):
            (left / name).write_bytes((folder / name).read_bytes())
    with (left / log).open("r+b") as file:
        file.seek(before + 512)
        file.write(b"\xff" * 512)  # whatever was there before
    return left / log


def test_a_torn_log_is_begun_anew_and_a_whole_one_is_kept(tmp_path: Path) -> None:
    log = left_by_a_power_cut(tmp_path / "things", tmp_path / "left")
    with opened(tmp_path / "left") as (database, writer):
        assert boxes(database) == ["kept"]
        assert not log.stat().st_size  # what is written next lies beside nothing of it
        writer.run(put_box("later"))
        assert boxes(database) == ["kept", "later"]
        whole = log.read_bytes()
        assert whole
        again = tmp_path / "again"
        again.mkdir(mode=0o700)
        for name in (SCHEMA.database_name, log.name):
            (again / name).write_bytes((tmp_path / "left" / name).read_bytes())
    with opened(again):
        assert (again / log.name).read_bytes() == whole


NAME = "Erika Mustermann"


def refused() -> None:
    raise errors.InvalidField(NAME, field="x")


READS: dict[str, Callable[[], object]] = {
    "ValueError": lambda: int(NAME),
    "TypeError": lambda: len(7),  # type: ignore[arg-type]
    "KeyError": lambda: json.loads("{}")[NAME],
    "IndexError": lambda: [][0],
    "AttributeError": lambda: json.loads("7").items(),
    "struct.error": lambda: struct.unpack("<q", b"x"),
    "OverflowError": lambda: (2**64).to_bytes(8, "big"),
    "FrError": refused,
}


@pytest.mark.parametrize("kind", READS)
def test_what_cannot_be_read_is_damage_of_the_store_and_is_not_told(kind: str) -> None:
    with pytest.raises(errors.StoreCorrupt) as caught:
        SCHEMA.readable(READS[kind])
    assert caught.value.what == "A row of the store of things cannot be read."
    assert caught.value.metadata == {"check": "row"}
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_known_damage_and_other_defects_are_raised_as_they_are() -> None:
    def read() -> None:
        raise errors.StoreCorrupt("Exchanged.", check="cases")

    with pytest.raises(errors.StoreCorrupt, match="Exchanged") as caught:
        SCHEMA.readable(read)
    assert caught.value.metadata == {"check": "cases"}
    with pytest.raises(ZeroDivisionError):
        SCHEMA.readable(lambda: 1 // 0)


def test_what_a_later_version_has_sealed_is_damage_of_the_access_store(tmp_path: Path) -> None:
    with open_access(tmp_path) as store:
        made = store.create(new_key())
        with store._database.reading() as now:
            locks, ((version, _),) = Locks(now), now.rows(HEAD)
        head = locks._key.seal(b"too short", ACCESS.bound("head", version))
        with pytest.raises(errors.StoreCorrupt) as caught:
            locks.head_of((version, head))
        assert caught.value.metadata == {"check": "row"}
        number, key_id = made.key.number, made.key.key_id
        for said in (b"7", b"[]", b'{"label":7}'):
            sealed = locks._key.seal(said, ACCESS.bound("keys", number, key_id, version))
            with pytest.raises(errors.StoreCorrupt) as caught:
                locks.kept_of((number, key_id, version, sealed))
            assert caught.value.metadata == {"check": "row"}
        with pytest.raises(errors.StoreCorrupt):
            locks.kept_of((2**80, key_id, version, b""))
