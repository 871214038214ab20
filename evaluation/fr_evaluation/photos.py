"""Photos through the pipeline: each file once, several at a time, a refusal kept as an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fr_core.errors import InputRefused
from fr_core.imaging import ImageLimits, decode
from fr_core.pipeline import Pipeline
from fr_core.types import EmbeddedFace

Answer = TypeVar("Answer")

# Called with the number of photos that are done and that there are.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedPhoto:
    """The faces of a photo.

    Attributes:
        size: (width, height) in pixels; (0, 0) where the photo was refused.
        faces: largest box first; empty where none was found or the photo was refused.
        refusal: the reason of the refusal, such as "UNDECODABLE"; empty where there was none.
    """

    size: tuple[int, int]
    faces: tuple[EmbeddedFace, ...]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class CountedFaces:
    """How many faces were found in a photo; `refusal` as in `EmbeddedPhoto`."""

    found: int
    refusal: str = ""


class Photos:
    """Analyses photos with a pool of threads, and remembers the faces of each file.

    Args:
        pipeline: must be safe to use from several threads.
        workers: photos at a time, at least 1.
        on_progress: called from this thread only.
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
            photo = self._pipeline.analyze(path.read_bytes())
        except InputRefused as refusal:
            return EmbeddedPhoto((0, 0), (), refusal.reason)
        return EmbeddedPhoto((photo.image.width, photo.image.height), photo.faces)

    def _count_one(self, path: Path, limits: ImageLimits) -> CountedFaces:
        try:
            image = decode(path.read_bytes(), limits)
        except InputRefused as refusal:
            return CountedFaces(0, refusal.reason)
        return CountedFaces(len(self._pipeline.detect_image(image).faces))

    def _map(self, analyze: Callable[[Path], Answer], paths: Sequence[Path]) -> list[Answer]:
        answers: list[Answer] = []
        with ThreadPoolExecutor(self._workers) as pool:
            for answer in pool.map(analyze, paths):
                answers.append(answer)
                self._on_progress(len(answers), len(paths))
        return answers
