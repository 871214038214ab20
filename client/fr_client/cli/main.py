"""The `fr` command: its own options, and where each command is."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from fr_client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from fr_client.cli import enrol, galleries, recognise, reports, search, subjects, train
from fr_client.cli.plugins import PluginGroup
from fr_client.cli.state import Settings

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):\d{1,5}|(dns|ipv4|ipv6|unix|unix-abstract|xds):.+")


def build() -> typer.Typer:
    """Return the application with the commands of the client; those of other rooms come through `PluginGroup`."""
    app = typer.Typer(
        name="fr",
        cls=PluginGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    app.command("info")(recognise.info)
    app.command("detect")(recognise.detect)
    app.command("compare")(recognise.compare)
    app.command("enrol")(enrol.enrol)
    app.command("search")(search.search)
    app.add_typer(galleries.gallery, name="gallery")
    app.add_typer(subjects.subject, name="subject")
    app.add_typer(subjects.template, name="template")
    app.add_typer(reports.report, name="report")
    app.add_typer(train.train, name="train")
    return app


def main() -> None:
    """Run from the command line."""
    build()(prog_name="fr")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fr-core {version_of('fr-core')}")
        raise typer.Exit


def _options(
    context: typer.Context,
    server: Annotated[
        str, typer.Option("--server", "-s", metavar="HOST:PORT", envvar="FR_SERVER", help="Where the server is.")
    ] = DEFAULT_TARGET,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="How long one call may take.")
    ] = DEFAULT_TIMEOUT_S,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Facial recognition matching: find, compare, enrol and search for faces on an FR Core server.

    What a search finds is a list of leads for a human examiner, never an identity.
    """
    if not _ADDRESS.fullmatch(server):
        raise typer.BadParameter(f"{server!r} is no HOST:PORT, such as {DEFAULT_TARGET}.", param_hint="--server")
    context.obj = Settings(server, timeout)
