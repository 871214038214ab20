"""The folder through which the processes of one server count together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fr_core.scratch import scratch_folder

# prometheus_client reads it once, when it is imported: so nothing here may import that.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Make an empty folder, and name it to this process and those that it starts; remove it at the end."""
    with scratch_folder() as folder:
        os.environ[_FOLDER] = str(folder)
        try:
            yield
        finally:
            del os.environ[_FOLDER]


def forget(pid: int) -> None:
    """Take what a process that has ended told of its present state out of the sums."""
    if _FOLDER in os.environ:
        from fr_server.telemetry.metrics import forget_process

        forget_process(pid)
