"""`fr train plan`, `course create`, `manual` and `package`: plans, courses made of them, the manual, and lessons."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fr_api.v1 import training_pb2
from fr_client.cli.files import new_file, read_text, writing
from fr_client.cli.progress import staged_progress
from fr_client.cli.show import console, counted, every, pairs, plain, print_answer, print_json, print_list, shown, table
from fr_client.cli.state import AsJson, Unusable, argument, connected
from fr_client.cli.train.courses import course, forecast_lines, forecast_table, print_course
from fr_client.requests import MAX_PLAN_BYTES, Plan, plan_source
from fr_client.sync.training import Training
from fr_client.unpack import message_keys
from fr_client.words import PackageFormat
from fr_files.reading import read_toml

_EXCLUDED = re.compile(r"[0-9a-f]{64}|[0-9a-f]{16}")
_REMEDY_OF_TRIADS = "Show pairs instead of triads, or add a data set with such photos, such as lfw."
# The work of each stage, and what the progress counts.
_STAGES = {
    training_pb2.COURSE_STAGE_PHOTOS: ("Photos through the models", "photos"),
    training_pb2.COURSE_STAGE_FORMS: ("Choosing and equating", "steps"),
    training_pb2.COURSE_STAGE_PICTURES: ("Cutting out pictures", "pictures"),
}


plan = typer.Typer(help="List, show and check plans of courses.", no_args_is_help=True)
PlanSource = Annotated[
    str, argument("FILE|NAME", "A plan as TOML, or the name of a plan; `fr train plan list` lists them.")
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Data set of people on the server (`fr report dataset list`); may be repeated.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Decides who appears where; the plan's if unset.")
]


@plan.command("list")
def list_plans(context: typer.Context, as_json: AsJson = False) -> None:
    """List the plans that come with the server."""
    with connected(context, as_json) as client:
        numbers = ("Trials", "Minutes", "People", "With two photos")

        def row(one: training_pb2.Plan) -> list[str]:
            needs = one.needs
            asked = (needs.trials, needs.minutes, needs.people, needs.people_with_two_photos)
            return [one.name, one.title, *(f"{number:,}" for number in asked)]

        rows = table("Plan", "Title", *numbers, right=numbers)
        print_list(as_json, "plans", every(client.training.plans()), rows, row, "No plan comes with the server.")


@plan.command("show")
def show_plan(
    context: typer.Context, name: Annotated[str, argument("NAME", "Its name.")], as_json: AsJson = False
) -> None:
    """Print the text of a plan that comes with the server, as a start for your own."""
    with connected(context, as_json) as client:
        found = next((one for one in client.training.plans() if one.name == name), None)
        if found is None:
            raise Unusable("UNKNOWN_PLAN", f"No plan {name} comes with the server.")
        if as_json:
            print_json(message_keys(found))
        else:
            typer.echo(found.toml, nl=not found.toml.endswith("\n"))


def manual(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="New file.", show_default=False)],
    language: Annotated[str, typer.Option(metavar="NAME", help="Such as fr; English if there is no such text.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the manual of good practice, to read and print: procedures, checklists and forms of casework."""
    with connected(context, as_json) as client:
        found = client.training.manual(language)
        with new_file(out) as file:
            file.write(found.html.encode())
        told = {"file": shown(out), "title": found.title, "language": found.language, "reviewed": found.reviewed}
        print_answer(as_json, told, f"Wrote {shown(out)}.")


