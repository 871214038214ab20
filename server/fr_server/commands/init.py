"""`fr server init`: makes an authority, a certificate, a configuration and the first key of a server."""

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
from fr_server.commands.reporting import reporting

if TYPE_CHECKING:
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.config import Config
    from fr_trust.access.store import AccessStore

_CONFIG = "server.toml"
# `init` keeps this file in the folder until it has finished.
_UNFINISHED = ".unfinished"
_NEW = os.O_CREAT | os.O_EXCL
_KEY = "data.key"
# Names for clients on the server's own machine.
HERE = ("localhost", "127.0.0.1", "::1")


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
    with reporting(writes=True):
        folder = _make(folder, normal([*(names or _own_names()), *HERE]), port)
    typer.echo(f"Made {folder}:")
    for name, what in (
        (_CONFIG, "the configuration, sealed: after a change, run `fr server seal`, or `fr serve` refuses it"),
        ("server.pem, server.key", "the certificate and its key, valid for 397 days"),
        ("ca.pem, ca.key", "the authority that signed the certificate; keep ca.key on another disk"),
        ("admin.toml", "the connection file of the first admin key"),
        (_KEY, "the key that encrypts all stored data; keep a copy in another place"),
    ):
        typer.echo(f"  {name:24}{what}")
    typer.echo(f"Start the server:    fr serve --config {folder / _CONFIG}")
    typer.echo(f"Make the next key:   fr --connection {folder / 'admin.toml'} key create --role operator ...")


def _make(folder: Path, called: list[str], port: int) -> Path:
    """Make everything, or nothing, for a server that clients call by these names; return the absolute folder."""
    from fr_core.storage.durable import write_private
    from fr_server.clock import wall_ms
    from fr_server.config import load_config
    from fr_server.config.folders import data_folder, key_of
    from fr_server.gateway.authority import Issued, make_authority, make_server_certificate
    from fr_server.storage.seal import seal

    with ExitStack() as begun, ExitStack() as undone:
        storage = _storage()
        begun.callback(os.close, _begin(folder))
        undone.callback(shutil.rmtree, folder, ignore_errors=True)
        folder = folder.resolve()
        authority = Issued(folder / "ca.pem", folder / "ca.key")
        make_authority(authority, "FR Core authority", wall_ms())
        certificate = Issued(folder / "server.pem", folder / "server.key")
        make_server_certificate(authority, certificate, *split(called), wall_ms(), called[0])
        path = folder / _CONFIG
        write_private(path, (_configuration(folder, port) + storage).encode())
        config = load_config(path)
        key = key_of(config, new=True)
        data_folder(config).mkdir(mode=0o700)
        if storage:
            _require_own(config, key)
            undone.pop_all()  # the key stays: from here on, the database may hold a store under it
        with opened_access(config) as store:
            token = new_admin(store, "first admin", config.access.key_days)
        target = target_of(called, port)
        ca = authority.certificate.read_text(encoding="ascii")
        write_private(folder / "admin.toml", connection_text(target, token, ca).encode())
        seal(path, config, key)
        (folder / _UNFINISHED).unlink()
        undone.pop_all()
    return folder


def _begin(folder: Path) -> int:
    """Make the folder of a new server, or use an empty or unfinished one that no other run is at work on.

    Returns the descriptor of the mark of unfinished folders, locked as long as it is open. Raises `TargetTaken`, or
    `OSError`.
    """
    from fr_core.errors import TargetTaken
    from fr_core.gallery.store.gallery_store import DATABASE_NAME
    from fr_core.storage.durable import lock_named

    taken, mark = TargetTaken(message("error.server.already_exists_2", folder=folder)), folder / _UNFINISHED
    # A gallery database means that a server has already started here.
    cut_off = mark.is_file() and not os.path.lexists(folder / "data" / DATABASE_NAME)
    empty = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    if folder.is_symlink() or not (empty or cut_off):
        raise taken
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        file = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if cut_off else _NEW), 0o600)
    except (FileExistsError, FileNotFoundError) as error:
        raise taken from error
    try:
        lock_named(mark, file)
    except BlockingIOError as error:
        os.close(file)
        raise taken from error
    if cut_off:
        _clear(folder)
    elif len([*folder.iterdir()]) > 1:  # another run has begun and ended meanwhile
        mark.unlink()
        os.close(file)
        raise taken
    folder.chmod(0o700)
    return file


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


def connection_text(target: str, token: str, ca: str) -> str:
    """Return the content of a connection file."""
    return f"server = \"{target}\"\nkey = \"{token}\"\nca = '''\n{ca.strip()}\n'''\n"


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


def normal(names: list[str]) -> list[str]:
    """Return the names without duplicates, in order, with IP addresses in their usual form."""
    return list(dict.fromkeys(_address(name) or name for name in names))


def split(names: list[str]) -> tuple[list[str], list[str]]:
    """Return the names that are no IP addresses, and those that are."""
    return [name for name in names if not _address(name)], [name for name in names if _address(name)]


def _address(name: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return ""


def target_of(names: list[str], port: int) -> str:
    """Return the address for clients: the first name or address for remote clients, otherwise a local one."""
    host = min(names, key=lambda name: name in HERE or name.startswith("*."))  # the first of those that are equal
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def opened_access(config: Config) -> Iterator[AccessStore]:
    """Open the store of keys within the block; raises as `open_access`."""
    from fr_server.clock import SteadyClock
    from fr_server.storage.opening import open_access

    store = open_access(config, SteadyClock())
    try:
        yield store
    finally:
        store.close()


def new_admin(store: AccessStore, label: str, days: int) -> str:
    """Make an admin key that lasts so many days, and return its token."""
    from fr_trust.access.budget import UNLIMITED
    from fr_trust.access.keys import DAY_MS, NewKey
    from fr_trust.access.principal import EVERYTHING, Role

    # Keys that it makes cannot have more rights than this one.
    new = NewKey(label, frozenset({Role.ADMIN}), EVERYTHING, EVERYTHING, UNLIMITED, days * DAY_MS)
    return store.create(new).token.text
