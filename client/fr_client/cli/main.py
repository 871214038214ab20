"""Defines the `fr` command: its own options, and the module of each command."""

import os
import re
from dataclasses import replace
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from fr_client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from fr_client.cli.plugins import GROUP, PluginGroup
from fr_client.cli.state import Settings
from fr_client.connection import read_connection

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):\d{1,5}|(dns|ipv4|ipv6|unix|unix-abstract|xds):.+")


# Building all commands takes longer than most of them run.
_COMMANDS = {
    "info": "gallery.recognise:info",
    "health": "admin.health:health",
    "status": "admin.health:status",
    "whoami": "admin.keys:whoami",
    "detect": "gallery.recognise:detect",
    "compare": "gallery.recognise:compare",
    "enrol": "gallery.enrol:enrol",
    "search": "gallery.search:search",
    "footage": "gallery.footage:footage",
    "watch": "gallery.watch:watch",
    "gallery": "gallery.galleries:gallery",
    "subject": "gallery.subjects:subject",
    "template": "gallery.subjects:template",
    "report": "admin.reports:report",
    "train": "train.commands:train",
    "case": "case.cases:case",
    "review": "case.review:review",
    "evidence": "case.cases:evidence",
    "key": "admin.keys:key",
    "audit": "admin.audit:audit",
}


class _Commands(PluginGroup):
    """The group of `fr`."""

    late = MappingProxyType(
        {name: EntryPoint(name, f"fr_client.cli.{place}", GROUP) for name, place in _COMMANDS.items()}
    )


def build() -> typer.Typer:
    """Return the application; it imports a command when that is called."""
    app = typer.Typer(
        name="fr",
        cls=_Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return app


def main() -> None:
    """Run from the command line."""
    build()(prog_name="fr")


def _print_version(wanted: bool) -> None:
    if wanted:
        for one in ("fr-client", "fr-core"):
            for found in distributions(name=one):
                typer.echo(f"{one} {found.version}")
        raise typer.Exit


def _options(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            "-s",
            metavar="HOST:PORT",
            envvar="FR_SERVER",
            help=f"Where the server is.  [default: {DEFAULT_TARGET}]",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="How long one call may take.")
    ] = DEFAULT_TIMEOUT_S,
    connection: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="FR_CONNECTION",
            help="Connection file: server, its authority and a key in one. Other options go before it.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", metavar="FILE", envvar="FR_KEY_FILE", help="File of the API key or token; else $FR_KEY."
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="FR_CA", help="Authority of the server's certificate, PEM; implies TLS."),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="TLS with the authorities of the system.")] = False,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="FR_CERTIFICATE", help="This client's certificate, PEM.")
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="FR_CERTIFICATE_KEY", help="Its private key, PEM.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Facial recognition matching: find, compare, enrol and search for faces on an FR Core server.

    What a search finds is a list of leads for a human examiner, never an identity.
    """
    settings = _settings(context, connection, server, timeout)
    if not _ADDRESS.fullmatch(settings.server):
        raise typer.BadParameter(
            f"{settings.server!r} is not HOST:PORT, such as {DEFAULT_TARGET}.", param_hint="--server"
        )
    settings = replace(settings, tls=tls, certificate=certificate, certificate_key=certificate_key)
    if ca is not None and not _yields(context, "ca"):
        settings = replace(settings, ca=ca)
    if key_file is not None and not _yields(context, "key_file"):
        settings = replace(settings, key_file=key_file)
    elif not settings.token:
        settings = replace(settings, token=os.environ.get("FR_KEY", ""))
    context.obj = settings


def _yields(context: typer.Context, option: str) -> bool:
    """Return whether an option comes from the environment alone, while the command line has a connection file.

    Otherwise one server could see a key that is meant for another.
    """
    sources = [context.get_parameter_source(name) for name in (option, "connection")]
    return [source is not None and source.name for source in sources] == ["ENVIRONMENT", "COMMANDLINE"]


def _settings(context: typer.Context, connection: Path | None, server: str | None, timeout_s: float) -> Settings:
    if _yields(context, "server"):
        server = None
    if connection is None:
        return Settings(server or DEFAULT_TARGET, timeout_s)
    try:
        found = read_connection(connection)
    except (OSError, ValueError) as error:
        told = str(error)
        if isinstance(error, OSError):  # of this file, or of one that it names
            told = f"{error.filename or connection} cannot be read: {error.strerror}."
        raise typer.BadParameter(told, param_hint="--connection") from error
    ca = found.ca.encode() or None
    return Settings(server or found.server, timeout_s, token=found.key, ca=ca, connection=connection)
