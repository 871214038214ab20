"""Stores in PostgreSQL: which servers and addresses are refused, and what several servers do to one another."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from traceback import format_exception

import pytest

from fr_core.errors import (
    ConfigInvalid,
    DatabaseUnreachable,
    DatabaseUnusable,
    FrError,
    StoreCorrupt,
    StoreFailed,
    StoreInUse,
    StoreNewer,
    WrongKey,
)
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.audit.values import Entry
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Location, Postgres
from fr_core.storage.migrations import rotate
from fr_core.storage.opening import open_database
from fr_core.storage.postgres.address import parameters_of
from fr_core.storage.postgres.settings import LEAST_VERSION, require_usable
from fr_core.storage.postgres.sql import translated
from fr_core.storage.statements import Transaction
from fr_trust.access.schema import SCHEMA as ACCESS
from support.access import new_key
from support.access import open_store as open_access
from support.ledger import GALLERY, KEY, MODEL, OTHER_KEY, SIZE, embedding
from support.postgres import Cluster, cluster
from support.stores import outside


@pytest.fixture
def database(postgres: Cluster) -> Postgres:
    return postgres.database()


@pytest.fixture(scope="module")
def unsafe() -> Iterator[Cluster]:
    with cluster("fsync=off") as running:
        yield running


def refused(location: Location) -> FrError:
    with pytest.raises(FrError) as caught:
        open_access(location)
    return caught.value


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://fr:hunter2@/faces", "has a password"),
        ("postgresql://fr@/faces?sslpassword=hunter2", "has a password"),
        ("postgresql://fr@/faces\udcff", "is not an address"),
        ("postgresql://db.example.org/faces?sslmode=disable", "without TLS"),
        ("postgresql://db.example.org/faces?sslmode=require", "without TLS"),
        ("postgresql://127.0.0.1/faces?sslmode=prefer", "without TLS"),
        ("postgresql:///faces?host=/run/postgresql,db.example.org&sslmode=allow", "without TLS"),
        ("postgresql:///faces?hostaddr=10.0.0.1&sslmode=allow", "without TLS"),
        ("postgresql://db:port/faces?nonsense=1", "is not an address"),
        ("mysql://fr:hunter2@db.example.org/faces", "is not an address"),
        ("host=/run/postgresql user=fr", "is not an address"),
        ("postgresql:///faces?host=/nowhere&connect_timeout=abc", "is not an address"),
        (f"postgresql://{'a' * 64}.example.org/faces", "is not an address"),
        ("postgresql:///faces?host=/nowhere&oauth_client_secret=hunter2", "has a password"),
        ("postgresql:///faces?service=faces", "names a service"),
    ],
)
def test_an_address_that_is_not_safe_is_refused(url: str, sentence: str) -> None:
    error = refused(Postgres(url))
    assert isinstance(error, ConfigInvalid)
    assert sentence in error.what
    assert "hunter2" not in error.message + "".join(format_exception(error))


def test_another_machine_gets_tls_that_checks_its_certificate() -> None:
    parameters = parameters_of("postgresql://fr@db.example.org/faces")
    assert (parameters["sslmode"], parameters["sslrootcert"]) == ("verify-full", "system")
    own = parameters_of("postgresql://fr@db.example.org/faces?sslmode=verify-ca&sslrootcert=/etc/fr/ca.pem")
    assert (own["sslmode"], own["sslrootcert"]) == ("verify-ca", "/etc/fr/ca.pem")
    for url in ("postgresql:///faces", "postgresql:///faces?host=/run/postgresql"):
        assert "sslmode" not in parameters_of(url)


@pytest.mark.parametrize("variable", ["PGHOST", "PGHOSTADDR", "PGSERVICE"])
@pytest.mark.parametrize("given", ["postgresql:///faces", "postgresql:///faces?host=/run/postgresql"])
def test_another_machine_of_the_environment_gets_tls_too(
    given: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services"
    file.write_text("[faces]\nhostaddr=10.0.0.1\nsslmode=disable\n", encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv(variable, "faces" if variable == "PGSERVICE" else "10.0.0.1")
    is_used = variable != "PGHOST" or "host=" not in given  # a host of the address goes before that of the environment
    assert parameters_of(given).get("sslmode") == ("verify-full" if is_used else None)
    assert isinstance(refused(Postgres(f"{given}{'&' if '?' in given else '?'}sslmode=disable")), FrError)
    monkeypatch.setenv("PGSSLMODE", "disable")  # which gives way to what is set
    assert parameters_of(given).get("sslmode") == ("verify-full" if is_used else None)


def test_a_server_that_does_not_answer(tmp_path: object) -> None:
    begun = time.monotonic()
    error = refused(Postgres(f"postgresql:///faces?host={tmp_path}", password="hunter2"))
    assert isinstance(error, DatabaseUnreachable)
    assert "No such file or directory" in error.what
    assert f"{error.what} {error.advice}" == error.message
    assert error.what.endswith(".")
    assert "storage.url" in error.advice
    assert "hunter2" not in f"{error.message} {Postgres('postgresql:///', password='hunter2')!r}"
    assert time.monotonic() - begun < 10


def test_a_server_that_loses_what_it_acknowledges(unsafe: Cluster, postgres: Cluster, database: Postgres) -> None:
    error = refused(unsafe.database())
    assert isinstance(error, DatabaseUnusable)
    assert error.metadata == {"setting": "fsync"}
    name = database.url.partition("@/")[2].partition("?")[0]
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert refused(database).metadata == {"setting": "synchronous_commit"}
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    open_access(database).close()


def test_a_role_that_may_only_read(postgres: Cluster, database: Postgres) -> None:
    name = database.url.partition("@/")[2].partition("?")[0]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    error = refused(database)
    assert isinstance(error, DatabaseUnusable)
    assert "default_transaction_read_only" in error.what
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    open_access(database).close()


def test_a_server_that_is_too_old(database: Postgres) -> None:
    require_usable(database, 18)
    with pytest.raises(DatabaseUnusable, match="version 18; version 19 or later is required"):
        require_usable(database, 19)
    assert LEAST_VERSION == 15


def test_a_database_of_another_encoding(postgres: Cluster) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    assert "LATIN1" in refused(Postgres(postgres.url.replace("/postgres?", "/latin?"))).what


def test_several_servers_have_the_galleries_open_and_a_rotation_waits_for_none(database: Postgres) -> None:
    with (
        Galleries.open(database, key=KEY),
        Galleries.open(database, key=KEY) as other,
        closing(open_database(database, SCHEMA, KEY)) as third,
    ):
        with pytest.raises(StoreInUse):
            rotate(third, OTHER_KEY)
        other.create(GALLERY, "", MODEL, SIZE)
        with third.reading() as now:
            assert now.rows("SELECT count(*) FROM galleries") == [(1,)]
    with closing(open_database(database, SCHEMA, KEY)) as alone:
        rotate(alone, OTHER_KEY)


def test_stores_of_another_version_or_key_and_foreign_tables(database: Postgres) -> None:
    open_access(database).close()
    before = outside(database, ACCESS, "SELECT * FROM store_header")
    with pytest.raises(WrongKey):
        open_database(database, ACCESS, OTHER_KEY)
    outside(database, ACCESS, "UPDATE store_header SET version = version + 1")
    assert isinstance(refused(database), StoreNewer)
    outside(database, ACCESS, "UPDATE store_header SET version = version - 1")
    older = replace(ACCESS, migrations=ACCESS.migrations[:-1])
    outside(database, ACCESS, f"UPDATE store_header SET version = {older.version}")
    with closing(open_database(database, ACCESS, KEY)):  # brings it up to date
        assert outside(database, ACCESS, "SELECT version FROM store_header") == [(ACCESS.version,)]
    outside(database, ACCESS, "UPDATE store_header SET application_id = 1")
    assert isinstance(refused(database), StoreCorrupt)
    assert [row[:3] for row in before] == [(1, ACCESS.application_id, ACCESS.version)]
    outside(database, ACCESS, "DROP SCHEMA fr_access CASCADE; CREATE SCHEMA fr_access; CREATE TABLE fr_access.cats ()")
    assert isinstance(refused(database), StoreCorrupt)
    outside(database, ACCESS, "DROP TABLE fr_access.cats")
    open_access(database).close()  # the control: an empty schema, which an administrator has made


def test_two_processes_that_make_a_store_at_once(database: Postgres) -> None:
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: open_access(database), range(6)))
    made = [store.create(new_key()).token.text for store in stores]
    for store in stores:
        assert all(store.check(text, None) for text in made)
        store.close()


def test_connections_that_read_are_bounded(postgres: Cluster) -> None:
    few = replace(postgres.database(), connections=2, connect_timeout_s=1.0)
    with closing(open_database(few, ACCESS, KEY)) as opened, opened.reading(), opened.reading():
        with pytest.raises(StoreFailed, match="All 2 connections"), opened.reading():
            pass
        with opened.transaction(Transaction):  # has one of its own
            pass


def test_statements_and_locks_have_an_end(postgres: Cluster) -> None:
    database = postgres.database()
    with closing(open_database(replace(database, statement_timeout_s=0.2), ACCESS, KEY)) as opened:
        with pytest.raises(StoreFailed) as slow, opened.reading() as now:
            now.rows("SELECT pg_sleep(30)")
        assert slow.value.metadata == {"cause": "QueryCanceled"}
    with (
        closing(open_database(replace(database, lock_timeout_s=0.2), ACCESS, KEY)) as opened,
        closing(open_database(database, ACCESS, KEY)) as other,
        other.transaction(Transaction) as writes,
    ):
        writes.rows("SELECT 1")
        with pytest.raises(StoreFailed) as locked, opened.transaction(Transaction):
            pass
        assert locked.value.metadata == {"cause": "LockNotAvailable"}


def test_what_the_role_may_no_longer_do_is_told(database: Postgres) -> None:
    with closing(open_database(database, ACCESS, KEY)) as opened:

        def change(*statements: str) -> None:
            with opened.transaction(Transaction) as now:
                for statement in statements:
                    now.rows(statement)

        with pytest.raises(StoreFailed, match="has become read-only") as refused:
            change("SET TRANSACTION READ ONLY", "UPDATE head SET version = version")
        assert refused.value.metadata == {"cause": "ReadOnlySqlTransaction"}
        outside(database, ACCESS, "ALTER TABLE fr_access.head RENAME TO other")
        with pytest.raises(StoreCorrupt, match="may no longer use their schema"):
            change("UPDATE head SET version = version")


@pytest.mark.parametrize("before", [(), ("rows",), ("execute",), ("rows", "execute")])
def test_a_statement_that_fails_ends_its_transaction_and_no_other(database: Postgres, before: tuple[str, ...]) -> None:
    with open_access(database):
        pass
    one = replace(database, connections=1)
    with closing(open_database(one, ACCESS, KEY)) as opened:
        with opened.reading() as now:
            pid = now.rows("SELECT pg_backend_pid()")
        with pytest.raises(StoreFailed), opened.reading() as now:  # noqa: PT012
            for how in before:
                assert list(getattr(now, how)("SELECT 1")) == [(1,)]
            with pytest.raises(StatementFailed):
                now.rows("SELECT 1 / 0")
            now.rows("SELECT 1")
        for _ in range(2):
            with opened.reading() as now:
                assert now.rows("SELECT pg_backend_pid()") == pid  # the same connection
                assert list(now.execute("SELECT 1")) == [(1,)]


def test_a_change_counts_its_rows_however_many_went_before(database: Postgres) -> None:
    """Statements go out without waiting, but only so many."""
    sql = "UPDATE head SET version = version"
    with open_access(database):
        pass
    with closing(open_database(database, ACCESS, KEY)) as opened:
        for before in range(505, 517):
            with opened.transaction(Transaction) as transaction:
                for _ in range(before):
                    transaction.rows(sql)
                assert transaction.write(sql) == 1


def test_plans_follow_the_size_of_tables_that_grow(database: Postgres) -> None:
    """For small tables any index is as good as the right one, and PostgreSQL keeps such a plan."""
    many, at_once = 2_000, 50
    with Galleries.open(database, key=KEY, index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE)
        for first in range(0, many, at_once):
            galleries.enrol_many(
                "g",
                [
                    Enrolment(f"s{number}", NewTemplate(embedding(number), f"{number:064x}"))
                    for number in (
                        first,
                        *range(first, first + at_once),
                    )  # the first one twice: it is looked for and read
                ],
            )
            if not first:  # the next plans are for tables of a few rows
                outside(database, SCHEMA, "VACUUM")
    ((read,),) = outside(database, SCHEMA, "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes")
    assert read < 5 * many


def test_no_error_repeats_a_row(database: Postgres) -> None:
    with open_access(database):
        pass
    with closing(open_database(database, ACCESS, KEY)) as opened:
        sql = "INSERT INTO keys (key_id, version, sealed) VALUES (?, ?, ?)"

        def twice() -> None:
            with opened.transaction(Transaction) as transaction:
                for _ in range(2):
                    transaction.write(sql, "Erika Mustermann", 1, b"")

        with pytest.raises(StoreCorrupt) as caught:
            twice()
    assert caught.value.__cause__ is None
    assert "Erika" not in f"{caught.value} {caught.value.metadata}"


def test_statements_are_translated_once_and_tables_compare_by_code_point() -> None:
    assert translated("SELECT a FROM t WHERE b = ? AND c LIKE '%x'") == "SELECT a FROM t WHERE b = $1 AND c LIKE '%x'"
    table = translated("CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, b BLOB, c TEXT, d REAL) STRICT;")
    assert table == (
        "CREATE TABLE t (n BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, b BYTEA, "
        'c TEXT COLLATE "C", d DOUBLE PRECISION);'
    )


def test_the_default_store_imports_no_driver_of_postgresql() -> None:
    code = "import sys, fr_core.storage.opening, fr_server.main; print('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


def test_a_store_opens_while_another_server_writes_it(database: Postgres) -> None:
    entry = Entry("key:k1", "gallery.search", "OK")
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            other.record([entry]).result(20)

    with open_access(database) as other:
        writing = threading.Thread(target=write)
        writing.start()
        try:
            for _ in range(20):
                open_access(database).close()
        finally:
            ended.set()
            writing.join()
