"""`fr gallery backup`, `restore`, `verify` and `key`: work on a data folder on its own machine, without the server."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_core.errors import BackupElsewhere, KeyUnavailable, NoStore, WrongKey, message
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.schema import SCHEMA as GALLERIES
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location, naming
from fr_core.storage.opening import open_database
from fr_core.storage.outside import mark_of
from fr_datasets.progress import waiting
from fr_server.clock import wall_ms
from fr_server.commands.reporting import AsJson, counted, print_json, reporting
from fr_server.config import Config
from fr_server.storage.places import Place, places_of
from fr_server.storage.seal import begin_reseal, end_reseal
from fr_server.telemetry.trust import Chain
from fr_training.store.training_store import TrainingStore
from fr_trust.access.store import AccessStore
from fr_trust.casework.store import CaseStore

_STORES: Mapping[Chain, type[TrainingStore] | type[CaseStore] | type[AccessStore]] = {
    "training": TrainingStore,
    "cases": CaseStore,
    "access": AccessStore,
}


def rotate(config: Config, before: KeyEncryptionKey, after: KeyEncryptionKey) -> bool:
    """Change the key of the stores and the seal of a configuration of a stopped server; continues an interrupted run.

    Returns True if the old wrapped keys of the galleries are overwritten. If not, the next start overwrites them.

    Raises:
        KeyUnavailable: both keys are the same; nothing changed.
        WrongKey: a store uses neither key; nothing changed (metadata: file).
        FileTampered: the seal uses neither key; nothing changed.
        StoreInUse, StoreNewer, StoreCorrupt, StoreFailed: a store could not be changed (metadata: file); run it again.
    """
    *others, galleries = sorted(
        (place for place in places_of(config) if place.is_there), key=lambda place: place.chain == "galleries"
    )
    with naming(galleries.named):
        store = _galleries(galleries, before, after)
    with closing(store):
        for place in others:
            _require_under_one(place, before, after)
        if before.key_id == after.key_id:
            raise KeyUnavailable(message("error.storage.store_already_uses_new"), key_id=after.key_id)
        begin_reseal(config, before, after)
        for place in others:
            with naming(place.named):
                _rotate_other(place, before, after)
        with naming(galleries.named):
            scrubbed = _rotate_galleries(store, after)
        end_reseal(config, before, after)
    return scrubbed


def _galleries(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> GalleryStore:
    try:
        return GalleryStore(place.location, before)
    except WrongKey:
        return GalleryStore(place.location, after)


def _rotate_galleries(store: GalleryStore, after: KeyEncryptionKey) -> bool:
    try:
        return store.rotate(after)
    except KeyUnavailable:  # an earlier run has done it, and may have left the old wrapped keys
        return store.scrub()


def _require_under_one(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    with naming(place.named):
        try:
            mark_of(place.location, place.schema, before)
        except WrongKey:
            mark_of(place.location, place.schema, after)


def _rotate_other(place: Place, before: KeyEncryptionKey, after: KeyEncryptionKey) -> None:
    try:
        store = _STORES[place.chain].open(place.location, before, wall_ms)
    except WrongKey:  # an earlier run has done it, and may have left the old wrapped key in the log
        with closing(open_database(place.location, place.schema, after)) as database:
            database.log.scrub()
        return
    with store:
        store.put_under(after)


if TYPE_CHECKING:
    from fr_core.gallery.backup.saved import Extent
    from fr_core.gallery.store.integrity import Verified
    from fr_core.storage.keys import KeyEncryptionKey
    from fr_server.config import Config


key = typer.Typer(name="key", help="Make or change the key of a data folder.", no_args_is_help=True)

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Gallery folder (gallery.folder).")]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="SOURCE",
        help="Source of the gallery key: file:PATH, env:NAME or command:CMD (gallery.key). Default: the file DIR.key.",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file in TOML.")]
Backup = Annotated[Path, typer.Argument(metavar="OUT", help="Backup file.", show_default=False)]
Keys = Annotated[
    Path,
    typer.Option(
        "--keys",
        metavar="KEYS",
        help="File for the subjects' keys. Keep only one, in a different place from the backups.",
    ),
]


def backup(
    out: Backup, keys: Keys, data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Back up the galleries to OUT, which must not exist, and replace an older KEYS. The server may be running."""
    with _undoing(as_json):
        from fr_core.gallery.backup.take import back_up

        folder, opened = _folder_and_key(data, key, config)
        with waiting("Backing up"):
            extent = back_up(folder, opened, out, keys, datetime.now(UTC))
        if as_json:
            print_json({"backup": str(out), "keys": str(keys), **asdict(extent)})
            return
        typer.echo(f"Backed up to {out} and checked: {_counts(extent)}.")
        typer.echo(f"The subjects' keys are in {keys}: keep only this one, in a different place from the backups.")
        typer.echo("The audit is not in the backup, and was not checked: `fr gallery verify` finds an altered record.")


