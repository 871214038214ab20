"""The upgrade of a store to a later version happens completely or not at all, also if several processes try it.

Kills of the upgrades of the real stores are in `tests/fault/test_stores_of_before.py`.

Run as a script, this file opens the store of a folder as `main` says.
"""

import json
import os
import random
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt, StoreInUse, StoreNewer, WrongKey
from fr_core.storage import database as database_room
from fr_core.storage.data_folder import SharedFolder
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.protocol import Connection
from fr_core.storage.schema import Schema, Step, WrappedKeys
from fr_core.storage.statements import Transaction
from fr_core.storage.vault import Vault
from fr_core.storage.writer import Writer
from support.commands import script
from support.power_cut import Image, PowerCut

KEY = KeyEncryptionKey(bytes(range(32)))
BOX = -11
ROWS = 40
SECRET = b"what a later version encrypts "

_V1 = """
CREATE TABLE boxes (box_no INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE taken (step_no INTEGER PRIMARY KEY AUTOINCREMENT, by_pid INTEGER NOT NULL) STRICT;
"""
_V2 = """
ALTER TABLE boxes RENAME TO boxes_v1;
CREATE TABLE boxes (box_no INTEGER PRIMARY KEY, wrapped_key BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
"""


def seal(connection: Connection, vault: Vault) -> None:
    rows = list(connection.execute("SELECT box_no, content FROM boxes_v1"))
    for number, content in rows:
        assert isinstance(number, int)
        assert isinstance(content, bytes)
        key, wrapped = vault.new_key(BOX, number)
        sealed = key.seal(content, LATER.bound("boxes", number))
        connection.execute("INSERT INTO boxes VALUES (?, ?, ?)", (number, wrapped, sealed))
    connection.execute("DROP TABLE boxes_v1")
    connection.execute("INSERT INTO taken (by_pid) VALUES (?)", (os.getpid(),))


def refuse(connection: Connection, vault: Vault) -> None:
    seal(connection, vault)
    raise StoreCorrupt("A box is damaged.", check="box")


def dawdle(connection: Connection, vault: Vault) -> None:
    seal(connection, vault)
    time.sleep(0.3)


EARLIER = Schema(
    name="store of boxes",
    database_name="boxes.sqlite",
    application_id=0x424F5845,
    migrations=(_V1,),
    wrapped=(),
    binding="fr-core boxes",
    mac_prefix="boxes ",
)


def later(*steps: Step) -> Schema:
    return replace(EARLIER, migrations=(_V1, *steps), wrapped=(WrappedKeys(BOX, "boxes", "box_no"),))


LATER = later(_V2, seal)
DAWDLING = later(_V2, dawdle)


def opened(folder: Path, schema: Schema, key: KeyEncryptionKey = KEY, vfs: str = "") -> closing[Database]:
    return closing(Database(folder, schema, key, 0, vfs))


def content(number: int) -> bytes:
    return SECRET + b"%d" % number + random.Random(number).randbytes(300)


