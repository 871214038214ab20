"""Failures of the server that may pass."""

from fr_core.errors.base import Failure


class Overloaded(Failure):
    """The server has as much work as it can accept."""

    reason = "OVERLOADED"


class NotReady(Failure):
    """The server cannot answer yet: it is still reading its galleries, or the process with the models does not
    respond.
    """

    reason = "NOT_READY"


class ShuttingDown(Failure):
    """The server is shutting down and accepts no new work."""

    reason = "SHUTTING_DOWN"


class StoreFailed(Failure):
    """The store could not be read or written; nothing of the call was stored, unless the message says that this is
    uncertain.
    """

    reason = "STORE_FAILED"


class StoreCorrupt(Failure):
    """The store is damaged, or its contents contradict each other; nothing of the call was stored."""

    reason = "STORE_CORRUPT"


class StorageLow(Failure):
    """The disk of the data folder has too little free space for new data; everything else still works."""

    reason = "STORAGE_LOW"


class InternalError(Failure):
    """A defect in the server; the log has it under the request id."""

    reason = "INTERNAL"


class DeviceLost(Failure):
    """The device that runs the models stopped working; the server must be restarted."""

    reason = "DEVICE_LOST"


class CallEnded(Failure):
    """The call was cancelled, or its deadline passed; its work was not done."""

    reason = "CALL_ENDED"


class CallTooLong(Failure):
    """The call reached the server's time limit for a call; its work was not done."""

    reason = "CALL_TOO_LONG"


class ReaderTooSlow(Failure):
    """The client did not read the answer in time; the server ended the stream."""

    reason = "READER_TOO_SLOW"
