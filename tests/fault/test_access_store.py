"""The access store in the hands of who can write its file, of several processes, and of sudden death.

Run as a script, this file makes keys, or checks one, as it is told to.
"""

import contextlib
import itertools
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from fr_core.errors import FrError, StoreCorrupt
from fr_core.storage.audit.values import Entry
from fr_core.storage.location import Location
from fr_trust.access.keys import MadeKey
from fr_trust.access.principal import NOTHING, Role
from fr_trust.access.refusals import Why
from fr_trust.access.schema import SCHEMA
from fr_trust.access.store import AccessStore
from fr_trust.errors import CredentialInvalid
from support.access import Clocks, new_key, open_store, why
from support.commands import script
from support.counts import count
from support.faults import until
from support.stores import as_argument, located

KILLS = count("ACCESS_KILLS")
FLIPS = count("ACCESS_FLIPS")
WRITERS = 8
RECORD = Entry("key:a", "recognition.embed", "OK")


def database(folder: Path) -> Path:
    return folder / SCHEMA.database_name


def settle(folder: Path) -> None:
    with closing(apsw.Connection(str(database(folder)))) as connection:
        connection.pragma("journal_mode", "delete")


class Made:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with open_store(folder) as store:
            self.valid = store.create(new_key(Role.TRAINEE, galleries=NOTHING))
            self.admin = store.create(new_key(Role.ADMIN, Role.OPERATOR))
            self.revoked = store.create(new_key(Role.ADMIN))
            self.valid_before, self.valid = self.valid, store.rotate(self.valid.key.key_id, 0)
        settle(folder)
        self.old = folder.with_name("old")
        shutil.copytree(folder, self.old)
        with open_store(folder) as store:
            store.revoke(self.revoked.key.key_id)
        settle(folder)

    def untouched(self, store: AccessStore) -> None:
        for made in (self.valid, self.admin):
            try:
                key = store.check(made.token.text, None)
            except CredentialInvalid:
                continue  # it may be gone, but not be another
            assert key == made.key
        for made in (self.revoked, self.valid_before):
            with pytest.raises(CredentialInvalid):
                store.check(made.token.text, None)
        known = {self.valid.key.key_id, self.admin.key.key_id, self.revoked.key.key_id}
        listed = store.keys()
        assert {key.key_id for key in listed} <= known


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("access") / "data")


