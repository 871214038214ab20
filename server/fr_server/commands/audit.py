"""`fr audit file verify`: checks an export of the audit on any machine, without the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from fr_datasets.progress import waiting
from fr_files.audit_findings import FINDINGS
from fr_files.reading import open_regular, read_at_most, read_json
from fr_server.commands.reporting import AsJson, CommandFailed, counted, print_json, reporting

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from fr_core.storage.audit.checkpoints import Checkpoint
    from fr_core.storage.audit.verify import Broken, Verified


# File names that `fr audit checkpoint` gives.
_NAME = re.compile(r"([a-z]{1,16})-[0-9]{1,16}\.json")
# A record has at most 32 KiB. The pieces of a longer line are not valid records.
_MAX_LINE = 64 * 1024
# A public key has a few hundred bytes.
_MAX_PEM = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    """The checkpoints of one chain that were kept elsewhere; no `chain` if the caller gave only the key."""

    chain: str
    public_key: Ed25519PublicKey
    checkpoints: Sequence[Checkpoint]


class NotKept(CommandFailed):
    """No checkpoint or key fits the chain; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__("CHECKPOINT_MISSING", message)


file = typer.Typer(help="Check exports of the audit on any machine.", no_args_is_help=True)


@file.command("verify")
def verify_file(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="EXPORT.jsonl...",
            help="File from `fr audit export`. If records were archived, name the archive files first, in order.",
        ),
    ],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", metavar="PEM", help="Public key of the chain, received separately from the export."
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of checkpoints and keys from `fr audit checkpoint`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an export of the audit without the server. Exit status 1 if it was changed after it was written."""
    if public_key is None and checkpoints is None:
        raise typer.BadParameter(
            "Give the key of the chain with --public-key, or the folder of checkpoints with --checkpoints."
        )
    with reporting(as_json):
        from fr_core.storage.audit.verify import Broken
        from fr_trust.audit.export import verify_export

        with open_regular(files[0]) as first:
            kept = _kept(_chain_id(first), public_key, checkpoints)
        with waiting("Checking"):
            found = verify_export(_lines(files), kept.public_key, kept.checkpoints, may_continue=True)
        if as_json:
            print_json(_keys(found, kept))
        if isinstance(found, Broken):
            typer.echo(_broken_words(found, kept.chain), err=True)
            raise typer.Exit(1)
        if not as_json:
            _tell(found, kept)


def _kept(chain_id: str, public_key: Path | None, folder: Path | None) -> _Kept:
    """Return the key and the checkpoints of a chain; raises `NotKept` if the folder has none for it."""
    from fr_core.storage.audit.checkpoints import read_public_key

    own: dict[str, list[Checkpoint]] = {}
    for name, one in [] if folder is None else read_checkpoints(folder):
        if one.chain_id == chain_id:
            own.setdefault(name, []).append(one)
    if folder is not None and not own:
        raise NotKept(
            f"{folder} holds no checkpoint for this export: the export has a different chain, or was rewritten."
        )
    if len(own) > 1:
        raise NotKept(f"{folder} holds checkpoints of the same chain under two names.")
    chain, marks = next(iter(own.items()), ("", []))
    pem = public_key or (folder or Path()) / f"{chain}.pem"
    return _Kept(chain, read_public_key(read_pem(pem)), marks)


def read_pem(path: Path) -> str:
    """Return the text of a key file; raises `OSError` if the file is unreadable."""
    return read_at_most(path, _MAX_PEM).decode(errors="replace")


def read_checkpoints(folder: Path) -> list[tuple[str, Checkpoint]]:
    """Return the checkpoints in a folder, each with the name of its chain; raises `NotKept` if one is invalid."""
    from fr_core.errors import InvalidField
    from fr_core.storage.audit.checkpoints import MAX_CHECKPOINT_BYTES, parse_checkpoint

    found = []
    for path in sorted(path for path in folder.iterdir() if path.suffix == ".json"):
        name = _NAME.fullmatch(path.name)
        try:
            one = parse_checkpoint(read_at_most(path, MAX_CHECKPOINT_BYTES).strip())
        except InvalidField as error:
            raise NotKept(f"{path} is not a checkpoint, or it was changed.") from error
        if name is None:
            raise NotKept(f"{path} is not a checkpoint: `fr audit checkpoint` names them CHAIN-NUMBER.json.")
        found.append((name[1], one))
    return found


def _chain_id(lines: BinaryIO) -> str:
    try:
        return str(read_json(lines.readline(_MAX_LINE), _MAX_LINE)["chain_id"])
    except (ValueError, TypeError, KeyError) as error:
        raise NotKept("The file is not an audit export: its first line names no chain.") from error


def _lines(files: Sequence[Path]) -> Iterator[bytes]:
    for path in files:
        with open_regular(path) as file:
            while line := file.readline(_MAX_LINE):
                yield line


def _broken_words(found: Broken, chain: str) -> str:
    name = f"Chain {chain}" if chain else "The chain"
    return f"{name}: {FINDINGS[found.why.value].format(seq=found.seq)}"


def _keys(found: Verified | Broken, kept: _Kept) -> dict[str, object]:
    from fr_core.storage.audit.verify import Verified

    if isinstance(found, Verified):
        numbers = {"records": found.records, "last_seq": found.seq, "checkpoints": found.checkpoints}
        numbers["unchecked"] = found.unchecked
        return {"intact": True, "chain": kept.chain, **numbers, "finding": "", "seq": 0}
    return {"intact": False, "chain": kept.chain, "finding": found.why.value, "seq": found.seq}


def _tell(found: Verified, kept: _Kept) -> None:
    name = f"Chain {kept.chain}" if kept.chain else "The chain"
    first = found.after + 1
    which = f"records {first:,} to {found.seq:,}" if found.records else "no record"
    typer.echo(f"{name} is unchanged: {which} ({found.records:,} in total).")
    typer.echo("The given key signed its last record.")
    if first > 1:
        typer.echo(f"The export begins after record {first - 1:,}. Earlier records were not checked.")
    if found.unchecked:
        typer.echo(
            f"Not checked: {counted(found.unchecked, 'checkpoint')} of earlier records. "
            "To check them, name the archive files first."
        )
    if kept.checkpoints:
        newest, agreed = max(one.seq for one in kept.checkpoints), len(kept.checkpoints) - found.unchecked
        if agreed:
            typer.echo(f"It agrees with {counted(agreed, 'checkpoint')}, up to record {newest:,}.")
        return
    typer.echo("You gave no checkpoints: the check cannot detect a whole chain that an owner of its key has rewritten.")
