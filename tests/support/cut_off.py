"""Runs `fr` until it has made so many steps; then it ends as a kill ends it.

A script with the Python that has `step()` called at each of them, their number, and the words of the command.
"""

import os
import sys

import fr_server.main  # noqa: F401 - what `fr server` imports is there before the fork
from fr_command import main

KILLED = 9


def _run(watch: str, left: int) -> None:
    total = 0

    def step() -> None:
        nonlocal left, total
        total += 1
        if not left:
            os._exit(KILLED)
        left -= 1

    exec(watch, {"step": step, "sys": sys})
    try:
        main()
    finally:
        print("steps", total, file=sys.stderr)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    _run(sys.argv.pop(1), int(sys.argv.pop(1)))
