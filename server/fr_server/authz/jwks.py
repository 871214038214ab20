"""Reads the public keys of the identity provider: a JWKS (RFC 7517) from a file, or from an https address.

PyJWT parses the keys. This module limits the download, and decides when to read again.
"""

import asyncio
import concurrent.futures
import http
import http.client
import logging
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from fr_core.errors import ConfigInvalid, FrError, NotReady, message
from fr_files.reading import read_at_most, read_json
from fr_locales.messages import Message

_log = logging.getLogger(__name__)

FETCH_S = 10.0  # time limit of one reading, however slowly the address answers

_SILENT_S = 5.0  # give up after so long without a byte

MAX_BYTES = 262_144
MAX_KEYS = 100
AGAIN_S = 60.0  # the shortest time between two readings, no matter which keys tokens name

REFRESH_S = 3_600.0  # after this time the server reads the keys again, and then refuses a key that the provider removed

STALE_S = 86_400.0  # after this time without a successful reading the server refuses every key

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""Algorithms that may sign tokens. All use a key pair, so the key that checks a token cannot make one."""

Keys = Mapping[tuple[str, str], PyJWK]  # by their ids (`kid`) and the algorithm that they are for


class JsonWebKeys:
    """Reads the keys when they are needed, from a file or an https address; for one event loop.

    `algorithms` are the accepted ones of `ALGORITHMS`. `context` is of the connection to the address; None = the
    certificate authorities of the system. Raises `ConfigInvalid` for another kind of address, or an unknown algorithm.
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
            raise ConfigInvalid(message("error.authz.keys_issuer_neither_file"), key=_KEY)
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ConfigInvalid(message("error.authz.algorithm_tokens_not_known"), key="access.oidc_algorithms")
        self._source = source
        self._algorithms = algorithms
        self._monotonic_s = monotonic_s
        self._context = context
        self._keys: Keys = MappingProxyType({})
        self._read_s = self._tried_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._fetched: concurrent.futures.Future[bytes] | None = None

    def require_usable(self) -> None:
        """Raise `ConfigInvalid` if the file cannot be read or holds no usable key; does not ask an address."""
        if not self._is_address:
            parse_keys(self._fetch(), self._algorithms)

    async def start(self) -> None:
        """Read the keys for the first time; raises `ConfigInvalid` if the file is unreadable, or holds no usable key.

        An address that does not answer may do so later: until then no token can be checked.
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
        """Return the key of an id for an algorithm, or None; raises `NotReady` if no keys could be read for a day."""
        found = self._keys.get((key_id, algorithm))
        if found is None or self._age_s() > STALE_S:
            await self._read_anew()
            found = self._keys.get((key_id, algorithm))
        elif self._age_s() > REFRESH_S:
            self._begin_reading()  # the caller does not wait for it
        if self._age_s() > STALE_S:
            raise NotReady(message("error.authz.keys_issuer_tokens_cannot"))
        return found

    def _age_s(self) -> float:
        return self._monotonic_s() - self._read_s

    async def _read_anew(self) -> None:
        self._begin_reading()
        if self._reading is not None:
            await asyncio.shield(self._reading)  # others wait for it, too

    def _begin_reading(self) -> None:
        """Read in the background, unless a reading is running or has just ended."""
        # If an address answers too slowly, a thread outlives its reading. One such thread is enough.
        under_way = self._fetched is not None and not self._fetched.done()
        now_s = self._monotonic_s()
        if not under_way and now_s - self._tried_s >= AGAIN_S:
            self._tried_s = now_s
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        fetched: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        self._fetched = fetched

        def fetch() -> None:
            try:
                fetched.set_result(self._fetch())
            except FrError as error:
                fetched.set_exception(error)

        fetched.set_running_or_notify_cancel()  # the thread cannot be cancelled
        # A daemon, so that an address that answers byte by byte does not keep the process alive.
        threading.Thread(target=fetch, name="jwks", daemon=True).start()
        try:
            self._take(await asyncio.wait_for(asyncio.wrap_future(fetched), FETCH_S))
        except FrError as error:
            _log.warning("the keys of the issuer of tokens could not be read: %s", error.what)
        except TimeoutError:
            _log.warning("the keys of the issuer of tokens could not be read within %.0f s", FETCH_S)

    def _take(self, data: bytes) -> None:
        self._keys = parse_keys(data, self._algorithms)
        self._read_s = self._monotonic_s()

    def _fetch(self) -> bytes:
        try:
            data = self._downloaded() if self._is_address else self._from_file()
        # ValueError and HTTPException: the answer is not HTTP.
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _unusable(message("error.authz.keys_issuer_cannot_read"), cause=type(error).__name__) from error
        if len(data) > MAX_BYTES:
            raise _unusable(message("error.authz.keys_issuer_too_long"), limit=str(MAX_BYTES))
        return data

    def _from_file(self) -> bytes:
        return read_at_most(Path(self._source), MAX_BYTES)

    def _downloaded(self) -> bytes:
        """Use the proxies of the environment (`https_proxy`, `no_proxy`), and follow no redirect."""
        opener = urllib.request.OpenerDirector()  # `build_opener` would add a handler that follows redirects
        opener.add_handler(urllib.request.ProxyHandler())
        opener.add_handler(urllib.request.HTTPSHandler(context=self._context or ssl.create_default_context()))
        with opener.open(self._source, timeout=_SILENT_S) as answer:
            if answer.status != http.HTTPStatus.OK:
                raise OSError(f"status {answer.status}")
            data: bytes = answer.read(MAX_BYTES + 1)
            return data


def parse_keys(data: bytes, algorithms: tuple[str, ...]) -> Keys:
    """Return the usable keys of a JWKS: with an id, for signatures, of a kind that fits an accepted algorithm.

    Raises `ConfigInvalid` if it is not a JWKS, two keys have one id, it holds a private key, or no usable key.
    """
    try:
        listed = read_json(data, MAX_BYTES)["keys"]
    except (ValueError, TypeError, KeyError):
        raise _unusable(message("error.authz.keys_issuer_no_jwks")) from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise _unusable(message("error.authz.keys_issuer_no_list"), limit=str(MAX_KEYS))
    keys: dict[tuple[str, str], PyJWK] = {}
    for jwk in listed:
        for key in _usable(jwk, algorithms):
            if keys.setdefault((jwk["kid"], key.algorithm_name), key) is not key:
                raise _unusable(message("error.authz.two_keys_issuer_id"))
    if not keys:
        raise _unusable(message("error.authz.no_key_issuer_can"))
    return MappingProxyType(keys)


def _usable(jwk: Any, algorithms: tuple[str, ...]) -> list[PyJWK]:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
        return []
    if "d" in jwk:
        raise _unusable(message("error.authz.keys_issuer_hold_private"))
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return []
    found = []
    for algorithm in algorithms:
        if jwk.get("alg", algorithm) == algorithm:
            try:
                key = PyJWK(jwk, algorithm)
                key.Algorithm.prepare_key(key.key)  # refuses another curve
            except PyJWTError:
                continue  # a key of another kind
            found.append(key)
    return found


_KEY = "access.oidc_jwks"


def _unusable(what: Message, **metadata: str) -> ConfigInvalid:
    return ConfigInvalid(what, key=_KEY, **metadata)
