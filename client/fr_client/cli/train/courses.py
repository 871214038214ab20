"""`fr train course` and `fr train probe`: make, list, show, print and delete courses, and set the person on a probe."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from html import escape
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import RenderableType
from rich.table import Table

from fr_api.v1 import training_pb2
from fr_client.cli.files import new_folder, read_file
from fr_client.cli.show import counted, every, model_name, pairs, plain, print_answer, print_list, shown, table, when
from fr_client.cli.state import AsJson, Unusable, Yes, argument, confirm, connected
from fr_client.cli.train.labels import PAIR, track_labels
from fr_client.cli.train.questions import question_lines
from fr_client.requests import MAX_PHOTO_BYTES

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ --ink: #1a1a1a; --paper: #fff; --line: #d4d4d4; --warm: #D55E00; }}
@media screen and (prefers-color-scheme: dark) {{
  :root {{ color-scheme: dark; --ink: #e4e4e4; --paper: #181a1b; --line: #484848; --warm: #E69F00; }}
}}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: var(--ink); background: var(--paper); }}
h1 {{ font-size: 1.4rem; }}
h2 {{ font-size: 1rem; margin: 0 0 .3rem; }}
section {{ border-top: 1px solid var(--line); padding: .8rem 0; break-inside: avoid; }}
.photos {{ display: flex; flex-wrap: wrap; gap: .6rem; }}
figure {{ margin: 0; width: 10rem; }}
img {{ display: block; width: 100%; }}
figcaption {{ text-align: center; }}
.right img {{ outline: 3px solid var(--warm); outline-offset: -3px; }}
.notice {{ border-left: 4px solid var(--warm); padding: .3rem 1rem; }}
pre {{ white-space: pre-wrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="notice">Not for trainees: this page shows the right answers.</p>
"""
_FORM = re.compile(r"[a-z0-9-]{1,50}")  # A server chooses no other file of this machine

_TRUTHS = {
    "same": "one person",
    "different": "two people",
    "absent": "the person of the probe is not in the list",
    "row:0": "none of the rows",
    "record:0": "the chain is whole",
    "usable": "usable",
    "limited": "usable within limits",
    "reject": "to be rejected",
    "": "a photo of the trainee's own",
}
_MARKED = {"odd": "photo {} is the odd one", "mate": "candidate {}"}


