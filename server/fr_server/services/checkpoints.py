"""Signed checkpoints of the audits, written where whoever changes the audits cannot change them too."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from fr_core.audit.checkpoints import Checkpoint, parse_checkpoint
from fr_core.errors import ConfigInvalid, Failure, InvalidField
from fr_core.gallery.store.durable import write_private
from fr_server.config import Config
from fr_server.services.audits import AuditCalls
from fr_server.telemetry.logs import describe
from fr_server.telemetry.trust import Chain, NullTrust, Trust

log = logging.getLogger("fr_server.audit")


def require_checkpoint_folder(config: Config) -> None:
    """Raise `ConfigInvalid` where checkpoints are to be written to a folder that is not there."""
    folder = config.audit.checkpoint_folder
    if folder and not Path(folder).is_dir():
        told = f"There is no folder {folder} for checkpoints of the audit."
        raise ConfigInvalid(told, key="audit.checkpoint_folder", file=folder)


class Checkpoints:
    """Writes a checkpoint of each chain to a folder, again and again: CHAIN-SEQ.json, and CHAIN.pem to check it with.

    Args:
        audits: by the names of their chains.
        folder: on another machine's disk, or on one that cannot be written twice.
        trust: is told of each that was written; None = nobody is.
    """

    def __init__(self, audits: Mapping[Chain, AuditCalls], folder: Path, trust: Trust | None = None) -> None:
        self._audits = audits
        self._folder = folder
        self._trust = trust or NullTrust()
        self._turn = threading.Lock()  # the last one is not written while one of before is

    def write(self) -> None:
        """Write one of each chain that has grown since; what fails is logged, and tried again the next time."""
        with self._turn:
            for name, audit in self._audits.items():
                try:
                    self._write(name, audit)
                except (Failure, OSError) as error:
                    log.error("A checkpoint of the audit %s could not be written: %s", name, describe(error))

    def _write(self, name: Chain, audit: AuditCalls) -> None:
        checkpoint = audit.audit_checkpoint()
        path = self._folder / f"{name}-{checkpoint.seq:012}.json"
        if path.exists():  # nothing has come since
            if not _agrees(path.read_bytes(), checkpoint):
                log.error("The audit %s is not that of which %s is a checkpoint", name, path.name)
                return
        else:
            key = self._folder / f"{name}.pem"
            if not key.exists():
                write_private(key, audit.audit_public_key().encode())
            write_private(path, checkpoint.to_json())
        self._trust.checkpointed(name, checkpoint.at_ms / 1000)

    async def write_for_ever(self, every_s: float) -> None:
        """Write now and every so many seconds, until cancelled."""
        while True:
            await asyncio.to_thread(self.write)
            await asyncio.sleep(every_s)


def _agrees(data: bytes, checkpoint: Checkpoint) -> bool:
    """Whether what was written says the same of the chain; it may have been written by another process."""
    try:
        before = parse_checkpoint(data)
    except InvalidField:
        return False
    return (before.chain_id, before.hash, before.key_id) == (checkpoint.chain_id, checkpoint.hash, checkpoint.key_id)
