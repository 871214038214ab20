"""A file of a server that somebody changed: the start is refused, with one line that names it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build as command
from fr_core.errors import FrError, ModelCorrupt
from fr_core.gallery.store.schema import SCHEMA
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.storage.connection import SqliteHeader
from fr_core.storage.keys import load_key
from fr_core.storage.marks import mark_of
from fr_core.storage.migrations import unlocked, write_store_row
from fr_server.engine import open_engine
from fr_server.main import open_galleries
from fr_server.telemetry.listener import Listener
from fr_trust.access.principal import Role
from support.commands import fr_ends
from support.secured import Made, done, fill, made, put_back, serve_here

EVERY_BYTES = 512

# A value of each table that a start reads; what else is changed is found when it is read, see test_corruption.py.
GALLERIES, TRAINING = "data/galleries.db", "data/training/training.sqlite"
ACCESS, CASES = "data/access/access.sqlite", "data/cases/cases.sqlite"
SEAL = "data/configuration.seal"
DATABASES = (GALLERIES, TRAINING, ACCESS, CASES)
VALUES = (
    (GALLERIES, "store", "wrapped_key"),
    (GALLERIES, "galleries", "mac"),
    (GALLERIES, "templates", "sealed"),
    (GALLERIES, "audit", "body"),
    (TRAINING, "store", "wrapped_key"),
    (TRAINING, "audit", "body"),
    (ACCESS, "vault", "pepper"),
    (ACCESS, "keys", "sealed"),
    (ACCESS, "audit_head", "hash"),
    (CASES, "vault", "wrapped_key"),
    (CASES, "head", "sealed"),
)

Tamper = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Made:
    server = made(tmp_path_factory.mktemp("sound") / "srv")
    fill(server)
    server.key(Role.OPERATOR)
    assert start(server) == ""
    for name in DATABASES:  # else what is changed in the file may be covered by what is in its log
        checkpoint(server.folder / name)
    return server


@pytest.fixture
def server(sound: Made, tmp_path: Path) -> Iterator[Made]:
    with put_back(sound, tmp_path / "kept") as server:
        yield server


def start(server: Made) -> str:
    """Return the refusal of a start; "" if the server serves."""
    try:
        serve_here(server)
    except FrError as error:
        return f"{error.reason}: {error.message}"
    return ""


def sealed(server: Made, *more: str) -> None:
    done("seal", "--config", str(server.path), *more)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def scribble(path: Path) -> None:
    spoilt = bytearray(path.read_bytes())
    for at in range(0, len(spoilt), EVERY_BYTES):
        spoilt[at] ^= 0x41
    path.write_bytes(spoilt)


def flip(path: Path) -> None:
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)


def another_key(path: Path) -> None:
    secret = bytes(range(32)).hex()
    assert len(path.read_bytes()) == len(secret) + 1
    path.write_text(f"{secret}\n")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\0\xfe" * 21)


def readable_by_all(path: Path) -> None:
    path.chmod(0o644)


def hard_link(path: Path) -> None:
    path.with_name("another name").hardlink_to(path)


def symbolic_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def checkpoint(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def change_value(path: Path, table: str, column: str) -> None:
    with apsw.Connection(str(path)) as database:
        ((rowid, value),) = database.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1").fetchall()
        assert isinstance(value, bytes)
        spoilt = bytearray(value)
        spoilt[len(spoilt) // 2] ^= 1
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(spoilt), rowid))
    database.close()
    checkpoint(path)


@pytest.mark.parametrize(
    ("name", "tamper", "reason"),
    [
        ("server.toml", append, "FILE_TAMPERED"),
        ("server.pem", append, "FILE_TAMPERED"),
        ("server.pem", flip, "FILE_TAMPERED"),
        ("server.key", flip, "FILE_TAMPERED"),
        ("server.key", readable_by_all, "TLS_UNUSABLE"),
        ("data/configuration.seal", flip, "FILE_TAMPERED"),
        ("data.key", another_key, "FILE_TAMPERED"),
        ("data.key", garbage, "KEY_UNAVAILABLE"),
        ("data.key", readable_by_all, "KEY_UNAVAILABLE"),
        ("data.key", Path.unlink, "KEY_UNAVAILABLE"),
        *((name, scribble, "STORE_CORRUPT") for name in DATABASES),
        *((name, hard_link, "STORE_EXPOSED") for name in DATABASES),
        *((name, symbolic_link, "STORE_EXPOSED") for name in DATABASES),
        ("data.key", hard_link, "KEY_UNAVAILABLE"),
        ("server.key", hard_link, "TLS_UNUSABLE"),
    ],
)
def test_a_file_that_was_changed_is_named(server: Made, name: str, tamper: Tamper, reason: str) -> None:
    tamper(server.folder / name)
    told = start(server)
    assert told.startswith(f"{reason}: ")
    assert str(server.folder / name) in told
    assert "\n" not in told


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_can_write_to_is_refused(server: Made, name: str, mode: int) -> None:
    (server.folder / name).parent.chmod(mode)
    told = start(server)
    assert told.startswith(f"STORE_EXPOSED: {server.folder / name}: Others can write to the data folder (mode 07")
    assert "`chmod 700`" in told


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_or_its_index_that_has_another_name_is_refused(server: Made, name: str, suffix: str) -> None:
    beside = server.folder / f"{name}{suffix}"
    beside.touch(0o600)
    hard_link(beside)
    told = start(server)
    assert told.startswith(f"STORE_EXPOSED: {server.folder / name}: The file {beside.name} has 2 names")


@pytest.mark.parametrize("link", [hard_link, symbolic_link])
def test_commands_refuse_a_linked_store_as_a_start_does(server: Made, link: Tamper) -> None:
    link(server.folder / GALLERIES)
    for words in (["server", "verify"], ["gallery", "verify"]):
        ended = CliRunner().invoke(command(), [*words, "--config", str(server.path)])
        assert ended.exit_code == 1
        assert "STORE_EXPOSED" in ended.output


@pytest.mark.parametrize(("name", "table", "column"), VALUES)
def test_a_value_that_was_changed_in_a_database_is_noticed(server: Made, name: str, table: str, column: str) -> None:
    change_value(server.folder / name, table, column)
    told = start(server)
    assert told.startswith(f"STORE_CORRUPT: {server.folder / name}: ")
    assert "\n" not in told


def test_without_its_seal_no_changed_configuration_is_taken(server: Made) -> None:
    append(server.path)
    (server.folder / SEAL).unlink()
    told = start(server)
    assert told.startswith(
        f"FILE_TAMPERED: {server.folder / GALLERIES} has the mark of a seal, but there is no seal at "
    )
    assert "`fr server seal --config FILE`" in told


@pytest.mark.parametrize("real", DATABASES)
def test_a_configuration_with_one_real_store_and_no_seal_is_refused(server: Made, tmp_path: Path, real: str) -> None:
    sections = {GALLERIES: "gallery", TRAINING: "training", ACCESS: "access", CASES: "cases"}
    lines = [f'[{sections[name]}]\nfolder = "{tmp_path / name}.empty"\n' for name in DATABASES if name != real]
    lines.append(f'[{sections[real]}]\nfolder = "{(server.folder / real).parent}"\n')
    text = "".join(lines).replace("[gallery]\n", f'[gallery]\nkey = "file:{server.folder / "data.key"}"\n')
    server.path.write_text(text)
    (server.folder / SEAL).unlink()
    assert start(server).startswith(f"FILE_TAMPERED: {server.folder / real} has the mark of a seal")
    assert not list(tmp_path.glob("**/*.empty"))


@pytest.mark.parametrize("name", DATABASES)
def test_a_mark_that_is_taken_off_without_the_key_opens_nothing(server: Made, name: str) -> None:
    append(server.path)
    (server.folder / SEAL).unlink()
    for database in DATABASES:  # as long as it was before the store bore a mark
        with apsw.Connection(str(server.folder / database)) as connection:
            connection.execute("UPDATE store SET wrapped_key = substr(wrapped_key, 1, 60)")
            if database != name:
                connection.execute("DELETE FROM store")
        connection.close()
    assert start(server).startswith("STORE_CORRUPT: ")


def test_an_older_seal_of_the_same_server_is_refused(server: Made) -> None:
    kept = {path: path.read_bytes() for path in (server.path, server.folder / SEAL)}
    append(server.path)
    sealed(server)
    assert start(server) == ""
    for path, content in kept.items():
        path.write_bytes(content)
    assert start(server).startswith(f"FILE_TAMPERED: {server.folder / GALLERIES} has the mark of another seal than ")
    sealed(server)
    assert start(server) == ""


def test_a_seal_holds_for_the_stores_before_a_start_has_marked_them(server: Made) -> None:
    for _ in range(3):
        append(server.path)
        sealed(server)
    assert start(server) == ""


def test_a_store_of_another_server_under_the_same_key_is_refused(server: Made, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    words = ["gallery", "key", "rotate", "--config", str(other.path), "--new", f"file:{server.folder / 'data.key'}"]
    with open_galleries(other.config()):
        pass
    ended = CliRunner().invoke(command(), words)
    assert ended.exit_code == 0, ended.output
    for path in (server.folder / ACCESS).parent.iterdir():
        path.unlink()
    shutil.copyfile(other.folder / ACCESS, server.folder / ACCESS)
    assert start(server).startswith(f"FILE_TAMPERED: {server.folder / ACCESS} has the mark of another seal than ")


def test_stores_that_were_exchanged_for_each_other_are_refused(server: Made, tmp_path: Path) -> None:
    shutil.move(server.folder / CASES, tmp_path / "cases")
    shutil.move(server.folder / TRAINING, server.folder / CASES)
    shutil.move(tmp_path / "cases", server.folder / TRAINING)
    assert start(server).startswith("STORE_CORRUPT: ")


def test_a_seal_that_is_removed_with_the_key_is_asked_for_no_more(server: Made) -> None:
    append(server.path)
    sealed(server, "--remove")
    assert not (server.folder / SEAL).exists()
    assert start(server) == ""
    sealed(server)
    append(server.path)
    assert start(server).startswith(f"FILE_TAMPERED: {server.path} was changed")


def unmark(server: Made) -> None:
    """Keep the seal, and take its mark off the stores."""
    kept = (server.folder / SEAL).read_bytes()
    sealed(server, "--remove")
    (server.folder / SEAL).write_bytes(kept)


def test_stores_that_bear_no_mark_yet_get_one_at_the_next_sealed_start(server: Made) -> None:
    unmark(server)
    assert start(server) == ""
    (server.folder / SEAL).unlink()
    assert start(server).startswith("FILE_TAMPERED: ")


def test_stores_of_the_version_before_get_a_mark_at_the_next_sealed_start(server: Made) -> None:
    unmark(server)
    key = load_key(f"file:{server.folder / 'data.key'}")
    versions = {}
    for name in DATABASES:  # the last version has changed no table but two
        with apsw.Connection(str(server.folder / name)) as database:
            versions[name] = int(database.pragma("user_version"))
            if name == GALLERIES:
                write_store_row(database, unlocked(database, SqliteHeader(database), SCHEMA, key), versions[name] - 1)
                database.execute("DROP TABLE changes")
            if name == TRAINING:
                database.execute("ALTER TABLE cohorts DROP COLUMN closed")
            database.execute(f"PRAGMA user_version = {versions[name] - 1}")
        database.close()
    assert start(server) == ""
    for name in DATABASES:
        assert mark_of(server.folder / name, key)
        with closing(apsw.Connection(str(server.folder / name))) as database:
            assert database.pragma("user_version") == versions[name]
    with open_galleries(server.config()) as galleries:
        assert galleries.get("staff").template_count == 3


def test_restored_galleries_are_taken_once_they_are_sealed(server: Made, tmp_path: Path) -> None:
    words = [str(tmp_path / "backup"), "--keys", str(tmp_path / "keys"), "--config", str(server.path)]
    assert CliRunner().invoke(command(), ["gallery", "backup", *words]).exit_code == 0
    shutil.move(server.folder / "data", tmp_path / "before")
    ended = CliRunner().invoke(command(), ["gallery", "restore", *words])
    assert ended.exit_code == 0, ended.output
    for name in ("access", "cases", "training"):
        shutil.copytree(tmp_path / "before" / name, server.folder / "data" / name)
    assert start(server).startswith("FILE_TAMPERED: ")
    sealed(server)
    assert start(server) == ""
    shutil.rmtree(tmp_path / "before")


def fr_serve(server: Made, home: Path) -> str:
    environment = {"FR_HOME": str(home), "FR__MODEL__DEVICE": "cpu", "FR__SERVER__PORT": "0"}
    *_, line = fr_ends("serve", "--config", server.path, folder=home, **environment).splitlines()
    return line


def linked_models(home: Path, cache: ModelCache) -> Path:
    """Make a home whose models are links to those of the cache, but for the first, which is a copy; return that."""
    first, *others = load_pack("buffalo_s").files
    for spec in (first, *others):
        place = ModelCache(home / "models").path(spec)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(cache.path(spec).resolve())
    copy = ModelCache(home / "models").path(first)
    copy.unlink()
    shutil.copyfile(cache.path(first), copy)
    return copy


def test_the_command_ends_with_one_line_and_status_1(server: Made, tmp_path: Path) -> None:
    append(server.path)
    assert fr_serve(server, tmp_path) == start(server)
    assert start(server).startswith(f"FILE_TAMPERED: {server.path} was changed since it was sealed. ")


@pytest.mark.models
def test_a_model_that_was_changed_is_named(
    server: Made, tmp_path: Path, pack_cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = linked_models(tmp_path / "home", pack_cache)
    flip(model)
    monkeypatch.setenv("FR_HOME", str(tmp_path / "home"))
    with pytest.raises(ModelCorrupt) as refused:
        open_engine(server.config("model.device=cpu"), Listener())
    assert str(model) in refused.value.message
    assert fr_serve(server, tmp_path / "home") == f"MODEL_CORRUPT: {refused.value.message}"
