"""Writes docs/commands.md from the help of the `fr` command."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from docs_pages import filled
from fr_client.cli.main import build

# Options of every command, and of the shell.
_HIDDEN = ("help", "install_completion", "show_completion")


def page() -> str:
    """Return the page."""
    fr: Any = get_command(build())
    return filled("commands", commands="".join(_sections(fr, "fr", None)))


def _sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    children = command.list_commands(context) if hasattr(command, "list_commands") else []
    if name == "fr" or not children or command.invoke_without_command:
        yield _section(command, name, context)
    for child in children:
        yield from _sections(command.get_command(context, child), f"{name} {child}", context)


def _section(command: Any, name: str, context: Any) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    parameters = [one for one in command.get_params(context) if one.name not in _HIDDEN]
    takes_json = " Takes `--json`." if any(_is_json(one) for one in parameters) else ""
    lines = [f"\n## `{name}`\n", f"`{name} {usage}`\n", f"{_plain(command.help)}{takes_json}\n", "| | |", "|---|---|"]
    for parameter in parameters:
        if not _is_json(parameter):
            names = ", ".join(f"`{name}`" for name in _names(parameter))
            lines.append(f"| {names} | {_plain(parameter.help)}{_default(parameter)} |")
    return "\n".join(lines) + "\n" if len(lines) > 5 else "\n".join(lines[:3]) + "\n"


def _is_json(parameter: Any) -> bool:
    return bool(parameter.opts == ["--json"] and parameter.help == "Print one JSON document instead of text.")


def _names(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [parameter.metavar or parameter.name.upper()]
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return [*(f"{option}{value}" for option in parameter.opts), *parameter.secondary_opts]


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or value in (None, False, "", (), []) or callable(value):
        return ""
    return f" Default: `{getattr(value, 'value', value)}`."


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
