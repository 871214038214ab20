"""Authenticates callers by the API key or the token of the call; an open server takes everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fr_trust.access.keys import ApiKey
from fr_trust.access.principal import LOCAL, Principal
from fr_trust.access.refusals import Why, refuse
from fr_trust.errors import CredentialMissing

Metadata = Sequence[tuple[str, str | bytes]]

_KEY = "authorization"
_SCHEME = "bearer"
_DOTS_OF_JWT = 2  # RFC 7519: header.payload.signature


class Authenticator(Protocol):
    """Tells who calls."""

    async def authenticate(self, metadata: Metadata, peer: str) -> Principal:
        """Return who calls.

        Args:
            peer: gRPC's name of the other end of the connection; "" if it is not known yet. A credential that is bound
                to a client certificate is then refused like one of another certificate.

        Raises:
            CredentialMissing: the call has no credential.
            CredentialInvalid: its credential is not valid; see `fr_trust.access.refusals`.
            Failure: it cannot be checked now.
        """
        ...

    async def close(self) -> None:
        """End all background work; authenticate nobody afterwards."""
        ...


class KeyChecker(Protocol):
    """Knows API keys: `fr_trust.access.store.AccessStore` does."""

    def check(self, token: str, certificate_sha256: str | None) -> ApiKey:
        """Return the key that was sent; quickly, because this runs on the event loop.

        Raises:
            CredentialInvalid: it is not valid now, or not with this client certificate.
        """
        ...


class TokenChecker(Protocol):
    """Knows the tokens of an identity provider."""

    async def check(self, token: str) -> Principal:
        """Return the principal of a JWT.

        Raises:
            CredentialInvalid: it is not valid now.
        """
        ...

    async def close(self) -> None:
        """End all background work."""
        ...


class OpenAccess:
    """Takes everybody for one principal, who may do everything: for a server that only this machine reaches."""

    async def authenticate(self, metadata: Metadata, peer: str) -> Principal:
        """Return `LOCAL`."""
        return LOCAL

    async def close(self) -> None:
        """Do nothing: there is no background work."""


class Credentials:
    """Asks everybody for an API key or a token: `authorization: Bearer TOKEN`, once.

    Args:
        tokens: knows the tokens of the identity provider; None = the server has none.
        certificate_of: from gRPC's name of a peer to the sha256 (64 hexadecimal digits) of its client certificate; None
            if it has shown none.
    """

    def __init__(
        self, keys: KeyChecker, tokens: TokenChecker | None, certificate_of: Callable[[str], str | None]
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._certificate_of = certificate_of

    async def authenticate(self, metadata: Metadata, peer: str) -> Principal:
        """Return who calls; raises as `Authenticator.authenticate`."""
        token = _bearer(metadata)
        if token.count(".") == _DOTS_OF_JWT:
            if self._tokens is None:
                refuse(Why.UNKNOWN_SIGNER)
            return await self._tokens.check(token)
        return self._keys.check(token, self._certificate_of(peer) if peer else None).principal

    async def close(self) -> None:
        """As `Authenticator.close`."""
        if self._tokens is not None:
            await self._tokens.close()


def _bearer(metadata: Metadata) -> str:
    sent = [value for key, value in metadata if key == _KEY]
    if not sent:
        raise CredentialMissing("The call has no `authorization` in its metadata.")
    scheme, _, token = str(sent[0]).partition(" ")
    if len(sent) > 1 or scheme.lower() != _SCHEME or not token:
        refuse(Why.UNREADABLE)
    return token
