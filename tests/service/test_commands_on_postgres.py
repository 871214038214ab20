"""The commands of a server's own machine find the database that the environment or the configuration names."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_api.v1 import access_pb2
from fr_client import Client
from fr_client.cli.main import build
from fr_client.connection import read_connection
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import FileTampered
from fr_core.packs.cache import ModelCache
from fr_core.storage.location import Postgres
from fr_server.clock import wall_ms
from fr_server.config import Config, load_config
from fr_server.main import open_galleries
from fr_server.storage.opening import open_access
from fr_server.storage.seal import mark_stores, require_sealed, seal_of
from fr_trust.access.principal import Role
from fr_trust.access.store import AccessStore
from support.commands import serving
from support.counts import NIGHTLY, count
from support.postgres import Cluster
from support.secured import KILLED, cut_off, done, fr_server

# A statement that goes to PostgreSQL, and a file that is opened to be written, made, renamed or deleted.
WATCH = """
from fr_core.storage.postgres.link import Link
before = Link.run
def run(*arguments, **named):
    step()
    return before(*arguments, **named)
Link.run = run
folder = sys.argv[-1]
def watch(event, arguments):
    if event in ("open", "os.rename", "os.mkdir", "os.remove") and str(arguments[0]).startswith(folder):
        step()
sys.addaudithook(watch)
"""


@pytest.fixture
def named(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """An empty database that the environment names."""
    database = postgres.database()
    monkeypatch.setenv("FR__STORAGE__URL", database.url)
    return database


def fr(*words: object) -> Result:
    return CliRunner().invoke(build(), [str(word) for word in words])


def store_of(config: Config) -> AccessStore:
    return open_access(config, wall_ms)


def require_set_up(folder: Path, database: Postgres) -> None:
    """Fail unless a folder has a server whose first key is in the database, and no store of its own."""
    config = load_config(folder / "server.toml")  # without the environment
    assert config.storage.url == database.url
    assert require_sealed(folder / "server.toml", config)
    assert not [*folder.rglob("*.sqlite")]
    token = read_connection(folder / "admin.toml").key
    with store_of(config) as store:
        assert store.check(token, None).roles == {Role.ADMIN}


def test_the_first_key_is_in_the_database_that_the_environment_names(tmp_path: Path, named: Postgres) -> None:
    done("init", str(tmp_path / "srv"))
    require_set_up(tmp_path / "srv", named)
    assert fr_server("init", str(tmp_path / "srv")).exit_code == 1


def test_a_database_of_another_server_is_refused_and_nothing_is_made(
    tmp_path: Path, named: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("init", str(tmp_path / "srv"))
    refused = fr_server("init", str(tmp_path / "other"))
    assert refused.exit_code == 1
    assert "holds the stores of another server" in refused.stderr
    monkeypatch.setenv("FR__STORAGE__URL", f"postgresql:///none?host={tmp_path}")
    away = fr_server("init", str(tmp_path / "other"))
    assert (away.exit_code, "DATABASE_UNREACHABLE" in away.stderr) == (1, True)
    assert not (tmp_path / "other").exists()
    require_set_up(tmp_path / "srv", named)


def test_an_init_that_was_killed_anywhere_can_be_run_again(
    tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "srv"
    for steps in itertools.count(0, count("CUT_OFF_STRIDE")):
        database = postgres.database()
        monkeypatch.setenv("FR__STORAGE__URL", database.url)
        ended = cut_off(WATCH, steps, "server", "init", "--name", "fr.example", str(folder))
        if ended.returncode != KILLED:
            break
        done("init", "--name", "fr.example", str(folder))
        require_set_up(folder, database)
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr
    assert steps > 8


def test_commands_for_stores_look_at_the_database(tmp_path: Path, named: Postgres) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f'gallery.folder = "{tmp_path / "data"}"', encoding="utf-8")
    options = ("--config", path)
    with open_galleries(load_config(path, values={"storage.url": named.url})) as galleries:
        galleries.create("g", "a gallery", NULL_MODEL, 64)
    verified = fr("gallery", "verify", *options, "--json")
    assert verified.exit_code == 0, verified.output
    found = json.loads(verified.stdout)
    assert (found["data"], found["galleries"]) == (str(named), 1)
    for command in ("backup", "restore"):
        refused = fr("gallery", command, tmp_path / "out", "--keys", tmp_path / "keys", *options)
        assert (refused.exit_code, "BACKUP_ELSEWHERE" in refused.stderr) == (1, True)
    assert fr("server", "key", "create", tmp_path / "admin.key", *options).exit_code == 0
    assert fr("server", "seal", *options).exit_code == 0
    assert fr("server", "clock", "reset", *options).exit_code == 0
    assert fr("server", "status", *options).stdout == "No server is running.\n"
    exported = fr("server", "audit", "export", "--chain", "access", "--out", tmp_path / "access.jsonl", *options)
    assert exported.exit_code == 0, exported.output
    assert fr("gallery", "key", "create", tmp_path / "new.key").exit_code == 0
    rotated = fr("gallery", "key", "rotate", "--new", f"file:{tmp_path / 'new.key'}", *options)
    assert rotated.exit_code == 0, rotated.output
    whole = fr("server", "verify", *options, "--key", f"file:{tmp_path / 'new.key'}", "--json")
    assert {one["chain"] for one in json.loads(whole.stdout)["stores"] if one["records"]} == {"galleries", "access"}
    assert not [*tmp_path.rglob("*.sqlite")]


def second_of(first: Path, folder: Path) -> Path:
    """Copy a server as to another machine, and return its configuration."""
    shutil.copytree(first, folder, ignore=shutil.ignore_patterns("data"))
    path = folder / "server.toml"
    path.write_text(path.read_text("utf-8").replace(str(first), str(folder)) + "# the second\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def refused(path: Path) -> bool:
    try:
        return not require_sealed(path, load_config(path))
    except FileTampered:
        return True


def test_each_server_of_a_database_has_a_seal_of_its_own(tmp_path: Path, named: Postgres) -> None:
    first, old = tmp_path / "first" / "server.toml", tmp_path / "old"
    done("init", str(first.parent))
    second = second_of(first.parent, tmp_path / "second")
    assert refused(second)  # a server without a seal does not open stores that have a mark
    done("seal", "--config", str(second))
    for path in (first, second) * 2:  # and restarts in turn, each of which marks the stores
        assert not refused(path)
        mark_stores(path, load_config(path))
    open_galleries(load_config(first)).close()  # a store that is made later
    for path in (first, second):
        mark_stores(path, load_config(path))
        assert not refused(first)
        assert not refused(second)
    shutil.copytree(second.parent, old)
    second.write_text(second.read_text("utf-8") + "# changed\n", encoding="utf-8")
    assert refused(second)
    done("seal", "--config", str(second))
    assert not refused(first)
    assert not refused(second)
    seal_of(load_config(second)).write_bytes((old / "data" / "configuration.seal").read_bytes())
    shutil.copy(old / "server.toml", second)
    assert refused(second)  # an older seal, with the configuration that it fits
    assert not refused(first)
    done("seal", "--config", str(second), "--remove")
    assert require_sealed(first, load_config(first))


def test_a_seal_that_was_interrupted_anywhere_can_be_made_again(tmp_path: Path, named: Postgres) -> None:
    first = tmp_path / "first" / "server.toml"
    done("init", str(first.parent))
    second = second_of(first.parent, tmp_path / "second")
    done("seal", "--config", str(second))
    for steps in itertools.count(0, count("CUT_OFF_STRIDE")):
        second.write_text(second.read_text("utf-8") + "#\n", encoding="utf-8")
        ended = cut_off(WATCH, steps, "server", "seal", "--config", str(second))
        if ended.returncode != KILLED:
            break
        assert not refused(first)
        done("seal", "--config", str(second))
        assert not refused(first)
        assert not refused(second)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.models
def test_servers_start_from_what_the_commands_made(tmp_path: Path, named: Postgres, pack_cache: ModelCache) -> None:
    first = tmp_path / "first"
    done("init", str(first), "--name", "localhost")
    second = second_of(first, tmp_path / "second")
    done("seal", "--config", str(second))
    options = ("--port", "0", "--device", "cpu", "--detection", "fast", "--set")
    for _ in range(2 if NIGHTLY else 1):  # at night also after a restart of both
        with (
            serving(first, "--config", first / "server.toml", *options, "server.name=one") as one,
            serving(second.parent, "--config", second, *options, "server.name=other") as other,
        ):
            for server in (one, other):
                told = (
                    (first / "admin.toml").read_text("utf-8").replace(":50061", f":{server.address.rpartition(':')[2]}")
                )
                (tmp_path / "at.toml").write_text(told, encoding="utf-8")
                (tmp_path / "at.toml").chmod(0o600)
                with Client.from_connection(tmp_path / "at.toml") as client:
                    assert access_pb2.ROLE_ADMIN in client.access.who_am_i().roles
            listed = json.loads(fr("server", "status", "--config", second, "--json").stdout)["servers"]
            assert {each["name"] for each in listed} == {"one", "other"}


def test_a_database_without_stores_is_not_called_a_folder(named: Postgres) -> None:
    for words in (("gallery", "verify"), ("server", "verify")):
        refused = fr(*words)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("NO_STORE: The database postgresql://"), refused.stderr
        assert f"The database {named} holds no" in refused.stderr
        assert "host=" not in refused.stderr  # nor anything else of the address
