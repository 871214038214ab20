"""A verification: the pairs of a data set through the pipeline, to a report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import fr_core
from fr_core.engine import Engine
from fr_core.errors import NoFaceFound
from fr_datasets import agedb30, calfw, celeba_wild, cfp, cplfw, deepface, lfw, pairs_csv
from fr_datasets.errors import DatasetUnknown
from fr_datasets.manifests import Manifest, load_manifest
from fr_datasets.values import PairSet
from fr_evaluation.photos import OnProgress, Photos
from fr_evaluation.pick import Pick, largest, most_central
from fr_evaluation.report import Dataset, settings_of
from fr_evaluation.verification.compare import across_people, compare
from fr_evaluation.verification.figures import verification_figures
from fr_evaluation.verification.report import VerificationReport


@dataclass(frozen=True, slots=True)
class PairReader:
    """How the pairs of a data set are read and which face of a photo they mean."""

    read: Callable[[Path], PairSet]
    pick: Pick


# By the names of the manifests.
PAIR_READERS: Mapping[str, PairReader] = {
    "agedb30": PairReader(agedb30.pairs, most_central),
    "calfw": PairReader(calfw.pairs, most_central),
    "celeba_wild": PairReader(celeba_wild.pairs, most_central),
    "cfp": PairReader(cfp.pairs, most_central),
    "cplfw": PairReader(cplfw.pairs, most_central),
    "deepface": PairReader(deepface.pairs, largest),
    "lfw": PairReader(lfw.view2, most_central),
    "lfw_funneled": PairReader(lfw.view2, most_central),
    "lfw_original": PairReader(lfw.view2, most_central),
    "pairs_csv": PairReader(pairs_csv.pairs, most_central),
}


@dataclass(frozen=True, slots=True)
class PairsToCompare:
    """The pairs of a data set, read and checked.

    Attributes:
        manifest: of the set.
        root: its folder.
        pairs: what its list names.
        pick: which face of a photo is meant.
    """

    manifest: Manifest
    root: Path
    pairs: PairSet
    pick: Pick


def read_pairs(name: str, root: Path) -> PairsToCompare:
    """Read the list of pairs of a data set, and make sure of each photo that it names.

    Raises:
        DatasetUnknown: there is no data set of that name that has pairs.
        DatasetError: a list or a photo is absent, or a list breaks its format.
    """
    if name not in PAIR_READERS:
        raise DatasetUnknown(f"There is no data set {name!r} with pairs; those are {', '.join(PAIR_READERS)}.")
    reader = PAIR_READERS[name]
    return PairsToCompare(load_manifest(name), root, reader.read(root), reader.pick)


def run_verification(
    engine: Engine,
    given: PairsToCompare,
    *,
    flip: bool,
    seed: int,
    workers: int,
    clock: Callable[[], datetime],
    on_progress: OnProgress,
) -> VerificationReport:
    """Compare every pair of a data set.

    Args:
        engine: the pipeline; its photos are analysed side by side.
        given: the pairs.
        flip: whether the engine fuses embeddings with those of the mirrored face, for the report.
        seed: of the bootstrap's draws.
        workers: photos at a time, at least 1.
        clock: gives the time with a time zone.
        on_progress: called after each photo.
    """
    pairs = given.pairs
    began = time.perf_counter()
    photos = Photos(engine.pipeline, workers, on_progress).embed(pairs.photos)
    faces = {path: given.pick(photo) for path, photo in photos.items()}
    seconds = time.perf_counter() - began
    embeddings = {path: None if face is None else face.embedding for path, face in faces.items()}
    compared, across = compare(pairs.pairs, embeddings), across_people(pairs.pairs, embeddings)
    settings = settings_of(engine, flip=flip, pick=given.pick.__name__, seed=seed, version=fr_core.__version__)
    return VerificationReport(
        Dataset(given.manifest, given.root, _list_sha256(pairs), len(pairs.photos), _people(pairs)),
        settings,
        clock(),
        seconds,
        {path: photos[path].refusal or NoFaceFound.reason for path, face in faces.items() if face is None},
        compared,
        verification_figures(compared, across, settings.threshold, seed=seed),
    )


def _list_sha256(pairs: PairSet) -> str:
    """The hash of what was compared: names of photos with that of their folder, labels, and folds."""
    digest = hashlib.sha256()
    for pair in pairs.pairs:
        a, b = (f"{photo.parent.name}/{photo.name}" for photo in (pair.a, pair.b))
        digest.update(f"{a}\t{b}\t{int(pair.mated)}\t{pair.fold or 0}\n".encode())
    return digest.hexdigest()


def _people(pairs: PairSet) -> int | None:
    named = [pair.people for pair in pairs.pairs]
    if None in named:
        return None
    return len({name for both in named if both is not None for name in both})