CONTENTS = {number: content(number) for number in range(ROWS)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of the earlier version, whose rows are in its log as well as in its file."""
    with opened(tmp_path / "boxes", EARLIER) as database:
        writer = Writer(database, Future(), Transaction)
        for number, data in CONTENTS.items():
            sql = "INSERT INTO boxes VALUES (?, ?)"
            writer.run(lambda tx, sql=sql, number=number, data=data: tx.write(sql, number, data))  # type: ignore[misc]
            if number == ROWS // 2:
                assert database.log.scrub()
        writer.close()
    return tmp_path / "boxes"


def version(folder: Path) -> int:
    with closing(apsw.Connection(str(folder / EARLIER.database_name))) as connection:
        return int(connection.pragma("user_version"))


def require_earlier(folder: Path) -> None:
    with opened(folder, EARLIER) as database, database.reading() as now:
        assert dict(now.rows("SELECT box_no, content FROM boxes")) == CONTENTS
        assert now.rows("SELECT * FROM taken") == []
        assert now.rows("SELECT name FROM sqlite_schema WHERE name IN ('boxes_v1', 'much')") == []


def contents(database: Database) -> dict[int, bytes]:
    with database.reading() as now:
        return {
            number: now.vault.key(BOX, number, wrapped).open(sealed, LATER.bound("boxes", number), "box")
            for number, wrapped, sealed in now.rows("SELECT box_no, wrapped_key, sealed FROM boxes")
        }


def takers(database: Database) -> list[int]:
    with database.reading() as now:
        return [pid for (pid,) in now.rows("SELECT by_pid FROM taken")]


def test_an_older_store_is_brought_up_to_date_once_as_if_made_anew(folder: Path, tmp_path: Path) -> None:
    with opened(folder, LATER) as database:
        assert contents(database) == CONTENTS
    assert version(folder) == 3
    with opened(folder, LATER) as database:
        assert contents(database) == CONTENTS
        assert len(takers(database)) == 1
    with pytest.raises(StoreNewer), opened(folder, EARLIER):
        pass
    tables = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    with opened(folder, LATER) as old, opened(tmp_path / "new", LATER) as new:
        with old.reading() as before, new.reading() as now:
            assert before.rows(tables) == now.rows(tables)
        assert contents(new) == {}
    assert version(tmp_path / "new") == 3


def test_what_a_step_replaces_is_in_no_file_any_more(folder: Path) -> None:
    def found() -> set[str]:
        return {path.name for path in folder.iterdir() if SECRET in path.read_bytes()}

    assert found() == {"boxes.sqlite", "boxes.sqlite-wal"}
    with opened(folder, LATER):
        assert found() == set()
    assert found() == set()


@pytest.mark.parametrize(
    ("schema", "key", "error"),
    [
        (later(_V2, refuse), KEY, StoreCorrupt),
        (later(_V2, seal, "INSERT INTO nothing VALUES (1)"), KEY, StoreCorrupt),
        (LATER, KeyEncryptionKey(bytes(32)), WrongKey),
    ],
    ids=["step", "sqlite", "key"],
)
def test_refused_upgrades(folder: Path, schema: Schema, key: KeyEncryptionKey, error: type[Exception]) -> None:
    with pytest.raises(error), opened(folder, schema, key):
        pass
    require_earlier(folder)
    with opened(folder, LATER) as database:
        assert contents(database) == CONTENTS


def test_beside_the_older_version_the_later_one_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_room, "_UPGRADE_S", 0.1)
    with opened(folder, EARLIER) as older:
        with pytest.raises(StoreInUse, match="older version"), opened(folder, LATER):
            pass
        with older.reading() as now:
            assert dict(now.rows("SELECT box_no, content FROM boxes")) == CONTENTS
    require_earlier(folder)


def test_it_waits_for_the_last_of_the_older_version(folder: Path) -> None:
    with opened(folder, EARLIER) as older:
        closing = threading.Timer(0.2, older.close)
        closing.start()
        with opened(folder, LATER) as database:
            assert contents(database) == CONTENTS
        closing.join()


def test_several_wait_for_one_who_dies_before_it_has_done_anything(folder: Path) -> None:
    dying = SharedFolder(folder, LATER)
    assert dying.alone
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        opening = [pool.submit(Database, folder, DAWDLING, KEY, 0) for _ in range(4)]
        time.sleep(0.2)
        assert not any(one.done() for one in opening)
        dying.close()
        databases = [one.result() for one in opening]
    assert time.monotonic() - begun < database_room._UPGRADE_S
    assert [contents(database) for database in databases] == [CONTENTS] * 4
    assert len(takers(databases[0])) == 1
    for database in databases:
        database.close()


def main() -> None:
    """Wait for a line, open the store of a folder, and say who took the step."""
    print("ready", flush=True)  # noqa: T201 - the test reads it
    sys.stdin.readline()
    with opened(Path(sys.argv[1]), DAWDLING) as database:
        assert contents(database) == CONTENTS
        print(json.dumps(takers(database)))  # noqa: T201 - likewise


def test_two_processes_open_an_older_store_at_once(folder: Path) -> None:
    with script(__file__, folder) as one, script(__file__, folder) as other:
        processes = (one, other)
        for process in processes:
            assert process.line() == "ready"
        for process in processes:
            process.tell()
        answers = [json.loads(process.line()) for process in processes]
        assert [process.wait() for process in processes] == [0, 0]
    assert answers[0] == answers[1]
    assert answers[0] in [[process.pid] for process in processes]


def test_of_several_who_want_a_new_store_one_makes_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opening = [pool.submit(Database, tmp_path / "new", LATER, KEY, 0) for _ in range(8)]
        databases = [one.result() for one in opening]
    assert len(takers(databases[0])) == 1
    macs = {database.vault.mac("token", (1,)) for database in databases}
    assert len(macs) == 1
    for database in databases:
        database.close()


def test_a_power_cut_leaves_the_older_store_or_the_later_one(folder: Path, tmp_path: Path) -> None:
    images: list[Image] = []
    disk = PowerCut(random.Random(3), 3, images.append, folder)
    with opened(folder, LATER, vfs=disk.vfs_name) as database:
        assert contents(database) == CONTENTS
    versions = []
    for number, image in enumerate(images):
        cut = tmp_path / f"cut {number}"
        image.write(cut)
        versions.append(version(cut))
        if versions[-1] == 1:
            require_earlier(cut)
        with opened(cut, LATER) as database:
            assert contents(database) == CONTENTS
            assert len(takers(database)) == 1
    assert set(versions) == {1, 3}


if __name__ == "__main__":
    main()
