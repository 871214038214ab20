"""Runs files of the tests as scripts: each is a fork of one process, which imports once what they import.

That process is this file, run with the descriptor of a socket: each message describes a script to run.
"""

import atexit
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_MOST_BYTES = 2**20  # of a message, which holds an environment


def born(words: Sequence[str], environ: Mapping[str, str], streams: Sequence[int], group: bool) -> Any:
    """Begin a script; return its number, and a socket that tells its exit status at its end.

    `streams` are the descriptors of its standard input, output and error.
    """
    life = {"words": words, "environ": dict(environ), "folder": str(Path.cwd()), "group": group}
    ending, told = _pair()
    with told:
        socket.send_fds(_nursery(environ["GRPC_VERBOSITY"]), [json.dumps(life).encode()], [*streams, told.fileno()])
    return int(ending.recv(100)), ending


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@cache
def _nursery(verbosity: str) -> socket.socket:
    """Start the process that forks, and return a socket that leads to it; gRPC reads its verbosity when imported."""
    ours, theirs = _pair()
    # A process with threads, which BLAS would start, must not fork.
    known = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GRPC_VERBOSITY": verbosity}
    known = {**os.environ, **known, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", __file__, str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=known, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _forked(requests: socket.socket) -> None:
    """Fork for each script that is asked for; return in the process that is to run it."""
    gc.set_threshold(50_000)  # imports make little garbage
    imported = set()
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, _MOST_BYTES, 4)
        if not message:
            sys.exit()
        life = json.loads(message)
        file = life["words"][0]
        if file not in imported:
            runpy.run_path(file, run_name="imported")
            imported.add(file)
            gc.freeze()
        assert len(list(Path("/proc/self/task").iterdir())) == 1, f"{file} starts a thread when it is imported"
        if not os.fork():
            requests.close()
            _live(life, descriptors)
            return
        for one in descriptors:
            os.close(one)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _live(life: dict[str, Any], descriptors: list[int]) -> None:
    """Return in a child that is to be the script; this process tells of its beginning and its end."""
    *streams, told = descriptors
    child = os.fork()
    if life["group"]:
        with suppress(PermissionError):
            os.setpgid(child, child)  # whichever of the two is first
    if not child:
        for number, one in enumerate(streams):
            os.dup2(one, number)
        for one in descriptors:
            os.close(one)
        os.environ.clear()
        os.environ.update(life["environ"])
        os.chdir(life["folder"])
        sys.argv[:] = life["words"]
        tempfile.tempdir = None
        return
    for one in streams:
        os.close(one)
    os.write(told, str(child).encode())
    os.write(told, str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os._exit(0)


if __name__ == "__main__":
    _forked(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(sys.argv[0], run_name="__main__")
