"""Starts a server with the console for a look around: the people of the demo, and a course with three codes.

    python examples/demo_web.py

It prints what to open and with which codes, and runs until Ctrl-C. It asks for no key, since only this machine reaches
it, and keeps nothing.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from demo import GALLERY, DemoFailed, cut_out, enrol, fetched, serving
from demo_training import lay_out
from fr_api.v1 import training_pb2
from fr_client import Client, FrApiError
from fr_core.errors import FrError
from fr_core.packs.cache import cache_folder
from fr_datasets.links import Link, datasets_folder, write_link
from fr_datasets.progress import waiting

TRAINEES = 3
# Few people of the demo have two photos.
PLAN = """
format = 1
title = "A look at pairs"
claims = false
[[sittings]]
name = "pairs"
title = "Pairs of photos"
blocks = [
  {id = "practice", title = "Practice", exercise = "verification", same = 1, different = 2, feedback = true},
  {id = "pairs", title = "Pairs", exercise = "verification", same = 2, different = 4, minutes = 10},
]
"""


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo-output/web"), help="folder for the photos and the log")
    parser.add_argument("--port", type=int, default=8080, help="of the console")
    args = parser.parse_args()
    out = Console(highlight=False)
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(args.out, args.port, out)
    except KeyboardInterrupt:
        return 0
    except (FrError, FrApiError) as error:
        out.print(f"{error.reason}: {error.message}", markup=False)
    except DemoFailed as error:
        out.print(str(error), markup=False)
    return 1


def run(folder: Path, port: int, out: Console) -> None:
    """Start the server, fill it, say how to get in, and wait."""
    photos = fetched()
    with tempfile.TemporaryDirectory(prefix="fr-demo-") as scratch:
        home, people = Path(scratch) / "home", Path(scratch) / "people"
        home.mkdir()
        (home / "models").symlink_to(cache_folder().absolute())
        write_link("people_folder", Link(people), datasets_folder({"FR_HOME": str(home)}))
        with (
            serving(Path(scratch), folder / "server.log", "--web", str(port), home=home) as server,
            Client(server.address) as client,
        ):
            persons = cut_out(client, photos, folder, out)
            enrol(client, persons, out, keeps_photos=True)
            lay_out(persons, photos, people)
            with waiting("Making a course"):
                source = training_pb2.PlanSource(toml=PLAN)
                course = client.training.create_course(source, ["people_folder"])
            made = client.training.create_cohort(course.course_id, TRAINEES, display_name="Demo")
            out.print(f"Open http://localhost:{port}/ in a browser.", markup=False)
            out.print("To work: sign in with an empty key. To take the course: join with one of these codes.")
            for one in made.enrolled:
                out.print(f"  {one.code}", markup=False, soft_wrap=True)
            out.print(
                f"A photo to search the gallery {GALLERY} with: {photos['person_a_2']}", markup=False, soft_wrap=True
            )
            out.print("Ctrl-C ends it.")
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
