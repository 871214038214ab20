"""Failures: ours, and they may pass."""

from __future__ import annotations

from fr_core.errors.base import Failure


class Overloaded(Failure):
    """The server has as much work as it accepts."""

    reason = "OVERLOADED"
    remedy = "Call again after the delay in RetryInfo."


class NotReady(Failure):
    """The server cannot answer yet: it is still reading its galleries, or the process with its models hangs."""

    reason = "NOT_READY"
    remedy = "Call again after the delay in RetryInfo, or wait until the health service says SERVING."


class ShuttingDown(Failure):
    """The server is draining and takes no new work."""

    reason = "SHUTTING_DOWN"
    remedy = "Call again; another or a restarted server will answer."


class StoreFailed(Failure):
    """The store could not be read or written; nothing of the call was kept, unless the message doubts that."""

    reason = "STORE_FAILED"
    remedy = "Look for a full or failing disk on the server, then call again."


class StoreCorrupt(Failure):
    """The store is damaged, or what it holds contradicts itself; nothing of the call was kept."""

    reason = "STORE_CORRUPT"
    remedy = (
        "Whoever runs the server stops it, copies its data folder as it is, and runs `fr server verify` on the copy, "
        "which names each store that is damaged; docs/runbooks/suspected-tampering.md says how to go on. A damaged "
        "report is deleted with DeleteReport, and measured again."
    )


class StorageLow(Failure):
    """The disk of the data folder has too little room left to take in more; everything else still works."""

    reason = "STORAGE_LOW"
    remedy = "Free space on the disk of the server's data folder, delete galleries or reports; then call again."


class InternalError(Failure):
    """A defect of the server; the log holds it under the request id."""

    reason = "INTERNAL"
    remedy = "Report the request id to whoever runs the server."


class DeviceLost(Failure):
    """The device that runs the models stopped working; the server must be started anew."""

    reason = "DEVICE_LOST"
    remedy = "Call another server; whoever runs this one must look at its device and start it again."


class CallEnded(Failure):
    """The call was cancelled, or its deadline passed, and its work was left undone."""

    reason = "CALL_ENDED"
    remedy = "Call again, with a longer deadline if it had passed."


class CallTooLong(Failure):
    """The call took as long as the server lets a call take, and its work was left undone."""

    reason = "CALL_TOO_LONG"
    remedy = (
        "Ask for less in one call, or call again when the server has less to do; a longer deadline does not help. "
        "Whoever runs the server may raise `limits.call_s`."
    )


class ReaderTooSlow(Failure):
    """The client did not read the answer in time; the server ended the stream."""

    reason = "READER_TOO_SLOW"
    remedy = "Call again, and read the answer as it arrives. The operator of the server can raise `limits.stall_s`."
