"""Checks a configuration before a start opens or makes anything, and warns of probable mistakes in it."""

import fcntl
import ipaddress
import os
import socket
from pathlib import Path

from fr_core.errors import ConfigInvalid, StoreInUse, message
from fr_core.gallery.index.milvus_settings import MILVUS
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.storage.location import naming
from fr_core.storage.outside import require_ready
from fr_server.authz.authenticate import require_issuer
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.config.folders import (
    data_folder,
    postgres_of,
    require_audit_folders,
    require_folders,
    require_key,
)
from fr_server.config.indexes import milvus_of
from fr_server.engine import engine_options, open_decoder
from fr_server.gateway import address
from fr_server.gateway.pem import lapsing_list, revocations_expire_ms
from fr_server.gateway.tls import check_tls, tls_files
from fr_server.storage.seal import unsealed
from fr_server.telemetry.open import require_telemetry
from fr_server.web import require_web

# Keys, cases and courses: every process of a server opens them, and one process the galleries.
_SHARED_STORES = 3
_AUTHORITY_KEY = "ca.key"
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def doubts_of(config: Config, path: Path | None, sealed: bool, now_ms: int) -> list[str]:
    """Return a warning for each probable mistake in a usable configuration (`require_usable`).

    `path` is its file; None if there is none. `sealed` is True if its seal is intact. Raises `TlsUnusable` if the list
    of revoked certificates is unreadable, and `OSError` if a folder is.
    """
    found = [] if sealed or path is None else [unsealed(path)]
    if config.tls.revoked:
        lapsing = lapsing_list(revocations_expire_ms(Path(config.tls.revoked).expanduser()), now_ms)
        found += [] if lapsing is None else [lapsing]
    return [*found, *_keys_of_authorities(config, path), *_open_folders(config, path)]


def _keys_of_authorities(config: Config, path: Path | None) -> list[str]:
    files = tls_files(config.tls)
    named = [path] if files is None else [path, files.certificate, files.client_ca]
    folders = dict.fromkeys(one.absolute().parent for one in named if one is not None)
    found = [folder / _AUTHORITY_KEY for folder in folders if (folder / _AUTHORITY_KEY).exists()]
    return [
        f"The authority's key is on this machine, at {key}{_mode(key, _OTHERS)}. Anyone who has it can impersonate the "
        "server. Keep it on another disk."
        for key in found
    ]


def _open_folders(config: Config, path: Path | None) -> list[str]:
    found = []
    data = data_folder(config)
    if data.exists() and (mode := _mode(data, _OTHERS)):
        found.append(f"Other users can access the data folder {data}{mode}: run `chmod 700 {data}`.")
    if path is not None and (mode := _mode(path.absolute().parent, _OTHERS_WRITE)):
        folder = path.absolute().parent
        found.append(f"Other users can write to the configuration folder {folder}{mode}: run `chmod go-w {folder}`.")
    return found


def _mode(path: Path, others: int) -> str:
    """Return the mode of a path in words if it gives others one of these rights; otherwise ""."""
    mode = path.stat().st_mode & 0o777
    return f" (mode {mode:04o})" if mode & others else ""


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def require_usable(config: Config) -> None:
    """Require usable settings, files and folders, as far as this can be checked without a model.

    It writes nothing, contacts no other machine, and runs only one command, `fr lti show`. Raises `ConfigInvalid` if a
    setting, a folder, or an issuer's key file is unusable, or two settings name the same address to listen on;
    `KeyUnavailable` if the gallery key is unreadable (it parses a command, and does not run it); `TlsUnusable` for a
    certificate or its key.
    """
    engine_options(config)
    open_decoder(config).close()  # this starts no process: the first photo does
    require_telemetry(config.telemetry)
    _require_apart(config)
    require_folders(config)
    require_audit_folders(config)
    require_issuer(config.access)
    files = tls_files(config.tls)
    if files is not None:
        check_tls(files, wall_ms())
    require_web(config)
    require_key(config)
    postgres_of(config)
    milvus_of(config)


def require_free(config: Config) -> None:
    """Require that no other program has the addresses or the galleries of a configuration now.

    Loading the models takes long, so a start asks before it. Makes nothing. Raises `AddressUnavailable`,
    `StoreInUse`, `DatabaseUnreachable` or `DatabaseUnusable`.
    """
    address.require_free(config.server.host, config.server.port, "server")
    if config.web.port:
        address.require_free(config.web.host, config.web.port, "web")
    if (server := postgres_of(config)) is not None:
        answering = max(1, config.server.frontends)
        # One follows other servers, one is of the term, one of each process that answers calls, one each of the console
        # and of Milvus.
        others = bool(config.web.port) + (config.gallery.index == MILVUS)
        require_ready(server, 1 + _SHARED_STORES * answering, 2 + answering + others)
        return
    folder = data_folder(config)
    try:
        handle = os.open(folder / GALLERIES.lock_name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # there is none; or opening the galleries says what is wrong
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with naming(folder / DATABASE_NAME):
            raise StoreInUse(message("error.storage.data_folder_open_already")) from error
    finally:
        os.close(handle)


def _require_apart(config: Config) -> None:
    calls, metrics = config.server, config.telemetry
    if not calls.port or calls.port != metrics.metrics_port:
        return
    if calls.host == metrics.metrics_host or any(
        _is_one(one, other)
        for one in _addresses(calls.host)
        for other in _addresses(metrics.metrics_host)[:1]  # the metrics server uses only the first
    ):
        raise ConfigInvalid(
            message(
                "error.config.same_port",
                port=calls.port,
                metrics=metrics.metrics_host,
                calls=calls.host or message("error.config.every_address"),
            ),
            key="telemetry.metrics_port",
        )


def _is_one(calls: Address, metrics: Address) -> bool:
    """Return True if two sockets with the same port cannot both listen on these addresses."""
    if metrics.version == 6 and metrics.is_unspecified:
        return True  # it also takes IPv4, unlike the gateway's socket
    any_address = calls.is_unspecified or metrics.is_unspecified
    return calls == metrics or (any_address and calls.version == metrics.version)


def _addresses(host: str) -> list[Address]:
    """Resolve a host as a start does; returns nothing if that needs another machine."""
    name = host.strip("[]")
    numeric = 0 if name.lower() == "localhost" else socket.AI_NUMERICHOST
    try:
        found = socket.getaddrinfo(name or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | numeric)
    except (OSError, ValueError):
        return []
    return [ipaddress.ip_address(address[0]) for _, _, _, _, address in found]
