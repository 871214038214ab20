"""Servers for the tests of the API."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_core.detect.protocol import Detector
from support.callers import Caller, Staffed
from support.courses import PEOPLE, Clock, link_people
from support.servers import Fr, Running, running

StartServer = Callable[..., Running]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts a server: `start_server(server={"max_in_flight": 1})`."""
    with ExitStack() as stack:

        def start(folder: Path = tmp_path / "data", detector: Detector | None = None, **sections: Any) -> Running:
            return stack.enter_context(running(folder, detector, **sections))

        yield start


@pytest.fixture
def server(start_server: StartServer) -> Running:
    return start_server()


@pytest.fixture
def fr_alone() -> Fr:
    """A function that runs `fr`: `status, printed, errors = fr_alone("--version", typed="")`."""

    def run(*words: object, typed: str | bytes = "") -> tuple[int, str, str]:
        result = CliRunner().invoke(build(), [str(word) for word in words], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def fr(server: Running, fr_alone: Fr, monkeypatch: pytest.MonkeyPatch) -> Fr:
    """The same, against the server."""
    monkeypatch.setenv("FR_SERVER", server.address)
    return fr_alone


@pytest.fixture
def fr_as(at: Staffed, fr_alone: Fr, monkeypatch: pytest.MonkeyPatch) -> Fr:
    """The same with a key, against the server of the fixture `at`: `fr_as(at.admin, "whoami")`."""

    def run(who: Caller, *words: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("FR_KEY", who.token)
        return fr_alone("--server", at.server.address, *words, typed=typed)

    return run


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The clock of the servers' courses."""
    return Clock()


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which people are linked: a hundred, or as many as the module's `LINKED` says."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patching:
        patching.setenv("FR_HOME", str(folder))
        link_people(folder / "people", getattr(request.module, "LINKED", PEOPLE))
        yield folder
