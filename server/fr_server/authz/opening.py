"""Makes what authenticates callers, from the configuration and the existing keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fr_server.authz.authenticate import Authenticator, Credentials, OpenAccess
from fr_server.authz.jwks import JsonWebKeys
from fr_server.authz.tokens import TokenRules, Tokens
from fr_server.config import AccessConfig, Config
from fr_server.config.loading import is_loopback
from fr_trust.access.budget import Budget
from fr_trust.access.store import AccessStore


def asks_who_calls(config: Config, store: AccessStore) -> bool:
    """Return whether every call needs a key or a token."""
    if config.access.mode != "auto":
        return config.access.mode == "keys"
    return bool(config.access.oidc_issuer) or store.any_keys() or not is_loopback(config.server.host)


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
    """Return what authenticates the callers of a server.

    Raises:
        ConfigInvalid: the keys of the issuer of tokens cannot be used.
    """
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