def write_pages(folder: Path, course_id: str, items: Iterable[training_pb2.FormItem]) -> dict[str, int]:
    """Write a page for each form into a folder; return the number of items by form."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        pages: dict[str, TextIO] = {}
        for item in items:
            if item.form not in pages:
                if not _FORM.fullmatch(item.form):
                    raise Unusable("FORM_NAME", "The server names a form in a way that no plan can.")
                page = stack.enter_context((folder / f"{item.form}.html").open("w", encoding="utf-8"))
                page.write(_HEAD.format(title=escape(f"Form {item.form} of course {course_id}")))
                pages[item.form] = page
            counts[item.form] += 1
            pages[item.form].write(_section(item, counts[item.form]))
        for each in pages.values():
            each.write("</body>\n</html>\n")
    return dict(counts)


def _section(item: training_pb2.FormItem, number: int) -> str:
    facts = [f"Right: {_truth_text(item.truth)}"]
    facts += [f"the machine's similarity {item.similarity:.2f}"] if item.HasField("similarity") else []
    facts += [f"difficulty {item.difficulty:+.2f}"] if item.HasField("difficulty") else []
    head = f"<h2>{number}. Item <code>{escape(item.item_id)}</code></h2>\n<p>{escape('; '.join(facts))}</p>\n"
    asked = escape("\n".join(question_lines(item.question)))
    return f"<section>\n{head}{_photos(item)}{f'<pre>{asked}</pre>' if asked else ''}</section>\n"


def _photos(item: training_pb2.FormItem) -> str:
    kind, _, marked = item.truth.partition(":")
    probes = sum(one.role == training_pb2.PICTURE_ROLE_PROBE for one in item.pictures)
    names = track_labels(item.pictures)
    if len(item.pictures) == len(PAIR) and not probes and not names:
        names = PAIR
    shown = []
    for place, picture in enumerate(item.pictures, start=1 - probes):
        caption = names[place - 1] if names else str(place) if place else "probe"
        right = ' class="right"' if kind in _MARKED and str(place - 1) == marked else ""
        if picture.HasField("similarity"):
            caption += f" (similarity {picture.similarity:.2f})"
        data = base64.b64encode(picture.data).decode()
        image = f'<img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
        shown.append(f"<figure{right}>{image}<figcaption>{escape(caption)}</figcaption></figure>\n")
    return f'<div class="photos">\n{"".join(shown)}</div>\n' if shown else ""


def _truth_text(truth: str) -> str:
    """The right answer in words; what a newer server says as it is."""
    kind, _, number = truth.partition(":")
    if truth in _TRUTHS or not number.isdecimal():
        return _TRUTHS.get(truth, truth)
    if kind in _MARKED:
        return _MARKED[kind].format(int(number) + 1)
    return f"{kind} {number}"


CourseId = Annotated[str, argument("COURSE", "Id of the course; `fr train course list` lists them.")]


course = typer.Typer(help="Make, list, show and delete courses.", no_args_is_help=True)
probe = typer.Typer(help="Set the person on a trainee's own probe.", no_args_is_help=True)


@course.command("list")
def list_courses(context: typer.Context, as_json: AsJson = False) -> None:
    """List the courses, the newest first."""
    with connected(context, as_json) as client:
        columns = ("Course", "Title", "Made", "Data sets", "Sittings", "Trials")
        rows = table(*columns, right=("Trials",), whole=("Course",))

        def row(one: training_pb2.Course) -> tuple[str, ...]:
            names = (", ".join(one.datasets), ", ".join(sitting.name for sitting in one.sittings))
            return one.course_id, one.title, when(one.create_time), *names, str(_trials(one))

        empty = "There is no course yet: `fr train course create NAME --dataset NAME` makes one."
        print_list(as_json, "courses", every(client.training.courses()), rows, row, empty)


@course.command("show")
def show_course(context: typer.Context, course_id: CourseId, as_json: AsJson = False) -> None:
    """Show a course: its sittings, its forms and their difficulty."""
    with connected(context, as_json) as client:
        print_course(client.training.course(course_id), as_json)


@course.command("sheet")
def write_sheets(
    context: typer.Context,
    course_id: CourseId,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the pages.")],
    form: Annotated[str, typer.Option(metavar="NAME", help="Only this form; all if unset.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a contact sheet of each form: a page with every item, its pictures, its id and its right answer.

    Look through them before the course begins. Ids of items to leave out go into the file of `fr train course create
    --exclude`. Only you can read the folder: the pages show the answers of the tests.
    """
    with connected(context, as_json) as client:
        with new_folder(out) as folder, closing(client.training.form_items(course_id, form)) as found:
            counts = write_pages(folder, course_id, found)
        words = ", ".join(f"{name}.html ({counted(number, 'item')})" for name, number in counts.items())
        print_answer(as_json, {"folder": shown(out), "items": counts}, f"{shown(out)}: {words or 'no item'}.")


