"""Starts the `fr` command. It is outside `fr_client`, since gRPC reads its settings when it is first imported."""

import os
import signal
import sys
from contextlib import suppress

# The same as in `fr_client.cli.plugins`, which may not be imported yet.
_INTERRUPTED = 130


def main() -> None:
    """Run from the command line, without gRPC's own log lines; `GRPC_VERBOSITY` switches them on.

    A client says itself why a call fails. On a server, strangers could cause enough of these lines to fill the disk;
    front-ends inherit the setting.

    Ctrl-C ends the process at once; otherwise the interpreter would wait for the threads of running calls.
    """
    if sys.platform != "win32" and sys.argv[1:2] == ["serve"]:
        # As `fr_server.commands.serve.serve` does: this is half a second earlier.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from fr_client.cli.main import main as run

        run()
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"`fr` needs {error.name}, which is not installed; in a clone of FR Core: pip install './client[cli]'."
        )
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C.\n")
    except SystemExit as ended:
        if ended.code != _INTERRUPTED:
            raise
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(_INTERRUPTED)
