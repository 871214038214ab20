"""`fr audit`: what was done, by whom and why, and whether the record of it is as it was written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import audit_pb2
from fr_client.audit import Audit
from fr_client.audit_requests import Chain
from fr_client.cli.audit_files import counted, read_checkpoints, save_checkpoints
from fr_client.cli.audit_words import faults
from fr_client.cli.plugins import AuditGroup
from fr_client.cli.saving import new_file
from fr_client.cli.show import console, plain, print_json, shown, table, when
from fr_client.cli.state import AsJson, connected
from fr_client.unpack import message_keys

# Checkpoints in a request: its 8 MiB hold some 27,000, and a server writes 35,040 in a year.
_SENT = 20_000

audit = typer.Typer(
    cls=AuditGroup, help="Read the audit, check that nobody changed it, and export it.", no_args_is_help=True
)


OneChain = Annotated[
    Chain, typer.Option("--chain", help="What was done there; access: reads and refusals.", show_default=False)
]
When = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], metavar="DATE", help="The beginning of the day, or a time; UTC."
    ),
]


@audit.command("search")
def search(
    context: typer.Context,
    chain: OneChain,
    since: When = None,
    until: When = None,
    actor: Annotated[str, typer.Option(metavar="PRINCIPAL", help="Who, such as key:ID.")] = "",
    action: Annotated[
        str, typer.Option(metavar="ACTION", help="What, such as gallery.search, or a beginning followed by *.")
    ] = "",
    outcome: Annotated[str, typer.Option(metavar="OUTCOME", help="How it ended: OK, or a reason.")] = "",
    gallery_id: Annotated[str, typer.Option("--gallery", metavar="GALLERY", help="On this gallery.")] = "",
    subject_id: Annotated[str, typer.Option("--subject", metavar="SUBJECT", help="On this subject of it.")] = "",
    case: Annotated[str, typer.Option(metavar="REFERENCE", help="For the case of this reference.")] = "",
    request_id: Annotated[str, typer.Option("--request", metavar="ID", help="In this request.")] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Records at most, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List records of a chain. Subjects and cases stand in them under pseudonyms."""
    if subject_id and not gallery_id:
        raise typer.BadParameter("A subject is one of a gallery; give --gallery, too.", param_hint="--subject")
    with connected(context, as_json) as client:
        found = client.audit.search(
            chain.value,
            start=_utc(since),
            end=_utc(until),
            actor=actor,
            action=action,
            outcome=outcome,
            gallery_id=gallery_id,
            subject_id=subject_id,
            case_reference=case,
            request_id=request_id,
            page_size=min(limit, 1_000),
        )
        shown_ones = list(itertools.islice(found, limit + 1))
        more, shown_ones = len(shown_ones) > limit, shown_ones[:limit]
        if as_json:
            print_json({"records": [message_keys(one) for one in shown_ones], "more": more})
            return
        _print_records(shown_ones)
        if more:
            console().print(plain(f"There are more than {limit:,}: raise --limit, or narrow the search."))


