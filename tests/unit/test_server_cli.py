"""`fr server init`, `check-config`, `seal` and `admin-key`: what they make, and what they refuse."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_client.cli.main import build
from fr_client.connection import read_connection
from fr_core.access.roles import Role
from fr_core.access.store import AccessStore
from fr_core.errors import FileTampered
from fr_server.access.storage import open_access
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.sealing import require_sealed


def fr(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["server", *arguments])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a server that was set up."""
    folder = tmp_path / "srv"
    ended = fr("init", str(folder), "--name", "fr.example", "--name", "127.0.0.1", "--port", "50999")
    assert ended.exit_code == 0, ended.output
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[AccessStore]:
    with open_access(load_config(folder / "server.toml"), wall_ms) as store:
        yield store


def test_init_makes_files_for_their_owner_alone(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
    assert modes == {
        "admin.toml": 0o600,
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "data": 0o700,
        "data.key": 0o600,
        "server.key": 0o600,
        "server.pem": 0o644,
        "server.toml": 0o600,
    }


def test_init_makes_a_certificate_for_the_names_and_a_key_that_is_valid(made: Path) -> None:
    context = ssl.create_default_context(cafile=str(made / "ca.pem"))
    assert context.cert_store_stats()["x509_ca"] == 1
    connection = read_connection(made / "admin.toml")
    assert connection.server == "fr.example:50999"
    assert connection.ca == (made / "ca.pem").read_text().strip() + "\n"
    with opened(made) as store:
        key = store.check(connection.key, None)
    assert (key.roles, key.expires_ms) == (frozenset({Role.ADMIN}), None)


def test_init_makes_secrets_that_differ_each_time(made: Path, tmp_path: Path) -> None:
    assert fr("init", str(tmp_path / "other")).exit_code == 0
    for name in ("ca.key", "server.key", "data.key"):
        assert (made / name).read_bytes() != (tmp_path / "other" / name).read_bytes()
    assert read_connection(made / "admin.toml").key != read_connection(tmp_path / "other" / "admin.toml").key


def test_init_overwrites_nothing(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    ended = fr("init", str(made))
    assert (ended.exit_code, "TARGET_TAKEN" in ended.stderr) == (1, True)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_the_configuration_that_init_makes_asks_who_calls_and_encrypts(made: Path) -> None:
    config = load_config(made / "server.toml")
    assert (config.server.host, config.access.mode, config.server.reflection) == ("0.0.0.0", "keys", False)
    assert Path(config.tls.certificate) == made / "server.pem"
    assert require_sealed(made / "server.toml", config)


@pytest.mark.parametrize("name", ["server.toml", "server.pem", "server.key"])
def test_a_file_that_was_changed_is_named_until_it_is_sealed_anew(made: Path, name: str) -> None:
    with (made / name).open("a") as file:
        file.write("\n")
    config = load_config(made / "server.toml")
    with pytest.raises(FileTampered) as refused:
        require_sealed(made / "server.toml", config)
    assert refused.value.metadata["file"] == str(made / name)
    assert str(made / name) in refused.value.message
    assert fr("seal", "--config", str(made / "server.toml")).exit_code == 0
    assert require_sealed(made / "server.toml", config)


def test_a_seal_that_was_changed_or_is_of_another_key_is_none(made: Path, tmp_path: Path) -> None:
    seal = made / "data" / "access" / "configuration.seal"
    config = load_config(made / "server.toml")
    fr("init", str(tmp_path / "other"))
    for forged in (
        b"",
        b"[]",
        b"{}",
        seal.read_bytes().replace(b'"mac": "', b'"mac": "0'),
        seal.read_bytes().replace(b"server.toml", b"serve2.toml"),
        (tmp_path / "other" / "data" / "access" / "configuration.seal").read_bytes(),
    ):
        seal.write_bytes(forged)
        with pytest.raises(FileTampered) as refused:
            require_sealed(made / "server.toml", config)
        assert refused.value.metadata["file"] == str(seal)
    seal.unlink()
    assert not require_sealed(made / "server.toml", config)


def test_another_configuration_than_the_sealed_one_is_refused(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "open.toml"
    other.write_text(f'[gallery]\nfolder = "{made / "data"}"\n')
    for path in (other, None):
        with pytest.raises(FileTampered, match="another configuration"):
            require_sealed(path, load_config(other))


def test_a_file_that_the_configuration_names_now_and_that_was_not_sealed_is_refused(made: Path) -> None:
    text = (made / "server.toml").read_text()
    config = load_config(made / "server.toml", ["tls.client_certificates=required", f"tls.client_ca={made / 'ca.pem'}"])
    assert (made / "server.toml").read_text() == text
    with pytest.raises(FileTampered) as refused:
        require_sealed(made / "server.toml", config)
    assert refused.value.metadata["file"] == str(made / "ca.pem")


def test_admin_key_makes_one_more(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "key"
    config = str(made / "server.toml")
    assert fr("admin-key", str(out), "--config", config).exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with opened(made) as store:
        assert store.check(out.read_text().strip(), None).roles == {Role.ADMIN}
        assert len(store.keys()) == 2
    before = out.read_bytes()
    ended = fr("admin-key", str(out), "--config", config)
    assert (ended.exit_code, "TARGET_TAKEN" in ended.stderr, out.read_bytes()) == (1, True, before)
    with opened(made) as store:
        assert len(store.keys()) == 2


def test_no_command_prints_a_secret(made: Path, tmp_path: Path) -> None:
    ended = fr("init", str(tmp_path / "third"))
    token = read_connection(tmp_path / "third" / "admin.toml").key
    assert token.partition(".")[2] not in ended.output
    ended = fr("admin-key", str(tmp_path / "key"), "--config", str(made / "server.toml"))
    assert (tmp_path / "key").read_text().strip() not in ended.output
