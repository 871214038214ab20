"""Failures of the server that may pass."""

from fr_core.errors.base import Failure


class Overloaded(Failure, reason="OVERLOADED"):
    """The server has as much work as it can accept."""


class NotReady(Failure, reason="NOT_READY"):
    """The server cannot answer yet: it is still reading its galleries, or the process with the models does not
    respond.
    """


class ShuttingDown(Failure, reason="SHUTTING_DOWN"):
    """The server is shutting down and accepts no new work."""


class ReplicaBehind(Failure, reason="REPLICA_BEHIND"):
    """This server has not yet applied a change that another server has made."""


class ErasureUnconfirmed(Failure, reason="ERASURE_UNCONFIRMED"):
    """The deletion is stored, but not every server has confirmed that it no longer searches what was deleted."""


class StoreFailed(Failure, reason="STORE_FAILED"):
    """The store could not be read or written; nothing of the call was stored, unless the message says that this is
    uncertain.
    """


class StoreCorrupt(Failure, reason="STORE_CORRUPT"):
    """The store is damaged, or its contents contradict each other; nothing of the call was stored."""


class StorageLow(Failure, reason="STORAGE_LOW"):
    """The disk of the data folder has too little free space for new data; everything else still works."""


class IndexUnavailable(Failure, reason="INDEX_UNAVAILABLE"):
    """The index of the gallery is out of reach, or is being filled; the gallery itself is whole."""


class InternalError(Failure, reason="INTERNAL"):
    """A defect in the server; the log has it under the request id."""


class DeviceLost(Failure, reason="DEVICE_LOST"):
    """The device that runs the models stopped working; the server must be restarted."""


class CallEnded(Failure, reason="CALL_ENDED"):
    """The call was cancelled, or its deadline passed; its work was not done."""


class CallTooLong(Failure, reason="CALL_TOO_LONG"):
    """The call reached the server's time limit for a call; its work was not done."""


class ReaderTooSlow(Failure, reason="READER_TOO_SLOW"):
    """The client did not read the answer in time; the server ended the stream."""
