"""What the sealed rows of training are bound to."""

from __future__ import annotations

import struct

from fr_core.storage.vault import Value
from fr_training.store.schema import SCHEMA

_TRIAL = struct.Struct("<qq")


def bound(table: str, *values: Value) -> bytes:
    """Return the bytes that something sealed is bound to: its table, and what tells its row."""
    return SCHEMA.bound(table, *values)


def bound_trial(session_no: int, ordinal: int) -> bytes:
    """As `bound`, for a trial, which there are many of."""
    return _TRIALS + _TRIAL.pack(session_no, ordinal)


_TRIALS = bound("trials")
