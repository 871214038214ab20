"""`fr server`: sets up a server, checks and seals its configuration, and manages its certificates and keys."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_locales.messages import message
from fr_server.commands.gallery import ConfigFile
from fr_server.commands.reporting import CommandFailed, reporting
from fr_server.commands.status import status
from fr_server.commands.verify import audit_export, verify

if TYPE_CHECKING:
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.config import Config
    from fr_server.gateway.authority import Issued
    from fr_trust.access.store import AccessStore

server = typer.Typer(name="server", help="Set up and maintain a server.")
server.command("status")(status)
server.command("verify")(verify)
audit = typer.Typer(help="Export the audit of a server that is stopped.", no_args_is_help=True)
certificate = typer.Typer(help="Make and revoke client certificates.", no_args_is_help=True)
clock = typer.Typer(help="Correct the clock by which keys expire.", no_args_is_help=True)
configuration = typer.Typer(help="Check a configuration.", no_args_is_help=True)
key = typer.Typer(help="Make an admin key on the server's own machine.", no_args_is_help=True)
audit.command("export")(audit_export)
server.add_typer(audit, name="audit")
server.add_typer(certificate, name="certificate")
server.add_typer(clock, name="clock")
server.add_typer(configuration, name="config")
server.add_typer(key, name="key")

_CONFIG = "server.toml"
# `init` keeps this file in the folder until it has finished.
_UNFINISHED = ".unfinished"
_KEY = "data.key"
# Names for clients on the server's own machine.
_HERE = ("localhost", "127.0.0.1", "::1")


@server.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for all files of the server.")],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name or IP address for clients, in addition to localhost. Can be repeated. Connection files contain "
            "the first one. Default: the machine's own name and address.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 50061,
) -> None:
    """Set up a server for remote clients: make an authority, a certificate, a configuration and the first key.

    Every key is random, and only its owner can read its file. If the environment names a database (FR__STORAGE__URL),
    the first key is stored there, and the configuration names it. If the command is interrupted, run it again; it
    starts over.
    """
    from fr_core.storage.durable import write_private
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.config.folders import data_folder, key_of
    from fr_server.gateway.authority import Issued, make_authority, make_server_certificate
    from fr_server.storage.seal import seal

    called = _normal([*(names or _own_names()), *_HERE])
    dns, addresses = _split(called)
    with reporting(writes=True), ExitStack() as undone:
        storage = _storage()
        _begin(folder)
        undone.callback(shutil.rmtree, folder, ignore_errors=True)
        folder = folder.resolve()
        authority = Issued(folder / "ca.pem", folder / "ca.key")
        make_authority(authority, "FR Core authority", wall_ms())
        certificate = Issued(folder / "server.pem", folder / "server.key")
        make_server_certificate(authority, certificate, dns, addresses, wall_ms(), called[0])
        path = folder / _CONFIG
        write_private(path, (_configuration(folder, port) + storage).encode())
        config = load_config(path)
        key = key_of(config, new=True)
        data_folder(config).mkdir(mode=0o700)
        if storage:
            _require_own(config, key)
            undone.pop_all()  # the key stays: from here on, the database may hold a store under it
        with _opened(config) as store:
            token = _new_admin(store, "first admin", config.access.key_days)
        target = _target(called, port)
        ca = authority.certificate.read_text(encoding="ascii")
        write_private(folder / "admin.toml", _connection(target, token, ca).encode())
        seal(path, config, key)
        (folder / _UNFINISHED).unlink()
        undone.pop_all()
    typer.echo(f"Made {folder}:")
    for name, what in (
        (_CONFIG, "the configuration, sealed: after a change, run `fr server seal`, or `fr serve` refuses it"),
        ("server.pem, server.key", "the certificate and its key, valid for 397 days"),
        ("ca.pem, ca.key", "the authority that signed the certificate; keep ca.key on another disk"),
        ("admin.toml", "the connection file of the first admin key"),
        (_KEY, "the key that encrypts all stored data; keep a copy in another place"),
    ):
        typer.echo(f"  {name:24}{what}")
    typer.echo(f"Start the server:    fr serve --config {path}")
    typer.echo(f"Make the next key:   fr --connection {folder / 'admin.toml'} key create --role operator ...")


@configuration.command("check")
def check_config(config: ConfigFile = None) -> None:
    """Check a configuration and all files that it names, like `fr serve`, but start and create nothing.

    The command runs a `command:` for the gallery key only if the configuration is sealed. It does not check the device
    with its precision and batch sizes, the addresses, the contents of the stores, or an issuer's keys at an https
    address. It warns about settings that work but are probably mistakes, such as a configuration without a seal, or a
    list of revoked certificates that expires within 7 days.
    """
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.manifest import load_pack
    from fr_server.checks import doubts_of, require_usable
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.config.loading import require_safe
    from fr_server.storage.seal import require_sealed

    with reporting():
        tree = load_config(config, environ=os.environ)
        require_safe(tree)
        sealed = require_sealed(config, tree)
        require_usable(tree)
        pack, cache = load_pack(tree.model.pack), ModelCache(cache_folder())
        for file in pack.files:
            cache.read_verified(file, pack.name)
        doubts = doubts_of(tree, config, sealed, wall_ms())
    for doubt in doubts:
        typer.echo(f"Warning: {doubt}", err=True)
    typer.echo(f"The configuration is usable{' and its seal is intact' if sealed else ''}.")


@server.command("seal")
def seal_command(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the seal. The stores then open without one.")
    ] = False,
) -> None:
    """Seal a configuration after an intended change, together with the certificates that it names.

    The command marks each store as sealed. The server then refuses an unsealed configuration that names such a store.
    """
    from fr_server.config import load_config
    from fr_server.config.folders import key_of
    from fr_server.config.loading import require_safe
    from fr_server.storage.seal import seal, unseal

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        key = key_of(tree, new=False)
        if remove:
            unseal(tree, key)
            typer.echo(f"{config} no longer has a seal.")
            return
        require_safe(tree)
        written = seal(config, tree, key)
    typer.echo(f"Sealed {config} in {written}.")


@server.command("renew")
def renew(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name or IP address for clients. Can be repeated. `fr server key create` writes the first one into "
            "connection files. Default: the names in the old certificate.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Certificate of the authority. Default: ca.pem beside the server's certificate."
        ),
    ] = None,
    ca_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of the authority. Default: ca.key beside the server's certificate."),
    ] = None,
) -> None:
    """Make a new certificate and key for the server, signed by the authority from `init`, and seal the configuration.

    The old files stay beside the new ones, as *.before. A running server loads the new files at SIGHUP. If the command
    is interrupted, run it again; until then, the seal is valid for both the old and the new files.
    """
    from fr_core.errors import ConfigInvalid
    from fr_core.storage.durable import name_whole
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.gateway.authority import Issued, make_server_certificate
    from fr_server.gateway.pem import names_of
    from fr_server.storage.seal import exchanging, require_sealed

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        if not tree.tls.certificate:
            raise ConfigInvalid(message("error.server.configuration_no_tls_certificate"), key="tls.certificate")
        require_sealed(config, tree)
        certificate = Path(tree.tls.certificate).expanduser()
        into = Issued(certificate, Path(tree.tls.key).expanduser())
        authority = Issued(ca or certificate.with_name("ca.pem"), ca_key or certificate.with_name("ca.key"))
        called = _normal([*(names or names_of(certificate)), *_HERE])
        dns, addresses = _split(called)
        made = Issued(*(path.with_name(f"{path.name}.new") for path in (into.certificate, into.key)))
        for path in (made.certificate, made.key):
            path.unlink(missing_ok=True)  # left by an interrupted run
        make_server_certificate(authority, made, dns, addresses, wall_ms(), called[0])
        kept = _keep(into)
        with exchanging(config, tree, {into.key: made.key, into.certificate: made.certificate}):
            name_whole(made.key, into.key)
            name_whole(
                made.certificate, into.certificate
            )  # if interrupted before this, the pair does not match: run it again
    typer.echo(f"Made {into.certificate} and {into.key}. `kill -HUP` makes a running server load them.")
    typer.echo(f"The old key is in {kept.key}: delete it once clients connect with the new certificate.")


@certificate.command("create")
def create_certificate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client, such as the name of its machine.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for NAME.pem and NAME.key.")],
    ca: Annotated[Path, typer.Option(metavar="FILE", help="Certificate of the authority, PEM.")],
    ca_key: Annotated[Path, typer.Option(metavar="FILE", help="Its key, PEM.")],
) -> None:
    """Make a client certificate, for servers that use `tls.client_certificates`."""
    from fr_server.clock import wall_ms
    from fr_server.gateway.authority import Issued, make_client_certificate

    with reporting(writes=True):
        _require_there(out)
        made = Issued(out / f"{name}.pem", out / f"{name}.key")
        make_client_certificate(Issued(ca, ca_key), made, name, wall_ms())
    typer.echo(f"Made {made.certificate} and {made.key}, valid for 397 days.")


@certificate.command("revoke")
def revoke_certificate(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="File for the list (`tls.revoked`). The list is valid for 30 days."),
    ],
    ca: Annotated[Path, typer.Option(metavar="FILE", help="Certificate of the authority, PEM.")],
    ca_key: Annotated[Path, typer.Option(metavar="FILE", help="Its key, PEM.")],
    certificates: Annotated[
        list[Path] | None, typer.Argument(metavar="CERTIFICATE...", help="All client certificates to revoke.")
    ] = None,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Keep the certificates in the existing list at --out, and add CERTIFICATE to it."),
    ] = False,
) -> None:
    """Write the list of revoked client certificates. Write it again within 30 days, or it expires.

    The new list replaces the old one, so name every revoked certificate. With --renew, the command keeps the entries of
    the old list, and you need not name any.
    """
    from fr_server.clock import wall_ms
    from fr_server.gateway.authority import Issued, write_revocations

    if not certificates and not renew:
        raise typer.BadParameter("Name the certificates to revoke, or use --renew to renew the existing list.")
    with reporting(writes=True):
        _require_there(out.absolute().parent)
        write_revocations(Issued(ca, ca_key), out, certificates or [], wall_ms(), renew=renew)
    typer.echo(f"Wrote {out}, valid for 30 days. `kill -HUP` makes a running server load it.")


@key.command("create")
def create_key(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="New file for the key, mode 0600. If it ends in .toml, a connection file."),
    ],
    config: ConfigFile = None,
) -> None:
    """Make an admin key on the server's own machine, for example after the loss of a key. The server may be running."""
    from fr_core.errors import TargetTaken
    from fr_server.config import load_config

    with reporting(writes=True):
        tree = load_config(config, environ=os.environ)
        if out.exists():
            raise TargetTaken(message("error.server.already_exists", out=out))
        place = _place(tree) if out.suffix == ".toml" else None
        # Create the file first; otherwise a failure to write it would leave a valid key that nobody has.
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                with _opened(tree) as store:
                    token = _new_admin(store, "admin, made on the server's machine", tree.access.key_days)
                file.write(f"{token}\n" if place is None else _connection(place[0], token, place[1]))
        except BaseException:
            out.unlink()
            raise
    typer.echo(f"Made an admin key in {out}.")