@course.command("delete")
def delete_course(context: typer.Context, course_id: CourseId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a course with its cohorts, their sessions and answers, its pictures and its gallery."""
    with connected(context, as_json) as client:
        found = client.training.course(course_id)
        cohorts = sum(1 for _ in client.training.cohorts(course_id))
        confirm(
            f"Delete course {course_id} ({found.title}) with {counted(cohorts, 'cohort')} and all their results?", yes
        )
        client.training.delete_course(course_id)
        print_answer(as_json, {}, f"Deleted course {course_id} with {counted(cohorts, 'cohort')}.")


@probe.command("set")
def set_probe(
    context: typer.Context,
    course_id: CourseId,
    photo: Annotated[Path, argument("PHOTO", "The file; the command does not send it.")],
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name or number of the person in the data set.")
    ] = None,
    absent: Annotated[bool, typer.Option("--absent", help="It shows nobody of the course's gallery.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the person on a photo that trainees may send as their own probe, to score decisions about it.

    The command sends only the photo's sha256: trainees must send exactly the same file. It must be within the server's
    limits, because a photo that is scaled down has another sha256.
    """
    if (identity is not None) == absent:
        raise typer.BadParameter("Give one of --identity and --absent.")
    with connected(context, as_json) as client:
        digest = photo_sha256(photo)
        client.training.set_probe_key(course_id, digest, identity)
        whom = "nobody of the gallery" if identity is None else "the person named"
        print_answer(as_json, {"image_sha256": digest}, f"{shown(photo)} shows {whom}; sha256 {digest}.")


def photo_sha256(photo: Path) -> str:
    """Return the sha256 of a file, 64 hexadecimal digits; raises `Unusable` if it cannot be read."""
    return hashlib.sha256(read_file(photo, MAX_PHOTO_BYTES)).hexdigest()


def print_course(found: training_pb2.Course, as_json: bool) -> None:
    """Print a course with its blocks and its forms."""
    rows = [
        ("Course", found.course_id),
        ("Title", found.title),
        ("Made", when(found.create_time)),
        ("Model", model_name(found.model)),
        ("Data sets", ", ".join(found.datasets)),
        *[("Terms of use", terms) for terms in found.terms],
        ("Seed", str(found.seed)),
        ("sha256 of its forms", found.manifest_sha256),
        *([("Learned from", ", ".join(found.learned_from))] if found.learned_from else []),
        ("Gallery", found.gallery_id or "none: no block searches"),
    ]
    blocks = table(
        "Sitting", "Block", "Title", "Exercise", "Trials", "Minutes", "Feedback", right=("Trials", "Minutes")
    )
    for sitting in found.sittings:
        for block in sitting.blocks:
            words = (sitting.name, block.block_id, block.title, exercise_text(block.exercise))
            blocks.add_row(*map(plain, words), str(block.trials), _minutes(block), "yes" if block.feedback else "no")
    numbers = ("Items", "People", "Mean difficulty", "SD")
    forms = table("Form", *numbers, "sha256", right=numbers)
    for form in found.forms:
        mean = f"{form.mean_difficulty:+.3f}" if form.HasField("mean_difficulty") else ""
        spread = f"{form.sd_difficulty:.3f}" if form.HasField("sd_difficulty") else ""
        forms.add_row(
            plain(form.name), str(form.items), str(form.people), mean, spread, plain(form.manifest_sha256[:12])
        )
    changes = [_changes(found)] if found.learned_from or found.excluded_photos else []
    forecast: list[RenderableType] = [forecast_table(found), *forecast_lines(found)] if found.forecasts else []
    print_answer(as_json, found, pairs(rows), blocks, forms, *forecast, *changes)


def forecast_table(found: training_pb2.Course) -> Table:
    """Return how hard each form is expected to be."""
    numbers = ("People right", "Pixels", "Colours", "Machine", "Alike")
    forms = table("Form", *numbers, right=numbers)
    for one in found.forecasts:
        right = f"{one.right:.0%} ({one.right_low:.0%} to {one.right_high:.0%})"
        areas = [_area(one, name) for name in ("pixels_auc", "colours_auc", "machine", "similarity")]
        forms.add_row(plain(one.form), right, *areas)
    return forms


def forecast_lines(found: training_pb2.Course) -> list[str]:
    """Return the warnings of all forms, each once with the forms that it is about."""
    forms: dict[str, list[str]] = {}
    for one in found.forecasts:
        for text in one.warnings:
            forms.setdefault(text, []).append(one.form)
    return [f"{', '.join(names)}: {text}" for text, names in forms.items()]


def _area(one: training_pb2.FormForecast, name: str) -> str:
    if not one.HasField(name):  # type: ignore[arg-type]  # each is an optional field
        return ""
    return f"{getattr(one, name):.2f}{' (all)' if one.of_all_pairs and name.endswith('s_auc') else ''}"


def _changes(found: training_pb2.Course) -> str:
    items = sum(form.items for form in found.forms)
    return (
        f"Learned: answers have moved the difficulty of {found.learned_items:,} of {counted(items, 'item')}; "
        f"set aside: {found.quarantined_items:,}. Photos left out by the list: {found.excluded_photos:,}."
    )


def exercise_text(exercise: training_pb2.Exercise.ValueType) -> str:
    """Return the name of an exercise in plans, such as "own_probe"."""
    if exercise not in training_pb2.Exercise.values():
        return str(exercise)  # of a newer server
    return training_pb2.Exercise.Name(exercise).removeprefix("EXERCISE_").lower()


def _minutes(block: training_pb2.Block) -> str:
    return f"{block.limit.ToTimedelta().total_seconds() / 60:g}" if block.HasField("limit") else ""


def _trials(course: training_pb2.Course) -> int:
    return sum(block.trials for sitting in course.sittings for block in sitting.blocks)
