"""An identification: the people of a data set through the pipeline, to a report."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import fr_core
from fr_core.engine import Engine
from fr_core.errors import NoFaceFound, message
from fr_datasets import lfw, london, people_folder
from fr_datasets.errors import DatasetIncomplete, DatasetUnknown, of_dataset
from fr_datasets.manifests import Manifest, load_manifest
from fr_datasets.values import PeopleSet
from fr_evaluation.identification.figures import IdentificationReport, identification_figures
from fr_evaluation.identification.searches import OpenSet, open_set, search
from fr_evaluation.photos import OnProgress, Photos, most_central, photo_namer
from fr_evaluation.report import Dataset, part_of, settings_of

# By the names of the manifests.
PEOPLE_READERS: Mapping[str, Callable[[Path], PeopleSet]] = {
    "lfw": lfw.people,
    "lfw_funneled": lfw.people,
    "lfw_original": lfw.people,
    "london": london.people,
    "people_folder": people_folder.people,
}


@dataclass(frozen=True, slots=True)
class PeopleToSearch:
    """The people of a data set in its folder, read and checked."""

    manifest: Manifest
    root: Path
    people: PeopleSet


def read_people(name: str, root: Path) -> PeopleToSearch:
    """Read the people of a data set, and make sure of each photo.

    Raises `DatasetUnknown` if there is no data set of that name that names people with their photos, and `DatasetError`
    if a list or a photo is absent, a list breaks its format, or there are fewer than two people.
    """
    if name not in PEOPLE_READERS:
        load_manifest(name)  # raises for a name of no set
        raise DatasetUnknown(message("error.build.no_named_people", name=name, names=", ".join(PEOPLE_READERS)))
    with of_dataset(name):
        people = PEOPLE_READERS[name](root)
    if len(people.people) < 2:
        raise DatasetIncomplete(message("error.evaluation.half_people_enrolled_not"))
    return PeopleToSearch(load_manifest(name), root, people)


def run_identification(
    engine: Engine,
    given: PeopleToSearch,
    *,
    sizes: Sequence[int],
    flip: bool,
    seed: int,
    workers: int,
    clock: Callable[[], datetime],
    on_progress: OnProgress,
) -> IdentificationReport:
    """Enrol half of the people, and search for all other photos, which are analysed side by side.

    `sizes`, ascending, are of the galleries that are filled up with drawn strangers. `flip` says whether the engine
    fuses embeddings with those of the mirrored face, for the report. `seed` is of everything that is drawn. `workers`
    are photos at a time, at least 1. `clock` gives the time with a time zone. Calls `on_progress` before the first
    photo and after each. Raises `UndefinedRate` if nobody could be enrolled.
    """
    chosen = open_set(given.people.people, seed)
    began = time.perf_counter()
    photos = Photos(engine.pipeline, workers, on_progress).embed(chosen.photos)
    faces = {path: most_central(photo) for path, photo in photos.items()}
    seconds = time.perf_counter() - began
    embeddings = {path: None if face is None else face.embedding for path, face in faces.items()}
    searches = search(chosen, embeddings, sizes, seed)
    settings = settings_of(
        engine, flip=flip, pick=most_central.__name__, seed=seed, version=fr_core.__version__, sizes=tuple(sizes)
    )
    people = len(given.people.people)
    part = part_of(given.manifest, {"people": people})
    return IdentificationReport(
        Dataset(given.manifest, given.root, list_sha256(given, chosen), len(chosen.photos), people, part=part),
        settings,
        clock(),
        seconds,
        {path: photos[path].refusal or NoFaceFound.reason for path, face in faces.items() if face is None},
        searches,
        identification_figures(searches, settings.threshold, seed),
    )


def list_sha256(given: PeopleToSearch, chosen: OpenSet) -> str:
    """The hash of who is enrolled and searched for: names of photos and of the people they show, in order."""
    named = photo_namer(given.manifest.name, given.root)
    shown = {photo: person.identity for person in given.people.people for photo in person.photos}
    digest = hashlib.sha256()
    for part in (chosen.enrolled, *([photo for _, photo in part] for part in (chosen.mated, chosen.nonmated))):
        digest.update(f"{len(part)}\n".encode())
        for photo in part:
            digest.update(f"{json.dumps((shown[photo], named(photo)))}\n".encode())
    return digest.hexdigest()
