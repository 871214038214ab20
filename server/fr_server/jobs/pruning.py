"""Writes signed checkpoints of the audits elsewhere, and deletes old records after archiving them."""

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from fr_core.errors import Failure, InvalidField, ShuttingDown, StoreCorrupt, message
from fr_core.storage.audit.checkpoints import parse_checkpoint, read_public_key
from fr_core.storage.audit.verify import Verified
from fr_core.storage.durable import name_whole, unfinished, write_private
from fr_server.storage.calls import AuditCalls
from fr_server.telemetry.logs import FIELDS, describe
from fr_server.telemetry.trust import Chain, Trust
from fr_trust.audit.export import Segment, checkpoint_of, verify_export

_NUMBER = re.compile(r"[0-9]{1,16}")


class Checkpoints:
    """Regularly writes a checkpoint of each chain to a folder, CHAIN-NUMBER.json, and its public key, CHAIN.pem.

    A chain that contradicts its newest checkpoint gets no more checkpoints. The log and `trust` report this until the
    chain agrees, or until the configuration names a different folder. The folder is on another machine's disk, or on a
    write-once disk. `audits` are by the names of their chains. `trust` also receives each checkpoint; None for nobody.
    """

    def __init__(self, audits: Mapping[Chain, AuditCalls], folder: Path, trust: Trust | None = None) -> None:
        self._audits = audits
        self._folder = folder
        self._trust = trust or Trust()
        self._turn = threading.Lock()  # never write two checkpoints at the same time

    def write(self) -> None:
        """Write a checkpoint of each chain that has grown. Log a failure and try again the next time."""
        with self._turn:
            for name, audit in self._audits.items():
                try:
                    self._write(name, audit)
                except (Failure, OSError) as error:
                    log.error("A checkpoint of the audit %s could not be written: %s", name, describe(error))

    def _write(self, name: Chain, audit: AuditCalls) -> None:
        # Read this before the chain: another process of this server may meanwhile write a checkpoint of a longer chain.
        newest = self._newest(name)
        wrong = "" if newest is None else _wrong(newest, audit)
        self._trust.checkpoint_agrees(name, not wrong)
        if newest is not None and wrong:
            log.error(
                "The audit %s contradicts its checkpoint %s (%s), so the server writes no more checkpoints of it: "
                "someone "
                "changed records or restored an older data folder. If this was intended, set audit.checkpoint_folder "
                "to a new, empty folder, and keep the old one",
                name,
                newest.name,
                wrong,
            )
            return
        checkpoint = audit.audit_checkpoint()
        path = self._folder / f"{name}-{checkpoint.seq:012}.json"
        if not path.exists():  # otherwise the chain has not grown, or another process wrote it
            key = self._folder / f"{name}.pem"
            if not key.exists():
                write_private(key, audit.audit_public_key().encode())
            write_private(path, checkpoint.to_json())
        self._trust.checkpointed(name, checkpoint.at_ms / 1000)

    def _newest(self, name: Chain) -> Path | None:
        """Return a chain's file with the highest number; `fr audit checkpoint` once wrote numbers without zeros."""
        found = {path: number for path in self._folder.iterdir() if (number := _number(path, name)) is not None}
        return max(found, key=found.__getitem__, default=None)


def _number(path: Path, name: Chain) -> int | None:
    chain, _, number = path.name.removesuffix(".json").partition("-")
    return int(number) if chain == name and path.suffix == ".json" and _NUMBER.fullmatch(number) else None


def _wrong(path: Path, audit: AuditCalls) -> str:
    """Return the contradiction between a checkpoint and its chain; "" if they agree."""
    if not path.is_file():  # reading a pipe might never end
        return "it is unreadable"
    try:
        kept = parse_checkpoint(path.read_bytes().strip())
    except InvalidField:
        return "it is unreadable"
    found = audit.audit_disagreement(kept)
    if found is not None:
        return f"{found.why.value}, record {found.seq}"
    return "" if int(path.stem.rpartition("-")[2]) == kept.seq else "its number differs from its name"


log = logging.getLogger("fr_server.audit")

_DAY_MS = 86_400_000


class Pruning:
    """Prunes the audits of a server. In the archive, CHAIN-NUMBER.jsonl holds the records from that number on.

    It archives a segment before it deletes it. After a kill between the two, the server goes on with the existing file.
    It never overwrites a file: if one holds other records than the store, it does not prune that chain. `audits` are by
    the names of their chains. It keeps records for `keep_days`, 1 or more, which end at midnight UTC: it prunes a chain
    once a day. `archive` is None for none. If two processes prune a store, because the lease of one ended while it
    was writing, one of them waits for the next time.
    """

    def __init__(
        self,
        audits: Mapping[Chain, AuditCalls],
        keep_days: int,
        archive: Path | None,
        clock_ms: Callable[[], int],
    ) -> None:
        self._audits = audits
        self._keep_days = keep_days
        self._archive = archive
        self._clock_ms = clock_ms

    def prune(self) -> None:
        """Prune every chain; then raise the first `Failure` or `OSError`."""
        before_ms = (self._clock_ms() // _DAY_MS - self._keep_days) * _DAY_MS
        failed: list[Failure | OSError] = []
        for name, audit in self._audits.items():
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
        try:
            upto = segment.upto if self._archive is None else self._archived(self._archive, name, audit, segment)
        except BlockingIOError:  # another process is archiving it
            return False
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
            partial = path.with_name(f"{path.name}.part")
            # Locked: another process may be about to archive more of the same records, and then to delete them.
            with unfinished(partial) as file:
                if not path.exists():
                    with os.fdopen(file, "wb", closefd=False) as archived:
                        archived.write(segment.data)
                    name_whole(partial, path)
                    return segment.upto
        lines = path.read_bytes().splitlines(keepends=True)
        found = verify_export(lines, read_public_key(audit.audit_public_key()))
        same = isinstance(found, Verified) and found.after == segment.after
        if not same or audit.audit_disagreement(checkpoint_of(lines[-1])) is not None:
            raise StoreCorrupt(message("error.server.other_records", path=path.name), check="audit_archive")
        return found.seq
