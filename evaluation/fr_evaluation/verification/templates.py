"""Templates of several photos each, whose faces are given by landmarks: IJB-B and IJB-C, 1:1.

As InsightFace evaluates them (recognition/arcface_torch/eval_ijbc.py, with its defaults `use_norm_score` and
`use_detector_score`): a photo's unit vector is weighted by the length that the model gave it, times the score of the
list's face detector; photos of one medium, a still or a video, are averaged; the media of a template are added up, and
the sum is brought to length 1. `--flip` adds the mirrored face, as its `use_flip_test` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from fr_core.align import align
from fr_core.embed.protocol import EmbeddingWithNorm
from fr_core.errors import InputRefused
from fr_core.pipeline import Pipeline
from fr_datasets import ijb
from fr_datasets.errors import read_photo
from fr_datasets.manifests import load_manifest
from fr_datasets.values import PairSet, TemplateSet, VerificationPair
from fr_evaluation.photos import OnProgress, in_threads
from fr_evaluation.verification.compare import F64, ComparedPairs
from fr_evaluation.verification.sources import Comparison, PairsToCompare

I64 = npt.NDArray[np.int64]
# Pairs that are compared at once: 32 MiB of vectors of 512 values for either side.
BLOCK = 8192
# Why a photo gave no embedding whose landmarks fit no face: all at one point, or a mirror image.
LANDMARKS_UNUSABLE = "LANDMARKS_UNUSABLE"


def read_templates(name: str, root: Path) -> PairsToCompare:
    """The template pairs of IJB-B ("ijbb") or IJB-C ("ijbc"); errors are those of `fr_datasets.ijb.templates`."""
    return templates_to_compare(name, root, ijb.templates(root, name))


def templates_to_compare(name: str, root: Path, found: TemplateSet) -> PairsToCompare:
    """The pairs of a set of templates, which are named templates/NUMBER."""
    numbers = np.unique(found.templates)
    names = tuple(root / "templates" / str(number) for number in numbers.tolist())
    first, second = (np.searchsorted(numbers, found.pairs[:, side]) for side in (0, 1))
    pairs = TemplatePairs(names, first, second, found.mated)
    return PairsToCompare(
        load_manifest(name),
        root,
        PairSet(found.name, found.terms, pairs, content_sha256=_content_sha256(found)),
        TemplateSource(found, pairs),
    )


class TemplatePairs(Sequence[VerificationPair]):
    """Pairs of templates by places in `names`, i64[m] twice, each made when it is asked for: IJB-C has 15 million."""

    def __init__(self, names: tuple[Path, ...], first: I64, second: I64, mated: npt.NDArray[np.bool_]) -> None:
        self.names, self.first, self.second, self.mated = names, first, second, mated

    def __len__(self) -> int:
        return len(self.mated)

    def __iter__(self) -> Iterator[VerificationPair]:
        return map(self._pair, self.first, self.second, self.mated)

    @overload
    def __getitem__(self, place: int) -> VerificationPair: ...
    @overload
    def __getitem__(self, place: slice) -> TemplatePairs: ...
    def __getitem__(self, place: int | slice) -> VerificationPair | TemplatePairs:
        if isinstance(place, slice):
            return TemplatePairs(self.names, self.first[place], self.second[place], self.mated[place])
        return self._pair(self.first[place], self.second[place], self.mated[place])

    def only(self, chosen: npt.NDArray[np.bool_]) -> TemplatePairs:
        """Those where bool[m] is true."""
        return TemplatePairs(self.names, self.first[chosen], self.second[chosen], self.mated[chosen])

    def _pair(self, first: np.int64, second: np.int64, mated: np.bool_) -> VerificationPair:
        return VerificationPair(self.names[first], self.names[second], bool(mated))


class TemplateSource:
    """Photos with landmarks, pooled by template."""

    pick = "landmarks of the list; media pooled, photos weighted by norm and detector score"

    def __init__(self, templates: TemplateSet, pairs: TemplatePairs) -> None:
        self._templates = templates
        self._pairs = pairs

    def compare(self, pairs: PairSet, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> Comparison:
        """As `Source.compare`; a pair is compared if both templates have a photo that gave an embedding.

        Photos are read in the order of templates and media, so that only those in work are in memory.
        """
        found, failures = self._templates, {}
        order = np.lexsort((found.media, found.templates))
        most = pipeline.image_limits.max_bytes

        def embed(row: int) -> EmbeddingWithNorm | str:
            try:
                image = pipeline.decode(read_photo(found.folder / found.photos[row], most))
            except InputRefused as refusal:
                return refusal.reason
            try:
                crop = align(image.pixels, found.landmarks[row])
            except ValueError:
                return LANDMARKS_UNUSABLE
            return pipeline.embed_aligned([crop])[0]

        pool = Pool(np.unique(found.templates), pipeline.embedding_size)
        with closing(in_threads(embed, order.tolist(), workers, on_progress)) as answers:
            for row, answer in zip(order.tolist(), answers, strict=True):
                if isinstance(answer, str):
                    failures[found.folder / found.photos[row]] = answer
                else:
                    weight = answer.norm * float(found.scores[row])
                    pool.add(
                        found.templates[row], found.media[row], weight * answer.embedding.vector.astype(np.float64)
                    )
        return Comparison(compare_templates(self._pairs, *pool.units()), None, failures, len(found.photos))


class Pool:
    """Adds up templates, with numbers i64[t] ascending, from the vectors of their photos, which come medium by
    medium.
    """

    def __init__(self, numbers: I64, size: int) -> None:
        self._numbers = numbers
        self._sums = np.zeros((len(numbers), size))
        self._medium: F64 = np.zeros(size)
        self._key: tuple[int, int] | None = None
        self._photos = 0

    def add(self, template: int, medium: int, vector: F64) -> None:
        """Add f64[size], the weighted vector of a photo; all of one template and medium follow one another."""
        if self._key != (template, medium):
            self._end_medium()
            self._key = (template, medium)
        self._medium = self._medium + vector
        self._photos += 1

    def units(self) -> tuple[F64, npt.NDArray[np.bool_]]:
        """f64[t, size] of length 1, and bool[t], false where a template has no direction, and a row of zeros."""
        self._end_medium()
        lengths = np.linalg.norm(self._sums, axis=1)
        usable = lengths > 0
        return self._sums / np.where(usable, lengths, 1.0)[:, None], usable

    def _end_medium(self) -> None:
        if self._key is not None:
            self._sums[np.searchsorted(self._numbers, self._key[0])] += self._medium / self._photos
        self._medium, self._photos, self._key = np.zeros_like(self._medium), 0, None


def compare_templates(pairs: TemplatePairs, units: F64, usable: npt.NDArray[np.bool_]) -> ComparedPairs:
    """Compare the pairs of which both templates are usable (bool[t]), by unit vectors f64[t, D]; the others are
    failures.
    """
    both = usable[pairs.first] & usable[pairs.second]
    compared = pairs.only(both)
    similarities = np.empty(len(compared))
    for start in range(0, len(compared), BLOCK):
        end = start + BLOCK
        np.einsum(
            "ij,ij->i", units[compared.first[start:end]], units[compared.second[start:end]], out=similarities[start:end]
        )
    folds = np.zeros(len(compared), dtype=np.int64)
    return ComparedPairs(np.clip(similarities, -1.0, 1.0), compared.mated, folds, compared, pairs.only(~both))


def _content_sha256(found: TemplateSet) -> str:
    digest = hashlib.sha256("\n".join(found.photos).encode())
    for array in (found.templates, found.media, found.landmarks, found.scores):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
