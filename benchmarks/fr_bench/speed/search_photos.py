"""Probes that are real faces: pairs of photos of one person, one to be enrolled and one to be searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.engine import opened_engine, workers_for
from fr_bench.speed.search_report import PhotoProbes
from fr_bench.speed.values import EngineSettings
from fr_bench.testdata import find_testdata
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32
from fr_datasets import lfw
from fr_datasets.values import VerificationPair
from fr_evaluation.photos import EmbeddedPhoto, Photos
from fr_evaluation.pick import most_central

LFW = "lfw"


@dataclass(frozen=True, slots=True, eq=False)
class RealPairs:
    """Faces of photos: probes and mates f32[n, D] of length 1; row i of both shows one person, on two photos."""

    probes: F32
    mates: F32
    told: PhotoProbes
    device: ActiveDevice


def embedded_pairs(
    settings: EngineSettings, number: int, testdata: Path | None, on_progress: Callable[[str], None]
) -> RealPairs:
    """Embed mated pairs of LFW's View 2: the first pair of each of the first `number` people.

    Fewer come back where there are not as many, or where a photo shows no face. `testdata` is as `find_testdata` takes
    it.

    Raises:
        DatasetMissing: there is no test data.
        BenchFailed: no pair is left.
        UnknownPack, ModelNotInstalled, ModelCorrupt, ConfigInvalid, DeviceUnavailable: as `opened_engine`.
    """
    pairs = one_of_each(lfw.view2(find_testdata(testdata) / LFW).pairs)[:number]

    def tell(done: int, total: int) -> None:
        if done % 200 == 0 or done == total:
            on_progress(f"{done} of {total} photos embedded")

    with opened_engine(settings) as engine:
        photos = Photos(engine.pipeline, workers_for(settings, engine.device), tell)
        embedded = photos.embed(path for pair in pairs for path in (pair.a, pair.b))
        device = engine.device
    vectors = {path: _vector(photo) for path, photo in embedded.items()}
    found = [
        (a, b) for a, b in ((vectors[pair.a], vectors[pair.b]) for pair in pairs) if a is not None and b is not None
    ]
    if not found:
        raise BenchFailed("No pair of photos shows a face on both; there is nothing to search for.")
    mates, probes = (np.stack(side) for side in zip(*found, strict=True))
    cosines = np.vecdot(mates.astype(np.float64), probes.astype(np.float64))
    told = PhotoProbes(LFW, len(found), len(pairs) - len(found), float(cosines.min()), float(np.median(cosines)))
    return RealPairs(probes, mates, told, device)


def one_of_each(pairs: Iterable[VerificationPair]) -> list[VerificationPair]:
    """The first mated pair of each person, in their order; LFW has a folder for each person.

    A second pair would enrol a further photo of a person who is searched for, or the very photo that is searched for.
    """
    first: dict[Path, VerificationPair] = {}
    for pair in pairs:
        if pair.mated:
            first.setdefault(pair.a.parent, pair)
    return list(first.values())


def _vector(photo: EmbeddedPhoto) -> F32 | None:
    face = most_central(photo)
    return None if face is None else face.embedding.vector
