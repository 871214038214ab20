"""Shows the whole way in one run: fetches models and photos, starts a server, enrols about 40 people, searches.

    python examples/demo.py --out demo-output

Exit status 0 only if everybody who is enrolled ranks first above the threshold, others stay below it, and the
server stops as it should. The pictures, the ranked lists, a summary and the credits of the photos go to the folder.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawn_faces import ranked_lists
from rich.console import Console
from rich.table import Table

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client import Client, EnrolItem, FrApiError, reason_of
from fr_client.cli import drawing
from fr_client.cli.gallery import pictures
from fr_core.errors import FrError
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import DEFAULT_PACK, load_pack
from fr_core.packs.photos import all_photos, fetch_photos, photos_folder
from fr_datasets.progress import show_progress, waiting

GALLERY = "demo"
# Room around a face that is cut out of a group, as a share of its box on each side: enough for the detector to find it
# again, and little enough that no neighbour fills more of the picture.
CROP_MARGIN = 0.35
START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 30.0
SHOWN_CANDIDATES = 3
SHOWN_SEARCHES = ("person-a, 11 years later", "a stranger")

# Photos of one person: key, subject, name.
PORTRAITS = (
    ("obama", "obama", "Barack Obama"),
    ("biden", "biden", "Joe Biden"),
    ("person_a_1", "person-a", "Emmanuel Macron"),
    ("person_b_1", "person-b", "Jacinda Ardern"),
)
# Group photos: key, beginning of the subjects' ids.
GROUPS = (("solvay", "solvay"), ("t1", "group"))
# A face that is not enrolled, to be searched for: a stranger, but of the same photo as many who are.
LEFT_OUT = "solvay-01"


@dataclass(frozen=True, slots=True)
class Person:
    """A person to enrol, or to leave out."""

    subject_id: str
    name: str
    photo: Path


@dataclass(frozen=True, slots=True)
class Search:
    """A search with what must come of it: the subject that must rank first, or None for nobody."""

    photo: Path
    title: str
    expected: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, and whether it does."""

    what: str
    holds: bool


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for the results")
    parser.add_argument("--svg", type=Path, help="draw two of the lists here, without photos")
    args = parser.parse_args()
    out = Console(highlight=False)
    return held(lambda: run(args.out, args.svg, out), args.out, "Pictures, lists and credits are", out)


def held(run: Callable[[], list[Check]], folder: Path, results: str, out: Console) -> int:
    """Run a demo, write the credits of its photos, print its checks, and return its exit status."""
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        checks = run()
    except (FrError, FrApiError) as error:
        out.print(f"{error.reason}: {error.message}", markup=False)
        return 1
    except DemoFailed as error:
        out.print(str(error), markup=False)
        return 1
    lines = [f"{photo.key}: {photo.credit}\n" for photo in all_photos()]
    (folder / "CREDITS.txt").write_text("".join(lines), encoding="utf-8")
    for one in checks:
        out.print(f"{'ok    ' if one.holds else 'FAILED'}  {one.what}", markup=False)
    out.print(f"{time.monotonic() - begun:.0f} s. {results} in {folder}", markup=False)
    return 0 if all(one.holds for one in checks) else 1


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


def run(folder: Path, svg: Path | None, out: Console) -> list[Check]:
    """Run the demo and return its checks."""
    photos = fetched()
    with tempfile.TemporaryDirectory(prefix="fr-demo-") as data, serving(Path(data), folder / "server.log") as server:
        out.print(f"The server answers at {server.address}")
        with Client(server.address) as client:
            people = cut_out(client, photos, folder, out)
            templates, checks = enrol(client, people, out)
            with waiting("Searching"):
                ranked, found, more = search_all(client, searches(photos, people), templates, folder)
            checks += more
        checks.append(Check("the server stopped on SIGTERM with exit status 0", server.stop() == 0))
    out.print(ranked, width=100)
    if svg:
        shown = [one for one in found if one["title"] in SHOWN_SEARCHES]
        svg.write_text(ranked_lists(shown, str(ranked.caption)), encoding="utf-8")
    summary = {"searches": found, "checks": [{"what": one.what, "holds": one.holds} for one in checks]}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return checks


def fetched() -> Mapping[str, Path]:
    """Fetch the models and the photos, unless they are there, and return the photos by their key."""
    with show_progress() as progress:
        fetch_all(load_pack(DEFAULT_PACK).files, ModelCache(cache_folder()), progress)
        return fetch_photos(photos_folder(), progress)


