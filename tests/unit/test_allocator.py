"""Threads share one heap, where the C library would give each its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

# How many heaps the C library has after 4 threads have allocated while all of them lived.
HEAPS = """
import ctypes, re, sys, tempfile, threading
from fr_server.memory import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)

def allocate():
    together.wait()
    library.malloc(ctypes.c_size_t(10_000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(len(re.findall(b"<heap nr", file.read())))
"""


def heaps(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True, timeout=60)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the GNU C library")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("own") > 1
