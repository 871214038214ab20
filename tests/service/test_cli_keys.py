"""`fr key create` against a server that asks who calls: what it says of ends, of roles and of scopes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_trust.access.roles import Role
from support.callers import Caller, Staffed, staffed

Fr = Callable[..., tuple[int, str, str]]
DAY_MS = 86_400_000
CREATE = ("key", "create", "--role", "operator", "--gallery", "persons")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def fr(at: Staffed, monkeypatch: pytest.MonkeyPatch) -> Fr:
    """A function that runs `fr` with a key: exit status, standard output, standard error."""

    def run(who: Caller, *words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("FR_KEY", who.token)
        result = CliRunner().invoke(build(), ["--server", at.server.address, *map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def brief(at: Staffed) -> Caller:
    """An admin whose key ends in two days."""
    return at.caller(Role.ADMIN, lifetime_ms=2 * DAY_MS)


def end_of(fr: Fr, who: Caller) -> str:
    keys = json.loads(fr(who, "key", "list", "--json")[1])["keys"]
    (end,) = (one["expire_time"] for one in keys if f"key:{one['key_id']}" == who.principal_id)
    return f"{end[:19]}Z"


def test_a_key_that_would_outlive_its_makers_is_refused_with_the_end_of_that(
    fr: Fr, brief: Caller, tmp_path: Path
) -> None:
    file = tmp_path / "made.toml"
    code, out, error = fr(brief, *CREATE, "--days", 3, "--connection-file", file)
    assert (code, out, file.exists(), len(error.splitlines())) == (1, "", False, 1)
    assert error.startswith("NOT_PERMITTED: ")
    assert f"Your own key is the limit: it ends {end_of(fr, brief)}. Ask for fewer --days" in error
    assert "`fr server admin-key`" in error
    assert "role" not in error
    told = json.loads(fr(brief, *CREATE, "--days", 3, "--json")[1])["error"]
    assert f"it ends {end_of(fr, brief)}" in told["message"]
    assert told["metadata"] == {"field": "lifetime"}
    assert fr(brief, *CREATE, "--days", 1)[0] == 0


def test_another_refusal_of_a_key_says_nothing_of_its_end(fr: Fr, at: Staffed) -> None:
    narrow = at.caller(Role.ADMIN, galleries=("own-*",), lifetime_ms=2 * DAY_MS)
    code, _, error = fr(narrow, *CREATE, "--days", 1)
    assert (code, error.partition(":")[0], "limit" in error) == (1, "NOT_PERMITTED", False)


def test_a_key_without_days_tells_its_end(fr: Fr, at: Staffed, brief: Caller) -> None:
    code, out, error = fr(brief, *CREATE)
    end = end_of(fr, brief)
    assert code == 0
    assert f"until {end}" in out
    assert f"Without --days it ends {end}: " in error
    assert "Without --days" not in fr(at.admin, *CREATE, "--days", 1)[2]


def test_a_doubtful_key_is_made_and_warned_of(fr: Fr, at: Staffed) -> None:
    words = ("key", "create", "--days", 1, "--json")
    code, out, error = fr(at.admin, *words, "--role", "operator", "--role", "examiner")
    assert (code, len(error.splitlines())) == (0, 3)
    assert json.loads(out)["key"]["roles"] == ["ROLE_OPERATOR", "ROLE_EXAMINER"]
    assert all(line.startswith("Warning: the ") for line in error.splitlines())
    assert error.count("without --gallery") == 2
    code, _, error = fr(at.admin, *words, "--role", "operator", "--gallery", "persons")
    assert (code, error) == (0, "")


def test_who_may_not_make_keys_is_told_who_may(fr: Fr, at: Staffed) -> None:
    code, _, error = fr(at.operator, *CREATE)
    assert (code, "This takes the role admin; the key has operator." in error) == (1, True)
