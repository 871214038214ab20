"""The public keys of the identity provider: a JWKS (RFC 7517) from a file, or from an https address."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import ssl
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from fr_core.errors import ConfigInvalid, FrError, NotReady
from fr_server.access.download import download

_log = logging.getLogger(__name__)

FETCH_S = 10.0
"""For so long is an address waited for, in all; the look-up of its name alone may add to it."""

MAX_BYTES = 262_144
MAX_KEYS = 100
AGAIN_S = 60.0
"""So long apart are two readings at least, whatever keys tokens name."""

REFRESH_S = 3_600.0
"""After so long the keys are read anew, so that one that the provider took out is not taken any more."""

STALE_S = 86_400.0
"""After so long without a reading that succeeded no key is taken any more."""


@dataclass(frozen=True, slots=True)
class _Fits:
    """Which keys an algorithm takes."""

    kind: str
    curve: str | None


ALGORITHMS: Mapping[str, _Fits] = MappingProxyType(
    {
        "RS256": _Fits("RSA", None),
        "PS256": _Fits("RSA", None),
        "ES256": _Fits("EC", "P-256"),
        "ES384": _Fits("EC", "P-384"),
        "EdDSA": _Fits("OKP", "Ed25519"),
    }
)
"""Algorithms that tokens may be signed by, all of them with a key pair: whoever can check a token cannot make one."""

Keys = Mapping[tuple[str, str], PyJWK]
"""By their ids (`kid`) and the algorithm that they are for."""


class JsonWebKeys:
    """The keys, read when they are needed; of one event loop.

    Args:
        source: path of a file, or an https address.
        algorithms: that are accepted, of `ALGORITHMS`.
        monotonic_s: seconds of a clock that is never set.
        context: of the connection to the address; None = the certificate authorities of the system.

    Raises:
        ConfigInvalid: the source is an address of another kind, or an algorithm is not known.
    """

    def __init__(
        self,
        source: str,
        algorithms: tuple[str, ...],
        monotonic_s: Callable[[], float] = time.monotonic,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._is_address = "://" in source
        if self._is_address and urllib.parse.urlsplit(source).scheme != "https":
            raise ConfigInvalid("The keys of the issuer are neither a file nor at an https address.", key=_KEY)
        if not algorithms or not set(algorithms) <= ALGORITHMS.keys():
            raise ConfigInvalid("An algorithm of tokens is not known.", key="access.oidc_algorithms")
        self._source = source
        self._algorithms = algorithms
        self._monotonic_s = monotonic_s
        self._context = context
        self._keys: Keys = MappingProxyType({})
        self._read_s: float | None = None
        self._tried_s: float | None = None
        self._reading: asyncio.Task[None] | None = None

    def require_usable(self) -> None:
        """Raise `ConfigInvalid` where the file cannot be read or holds no key of use; an address is not asked."""
        if not self._is_address:
            parse_keys(self._fetch(), self._algorithms)

    async def start(self) -> None:
        """Read the keys for the first time.

        An address that does not answer may do so later: until then no token can be checked.

        Raises:
            ConfigInvalid: the file cannot be read, or holds no keys that can be used.
        """
        if self._is_address:
            await self._read_anew()
            return
        self._tried_s = self._monotonic_s()
        self._take(await asyncio.to_thread(self._fetch))

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def key(self, key_id: str, algorithm: str) -> PyJWK | None:
        """Return the key of an id for an algorithm; None where the provider has none.

        Raises:
            NotReady: the keys could never be read, or not for a day.
        """
        found = self._keys.get((key_id, algorithm))
        age_s = self._age_s()
        if found is None or age_s > STALE_S:
            await self._read_anew()
            found = self._keys.get((key_id, algorithm))
        elif age_s > REFRESH_S:
            self._begin_reading()  # nobody waits for it
        if self._age_s() > STALE_S:
            raise NotReady("The keys of the issuer of tokens cannot be read.")
        return found

    def _age_s(self) -> float:
        return float("inf") if self._read_s is None else self._monotonic_s() - self._read_s

    async def _read_anew(self) -> None:
        if (reading := self._begin_reading()) is not None:
            await asyncio.shield(reading)  # others wait for it, too

    def _begin_reading(self) -> asyncio.Task[None] | None:
        """Return the reading that is under way; None where the last one was just now."""
        if self._reading is not None and not self._reading.done():
            return self._reading
        now_s = self._monotonic_s()
        if self._tried_s is not None and now_s - self._tried_s < AGAIN_S:
            return None
        self._tried_s = now_s
        self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            self._take(await asyncio.to_thread(self._fetch))
        except FrError as error:
            _log.warning("the keys of the issuer of tokens could not be read: %s", error.what)

    def _take(self, data: bytes) -> None:
        self._keys = parse_keys(data, self._algorithms)
        self._read_s = self._monotonic_s()

    def _fetch(self) -> bytes:
        try:
            data = self._downloaded() if self._is_address else self._from_file()
        # The last two: what answers does not speak HTTP.
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _unusable("The keys of the issuer cannot be read.", cause=type(error).__name__) from error
        if len(data) > MAX_BYTES:
            raise _unusable("The keys of the issuer are too long.", limit=str(MAX_BYTES))
        return data

    def _from_file(self) -> bytes:
        with Path(self._source).open("rb") as file:
            return file.read(MAX_BYTES + 1)

    def _downloaded(self) -> bytes:
        context = self._context or ssl.create_default_context()
        return download(self._source, context, MAX_BYTES + 1, FETCH_S)


def parse_keys(data: bytes, algorithms: tuple[str, ...]) -> Keys:
    """Return the keys of a JWKS that can be used: with an id, for signatures, of a kind that an algorithm takes.

    Args:
        data: JSON.
        algorithms: that are accepted, of `ALGORITHMS`.

    Raises:
        ConfigInvalid: it is none, it has two keys of one id, it holds a private key, or no key that can be used.
    """
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unusable("The keys of the issuer are no JWKS.") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise _unusable("The keys of the issuer are no list, or too many.", limit=str(MAX_KEYS))
    keys: dict[tuple[str, str], PyJWK] = {}
    for jwk in listed:
        for algorithm, key in _usable(jwk, algorithms).items():
            if keys.setdefault((jwk["kid"], algorithm), key) is not key:
                raise _unusable("Two keys of the issuer have one id.")
    if not keys:
        raise _unusable("No key of the issuer can be used.")
    return MappingProxyType(keys)


def _usable(jwk: Any, algorithms: tuple[str, ...]) -> dict[str, PyJWK]:
    """Return a key for each algorithm that takes it."""
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
        return {}
    if "d" in jwk:
        raise _unusable("The keys of the issuer hold a private one; give the public ones alone.")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return {}
    found = {}
    for algorithm in algorithms:
        fits = ALGORITHMS[algorithm]
        if jwk.get("kty") != fits.kind or (fits.curve and jwk.get("crv") != fits.curve):
            continue
        if jwk.get("alg", algorithm) != algorithm:
            continue
        try:
            found[algorithm] = PyJWK(jwk, algorithm)
        except PyJWTError:
            _log.warning("a key of the issuer of tokens cannot be used")
    return found


_KEY = "access.oidc_jwks"


def _unusable(what: str, **metadata: str) -> ConfigInvalid:
    return ConfigInvalid(what, key=_KEY, **metadata)