# --- the server -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    address: str

    def stop(self) -> int | None:
        """Ask it to stop, and return its exit status; None where it does not stop in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None


@contextmanager
def serving(data: Path, log: Path, *options: str, home: Path | None = None) -> Iterator[Server]:
    """Run `fr serve` on a free port until the block ends; `home` is its `FR_HOME`, None for that of the caller."""
    environment = os.environ | ({"FR_HOME": str(home)} if home else {})
    ready = data / "ready"
    command = [str(Path(sys.executable).with_name("fr")), "serve", "--port", "0"]
    command += ["--data", str(data / "galleries"), "--ready-file", str(ready), *options]
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, stdout=sink, stderr=sink, env=environment) as process,
    ):
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            with waiting("The server loads its models"):
                while not ready.is_file():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise DemoFailed(f"The server did not start; {log} says why.")
                    time.sleep(0.05)
            yield Server(process, ready.read_text(encoding="utf-8").strip())
        finally:
            if process.poll() is None:
                process.kill()


# --- the people -------------------------------------------------------------------------------------------


def cut_out(client: Client, photos: Mapping[str, Path], folder: Path, out: Console) -> list[Person]:
    """Return everybody with a photo of their own: the portraits, and the faces of the group photos cut out."""
    people = [Person(subject_id, name, photos[key]) for key, subject_id, name in PORTRAITS]
    for key, beginning in GROUPS:
        group = drawing.open_photo(photos[key].read_bytes())
        faces = client.detect(photos[key]).faces
        out.print(f"{photos[key].name}: {len(faces)} faces")
        pictures.faces_picture(group, faces).save(folder / f"faces-{key}.png")
        for number, face in enumerate(faces, start=1):
            subject_id = f"{beginning}-{number:02}"
            target = folder / "people" / subject_id / f"{subject_id}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            pictures.face_crop(group, face.box, CROP_MARGIN).save(target)
            people.append(Person(subject_id, "", target))
    return people


def enrol(
    client: Client, people: list[Person], out: Console, *, keeps_photos: bool = False
) -> tuple[dict[int, drawing.Photo], list[Check]]:
    """Enrol all but the one who is left out; return the faces by template, for the pictures, and the checks."""
    client.create_gallery(GALLERY, display_name="People of the demo", keeps_photos=keeps_photos)
    by_id = {one.subject_id: one for one in people if one.subject_id != LEFT_OUT}
    items = (
        EnrolItem(one.subject_id, one.photo, one.subject_id, one.name, several_faces="largest")
        for one in by_id.values()
    )
    templates: dict[int, drawing.Photo] = {}
    off_centre = []
    refused = []
    with waiting(f"Enrolling {len(by_id)} people"):
        answers = list(client.enrol_many(GALLERY, items))
    for subject_id, answer in answers:
        if isinstance(answer, common_pb2.Refusal):
            refused.append(f"{subject_id}: {reason_of(answer)}, {answer.message}")
            continue
        photo = drawing.open_photo(by_id[subject_id].photo.read_bytes())
        templates[answer.template_id] = pictures.face_crop(photo, answer.face.box)
        if not subject_id.startswith(tuple(beginning for _, beginning in GROUPS)):
            continue
        box = answer.face.box
        if not (box.left < photo.width / 2 < box.right and box.top < photo.height / 2 < box.bottom):
            off_centre.append(subject_id)
    out.print(f"Enrolled {len(templates)} of {len(by_id)} people, {len(refused)} refused")
    for line in refused:
        out.print(f"  {line}", markup=False)
    return templates, [
        Check(f"{len(templates)} people are enrolled, at least 35", len(templates) >= 35),
        Check("nobody was enrolled with a neighbour's face", not off_centre),
    ]


# --- the searches -----------------------------------------------------------------------------------------


def searches(photos: Mapping[str, Path], people: list[Person]) -> list[Search]:
    """Return the searches; the photos of the first seven are not enrolled, but the people on them are."""
    left_out = next((one.photo for one in people if one.subject_id == LEFT_OUT), None)
    if left_out is None:
        raise DemoFailed("No face was found in the group photo.")
    return [
        Search(photos["obama2"], "obama, 3 years before", "obama"),
        Search(photos["obama3"], "obama, 2 years before", "obama"),
        Search(photos["impostor_1"], "obama, as senator", "obama"),
        Search(photos["obama_partial_face"], "obama, half of the same photo", "obama"),
        Search(photos["obama_partial_face2"], "obama, its other half", "obama"),
        Search(photos["person_a_2"], "person-a, 11 years later", "person-a"),
        Search(photos["person_b_2"], "person-b, 4 years later", "person-b"),
        Search(photos["impostor_2"], "a stranger", None),
        Search(left_out, f"a stranger ({LEFT_OUT})", None),
    ]


def search_all(
    client: Client, wanted: list[Search], templates: Mapping[int, drawing.Photo], folder: Path
) -> tuple[Table, list[dict[str, Any]], list[Check]]:
    """Search, draw, and return the table of ranked lists, the same for programs, and the checks."""
    ranked = Table("Searched for", "Rank", "Similarity", "Threshold", "Subject", "Name")
    found: list[dict[str, Any]] = []
    checks: list[Check] = []
    for one in wanted:
        answer = client.search(GALLERY, one.photo, several_faces="largest")
        pictures.search_picture(drawing.open_photo(one.photo.read_bytes()), answer, templates).save(
            folder / f"search-{one.photo.stem}.png"
        )
        candidates = answer.results[0].candidates
        for candidate in candidates[:SHOWN_CANDIDATES]:
            ranked.add_row(
                one.title if candidate.rank == 1 else "",
                str(candidate.rank),
                f"{candidate.similarity:.3f}",
                f"reached ({answer.threshold:.2f})" if candidate.above_threshold else "below",
                candidate.subject_id,
                candidate.display_name,
                style="bold green" if candidate.above_threshold else "dim",
                end_section=candidate.rank == min(SHOWN_CANDIDATES, len(candidates)),
            )
        checks.append(check(one, candidates))
        found.append(
            {
                "photo": one.photo.name,
                "title": one.title,
                "expected": one.expected,
                "threshold": answer.threshold,
                "candidates": [[c.subject_id, round(c.similarity, 4), c.above_threshold] for c in candidates],
            }
        )
        ranked.caption = answer.notice
    return ranked, found, checks


def check(one: Search, candidates: Iterable[gallery_pb2.Candidate]) -> Check:
    """Return whether a search found whom it should, and nobody else."""
    above = [candidate.subject_id for candidate in candidates if candidate.above_threshold]
    if one.expected is None:
        return Check(f"{one.title}: nobody reaches the threshold", not above)
    return Check(f"{one.title}: {one.expected} ranks first, above the threshold", above[:1] == [one.expected])


if __name__ == "__main__":
    sys.exit(main())
