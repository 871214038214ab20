"""A server whose stores lie in PostgreSQL: its life, its commands, and what it says where the database is not right."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner, Result

from fr_api.v1 import gallery_pb2, server_pb2
from fr_client import Client, FrApiError
from fr_client.cli.main import build
from fr_core import __version__
from fr_core.errors import ConfigInvalid, DatabaseUnreachable, DatabaseUnusable, FrError
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.gallery.versions import version_token
from fr_core.storage.keys import load_key
from fr_core.storage.location import Postgres
from fr_core.storage.opening import open_database
from fr_core.storage.outside import is_marked, mark_of
from fr_server.checks import require_free, require_usable
from fr_server.clock import wall_ms
from fr_server.config import Config, load_config
from fr_server.config.folders import postgres_of
from fr_server.main import open_galleries
from fr_server.storage.opening import open_stores
from fr_server.storage.places import places_of
from fr_server.storage.seal import require_sealed, seal
from fr_server.telemetry.storage import KeptCollector, KeptStore
from fr_trust.casework.values import Purpose
from support.commands import blocks, commands, page
from support.faults import until
from support.ledger import KEY
from support.postgres import Cluster, cluster
from support.servers import photo, running
from support.stores import outside
from support.training_stores import add_course, small_course


@pytest.fixture
def database(postgres: Cluster) -> Postgres:
    return postgres.database()


def configured(folder: Path, database: Postgres, *lines: str) -> Path:
    """Write the configuration of a server of this database, and return its path."""
    path = folder / "server.toml"
    text = ["server.port = 0", f'gallery.folder = "{folder / "data"}"', f'storage.url = "{database.url}"', *lines]
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def fr(*words: object) -> Result:
    return CliRunner().invoke(build(), [str(word) for word in words])


def filled(folder: Path, database: Postgres) -> Path:
    """Fill every store."""
    path = configured(folder, database)
    config = load_config(path)
    with open_galleries(config):
        stores = open_stores(config, wall_ms)
        add_course(stores.training, small_course())
        stores.cases.open_case("A reference", Purpose.TESTING, "local")
        stores.close()
    return path


def test_what_was_enrolled_is_there_after_a_restart_and_nothing_lies_in_the_folder(
    tmp_path: Path, database: Postgres
) -> None:
    storage = {"url": database.url, "lock_timeout_s": 0.5}
    with running(tmp_path / "data", storage=storage) as server, Client(server.address) as client:
        client.create_gallery("g")
        client.enrol("g", "s1", photo(1))
        with open_galleries(server.app.config) as beside:
            assert beside.get("g").template_count == 1
        status = server.server.GetServerStatus(server_pb2.GetServerStatusRequest())
        assert {store.name for store in status.stores} == {"galleries", "training", "cases", "access"}
        assert all(store.size_bytes > 0 and not store.in_backups for store in status.stores)
    with running(tmp_path / "data", storage=storage) as server, Client(server.address) as client:
        assert client.search("g", photo(1)).results[0].candidates[0].subject_id == "s1"
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".db", ".sqlite")]
    assert (tmp_path / "data.key").exists()


def test_two_servers_on_one_database_answer_the_same(tmp_path: Path, database: Postgres) -> None:
    storage = {"url": database.url, "follow_timeout_s": 0.5}
    with (
        running(tmp_path / "data", storage=storage) as first,
        running(tmp_path / "data", storage=storage) as second,
        Client(first.address) as one,
        Client(second.address) as other,
    ):
        gallery = one.create_gallery("g")
        assert other.get_gallery("g", at_least=gallery.version_token).version_token == gallery.version_token
        enrolled = one.enrol("g", "s1", photo(1))
        found = other.search("g", photo(1), at_least=enrolled.version_token)
        assert found.gallery_version == enrolled.gallery_version
        assert found.results[0].candidates[0].subject_id == "s1"
        assert [one.subject_id for one in other.list_subjects("g", at_least=enrolled.version_token)] == ["s1"]
        template = other.get_template("g", enrolled.template_id, at_least=enrolled.version_token)
        assert template.subject_id == other.get_subject("g", "s1", at_least=enrolled.version_token).subject_id
        erased = other.erase_subject("g", "s1")
        assert not one.search("g", photo(1), at_least=erased.version_token).results[0].candidates
        ahead = version_token(1, erased.gallery_version + 1)  # of a version that a failover has lost
        with pytest.raises(FrApiError) as behind:
            one.search("g", photo(1), at_least=ahead)
        assert (behind.value.reason, behind.value.retry_after_s) == ("REPLICA_BEHIND", 0.5)
        with pytest.raises(FrApiError, match="version token") as invalid:
            one.get_gallery("g", at_least=ahead[:-1])
        assert (invalid.value.reason, invalid.value.metadata) == ("INVALID_FIELD", {"field": "at_least"})
        deleted = one.delete_gallery("g")
        with pytest.raises(FrApiError) as gone:
            other.get_gallery("g", at_least=deleted.version_token)
        assert gone.value.reason == "UNKNOWN_GALLERY"


def test_the_commands_look_at_a_database_and_change_its_key(tmp_path: Path, database: Postgres) -> None:
    path = filled(tmp_path, database)
    options = ("--config", path)
    whole = fr("server", "verify", *options, "--json")
    assert whole.exit_code == 0, whole.output
    found = json.loads(whole.stdout)
    assert found["whole"]
    assert {store["chain"] for store in found["stores"]} == {"galleries", "training", "cases", "access"}
    assert fr("gallery", "verify", *options).exit_code == 0
    for command in ("backup", "restore"):
        refused = fr("gallery", command, tmp_path / "out", "--keys", tmp_path / "keys", *options)
        assert refused.exit_code == 1
        assert "BACKUP_ELSEWHERE" in refused.stderr
        assert "docs/postgresql.md" in refused.stderr
    assert fr("gallery", "key", "create", tmp_path / "new.key").exit_code == 0
    rotated = fr("gallery", "key", "rotate", "--new", f"file:{tmp_path / 'new.key'}", *options)
    assert rotated.exit_code == 0, rotated.output
    assert fr("gallery", "verify", *options).exit_code == 1  # still under the old key
    assert fr("server", "verify", *options, "--key", f"file:{tmp_path / 'new.key'}").exit_code == 0
    outside(database, GALLERIES, "UPDATE audit_head SET seq = seq + 1")
    outside(database, places_of(load_config(path))[2].schema, "UPDATE cases SET opened_ms = 5")
    damaged = fr("server", "verify", *options, "--key", f"file:{tmp_path / 'new.key'}", "--json")
    assert damaged.exit_code == 1
    faults = {store["chain"]: store["faults"] for store in json.loads(damaged.stdout)["stores"]}
    assert {chain for chain, found in faults.items() if found} == {"galleries", "cases"}


def test_the_commands_of_the_page(tmp_path: Path, database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.split() for line in commands(page("docs/postgresql.md")) if line.startswith("fr ")]
    assert len(lines) == 6
    filled(tmp_path, database)
    monkeypatch.chdir(tmp_path)
    for _, *words in reversed(lines):  # first the stores come to the folders, and then they are compared
        ended = fr(*words)
        assert ended.exit_code == 0 or (words[1] == "config" and "MODEL_NOT_INSTALLED" in ended.stderr), ended.output


def test_the_configuration_of_the_page_is_understood(tmp_path: Path) -> None:
    (block,) = blocks(page("docs/postgresql.md"), "toml")
    (tmp_path / "server.toml").write_text(block, encoding="utf-8")
    assert load_config(tmp_path / "server.toml").storage.url == "postgresql://fr@db.example.org/faces"


def test_a_seal_marks_the_stores_of_a_database(tmp_path: Path, database: Postgres) -> None:
    path = filled(tmp_path, database)
    config = load_config(path)
    key = load_key(f"file:{tmp_path / 'data.key'}")
    assert not is_marked(database, GALLERIES)
    with open_galleries(config):
        seal(path, config, key)
    assert require_sealed(path, config)
    assert all(mark_of(place.location, place.schema, key) for place in places_of(config))
    (tmp_path / "data" / "configuration.seal").unlink()
    with pytest.raises(FrError, match=r"fr_galleries.*mark"):
        require_sealed(path, config)
    open_galleries(config).close()  # a mark is part of the store, and hinders no start


def test_metrics_look_at_a_database(tmp_path: Path, database: Postgres) -> None:
    config = load_config(filled(tmp_path, database))
    registry = CollectorRegistry()
    registry.register(KeptCollector({p.chain: KeptStore(p.location, p.schema) for p in places_of(config)}))
    text = generate_latest(registry).decode()
    assert 'fr_audit_records_total{chain="training"} 1.0' in text
    assert 'fr_store_bytes{part="database",store="cases"}' in text
    assert "fr_disk_free_bytes{" not in text  # of a machine that is not this one


def refusal(config: Config) -> FrError:
    def begin() -> None:
        require_usable(config)
        require_free(config)

    with pytest.raises(FrError) as caught:
        begin()
    return caught.value


def test_a_start_says_what_is_wrong_before_it_loads_models(
    tmp_path: Path, postgres: Cluster, database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(tmp_path, database)
    require_usable(load_config(path))
    require_free(load_config(path))
    away = load_config(path, [f"storage.url=postgresql:///x?host={tmp_path}"])
    assert isinstance(refusal(away), DatabaseUnreachable)
    plain = load_config(path, ["storage.url=postgresql://db.example.org/x?sslmode=disable"])
    assert isinstance(refusal(plain), ConfigInvalid)
    no_tls = load_config(path, ["storage.url=postgresql://postgres@127.0.0.1:1/x", "storage.connect_timeout_s=1"])
    assert isinstance(refusal(no_tls), DatabaseUnreachable)
    monkeypatch.setattr("fr_server.config.folders.find_spec", lambda name: None)
    assert "pip install 'fr-core[postgres]'" in refusal(load_config(path)).message


def test_a_start_says_that_postgresql_allows_too_few_connections(
    tmp_path: Path, postgres: Cluster, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(configured(tmp_path, database))
    name = database.url.partition("@/")[2].partition("?")[0]
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 14")
    assert "needs 15 or more" in refusal(config).message
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 42")
    require_free(config)
    assert "may use 43" in caplog.text
    caplog.clear()
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 43")
    require_free(config)
    assert not caplog.text
    more = load_config(configured(tmp_path, database, "server.frontends = 2"))
    assert "needs 25 or more" in refused_for(postgres, name, 24, more)


def test_a_server_has_two_connections_for_what_servers_share(tmp_path: Path, database: Postgres) -> None:
    """As the table of the page says: one for its term and the jobs of galleries, one for budgets and other jobs."""
    with running(tmp_path / "data", storage={"url": database.url}) as server, Client(server.address) as client:
        client.create_gallery("g")
        with psycopg.connect(database.url) as connection:
            found = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE application_name LIKE 'fr-core fr_servers %'),"
                " count(*) FILTER (WHERE application_name LIKE 'fr-core fr_galleries %')"
                " FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'fr-core %'"
            ).fetchone()
    assert found is not None
    every, shared, galleries = found
    assert shared == 2
    assert galleries >= 2  # one writes, one follows
    assert every <= 43


def refused_for(postgres: Cluster, name: str, limit: int, config: Config) -> str:
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {limit}")
    return refusal(config).message


def test_a_server_that_loses_changes_is_refused(tmp_path: Path) -> None:
    with cluster("full_page_writes=off") as unsafe:
        error = refusal(load_config(configured(tmp_path, unsafe.database())))
    assert isinstance(error, DatabaseUnusable)
    assert "full_page_writes" in error.what
    assert "docs/postgresql.md" in error.advice


def test_the_password_comes_from_a_file_or_the_environment(tmp_path: Path, database: Postgres) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n", encoding="utf-8")
    file.chmod(0o600)

    def of(source: str) -> Postgres | None:
        return postgres_of(load_config(configured(tmp_path, database, f'storage.password = "{source}"')), {"PW": "x y"})

    for source, password in ((f"file:{file}", "hunter2"), ("env:PW", "x y")):
        found = of(source)
        assert found is not None
        assert found.password == password
    for source in ("hunter2", "env:OTHER", "command:cat x", "file:", f"file:{tmp_path / 'none'}"):
        with pytest.raises(ConfigInvalid) as refused:
            of(source)
        assert "hunter2" not in refused.value.message
    file.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        of(f"file:{file}")


def test_a_login_that_is_refused_is_told_without_the_password(tmp_path: Path) -> None:
    with cluster() as running_server:
        running_server.require_passwords("fr", "right")
        database = running_server.database()
        url = database.url.replace("postgres@", "fr@")
        running_server.execute("ALTER DATABASE fr_1 OWNER TO fr")
        wrong = Postgres(url, password="hunter2")
        with pytest.raises(DatabaseUnreachable, match="password authentication failed") as refused:
            open_database(wrong, GALLERIES, KEY)
        assert "hunter2" not in refused.value.message
        open_database(Postgres(url, password="right"), GALLERIES, KEY).close()  # a role without other rights


def test_the_servers_of_a_database_and_their_jobs(tmp_path: Path, database: Postgres) -> None:
    path = configured(tmp_path, database)
    nothing = fr("server", "status", "--config", path)
    assert (nothing.exit_code, nothing.stdout) == (0, "No server is running.\n")
    with running(tmp_path / "data", server={"name": "rome"}, storage={"url": database.url}) as server:

        def shown() -> dict[str, Any]:
            ended = fr("server", "status", "--config", path, "--json")
            assert ended.exit_code == 0, ended.output
            (found,) = json.loads(ended.stdout)["servers"]
            return dict(found)

        until(lambda: {"purge_cases", "purge_training"} <= set(shown()["jobs"]))
        found = shown()
        assert (found["name"], found["version"]) == ("rome", __version__)
        assert 0 <= found["heard_s"] < 60
        head, row = fr("server", "status", "--config", path).stdout.splitlines()
        assert head.split() == ["NAME", "ADDRESS", "VERSION", "SINCE", "HEARD", "BEHIND", "JOBS"]
        assert row.startswith("rome ")
        with Client(server.address) as client:
            client.create_gallery("g")

        def fallen_behind() -> dict[str, Any]:
            outside(database, GALLERIES, "UPDATE fr_servers.applied SET number = 0 WHERE scope = 'galleries'")
            return shown()

        until(lambda: bool(fallen_behind()["behind"]))  # the next heartbeat puts it right
        until(lambda: bool(fallen_behind()) and " 1 versions, " in fr("server", "status", "--config", path).stdout)
        until(lambda: [(one["gallery_id"], one["versions"]) for one in fallen_behind()["behind"]] == [("g", 1)])
    assert fr("server", "status", "--config", path).stdout == "No server is running.\n"
    (tmp_path / "alone.toml").write_text("server.port = 0", encoding="utf-8")
    refused = fr("server", "status", "--config", tmp_path / "alone.toml")
    assert refused.exit_code == 1
    assert "storage.url" in refused.stderr


def test_tokens_of_versions_that_never_come_hold_few_threads(tmp_path: Path, database: Postgres) -> None:
    storage = {"url": database.url, "follow_timeout_s": 12.0}
    with running(tmp_path / "data", storage=storage) as server, Client(server.address) as client:
        client.create_gallery("g")
        request = gallery_pb2.GetGalleryRequest(gallery_id="g", at_least=version_token(2**62, 1))
        calls = [server.gallery.GetGallery.future(request) for _ in range(40)]
        until(lambda: sum(call.done() for call in calls) >= 24, 8)
        assert client.get_gallery("g").gallery_id == "g"
