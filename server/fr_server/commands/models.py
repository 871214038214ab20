"""`fr models`: lists, fetches and verifies model packs. Imports heavy modules only when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fr_datasets.exit_status import errors_to_status
from fr_datasets.progress import waiting
from fr_server.commands.reporting import print_json

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache
    from fr_core.packs.manifest import Pack

models = typer.Typer(name="models", help="List, fetch and verify model packs.", no_args_is_help=True)

UNUSABLE = 1

PackName = Annotated[str, typer.Argument(metavar="PACK", help="Name of the pack, from `fr models list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """List every pack with its summary, its licences and its state."""
    with errors_to_status(UNUSABLE):
        from fr_core.packs.manifest import load_pack, pack_names

        cache = _cache()
        rows = [_describe(load_pack(name), cache) for name in pack_names()]
    if as_json:
        print_json({"packs": rows, "folder": str(cache.folder)})
        return
    table = Table("Pack", "Summary", "Values", "Licence", "Installed", show_lines=True)
    for row in rows:
        table.add_row(
            row["pack"] + ("\n(default)" if row["default"] else ""),
            row["summary"],
            str(row["embedding_size"]),
            _licences(row),
            "yes" if row["installed"] else "no",
        )
    Console().print(table)


@models.command()
def fetch(
    pack: PackName,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Copy the files from this folder or from folders in it instead of downloading them.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a pack into the cache, unless it is already there and verified."""
    with errors_to_status(UNUSABLE):
        from fr_core.packs.fetch import fetch_all, take_all
        from fr_core.packs.manifest import load_pack
        from fr_datasets.progress import show_progress

        chosen, cache = load_pack(pack), _cache()
        present = all(cache.installed(spec) for spec in chosen.files)
        if not present:
            row = _describe(chosen, cache)
            typer.echo(f"Licence of {pack}:\n{_licences(row)}", err=True)
            if folder is not None:
                take_all(chosen.files, cache, folder)
            else:
                with show_progress() as progress:
                    fetch_all(chosen.files, cache, progress)
    if as_json:
        print_json({"pack": pack, "already_installed": present, "files": _files(chosen, cache)})
    else:
        typer.echo(f"{pack}: already installed" if present else f"{pack}: installed in {cache.folder}")


@models.command()
def verify(
    pack: Annotated[
        str | None, typer.Argument(metavar="PACK", help="Name of the pack. Default: all completely installed packs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check each file of a pack, or of all installed packs, against its sha256. Exit status 1 if one is wrong."""
    with errors_to_status(UNUSABLE):
        from fr_core.packs.manifest import load_pack, pack_names

        cache = _cache()
        with waiting("Checking"):
            found = {name: _files(load_pack(name), cache) for name in (pack_names() if pack is None else (pack,))}
    if pack is None:
        found = {name: files for name, files in found.items() if all(one["state"] != "MISSING" for one in files)}
    if as_json:
        rows = [{"pack": name, "files": files} for name, files in found.items()]
        print_json({"packs": rows} if pack is None else rows[0])
    else:
        for name, files in found.items():
            if pack is None:
                typer.echo(f"{name}:")
            for file in files:
                typer.echo(f"{file['state']:7}  {file['name']}  {file['path']}")
    if not found:
        typer.echo(f"No pack is installed in {cache.folder}. Install one with `fr models fetch PACK`.", err=True)
    if not found or any(file["state"] != "OK" for files in found.values() for file in files):
        raise typer.Exit(1)


def _cache() -> ModelCache:
    from fr_core.packs.cache import ModelCache, cache_folder

    return ModelCache(cache_folder())


def _describe(pack: Pack, cache: ModelCache) -> dict[str, Any]:
    from fr_core.packs.manifest import DEFAULT_PACK

    return {
        "pack": pack.name,
        "version": pack.version,
        "summary": pack.summary,
        "embedding_size": pack.embedder.embedding_size,
        "detector_licence": pack.detector.licence,
        "embedder_licence": pack.embedder.licence,
        "installed": all(cache.installed(spec) for spec in pack.files),
        "default": pack.name == DEFAULT_PACK,
    }


def _licences(row: dict[str, Any]) -> str:
    if row["detector_licence"] == row["embedder_licence"]:
        return str(row["detector_licence"])
    return f"detector: {row['detector_licence']}\nembedder: {row['embedder_licence']}"


def _files(pack: Pack, cache: ModelCache) -> list[dict[str, str]]:
    return [
        {"name": spec.name, "path": str(cache.path(spec)), "sha256": spec.sha256, "state": cache.state(spec).value}
        for spec in pack.files
    ]
