"""Signed checkpoints of the audits, written where whoever changes the audits cannot change them too."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from fr_core.errors import ConfigInvalid, Failure, InvalidField
from fr_core.storage.audit.checkpoints import parse_checkpoint
from fr_core.storage.durable import write_private
from fr_server.config import Config
from fr_server.config.folders import archive_folder, checkpoint_folder
from fr_server.rpc.services.audits import AuditCalls
from fr_server.telemetry.logs import describe
from fr_server.telemetry.trust import Chain, NullTrust, Trust

log = logging.getLogger("fr_server.audit")

_NUMBER = re.compile(r"[0-9]{1,16}")


def require_audit_folders(config: Config) -> None:
    """Raise `ConfigInvalid` if the folder of checkpoints or of the archive does not exist or cannot be read."""
    _require_folder("audit.checkpoint_folder", checkpoint_folder(config), "for checkpoints")
    _require_folder("audit.archive_folder", archive_folder(config), "for the archive")


def _require_folder(key: str, folder: Path | None, what: str) -> None:
    try:
        if folder is None or folder.is_dir():
            return
        told = f"There is no folder {folder} {what} of the audit: make it, or mount its disk."
    except OSError as error:
        told = f"The folder {folder} {what} of the audit cannot be read: {error.strerror}."
    raise ConfigInvalid(told, key=key, file=str(folder))


class Checkpoints:
    """Writes a checkpoint of each chain to a folder, again and again: CHAIN-NUMBER.json; CHAIN.pem to check it with.

    A chain that contradicts the newest checkpoint of it that is there gets no more of them: the log and `trust` say so,
    until the chain agrees, or the folder is another one.

    Args:
        audits: by the names of their chains.
        folder: on another machine's disk, or on one that cannot be written twice.
        trust: is told of each that was written, and whether a chain agrees; None = nobody is.
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
        # Before the chain is looked at: what another process of this server writes meanwhile is of a longer one.
        newest = self._newest(name)
        wrong = "" if newest is None else _wrong(newest, audit)
        self._trust.checkpoint_agrees(name, not wrong)
        if newest is not None and wrong:
            log.error(
                "The audit %s is not that of which %s is a checkpoint (%s), so that no more of it are written: records "
                "were changed, or an older data folder was put back; if that was meant, name a new, empty folder in "
                "audit.checkpoint_folder, and keep the one before",
                name,
                newest.name,
                wrong,
            )
            return
        checkpoint = audit.audit_checkpoint()
        path = self._folder / f"{name}-{checkpoint.seq:012}.json"
        if not path.exists():  # else nothing has come since, or another process has written it
            key = self._folder / f"{name}.pem"
            if not key.exists():
                write_private(key, audit.audit_public_key().encode())
            write_private(path, checkpoint.to_json())
        self._trust.checkpointed(name, checkpoint.at_ms / 1000)

    def _newest(self, name: Chain) -> Path | None:
        """Return the file of the highest number of a chain; `fr audit checkpoint` once wrote numbers without zeros."""
        found = {path: number for path in self._folder.iterdir() if (number := _number(path, name)) is not None}
        return max(found, key=found.__getitem__, default=None)


def _number(path: Path, name: Chain) -> int | None:
    chain, _, number = path.name.removesuffix(".json").partition("-")
    return int(number) if chain == name and path.suffix == ".json" and _NUMBER.fullmatch(number) else None


def _wrong(path: Path, audit: AuditCalls) -> str:
    """Return what is wrong between a checkpoint and the chain; "" where they agree."""
    if not path.is_file():  # what is read of a pipe may never come
        return "it cannot be read"
    try:
        kept = parse_checkpoint(path.read_bytes().strip())
    except InvalidField:
        return "it cannot be read"
    found = audit.audit_disagreement(kept)
    if found is not None:
        return f"{found.why.value}, record {found.seq}"
    return "" if int(path.stem.rpartition("-")[2]) == kept.seq else "it is another than its name says"
