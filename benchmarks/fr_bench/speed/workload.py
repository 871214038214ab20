"""The photos of a measurement: a folder, Labeled Faces in the Wild, or the sample photo of InsightFace."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.stats import order_of
from fr_bench.speed.values import Workload
from fr_core.errors import InputRefused
from fr_core.imaging import ImageLimits, decode
from fr_datasets.errors import DatasetMissing
from fr_locales.messages import message

VARIABLE = "FR_TESTDATA"


def find_testdata(given: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the test data: the one given, else `FR_TESTDATA`, else ../shared/testdata.

    The last is looked for beside this repository, then beside the working directory. A folder that is named is never
    replaced. Raises `DatasetMissing` if it is not there, or if none is named and none is found.
    """
    named = given or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    if named is not None:
        if not named.is_dir():
            raise DatasetMissing(message("error.bench.folder_not", named=named))
        return named
    repository = Path(__file__).resolve().parents[3]
    places = [folder.parent / "shared" / "testdata" for folder in (repository, Path.cwd())]
    for place in places:
        if place.is_dir():
            return place
    raise DatasetMissing(message("error.bench.no_test_data_name", places=places[0], variable=VARIABLE))


LFW, T1 = "lfw", "t1"

# Distinct photos of a set that are used at most, and photos of a round at least, unless the caller says otherwise:
# 200 photos take some seconds on two cores, and 20 large ones too.
MOST, LEAST = 200, 20

_SUFFIXES = {".avif", ".heic", ".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True, slots=True, eq=False)
class PhotoList:
    """Encoded photos, each distinct one once, and their places in the order in which a round takes them."""

    workload: Workload
    photos: tuple[bytes, ...]
    order: tuple[int, ...]


def read_photos(names: Sequence[str], number: int, testdata: Path | None) -> PhotoList:
    """Read the sets of photos ("lfw", "t1" or folders with all below them), and check that every photo can be decoded.

    A round has `number` photos; 0 = as many as there are, but at least `LEAST` and at most `MOST`. Raises `BenchFailed`
    if a folder is not there or holds no photo, or a photo is refused, and `DatasetMissing` if there is no test data
    where `find_testdata` looks.
    """
    sets = [_paths(name, testdata)[: number or MOST] for name in names]
    total = number or min(MOST, max(LEAST, sum(len(paths) for paths in sets)))
    order = order_of([len(paths) for paths in sets], total)
    paths = [path for paths in sets for path in paths]
    used = sorted(set(order))  # a short round may not reach the last photos of a set
    photos = tuple(paths[place].read_bytes() for place in used)
    pixels = [_pixels(paths[place], photo) for place, photo in zip(used, photos, strict=True)]
    workload = Workload(
        "+".join(name if name in (LFW, T1) else Path(name).resolve().name for name in names),
        len(photos),
        total,
        sum(pixels) / len(pixels) / 1e6,
        sum(len(photo) for photo in photos) / len(photos) / 1e3,
    )
    places = {place: i for i, place in enumerate(used)}
    return PhotoList(workload, photos, tuple(places[place] for place in order))


def _paths(name: str, testdata: Path | None) -> list[Path]:
    if name == T1:
        return [_sample_photo()]
    folder = find_testdata(testdata) / "lfw" / "images" if name == LFW else Path(name)
    if not folder.is_dir():
        raise BenchFailed(message("error.bench.folder_not_photos_takes", folder=folder, lfw=LFW, t1=T1))
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        endings = ", ".join(sorted(_SUFFIXES))
        raise BenchFailed(message("error.bench.folder_holds_no_photo", folder=folder, endings=endings))
    return paths


def _sample_photo() -> Path:
    """The photo of six people that comes with InsightFace; it stays where it is."""
    found = importlib.util.find_spec("insightface")
    if found is None or not found.submodule_search_locations:
        raise BenchFailed(message("error.bench.photo_t1_comes_insightface"))
    path = Path(found.submodule_search_locations[0]) / "data" / "images" / "t1.jpg"
    if not path.is_file():
        raise BenchFailed(message("error.bench.installed_insightface_no_photo", path=path))
    return path


def _pixels(path: Path, photo: bytes) -> int:
    try:
        image = decode(photo, ImageLimits())
    except InputRefused as refusal:
        raise BenchFailed(message("error.bench.photo_refused_leave_out", path=path, reason=refusal.reason)) from refusal
    return image.width * image.height
