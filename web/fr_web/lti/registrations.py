"""Reads the file of `web.lti`: the platforms whose launches are accepted, and the keys of this side."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from fr_client.cli.state import Unusable
from fr_web.room import is_loopback_host

ALGORITHM = "RS256"  # 1EdTech Security Framework 1.1, 5.1: every platform takes it
_LEAST_BITS = 2048
_MOST_BYTES = 64 * 1024
_KEY_ID_DIGITS = 16
_URLS = ("auth_login_url", "token_url", "jwks_url")


@dataclass(frozen=True, slots=True)
class ToolKey:
    """A private key of this side, and its id in the published key set."""

    key_id: str
    key: RSAPrivateKey = field(repr=False)

    def jwk(self) -> dict[str, Any]:
        """Return the public key, RFC 7517."""
        made: dict[str, Any] = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        made.pop("key_ops", None)  # RFC 7517, 4.3: not together with `use`
        return {**made, "kid": self.key_id, "alg": ALGORITHM, "use": "sig"}


@dataclass(frozen=True, slots=True)
class Platform:
    """A registered learning platform; `origins` are the sites that its pages and services are of."""

    issuer: str
    client_id: str
    auth_login_url: str
    token_url: str
    jwks_url: str
    deployment_ids: frozenset[str]
    origins: frozenset[str]

    def owns(self, url: str) -> bool:
        """Return whether an address is of the platform, and may be sent to."""
        return _origin(url) in self.origins


@dataclass(frozen=True, slots=True)
class Registrations:
    """The platforms, and who this side is.

    `address` is that of the console, as browsers and platforms see it. The first of `keys` signs; the others are only
    published, until no platform remembers them. `trainer_key` enrols trainees, and `class_key` is that of their
    sessions; "" on a server that asks for none.
    """

    address: str
    platforms: tuple[Platform, ...]
    keys: tuple[ToolKey, ...]
    trainer_key: str = field(repr=False)
    class_key: str = field(repr=False)

    def platform(self, issuer: str, client_id: str) -> Platform | None:
        """Return the platform of an issuer and, unless "", of a client; None if there is none, or more than one."""
        found = [one for one in self.platforms if one.issuer == issuer and client_id in ("", one.client_id)]
        return found[0] if len(found) == 1 else None


def read_registrations(path: Path) -> Registrations:
    """Read the file; raises `Unusable` with what is wrong, by its key."""
    try:
        found = tomllib.loads(_text(path, path.name))
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path.name, "it is not TOML") from error
    _require_known(found, "", {"address", "private_keys", "trainer_key_file", "class_key_file", "platforms"})
    files = found.get("private_keys")
    if not isinstance(files, list) or not files or not all(isinstance(one, str) for one in files):
        raise _wrong("private_keys", "it names no file; `fr lti key FILE` makes one")
    listed = found.get("platforms")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise _wrong("platforms", "there is none")
    platforms = tuple(_platform(one, f"platforms[{number}]") for number, one in enumerate(listed))
    if len({(one.issuer, one.client_id) for one in platforms}) < len(platforms):
        raise _wrong("platforms", "two have one issuer and client_id")
    return Registrations(
        _url(found, "address").rstrip("/"),
        platforms,
        tuple(tool_key(_text(path.parent / one, "private_keys").encode()) for one in files),
        *(_key(found, name, path.parent) for name in ("trainer_key_file", "class_key_file")),
    )


def tool_key(pem: bytes) -> ToolKey:
    """Return the key of a PEM file; raises `Unusable`."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise _wrong("private_keys", "a file is no private key without a password") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise _wrong("private_keys", f"a key is not RSA of at least {_LEAST_BITS} bits")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ToolKey(sha256(public).hexdigest()[:_KEY_ID_DIGITS], key)


def _platform(found: Mapping[str, Any], place: str) -> Platform:
    _require_known(found, f"{place}.", {"issuer", "client_id", "deployment_ids", "origins", *_URLS})
    texts = {name: _word(found, name, place) for name in ("issuer", "client_id")}
    urls = {name: _url(found, name, f"{place}.") for name in _URLS}
    deployments, more = (_words(found, name, place) for name in ("deployment_ids", "origins"))
    if not deployments:
        raise _wrong(f"{place}.deployment_ids", "it names none")
    if any(one != _origin(one) for one in more):
        raise _wrong(f"{place}.origins", "an origin is https://HOST or https://HOST:PORT")
    origins = frozenset(filter(None, (*more, *map(_origin, (texts["issuer"], *urls.values())))))
    return Platform(**texts, **urls, deployment_ids=deployments, origins=origins)


def _origin(url: str) -> str:
    """Return scheme, host and port of an address that may be used, "" of another: https, or this machine itself."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(parts.netloc))
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.lower()}" if usable and is_plain else ""


def _url(found: Mapping[str, Any], name: str, place: str = "") -> str:
    value = found.get(name)
    if not isinstance(value, str) or not _origin(value):
        raise _wrong(f"{place}{name}", "it is no https address")
    return value


def _word(found: Mapping[str, Any], name: str, place: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(f"{place}.{name}", "it is missing")
    return value


def _words(found: Mapping[str, Any], name: str, place: str) -> frozenset[str]:
    value = found.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _wrong(f"{place}.{name}", "it is no list of texts")
    return frozenset(value)


def _key(found: Mapping[str, Any], name: str, folder: Path) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise _wrong(name, "it is no file name")
    return _text(folder / value, name).strip() if value else ""


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _wrong(name, "the file is too long")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(name, "the file cannot be read") from error


def _require_known(found: Mapping[str, Any], place: str, names: set[str]) -> None:
    unknown = sorted(found.keys() - names)
    if unknown:
        raise _wrong(f"{place}{unknown[0]}", "there is no such key")


def _wrong(name: str, what: str) -> Unusable:
    return Unusable("INVALID_FIELD", f"The file of learning platforms: {name}: {what}.")
