"""`fr train courses`, `course`, `delete-course` and `probe-key`: the courses that there are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.saving import read_file
from fr_client.cli.show import console, model_name, pairs, plain, print_json, shown, table, when
from fr_client.cli.state import AsJson, Yes, confirm, connected
from fr_client.cli.train_labels import counted
from fr_client.requests import MAX_PHOTO_BYTES
from fr_client.unpack import message_keys

CourseId = Annotated[
    str, typer.Argument(metavar="COURSE", help="Id of the course, as `fr train courses` has it.", show_default=False)
]


def list_courses(context: typer.Context, as_json: AsJson = False) -> None:
    """List the courses, the newest first."""
    with connected(context, as_json) as client:
        found = list(client.training.courses())
        if as_json:
            print_json({"courses": [message_keys(one) for one in found]})
            return
        if not found:
            console().print("There is no course yet: `fr train plan NAME --dataset NAME` makes one.", markup=False)
            return
        rows = table("Course", "Title", "Made", "Data sets", "Sittings", "Trials", right=("Trials",))
        rows.columns[0].no_wrap = True
        for one in found:
            names = (", ".join(one.datasets), ", ".join(sitting.name for sitting in one.sittings))
            rows.add_row(
                plain(one.course_id), plain(one.title), when(one.create_time), *map(plain, names), str(_trials(one))
            )
        console().print(rows)


def show_course(context: typer.Context, course_id: CourseId, as_json: AsJson = False) -> None:
    """Show a course: its sittings, its forms and how hard they are."""
    with connected(context, as_json) as client:
        print_course(client.training.course(course_id), as_json)


def delete_course(context: typer.Context, course_id: CourseId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a course with its cohorts, their sessions and answers, its pictures and its gallery."""
    with connected(context, as_json) as client:
        found = client.training.course(course_id)
        cohorts = sum(1 for _ in client.training.cohorts(course_id))
        confirm(
            f"Delete course {course_id} ({found.title}) with {counted(cohorts, 'cohort')} and all their results?", yes
        )
        client.training.delete_course(course_id)
        if as_json:
            print_json({})
            return
        console().print(plain(f"Deleted course {course_id} with {counted(cohorts, 'cohort')}."))


def probe_key(
    context: typer.Context,
    course_id: CourseId,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The file; it is not sent.", show_default=False)],
    identity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name or number of the person in the data set.")
    ] = None,
    absent: Annotated[bool, typer.Option("--absent", help="It shows nobody of the course's gallery.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whom a photo shows that trainees may send as their own probe, so that decisions about it are scored.

    Only the photo's sha256 is sent: trainees must send the very same file.
    """
    if (identity is not None) == absent:
        raise typer.BadParameter("Give one of --identity and --absent.")
    with connected(context, as_json) as client:
        digest = photo_sha256(photo)
        client.training.set_probe_key(course_id, digest, identity)
        if as_json:
            print_json({"image_sha256": digest})
            return
        whom = "nobody of the gallery" if identity is None else "the person named"
        console().print(plain(f"{shown(photo)} shows {whom}; sha256 {digest}."))


def photo_sha256(photo: Path) -> str:
    """Return the sha256 of a file, 64 hexadecimal digits; raises `Unusable` where it cannot be read."""
    return hashlib.sha256(read_file(photo, MAX_PHOTO_BYTES)).hexdigest()


def print_course(found: training_pb2.Course, as_json: bool) -> None:
    """Print a course: what it is, its blocks and its forms."""
    if as_json:
        print_json(message_keys(found))
        return
    out = console()
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
    out.print(pairs(rows))
    blocks = table(
        "Sitting", "Block", "Title", "Exercise", "Trials", "Minutes", "Feedback", right=("Trials", "Minutes")
    )
    for sitting in found.sittings:
        for block in sitting.blocks:
            words = (sitting.name, block.block_id, block.title, exercise_words(block.exercise))
            blocks.add_row(*map(plain, words), str(block.trials), _minutes(block), "yes" if block.feedback else "no")
    out.print(blocks)
    numbers = ("Items", "People", "Mean difficulty", "SD")
    forms = table("Form", *numbers, "sha256", right=numbers)
    for form in found.forms:
        mean = f"{form.mean_difficulty:+.3f}" if form.HasField("mean_difficulty") else ""
        spread = f"{form.sd_difficulty:.3f}" if form.HasField("sd_difficulty") else ""
        forms.add_row(
            plain(form.name), str(form.items), str(form.people), mean, spread, plain(form.manifest_sha256[:12])
        )
    out.print(forms)
    if found.learned_from or found.excluded_photos:
        out.print(plain(_changes(found)))


def _changes(found: training_pb2.Course) -> str:
    """What answers to earlier courses, and the list of photos, have changed."""
    items = sum(form.items for form in found.forms)
    return (
        f"Learned: answers have moved the difficulty of {found.learned_items:,} of {counted(items, 'item')}; "
        f"set aside: {found.quarantined_items:,}. Photos left out by the list: {found.excluded_photos:,}."
    )


def exercise_words(exercise: training_pb2.Exercise.ValueType) -> str:
    """Return an exercise as plans name it, such as "own_probe"."""
    if exercise not in training_pb2.Exercise.values():
        return str(exercise)  # of a newer server
    return training_pb2.Exercise.Name(exercise).removeprefix("EXERCISE_").lower()


def _minutes(block: training_pb2.Block) -> str:
    return f"{block.limit.ToTimedelta().total_seconds() / 60:g}" if block.HasField("limit") else ""


def _trials(course: training_pb2.Course) -> int:
    return sum(block.trials for sitting in course.sittings for block in sitting.blocks)
