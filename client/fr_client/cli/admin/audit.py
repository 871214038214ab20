"""`fr audit`: searches, verifies and exports the audit, and saves its checkpoints."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from fr_api.v1 import audit_pb2
from fr_client.cli.admin.checkpoints import counted, faults, read_checkpoints, save_checkpoints
from fr_client.cli.files import write_parts
from fr_client.cli.plugins import plugin_group
from fr_client.cli.show import console, plain, print_answer, print_json, shown, table, when
from fr_client.cli.state import AsJson, connected
from fr_client.sync.audit import Audit
from fr_client.unpack import message_keys
from fr_client.words import Chain

# Checkpoints in a request: its 8 MiB hold some 27,000, and a server writes 35,040 in a year.
_SENT = 20_000

audit = typer.Typer(
    cls=plugin_group("audit"), help="Read the audit, check that nobody changed it, and export it.", no_args_is_help=True
)


OneChain = Annotated[
    Chain, typer.Option("--chain", help="The chain to use; access has reads and refusals.", show_default=False)
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
    gallery_id: Annotated[str, typer.Option("--gallery", metavar="GALLERY", help="This gallery.")] = "",
    subject_id: Annotated[str, typer.Option("--subject", metavar="SUBJECT", help="This subject of it.")] = "",
    case: Annotated[str, typer.Option(metavar="REFERENCE", help="The case with this reference.")] = "",
    request_id: Annotated[str, typer.Option("--request", metavar="ID", help="This request.")] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Records at most, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List records of a chain. They name subjects and cases by pseudonyms."""
    if subject_id and not gallery_id:
        raise typer.BadParameter("A subject belongs to a gallery; give --gallery, too.", param_hint="--subject")
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
        keys = {"records": [message_keys(one) for one in shown_ones], "more": more} if as_json else {}
        hint = [f"There are more than {limit:,}: raise --limit, or narrow the search."] if more else []
        print_answer(as_json, keys, _records(shown_ones), *hint)


@audit.command("verify")
def verify(
    context: typer.Context,
    chain: Annotated[Chain | None, typer.Option("--chain", help="Only this chain; all if unset.")] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of checkpoints from `fr audit checkpoint`, kept elsewhere."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let the server check every record. Exit status 1: somebody changed a record.

    Only checkpoints show if somebody with the server's key rewrote a whole chain. `fr audit file verify` checks an
    export without the server.
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
                console().print("No checkpoint was given: a chain that was rewritten as a whole is not detected.")
        for sentence in wrong:
            typer.echo(plain(sentence).plain, err=True)
        if wrong:
            raise typer.Exit(1)


@audit.command("export")
def export(
    context: typer.Context,
    chain: OneChain,
    out: Annotated[Path, typer.Option(metavar="FILE", help="New file.", show_default=False)],
    after: Annotated[int, typer.Option(min=0, metavar="N", help="From the record after this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a chain as lines of JSON with a signed checkpoint. Only you can read the file.

    `fr audit file verify` checks it on any machine.
    """
    with connected(context, as_json) as client:
        size = write_parts(out, client.audit.export_parts(chain.value, after_seq=after))
        print_answer(as_json, {"file": shown(out), "size_bytes": size}, f"Wrote {shown(out)}: {size:,} bytes.")


@audit.command("checkpoint")
def checkpoint(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the checkpoints; made if missing.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Save the signed end of each chain as CHAIN-NUMBER.json, and the key of each as CHAIN.pem.

    Keep them where the people who run the server cannot change them. The server checks its chains against the last
    2,000 existing checkpoints of each: if they disagree, the exit status is 1, and the command writes nothing.
    """
    with connected(context, as_json) as client:
        new = save_checkpoints(client.audit.checkpoints(), out, lambda kept: client.audit.verify(checkpoints=kept))
        names = ", ".join(path.name for path in new) or "nothing new since the last checkpoint"
        keys = {"folder": shown(out), "files": [path.name for path in new]}
        print_answer(as_json, keys, f"{shown(out)}: {names}.")


def _verdicts(records: Audit, chain: str, kept: Sequence[audit_pb2.Checkpoint]) -> Sequence[audit_pb2.ChainVerdict]:
    """Let the server check one chain, or all (""), against checkpoints, in as many requests as they need.

    The first request is about every chain, each further one about one chain. `kept` has the checkpoints, chain after
    chain. For a changed chain, the remaining ones would tell nothing more.
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


def _records(records: Sequence[audit_pb2.AuditRecord]) -> RenderableType:
    if not records:
        return "No record fits."
    rows = table("Number", "Time", "Who", "What", "Gallery", "Purpose", "Outcome", "Request", right=("Number",))
    for one in records:
        said = _said(one)
        words = [said.get(name, "") for name in ("actor", "action", "gallery", "purpose", "outcome", "request_id")]
        rows.add_row(str(one.seq), when(one.time), *map(plain, words))
    return rows


def _said(record: audit_pb2.AuditRecord) -> dict[str, str]:
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
        belong = "1 checkpoint belongs" if unchecked == 1 else f"{unchecked:,} checkpoints belong"
        told = f"{belong} to pruned records: check them with `fr audit file verify` and"
        console().print(f"{told} the archive.")
