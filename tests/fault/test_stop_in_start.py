"""A server that is told to stop at any moment of its start ends at once, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.packs.cache import ModelCache

pytestmark = pytest.mark.models

MOMENTS_S = (1.2, 1.6, 2.0, 2.6, 3.4)


@pytest.mark.parametrize("frontends", [0, 2])
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_start(
    tmp_path: Path, pack_cache: ModelCache, signal_number: signal.Signals, frontends: int
) -> None:
    fr = Path(sys.executable).parent / "fr"
    statuses = []
    for moment in MOMENTS_S:
        ready = tmp_path / "ready"
        command = [str(fr), "serve", "--port", "0", "--data", str(tmp_path / "data"), "--ready-file", str(ready)]
        command += ["--frontends", str(frontends)]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            time.sleep(moment)
            process.send_signal(signal_number)
            statuses.append(process.wait(30))
        assert b"terminate called" not in (tmp_path / "log").read_bytes()
        assert not ready.exists()
    # Before the command is there, the signal ends Python as it ends any program; once the server is, it ends in order.
    assert set(statuses) <= {0, 128 + signal_number, -signal_number, 130, 1}
    Galleries.open(tmp_path / "data", index="numpy").close()  # the folder was let go
