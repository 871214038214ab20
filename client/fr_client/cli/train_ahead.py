"""What was typed ahead: it must answer nothing that nobody has seen."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
else:
    import termios


def drop_typed_ahead() -> None:
    """Drop what was typed and is not read yet, on a terminal alone: what comes through a pipe are answers, one a line.

    Raises:
        OSError: the terminal was closed.
    """
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        while msvcrt.kbhit():
            msvcrt.getwch()
        return
    try:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    except termios.error as error:  # which is no OSError
        raise OSError(*error.args) from error
