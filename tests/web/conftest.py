"""A server with keys, the HTTP interface in front of it, and programs of other makers, for all tests of a file."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import Look, World, at_hand, chromium, opened, world
from support.callers import Staffed, staffed
from support.surfer import Surfer, signed_in
from support.web import Web, web


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("data")) as staff:
        yield staff


@pytest.fixture(scope="module")
def everybody(at: Staffed) -> str:
    """A key of all roles but the trainee's."""
    return at.everybody.token


@pytest.fixture(scope="module")
def site(at: Staffed, everybody: str) -> Iterator[Web]:
    with web(at.server.address, everybody) as started:
        yield started


@pytest.fixture(scope="module")
def gallery(at: Staffed) -> str:
    at.gallery("g", operational=False)
    return "g"


@pytest.fixture
def surfer(site: Web, gallery: str) -> Surfer:
    return Surfer(site)


@pytest.fixture
def operator(site: Web, gallery: str, at: Staffed) -> Surfer:
    return signed_in(site, at.operator.token)


@pytest.fixture
def admin(site: Web, gallery: str, at: Staffed) -> Surfer:
    return signed_in(site, at.admin.token)


@pytest.fixture
def auditor(site: Web, gallery: str, at: Staffed) -> Surfer:
    return signed_in(site, at.auditor.token)


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture(scope="module")
def console_world(made_world: World) -> Iterator[World]:
    with at_hand(made_world.folder):
        yield made_world


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def look(browser: Any, console_world: World) -> Iterator[Look]:
    """A page that begins signed out, in English; what goes wrong on it fails the test."""
    with opened(browser, console_world.address) as made:
        yield made


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm packages: $FR_NODE_FOLDER, or a new one."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if named := os.environ.get("FR_NODE_FOLDER"):
        return Path(named)
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(Path(__file__).resolve().parent / "package.json", folder)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, timeout=600, check=False
    )
    if done.returncode:
        pytest.skip("the npm registry cannot be reached")
    return folder
