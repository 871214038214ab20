"""A server that is told to stop in its start ends at once, and leaves nothing behind; SIGHUP never ends it."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import pytest
from PIL import Image

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_core.gallery.galleries import Galleries
from fr_core.packs.cache import ModelCache
from support.commands import START_S
from support.counts import NIGHTLY, at_night
from support.faults import until
from support.servers import ended

pytestmark = pytest.mark.models

MOMENTS = ("cygrpc", "cv2", "onnxruntime", "faiss") if NIGHTLY else ("cygrpc", "onnxruntime")
"""Libraries: a server is stopped as soon as it has loaded one."""

MODELS_AT_ONCE = ("--device", "cpu", "--set", "batching.embedder_sizes=1")
"""Options with which the models are opened in an eighth of the time."""


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)])
def test_a_signal_in_mid_start(tmp_path: Path, pack_cache: ModelCache, signal_number: signal.Signals) -> None:
    with ThreadPoolExecutor() as pool:
        for ends in pool.map(partial(stopped_in_start, tmp_path, signal_number), (0, 2 if NIGHTLY else 1)):
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
    for moment in MOMENTS:
        with (own / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                until(lambda: process.poll() is not None or moment in mapped(process.pid), START_S)  # noqa: B023
                process.send_signal(signal_number)
                statuses.append(process.wait(START_S))
            finally:
                process.kill()
        assert b"terminate called" not in (own / "log").read_bytes()
        assert not ready.exists()
    Galleries.open(own / "data", index="numpy").close()  # the folder was let go
    return statuses


def mapped(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


# Does something as the module is imported that the first argument names.
AS_IMPORTED = """
import _imp, os, signal, sys, weakref
from importlib.abc import MetaPathFinder

moment = sys.argv.pop(1)

class Telling(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == moment:{}
sys.meta_path.insert(0, Telling())
from fr_command import main
main()
"""
# The signal comes within the callback of a weak reference, which lets nothing out, when the server's code is imported;
# the lock of the imports stays taken, as in `importlib._bootstrap._get_module_lock`.
LOST = AS_IMPORTED.format("""
            self.kept = weakref.ref(Telling(), lambda _: (_imp.acquire_lock(), signal.raise_signal(signal.SIGTERM)))
""")


@pytest.mark.parametrize("frontends", ["0", pytest.param("2", marks=pytest.mark.nightly)])
def test_a_signal_that_python_swallows_stops_the_start(frontends: str, tmp_path: Path, pack_cache: ModelCache) -> None:
    command: list[str | Path] = [sys.executable, "-c", LOST, "fr_server.main", "serve", "--port", "0"]
    command += ["--data", tmp_path / "data", "--frontends", frontends, *MODELS_AT_ONCE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    assert "Exception ignored" in done.stderr
    assert "_GivenUp: 15" in done.stderr
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    Galleries.open(tmp_path / "data", index="numpy").close()  # the folder was let go
    assert " serving on " not in done.stderr


# SIGHUP to all processes of the server.
HUNG_UP = AS_IMPORTED.format("""
            os.killpg(0, signal.SIGHUP)
            print("SIGHUP was sent", file=sys.stderr, flush=True)
""")
FIRST = "fr_client.cli.main"  # the first that the command `fr` imports
NOTHING_TO_DO = "SIGHUP has no effect, because the server does not use TLS"


@contextlib.contextmanager
def hung_up(moment: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server in a group of processes of its own, which hangs up; its files are in a folder."""
    command = [sys.executable, "-c", HUNG_UP, moment, "serve", "--port", "0", "--data", str(folder / "data")]
    command += ["--ready-file", str(folder / "ready"), *MODELS_AT_ONCE, *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("moment", [at_night(FIRST), at_night("fr_server.config"), "fr_server.main", at_night("faiss")])
def test_what_is_to_be_read_again_in_mid_start_is_read_again_once_calls_are_answered(
    moment: str, tmp_path: Path, pack_cache: ModelCache
) -> None:
    log = tmp_path / "log"
    with hung_up(moment, tmp_path) as process:
        until(lambda: process.poll() is not None or NOTHING_TO_DO in log.read_text(), START_S)
        process.terminate()
        assert process.wait(START_S) == 0, log.read_text()
    told = log.read_text()
    assert told.index("SIGHUP was sent") < told.index(" serving on ") < told.index(NOTHING_TO_DO)
    assert told.count(NOTHING_TO_DO) == 1


@pytest.mark.parametrize("frontends", [at_night("0"), "1", at_night("2")])
def test_sighup_harms_no_process_from_start_to_end(frontends: str, tmp_path: Path, pack_cache: ModelCache) -> None:
    log, ready, sent = tmp_path / "log", tmp_path / "ready", 0
    with hung_up(FIRST, tmp_path, "--frontends", frontends, "--set", "isolation.decoding=process") as process:

        def hail() -> None:
            nonlocal sent
            while process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGHUP)
                sent += 1
                time.sleep(0.005)

        until(lambda: process.poll() is not None or "SIGHUP was sent" in log.read_text(), START_S)
        hailing = threading.Thread(target=hail)
        hailing.start()
        try:
            until(lambda: process.poll() is not None or ready.exists(), START_S)
            assert process.poll() is None, (process.returncode, log.read_text())
            for _ in range(6):  # a connection each, to this front-end or that
                options = (("grpc.use_local_subchannel_pool", 1),)
                with grpc.insecure_channel(ready.read_text().strip(), options) as channel:
                    until(partial(answers, channel), START_S)
            process.terminate()
            assert process.wait(START_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
            hailing.join()
    told = log.read_text()
    assert sent > 100
    assert NOTHING_TO_DO in told
    assert told.rstrip().endswith("Stopped")
    assert "ERROR" not in told
    assert "A decoder of photos is replaced" not in told


def answers(channel: grpc.Channel) -> bool:
    """Return True once a photo is analysed; on a busy machine the models may seem silent for a while."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG")
    request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=buffer.getvalue()))
    try:
        recognition_pb2_grpc.RecognitionServiceStub(channel).Detect(request, timeout=START_S)
    except grpc.RpcError as error:
        if ended(error).info.reason != "NOT_READY":
            raise
        return False
    return True