def package(
    context: typer.Context,
    lessons: Annotated[list[str], argument("LESSON", "Names of lessons, such as thresholds, in display order.")],
    form: Annotated[PackageFormat, typer.Option("--format", help="The standard of the platform.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the package.", show_default=False)],
    language: Annotated[
        str, typer.Option(metavar="NAME", help="Such as fr; English if one of the lessons is not translated.")
    ] = "",
    mastery: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1, metavar="SHARE", help="Share of right answers needed to pass; unset: no pass mark."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write lessons and their questions as a package for a learning platform.

    The platform grades in the browser, so the package contains the right answers: anyone who can download it can
    read them.
    """
    with connected(context, as_json) as client:
        found = client.training.lesson_package(lessons, form, language, mastery)
        path = out / Path(found.name).name
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        with new_file(path) as file:
            file.write(found.content)
        print_answer(as_json, {"file": shown(path), "language": found.language}, f"Wrote {shown(path)}.")


@plan.command("check")
def check_plan(
    context: typer.Context,
    source: PlanSource,
    datasets: Datasets = None,
    difficulty: Annotated[
        bool, typer.Option("--difficulty", help="Also forecast how hard each form will be; reads all photos.")
    ] = False,
    seed: Seed = None,
    timetable: Annotated[bool, typer.Option("--timetable", help="Also show the timetable of each sitting.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the needs of a plan, and whether data sets meet them: exit status 1 if people are missing.

    With --difficulty, the server analyses the photos and chooses the items, as for a course, and keeps nothing. The
    answer says how many of 100 answers people are expected to get right, what pixels and colours give away, and warns.
    """
    if difficulty and not datasets:
        raise typer.BadParameter("The difficulty depends on the photos: give at least one.", param_hint="--dataset")
    with connected(context, as_json) as client:
        wanted = plan_of(source)
        found = client.training.check_plan(wanted, datasets or ())
        unlimited = 0 if as_json else without_limit(_text_of(client.training, wanted))
        if not difficulty or found.missing:
            _print_check(found, unlimited, bool(datasets), timetable, as_json)
            return
        with staged_progress() as show:
            made = client.training.create_course(
                wanted, datasets or (), seed=seed, only_forecast=True, on_progress=lambda now: _tell(show, now)
            )
        rows = pairs(_check_rows(found, unlimited, True))
        days = _timetables(found) if timetable else ()
        print_answer(as_json, made, rows, *days, forecast_table(made), *forecast_lines(made))


@course.command("create")
def create_course(
    context: typer.Context,
    source: PlanSource,
    datasets: Datasets = None,
    seed: Seed = None,
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            "--learn-from",
            metavar="COURSE",
            help="Course whose answers set the difficulty of its items, and set aside suspect ones; may be repeated.",
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="List of what to leave out: each line begins with the sha256 of a photo with a wrong label, as from "
            "sha256sum, or with the id of an item, as from `fr train course sheet`.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a course from a plan. Ctrl-C stops the command, and leaves no course."""
    if not datasets:
        raise typer.BadParameter("A course needs photos of people: give at least one.", param_hint="--dataset")
    with connected(context, as_json) as client:
        wanted = plan_of(source)
        photos, items = ((), ()) if exclude is None else excluded_of(exclude)
        with staged_progress() as show:
            made = client.training.create_course(
                wanted,
                datasets,
                seed=seed,
                learn_from=learn_from or (),
                exclude_photos=photos,
                exclude_items=items,
                on_progress=lambda now: _tell(show, now),
            )
        print_course(made, as_json)
        if not as_json:
            words = f"Its trainees: fr train cohort create {made.course_id} --trainees N --name TEXT --codes FILE.csv"
            console().print(plain(words))


def _tell(show: Callable[[str, str, int, int], None], now: training_pb2.CourseProgress) -> None:
    show(*_STAGES.get(now.stage, ("Working", "steps")), now.done, now.total)


def excluded_of(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the hashes of photos and the ids of items of a list, each once; empty lines and comments (#) are none.

    Raises `Unusable` if the file cannot be read, or a line begins with something else.
    """
    found = dict.fromkeys(line.split()[0] for line in read_text(path).splitlines() if line.strip() and line[0] != "#")
    for number, word in enumerate(found, start=1):
        if not _EXCLUDED.fullmatch(word):
            raise Unusable(
                "INVALID_FIELD",
                f"{shown(path)}: entry {number} is neither a sha256 of 64 digits of 0-9 and a-f, nor an id of 16.",
            )
    photos, items = (tuple(word for word in found if len(word) == digits) for digits in (64, 16))
    return photos, items


def plan_of(source: str) -> Plan:
    """Return a plan: a file if it exists, or if the word looks like one; else a name.

    Raises `Unusable` if the file cannot be read.
    """
    path = Path(source)
    if not (path.is_file() or path.suffix == ".toml" or path.name != source):
        return source
    return training_pb2.PlanSource(toml=read_text(path, MAX_PLAN_BYTES))


def without_limit(toml: str) -> int:
    """Return the number of blocks of a plan without a time limit; the server has read the plan before."""
    sittings = read_toml(toml, MAX_PLAN_BYTES).get("sittings", [])
    return sum("minutes" not in block for sitting in sittings for block in sitting["blocks"])


def _text_of(training: Training, wanted: Plan) -> str:
    meant = plan_source(wanted)
    return meant.toml or next((one.toml for one in training.plans() if one.name == meant.name), "")


def _print_check(
    found: training_pb2.CheckPlanResponse, unlimited: int, compared: bool, timetable: bool, as_json: bool
) -> None:
    rows = pairs(_check_rows(found, unlimited, compared))
    print_answer(as_json, found, rows, *(_timetables(found) if timetable else ()))
    if compared and found.missing:
        raise typer.Exit(1)


def _timetables(found: training_pb2.CheckPlanResponse) -> Iterator[Table | str]:
    for sitting in found.sittings:
        yield sitting.title
        if not sitting.timetable:
            yield "No timetable, as a block has no limit."
            continue
        rows = table("At", "Minutes", "What", right=("At", "Minutes"))
        for one in sitting.timetable:
            at, minutes = one.at.seconds // 60, one.length.seconds // 60
            kind = training_pb2.SlotKind.Name(one.kind).removeprefix("SLOT_KIND_").capitalize()
            words = one.title if one.block_id else ": ".join(word for word in (kind, one.title) if word)
            rows.add_row(f"{at // 60}:{at % 60:02}", str(minutes), plain(words))
        yield rows


def _check_rows(found: training_pb2.CheckPlanResponse, unlimited: int, compared: bool) -> list[tuple[str, str]]:
    needs = found.needs
    more = f", and {counted(unlimited, 'block')} without a limit" if unlimited else ""
    alike = _alike_text(needs.people_with_two_alike) if needs.people_with_two_alike else ""
    alike += _tracks_text(needs.people_with_tracks) if needs.people_with_tracks else ""
    rows = [
        ("Plan", found.title),
        ("Trials of one trainee", f"{needs.trials:,}"),
        ("Minutes at most", f"{needs.minutes:,}{more}"),
        ("Needs", _people_text(needs.people, needs.people_with_two_photos) + alike),
    ]
    if compared:
        there = _people_text(found.people, found.people_with_two_photos)
        if needs.people_with_two_alike:
            there += _alike_text(found.people_with_two_alike)
        if needs.people_with_tracks:
            there += _tracks_text(found.people_with_tracks)
        verdict = f"no: {_missing_text(found)}" if found.missing else "yes, if their photos show usable faces"
        rows += [("The data sets hold", there), ("Enough", verdict)]
        if needs.people_with_two_alike > found.people_with_two_alike:
            rows.append(("Remedy", _REMEDY_OF_TRIADS))
    return rows


def _people_text(people: int, with_two_photos: int) -> str:
    return f"{counted(people, 'person', 'people')}, {with_two_photos:,} of them with two photos"


def _alike_text(alike: int) -> str:
    return f", {alike:,} with two of one condition"


def _tracks_text(people: int) -> str:
    return f"; {counted(people, 'other person', 'other people')} with a photo and a track"


def _missing_text(found: training_pb2.CheckPlanResponse) -> str:
    people = found.needs.people - found.people
    with_two = found.needs.people_with_two_photos - found.people_with_two_photos
    alike = found.needs.people_with_two_alike - found.people_with_two_alike
    tracks = found.needs.people_with_tracks - found.people_with_tracks
    kinds = (
        (people, ""),
        (with_two, " with two photos"),
        (alike, " with two photos of one condition, for triads,"),
        (tracks, " with a photo and a track, for footage,"),
    )
    parts = [
        counted(number, f"person{kind} is missing", f"people{kind} are missing") for number, kind in kinds if number > 0
    ]
    return ", and ".join(parts)
