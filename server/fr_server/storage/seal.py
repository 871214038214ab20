"""Seals a configuration and the files that it names, so that the server detects a change.

Sealing needs the gallery key. The seal is in the gallery folder. Each store holds the mark of the seal that last served
it, see `fr_server.storage.places`. The server refuses a configuration that names such a store but has no seal, an
older seal, or another server's seal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fr_core.errors import ConfigInvalid, FileTampered, message
from fr_core.storage.durable import write_private
from fr_core.storage.keys import KeyEncryptionKey
from fr_locales.messages import Message
from fr_server.config import Config
from fr_server.config.folders import data_folder, key_of
from fr_server.config.started import sha256_of
from fr_server.storage.places import any_marked, mark_all, marks_of

_NAME = "configuration.seal"
_PURPOSE = b"fr-seal 1"
_NOT_AMONG = message("error.seal.not_among")


def seal_of(config: Config) -> Path:
    """Return the path of a configuration's seal, which may not exist."""
    return data_folder(config) / _NAME


def seal(path: Path, config: Config, key: KeyEncryptionKey) -> Path:
    """Seal a configuration and the certificate files that it names; return the path. Raises `ConfigInvalid`."""
    folder, at = data_folder(config), seal_of(config)
    try:
        files = {str(one.resolve()): sha256_of(one) for one in _files(path, config)}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        body = _body(path, files, _marks(config, key))
        _write(at, key, body)
    except OSError as error:
        raise _unmade(error) from error
    mark_all(config, key, _mark(body), _before(body))
    return at


def unseal(config: Config, key: KeyEncryptionKey) -> bool:
    """Remove the marks from the stores, then the seal; return whether there was one. Raises as `mark_all`."""
    mark_all(config, key, b"")
    try:
        seal_of(config).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigInvalid(
            message("error.seal.not_deleted", filename=error.filename, reason=str(error.strerror))
        ) from error
    return True


def mark_stores(path: Path | None, config: Config) -> None:
    """Write the mark of an intact seal into every open store; raises as `require_sealed` and `mark_all`."""
    if require_sealed(path, config):
        body, *_ = _read(seal_of(config))
        mark_all(config, key_of(config, new=False), _mark(body), _before(body))


@contextmanager
def exchanging(path: Path, config: Config, coming: Mapping[Path, Path]) -> Iterator[None]:
    """Replace sealed files within the block, and seal the new ones at the end; makes no seal if there is none.

    Until the end, the seal is valid for the old and the new content of each file, so that an interrupted exchange does
    not count as tampering. The seal keeps the old hashes of all other files, and still detects a change to them.
    `coming` maps each file to its replacement; both are complete and durable. Raises as `require_sealed`, and
    `ConfigInvalid` if a file cannot be read, or the seal not written.
    """
    found = _sealed(path, config)
    if found is None:
        yield
        return
    at, key = seal_of(config), key_of(config, new=False)
    try:
        # An exchange replaces a link itself, not its target.
        becomes = {str(old.parent.resolve() / old.name): sha256_of(new) for old, new in coming.items()}
        _write(at, key, _body(path, found, _marks(config, key), becomes))
    except OSError as error:
        raise _unmade(error) from error
    yield
    known = found | becomes
    named = {str(one.resolve()): one for one in _files(path, config)}
    for name, one in named.items():
        if name not in known:
            raise _tampered(one, _NOT_AMONG)
    try:
        _write(at, key, _body(path, {name: known[name] for name in named}, _marks(config, key)))
    except OSError as error:
        raise _unmade(error) from error


def require_sealed(path: Path | None, config: Config) -> bool:
    """Check a configuration against its seal; return True if there is a seal. `path` is None if it has no file.

    Raises:
        KeyUnavailable: there is a seal, but the gallery key is unavailable.
        FileTampered: a file was changed, added or removed after sealing, or the seal was changed; or a store has the
            mark of another seal or of a missing one (metadata: file).
        StoreCorrupt, StoreFailed, WrongKey: the mark of a store is unreadable (metadata: file).
    """
    return _sealed(path, config) is not None


def _sealed(path: Path | None, config: Config) -> dict[str, str] | None:
    """Return the current sha256 of each file that a configuration names; None if there is no seal.

    Raises as `require_sealed`.
    """
    at = seal_of(config)
    body, *macs = _read(at)
    if not body:
        if (marked := any_marked(config)) is not None:
            raise _tampered(marked, message("error.server.mark_seal_but_no", at=at))
        return None
    key = key_of(config, new=False)
    if not _is_one(key, body, macs):
        raise _foreign(at, config)
    said = json.loads(body)
    if path is None or str(path.resolve()) != said["path"]:
        raise _tampered(at, message("error.server.another_configuration_server_started"))
    files, becomes = said["files"], said.get("becomes", {})
    named = {str(one.resolve()): one for one in _files(path, config)}
    for name, one in named.items():
        if name not in files and name not in becomes:
            raise _tampered(one, _NOT_AMONG)
    found = {}
    for name in files | named:
        try:
            found[name] = sha256_of(Path(name))
        except OSError as error:
            raise _tampered(Path(name), message("error.server.cannot_read_2", reason=str(error.strerror))) from error
        if found[name] not in (files.get(name), becomes.get(name)):
            raise _tampered(Path(name), message("error.server.changed_since_sealed"))
    known = {_mark(body), *_before(body)}
    for store, marks in marks_of(config, key).items():
        if marks and not marks & known:
            raise _tampered(store, message("error.server.mark_another_seal", at=at))
    return {name: found[name] for name in named}