@contextmanager
def tampered(made: Made, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tampered"
    shutil.copytree(made.folder, folder)
    yield folder
    shutil.rmtree(folder)


def test_control_nothing_was_changed(made: Made, tmp_path: Path) -> None:
    with tampered(made, tmp_path) as folder, open_store(folder) as store:
        made.untouched(store)
        assert store.check(made.valid.token.text, None) == made.valid.key
        assert store.check(made.admin.token.text, None) == made.admin.key
        assert why(store, made.revoked.token.text) == Why.REVOKED


def test_control_an_old_copy_of_the_whole_file_is_not_found(made: Made, tmp_path: Path) -> None:
    """The limit that `schema` tells of: it is what an exported checkpoint of the audit is for."""
    with tampered(made, tmp_path) as folder:
        shutil.copy(database(made.old), database(folder))
        with open_store(folder) as store:
            store.check(made.revoked.token.text, None)
            with store.auditing() as audit:
                assert audit.head().seq == 4
    with open_store(made.folder) as store, store.auditing() as audit:
        assert audit.head().seq == 5
    settle(made.folder)


ATTACH = "ATTACH '{old}' AS old"
OLD_HEAD = "UPDATE head SET (version, sealed) = (SELECT o.version, o.sealed FROM old.head AS o)"
INSERT = "INSERT INTO keys (key_id, version, sealed) "
# Statements, with the ids of the keys and the database before the revocation.
EDITS = {
    "another id": ("UPDATE keys SET key_id = 'aaaaaaaaaaaaaaaa' WHERE key_id = '{admin}'",),
    "another number": ("UPDATE keys SET key_no = 99 WHERE key_id = '{admin}'",),
    "another version": ("UPDATE keys SET version = 99 WHERE key_id = '{admin}'",),
    "roles of another": (
        "UPDATE keys SET sealed = (SELECT sealed FROM keys WHERE key_id = '{admin}') WHERE key_id = '{valid}'",
    ),
    "a copy": (INSERT + "SELECT 'aaaaaaaaaaaaaaaa', 77, sealed FROM keys WHERE key_id = '{admin}'",),
    "made up": (INSERT + "VALUES ('aaaaaaaaaaaaaaaa', 77, randomblob(400))",),
    "made up with an old version": (INSERT + "VALUES ('aaaaaaaaaaaaaaaa', 1, randomblob(400))",),
    "revoked row deleted": ("DELETE FROM keys WHERE key_id = '{revoked}'",),
    "all rows deleted": ("DELETE FROM keys",),
    "head deleted": ("DELETE FROM head",),
    "version of the head": ("UPDATE head SET version = version - 1",),
    "emptied head": ("UPDATE head SET sealed = x''",),
    "vault deleted": ("DELETE FROM vault",),
    "pepper": ("UPDATE vault SET pepper = wrapped_key",),
    "another wrapped key": ("UPDATE vault SET wrapped_key = randomblob(60)",),
    "empty sealed": ("UPDATE keys SET sealed = x'' WHERE key_id = '{revoked}'",),
    "the unrevoked row": (
        ATTACH,
        "UPDATE keys SET (version, sealed) ="
        " (SELECT o.version, o.sealed FROM old.keys AS o WHERE o.key_id = keys.key_id) WHERE key_id = '{revoked}'",
    ),
    "the old head": (ATTACH, OLD_HEAD),
    "all old but one": (
        ATTACH,
        OLD_HEAD,
        "DELETE FROM keys",
        "INSERT INTO keys SELECT * FROM old.keys WHERE key_id != '{valid}'",
    ),
}


def tamper(made: Made, folder: Path, *statements: str) -> None:
    keys = {"valid": made.valid, "admin": made.admin, "revoked": made.revoked}
    names = {name: one.key.key_id for name, one in keys.items()}
    with closing(apsw.Connection(str(database(folder)))) as connection:
        for statement in statements:
            connection.execute(statement.format(old=database(made.old), **names))


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_is_found(made: Made, tmp_path: Path, edit: str) -> None:
    with tampered(made, tmp_path) as folder:
        tamper(made, folder, *EDITS[edit])
        with pytest.raises(StoreCorrupt):
            open_store(folder)


@pytest.mark.parametrize("edit", [name for name in EDITS if "head" in name or "all old" in name])
def test_edits_of_the_head_are_found_by_an_open_store(made: Made, tmp_path: Path, edit: str) -> None:
    with tampered(made, tmp_path) as folder, open_store(folder) as store:
        tamper(made, folder, *EDITS[edit])
        for _ in range(2):
            with pytest.raises(StoreCorrupt):
                store.check(made.admin.token.text, None)


@pytest.mark.parametrize("edit", [name for name in EDITS if "head" not in name and "all old" not in name])
def test_an_open_store_goes_by_what_it_knows(made: Made, tmp_path: Path, edit: str) -> None:
    with tampered(made, tmp_path) as folder, open_store(folder) as store:
        tamper(made, folder, *EDITS[edit])
        made.untouched(store)
        with contextlib.suppress(StoreCorrupt):  # or it goes on, and what was done is found when it is opened
            assert store.revoke(made.admin.key.key_id).revoked_ms is not None
            made.untouched(store)
            assert why(store, made.admin.token.text) == Why.REVOKED
        for gone in (made.valid_before, made.revoked):
            with pytest.raises((CredentialInvalid, StoreCorrupt)):
                store.check(gone.token.text, None)


def test_an_open_store_does_not_go_back(made: Made, tmp_path: Path) -> None:
    """Keys and head that were true together once: only who knows a later version can tell."""
    with tampered(made, tmp_path) as folder, open_store(folder) as store:
        tamper(made, folder, ATTACH, OLD_HEAD, "DELETE FROM keys", "INSERT INTO keys SELECT * FROM old.keys")
        with pytest.raises(StoreCorrupt):
            store.check(made.revoked.token.text, None)


def drawing() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - with it, what failed can be repeated
    return random.Random(seed)


def test_a_put_back_row_is_found_at_the_next_change(made: Made, tmp_path: Path) -> None:
    with tampered(made, tmp_path) as folder, open_store(folder) as store:
        tamper(made, folder, *EDITS["the unrevoked row"])
        assert why(store, made.revoked.token.text) == Why.REVOKED
        store.create(new_key())
        assert why(store, made.revoked.token.text) == Why.REVOKED
        with pytest.raises(StoreCorrupt):
            open_store(folder)


def test_each_byte_that_is_changed_is_found_or_harmless(made: Made, tmp_path: Path) -> None:
    """Bytes of the whole file, drawn anew each time, and all kinds of change."""
    drawn = drawing()
    data = database(made.folder).read_bytes()
    folder = tmp_path / "flipped"
    shutil.copytree(made.folder, folder)
    found = 0
    used = [place for place, byte in enumerate(data) if byte]
    for _ in range(FLIPS):
        place = drawn.choice(used)
        changed = bytearray(data)
        changed[place] ^= 1 << drawn.randrange(8)
        for left in folder.glob(f"{SCHEMA.database_name}*"):
            left.unlink()
        database(folder).write_bytes(changed)
        try:
            with open_store(folder) as store:
                made.untouched(store)
        except FrError:
            found += 1
    assert found > FLIPS // 10


def _check_for_ever(folder: Location, token: str) -> None:
    with open_store(folder) as store:
        print("open", flush=True)  # noqa: T201
        while True:
            try:
                store.check(token, None)
            except CredentialInvalid:
                print(time.time(), flush=True)  # noqa: T201
                return
            time.sleep(0.001)


def _create_for_ever(folder: Location) -> None:
    with open_store(folder, max_keys=1_000_000) as store:
        while True:
            print(store.create(new_key()).token.text, flush=True)  # noqa: T201


def _record_for_ever(location: Location) -> None:
    with open_store(location) as store, ThreadPoolExecutor(WRITERS) as pool:
        store.record([RECORD]).result()
        print("begun", flush=True)  # noqa: T201
        for _ in pool.map(lambda _: [store.record([RECORD]).result() for _ in itertools.count()], range(WRITERS)):
            pass


def test_a_process_that_writes_without_a_pause_lets_another_write(location: Location) -> None:
    with open_store(location) as store, script(__file__, "record", as_argument(location)) as process:
        assert process.line() == "begun"
        numbers = [store.record([RECORD]).result()]

        def other_has_written() -> bool:
            numbers.append(store.record([RECORD]).result())
            return len(numbers) >= 50 and numbers[-1] - numbers[0] > len(numbers)

        until(other_has_written)


def test_revoked_in_one_process_is_refused_in_another(location: Location) -> None:
    with open_store(location) as store:
        made = store.create(new_key())
        with script(__file__, "check", as_argument(location), made.token.text) as process:
            assert process.line() == "open"
            time.sleep(0.1)
            assert process.poll() is None
            store.revoke(made.key.key_id)
            revoked = time.time()
            assert float(process.line()) - revoked < 1


def test_what_was_acknowledged_is_there_after_a_kill(location: Location) -> None:
    drawn = drawing()
    acknowledged: list[str] = []
    for _ in range(KILLS):
        with script(__file__, "create", as_argument(location)) as process:
            acknowledged += [process.line() for _ in range(drawn.randrange(1, 30))]
            time.sleep(drawn.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            acknowledged += process.lines()
    with open_store(location) as store:
        for token in acknowledged:
            store.check(token, None)
        keys = len(store.keys(size=100_000))
        assert len(acknowledged) <= keys <= len(acknowledged) + KILLS
        with store.auditing() as audit:
            assert audit.head().seq == keys  # a key and its record, or neither


def test_two_stores_change_in_turns(location: Location) -> None:
    clocks = Clocks()
    with open_store(location, clocks) as one, open_store(location, clocks) as two:
        made: list[MadeKey] = []
        for turn in range(20):
            made.append((one, two)[turn % 2].create(new_key()))
            for store in (one, two):
                assert store.check(made[-1].token.text, None) == made[-1].key
            if turn % 3 == 0:
                (two, one)[turn % 2].revoke(made[-1].key.key_id)
                for store in (one, two):
                    assert why(store, made[-1].token.text) == Why.REVOKED
        assert one.keys() == two.keys()


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    if what == "check":
        _check_for_ever(located(folder), *rest)
    elif what == "record":
        _record_for_ever(located(folder))
    else:
        _create_for_ever(located(folder))
