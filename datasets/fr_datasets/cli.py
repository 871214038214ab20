"""`fr dataset`: which sets of labelled photos there are, on what terms, and where they lie."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fr_datasets.exit_status import errors_to_status, printable
from fr_datasets.progress import show_progress, waiting
from fr_locales.messages import message

if TYPE_CHECKING:
    from fr_datasets.links import Link
    from fr_datasets.manifests import Manifest

dataset = typer.Typer(
    name="dataset", help="List, fetch, verify and link sets of labelled photos.", no_args_is_help=True
)

UNUSABLE = 1

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the set; `fr dataset list` lists them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Partial = Annotated[bool, typer.Option("--partial", help="Only a part of the set is there: check what its lists name.")]


@dataset.command("list")
def list_sets(as_json: AsJson = False) -> None:
    """Show every set: its title, whether it can be fetched, and where it lies."""
    with errors_to_status(UNUSABLE):
        from fr_datasets.links import datasets_folder, read_links
        from fr_datasets.manifests import load_manifest, manifest_names

        links = read_links(datasets_folder())
        rows = [_describe(load_manifest(name), links.get(name)) for name in manifest_names()]
    if as_json:
        _print_json({"datasets": rows})
        return
    # A reader of the list types the name and opens the folder: neither is cut off on a narrow terminal.
    table = Table(Column("Name", no_wrap=True), "Title", "Source", Column("Folder", overflow="fold"), show_lines=True)
    for row in rows:
        source = "fetch" if row["fetchable"] else "by hand"
        folder = printable(row["root"] or "") + (" (a part)" if row["partial"] else "")
        table.add_row(*map(Text, (row["dataset"], row["title"], source, folder)))
    Console().print(table)
    typer.echo("`fr dataset show NAME` shows the terms of a set, where it comes from, and how its folder must look.")


@dataset.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show what is known of a set: terms, citation, counts, files, and how its folder must look."""
    with errors_to_status(UNUSABLE):
        from fr_datasets.links import datasets_folder, read_links
        from fr_datasets.manifests import load_manifest

        manifest = load_manifest(name)
        row = _describe(manifest, read_links(datasets_folder()).get(name)) | _details(manifest)
    if as_json:
        _print_json(row)
        return
    row["root"] = row["root"] and printable(row["root"])
    for key, value in row.items():
        typer.echo(f"{key.replace('_', ' ')}: {_plain(value)}")


@dataset.command()
def fetch(
    name: Name,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put it [default: FR_HOME/datasets/NAME]")
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read the terms and accept them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a set: shows its terms, goes on where it was cut off, verifies, unpacks and links it."""
    with errors_to_status(UNUSABLE):
        from fr_datasets.catalogue import check
        from fr_datasets.fetch import fetch as fetch_files
        from fr_datasets.fetch import require_source
        from fr_datasets.links import Link, datasets_folder, write_link
        from fr_datasets.manifests import load_manifest

        manifest, folder = load_manifest(name), datasets_folder()
        require_source(manifest)
        _require_acceptance(manifest, accept_terms)
        place = (root or folder / name).absolute()
        with show_progress() as progress:
            fetch_files(manifest, place, progress)
        with waiting("Checking the set"):
            counts = check(manifest, place)
        write_link(name, Link(place), folder)
    _print_checked(name, place, counts, as_json)


@dataset.command()
def verify(
    name: Name,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the set [default: the linked one]")
    ] = None,
    partial: Partial = False,
    as_json: AsJson = False,
) -> None:
    """Read every list of a set, make sure of every photo it names, and hold it against the manifest."""
    with errors_to_status(UNUSABLE):
        from fr_datasets.catalogue import check
        from fr_datasets.links import Link, datasets_folder, find_link
        from fr_datasets.manifests import load_manifest

        manifest = load_manifest(name)
        link = Link(root.absolute(), partial) if root else find_link(name, datasets_folder())
        with waiting("Checking the set"):
            counts = check(manifest, link.root, partial=partial or link.partial)
    _print_checked(name, link.root, counts, as_json)


@dataset.command()
def link(
    name: Name,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the set.")],
    partial: Partial = False,
    as_json: AsJson = False,
) -> None:
    """Check a folder as `verify` does, and remember it as the place of the set."""
    with errors_to_status(UNUSABLE):
        from fr_datasets.catalogue import check
        from fr_datasets.links import Link, datasets_folder, write_link
        from fr_datasets.manifests import load_manifest

        place = root.absolute()
        with waiting("Checking the set"):
            counts = check(load_manifest(name), place, partial=partial)
        write_link(name, Link(place, partial), datasets_folder())
    _print_checked(name, place, counts, as_json)


def _require_acceptance(manifest: Manifest, accepted: bool) -> None:
    from fr_datasets.errors import TermsNotAccepted, of_dataset

    typer.echo(f"{manifest.title}\nLicence: {manifest.licence}\nTerms: {manifest.terms}", err=True)
    typer.echo(f"Cite: {manifest.citation}", err=True)
    if accepted:
        return
    if not sys.stdin.isatty() or not typer.confirm("Do you accept these terms?", err=True):
        with of_dataset(manifest.name):
            raise TermsNotAccepted(message("error.dataset.terms_not_accepted_nothing", manifest=manifest.name))


def _describe(manifest: Manifest, link: Link | None) -> dict[str, Any]:
    return {
        "dataset": manifest.name,
        "title": manifest.title,
        "licence": manifest.licence,
        "terms": manifest.terms,
        "fetchable": bool(manifest.files),
        "root": None if link is None else str(link.root),
        "partial": link is not None and link.partial,
    }


def _details(manifest: Manifest) -> dict[str, Any]:
    return {
        "citation": manifest.citation,
        "counts": dict(manifest.counts),
        "layout": manifest.layout,
        "by_hand": manifest.by_hand,
        "files": [
            {"path": file.path, "sources": list(file.sources), "checksum": file.checksum, "archive": file.archive}
            for file in manifest.files
        ],
    }


def _plain(value: Any) -> str:
    """A value for people, on one line or indented below its name."""
    match value:
        case _ if value in (None, [], {}):
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in value.items())
        case list():
            return "".join(f"\n  {file['path']}  {file['checksum']}\n    {' '.join(file['sources'])}" for file in value)
        case str() if "\n" in value:
            return "\n  " + value.replace("\n", "\n  ")
        case _:
            return str(value)


def _print_checked(name: str, root: Path, counts: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        _print_json({"dataset": name, "root": str(root), "counts": dict(counts)})
    else:
        typer.echo(f"{name}: {_plain(dict(counts))} in {printable(str(root))}")


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
