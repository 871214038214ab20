"""Warns of settings that allow a start but are probably mistakes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fr_server.config import Config
from fr_server.config.folders import data_folder
from fr_server.gateway.pem import revocations_expire_ms
from fr_server.gateway.tls import tls_files

_DAY_MS = 86_400_000
# A list is valid for 30 days: a week leaves time to renew it, without warning most of the time.
_NEAR_MS = 7 * _DAY_MS
_AUTHORITY_KEY = "ca.key"
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def doubts_of(config: Config, path: Path | None, sealed: bool, now_ms: int) -> list[str]:
    """Return a warning for each probable mistake in a configuration.

    Args:
        config: a usable configuration (`require_usable`).
        path: file of the configuration; None if there is none.
        sealed: True if its seal is intact.
        now_ms: milliseconds since 1970, UTC.

    Raises:
        TlsUnusable: the list of revoked certificates is unreadable.
        OSError: a folder is unreadable.
    """
    found = [] if sealed or path is None else [unsealed(path)]
    if config.tls.revoked:
        lapsing = lapsing_list(revocations_expire_ms(Path(config.tls.revoked).expanduser()), now_ms)
        found += [] if lapsing is None else [lapsing]
    return [*found, *_keys_of_authorities(config, path), *_open_folders(config, path)]


def unsealed(path: Path) -> str:
    """Return the warning about a configuration without a seal."""
    return (
        f"The configuration is not sealed, so the server cannot detect changes. Once it is final, run `fr server seal "
        f"--config {path}`."
    )


def lapsing_list(expires_ms: int | None, now_ms: int) -> str | None:
    """Return a warning if a list of revoked certificates expires within 7 days; otherwise None.

    Args:
        expires_ms: expiry of the list, milliseconds since 1970, UTC; None if it never expires, or if there is none.
        now_ms: current time, milliseconds since 1970, UTC.
    """
    if expires_ms is None or expires_ms - now_ms >= _NEAR_MS:
        return None
    end = datetime.fromtimestamp(expires_ms / 1000, UTC)
    return (
        f"The list of revoked certificates expires on {end:%Y-%m-%d %H:%M} UTC; then the server refuses all client "
        "certificates. Renew it with `fr server revoke-certificate --renew`, and send the server SIGHUP."
    )


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
