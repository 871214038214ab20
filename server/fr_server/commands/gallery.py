"""`fr gallery backup`, `restore`, `verify` and `key`: work on a data folder, on its own machine, without the server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_server.commands.reporting import print_json, reporting

if TYPE_CHECKING:
    from fr_core.gallery.backup.saved import Extent
    from fr_core.gallery.store.sqlite_check import Verified
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.config import Config


key = typer.Typer(name="key", help="Make and change the key of a data folder.", no_args_is_help=True)

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder of the galleries (gallery.folder).")]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="SOURCE",
        help="Key of the galleries, file:PATH, env:NAME or command:CMD (gallery.key); DIR.key if unset.",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Backup = Annotated[Path, typer.Argument(metavar="OUT", help="File of the backup.", show_default=False)]
Keys = Annotated[
    Path, typer.Option("--keys", metavar="KEYS", help="File of the subjects' keys; keep one alone, apart from backups.")
]


def backup(
    out: Backup, keys: Keys, data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Back up the galleries into OUT, which must not exist, and replace the older KEYS; a server may run meanwhile."""
    with _undoing(as_json):
        from fr_core.gallery.backup.take import back_up

        extent = back_up(*_data_and_key(data, key, config), out, keys, datetime.now(UTC))
        if as_json:
            print_json({"backup": str(out), "keys": str(keys), **asdict(extent)})
            return
        typer.echo(f"Backed up to {out}, read again and checked: {_counts(extent)}.")
        typer.echo(f"The keys of the subjects are in {keys}: keep this file alone, apart from the backups.")


def restore(
    out: Backup, keys: Keys, data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Make an empty folder the data folder of a backup, without those who were erased after it was made."""
    with _undoing(as_json):
        from fr_core.gallery.backup.restore import restore as restored_from

        folder, opened = _data_and_key(data, key, config, holds_store=False)
        restored = restored_from(out, keys, opened, folder)
        created = restored.created.isoformat(timespec="seconds")
        if as_json:
            told = {"data": str(folder), "created": created, **asdict(restored.held)}
            print_json({**told, "erased_since": restored.erased_since})
            return
        typer.echo(f"Restored to {folder} and checked: {_counts(restored.held)}, as of {created}.")
        typer.echo(f"Left out, because they were erased or deleted since: {restored.erased_since} subjects.")


def verify(data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check everything in a data folder, changing nothing; exit status 1 with the reason unless all of it is sound."""
    with _undoing(as_json):
        from fr_core.gallery.backup.verify import verify as verified

        folder, opened = _data_and_key(data, key, config)
        found = verified(folder, opened)
        if as_json:
            print_json({"data": str(folder), **asdict(found)})
            return
        typer.echo(f"Opened and checked in {folder}: {_counts(found)}.")
        typer.echo("The database file is whole, every row and record is as it was written, and the counts agree.")


@key.command("new")
def new_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="It must not exist.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Make a random key and write it to a new file that only its owner can read."""
    with _undoing(as_json):
        from fr_core.storage.keys import new_key_file

        made = new_key_file(file)
        if as_json:
            print_json({"file": str(file), "key_id": made.key_id})
            return
        typer.echo(f"{file}: key {made.key_id}. Keep a copy in a safe place: without it, everything is lost.")


@key.command("rotate")
def rotate_key(
    new: Annotated[str, typer.Option("--new", metavar="SOURCE", help="The key to put it under, such as file:PATH.")],
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Put a data folder that no server uses under another key. After that the old key opens nothing in it.

    If the command was interrupted, run it again with the same two keys: it does the rest.
    """
    with _undoing(as_json):
        from fr_core.storage.keys import load_key
        from fr_server.commands.rotation import rotate

        tree = _configuration(data, key, config)
        folder, before = _data_and_key(data, key, config)
        after = load_key(new)
        scrubbed = rotate(tree, before, after)
        if as_json:
            told = {"data": str(folder), "before": before.key_id, "after": after.key_id}
            print_json({**told, "scrubbed": scrubbed})
            return
        if scrubbed:
            left = f"the key {before.key_id} opens nothing of it any more."
        else:
            left = f"what is left under the key {before.key_id} is overwritten by the next start of the server."
        typer.echo(f"{folder} is under the key {after.key_id}; {left}")
        typer.echo(
            "Put the new key in the place of the old one, or name it in `gallery.key` and seal the configuration. Then "
            "start the server, and take a backup: its file of keys replaces the old one."
        )


def _data_and_key(
    data: Path | None, key: str, config: Path | None, holds_store: bool = True
) -> tuple[Path, KeyEncryptionKey]:
    """Return the data folder and its key, found as `fr serve` finds them; a key is never made.

    Raises:
        NoStore: the folder holds no store, where it is to hold one.
    """
    from fr_core.gallery.backup.verify import require_store
    from fr_core.storage.keys import key_beside, load_key
    from fr_server.config.folders import data_folder

    tree = _configuration(data, key, config)
    folder = data_folder(tree)
    if holds_store:
        require_store(folder)
    return folder, load_key(tree.gallery.key) if tree.gallery.key else key_beside(folder.absolute(), new=False)


def _configuration(data: Path | None, key: str, config: Path | None) -> Config:
    """Return the configuration that the options and the file give."""
    from fr_server.config import load_config

    named = {"gallery.folder": None if data is None else str(data), "gallery.key": key or None}
    return load_config(config, (), {name: value for name, value in named.items() if value is not None})


def _counts(found: Extent | Verified) -> str:
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in asdict(found).items())


@contextmanager
def _undoing(as_json: bool) -> Iterator[None]:
    """Report as `reporting`; at SIGTERM, too, what was begun is undone on the way out."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with reporting(as_json, writes=True):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
