"""A verification: the pairs of a data set through the pipeline, to a report."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import fr_core
from fr_core.engine import Engine
from fr_core.runtime.ticket import current_ticket
from fr_core.types import Quality
from fr_datasets import agedb30, celeba_wild, cfp, cross_lfw, deepface, lfw, london, pairs_csv, people_folder
from fr_datasets.errors import DatasetUnknown, of_dataset
from fr_datasets.labels import with_labels
from fr_datasets.manifests import load_manifest
from fr_datasets.values import PairSet
from fr_evaluation.photos import OnProgress, Pick, largest, most_central, photo_namer
from fr_evaluation.report import Dataset, Settings, part_of, settings_of
from fr_evaluation.verification.calibrate import calibrate, held_out, provenance_of
from fr_evaluation.verification.compare import AcrossPeople, ComparedPairs
from fr_evaluation.verification.crops import read_crops
from fr_evaluation.verification.figures import Undefined, verification_figures
from fr_evaluation.verification.groups import group_figures
from fr_evaluation.verification.quality import quality_figures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.sources import PairsToCompare, PhotoSource
from fr_evaluation.verification.templates import read_templates
from fr_evaluation.verification.videos import read_videos
from fr_locales.messages import message


def assemble(
    dataset: Dataset,
    settings: Settings,
    measured_at: datetime,
    seconds: float,
    failures: Mapping[Path, str],
    pairs: PairSet,
    compared: ComparedPairs,
    across: AcrossPeople | None,
    faces: Mapping[Path, Quality],
) -> VerificationReport:
    """Compute all that the pairs support.

    The part of the set in `dataset` is found here. `measured_at` has a time zone; `seconds` are how long the photos
    took; `failures` say why a photo gave no embedding. `pairs` have the labels of their people. `across` are every two
    of these; None where the list names nobody. `faces` are the quality of the face of each photo with an embedding.
    """
    dataset = replace(dataset, part=part_of(dataset.manifest, {"pairs": len(pairs.pairs), "people": dataset.people}))
    threshold, seed = settings.threshold, settings.seed
    figures = verification_figures(compared, across, threshold, seed=seed)
    undefined = Undefined(figures.undefined)
    source = undefined.unless(
        "calibration", lambda: provenance_of(dataset, settings, measured_at.date(), pairs.pairs, across)
    )
    calibration, tried = None, None
    if source is None:
        undefined["held_out"] = undefined["calibration"]
    else:
        calibration = undefined.unless(
            "calibration", lambda: calibrate(compared, across, source, seed=seed, faces=faces.values())
        )
        tried = undefined.unless("held_out", lambda: held_out(compared, across, source, seed=seed))
    groups = undefined.unless(
        "differentials", lambda: group_figures(compared, across, pairs.labels, threshold, seed=seed)
    )
    scores = {photo: face.score for photo, face in faces.items()}
    quality = undefined.unless("quality", lambda: quality_figures(compared, across, scores, threshold))
    return VerificationReport(
        dataset,
        settings,
        measured_at,
        seconds,
        failures,
        compared,
        figures,
        calibration,
        tried or (),
        groups or (),
        quality,
        undefined,
    )


# Pairs of a list between two looks at whether it is still wanted.
BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class PairReader:
    """Reads the pairs of a data set of photos; `pick` says which face of a photo they mean."""

    read: Callable[[Path], PairSet]
    pick: Pick

    def __call__(self, name: str, root: Path) -> PairsToCompare:
        """The pairs of the data set `name` in the folder `root`; raises what `read` raises."""
        return PairsToCompare(load_manifest(name), root, self.read(root), PhotoSource(self.pick))


# By the names of the manifests.
PAIR_READERS: Mapping[str, Callable[[str, Path], PairsToCompare]] = {
    "agedb30": PairReader(agedb30.pairs, most_central),
    "calfw": PairReader(cross_lfw.calfw, most_central),
    "celeba_wild": PairReader(celeba_wild.pairs, most_central),
    "cfp": PairReader(cfp.pairs, most_central),
    "chokepoint": read_videos,
    "cplfw": PairReader(cross_lfw.cplfw, most_central),
    "deepface": PairReader(deepface.pairs, largest),
    "ijbb": read_templates,
    "ijbc": read_templates,
    "insightface_bins": read_crops,
    "lfw": PairReader(lfw.view2, most_central),
    "lfw_funneled": PairReader(lfw.view2, most_central),
    "lfw_original": PairReader(lfw.view2, most_central),
    "london": PairReader(london.pairs, most_central),
    "pairs_csv": PairReader(pairs_csv.pairs, most_central),
    "people_folder": PairReader(people_folder.pairs, most_central),
    "youtube_faces": read_videos,
}


def read_pairs(name: str, root: Path, groups: Path | None = None) -> PairsToCompare:
    """Read the list of pairs of a data set, and make sure of each photo that it names.

    `name` is of its manifest. `root` is its folder; of InsightFace's .bin files the file, or a folder with one.
    `groups` is a CSV with labels of the people, as `with_labels` reads it, in place of those of the set. Raises
    `DatasetUnknown` if there is no data set of that name that has pairs, and `DatasetError` if a list or a photo is
    absent, or a list breaks its format.
    """
    if name not in PAIR_READERS:
        load_manifest(name)  # raises for a name of no set
        raise DatasetUnknown(message("error.evaluation.data_set_no_pairs", name=name, names=", ".join(PAIR_READERS)))
    with of_dataset(name):
        given = PAIR_READERS[name](name, root)
    return given if groups is None else replace(given, pairs=with_labels(given.pairs, groups))


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
    """Compare every pair of a data set, with photos analysed side by side; arguments are as of `run_identification`."""
    pairs = given.pairs
    began = time.perf_counter()
    found = given.source.compare(pairs, engine.pipeline, workers, on_progress)
    seconds = time.perf_counter() - began
    settings = settings_of(engine, flip=flip, pick=given.source.pick, seed=seed, version=fr_core.__version__)
    return assemble(
        Dataset(given.manifest, given.root, list_sha256(given), found.photos, _people(pairs), labels_sha256(pairs)),
        settings,
        clock(),
        seconds,
        found.failures,
        pairs,
        found.compared,
        found.across,
        {photo: face.face.quality for photo, face in found.faces.items()},
    )


def list_sha256(given: PairsToCompare) -> str:
    """The hash of what is compared: names of photos and people, labels, folds; crops and templates by their content.

    Raises `CallEnded`.
    """
    ticket = current_ticket()
    named = photo_namer(given.manifest.name, given.root)
    digest = hashlib.sha256(given.pairs.content_sha256.encode())
    for number, pair in enumerate(given.pairs.pairs):
        if number % BLOCK == 0:
            ticket.require_wanted()
        row = (named(pair.a), named(pair.b), int(pair.mated), pair.fold or 0, pair.people)
        digest.update(f"{json.dumps(row)}\n".encode())
    return digest.hexdigest()


def labels_sha256(pairs: PairSet) -> str:
    """The hash of what is said of the people; empty where nothing is."""
    if not any(pairs.labels.values()):
        return ""
    said = {name: dict(labels) for name, labels in pairs.labels.items()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _people(pairs: PairSet) -> int | None:
    names: set[str] = set()
    for pair in pairs.pairs:
        if pair.people is None:
            return None
        names.update(pair.people)
    return len(names)
