"""`fr store migrate`: copies all stores of a configuration from folders into PostgreSQL, or back."""

from __future__ import annotations

import os
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fr_core.errors import ConfigInvalid, NoStore, message
from fr_datasets.progress import waiting
from fr_server.commands.gallery import ConfigFile, Key
from fr_server.commands.reporting import AsJson, counted, print_json, reporting

if TYPE_CHECKING:
    from fr_core.storage.moving import Moved
    from fr_server.storage.places import Place

store = typer.Typer(name="store", help="Move the stores of a server.", no_args_is_help=True)


class To(StrEnum):
    """The database that gets the stores."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


@store.callback()
def _group() -> None:
    """Make `migrate` a command of a group, though it is the only one."""


@store.command("migrate")
def migrate(
    to: Annotated[To, typer.Option("--to", help="The database that gets the stores.", show_default=False)],
    config: ConfigFile = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Copy all stores from the folders of a configuration into its `storage.url`, or back. Stop the server first.

    The command copies every row as it is, and compares each copy with its source before the copy appears. It only reads
    the source: keep the source until the server runs on the copy, then delete it. If the command is interrupted, run it
    again: it compares the stores that are there already, and copies the others.
    """
    with reporting(as_json, writes=True):
        from fr_core.storage.moving import move
        from fr_server.config import load_config
        from fr_server.config.folders import key_of
        from fr_server.storage.places import places_in

        tree = load_config(config, (), {"gallery.key": key} if key else {}, os.environ)
        if not tree.storage.url:
            raise ConfigInvalid(message("error.server.migrate_no_url"), key="storage.url")
        sources = places_in(tree, folders=to is To.POSTGRESQL)
        targets = places_in(tree, folders=to is To.SQLITE)
        there = [(source, target) for source, target in zip(sources, targets, strict=True) if source.is_there]
        if not there:
            raise NoStore(message("error.server.migrate_nothing", source=str(sources[0].named)))
        opened = key_of(tree, new=False)
        told = {}
        for source, target in there:
            with waiting(f"Copying the store of {source.chain}"):
                moved = move(source.location, target.location, source.schema, opened)
            told[source.chain] = asdict(moved)
            if not as_json:
                typer.echo(_words(target, moved))
        if as_json:
            print_json({"to": to.value, "stores": told})
            return
        end = "remove `storage.url` from" if to is To.SQLITE else "keep `storage.url` in"
        typer.echo(
            f"Every copy is the same as its source. Now {end} the configuration, seal it anew, and start the server."
        )


def _words(target: Place, moved: Moved) -> str:
    done = "was copied before, and is the same" if moved.before else "copied"
    extent = f"{counted(moved.rows, 'row')}, {counted(moved.records, 'audit record')}"
    return f"{target.chain}: {done}: {extent} ({target.named})."
