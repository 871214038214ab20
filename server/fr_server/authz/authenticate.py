"""Authenticates callers by the API key or the token of the call; an open server takes everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fr_locales.messages import message
from fr_server.authz.jwks import JsonWebKeys
from fr_server.authz.tokens import TokenRules, Tokens
from fr_server.config import AccessConfig, Config
from fr_server.config.loading import only_this_machine
from fr_trust.access.budget import Budget
from fr_trust.access.principal import LOCAL, Principal
from fr_trust.access.refusals import Why, refusal_of, refuse
from fr_trust.access.store import AccessStore
from fr_trust.errors import CredentialInvalid, CredentialMissing, NotPermitted


def asks_who_calls(config: Config, store: AccessStore) -> bool:
    """Return whether every call needs a key or a token."""
    if config.access.mode != "auto":
        return config.access.mode == "keys"
    return bool(config.access.oidc_issuer) or store.any_keys() or not only_this_machine(config)


def default_budget(config: AccessConfig) -> Budget:
    """Return how much a key may ask for whose maker has not said otherwise; so may everybody who has a token."""
    return Budget(config.requests_per_s, config.burst, config.searches_per_day or None)


def require_issuer(config: AccessConfig) -> None:
    """Raise `ConfigInvalid` where the keys of the issuer of tokens cannot be used; an address is not asked for them."""
    if config.oidc_issuer and config.mode != "open":
        _keys(config).require_usable()


async def make_authenticator(
    config: Config, store: AccessStore, certificate_of: Callable[[str], str | None], clock_ms: Callable[[], int]
) -> Authenticator:
    """Return what authenticates callers; raises `ConfigInvalid` if the keys of the issuer of tokens are unusable."""
    if asks_who_calls(config, store):
        return Credentials(store, await _tokens(config, clock_ms), certificate_of)
    return OpenAccess()


async def _tokens(config: Config, clock_ms: Callable[[], int]) -> Tokens | None:
    access = config.access
    if not access.oidc_issuer:
        return None
    keys = _keys(access)
    await keys.start()
    rules = TokenRules(
        issuer=access.oidc_issuer,
        audience=access.oidc_audience,
        algorithms=access.oidc_algorithms,
        roles_claim=access.oidc_roles_claim,
        galleries_claim=access.oidc_galleries_claim,
        courses_claim=access.oidc_courses_claim,
        leeway_s=access.oidc_leeway_s,
    )
    return Tokens(rules, keys, default_budget(access), clock_ms)


def _keys(access: AccessConfig) -> JsonWebKeys:
    source = access.oidc_jwks
    return JsonWebKeys(source if "://" in source else str(Path(source).expanduser()), access.oidc_algorithms)


Metadata = Sequence[tuple[str, str | bytes]]

_KEY = "authorization"
_SCHEME = "bearer"
_REMOTE = "fr-remote"  # from the HTTP interface (fr_web.app): another machine calls
_DOTS_OF_JWT = 2  # RFC 7519: header.payload.signature


class Authenticator(Protocol):
    """Tells who calls."""

    async def authenticate(self, metadata: Metadata, peer: str) -> Principal:
        """Return who calls; raises `CredentialMissing`, `CredentialInvalid`, or `Failure` if it cannot be checked now.

        `peer` is gRPC's name of the other end of the connection; "" if it is not known yet. A credential that is bound
        to a client certificate is then refused like one of another certificate.
        """

    async def close(self) -> None:
        """End all background work; authenticate nobody afterwards."""


class OpenAccess:
    """Takes everybody for one principal, who may do everything: for a server that only this machine reaches.

    It refuses calls of which the HTTP interface says that other machines can make them.
    """

    async def authenticate(self, metadata: Metadata, peer: str) -> Principal:
        """Return `LOCAL`; raises `NotPermitted` for a call from another machine."""
        if any(key == _REMOTE for key, _ in metadata):
            raise NotPermitted(message("error.authz.open_server_serves_its_machine"))
        return LOCAL

    async def close(self) -> None:
        """Do nothing: there is no background work."""


class Credentials:
    """Asks everybody for an API key or a token: `authorization: Bearer TOKEN`, once.

    `tokens` knows the tokens of the identity provider; None = the server has none. `certificate_of` turns gRPC's name
    of a peer into the sha256 (64 hexadecimal digits) of its client certificate; None if it has shown none.
    """

    def __init__(self, keys: AccessStore, tokens: Tokens | None, certificate_of: Callable[[str], str | None]) -> None:
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
        raise CredentialMissing(message("error.authz.call_no_authorization_metadata"))
    scheme, _, token = str(sent[0]).partition(" ")
    if len(sent) > 1 or scheme.lower() != _SCHEME or not token:
        refuse(Why.UNREADABLE)
    return token


def fault_of(error: CredentialInvalid) -> dict[str, str]:
    """Return why a credential is not valid: for the audit, not for the caller."""
    fault = refusal_of(error)
    if fault is None:
        return {}
    return {"why": fault.why.value} | ({"credential": fault.principal_id} if fault.principal_id else {})


def is_of_another_certificate(error: Exception | None) -> bool:
    """Return whether a credential was refused for the certificate of the connection."""
    why = refusal_of(error) if isinstance(error, CredentialInvalid) else None
    return why is not None and why.why is Why.OTHER_CERTIFICATE
