"""What to ask before a key is revoked: whoever revokes the own key, or the last admin key, locks somebody out."""

from __future__ import annotations

import time

from fr_api.v1 import access_pb2
from fr_client.client import Client


def question_before(client: Client, key_id: str) -> str:
    """Return what to ask before a key is revoked; "" where nothing is to be asked.

    Args:
        client: that will revoke it.
        key_id: the part of the key before the dot.
    """
    own = client.access.who_am_i().principal_id == f"key:{key_id}"
    found = "It is the key that you call with. " if own else ""
    now_s, keys = time.time(), client.access.keys()
    if {one.key_id for one in keys if _is_admin(one, now_s)} == {key_id}:
        found += (
            "It is the last admin key that you see: without one, only `fr server admin-key` on the server's machine "
            "makes keys. "
        )
    return f"{found}Revoke key {key_id} for ever?" if found else ""


def _is_admin(one: access_pb2.ApiKey, now_s: float) -> bool:
    """Whether a key makes others now, by the clock of this machine."""
    ended = one.HasField("expire_time") and one.expire_time.ToNanoseconds() / 1e9 <= now_s
    return access_pb2.ROLE_ADMIN in one.roles and not one.HasField("revoke_time") and not ended
