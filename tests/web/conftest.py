"""A server with keys, and the HTTP interface in front of it, for all tests of a file."""

from collections.abc import Iterator

import pytest

from fr_trust.access.roles import Role
from support.callers import Staffed, staffed
from support.web import Web, web


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("data")) as staff:
        yield staff


@pytest.fixture(scope="module")
def everybody(at: Staffed) -> str:
    """A key of all roles but the trainee's."""
    return at.caller(*(set(Role) - {Role.TRAINEE})).token


@pytest.fixture(scope="module")
def site(at: Staffed, everybody: str) -> Iterator[Web]:
    with web(at.server.address, everybody) as started:
        yield started