@clock.command("reset")
def reset_clock(config: ConfigFile = None) -> None:
    """Let keys expire by the system clock again, after it was set to the future by mistake. Stop the server first.

    Keys expire by the latest time that the server has seen, so that setting the clock back does not revive any.
    """
    from fr_server.config import load_config

    with reporting(writes=True), _opened(load_config(config, environ=os.environ)) as store:
        store.forget_time_seen()
    typer.echo("Keys now expire by the system clock again.")


def _begin(folder: Path) -> None:
    """Make the folder of a new server, or use an empty or unfinished one; raises `TargetTaken`, or `OSError`."""
    from fr_core.errors import TargetTaken
    from fr_core.gallery.store.gallery_store import DATABASE_NAME

    if os.path.lexists(folder):
        empty = folder.is_dir() and not any(folder.iterdir())
        # A gallery database means that a server has already started here.
        cut_off = (folder / _UNFINISHED).is_file() and not os.path.lexists(folder / "data" / DATABASE_NAME)
        if folder.is_symlink() or not (empty or cut_off):
            raise TargetTaken(message("error.server.already_exists_2", folder=folder))
        if cut_off:
            _clear(folder)
            return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / _UNFINISHED).touch(0o600, exist_ok=False)


def _clear(folder: Path) -> None:
    """Delete what an interrupted run has left, except a whole key: a database may hold a store under it."""
    from fr_core.errors import KeyUnavailable
    from fr_core.storage.keys import load_key

    kept = {_UNFINISHED, _KEY}
    try:
        load_key(f"file:{folder / _KEY}")
    except KeyUnavailable:
        kept.remove(_KEY)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()


