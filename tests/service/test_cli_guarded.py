"""`fr` with keys, against a server that asks who calls: what it asks and whom, and what it says of keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_trust.access.roles import Role
from support.callers import Caller, Staffed, staffed
from support.servers import Fr

LAST = "It is the last admin key that you see"
OWN = "You call with this key"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Staffed]:
    with staffed(tmp_path / "data") as made:
        yield made


def id_of(who: Caller) -> str:
    return who.principal_id.removeprefix("key:")


def revoked(fr_as: Fr, who: Caller, key_id: str) -> bool:
    keys = json.loads(fr_as(who, "key", "list", "--json")[1])["keys"]
    return any("revoke_time" in one for one in keys if one["key_id"] == key_id)


def test_the_last_admin_key_is_revoked_when_somebody_says_so(fr_as: Fr, at: Staffed) -> None:
    own, other, operator = id_of(at.admin), at.caller(Role.ADMIN, number=2), at.caller(Role.OPERATOR)
    # Of any other key nothing is asked.
    code, _, error = fr_as(at.admin, "key", "revoke", id_of(operator))
    assert (code, error) == (0, "")
    code, _, error = fr_as(at.admin, "key", "revoke", own)
    assert (code, OWN in error, LAST in error, "Nothing was revoked." in error) == (1, True, False, True)
    assert fr_as(at.admin, "key", "revoke", id_of(other))[0] == 0
    code, _, error = fr_as(at.admin, "key", "revoke", own, typed="n\n")
    assert (code, OWN in error, LAST in error, "`fr server admin-key`" in error) == (1, True, True, True)
    assert not revoked(fr_as, at.admin, own)
    brief = at.caller(Role.ADMIN, lifetime_ms=60_000)
    assert LAST not in fr_as(at.admin, "key", "revoke", own)[2]
    assert fr_as(brief, "key", "revoke", own)[0] == 0
    code, _, error = fr_as(brief, "key", "revoke", id_of(brief), "--yes")
    assert (code, error) == (0, "")
    assert fr_as(brief, "whoami")[0] == 1


def test_who_may_delete_no_case_is_not_asked(fr_as: Fr, at: Staffed) -> None:
    operator = at.caller(Role.OPERATOR)
    case_id = operator.opens("2026-014")
    code, out, error = fr_as(operator, "case", "delete", case_id, typed="y\n")
    assert (code, out, error.partition(":")[0], "[y/N]" in error) == (1, "", "NOT_PERMITTED", False)
    # As the server has it.
    code, _, error = fr_as(operator, "case", "delete", case_id, "--yes")
    assert (code, error.partition(":")[0]) == (1, "NOT_PERMITTED")
    code, _, error = fr_as(at.admin, "case", "delete", case_id, typed="n\n")
    assert (code, "[y/N]" in error, "Nothing was deleted." in error) == (1, True, True)
    assert fr_as(at.admin, "case", "delete", case_id, typed="y\n")[0] == 0


def test_a_gallery_outside_ones_scope_is_told_like_one_that_is_not_there(fr_as: Fr, at: Staffed) -> None:
    at.gallery("others")
    narrow = at.caller(Role.OPERATOR, galleries=("own-*",))
    said = [fr_as(narrow, "gallery", "show", one)[2] for one in ("others", "nowhere")]
    assert all("Your key's scope may not include it" in one and "`fr whoami`" in one for one in said), said
    assert said[0].replace("others", "nowhere").partition(" (request")[0] == said[1].partition(" (request")[0]


DAY_MS = 86_400_000
CREATE = ("key", "create", "--role", "operator", "--gallery", "persons")


@pytest.fixture
def brief(at: Staffed) -> Caller:
    """An admin whose key ends in two days."""
    return at.caller(Role.ADMIN, lifetime_ms=2 * DAY_MS)


def end_of(fr_as: Fr, who: Caller) -> str:
    keys = json.loads(fr_as(who, "key", "list", "--json")[1])["keys"]
    (end,) = (one["expire_time"] for one in keys if f"key:{one['key_id']}" == who.principal_id)
    return f"{end[:19]}Z"


def test_a_key_that_would_outlive_its_makers_is_refused_with_the_end_of_that(
    fr_as: Fr, brief: Caller, tmp_path: Path
) -> None:
    file = tmp_path / "made.toml"
    code, out, error = fr_as(brief, *CREATE, "--days", 3, "--connection-file", file)
    assert (code, out, file.exists(), len(error.splitlines())) == (1, "", False, 1)
    assert error.startswith("NOT_PERMITTED: ")
    assert f"Your own key is the limit: it ends {end_of(fr_as, brief)}. Ask for fewer --days" in error
    assert "`fr server admin-key`" in error
    assert "role" not in error
    told = json.loads(fr_as(brief, *CREATE, "--days", 3, "--json")[1])["error"]
    assert f"it ends {end_of(fr_as, brief)}" in told["message"]
    assert told["metadata"] == {"field": "lifetime"}
    assert fr_as(brief, *CREATE, "--days", 1)[0] == 0


def test_a_key_without_days_tells_its_end(fr_as: Fr, at: Staffed, brief: Caller) -> None:
    code, out, error = fr_as(brief, *CREATE)
    end = end_of(fr_as, brief)
    assert code == 0
    assert f"until {end}" in out
    assert f"Without --days it ends {end}: " in error
    assert "Without --days" not in fr_as(at.admin, *CREATE, "--days", 1)[2]


def test_a_doubtful_key_is_made_and_warned_of(fr_as: Fr, at: Staffed) -> None:
    words = ("key", "create", "--days", 1, "--json")
    code, out, error = fr_as(at.admin, *words, "--role", "operator", "--role", "examiner")
    assert (code, len(error.splitlines())) == (0, 3)
    assert json.loads(out)["key"]["roles"] == ["ROLE_OPERATOR", "ROLE_EXAMINER"]
    assert all(line.startswith("Warning: the ") for line in error.splitlines())
    assert error.count("without --gallery") == 2
    code, _, error = fr_as(at.admin, *words, "--role", "operator", "--gallery", "persons")
    assert (code, error) == (0, "")
