"""What `fr` asks before it takes something away, and whom it does not ask, against a server that asks who calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_client import Client
from fr_client.cli.main import build
from fr_trust.access.keys import MAX_LIFETIME_DAYS
from fr_trust.access.roles import Role
from support.callers import Caller, Staffed, staffed

Fr = Callable[..., tuple[int, str, str]]
LAST = "It is the last admin key that you see"
OWN = "You call with this key"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Staffed]:
    with staffed(tmp_path / "asking") as made:
        yield made


@pytest.fixture
def fr(at: Staffed, monkeypatch: pytest.MonkeyPatch) -> Fr:
    """A function that runs `fr` with a key: exit status, standard output, standard error."""

    def run(who: Caller, *words: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("FR_KEY", who.token)
        result = CliRunner().invoke(build(), ["--server", at.server.address, *map(str, words)], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.stdout, result.stderr

    return run


def id_of(who: Caller) -> str:
    return who.principal_id.removeprefix("key:")


def revoked(fr: Fr, who: Caller, key_id: str) -> bool:
    keys = json.loads(fr(who, "key", "list", "--json")[1])["keys"]
    return any("revoke_time" in one for one in keys if one["key_id"] == key_id)


def test_the_last_admin_key_is_revoked_when_somebody_says_so(fr: Fr, at: Staffed) -> None:
    own, other, operator = id_of(at.admin), at.caller(Role.ADMIN, number=2), at.caller(Role.OPERATOR)
    # Of any other key nothing is asked.
    code, _, error = fr(at.admin, "key", "revoke", id_of(operator))
    assert (code, error) == (0, "")
    code, _, error = fr(at.admin, "key", "revoke", own)
    assert (code, OWN in error, LAST in error, "Nothing was revoked." in error) == (1, True, False, True)
    assert fr(at.admin, "key", "revoke", id_of(other))[0] == 0
    code, _, error = fr(at.admin, "key", "revoke", own, typed="n\n")
    assert (code, OWN in error, LAST in error, "`fr server admin-key`" in error) == (1, True, True, True)
    assert not revoked(fr, at.admin, own)
    brief = at.caller(Role.ADMIN, lifetime_ms=60_000)
    assert LAST not in fr(at.admin, "key", "revoke", own)[2]
    assert fr(brief, "key", "revoke", own)[0] == 0
    code, _, error = fr(brief, "key", "revoke", id_of(brief), "--yes")
    assert (code, error) == (0, "")
    assert fr(brief, "whoami")[0] == 1


def test_who_may_delete_no_case_is_not_asked(fr: Fr, at: Staffed) -> None:
    operator = at.caller(Role.OPERATOR)
    case_id = operator.opens("2026-014")
    code, out, error = fr(operator, "case", "delete", case_id, typed="y\n")
    assert (code, out, error.partition(":")[0], "[y/N]" in error) == (1, "", "NOT_PERMITTED", False)
    # As the server has it.
    code, _, error = fr(operator, "case", "delete", case_id, "--yes")
    assert (code, error.partition(":")[0]) == (1, "NOT_PERMITTED")
    code, _, error = fr(at.admin, "case", "delete", case_id, typed="n\n")
    assert (code, "[y/N]" in error, "Nothing was deleted." in error) == (1, True, True)
    assert fr(at.admin, "case", "delete", case_id, typed="y\n")[0] == 0


def test_the_longest_life_of_a_key_is_the_servers(fr: Fr, at: Staffed) -> None:
    create = ("key", "create", "--role", "operator", "--gallery", "persons", "--days")
    assert fr(at.admin, *create, MAX_LIFETIME_DAYS + 1)[0] == 2
    assert f"<={MAX_LIFETIME_DAYS}" in fr(at.admin, "key", "create", "--help")[1].replace("\n", "")
    with Client(at.server.address, token=at.admin.token) as client:
        made = client.access.create_key(["operator"], galleries=["persons"], lifetime=timedelta(days=MAX_LIFETIME_DAYS))
    assert made.key.expire_time.ToSeconds() - made.key.create_time.ToSeconds() == MAX_LIFETIME_DAYS * 86_400


def test_a_gallery_outside_ones_scope_is_told_like_one_that_is_not_there(fr: Fr, at: Staffed) -> None:
    at.gallery("others")
    narrow = at.caller(Role.OPERATOR, galleries=("own-*",))
    said = [fr(narrow, "gallery", "show", one)[2] for one in ("others", "nowhere")]
    assert all("Your key's scope may not include it" in one and "`fr whoami`" in one for one in said), said
    assert said[0].replace("others", "nowhere").partition(" (request")[0] == said[1].partition(" (request")[0]