def _storage() -> str:
    """Return the section of the database that the environment names, which can be used now; "" if it names none."""
    import dataclasses

    from fr_core.storage.outside import require_ready
    from fr_server.config import load_config
    from fr_server.config.folders import postgres_of
    from fr_server.config.tree import StorageConfig

    config = load_config(None, environ=os.environ)
    server = postgres_of(config)
    if server is None:
        return ""
    require_ready(server, 1, 2)
    usual, found = (dataclasses.asdict(one) for one in (StorageConfig(), config.storage))
    lines = [f"{name} = {_quoted(value)}" for name, value in found.items() if value != usual[name]]
    return "\n".join(["", "[storage]", *lines, ""])


def _require_own(config: Config, key: KeyEncryptionKey) -> None:
    """Raise `ConfigInvalid` if a database holds stores that another server has set up."""
    from fr_core.errors import ConfigInvalid, WrongKey
    from fr_server.storage.places import marks_of

    try:
        marks_of(config, key)
    except WrongKey as error:
        told = message("error.server.database_taken", database=config.storage.url.partition("?")[0])
        raise ConfigInvalid(told, key="storage.url") from error


def _keep(pair: Issued) -> Issued:
    """Copy a certificate and its key to *.before, and return the copies.

    If the pair does not match, an earlier run was interrupted between the two; its copies stay.
    """
    from fr_core.errors import TlsUnusable
    from fr_core.storage.durable import write_private
    from fr_server.gateway.authority import Issued
    from fr_server.gateway.pem import read_certificates, require_fits

    kept = Issued(*(path.with_name(f"{path.name}.before") for path in (pair.certificate, pair.key)))
    try:
        require_fits(pair.key, read_certificates(pair.certificate)[0])
    except TlsUnusable:
        if kept.certificate.exists() and kept.key.exists():
            return kept
    write_private(kept.certificate, pair.certificate.read_bytes())
    write_private(kept.key, pair.key.read_bytes())
    return kept


