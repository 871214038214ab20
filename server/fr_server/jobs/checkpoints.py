"""Writes signed checkpoints of the audits to a place where a person who changes the audits cannot change them."""

import logging
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from fr_core.errors import Failure, InvalidField
from fr_core.storage.audit.checkpoints import parse_checkpoint
from fr_core.storage.durable import write_private
from fr_server.storage.calls import AuditCalls
from fr_server.telemetry.logs import describe
from fr_server.telemetry.trust import Chain, Trust

log = logging.getLogger("fr_server.audit")

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
