"""Warns of settings that do not prevent a start, but deserve a look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fr_server.config import Config
from fr_server.config.folders import data_folder
from fr_server.gateway.pem import revocations_expire_ms
from fr_server.gateway.tls import tls_files

_DAY_MS = 86_400_000
# A list holds for 30 days: a week is enough to write it anew, and not so long that it is always near its end.
_NEAR_MS = 7 * _DAY_MS
_AUTHORITY_KEY = "ca.key"
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def doubts_of(config: Config, path: Path | None, sealed: bool, now_ms: int) -> list[str]:
    """Return a sentence for each thing about a configuration that is probably not meant.

    Args:
        config: can be used, as `require_usable` says.
        path: file of the configuration; None = there is none.
        sealed: whether it is sealed, and as it was.
        now_ms: milliseconds since 1970, UTC.

    Raises:
        TlsUnusable: the list of revoked certificates cannot be read.
        OSError: a folder cannot be looked at.
    """
    found = [] if sealed or path is None else [unsealed(path)]
    if config.tls.revoked:
        lapsing = lapsing_list(revocations_expire_ms(Path(config.tls.revoked).expanduser()), now_ms)
        found += [] if lapsing is None else [lapsing]
    return [*found, *_keys_of_authorities(config, path), *_open_folders(config, path)]


def unsealed(path: Path) -> str:
    """Return what is said of a configuration without a seal."""
    return (
        f"The configuration is not sealed, so that nobody notices a change of it: `fr server seal --config {path}`, "
        "once it is what you want."
    )


def lapsing_list(expires_ms: int | None, now_ms: int) -> str | None:
    """Return what is said of a list of revoked certificates that ends within 7 days; None = of others nothing.

    Args:
        expires_ms: when it ends, milliseconds since 1970, UTC; None = never, or there is none.
        now_ms: likewise, now.
    """
    if expires_ms is None or expires_ms - now_ms >= _NEAR_MS:
        return None
    end = datetime.fromtimestamp(expires_ms / 1000, UTC)
    return (
        f"The list of revoked certificates ends {end:%Y-%m-%d %H:%M} UTC, and then nobody comes in by a certificate: "
        "`fr server revoke-certificate --renew` writes it anew, and SIGHUP lets the server take it."
    )


def _keys_of_authorities(config: Config, path: Path | None) -> list[str]:
    files = tls_files(config.tls)
    named = [path] if files is None else [path, files.certificate, files.client_ca]
    folders = dict.fromkeys(one.absolute().parent for one in named if one is not None)
    found = [folder / _AUTHORITY_KEY for folder in folders if (folder / _AUTHORITY_KEY).exists()]
    return [
        f"The authority's key lies on this machine, at {key}{_mode(key, _OTHERS)}: whoever has it can pass for the "
        "server. Keep it on another disk."
        for key in found
    ]


def _open_folders(config: Config, path: Path | None) -> list[str]:
    found = []
    data = data_folder(config)
    if data.exists() and (mode := _mode(data, _OTHERS)):
        found.append(f"The data folder {data} is open to others{mode}: `chmod 700 {data}`.")
    if path is not None and (mode := _mode(path.absolute().parent, _OTHERS_WRITE)):
        folder = path.absolute().parent
        found.append(f"Others may write in the folder of the configuration, {folder}{mode}: `chmod go-w {folder}`.")
    return found


def _mode(path: Path, others: int) -> str:
    """Return the mode of a path, for a sentence, where it gives others one of these rights; else ""."""
    mode = path.stat().st_mode & 0o777
    return f" (mode {mode:04o})" if mode & others else ""
