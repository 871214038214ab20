"""Turns photos, aligned crops or templates into compared pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fr_core.errors import NoFaceFound
from fr_core.pipeline import Pipeline
from fr_core.types import EmbeddedFace
from fr_datasets.manifests import Manifest
from fr_datasets.values import PairSet
from fr_evaluation.photos import OnProgress, Photos, Pick
from fr_evaluation.verification.compare import AcrossPeople, ComparedPairs, across_people, compare


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The outcome of the photos of a data set."""

    compared: ComparedPairs
    across: AcrossPeople | None  # None where the list names nobody
    failures: Mapping[Path, str]  # why a photo gave no embedding, such as "NO_FACE"
    photos: int
    # Those that were meant; empty where faces were not looked for, but given.
    faces: Mapping[Path, EmbeddedFace] = field(default_factory=dict)


class Source(Protocol):
    """A source of the embeddings of a set's pairs."""

    @property
    def pick(self) -> str:
        """Return which face of a photo counts, in words for the report."""

    def compare(self, pairs: PairSet, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> Comparison:
        """Compare every pair, with `workers` photos at a time; raises what `in_threads` raises."""


@dataclass(frozen=True, slots=True)
class PairsToCompare:
    """The pairs of a data set in its folder, or the file that it is, read and checked, and the source of their
    embeddings.
    """

    manifest: Manifest
    root: Path
    pairs: PairSet
    source: Source


class PhotoSource:
    """Photos in files, whose faces are looked for; `pick` chooses the one that is meant."""

    def __init__(self, pick: Pick) -> None:
        self._pick = pick

    @property
    def pick(self) -> str:
        """The name of the rule."""
        return self._pick.__name__

    def compare(self, pairs: PairSet, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> Comparison:
        """As `Source.compare`."""
        photos = Photos(pipeline, workers, on_progress).embed(pairs.photos)
        picked = {path: self._pick(photo) for path, photo in photos.items()}
        embeddings = {path: None if face is None else face.embedding for path, face in picked.items()}
        return Comparison(
            compare(pairs.pairs, embeddings),
            across_people(pairs.pairs, embeddings),
            {path: photos[path].refusal or NoFaceFound.reason for path, face in picked.items() if face is None},
            len(photos),
            {path: face for path, face in picked.items() if face is not None},
        )
