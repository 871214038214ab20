"""Aligned crops, such as those of InsightFace's .bin files: embedded as they are, nothing is detected."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fr_core.align import CROP_SIZE
from fr_core.errors import InputRefused, message
from fr_core.pipeline import Pipeline
from fr_core.types import AlignedFace, Embedding, frozen_array
from fr_datasets import bins
from fr_datasets.errors import BinMalformed, DatasetMissing
from fr_datasets.manifests import load_manifest
from fr_datasets.values import CropPairs, PairSet, VerificationPair
from fr_evaluation.photos import OnProgress, in_threads
from fr_evaluation.verification.compare import compare
from fr_evaluation.verification.sources import Comparison, PairsToCompare

_UNMOVED = frozen_array(np.eye(2, 3, dtype=np.float32))


def read_crops(name: str, root: Path) -> PairsToCompare:
    """The pairs of a .bin file, whose crops are named as if the file were a folder: lfw.bin/1, lfw.bin/2 and so on.

    `root` is the file, or a folder with one .bin file. Raises `DatasetMissing` if there is no such file, or the folder
    holds several, and `BinMalformed` as `fr_datasets.bins.crop_pairs`.
    """
    path = _bin_of(root)
    crops, manifest = bins.crop_pairs(path), load_manifest(name)
    pairs = _named(crops, path)
    source = CropSource(dict(zip(pairs.photos, crops.crops, strict=True)))
    return PairsToCompare(replace(manifest, title=f"{manifest.title}: {path.name}"), path, pairs, source)


class CropSource:
    """Crops that are aligned already, by name: JPEG or PNG files of 112 x 112 pixels."""

    pick = "aligned crop"

    def __init__(self, crops: Mapping[Path, bytes]) -> None:
        self._crops = crops

    def compare(self, pairs: PairSet, pipeline: Pipeline, workers: int, on_progress: OnProgress) -> Comparison:
        """As `Source.compare`; raises `BinMalformed` where a crop has another size."""

        def embed(name: Path) -> Embedding | str:
            try:
                image = pipeline.decode(self._crops[name])
            except InputRefused as refusal:
                return refusal.reason
            if (image.width, image.height) != (CROP_SIZE, CROP_SIZE):
                size = f"{image.width} x {image.height}"
                raise BinMalformed(message("error.evaluation.crop_size", name=name, size=size, crop_size=CROP_SIZE))
            return pipeline.embed_aligned([AlignedFace(image.pixels, _UNMOVED)])[0].embedding

        answers = dict(zip(pairs.photos, in_threads(embed, pairs.photos, workers, on_progress), strict=True))
        embeddings = {name: None if isinstance(answer, str) else answer for name, answer in answers.items()}
        failures = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
        return Comparison(compare(pairs.pairs, embeddings), None, failures, len(answers))


def _bin_of(root: Path) -> Path:
    if not root.is_dir():
        return root
    found = sorted(root.glob("*.bin"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DatasetMissing(message("error.evaluation.folder_holds_several_bin", root=root, names=names))
    if not found:
        raise DatasetMissing(message("error.evaluation.folder_holds_no_bin", root=root))
    return found[0]


def _named(crops: CropPairs, path: Path) -> PairSet:
    content = hashlib.sha256()
    for crop in crops.crops:
        content.update(hashlib.sha256(crop).digest())
    names = [path / str(number) for number in range(1, len(crops.crops) + 1)]
    pairs = tuple(
        VerificationPair(a, b, mated, fold)
        for a, b, mated, fold in zip(names[::2], names[1::2], crops.mated, crops.folds, strict=True)
    )
    return PairSet(crops.name, crops.terms, pairs, content_sha256=content.hexdigest())
