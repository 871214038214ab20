"""A course in one run: fetch models and photos, start a server, make a course, have 20 simulated trainees take it.

    python examples/demo_training.py --out demo-output/training

The trainees call the API as anybody does. What is right they are told by the server's own store, on this machine, and
they err as much as abilities that are drawn beforehand say. Where LFW is linked (`fr dataset link lfw --root DIR`), a
course of 90 minutes is made of it too. Exit status 0 only if everybody finishes, every answer is in the export, and
every report is written.
"""

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console

from api_trainee import take_sitting
from demo import Check, Person, cut_out, fetched, held, serving
from fr_api.v1 import training_pb2
from fr_client import Client
from fr_client.sync.training import Training
from fr_client.words import ExportFormat
from fr_core.packs.cache import cache_folder
from fr_core.storage.keys import load_key
from fr_datasets.errors import DatasetNotLinked
from fr_datasets.links import Link, datasets_folder, find_link, write_link
from fr_datasets.progress import waiting
from fr_server.clock import wall_ms
from fr_training.simulation.runner import StoreOracle
from fr_training.simulation.trainee import Population, SimulatedTrainee
from fr_training.store.training_store import TrainingStore

TRAINEES = 20
AT_ONCE = 8
SEED = 1
# More photos of those who are cut out or enrolled once: subject and keys.
SECOND_PHOTOS = {"obama": ("obama2", "obama3"), "person-a": ("person_a_2",), "person-b": ("person_b_2",)}
# Sent as an own probe by everybody: a person of the demo, a photo that no form shows.
PROBE = "impostor_1"
EXPORTS: Mapping[ExportFormat, str] = {
    "csv": "results.csv",
    "xapi": "xapi.json",
    "ags": "ags.json",
    "open-badges": "badges.json",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A trainee, and what became of the course."""

    enrolled: training_pb2.Enrolled
    trainee: SimulatedTrainee
    answered: int


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo-output/training"), help="folder for the results")
    parser.add_argument("--trainees", type=int, default=TRAINEES, help="simulated trainees of each course")
    args = parser.parse_args()
    out = Console(highlight=False)
    return held(lambda: run(args.out, args.trainees, out), args.out, "Reports and exports are", out)


def run(folder: Path, trainees: int, out: Console) -> list[Check]:
    """Run the demo and return its checks."""
    photos = fetched()
    lfw = linked("lfw")
    with tempfile.TemporaryDirectory(prefix="fr-demo-") as scratch:
        home = Path(scratch) / "home"
        at_home = {"FR_HOME": str(home)}  # whose links are the demo's own
        home.mkdir()
        (home / "models").symlink_to(cache_folder().absolute())
        people = Path(scratch) / "people"
        write_link("people_folder", Link(people), datasets_folder(at_home))
        if lfw is not None:
            write_link("lfw", lfw, datasets_folder(at_home))
        with patch.dict(os.environ, at_home), serving(Path(scratch), folder / "server.log") as server:
            out.print(f"The server answers at {server.address}")
            with Client(server.address) as client, oracle_of(Path(scratch) / "galleries") as store:
                lay_out(cut_out(client, photos, folder, out), photos, people)
                classroom = Classroom(client.training, StoreOracle(store), photos[PROBE], out)
                checks = classroom.hold("demo", "people_folder", trainees, folder / "demo")
                if lfw is not None:
                    checks += classroom.hold("taster-90", "lfw", trainees, folder / "lfw")
            checks.append(Check("the server stopped on SIGTERM with exit status 0", server.stop() == 0))
    return checks


def linked(name: str) -> Link | None:
    """Return the folder of the user's data set, None if there is none."""
    try:
        return find_link(name, datasets_folder())
    except DatasetNotLinked:
        return None


def oracle_of(data: Path) -> TrainingStore:
    """The store of a server that runs on this machine."""
    return TrainingStore.open(data / "training", load_key(f"file:{data.with_name(f'{data.name}.key')}"), wall_ms)


def lay_out(people: Sequence[Person], photos: Mapping[str, Path], root: Path) -> None:
    """Make a folder for each person, with the photos that there are."""
    for person in people:
        own = root / person.subject_id
        own.mkdir(parents=True)
        for photo in (person.photo, *(photos[key] for key in SECOND_PHOTOS.get(person.subject_id, ()))):
            shutil.copy(photo, own / photo.name)


class Classroom:
    """Holds courses with simulated trainees; `oracle` knows what is right, and all send `probe` as their own photo."""

    def __init__(self, training: Training, oracle: StoreOracle, probe: Path, out: Console) -> None:
        self._training = training
        self._oracle = oracle
        self._probe = probe
        self._out = out

    def hold(self, plan: str, dataset: str, trainees: int, folder: Path) -> list[Check]:
        """Make a course, have everybody take it, and write what comes of it to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with waiting(f"Making a course of {dataset}"):
            course = self._training.create_course(plan, [dataset])
        self._out.print(f"Course of {dataset}: {course.title}, forms {course.manifest_sha256[:12]}", markup=False)
        made = self._training.create_cohort(course.course_id, trainees, display_name=f"Simulated trainees, {dataset}")
        rng = np.random.default_rng(SEED)
        people = [(one, SimulatedTrainee(Population().draw(rng)), rng.spawn(1)[0]) for one in made.enrolled]
        with waiting(f"{trainees} trainees take the course"), ThreadPoolExecutor(AT_ONCE) as pool:
            taken = list(pool.map(lambda one: self._take(course, *one), people))
        trials = sum(block.trials for sitting in course.sittings for block in sitting.blocks)
        self._out.print(f"{trainees} trainees answered {sum(one.answered for one in taken)} trials", markup=False)
        checks = [
            Check(f"{dataset}: each trainee answered {trials} trials", {one.answered for one in taken} == {trials})
        ]
        with waiting("Writing reports and exports"):
            checks += self._write(made.cohort.cohort_id, taken, trials, folder)
        return [
            Check(one.what if one.what.startswith(dataset) else f"{dataset}: {one.what}", one.holds) for one in checks
        ]

    def _take(
        self,
        course: training_pb2.Course,
        enrolled: training_pb2.Enrolled,
        trainee: SimulatedTrainee,
        rng: np.random.Generator,
    ) -> Taken:
        answered = sum(
            take_sitting(self._training, self._oracle, trainee, enrolled.code, sitting.name, self._probe, rng)
            for sitting in course.sittings
        )
        return Taken(enrolled, trainee, answered)

    def _write(self, cohort_id: str, taken: Sequence[Taken], trials: int, folder: Path) -> list[Check]:
        for form, name in EXPORTS.items():
            (folder / name).write_bytes(self._training.export(cohort_id, form))
        for file in ("json", "html"):
            (folder / f"cohort.{file}").write_bytes(self._training.report(cohort_id=cohort_id, file=file))
            for one in taken:
                report = self._training.report(code=one.enrolled.code, file=file)
                (folder / f"{one.enrolled.trainee_id}.{file}").write_bytes(report)
        abilities = {one.enrolled.trainee_id: asdict(one.trainee.abilities) for one in taken}
        (folder / "abilities.json").write_text(json.dumps(abilities, indent=2) + "\n", encoding="utf-8")
        with (folder / "results.csv").open(encoding="utf-8", newline="") as results:
            rows = Counter(row["trainee_id"] for row in csv.DictReader(results))
        badges = json.loads((folder / "badges.json").read_text(encoding="utf-8"))
        pages = [*(f"{one.enrolled.trainee_id}.html" for one in taken), "cohort.html"]
        return [
            Check("every answer is in the export", rows == dict.fromkeys(abilities, trials)),
            Check("everybody has a certificate of completion", len(badges) == len(taken)),
            Check(f"{len(pages)} pages are written", all((folder / page).stat().st_size > 10_000 for page in pages)),
        ]


if __name__ == "__main__":
    sys.exit(main())
