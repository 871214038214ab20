"""Hints of `fr` to commands and options that exist, and its warnings about keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fr_api.v1 import access_pb2, error_reason_pb2
from fr_client.cli.admin.keys import APART, NEEDS, warnings_of
from fr_client.cli.main import build
from fr_client.cli.state import REMEDIES
from fr_client.words import ROLES
from fr_server.authz.rules import OF_COURSES, OF_GALLERIES, Rule, ScopeKind
from fr_server.authz.table import RULES
from fr_trust.access.roles import Role
from support.cli import fr_at
from support.scripted import Script, serving_trust

Commands = dict[str, tuple[str, ...]]


def tree(command: Any, name: str, parent: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield name, tuple(option for parameter in command.params for option in parameter.opts)
    for child in (*getattr(command, "commands", {}), *getattr(command, "late", {})):
        yield from tree(command.get_command(context, child), f"{name} {child}", context)


@cache
def commands() -> Commands:
    """The commands of the client, each with its options."""
    return dict(tree(get_command(build()), "fr", None))


@pytest.mark.parametrize("reason", REMEDIES)
def test_what_a_hint_names_is_there(reason: str) -> None:
    hint = REMEDIES[reason]
    assert f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict
    quoted = re.findall(r"`([^`]+)`", hint.sentence)
    for words in quoted:
        name = re.match(r"[a-z ]+[a-z]", words)
        assert name is not None
        assert set(re.findall(r"--[a-z-]+", words)) <= set(commands()[name[0]])
    outside = re.findall(r"--[a-z-]+", re.sub(r"`[^`]+`", "", hint.sentence))
    assert set(outside) == set(hint.options)
    assert quoted or any(set(hint.options) <= set(options) for options in commands().values())


def test_the_line_of_an_error_ends_with_what_to_type(tmp_path: Path) -> None:
    script = Script()
    script.refusals["RotateKey"] = ["UNKNOWN_KEY"]
    script.refusals["CloseCase"] = ["UNKNOWN_CASE"]
    script.refusals["WhoAmI"] = ["CREDENTIAL_MISSING"]
    script.refusals["SearchInCase"] = ["SEVERAL_FACES", "PURPOSE_REQUIRED"]
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"a photo")
    search = ("case", "search", "c", "g", photo)
    with serving_trust(script) as target:
        for words, said in (
            (
                ("key", "rotate", "k"),
                "UNKNOWN_KEY: Not now. `fr key list` lists them, for an admin; `fr whoami` names yours.",
            ),
            (("whoami",), "CREDENTIAL_MISSING: Not now. `fr --connection FILE` takes the key from a connection file."),
            (
                ("case", "close", "2026-014"),
                "UNKNOWN_CASE: Not now. `fr case list` lists them. CASE is the id of a case, not its reference.",
            ),
            (search, "SEVERAL_FACES: Not now. The option is --several-faces largest."),
            (search, "PURPOSE_REQUIRED: Not now."),  # a case has its purpose: the command has no such option
        ):
            assert fr_at(target, *words)[::2] == (1, f"{said} (request id-1)\n")


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
