"""Processes that change a gallery until they are killed: run as a script, this file makes one for each line read.

A line is `SEED HOW`. HOW is `open` (open the store, and no more), `enrol` (change it from several threads, and tell of
each change when it has returned) or `promise` (the control: tell of it before). What the children say goes to standard
output, whole lines only; when one has died, `dead STATUS` follows all that it said.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fr_core.gallery.galleries import Galleries
from support.ledger import HANDS, KEY, Act, Hand, Kind, Ledger


def _say(*words: object) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())  # shorter than a pipe takes whole


class _Teller:
    """A `Book` for whoever reads the other end of the pipe."""

    def begin(self, hand: int, act: Act) -> None:
        _say("begin", hand, act.kind, act.subject_id, act.seed)

    def done(self, hand: int) -> None:
        _say("done", hand)


class _Promiser(_Teller):
    def begin(self, hand: int, act: Act) -> None:
        super().begin(hand, act)
        super().done(hand)

    def done(self, hand: int) -> None:
        pass


def _change_for_ever(folder: Path, seed: int, how: str) -> None:
    _say("pid", os.getpid())
    galleries = Galleries.open(folder, key=KEY, index="numpy")
    book = _Promiser() if how == "promise" else _Teller()
    hands = [Hand(galleries, hand, seed, book) for hand in range(HANDS if how != "open" else 0)]

    def work(hand: Hand) -> None:
        while True:
            hand.change()

    for one in hands:
        threading.Thread(target=work, args=(one,), daemon=True).start()
    time.sleep(600)


class Doomed:
    """The process that makes children, seen from the test.

    Args:
        stdin: takes lines.
        stdout: gives what the children say.
    """

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin = stdin
        self._stdout = stdout

    def life(self, seed: int, how: str, ledger: Ledger) -> Iterator[int]:
        """Begin a child and write what it says into a ledger.

        Yields:
            Its process id at once, then again after each change that it acknowledges, until it is dead.
        """
        self._stdin.write(f"{seed} {how}\n")
        self._stdin.flush()
        pid = 0
        for line in self._stdout:
            word, *rest = json.loads(line)
            if word == "pid":
                (pid,) = rest
                yield pid
            elif word == "begin":
                hand, kind, subject_id, number = rest
                ledger.begin(hand, Act(Kind(kind), subject_id, number))
            elif word == "done":
                ledger.done(*rest)
                yield pid
            elif word == "dead":
                assert rest == [-signal.SIGKILL]
                return
        raise AssertionError("the process that makes the children has ended")


@contextmanager
def doomed(folder: Path) -> Iterator[Doomed]:
    """Start the process that makes children which open a data folder."""
    command = [sys.executable, "-P", str(Path(__file__)), str(folder)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Doomed(process.stdin, process.stdout)
        finally:
            process.kill()


def main() -> None:
    """Make a child for each line of standard input, one after the other."""
    folder = Path(sys.argv[1])
    while line := sys.stdin.readline():
        seed, how = line.split()
        child = os.fork()
        if not child:
            try:
                _change_for_ever(folder, int(seed), how)
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        _, status = os.waitpid(child, 0)
        _say("dead", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
