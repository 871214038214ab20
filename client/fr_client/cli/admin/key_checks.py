"""Warns and asks before an API key is made or revoked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from fr_api.v1 import access_pb2
from fr_client.cli.show import when
from fr_client.errors import FrApiError
from fr_client.sync.client import Client
from fr_client.words import ROLE_NAMES

# Two roles of which one checks the other -> why no key should have both; fr_server/authz/table.py has their rights.
APART: Mapping[frozenset[str], str] = MappingProxyType(
    {
        frozenset({"operator", "examiner"}): "an examiner who also searches cannot judge a search of its own",
        frozenset({"operator", "admin"}): "an admin who also searches can make a gallery that needs no purpose",
        frozenset({"examiner", "admin"}): "an admin can delete the cases that it has judged",
        frozenset({"trainer", "trainee"}): "a trainer reads and deletes results, its own too",
        frozenset({"auditor", "admin"}): "an auditor checks who makes keys and galleries",
        frozenset({"auditor", "operator"}): "an auditor checks who searches",
        frozenset({"auditor", "examiner"}): "an auditor checks who judges",
        frozenset({"auditor", "trainer"}): "an auditor checks who makes courses",
        frozenset({"auditor", "trainee"}): "an auditor checks who takes courses",
    }
)

# Role -> the options of which it needs at least one. An auditor reads the whole audit without any.
NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trainee": ("--course", "--gallery"),
        "trainer": ("--course",),
        "operator": ("--gallery",),
        "examiner": ("--gallery",),
        "admin": ("--gallery", "--course"),
    }
)


def warnings_of(key: access_pb2.ApiKey) -> list[str]:
    """Return a warning for each property of a key that is probably a mistake."""
    roles = [ROLE_NAMES[role] for role in key.roles if role in ROLE_NAMES]
    given = {"--gallery": bool(key.galleries), "--course": bool(key.courses)}
    together = [
        f"the key has two roles of which one checks the other, {' and '.join(sorted(pair))}: {why}. Make two keys."
        for pair, why in APART.items()
        if pair <= set(roles)
    ]
    idle = [
        f"the role {role} has nothing to act on without {' or '.join(NEEDS[role])}. Make another key, with it."
        for role in roles
        if role in NEEDS and not any(given[option] for option in NEEDS[role])
    ]
    return together + idle


@contextmanager
def own_end_told(client: Client) -> Iterator[None]:
    """If a new key would outlive the caller's own, say when that ends and what to do."""
    try:
        yield
    except FrApiError as error:
        if (error.reason, error.metadata.get("field")) != ("NOT_PERMITTED", "lifetime"):
            raise
        words = (
            f"{error.message} Your own key is the limit{_own_end(client)}. Ask for fewer --days, or leave them out; "
            "for more, make a newer admin key first, with `fr server admin-key` on the server's machine."
        )
        raise FrApiError(error.code, error.reason, words, error.metadata, request_id=error.request_id) from error


def _own_end(client: Client) -> str:
    """Return the end of the caller's key, for a sentence; "" if the list of keys does not have it."""
    own = client.access.who_am_i().principal_id
    keys = client.access.keys()
    found = next((one for one in keys if f"key:{one.key_id}" == own), None)
    return "" if found is None or not found.HasField("expire_time") else f": it ends {when(found.expire_time)}"


def question_before(client: Client, key_id: str) -> str:
    """Return the question before a key is revoked: for the caller's own, and for the last admin key; else ""."""
    own = client.access.who_am_i().principal_id == f"key:{key_id}"
    found = "You call with this key. " if own else ""
    now_s, keys = time.time(), client.access.keys()
    if {one.key_id for one in keys if _is_admin(one, now_s)} == {key_id}:
        found += (
            "It is the last admin key that you see: without one, only `fr server admin-key` on the server's machine "
            "makes keys. "
        )
    return f"{found}Revoke key {key_id} for ever?" if found else ""


def _is_admin(one: access_pb2.ApiKey, now_s: float) -> bool:
    """Return whether a key can make others now, by the clock of this machine."""
    ended = one.HasField("expire_time") and one.expire_time.ToNanoseconds() / 1e9 <= now_s
    return access_pb2.ROLE_ADMIN in one.roles and not one.HasField("revoke_time") and not ended
