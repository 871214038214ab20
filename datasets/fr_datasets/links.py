"""Reads and writes the places of this user's data sets: a small TOML file, a table for each set."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from fr_datasets.errors import DatasetError, DatasetNotLinked, of_dataset
from fr_datasets.manifests import load_manifest
from fr_files.reading import read_at_most, read_toml
from fr_locales.messages import message

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Link:
    """The folder of a set, and whether it holds only a part of it on purpose."""

    root: Path
    partial: bool = False


def datasets_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where sets are fetched to: `FR_HOME`/datasets, else `datasets` in the platform's data folder of the
    user.
    """
    home = environ.get("FR_HOME", "")
    return (Path(home) if home else platformdirs.user_data_path("fr-core", appauthor=False)) / "datasets"


def read_links(folder: Path) -> dict[str, Link]:
    """The links of `folder`/links.toml by the names of the sets; raises `DatasetError` where the file is broken."""
    path = folder / "links.toml"
    try:
        entries = read_toml(read_at_most(path, MAX_BYTES).decode(), MAX_BYTES)
        return {name: _link(entry) for name, entry in entries.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(message("error.dataset.cannot_read_remove_link", path=path)) from error


def find_link(name: str, folder: Path) -> Link:
    """The link of a set; raises `DatasetNotLinked` where there is none, `DatasetUnknown` where there is no such set."""
    links = read_links(folder)
    if name not in links:
        load_manifest(name)
        with of_dataset(name):
            raise DatasetNotLinked(message("error.dataset.nobody_said_where_lies", name=name))
    return links[name]


def write_link(name: str, link: Link, folder: Path) -> None:
    """Remember where a set lies, in place of what was remembered before; the file is whole at any time.

    Raises `DatasetError`: the file is broken, or cannot be written.
    """
    links = read_links(folder) | {name: link}
    text = "\n".join(
        f"[{_quoted(key)}]\nroot = {_quoted(str(entry.root))}\npartial = {json.dumps(entry.partial)}\n"
        for key, entry in sorted(links.items())
    )
    scratch = folder / f".links-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            read_toml(text, MAX_BYTES)  # a text that cannot be read back must not replace a good one
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(folder / "links.toml")
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(
            message("error.dataset.links_unwritable", folder=folder / "links.toml", reason=str(error.strerror))
        ) from error
    except ValueError as error:
        raise DatasetError(message("error.dataset.folder_cannot_remembered_rename", root=str(link.root))) from error


def _link(entry: Mapping[str, Any]) -> Link:
    if not isinstance(entry, dict) or not isinstance(entry["partial"], bool):
        raise TypeError("a link is a table with root and partial")
    return Link(Path(entry["root"]), entry["partial"])


def _quoted(text: str) -> str:
    """The text as a string of TOML, which is one of JSON but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
