"""Imports and builds a command only when it is called, or when the help lists it."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

GROUP = "fr.commands"
# Exit status after Ctrl-C, as in shells.
INTERRUPTED = 130

# The packages of both distributions. A missing one is a defect; any other missing package is an extra to install.
_OUR_PACKAGES = tuple(
    f"fr_{name}"
    for name in (
        *("api", "bench", "client", "core", "datasets", "evaluation"),
        *("files", "locales", "server", "training", "trust", "video", "web"),
    )
)

# The commands that fr-core adds to a group. Without fr-core, they say that it is missing.
_OF_CORE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fr": ("serve", "server", "store", "models", "evaluate", "bench", "dataset", "video", "redact", "web", "lti"),
        "fr gallery": ("backup", "restore", "verify", "key"),
        "fr train": ("check", "simulate"),
        "fr audit": ("file",),
        "fr evidence": ("verify",),
    }
)
# The commands that need less than a server does.
_VERIFYING = ("fr audit file", "fr evidence verify")


def _display_type(self: TyperOption, ctx: Any) -> str | None:
    """Return the type of an option for its help; a flag takes no value, so it shows none."""
    return None if self.is_flag else self.display_type(ctx)


TyperOption.display_type_rich = _display_type  # type: ignore[method-assign]


class PluginGroup(TyperGroup):
    """Lists its own commands first, in their order, then those of the entry points of `entry_group`, by name.

    `words` are the command line that leads here; `late` are own commands that are imported when called.
    """

    entry_group = GROUP
    words = "fr"
    late: Mapping[str, EntryPoint] = MappingProxyType({})

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        own = [*super().list_commands(ctx), *self.late]
        return [*own, *sorted(name for name in plugin_entries(self.entry_group) if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; import it first if necessary."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name in self.late:
            return _command(cmd_name, self.late[cmd_name].load())
        entry = plugin_entries(self.entry_group).get(cmd_name)
        if entry is not None:
            return load_command(entry, self.words)
        if cmd_name not in _OF_CORE.get(self.words, ()):
            return None
        absent = ModuleNotFoundError("fr-core is not installed", name="fr-core")
        return _command(cmd_name, _absent(f"{self.words} {cmd_name}", absent), missing=True)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; if a package is missing, or Ctrl-C ends it, say so."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # words of Typer's library
            raise
        except KeyboardInterrupt as error:
            typer.echo("Stopped by Ctrl-C.", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except ModuleNotFoundError as error:
            if ctx.invoked_subcommand in self.late or ctx.invoked_subcommand not in plugin_entries(self.entry_group):
                raise
            typer.echo(_why_absent(f"{self.words} {ctx.invoked_subcommand}", error)[1], err=True)
            raise typer.Exit(1) from error


def plugin_group(room: str) -> type[PluginGroup]:
    """Return the group of `fr ROOM`, to which the entry points `fr.ROOM_commands` of other packages add commands."""

    class RoomGroup(PluginGroup):
        entry_group = f"fr.{room}_commands"
        words = f"fr {room}"

    return RoomGroup


def plugin_entries(group: str = GROUP) -> dict[str, EntryPoint]:
    """Return the entry points of a group by the name of their command."""
    return {entry.name: entry for entry in entry_points(group=group)}


def load_command(entry: EntryPoint, words: str = "fr") -> Any:
    """Return the command of an entry point, a `typer.Typer` or a function; if an import fails, one that says so."""
    try:
        loaded = entry.load()
    except ImportError as error:
        return _command(entry.name, _absent(f"{words} {entry.name}", error), missing=True)
    return _command(entry.name, loaded)


def _command(name: str, loaded: typer.Typer | Callable[..., Any], *, missing: bool = False) -> Any:
    outer = typer.Typer(add_completion=False)
    outer.callback()(lambda: None)  # keeps it a group, however few commands it has
    if isinstance(loaded, typer.Typer):
        outer.add_typer(loaded, name=name)
    else:
        # A missing command takes any arguments, and says why it is missing.
        settings = {"allow_extra_args": True, "ignore_unknown_options": True} if missing else {}
        outer.command(name, context_settings=settings)(loaded)
    group: Any = get_command(outer)
    return group.commands[name]


def _absent(words: str, error: ImportError) -> Callable[[], None]:
    summary, sentence = _why_absent(words, error)

    def stand_in() -> None:
        typer.echo(sentence, err=True)
        raise typer.Exit(1)

    stand_in.__doc__ = summary
    return stand_in


def _why_absent(words: str, error: ImportError) -> tuple[str, str]:
    missing = error.name or ""
    if missing.partition(".")[0] in _OUR_PACKAGES or not missing:
        return f"Cannot be loaded: {error}.", f"`{words}` cannot be loaded: {error}."
    extra, packages = ("cpu", "the server's packages")
    if words in _VERIFYING:
        extra, packages = ("verify", "more packages")
    elif words in ("fr web", "fr lti"):
        extra, packages = ("web", "more packages")
    elif words in ("fr video", "fr redact"):
        extra, packages = ("video", "more packages")
    return (
        f"Needs {packages}; in a clone of FR Core: pip install '.\\[{extra}]'.",
        f"`{words}` needs {packages} ({missing} is missing); in a clone of FR Core: pip install '.[{extra}]'.",
    )
