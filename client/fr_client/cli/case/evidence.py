"""`fr evidence`: exports the evidence bundle of a case."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from fr_client.cli.case.cases import CaseId
from fr_client.cli.files import new_file
from fr_client.cli.plugins import plugin_group
from fr_client.cli.show import console, plain, print_json, shown
from fr_client.cli.state import AsJson, connected

evidence = typer.Typer(
    cls=plugin_group("evidence"),
    help="Export the evidence of a case, and check a bundle anywhere.",
    no_args_is_help=True,
)


@evidence.callback()
def _evidence() -> None:
    """Export the evidence of a case, and check a bundle anywhere."""


@evidence.command("export")
def export(
    context: typer.Context,
    case_id: CaseId,
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="New file for the bundle.", show_default=False)],
    include_unfinished: Annotated[
        bool,
        typer.Option("--include-unfinished", help="Include examinations that wait for a finding; the bundle says so."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the evidence bundle of a case. Only you can read the file: it holds photos of faces.

    The file appears once it is complete. `fr evidence verify` checks it on any machine. Note its sha256: the receiver
    of the bundle compares it.
    """
    digest = hashlib.sha256()
    with connected(context, as_json) as client:
        with (
            new_file(out) as file,
            closing(client.review.evidence_parts(case_id, include_unfinished=include_unfinished)) as parts,
        ):
            for part in parts:
                digest.update(part)
                file.write(part)
        size, sha256 = out.stat().st_size, digest.hexdigest()
        if as_json:
            print_json({"file": shown(out), "size_bytes": size, "sha256": sha256})
            return
        console().print(plain(f"Wrote {shown(out)}: {size:,} bytes."))
        typer.echo(f"sha256 {sha256}")  # in one line, however narrow the terminal is
