"""Photos through the pipeline: each file once, several at a time, a refusal kept as an answer."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

from fr_core.errors import InputRefused
from fr_core.imaging import ImageLimits, decode
from fr_core.pipeline import Pipeline
from fr_core.runtime.ticket import current_ticket
from fr_core.types import EmbeddedFace
from fr_datasets import agedb30, cross_lfw, lfw
from fr_datasets.errors import read_photo

# Of sets whose photos lie in the root or in a folder of one of these names: that folder is no part of a photo's name.
_FOLDERS: Mapping[str, Sequence[str]] = {
    "agedb30": agedb30.FOLDERS,
    **dict.fromkeys(("calfw", "cplfw"), cross_lfw.FOLDERS),
    **dict.fromkeys(("lfw", "lfw_funneled", "lfw_original"), lfw.FOLDERS),
}


def photo_namer(dataset: str, root: Path) -> Callable[[Path], str]:
    """Return what names the photos of a data set, by their paths below the folder in its root that holds them."""
    folders = _FOLDERS.get(dataset, ())

    @cache
    def name(photo: Path) -> str:
        first, *rest = photo.relative_to(root).parts
        return "/".join(rest if rest and first in folders else (first, *rest))

    return name


Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Photos that are begun or wait, for each thread: enough that none is idle behind a slow one, and few in memory.
AHEAD = 4

# Called with the number of photos that are done, at first 0, and that there are.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPhoto:
    """The faces of a photo, or why it was refused."""

    size: tuple[int, int]  # (width, height) in pixels; (0, 0) of a refused photo
    faces: tuple[EmbeddedFace, ...]  # largest box first
    refusal: str = ""  # the reason, such as "UNDECODABLE"; else empty


Pick = Callable[[EmbeddedPhoto], EmbeddedFace | None]


def most_central(photo: EmbeddedPhoto) -> EmbeddedFace | None:
    """The face with the greatest box area - 2 * squared distance of its centre from the photo's, in square pixels.

    For photos that were framed around the person meant, with bystanders: LFW and CelebA. Source: InsightFace,
    model_zoo/scrfd.py, metric "default". None where the photo shows no face.
    """
    width, height = photo.size

    def weight(face: EmbeddedFace) -> float:
        left, top, right, bottom = (float(value) for value in face.face.detection.box)
        across, down = (left + right - width) / 2, (top + bottom - height) / 2
        return face.face.detection.area - 2.0 * (across**2 + down**2)

    return max(photo.faces, key=weight, default=None)


def largest(photo: EmbeddedPhoto) -> EmbeddedFace | None:
    """The face with the greatest box area, as the service's policy LARGEST has it; None where there is none."""
    return max(photo.faces, key=lambda face: face.face.detection.area, default=None)


@dataclass(frozen=True, slots=True)
class CountedFaces:
    """The number of faces in a photo; `refusal` as in `EmbeddedPhoto`."""

    found: int
    refusal: str = ""


class Photos:
    """Analyses photos with a pool of `workers` threads, and remembers the faces of each file.

    The pipeline must be safe to use from several threads; `on_progress` is as of `in_threads`.
    """

    def __init__(self, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> None:
        self._pipeline = pipeline
        self._workers = workers
        self._on_progress = on_progress
        self._embedded: dict[Path, EmbeddedPhoto] = {}

    def embed(self, paths: Iterable[Path]) -> Mapping[Path, EmbeddedPhoto]:
        """Every face of each photo, embedded; a photo that was asked for before is not opened again."""
        distinct = tuple(dict.fromkeys(paths))
        missing = [path for path in distinct if path not in self._embedded]
        self._embedded.update(zip(missing, self._map(self._embed_one, missing), strict=True))
        return {path: self._embedded[path] for path in distinct}

    def count(self, paths: Sequence[Path], limits: ImageLimits) -> list[CountedFaces]:
        """The number of faces of each photo, decoded within `limits`, which replace those of the pipeline."""
        return self._map(lambda path: self._count_one(path, limits), paths)

    def _embed_one(self, path: Path) -> EmbeddedPhoto:
        try:
            photo = self._pipeline.analyze(read_photo(path, self._pipeline.image_limits.max_bytes))
        except InputRefused as refusal:
            return EmbeddedPhoto((0, 0), (), refusal.reason)
        return EmbeddedPhoto((photo.image.width, photo.image.height), photo.faces)

    def _count_one(self, path: Path, limits: ImageLimits) -> CountedFaces:
        try:
            image = decode(read_photo(path, limits.max_bytes), limits)
        except InputRefused as refusal:
            return CountedFaces(0, refusal.reason)
        return CountedFaces(len(self._pipeline.detect_image(image).faces))

    def _map(self, analyze: Callable[[Path], Answer], paths: Sequence[Path]) -> list[Answer]:
        return list(in_threads(analyze, paths, self._workers, self._on_progress))


def in_threads(
    analyze: Callable[[Item], Answer], items: Sequence[Item], workers: int, on_progress: OnProgress
) -> Generator[Answer, None, None]:
    """Call `analyze` with each item, `workers` at a time, at least 1; the answers are in the order of the items.

    It works for the caller's ticket. However it ends, what waits is not begun, and what runs is awaited. `analyze` must
    be safe to use from several threads. The number of `items` must be known. Calls `on_progress` from this thread only;
    what it raises ends the work. Raises `CallEnded`, and `DatasetUnreadable` if a photo has gone since the list was
    read.
    """
    ticket = current_ticket()

    def one(item: Item) -> Answer:
        ticket.require_wanted()
        return analyze(item)

    on_progress(0, len(items))
    ahead: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
    try:
        rest = iter(items)
        for done in range(1, len(items) + 1):
            for item in islice(rest, AHEAD * workers - len(ahead)):
                ahead.append(pool.submit(copy_context().run, one, item))
            answer = ahead.popleft().result()
            on_progress(done, len(items))
            yield answer
        ticket.require_wanted()
    finally:
        pool.shutdown(cancel_futures=True)
