"""`fr server init`, `config check`, `seal` and `key create`: what they make, and what they refuse."""

import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_client.connection import read_connection
from fr_core.errors import FileTampered
from fr_core.gallery.galleries import Galleries
from fr_core.storage.keys import load_key, new_key_file
from fr_server.clock import wall_ms
from fr_server.config import load_config
from fr_server.gateway.pem import names_of
from fr_server.gateway.tls import check_tls, tls_files
from fr_server.storage.opening import open_access
from fr_server.storage.seal import require_sealed
from fr_trust.access.principal import Role
from fr_trust.access.store import AccessStore
from support.results import defined
from support.secured import fr_server as fr


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a server that was set up."""
    folder = tmp_path / "srv"
    ended = fr("init", str(folder), "--name", "fr.example", "--name", "127.0.0.1", "--port", "50999")
    assert ended.exit_code == 0, ended.output
    return folder


def refused_file(path: Path, *overrides: str) -> str:
    """The file that an unsealed configuration is refused with."""
    with pytest.raises(FileTampered) as refused:
        require_sealed(path, load_config(path, overrides))
    file = refused.value.metadata["file"]
    assert file in refused.value.message
    return file


def opened(folder: Path) -> AbstractContextManager[AccessStore]:
    return open_access(load_config(folder / "server.toml"), wall_ms)


def test_init_makes_files_for_their_owner_alone_and_a_configuration_that_asks_who_calls(made: Path) -> None:
    config = load_config(made / "server.toml")
    assert (config.server.host, config.access.mode, config.server.reflection) == ("0.0.0.0", "keys", False)
    assert Path(config.tls.certificate) == made / "server.pem"
    assert require_sealed(made / "server.toml", config)
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


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["fr.example"], "fr.example"),
        (["192.0.2.7"], "192.0.2.7"),
        (["2001:db8::7"], "[2001:db8::7]"),
        (["::1"], "[::1]"),
        (["192.0.2.2", "fr.example"], "192.0.2.2"),
        (["fr.example", "192.0.2.2"], "fr.example"),
    ],
)
def test_the_certificate_is_for_this_machine_too(tmp_path: Path, names: list[str], called: str) -> None:
    made = tmp_path / "srv"
    ended = fr("init", str(made), *(word for name in names for word in ("--name", name)))
    assert ended.exit_code == 0, ended.output
    assert sorted(names_of(made / "server.pem")) == sorted({*names, "localhost", "127.0.0.1", "::1"})
    assert read_connection(made / "admin.toml").server == f"{called}:50061"
    for again in ("again.toml", "renewed.toml"):
        assert fr("key", "create", str(tmp_path / again), "--config", str(made / "server.toml")).exit_code == 0
        assert read_connection(tmp_path / again).server == f"{called}:50061"
        assert fr("renew", "--config", str(made / "server.toml")).exit_code == 0


def test_init_makes_secrets_that_differ_each_time_and_no_command_prints_one(made: Path, tmp_path: Path) -> None:
    ended = fr("init", str(tmp_path / "other"))
    assert ended.exit_code == 0
    for name in ("ca.key", "server.key", "data.key"):
        assert (made / name).read_bytes() != (tmp_path / "other" / name).read_bytes()
    token = read_connection(tmp_path / "other" / "admin.toml").key
    assert read_connection(made / "admin.toml").key != token
    assert token.partition(".")[2] not in ended.output
    ended = fr("key", "create", str(tmp_path / "key"), "--config", str(made / "server.toml"))
    assert (tmp_path / "key").read_text().strip() not in ended.output


def test_init_overwrites_nothing_and_says_what_it_cannot_write(made: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    ended = fr("init", str(made))
    assert (ended.exit_code, "TARGET_TAKEN" in ended.stderr) == (1, True)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("in the way")
    ended = fr("init", str(tmp_path / "file" / "srv"))
    assert (ended.exit_code, ended.stderr.partition(":")[0]) == (1, "FILE_UNWRITABLE")


@pytest.mark.parametrize("name", ["server.toml", "server.pem", "server.key"])
def test_a_file_that_was_changed_is_named_until_it_is_sealed_anew(made: Path, name: str) -> None:
    with (made / name).open("a") as file:
        file.write("\n")
    path = made / "server.toml"
    assert refused_file(path) == str(made / name)
    assert fr("seal", "--config", str(path)).exit_code == 0
    assert require_sealed(path, load_config(path))


def test_a_seal_that_was_changed_or_is_of_another_key_is_none(made: Path, tmp_path: Path) -> None:
    seal = made / "data" / "configuration.seal"
    path = made / "server.toml"
    fr("init", str(tmp_path / "other"))
    for forged in (
        b"",
        b"[]",
        b"{}",
        seal.read_bytes().replace(b'"mac": "', b'"mac": "0'),
        seal.read_bytes().replace(b'"mac": "', '"mac": "\u00e9'.encode()),
        seal.read_bytes().replace(b"server.toml", b"serve2.toml"),
        (tmp_path / "other" / "data" / "configuration.seal").read_bytes(),
    ):
        seal.write_bytes(forged)
        assert refused_file(path) == str(seal)
    seal.unlink()
    assert refused_file(path) == str(made / "data" / "access" / "access.sqlite")
    assert fr("seal", "--config", str(path), "--remove").exit_code == 0
    assert not require_sealed(path, load_config(path))


def test_no_other_configuration_is_taken_and_none_leads_away_from_the_seal(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "open.toml"
    other.write_text(f'[gallery]\nfolder = "{made / "data"}"\n')
    for path in (other, None):
        with pytest.raises(FileTampered, match="another configuration"):
            require_sealed(path, load_config(other))
    path = made / "server.toml"
    folders = f'folder = "{tmp_path / "elsewhere"}"'
    (tmp_path / "link").symlink_to(made / "data")
    for changed in (
        f'[server]\n[access]\nmode = "open"\n{folders}\n[gallery]\nfolder = "{made / "data"}"\n',
        f'[gallery]\nfolder = "{tmp_path / "link"}"\nkey = "file:{made / "data.key"}"\n[access]\n{folders}\n',
    ):
        path.write_text(changed)
        with pytest.raises(FileTampered):
            require_sealed(path, load_config(path))


def test_files_that_the_configuration_names_are_sealed_too(made: Path, tmp_path: Path) -> None:
    path, jwks = made / "server.toml", tmp_path / "jwks.json"
    client_ca = ("tls.client_certificates=required", f"tls.client_ca={made / 'ca.pem'}")
    assert refused_file(path, *client_ca) == str(made / "ca.pem")
    jwks.write_text("{}")
    oidc = f'oidc_issuer = "https://id.example"\noidc_audience = "fr"\noidc_jwks = "{jwks}"\n'
    path.write_text(path.read_text().replace("[access]\n", f"[access]\n{oidc}"))
    assert fr("seal", "--config", str(path)).exit_code == 0
    assert require_sealed(path, load_config(path))
    jwks.write_text('{"keys": []}')
    assert refused_file(path) == str(jwks)


def test_admin_key_makes_one_more(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "key"
    config = str(made / "server.toml")
    assert fr("key", "create", str(out), "--config", config).exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with opened(made) as store:
        assert store.check(out.read_text().strip(), None).roles == {Role.ADMIN}
        assert len(store.keys()) == 2
    before = out.read_bytes()
    ended = fr("key", "create", str(out), "--config", config)
    assert (ended.exit_code, "TARGET_TAKEN" in ended.stderr, out.read_bytes()) == (1, True, before)
    ended = fr("key", "create", str(tmp_path / "nowhere" / "key"), "--config", config)
    assert (ended.exit_code, ended.stderr.partition(":")[0]) == (1, "FILE_UNWRITABLE")
    with opened(made) as store:
        assert len(store.keys()) == 2  # none that is valid and that nobody has


def test_renew_makes_a_certificate_for_the_same_names_and_seals_it(made: Path) -> None:
    before = {name: (made / name).read_bytes() for name in ("server.pem", "server.key")}
    path = made / "server.toml"
    ended = fr("renew", "--config", str(path))
    assert ended.exit_code == 0, ended.output
    assert f"The old key is in {made / 'server.key.before'}: delete it" in ended.output
    for name, content in before.items():
        assert (made / f"{name}.before").read_bytes() == content
        assert (made / name).read_bytes() != content
    assert names_of(made / "server.pem") == ["fr.example", "localhost", "127.0.0.1", "::1"]
    for key in ("server.key", "server.key.before"):
        assert stat.S_IMODE((made / key).stat().st_mode) == 0o600
    config = load_config(path)
    assert require_sealed(path, config)
    check_tls(defined(tls_files(config.tls)), wall_ms())
    assert fr("renew", "--config", str(path), "--name", "other.example").exit_code == 0
    assert names_of(made / "server.pem") == ["other.example", "localhost", "127.0.0.1", "::1"]


def test_renew_changes_nothing_where_it_cannot(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.iterdir() if path.is_file()}
    (made / "ca.key").rename(made / "elsewhere.key")
    ended = fr("renew", "--config", str(made / "server.toml"))
    assert (ended.exit_code, "ca.key" in ended.stderr) == (1, True)
    (made / "elsewhere.key").rename(made / "ca.key")
    assert {path: path.read_bytes() for path in made.iterdir() if path.is_file()} == before


def test_certificates_of_clients_and_their_revocation(made: Path, tmp_path: Path) -> None:
    authority = ("--ca", str(made / "ca.pem"), "--ca-key", str(made / "ca.key"))
    missing = fr("certificate", "create", "laptop-1", "--out", str(tmp_path / "none"), *authority)
    assert (missing.exit_code, missing.stderr.partition(":")[0]) == (1, "FILE_UNWRITABLE")
    assert f"The folder {tmp_path / 'none'}" in missing.stderr
    assert fr("certificate", "create", "laptop-1", "--out", str(tmp_path), *authority).exit_code == 0
    assert stat.S_IMODE((tmp_path / "laptop-1.key").stat().st_mode) == 0o600
    revoked = tmp_path / "revoked.pem"
    ended = fr("certificate", "revoke", str(tmp_path / "laptop-1.pem"), "--out", str(revoked), *authority)
    assert ended.exit_code == 0, ended.output
    assert revoked.read_text().startswith("-----BEGIN X509 CRL-----")
    written = revoked.read_bytes()
    ended = fr("certificate", "revoke", "--out", str(revoked), *authority)
    assert (ended.exit_code, revoked.read_bytes()) == (2, written), "nothing is forgotten by mistake"
    assert fr("certificate", "revoke", "--renew", "--out", str(revoked), *authority).exit_code == 0
    assert revoked.read_bytes() != written
    assert len(x509.load_pem_x509_crl(revoked.read_bytes())) == 1
    again = fr("certificate", "create", "laptop-1", "--out", str(tmp_path), *authority)
    assert (again.exit_code, "TARGET_TAKEN" in again.stderr) == (1, True)


def test_another_key_of_everything_takes_the_seal_along(made: Path) -> None:
    with Galleries.open(made / "data", key=load_key(f"file:{made / 'data.key'}")):
        pass
    new = made / "new.key"
    new_key_file(new)
    rotated = CliRunner().invoke(
        build(), ["gallery", "key", "rotate", "--new", f"file:{new}", "--config", str(made / "server.toml")]
    )
    assert rotated.exit_code == 0, rotated.output
    assert refused_file(made / "server.toml")
    new.replace(made / "data.key")
    assert require_sealed(made / "server.toml", load_config(made / "server.toml"))
    connection = read_connection(made / "admin.toml")
    with opened(made) as store:
        assert store.check(connection.key, None).roles == {Role.ADMIN}
