"""The manifest of each data set: its terms, the work to cite, where it comes from, and how its folder must look."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from fr_datasets.errors import DatasetUnknown

_TEXTS = ("name", "title", "licence", "terms", "citation", "layout", "by_hand")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a data set that can be fetched.

    Attributes:
        path: where it lies in the set's folder; for an archive, the folder that it unpacks to.
        sources: addresses, tried in this order.
        checksum: "sha256:HEX", or "md5:HEX" where its authors published no other.
        archive: whether it is a .tgz, .tar or .zip to unpack.
    """

    path: str
    sources: tuple[str, ...]
    checksum: str
    archive: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """The terms, counts and checks of a data set.

    Attributes:
        name: the set's name, as in `fr dataset info NAME`.
        title: its full name.
        licence: under which it is published, in a few words.
        terms: on which its photos may be used, in one sentence.
        citation: the publication or the project to name with any result.
        layout: how its folder must look.
        by_hand: where to get it, and how to place it.
        counts: how many people, photos and pairs there are, by the names that its reader counts; empty = not known.
        files: what can be fetched; empty where it can only be placed by hand.
        sha256: of the text that it was read from, 64 hex digits.
        shows_photos: whether the terms let a report show some of its photos to whoever gets the report.
    """

    name: str
    title: str
    licence: str
    terms: str
    citation: str
    layout: str
    by_hand: str
    counts: Mapping[str, int]
    files: tuple[RemoteFile, ...] = ()
    sha256: str = ""
    shows_photos: bool = False


def manifest_names() -> tuple[str, ...]:
    """The names of all sets that have a manifest, sorted."""
    folder = resources.files("fr_datasets") / "manifests"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load_manifest(name: str) -> Manifest:
    """Read the manifest of the set `name`.

    Raises:
        DatasetUnknown: there is none.
        ValueError: a key is missing, unknown, or of another form.
    """
    if name not in manifest_names():
        raise DatasetUnknown.among(name, manifest_names())
    text = (resources.files("fr_datasets") / "manifests" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_manifest(text)


def parse_manifest(text: str) -> Manifest:
    """Parse the TOML text of a manifest; raises `ValueError` where a key is missing, unknown, or of another form."""
    table = tomllib.loads(text)
    _require_keys(table, set(_TEXTS), {"counts", "files", "shows_photos"})
    if not all(isinstance(table[key], str) and table[key].strip() for key in _TEXTS):
        raise ValueError("Each text of a manifest is a text, and none is empty.")
    counts = table.get("counts", {})
    if not all(type(count) is int and count > 0 for count in counts.values()):
        raise ValueError("Each count of a manifest is a whole number from 1.")
    shows_photos = table.get("shows_photos", False)
    if type(shows_photos) is not bool:
        raise ValueError("`shows_photos` of a manifest is true or false.")
    files = tuple(_file(entry) for entry in table.get("files", ()))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    texts = {key: table[key].strip() for key in _TEXTS}
    return Manifest(**texts, counts=counts, files=files, sha256=sha256, shows_photos=shows_photos)


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    _require_keys(entry, {"path", "sources", "checksum"}, {"archive"})
    if not _CHECKSUM.fullmatch(entry["checksum"]):
        raise ValueError("A checksum of a manifest is sha256:HEX or md5:HEX.")
    if not entry["sources"] or not all(urlsplit(source).scheme in ("http", "https") for source in entry["sources"]):
        raise ValueError("A file of a manifest has sources, each an address of http or https.")
    if not re.fullmatch(r"[\w-][\w.-]*", entry["path"]):
        raise ValueError("The path of a file of a manifest is one plain name.")
    return RemoteFile(entry["path"], tuple(entry["sources"]), entry["checksum"], entry.get("archive", False))


def _require_keys(table: Mapping[str, Any], needed: set[str], optional: set[str]) -> None:
    wrong = (needed - set(table)) | (set(table) - needed - optional)
    if wrong:
        raise ValueError(f"The manifest lacks a key, or has one too many: {', '.join(sorted(wrong))}.")
