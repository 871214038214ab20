"""`fr models`: lists, fetches and verifies model packs. What is heavy is imported when a command runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache
    from fr_core.packs.download import Progress
    from fr_core.packs.manifest import Pack

models = typer.Typer(name="models", help="List, fetch and verify model packs.", no_args_is_help=True)

PackName = Annotated[str, typer.Argument(metavar="PACK", help="Name of the pack, as `fr models list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """Show every pack: what it is, its licences, and whether it is installed."""
    with _errors_to_stderr():
        from fr_core.packs.manifest import load_pack, pack_names

        cache = _cache()
        rows = [_describe(load_pack(name), cache) for name in pack_names()]
    if as_json:
        _print_json({"packs": rows, "folder": str(cache.folder)})
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
def fetch(pack: PackName, as_json: AsJson = False) -> None:
    """Fetch a pack into the cache; does nothing where it is there and verified."""
    with _errors_to_stderr():
        from fr_core.packs.fetch import fetch_all
        from fr_core.packs.manifest import load_pack

        chosen, cache = load_pack(pack), _cache()
        present = all(cache.installed(spec) for spec in chosen.files)
        if not present:
            row = _describe(chosen, cache)
            typer.echo(f"Licence of {pack}:\n{_licences(row)}", err=True)
            with _progress() as progress:
                fetch_all(chosen.files, cache, progress)
    if as_json:
        _print_json({"pack": pack, "already_installed": present, "files": _files(chosen, cache)})
    else:
        typer.echo(f"{pack}: already installed" if present else f"{pack}: installed in {cache.folder}")


@models.command()
def verify(pack: PackName, as_json: AsJson = False) -> None:
    """Check each file of a pack against its sha256; exit status 1 unless all are right."""
    with _errors_to_stderr():
        from fr_core.packs.manifest import load_pack

        files = _files(load_pack(pack), _cache())
    if as_json:
        _print_json({"pack": pack, "files": files})
    else:
        for file in files:
            typer.echo(f"{file['state']:7}  {file['name']}  {file['path']}")
    if any(file["state"] != "OK" for file in files):
        raise typer.Exit(1)


@contextmanager
def _errors_to_stderr() -> Iterator[None]:
    """Turn an error of the core, or a part of the server that is not installed, into a message and exit status 1."""
    try:
        from fr_core.errors import FrError
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    try:
        yield
    except FrError as error:
        typer.echo(f"{error.reason}: {error.message}", err=True)
        raise typer.Exit(1) from error
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error


def _not_installed(error: ModuleNotFoundError) -> typer.Exit:
    typer.echo(f"This command needs the server (`{error.name}` is missing): pip install 'fr-core[cpu]'.", err=True)
    return typer.Exit(1)


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
        {
            "name": spec.name,
            "path": str(cache.path(spec)),
            "sha256": spec.sha256,
            "state": cache.state(spec).value,
        }
        for spec in pack.files
    ]


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on a terminal, one line per download elsewhere; on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _Bars(bars)


class _Lines:
    def start(self, name: str, total: int | None) -> None:
        size = "" if total is None else f" ({total / 1e6:.1f} MB)"
        typer.echo(f"Fetching {name}{size}", err=True)

    def advance(self, n: int) -> None:
        pass

    def finish(self) -> None:
        pass


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def start(self, name: str, total: int | None) -> None:
        self._task = self._bars.add_task(name, total=total)

    def advance(self, n: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, n)

    def finish(self) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
