"""Failures of the server that may pass."""

from __future__ import annotations

from fr_core.errors.base import Failure


class Overloaded(Failure):
    """The server has as much work as it can accept."""

    reason = "OVERLOADED"
    remedy = "Call again after the delay in RetryInfo."


class NotReady(Failure):
    """The server cannot answer yet: it is still reading its galleries, or the process with the models does not
    respond.
    """

    reason = "NOT_READY"
    remedy = "Call again after the delay in RetryInfo, or wait until the health service says SERVING."


class ShuttingDown(Failure):
    """The server is shutting down and accepts no new work."""

    reason = "SHUTTING_DOWN"
    remedy = "Call again; another server, or this one after its restart, will answer."


class StoreFailed(Failure):
    """The store could not be read or written; nothing of the call was stored, unless the message says that this is
    uncertain.
    """

    reason = "STORE_FAILED"
    remedy = "Look for a full or failing disk on the server, then call again."


class StoreCorrupt(Failure):
    """The store is damaged, or its contents contradict each other; nothing of the call was stored."""

    reason = "STORE_CORRUPT"
    remedy = (
        "The operator stops the server, copies its data folder, and runs `fr server verify` on the copy. The command "
        "names each damaged store; docs/runbooks/suspected-tampering.md has the next steps. Delete a damaged report "
        "with DeleteReport, and measure again."
    )


class StorageLow(Failure):
    """The disk of the data folder has too little free space for new data; everything else still works."""

    reason = "STORAGE_LOW"
    remedy = "Free space on the disk of the server's data folder, delete galleries or reports; then call again."


class InternalError(Failure):
    """A defect in the server; the log has it under the request id."""

    reason = "INTERNAL"
    remedy = "Report the request id to the operator of the server."


class DeviceLost(Failure):
    """The device that runs the models stopped working; the server must be restarted."""

    reason = "DEVICE_LOST"
    remedy = "Call another server. The operator of this one must check its device and restart it."


class CallEnded(Failure):
    """The call was cancelled, or its deadline passed; its work was not done."""

    reason = "CALL_ENDED"
    remedy = "Call again, with a longer deadline if the deadline passed."


class CallTooLong(Failure):
    """The call reached the server's time limit for a call; its work was not done."""

    reason = "CALL_TOO_LONG"
    remedy = (
        "Ask for less in one call, or call again when the server has less to do; a longer deadline does not help. "
        "The operator can raise `limits.call_s`."
    )


class ReaderTooSlow(Failure):
    """The client did not read the answer in time; the server ended the stream."""

    reason = "READER_TOO_SLOW"
    remedy = "Call again, and read the answer as it arrives. The operator of the server can raise `limits.stall_s`."
