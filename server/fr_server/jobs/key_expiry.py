"""Reports the next expiry of an API key to the metrics, so that an alert comes before calls fail."""

from __future__ import annotations

from fr_server.telemetry.trust import Trust
from fr_trust.access.changes import MAX_KEYS
from fr_trust.access.store import AccessStore

KEY_ENDS_EVERY_S = 60.0
"""Interval between two reports. Keys can change at any time, and an alert waits longer than this."""


def tell_key_ends(store: AccessStore, trust: Trust) -> None:
    """Report the next expiry of a valid key; raises `Failure` if the store is unreadable."""
    now_ms = store.now_ms()
    valid = (key for key in store.keys(size=MAX_KEYS) if not key.is_dead(now_ms))
    ends = (key.expires_ms for key in valid if key.expires_ms is not None)
    trust.keys_expire(min(ends, default=0) / 1000)
