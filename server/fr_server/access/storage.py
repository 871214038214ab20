"""The store of API keys, opened for a server; and how it is told who calls."""

from __future__ import annotations

from collections.abc import Callable

from fr_core.access.budget import Budget
from fr_core.access.store import AccessStore
from fr_server.config import AccessConfig, Config
from fr_server.folders import access_folder, key_of
from fr_server.naming import naming
from fr_server.safety import is_loopback


def open_access(config: Config, clock: Callable[[], int]) -> AccessStore:
    """Open the store of a configuration; its keys are under the key of the galleries, which is there.

    Args:
        config: of the server.
        clock: milliseconds since 1970, UTC.

    Raises:
        KeyUnavailable, WrongKey, StoreNewer, StoreInUse, StoreCorrupt, StoreFailed: it cannot be opened; the error
            names the file.
    """
    folder = access_folder(config)
    key = key_of(config, new=False)
    with naming(folder / "access.sqlite"):
        return AccessStore.open(folder, key, clock, config.gallery.reserve_mib * 2**20)


def asks_who_calls(config: Config, store: AccessStore) -> bool:
    """Whether every call needs a key or a token."""
    if config.access.mode != "auto":
        return config.access.mode == "keys"
    return bool(config.access.oidc_issuer) or store.any_keys() or not is_loopback(config.server.host)


def default_budget(config: AccessConfig) -> Budget:
    """Return how much a key may ask for whose maker has not said otherwise."""
    return Budget(config.requests_per_s, config.burst, config.searches_per_day or None)
