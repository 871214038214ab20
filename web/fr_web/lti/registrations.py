"""Reads the file of `web.lti`: the accepted platforms, and the tool's own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from fr_client.cli.files import read_text
from fr_client.cli.state import Unusable
from fr_files.reading import TextRefused, read_toml
from fr_web.packing import shared
from fr_web.room import is_loopback_host

ALGORITHM = "RS256"  # 1EdTech Security Framework 1.1, 5.1: every platform takes it
_LEAST_BITS = 2048
_MOST_BYTES = 64 * 1024
_KEY_ID_DIGITS = 16
_URLS = ("auth_login_url", "token_url", "jwks_url")


@dataclass(frozen=True, slots=True)
class ToolKey:
    """A private key of the tool, and its id in the published key set."""

    key_id: str
    key: RSAPrivateKey = field(repr=False)

    def jwk(self) -> dict[str, Any]:
        """Return the public key, RFC 7517."""
        made: dict[str, Any] = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        made.pop("key_ops", None)  # RFC 7517, 4.3: not together with `use`
        return {**made, "kid": self.key_id, "alg": ALGORITHM, "use": "sig"}


@shared
@dataclass(frozen=True, slots=True)
class Platform:
    """A registered learning platform; `origins` are the origins of its pages and services."""

    issuer: str
    client_id: str
    auth_login_url: str
    token_url: str
    jwks_url: str
    deployment_ids: frozenset[str]
    origins: frozenset[str]

    def owns(self, url: str) -> bool:
        """Return True if an address belongs to the platform."""
        return _origin(url) in self.origins


@dataclass(frozen=True, slots=True)
class Registrations:
    """The registered platforms, and the tool's address and keys.

    `address` is that of the console, as browsers and platforms see it. The first of `keys` signs; the others are
    published so that platforms can still check older messages. `trainer_key` is used to enrol trainees, `class_key` for
    their sessions; both are "" if the server needs no keys.
    """

    address: str
    platforms: tuple[Platform, ...]
    keys: tuple[ToolKey, ...]
    trainer_key: str = field(repr=False)
    class_key: str = field(repr=False)

    def matching(self, issuer: str, client_id: str) -> Sequence[Platform]:
        """Return the platforms with an issuer and client id; an empty `client_id` matches any."""
        return [one for one in self.platforms if one.issuer == issuer and client_id in ("", one.client_id)]


def read_registrations(path: Path) -> Registrations:
    """Read the file, which may have no platform yet; raises `Unusable`, which names the wrong key."""
    try:
        found = read_toml(read_text(path, _MOST_BYTES), _MOST_BYTES)
    except TextRefused as error:
        raise Unusable("INVALID_FIELD", f"{path} is not TOML: {error}.") from error
    _require_known(found, "the file", {"address", "private_keys", "trainer_key_file", "class_key_file", "platforms"})
    files = found.get("private_keys")
    if not isinstance(files, list) or not files or not all(isinstance(one, str) for one in files):
        raise _wrong("private_keys", "the file", 'must be a list of files, such as ["lti.pem"]; `fr lti key` makes one')
    listed = found.get("platforms", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _wrong("platforms", "the file", "must be a table for each platform, which begins with [[platforms]]")
    platforms = tuple(_platform(one, f"platform {number}") for number, one in enumerate(listed, start=1))
    if len({(one.issuer, one.client_id) for one in platforms}) < len(platforms):
        raise _wrong("platforms", "the file", "must not have two with the same issuer and client_id; remove one")
    return Registrations(
        _url(found, "address", "the file").rstrip("/"),
        platforms,
        tuple(_tool_key_of(path.parent / one) for one in files),
        *(_key(found, name, path.parent) for name in ("trainer_key_file", "class_key_file")),
    )


def _tool_key_of(path: Path) -> ToolKey:
    try:
        return tool_key(read_text(path, _MOST_BYTES).encode())
    except ValueError as error:
        what = f"is not an RSA key of at least {_LEAST_BITS} bits without a password; `fr lti key FILE` makes one."
        raise Unusable("INVALID_FIELD", f"{path} {what}") from error


def tool_key(pem: bytes) -> ToolKey:
    """Return the key of a PEM file; raises `ValueError` for another key, and for one with a password."""
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise ValueError("password") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise ValueError("kind")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ToolKey(sha256(public).hexdigest()[:_KEY_ID_DIGITS], key)


def _platform(found: Mapping[str, Any], place: str) -> Platform:
    _require_known(found, place, {"issuer", "client_id", "deployment_ids", "origins", *_URLS})
    texts = {name: _word(found, name, place) for name in ("issuer", "client_id")}
    urls = {name: _url(found, name, place) for name in _URLS}
    deployments, more = (_words(found, name, place) for name in ("deployment_ids", "origins"))
    if not deployments:
        raise _wrong("deployment_ids", place, "must have the deployment id that the platform shows")
    if any(one != _origin(one) for one in more):
        raise _wrong("origins", place, "must have addresses such as https://HOST or https://HOST:PORT")
    origins = frozenset(filter(None, (*more, *map(_origin, (texts["issuer"], *urls.values())))))
    return Platform(**texts, **urls, deployment_ids=deployments, origins=origins)


def _origin(url: str) -> str:
    """Return the origin of an address, or "" unless it is https or on this machine, and names no user."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(parts.netloc))
        is_plain = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.lower()}" if usable and is_plain else ""


def _url(found: Mapping[str, Any], name: str, place: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not _origin(value):
        raise _wrong(name, place, "must be an address such as https://HOST/PATH")
    return value


def _word(found: Mapping[str, Any], name: str, place: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, place, "must be a text in quotes")
    return value


def _words(found: Mapping[str, Any], name: str, place: str) -> frozenset[str]:
    value = found.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _wrong(name, place, 'must be a list of texts, such as ["1"]')
    return frozenset(value)


def _key(found: Mapping[str, Any], name: str, folder: Path) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise _wrong(name, "the file", "must be the name of a file")
    return read_text(folder / value, _MOST_BYTES).strip() if value else ""


def _require_known(found: Mapping[str, Any], place: str, names: set[str]) -> None:
    unknown = sorted(found.keys() - names)
    if unknown:
        raise _wrong(unknown[0], place, f"is unknown; the keys are: {', '.join(sorted(names))}")


def _wrong(name: str, place: str, what: str) -> Unusable:
    return Unusable("INVALID_FIELD", f"In {place}, `{name}` {what}.")
