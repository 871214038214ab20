"""Deletes old records of the audits, a segment at a time, after archiving them."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fr_core.errors import Failure, ShuttingDown, StoreCorrupt, message
from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.verify import Verified
from fr_core.storage.durable import write_private
from fr_server.storage.calls import AuditCalls
from fr_server.telemetry.logs import FIELDS, describe
from fr_server.telemetry.trust import Chain
from fr_trust.audit.export import Segment, checkpoint_of, verify_export

log = logging.getLogger("fr_server.audit")

_DAY_MS = 86_400_000


class Pruning:
    """Prunes the audits of a server. In the archive, CHAIN-NUMBER.jsonl holds the records from that number on.

    It archives a segment before it deletes it. After a kill between the two, the server goes on with the existing file.
    It never overwrites a file: if one holds other records than the store, it does not prune that chain. `audits` are by
    the names of their chains. It keeps records for `keep_days`, 1 or more, which end at midnight UTC: it prunes a chain
    once a day. `archive` is None for none. It makes the file `lock`, which shows other processes that this one prunes.
    """

    def __init__(
        self,
        audits: Mapping[Chain, AuditCalls],
        keep_days: int,
        archive: Path | None,
        lock: Path,
        clock_ms: Callable[[], int],
    ) -> None:
        self._audits = audits
        self._keep_days = keep_days
        self._archive = archive
        self._lock = lock
        self._clock_ms = clock_ms

    def prune(self) -> None:
        """Prune every chain, unless another process does; then raise the first `Failure` or `OSError`."""
        before_ms = (self._clock_ms() // _DAY_MS - self._keep_days) * _DAY_MS
        failed: list[Failure | OSError] = []
        with self._alone() as alone:
            for name, audit in self._audits.items() if alone else ():
                try:
                    while self._prune_some(name, audit, before_ms):
                        pass
                except ShuttingDown:
                    return
                except (Failure, OSError) as error:
                    log.error("The audit %s could not be pruned: %s", name, describe(error))
                    failed.append(error)
        if failed:
            raise failed[0]

    def _prune_some(self, name: Chain, audit: AuditCalls, before_ms: int) -> bool:
        segment = audit.audit_oldest(before_ms)
        if segment is None:
            return False
        upto = segment.upto if self._archive is None else self._archived(self._archive, name, audit, segment)
        if upto > segment.upto:  # archived with a shorter `keep_days`, or before a case needed it
            return False
        if audit.audit_prune(segment.after, upto, segment.last):
            fields = {"chain": name, "first": segment.after + 1, "last": upto}
            log.info("Pruned records %d to %d of the audit %s", segment.after + 1, upto, name, extra={FIELDS: fields})
        # Not until nothing is due: if the store uses another clock, the record of the pruning may be due at once.
        return upto < segment.upto or not segment.last

    def _archived(self, folder: Path, name: Chain, audit: AuditCalls, segment: Segment) -> int:
        """Archive a segment; return the number of the last archived record. Raises `StoreCorrupt` for another file."""
        path = folder / f"{name}-{segment.after + 1:012}.jsonl"
        if not path.exists():
            write_private(path, segment.data)
            return segment.upto
        lines = path.read_bytes().splitlines(keepends=True)
        found = verify_export(lines, read_public_key(audit.audit_public_key()))
        same = isinstance(found, Verified) and found.after == segment.after
        if not same or audit.audit_disagreement(checkpoint_of(lines[-1])) is not None:
            raise StoreCorrupt(message("error.server.other_records", path=path.name), check="audit_archive")
        return found.seq

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)
