"""A server that is told to stop at any moment of its start ends at once, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.packs.cache import ModelCache

pytestmark = pytest.mark.models

MOMENTS_S = (1.2, 1.8, 2.6)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_start(tmp_path: Path, pack_cache: ModelCache, signal_number: signal.Signals) -> None:
    """With front-ends and without, side by side."""
    with ThreadPoolExecutor() as pool:
        for ends in pool.map(partial(stopped_in_start, tmp_path, signal_number), (0, 2)):
            # Before the command is there, the signal ends Python as it ends any program; once the server is, it ends
            # in order.
            assert set(ends) <= {0, 128 + signal_number, -signal_number, 130, 1}


def stopped_in_start(folder: Path, signal_number: signal.Signals, frontends: int) -> list[int]:
    """Start servers on one data folder, each stopped at another moment; return how they ended."""
    own = folder / str(frontends)
    own.mkdir()
    ready = own / "ready"
    command: list[str | Path] = [Path(sys.executable).with_name("fr"), "serve", "--port", "0", "--data", own / "data"]
    command += ["--ready-file", ready, "--frontends", str(frontends)]
    statuses = []
    for moment in MOMENTS_S:
        with (own / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            time.sleep(moment)
            process.send_signal(signal_number)
            try:
                statuses.append(process.wait(30))
            finally:
                process.kill()
        assert b"terminate called" not in (own / "log").read_bytes()
        assert not ready.exists()
    Galleries.open(own / "data", index="numpy").close()  # the folder was let go
    return statuses


# The signal comes within the callback of a weak reference, which lets nothing out, when the server's code is imported;
# the lock of the imports stays taken, as in `importlib._bootstrap._get_module_lock`.
LOST = """
import _imp, signal, sys, weakref
from importlib.abc import MetaPathFinder

class Telling(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "fr_server.main":
            self.kept = weakref.ref(Telling(), lambda _: (_imp.acquire_lock(), signal.raise_signal(signal.SIGTERM)))

sys.meta_path.insert(0, Telling())
from fr_client.cli.main import main
main()
"""


@pytest.mark.parametrize("frontends", ["0", "2"])
def test_a_signal_that_python_swallows_stops_the_start_all_the_same(
    frontends: str, tmp_path: Path, pack_cache: ModelCache
) -> None:
    command: list[str | Path] = [sys.executable, "-c", LOST, "serve", "--port", "0", "--data", tmp_path / "data"]
    command += ["--frontends", frontends]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Exception ignored" in done.stderr
    assert "_GivenUp: 15" in done.stderr
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    Galleries.open(tmp_path / "data", index="numpy").close()  # the folder was let go
    assert " serving on " not in done.stderr
