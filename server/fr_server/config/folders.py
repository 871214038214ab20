"""Finds the folders and files of a server, and names the faulty file in errors that prevent a start."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_data_path

from fr_core.errors import ConfigInvalid
from fr_core.gallery.store.gallery_store import is_under_key
from fr_core.storage.keys import KeyEncryptionKey, command_of, key_beside, load_key
from fr_core.storage.location import Postgres, naming
from fr_files.reading import open_to_others
from fr_locales.messages import Message, message
from fr_server.config import Config

_LONGEST_PASSWORD = 4_096


def data_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the gallery folder: `gallery.folder`, else $FR_HOME/data, else the platform's data folder."""
    if config.gallery.folder:
        return Path(config.gallery.folder).expanduser()
    home = environ.get("FR_HOME")
    return Path(home) / "data" if home else user_data_path("fr-core", appauthor=False)


def postgres_of(config: Config, environ: Mapping[str, str] = os.environ) -> Postgres | None:
    """Return the PostgreSQL database of `storage.url`; None if the stores lie in folders.

    Raises `ConfigInvalid`: its address is not safe, its password cannot be read, or the library for it is not there.
    """
    storage = config.storage
    if not storage.url:
        return None
    if find_spec("psycopg") is None:
        raise ConfigInvalid(message("error.config.no_psycopg"), key="storage.url")
    from fr_core.storage.postgres.address import parameters_of

    parameters_of(storage.url)
    return Postgres(
        storage.url,
        secret_of("storage.password", storage.password, environ) if storage.password else None,
        storage.connections,
        storage.connect_timeout_s,
        storage.statement_timeout_s,
        storage.lock_timeout_s,
        storage.follow_interval_s,
        storage.follow_timeout_s,
    )


def secret_of(key: str, source: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the password or token that a setting names by its source, `file:PATH` or `env:NAME`.

    Raises `ConfigInvalid`: it is another source, or a file that cannot be read, or that others can read.
    """
    kind, _, rest = source.partition(":")
    if kind == "env" and rest in environ:
        return environ[rest]
    if kind != "file" or not rest:  # it may be the password itself, and is not repeated
        raise ConfigInvalid(message("error.config.password_source", key=key), key=key)
    try:
        with Path(rest).expanduser().open(encoding="utf-8") as file:
            if open_to_others(os.fstat(file.fileno())):
                raise ConfigInvalid(message("error.config.password_exposed", path=rest), key=key)
            return file.read(_LONGEST_PASSWORD).removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(message("error.config.password_unreadable", path=rest), key=key) from error


def _own_or(named: str, otherwise: Path) -> Path:
    return Path(named).expanduser() if named else otherwise


def reports_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for reports: `evaluation.folder`, else `reports` in the gallery folder."""
    return _own_or(config.evaluation.folder, data_folder(config, environ) / "reports")


def training_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for courses and answers: `training.folder`, else `training` in the gallery folder."""
    return _own_or(config.training.folder, data_folder(config, environ) / "training")


def cases_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for cases: `cases.folder`, else `cases` in the gallery folder."""
    return _own_or(config.cases.folder, data_folder(config, environ) / "cases")


def footage_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for footage: `video.folder`, else `footage` in the gallery folder."""
    return _own_or(config.video.folder, data_folder(config, environ) / "footage")


def access_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for API keys: `access.folder`, else `access` in the gallery folder."""
    return _own_or(config.access.folder, data_folder(config, environ) / "access")


def checkpoint_folder(config: Config) -> Path | None:
    """Return the folder for audit checkpoints, `audit.checkpoint_folder`; None if there is none."""
    return Path(config.audit.checkpoint_folder).expanduser() if config.audit.checkpoint_folder else None


def archive_folder(config: Config) -> Path | None:
    """Return the folder for archived audit records, `audit.archive_folder`; None if there is none."""
    return Path(config.audit.archive_folder).expanduser() if config.audit.archive_folder else None


def require_folders(config: Config) -> None:
    """Raise `ConfigInvalid` unless each data folder is writable, on a disk, or can be made; makes none."""
    for key, folder in (
        ("gallery.folder", data_folder(config)),
        ("access.folder", access_folder(config)),
        ("cases.folder", cases_folder(config)),
        ("training.folder", training_folder(config)),
        ("evaluation.folder", reports_folder(config)),
    ):
        _require_folder(key, folder.absolute())


def _require_folder(key: str, folder: Path) -> None:
    try:
        at = next(one for one in (folder, *folder.parents) if _is_there(one))
        if not at.is_dir():
            why = message("error.config.folder_is_none", at=at)
            if not at.exists():
                why = message("error.config.folder_leads_nowhere", at=at)
        elif not os.access(at, os.W_OK | os.X_OK):
            why = message("error.config.folder_closed", at=at)
        elif not os.statvfs(at).f_blocks:  # such as /proc
            why = message("error.config.folder_on_no_disk", at=at)
        else:
            return
    except OSError as error:
        why = message("error.config.folder_unseen", why=str(error.strerror))
    raise ConfigInvalid(message("error.config.no_folder_can_written", key=key, why=why), key=key)


def _is_there(path: Path) -> bool:
    """Return True if a path exists, even as a broken link; raises `OSError` if it cannot be checked."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def require_key(config: Config) -> None:
    """Require the key that a start reads, as `key_of`; makes no key, and parses a command without running it."""
    source, folder = config.gallery.key, data_folder(config).absolute()
    if source.startswith("command:"):
        with naming("gallery.key"):
            command_of(source.removeprefix("command:"))
        return
    if source or Path(f"{folder}.key").exists() or is_under_key(folder):
        key_of(config, new=False)


def key_of(config: Config, *, new: bool) -> KeyEncryptionKey:
    """Return the key of all stored data: from `gallery.key`, else from the file beside the gallery folder.

    With `new` no data are encrypted yet, and a missing key is made. Raises `KeyUnavailable`, which names the file or
    the setting, if there is no key, or it is unreadable.
    """
    source = config.gallery.key
    folder = data_folder(config).absolute()
    # The error does not quote other sources: they may contain the key itself.
    beside = "gallery.key" if source else f"{folder}.key"
    with naming(source.partition(":")[2] if source.startswith("file:") else beside):
        return load_key(source) if source else key_beside(folder, new=new)


def require_audit_folders(config: Config) -> None:
    """Raise `ConfigInvalid` if the folder for checkpoints or for the archive is missing or unreadable."""
    what = message("error.config.folder_for_checkpoints")
    _require_there("audit.checkpoint_folder", checkpoint_folder(config), what)
    _require_there("audit.archive_folder", archive_folder(config), message("error.config.folder_for_archive"))


def _require_there(key: str, folder: Path | None, what: Message) -> None:
    try:
        if folder is None or folder.is_dir():
            return
        told = message("error.config.audit_folder_missing", folder=folder, what=what)
    except OSError as error:
        told = message("error.config.audit_folder_closed", folder=str(folder), what=what, why=str(error.strerror))
    raise ConfigInvalid(told, key=key, file=str(folder))