def _configuration(folder: Path, port: int) -> str:
    return f"""# Made by `fr server init`. `fr serve --print-config` shows every setting.
[server]
host = "0.0.0.0"
port = {port}
reflection = false

[tls]
certificate = {_quoted(folder / "server.pem")}
key = {_quoted(folder / "server.key")}

[access]
mode = "keys"
# Default for new keys; existing keys keep their limit.
searches_per_day = 1000

[gallery]
folder = {_quoted(folder / "data")}
"""


def _connection(target: str, token: str, ca: str) -> str:
    return f"server = \"{target}\"\nkey = \"{token}\"\nca = '''\n{ca.strip()}\n'''\n"


def _place(config: Config) -> tuple[str, str]:
    """Return the address of a server for clients, and the certificate of the authority from `init`.

    Raises `ConfigInvalid` if the authority is not beside the certificate, and `TlsUnusable` if that is unreadable.
    """
    from fr_core.errors import ConfigInvalid
    from fr_server.gateway.pem import names_of

    certificate = Path(config.tls.certificate).expanduser()
    authority = certificate.with_name("ca.pem")
    if not config.tls.certificate or not authority.exists():
        raise ConfigInvalid(message("error.server.no_authority", authority=authority), key="tls.certificate")
    return _target(names_of(certificate), config.server.port), authority.read_text(encoding="ascii")


def _require_there(folder: Path) -> None:
    if not folder.is_dir():
        raise CommandFailed(
            "FILE_UNWRITABLE", f"The folder {folder} does not exist: make it first, or name another one."
        )


def _quoted(value: Path | str | float) -> str:
    import json

    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _own_names() -> list[str]:
    found = [socket.gethostname()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: sends nothing; the system only picks its own address
        except OSError:
            return found
        return [*found, str(probe.getsockname()[0])]


def _normal(names: list[str]) -> list[str]:
    """Return the names without duplicates, in order, with IP addresses in their usual form."""
    return list(dict.fromkeys(_address(name) or name for name in names))


def _split(names: list[str]) -> tuple[list[str], list[str]]:
    return [name for name in names if not _address(name)], [name for name in names if _address(name)]


def _address(name: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return ""


def _target(names: list[str], port: int) -> str:
    """Return the address for clients: the first name or address for remote clients, otherwise a local one."""
    host = min(names, key=lambda name: name in _HERE or name.startswith("*."))  # the first of those that are equal
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _opened(config: Config) -> Iterator[AccessStore]:
    from fr_server.clock import SteadyClock
    from fr_server.storage.opening import open_access

    store = open_access(config, SteadyClock())
    try:
        yield store
    finally:
        store.close()


def _new_admin(store: AccessStore, label: str, days: int) -> str:
    from fr_trust.access.budget import UNLIMITED
    from fr_trust.access.keys import DAY_MS, NewKey
    from fr_trust.access.principal import EVERYTHING, Role

    # Keys that it makes cannot have more rights than this one.
    new = NewKey(label, frozenset({Role.ADMIN}), EVERYTHING, EVERYTHING, UNLIMITED, days * DAY_MS)
    return store.create(new).token.text
