"""The seal of a configuration: it says which files a server was set up with, so that a change of one is noticed.

Whoever can write the configuration, but has not the key of the galleries, cannot make the seal of another one. The seal
lies in their folder, so that no configuration that opens them leads away from it. Whoever can delete it there takes the
protection away, and can do worse.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fr_core.errors import ConfigInvalid, FileTampered
from fr_core.gallery.store.durable import write_private
from fr_core.gallery.store.keys import KeyEncryptionKey
from fr_server.config import Config
from fr_server.folders import data_folder, key_of
from fr_server.started import sha256_of

_NAME = "configuration.seal"
_PURPOSE = b"fr-seal 1"
_NOT_AMONG = "is not among the files that were sealed"


def seal_of(config: Config) -> Path:
    """Return where the seal of a configuration is, or would be."""
    return data_folder(config) / _NAME


def seal(path: Path, config: Config, key: KeyEncryptionKey) -> Path:
    """Seal a configuration and the files of certificates that it names, and return where the seal is.

    Args:
        path: file of the configuration.
        config: as it was read from there.
        key: of the galleries.

    Raises:
        ConfigInvalid: a file cannot be read, or the seal not written.
    """
    folder = data_folder(config)
    try:
        files = {str(one.resolve()): sha256_of(one) for one in _files(path, config)}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(seal_of(config), key, _body(path, files))
    except OSError as error:
        raise _unmade(error) from error
    return seal_of(config)


@contextmanager
def exchanging(path: Path, config: Config, coming: Mapping[Path, Path]) -> Iterator[None]:
    """Let sealed files be exchanged, and have the new ones sealed at the end; where there is no seal, none is made.

    Until the end the seal holds for what each of them was and for what it becomes, so that an exchange that was cut off
    is no tampering. Other files are sealed as they were: what somebody changes in them meanwhile stays a change.

    Args:
        path: file of the configuration.
        config: as it was read from there.
        coming: by the file that is exchanged, the one that comes in its place; both are whole and durable.

    Raises:
        KeyUnavailable, FileTampered: as `require_sealed`.
        ConfigInvalid: a file cannot be read, or the seal not written.
    """
    found = _sealed(path, config)
    if found is None:
        yield
        return
    at, key = seal_of(config), key_of(config, new=False)
    try:
        # A link is exchanged itself, and not where it leads to.
        becomes = {str(old.parent.resolve() / old.name): sha256_of(new) for old, new in coming.items()}
        _write(at, key, _body(path, found, becomes))
    except OSError as error:
        raise _unmade(error) from error
    yield
    known = found | becomes
    named = {str(one.resolve()): one for one in _files(path, config)}
    for name, one in named.items():
        if name not in known:
            raise _tampered(one, _NOT_AMONG)
    try:
        _write(at, key, _body(path, {name: known[name] for name in named}))
    except OSError as error:
        raise _unmade(error) from error


def require_sealed(path: Path | None, config: Config) -> bool:
    """Check a configuration against its seal, and return whether there is one.

    Args:
        path: file of the configuration; None = there is none.
        config: as it was read from there.

    Raises:
        KeyUnavailable: there is a seal, and the key of the galleries is not to be had.
        FileTampered: a file was changed, added or taken away since, or the seal itself was (metadata: file).
    """
    return _sealed(path, config) is not None


def _sealed(path: Path | None, config: Config) -> dict[str, str] | None:
    """Return the sha256 of each file that a configuration names, as it was found; None where there is no seal.

    Raises as `require_sealed`.
    """
    at = seal_of(config)
    body, mac = _read(at)
    if not body:
        return None
    if not _is_mac(key_of(config, new=False), body, mac):
        raise _foreign(at, config)
    said = json.loads(body)
    if path is None or str(path.resolve()) != said["path"]:
        raise _tampered(at, "is of another configuration than the one that the server was started with")
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
            raise _tampered(Path(name), f"cannot be read: {error.strerror}") from error
        if found[name] not in (files.get(name), becomes.get(name)):
            raise _tampered(Path(name), "was changed since it was sealed")
    return {name: found[name] for name in named}


def reseal(config: Config, before: KeyEncryptionKey, after: KeyEncryptionKey) -> bool:
    """Put a seal that is whole under another key, and return whether there was one; what it says of files stays.

    Args:
        config: of the server.
        before: the key that the seal was made with.
        after: the key that it is to be under.

    Raises:
        FileTampered: the seal was made with neither key (metadata: file).
    """
    at = seal_of(config)
    body, mac = _read(at)
    if not body or _is_mac(after, body, mac):
        return bool(body)
    if not _is_mac(before, body, mac):
        raise _foreign(at, config)
    _write(at, after, body)
    return True


def _read(at: Path) -> tuple[str, str]:
    """What a seal says, and its MAC; "" and "" where there is none."""
    try:
        sealed = json.loads(at.read_bytes())
        body, mac = sealed["body"], sealed["mac"]
    except FileNotFoundError:
        return "", ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _tampered(at, "is no seal") from error
    if not (isinstance(body, str) and isinstance(mac, str) and body):
        raise _tampered(at, "is no seal")
    return body, mac


def _body(path: Path, files: Mapping[str, str], becomes: Mapping[str, str] | None = None) -> str:
    """What a seal says: the sha256 of each file, and of what is exchanged the next one too."""
    said = {"files": files, "path": str(path.resolve())}
    return json.dumps({**said, "becomes": becomes} if becomes else said, sort_keys=True)


def _write(at: Path, key: KeyEncryptionKey, body: str) -> None:
    write_private(at, (json.dumps({"body": body, "mac": _mac(key, body)}) + "\n").encode())


def _files(path: Path, config: Config) -> list[Path]:
    tls, jwks = config.tls, config.access.oidc_jwks
    # A list of revoked certificates is meant to change, and an address is no file.
    named = (tls.certificate, tls.key, tls.client_ca, "" if "://" in jwks else jwks)
    return [path, *(Path(one).expanduser() for one in named if one)]


def _unmade(error: OSError) -> ConfigInvalid:
    return ConfigInvalid(f"The seal cannot be made: {error.filename}: {error.strerror}.")


def _foreign(at: Path, config: Config) -> FileTampered:
    return _tampered(at, f"was not made with the key of these galleries ({_key_file(config)}), or was changed")


def _key_file(config: Config) -> str:
    return config.gallery.key or f"file:{data_folder(config)}.key"


def _mac(key: KeyEncryptionKey, body: str) -> str:
    return hashlib.blake2b(
        body.encode("utf-8", "surrogatepass"), key=key.secret, digest_size=32, person=_PURPOSE
    ).hexdigest()


def _is_mac(key: KeyEncryptionKey, body: str, mac: str) -> bool:
    return hmac.compare_digest(_mac(key, body).encode(), mac.encode("utf-8", "surrogatepass"))


def _tampered(path: Path, what: str) -> FileTampered:
    return FileTampered(f"{path} {what}.", file=str(path))
