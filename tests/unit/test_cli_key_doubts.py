"""What `fr key create` finds doubtful about a key."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from fr_api.v1 import access_pb2
from fr_client.cli.admin.keys import APART, NEEDS, warnings_of
from fr_client.words import ROLES
from fr_server.authz.rules import OF_COURSES, OF_GALLERIES, Rule, ScopeKind
from fr_server.authz.table import RULES
from fr_trust.access.roles import Role

EVERYBODYS = frozenset(Role)


def key(*roles: str, galleries: tuple[str, ...] = ("*",), courses: tuple[str, ...] = ("*",)) -> access_pb2.ApiKey:
    return access_pb2.ApiKey(roles=[ROLES[role] for role in roles], galleries=galleries, courses=courses)


def options_of(rule: Rule) -> set[str]:
    """Options whose absence leaves a call nothing to act on."""
    kinds = {scoped.kind for scoped in rule.scoped}
    found = {"--gallery"} if kinds & {ScopeKind.GALLERY, *OF_GALLERIES} else set()
    return found | ({"--course"} if kinds & {ScopeKind.COURSE, *OF_COURSES} else set())


@pytest.mark.parametrize("pair", list(combinations(ROLES, 2)), ids="-".join)
def test_two_roles_are_doubtful_where_one_checks_the_other(pair: tuple[str, str]) -> None:
    checked = [("operator", "examiner"), ("operator", "admin"), ("examiner", "admin"), ("trainee", "trainer")]
    apart = "auditor" in pair or pair in checked
    doubts = warnings_of(key(*pair))
    assert len(doubts) == apart
    assert all(f"{' and '.join(sorted(pair))}: {APART[frozenset(pair)]}." in doubt for doubt in doubts)


@pytest.mark.parametrize(
    ("role", "galleries", "courses", "doubtful"),
    [
        ("trainee", True, False, False),
        ("trainee", False, False, True),
        ("trainer", True, False, True),
        ("operator", False, True, True),
        ("examiner", False, True, True),
        ("admin", True, False, False),
        ("admin", False, False, True),
        ("auditor", False, False, False),
    ],
)
def test_a_role_without_anything_to_act_on_is_doubtful(
    role: str, galleries: bool, courses: bool, doubtful: bool
) -> None:
    made = key(role, galleries=("g",) if galleries else (), courses=("c",) if courses else ())
    assert len(warnings_of(made)) == doubtful
    assert all(f"the role {role} has nothing to act on without --" in doubt for doubt in warnings_of(made))


@pytest.mark.parametrize("role", NEEDS)
def test_the_options_that_a_role_needs_are_those_of_its_calls(role: str) -> None:
    calls = [rule for rule in RULES.values() if Role(role) in rule.roles and rule.roles != EVERYBODYS]
    used = set[str]().union(*map(options_of, calls))
    # An admin also makes keys for courses, which no call of its own names.
    assert set(NEEDS[role]) == used | ({"--course"} if role == "admin" else set())


def test_a_role_of_a_newer_server_is_not_doubtful() -> None:
    newer: Any = 99
    assert warnings_of(access_pb2.ApiKey(roles=[newer])) == []