def restore(
    out: Backup, keys: Keys, data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Restore a backup into an empty data folder, without the subjects that were erased after the backup."""
    with _undoing(as_json):
        from fr_core.gallery.backup.restore import restore as restored_from

        folder, opened = _folder_and_key(data, key, config, holds_store=False)
        with waiting("Restoring"):
            restored = restored_from(out, keys, opened, folder)
        created = restored.created.isoformat(timespec="seconds")
        if as_json:
            told = {"data": str(folder), "created": created, **asdict(restored.held)}
            print_json({**told, "erased_since": restored.erased_since})
            return
        typer.echo(f"Restored to {folder} and checked: {_counts(restored.held)}, as of {created}.")
        typer.echo(f"Left out {counted(restored.erased_since, 'subject')}, erased or deleted after the backup.")


def verify(data: Data = None, key: Key = "", config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check everything in a data folder without changing it. If there is a fault, print it and exit with status 1."""
    with _undoing(as_json):
        from fr_core.gallery.backup.verify import verify as verified

        location, opened = data_and_key(data, key, config)
        with waiting("Checking"):
            found = verified(location, opened)
        if as_json:
            print_json({"data": str(location), **asdict(found)})
            return
        typer.echo(f"Checked {location}: {_counts(found)}.")
        whole = "The database file is intact, no" if isinstance(location, Path) else "No"
        typer.echo(f"{whole} row or record was changed, and the counts agree.")


@key.command("create")
def create_key(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="New file for the key. It must not exist.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Make a random key and write it to a new file that only its owner can read."""
    with _undoing(as_json):
        from fr_core.storage.keys import new_key_file

        made = new_key_file(file)
        if as_json:
            print_json({"file": str(file), "key_id": made.key_id})
            return
        typer.echo(f"{file}: key {made.key_id}. Keep a copy in a safe place: without the key, all data are lost.")


@key.command("rotate")
def rotate_key(
    new: Annotated[str, typer.Option("--new", metavar="SOURCE", help="Source of the new key, such as file:PATH.")],
    data: Data = None,
    key: Key = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Change the key of a data folder. Stop the server first. Afterwards, the old key opens nothing in the folder.

    If the command is interrupted, run it again with the same two keys; it continues.
    """
    with _undoing(as_json):
        from fr_core.storage.keys import load_key
        from fr_server.commands.gallery import rotate

        tree = _configuration(data, key, config)
        location, before = data_and_key(data, key, config)
        after = load_key(new)
        with waiting("Changing the key"):
            scrubbed = rotate(tree, before, after)
        if as_json:
            told = {"data": str(location), "before": before.key_id, "after": after.key_id}
            print_json({**told, "scrubbed": scrubbed})
            return
        if scrubbed:
            left = f"The key {before.key_id} now opens nothing in it."
        else:
            left = f"At its next start, the server overwrites the remains that the key {before.key_id} can open."
        typer.echo(f"{location} now uses the key {after.key_id}. {left}")
        typer.echo(
            "Put the new key in the place of the old one, or name it in `gallery.key` and seal the configuration. Then "
            "start the server and make a backup; the backup replaces the old file of subjects' keys."
        )


def _folder_and_key(
    data: Path | None, key: str, config: Path | None, holds_store: bool = True
) -> tuple[Path, KeyEncryptionKey]:
    """Return as `data_and_key`; raises `BackupElsewhere` for a database."""
    location, opened = data_and_key(data, key, config, holds_store)
    if not isinstance(location, Path):
        raise BackupElsewhere(message("error.server.backup_elsewhere", database=str(location)))
    return location, opened


def data_and_key(
    data: Path | None, key: str, config: Path | None, holds_store: bool = True
) -> tuple[Location, KeyEncryptionKey]:
    """Return the data folder or database and its key, as `fr serve` finds them, and make none; raises `NoStore`."""
    from fr_core.gallery.backup.verify import require_store
    from fr_core.storage.keys import key_beside, load_key
    from fr_core.storage.outside import exists
    from fr_server.config.folders import data_folder, postgres_of

    tree = _configuration(data, key, config)
    folder, server = data_folder(tree), postgres_of(tree)
    if holds_store and server is None:
        require_store(folder)
    elif holds_store and server is not None and not exists(server, GALLERIES):
        raise NoStore(message("error.gallery.database_holds_no_galleries", database=str(server)))
    opened = load_key(tree.gallery.key) if tree.gallery.key else key_beside(folder.absolute(), new=False)
    return server or folder, opened


def _configuration(data: Path | None, key: str, config: Path | None) -> Config:
    from fr_server.config import load_config

    named = {"gallery.folder": None if data is None else str(data), "gallery.key": key or None}
    return load_config(config, (), {name: value for name, value in named.items() if value is not None}, os.environ)


def _counts(found: Extent | Verified) -> str:
    """Return numbers with their nouns; fields have the names of many."""
    words = ((number, name.replace("_", " ")) for name, number in asdict(found).items())
    return ", ".join(
        f"{number:,} {re.sub('ies$', 'y', many).removesuffix('s') if number == 1 else many}" for number, many in words
    )


@contextmanager
def _undoing(as_json: bool) -> Iterator[None]:
    """Report errors like `reporting`; SIGTERM also undoes unfinished work."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with reporting(as_json, writes=True):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