@audit.command("verify")
def verify(
    context: typer.Context,
    chain: Annotated[Chain | None, typer.Option("--chain", help="This one alone; all if unset.")] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Checkpoints that were kept elsewhere, as `fr audit checkpoint` saves them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let the server check every record: exit status 1 unless all are as they were written.

    Without checkpoints nobody sees that a whole chain was written anew by whoever has the server's key. `fr audit
    verify-file` checks an export without the server.
    """
    with connected(context, as_json) as client:
        which = "" if chain is None else chain.value
        kept = [] if checkpoints is None else read_checkpoints(checkpoints, which)
        verdicts = _verdicts(client.audit, which, kept)
        wrong = faults(verdicts, counted(kept))
        if as_json:
            print_json({"verdicts": [message_keys(one) for one in verdicts], "faults": wrong})
        else:
            _print_verdicts(verdicts)
            if not kept:
                console().print("No checkpoint was given: a chain that was written anew as a whole is not found so.")
        for sentence in wrong:
            typer.echo(plain(sentence).plain, err=True)
        if wrong:
            raise typer.Exit(1)


@audit.command("export")
def export(
    context: typer.Context,
    chain: OneChain,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file; it must not exist.", show_default=False)],
    after: Annotated[int, typer.Option(min=0, metavar="N", help="From the record after this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a chain as lines of JSON with a signed checkpoint, for its owner alone.

    `fr audit verify-file` checks it on any machine.
    """
    with connected(context, as_json) as client:
        with new_file(out) as file, closing(client.audit.export_parts(chain.value, after_seq=after)) as parts:
            file.writelines(parts)
        if as_json:
            print_json({"file": shown(out), "size_bytes": out.stat().st_size})
            return
        console().print(plain(f"Wrote {shown(out)}: {out.stat().st_size:,} bytes."))


@audit.command("checkpoint")
def checkpoint(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the checkpoints; made if missing.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Save how far each chain is, signed, as CHAIN-NUMBER.json, and the key of each as CHAIN.pem.

    Keep them where whoever runs the server cannot change them. The server checks its chains against those that are
    there already, of each chain the last 2,000: unless they agree, the exit status is 1, and nothing is written.
    """
    with connected(context, as_json) as client:
        new = save_checkpoints(client.audit.checkpoints(), out, lambda kept: client.audit.verify(checkpoints=kept))
        if as_json:
            print_json({"folder": shown(out), "files": [path.name for path in new]})
            return
        names = ", ".join(path.name for path in new) or "nothing new since the last checkpoint"
        console().print(plain(f"{shown(out)}: {names}."))


def _verdicts(records: Audit, chain: str, kept: Sequence[audit_pb2.Checkpoint]) -> Sequence[audit_pb2.ChainVerdict]:
    """Let the server check chains against all of these checkpoints, in as many requests as they need.

    The first request is of every chain that is asked for, each of the others of one. Of a chain that is not as it was
    written the checkpoints that are left tell nothing more.

    Args:
        records: of the client.
        chain: this one alone; "" for all.
        kept: the checkpoints, those of each chain one after the other.
    """
    found = {one.chain: one for one in records.verify(chain, checkpoints=kept[:_SENT])}
    for name, own in itertools.groupby(kept[_SENT:], key=lambda one: one.chain):
        left = list(own)
        while left and name in found and found[name].intact:
            for again in records.verify(name, checkpoints=left[:_SENT]):
                again.checkpoints += found[name].checkpoints
                again.unchecked += found[name].unchecked
                found[again.chain] = again
            left = left[_SENT:]
    return list(found.values())


def _utc(given: datetime | None) -> datetime | None:
    return None if given is None else given.replace(tzinfo=UTC)


def _print_records(records: Sequence[audit_pb2.AuditRecord]) -> None:
    if not records:
        console().print("No record fits.")
        return
    rows = table("Number", "Time", "Who", "What", "Gallery", "Purpose", "Outcome", "Request", right=("Number",))
    for one in records:
        said = _said(one)
        words = [said.get(name, "") for name in ("actor", "action", "gallery", "purpose", "outcome", "request_id")]
        rows.add_row(str(one.seq), when(one.time), *map(plain, words))
    console().print(rows)


def _said(record: audit_pb2.AuditRecord) -> dict[str, str]:
    """Return the fields of a record that are text; none of one that is no JSON."""
    try:
        said = json.loads(record.json)
    except (ValueError, RecursionError):
        return {"action": "cannot be read"}
    return {name: value for name, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


def _print_verdicts(verdicts: Sequence[audit_pb2.ChainVerdict]) -> None:
    numbers = ("Records", "Checkpoints")
    rows = table("Chain", *numbers, "Found", right=numbers)
    for one in verdicts:
        found = "as it was written" if one.intact else one.finding.replace("_", " ")
        if one.pruned:
            found += f", from record {one.pruned + 1:,} on"
        rows.add_row(plain(one.chain), f"{one.records:,}", f"{one.checkpoints:,}", plain(found))
    console().print(rows)
    if unchecked := sum(one.unchecked for one in verdicts):
        told = f"{unchecked:,} checkpoints belong to pruned records: check them with `fr audit verify-file` and"
        console().print(f"{told} the archive.")
