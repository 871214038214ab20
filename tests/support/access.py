"""An access store for tests, with its clocks."""

from dataclasses import dataclass

import pytest

from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_trust.access.budget import Budget
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import EVERYTHING, NOTHING, Role, Scope
from fr_trust.access.refusals import Refused, Why, refusal_of
from fr_trust.access.store import AccessStore
from fr_trust.errors import CredentialInvalid

KEY = KeyEncryptionKey(bytes(range(32)))
NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BUDGET = Budget(10.0, 20, 100)


@dataclass
class Clocks:
    wall_ms: int = NOW_MS
    mono_s: float = 1_000.0

    def clock_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.mono_s

    def passes(self, milliseconds: int) -> None:
        self.wall_ms += milliseconds
        self.mono_s += milliseconds / 1000


def open_store(location: Location, clocks: Clocks | None = None, max_keys: int = 10_000) -> AccessStore:
    clocks = clocks or Clocks()
    return AccessStore.open(location, KEY, clocks.clock_ms, monotonic_s=clocks.monotonic_s, max_keys=max_keys)


def new_key(
    *roles: Role,
    label: str = "",
    galleries: Scope = EVERYTHING,
    courses: Scope = NOTHING,
    lifetime_ms: int | None = None,
    certificate: str | None = None,
) -> NewKey:
    return NewKey(label, frozenset(roles or (Role.OPERATOR,)), galleries, courses, BUDGET, lifetime_ms, certificate)


def refusal(store: AccessStore, token: str, certificate: str | None = None) -> Refused:
    """Why a token is refused; it must be, in the words that all are."""
    with pytest.raises(CredentialInvalid) as caught:
        store.check(token, certificate)
    assert caught.value.what == "The credential is not valid."
    assert caught.value.metadata == {}
    found = refusal_of(caught.value)
    assert found is not None
    return found


def why(store: AccessStore, token: str, certificate: str | None = None) -> Why:
    return refusal(store, token, certificate).why
