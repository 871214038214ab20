"""Commands that other rooms add: each is imported when it is called for, or when the help lists it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

GROUP = "fr.commands"

# The packages of this distribution: one of these missing is a defect, anything else is an extra to install.
_OUR_PACKAGES = ("fr_core", "fr_server", "fr_client", "fr_datasets", "fr_bench", "fr_api")


class PluginGroup(TyperGroup):
    """The group of `fr`: its own commands first, then those of the entry points, by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        own = super().list_commands(ctx)
        return [*own, *sorted(name for name in plugin_entries() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; one of an entry point is imported now."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = plugin_entries().get(cmd_name)
        return None if entry is None else load_command(entry)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; where it turns out that a package is missing, say so."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if ctx.invoked_subcommand not in plugin_entries():
                raise
            typer.echo(_why_absent(ctx.invoked_subcommand, error)[1], err=True)
            raise typer.Exit(1) from error


def plugin_entries() -> dict[str, EntryPoint]:
    """Return the entry points by the name of their command."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_command(entry: EntryPoint) -> Any:
    """Return the command of an entry point, a `typer.Typer` or a function; where an import fails, one that says so."""
    try:
        loaded = entry.load()
    except ImportError as error:
        return _command(entry.name, _absent(entry.name, error), missing=True)
    return _command(entry.name, loaded)


def _command(name: str, loaded: typer.Typer | Callable[..., Any], *, missing: bool = False) -> Any:
    outer = typer.Typer(add_completion=False)
    outer.callback()(lambda: None)  # keeps it a group, however few commands it has
    if isinstance(loaded, typer.Typer):
        outer.add_typer(loaded, name=name)
    else:
        # Whatever is given to a command that is not there, the answer is why it is not.
        settings = {"allow_extra_args": True, "ignore_unknown_options": True} if missing else {}
        outer.command(name, context_settings=settings)(loaded)
    group: Any = get_command(outer)
    return group.commands[name]


def _absent(name: str, error: ImportError) -> Callable[[], None]:
    """Return the command that stands in for one that cannot be imported."""
    summary, sentence = _why_absent(name, error)

    def stand_in() -> None:
        typer.echo(sentence, err=True)
        raise typer.Exit(1)

    stand_in.__doc__ = summary
    return stand_in


def _why_absent(name: str, error: ImportError) -> tuple[str, str]:
    """Return the help and the sentence for a command whose import failed."""
    missing = error.name or ""
    if missing.partition(".")[0] in _OUR_PACKAGES or not missing:
        return f"Cannot be loaded: {error}.", f"`fr {name}` cannot be loaded: {error}."
    return (
        "Needs the server's packages: pip install 'fr-core\\[cpu]'.",
        f"`fr {name}` needs the server's packages ({missing} is missing): pip install 'fr-core[cpu]'.",
    )
