"""A server with keys, and the HTTP interface in front of it, for all tests of a file."""

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from fr_trust.access.roles import Role
from support.browser import World, world
from support.callers import Staffed, staffed
from support.courses import link_people
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


@pytest.fixture(scope="module")
def people_at_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of this process find a data set of people."""
    folder = tmp_path_factory.mktemp("people")
    with patch.dict(os.environ, {"FR_HOME": str(folder / "home")}):
        link_people(folder / "people", 40)
        yield


@pytest.fixture(scope="session")
def console_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("console")) as made:
        yield made
