"""`fr server verify` and `audit export`: read the stores of a data folder on its machine, without the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_datasets.progress import waiting
from fr_files.audit_findings import FINDINGS
from fr_locales.messages import message
from fr_server.commands.audit import NotKept, read_checkpoints
from fr_server.commands.gallery import ConfigFile, Data, Key
from fr_server.commands.reporting import AsJson, CommandFailed, counted, print_json, reporting
from fr_server.telemetry.trust import Chain

if TYPE_CHECKING:
    from fr_core.storage.audit.checkpoints import Checkpoint
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.commands.integrity import Fault, Looked
    from fr_server.storage.places import Place


_NOT_THERE = (
    "A server makes all four stores when it starts. A missing store was never made, lies elsewhere (--config), or was "
    "removed completely. Checkpoints kept elsewhere show which."
)


def verify(
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    checkpoints: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of checkpoints kept elsewhere, for some or all chains.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every store in a data folder, and its audit, without changing them. Exit status 1 if there is a fault.

    The command names missing stores. A missing store is a fault if its remains exist, such as its lock, if a store that
    is made after it exists, or if there are checkpoints for it.

    Stop the server first, or use a copy of the folder. The command copies each store to the temporary folder ($TMPDIR),
    which needs space for the largest one, and reads it there. It needs no models.
    """
    with reporting(as_json):
        from fr_server.commands.integrity import Looked, gone, look

        places, opened = _places(data, key, config)
        kept = [] if checkpoints is None else read_checkpoints(checkpoints)
        if checkpoints is not None and not kept:
            raise NotKept(f"{checkpoints} contains no checkpoint.")
        found, not_there = [], []
        for place in places:
            if place.is_there:
                with waiting(f"Checking the store of {place.chain}"):
                    found.append(look(place, opened, _of(place.chain, kept)))
            elif (fault := gone(place, places)) is not None:
                found.append(Looked(place, 0, 0, (fault,)))
            else:
                not_there.append(place)
        absent = sorted({chain for chain, _ in kept} - {place.chain for place in places if place.is_there})
        whole = not absent and not any(one.faults for one in found)
        if as_json:
            names = {"missing": absent, "not_there": [place.chain for place in not_there]}
            print_json({"whole": whole, "stores": [_keys(one) for one in found], **names})
        else:
            for one in found:
                typer.echo(_words(one), err=bool(one.faults))
            for place in not_there:
                typer.echo(f"{place.chain}: missing ({place.named}).")
            if not_there:
                typer.echo(_NOT_THERE)
            for chain in absent:
                typer.echo(f"{chain}: has checkpoints, but no store.", err=True)
            if checkpoints is None:
                typer.echo(
                    "You gave no checkpoints: the check cannot detect an older folder, or a completely rewritten one."
                )
        if not whole:
            raise typer.Exit(1)


def audit_export(
    chain: Annotated[
        Chain,
        typer.Option("--chain", metavar="CHAIN", help="galleries, training, cases or access.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="New file for the export. It must not exist.", show_default=False)
    ],
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="Start with the record after this number.")] = 0,
) -> None:
    """Export a chain of the audit, like `fr audit export`. Stop the server first, or use a copy of the folder.

    If the chain is damaged, the file ends before the first damaged record, and the exit status is 1.
    """
    with reporting(writes=True):
        from fr_core.errors import NoStore, StoreCorrupt, TargetTaken
        from fr_server.commands.integrity import audit_of
        from fr_trust.audit.export import export

        places, opened = _places(data, key, config)
        place = next((place for place in places if place.chain == chain and place.is_there), None)
        if place is None:
            raise NoStore(message("error.server.chain_no_store", chain=chain))
        if out.exists():
            raise TargetTaken(message("error.server.already_exists", out=out))
        with waiting("Exporting"), audit_of(place, opened) as audit:
            after = max(after, audit.pruned().upto)
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                lines = _Counted(export(audit, after))
                try:
                    file.writelines(lines)
                except StoreCorrupt as error:
                    if not lines.records:
                        out.unlink()
                        raise
                    raise CommandFailed(
                        "STORE_CORRUPT", f"{out} ends after record {after + lines.records}: {error.what}"
                    ) from error
        typer.echo(f"Wrote {out}: {out.stat().st_size:,} bytes.")


class _Counted:
    """Counts the lines of an export while they are written; the first line is not a record."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._seen = 0

    @property
    def records(self) -> int:
        """Return the number of records written; for a complete export, plus one for its checkpoint."""
        return max(0, self._seen - 1)

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._seen += 1
            yield line


def _places(data: Path | None, key: str, config: Path | None) -> tuple[tuple[Place, ...], KeyEncryptionKey]:
    from fr_server.config import load_config
    from fr_server.config.folders import key_of
    from fr_server.storage.places import require_places

    named = {"gallery.folder": None if data is None else str(data), "gallery.key": key or None}
    tree = load_config(config, (), {name: value for name, value in named.items() if value is not None}, os.environ)
    places = require_places(tree)
    return places, key_of(tree, new=False)


def _of(chain: str, kept: list[tuple[str, Checkpoint]]) -> list[Checkpoint]:
    return [one for name, one in kept if name == chain]


def _words(found: Looked) -> str:
    if found.faults:
        return f"{found.place.chain}: {' '.join(map(_told, found.faults))} ({found.place.named})"
    agrees = f"; it agrees with {counted(found.checkpoints, 'checkpoint')}" if found.checkpoints else ""
    pruned = f" Records up to {found.pruned:,} were pruned." if found.pruned else ""
    if found.unchecked:
        pruned += f" Only the archive can confirm {counted(found.unchecked, 'checkpoint')} of these."
    return f"{found.place.chain}: intact, with {counted(found.records, 'audit record')}{agrees}.{pruned}"


def _told(fault: Fault) -> str:
    return f"{fault.finding}: {fault.told}" if fault.seq is None else FINDINGS[fault.finding].format(seq=fault.seq)


def _keys(found: Looked) -> dict[str, object]:
    faults = [{"finding": one.finding, "seq": one.seq, "message": _told(one)} for one in found.faults]
    numbers = {"records": found.records, "checkpoints": found.checkpoints}
    numbers |= {"pruned": found.pruned, "unchecked": found.unchecked}
    named = str(found.place.named)
    return {"chain": found.place.chain, "file": named, "whole": not faults, **numbers, "faults": faults}