def begin_reseal(config: Config, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    """Make a seal valid under two keys while the stores change to the second one; keeps the hashes in it.

    `before` is the current key of the seal; raises `FileTampered` if the seal was made with neither key (metadata:
    file).
    """
    _reseal(config, (before, after), before, after)


def end_reseal(config: Config, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    """Make a seal valid only under the second key; arguments and errors as for `begin_reseal`."""
    _reseal(config, (before, after), after)


def _reseal(
    config: Config,
    known: tuple[KeyEncryptionKey, ...],
    under: KeyEncryptionKey,
    following: KeyEncryptionKey | None = None,
) -> None:
    at = seal_of(config)
    body, *macs = _read(at)
    if not body:
        return
    if not any(_is_one(key, body, macs) for key in known):
        raise _foreign(at, config)
    _write(at, under, body, following)


def _read(at: Path) -> list[str]:
    """Return a seal's content and its MACs (two during a change of the key); only "" if there is no seal."""
    try:
        sealed = json.loads(at.read_bytes())
        parts = [sealed["body"], sealed["mac"], *([sealed["next_mac"]] if "next_mac" in sealed else [])]
    except FileNotFoundError:
        return [""]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _tampered(at, message("error.server.no_seal")) from error
    if not (all(isinstance(part, str) for part in parts) and parts[0]):
        raise _tampered(at, message("error.server.no_seal"))
    return parts


def _marks(config: Config, key: KeyEncryptionKey) -> set[str]:
    """Return the marks of the stores, and of the seal to be replaced, which a server may be writing into them.

    Of the marks in a database, only those of this server.
    """
    marks = {mark.hex() for found in marks_of(config, key).values() for mark in found}
    try:
        body, *macs = _read(seal_of(config))
    except FileTampered:
        body = ""
    is_own = bool(body) and _is_one(key, body, macs)
    if config.storage.url:
        marks &= {mark.hex() for mark in _before(body)} if is_own else set()
    return marks | {_mark(body).hex()} if is_own else marks


def _before(body: str) -> set[bytes]:
    """Return the marks of earlier seals of this server, which stores may still have."""
    return {*map(bytes.fromhex, json.loads(body).get("marks", ()))}


def _mark(body: str) -> bytes:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).digest()


def _body(
    path: Path, files: Mapping[str, str], marks: Collection[str], becomes: Mapping[str, str] | None = None
) -> str:
    """Return a seal's content: the sha256 of each file, and of its replacement if there is one; and earlier marks."""
    said = {"files": files, "marks": sorted(marks), "path": str(path.resolve())}
    return json.dumps({**said, "becomes": becomes} if becomes else said, sort_keys=True)


def _write(at: Path, key: KeyEncryptionKey, body: str, following: KeyEncryptionKey | None = None) -> None:
    sealed = {"body": body, "mac": _mac(key, body)}
    if following is not None:
        sealed["next_mac"] = _mac(following, body)
    write_private(at, (json.dumps(sealed) + "\n").encode())


def _files(path: Path, config: Config) -> list[Path]:
    tls, jwks = config.tls, config.access.oidc_jwks
    # A list of revoked certificates changes regularly, and an address is not a file.
    named = (tls.certificate, tls.key, tls.client_ca, "" if "://" in jwks else jwks)
    return [path, *(Path(one).expanduser() for one in named if one)]


def _unmade(error: OSError) -> ConfigInvalid:
    return ConfigInvalid(message("error.seal.not_made", filename=error.filename, reason=str(error.strerror)))


def _foreign(at: Path, config: Config) -> FileTampered:
    key = _key_file(config)
    return _tampered(at, message("error.server.not_made_may_key", key=key))


def _key_file(config: Config) -> str:
    return config.gallery.key or f"file:{data_folder(config)}.key"


def _mac(key: KeyEncryptionKey, body: str) -> str:
    return hashlib.blake2b(
        body.encode("utf-8", "surrogatepass"), key=key.secret, digest_size=32, person=_PURPOSE
    ).hexdigest()


def _is_one(key: KeyEncryptionKey, body: str, macs: Collection[str]) -> bool:
    own = _mac(key, body).encode()
    return any(hmac.compare_digest(own, mac.encode("utf-8", "surrogatepass")) for mac in macs)


def _tampered(path: Path | str, what: Message) -> FileTampered:
    return FileTampered(message("error.seal.tampered", path=path, what=what), file=str(path))


def unsealed(path: Path) -> str:
    """Return the warning about a configuration without a seal."""
    return (
        f"The configuration is not sealed, so the server cannot detect changes. Once it is final, run `fr server seal "
        f"--config {path}`."
    )
