"""Reports to the metrics when the next API key expires, so that an alert comes before calls fail."""

from __future__ import annotations

from fr_trust.access.changes import MAX_KEYS
from fr_trust.access.store import AccessStore

from fr_server.telemetry.trust import Trust

KEY_ENDS_EVERY_S = 60.0
"""Keys are made and revoked at any time; an alert waits longer than this."""


def tell_key_ends(store: AccessStore, trust: Trust) -> None:
    """Tell when the first key ends of those that are valid; raises `Failure` where the store cannot be read."""
    now_ms = store.now_ms()
    valid = (key for key in store.keys(size=MAX_KEYS) if not key.is_dead(now_ms))
    ends = (key.expires_ms for key in valid if key.expires_ms is not None)
    trust.keys_expire(min(ends, default=0) / 1000)
