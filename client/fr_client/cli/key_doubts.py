"""What is doubtful about a key that was made: roles that check each other, and roles with nothing to act on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fr_api.v1 import access_pb2
from fr_client.access_requests import ROLE_WORDS

# Two roles of which one checks the other -> why no key should have both; fr_server/authz/table.py says who may what.
APART: Mapping[frozenset[str], str] = MappingProxyType(
    {
        frozenset({"operator", "examiner"}): "an examiner who also searches cannot judge a search of its own",
        frozenset({"operator", "admin"}): "an admin who also searches can make the gallery in which nobody asks for a "
        "purpose",
        frozenset({"examiner", "admin"}): "an admin can delete the cases that it has judged",
        frozenset({"trainer", "trainee"}): "a trainer reads and deletes results, its own too",
        frozenset({"auditor", "admin"}): "an auditor checks who makes keys and galleries",
        frozenset({"auditor", "operator"}): "an auditor checks who searches",
        frozenset({"auditor", "examiner"}): "an auditor checks who judges",
        frozenset({"auditor", "trainer"}): "an auditor checks who makes courses",
        frozenset({"auditor", "trainee"}): "an auditor checks who takes courses",
    }
)

# Role -> the options of which it needs one or more. An auditor reads the whole audit without any.
NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "trainee": ("--course", "--gallery"),
        "trainer": ("--course",),
        "operator": ("--gallery",),
        "examiner": ("--gallery",),
        "admin": ("--gallery", "--course"),
    }
)


def doubts_of(key: access_pb2.ApiKey) -> list[str]:
    """Return a sentence for each thing about a key that is probably not meant."""
    roles = [ROLE_WORDS[role] for role in key.roles if role in ROLE_WORDS]
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
