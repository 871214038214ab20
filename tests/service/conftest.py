"""Servers for the tests of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fr_core.detect.protocol import Detector
from serving import Running, running

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
    """A server with the default configuration."""
    return start_server()
