"""`fr server verify` and `audit-export`: what is in the stores of a data folder, on its machine, without the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_server.commands.audit import FINDINGS, NotKept, read_checkpoints
from fr_server.commands.gallery import AsJson, ConfigFile, Data, Key
from fr_server.commands.reporting import CommandFailed, print_json, reporting
from fr_server.telemetry.trust import Chain

if TYPE_CHECKING:
    from fr_core.storage.audit.checkpoints import Checkpoint
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.commands.integrity import Fault, Looked, Place


_NOT_THERE = (
    "A server makes all four when it starts. What is not there was never made, lies elsewhere (--config), or was taken "
    "away with all that belongs to it: checkpoints that were kept elsewhere tell which."
)


def verify(
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Checkpoints that were kept elsewhere, of some of the chains or of all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every store of a data folder and its audit, changing nothing: exit status 1 unless all of them are whole.

    A store that is not there is named. It is a fault where something of it is left, such as its lock, where it must
    have been made before another, or where there are checkpoints of it.

    With the server stopped, or on a copy of the folder. Each store is copied into the folder for temporary files
    ($TMPDIR), which needs room for the largest, and read there. No models are needed.
    """
    with reporting(as_json):
        from fr_server.commands.integrity import Looked, gone, look

        places, opened = _places(data, key, config)
        kept = [] if checkpoints is None else read_checkpoints(checkpoints)
        if checkpoints is not None and not kept:
            raise NotKept(f"{checkpoints} holds no checkpoint.")
        found, not_there = [], []
        for place in places:
            if place.is_there:
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
                typer.echo(f"{place.chain}: not there ({place.path}).")
            if not_there:
                typer.echo(_NOT_THERE)
            for chain in absent:
                typer.echo(f"{chain}: there are checkpoints of it, and no store.", err=True)
            if checkpoints is None:
                typer.echo("No checkpoint was given: an older folder, or one written anew as a whole, is not found so.")
        if not whole:
            raise typer.Exit(1)


def audit_export(
    chain: Annotated[
        Chain,
        typer.Option("--chain", metavar="CHAIN", help="galleries, training, cases or access.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file; it must not exist.", show_default=False)],
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="From the record after this number.")] = 0,
) -> None:
    """Write a chain of the audit as `fr audit export` does, with the server stopped, or of a copy of the folder.

    Of a damaged one the file has the records before the first that is not whole, and the exit status is 1.
    """
    with reporting(writes=True):
        from fr_trust.audit.export import export

        from fr_core.errors import NoStore, StoreCorrupt, TargetTaken
        from fr_server.commands.integrity import audit_of

        places, opened = _places(data, key, config)
        place = next((place for place in places if place.chain == chain and place.is_there), None)
        if place is None:
            raise NoStore(f"There is no store of the chain {chain}.")
        if out.exists():
            raise TargetTaken(f"There is something at {out} already.")
        with audit_of(place, opened) as audit:
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
    """The lines of an export, counted while they are written; the first is none of a record.

    Args:
        lines: with their line breaks.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._seen = 0

    @property
    def records(self) -> int:
        """Return how many were written; of a whole export one more, its checkpoint."""
        return max(0, self._seen - 1)

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._seen += 1
            yield line


def _places(data: Path | None, key: str, config: Path | None) -> tuple[tuple[Place, ...], KeyEncryptionKey]:
    """Return where the stores are, and the key that they are under, found as `fr serve` finds them."""
    from fr_server.commands.integrity import require_places
    from fr_server.config import load_config
    from fr_server.config.folders import key_of

    named = {"gallery.folder": None if data is None else str(data), "gallery.key": key or None}
    tree = load_config(config, (), {name: value for name, value in named.items() if value is not None}, os.environ)
    places = require_places(tree)
    return places, key_of(tree, new=False)


def _of(chain: str, kept: list[tuple[str, Checkpoint]]) -> list[Checkpoint]:
    return [one for name, one in kept if name == chain]


def _words(found: Looked) -> str:
    if found.faults:
        return f"{found.place.chain}: {' '.join(map(_told, found.faults))} ({found.place.path})"
    agrees = f", which agrees with {_counted(found.checkpoints, 'checkpoint')}" if found.checkpoints else ""
    pruned = f" Records up to {found.pruned:,} were pruned." if found.pruned else ""
    if found.unchecked:
        pruned += f" {_counted(found.unchecked, 'checkpoint')} of these can only be checked with the archive."
    return f"{found.place.chain}: whole, with {_counted(found.records, 'record')} of the audit{agrees}.{pruned}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _told(fault: Fault) -> str:
    return f"{fault.finding}: {fault.told}" if fault.seq is None else FINDINGS[fault.finding].format(seq=fault.seq)


def _keys(found: Looked) -> dict[str, object]:
    faults = [{"finding": one.finding, "seq": one.seq, "message": _told(one)} for one in found.faults]
    numbers = {"records": found.records, "checkpoints": found.checkpoints}
    numbers |= {"pruned": found.pruned, "unchecked": found.unchecked}
    return {"chain": found.place.chain, "file": str(found.place.path), "whole": not faults, **numbers, "faults": faults}
