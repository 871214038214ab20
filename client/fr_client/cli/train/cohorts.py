"""`fr train cohort`: makes, lists, shows, watches and deletes cohorts of trainees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated

import typer
from rich.table import Table

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, pairs, print_answer, print_json, print_list, table, when
from fr_client.cli.state import AsJson, Yes, confirm, connected
from fr_client.cli.train.codes import CodesTo, codes_file, print_codes
from fr_client.cli.train.cohort_progress import progress_table, show_changes, summary_text
from fr_client.cli.train.courses import CourseId
from fr_client.cli.train.labels import counted
from fr_client.unpack import message_keys

cohort = typer.Typer(help="Make, list, show, watch and delete cohorts of trainees.", no_args_is_help=True)

CohortId = Annotated[
    str, typer.Argument(metavar="COHORT", help="Id of the cohort, as `fr train cohorts` has it.", show_default=False)
]
Trainees = Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="How many.", show_default=False)]


@cohort.command("new")
def new_cohort(
    context: typer.Context,
    course_id: CourseId,
    trainees: Trainees,
    codes: CodesTo,
    name: Annotated[str, typer.Option(metavar="TEXT", help="A name for people.")] = "",
    retention_days: Annotated[
        float | None,
        typer.Option(min=0.001, max=3_650, metavar="DAYS", help="How long to keep results; the plan's time if unset."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a cohort of a course, with trainees; you see their codes only this once."""
    retention = None if retention_days is None else timedelta(days=retention_days)
    with connected(context, as_json) as client:
        made = training_pb2.CreateCohortResponse()
        try:
            with codes_file(codes) as write:
                made = client.training.create_cohort(course_id, trainees, display_name=name, retention=retention)
                write(made.enrolled)
        except BaseException:
            if made.cohort.cohort_id:  # nobody could join it without the codes
                client.training.delete_cohort(made.cohort.cohort_id)
            raise
        _print_made(made.cohort, made.enrolled, codes, as_json)


@cohort.command("add")
def add_trainees(
    context: typer.Context, cohort_id: CohortId, trainees: Trainees, codes: CodesTo, as_json: AsJson = False
) -> None:
    """Add trainees to a cohort; you see their codes only this once."""
    with connected(context, as_json) as client:
        enrolled: Sequence[training_pb2.Enrolled] = ()
        try:
            with codes_file(codes) as write:
                enrolled = client.training.add_trainees(cohort_id, trainees)
                write(enrolled)
        except BaseException:
            for one in enrolled:  # nobody could join without the codes
                client.training.delete_trainee(one.trainee_id)
            raise
        _print_made(client.training.cohort(cohort_id).cohort, enrolled, codes, as_json)


@cohort.command("list")
def list_cohorts(
    context: typer.Context,
    course_id: Annotated[str, typer.Option("--course", metavar="COURSE", help="Only of this course.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the cohorts, the newest first."""
    with connected(context, as_json) as client:
        columns = ("Cohort", "Name", "Course", "Trainees", "Made", "Deleted on")
        rows = table(*columns, right=("Trainees",), whole=("Cohort",))

        def row(one: training_pb2.Cohort) -> tuple[str, ...]:
            times = (when(one.create_time), when(one.expire_time))
            return one.cohort_id, one.display_name, one.course_id, str(one.trainees), *times

        found = list(client.training.cohorts(course_id))
        print_list(as_json, "cohorts", found, rows, row, "There is no cohort yet.")


@cohort.command("show")
def show_cohort(context: typer.Context, cohort_id: CohortId, as_json: AsJson = False) -> None:
    """Show a cohort and the progress of each trainee."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id)
        progress = progress_table(found.progress, datetime.now().astimezone())
        print_answer(as_json, found, _described(found.cohort), summary_text(found.progress), progress)


@cohort.command("watch")
def watch_cohort(
    context: typer.Context,
    cohort_id: CohortId,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on a line for each change.")] = False,
) -> None:
    """Show the progress of each trainee, with each change, until Ctrl-C."""
    try:
        with connected(context, as_json) as client:
            client.training.cohort(cohort_id)  # a missing one is an error, not a wait
            changes = client.training.watch_cohort(cohort_id)
            with closing(changes):
                if not as_json:
                    show_changes(changes)
                    return
                for one in chain.from_iterable(changes):
                    typer.echo(json.dumps(message_keys(one)))
    except KeyboardInterrupt:
        return  # Ctrl-C stops the command


@cohort.command("delete")
def delete_cohort(context: typer.Context, cohort_id: CohortId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a cohort with its trainees, their sessions and answers."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id).cohort
        confirm(f"Delete cohort {cohort_id} with {counted(found.trainees, 'trainee')} and all their results?", yes)
        client.training.delete_cohort(cohort_id)
        print_answer(as_json, {}, f"Deleted cohort {cohort_id} with {counted(found.trainees, 'trainee')}.")


def delete_trainee(
    context: typer.Context,
    trainee_id: Annotated[
        str, typer.Argument(metavar="TRAINEE", help="Pseudonym, as `fr train cohort show` has it.", show_default=False)
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a trainee with all sessions and answers, as after a withdrawn consent."""
    with connected(context, as_json) as client:
        confirm(f"Delete trainee {trainee_id} with all answers?", yes)
        client.training.delete_trainee(trainee_id)
        print_answer(as_json, {}, f"Deleted trainee {trainee_id}.")


def _print_made(
    made: training_pb2.Cohort, enrolled: Sequence[training_pb2.Enrolled], codes: str, as_json: bool
) -> None:
    if as_json:
        keys = [message_keys(one) if codes == "-" else {"trainee_id": one.trainee_id} for one in enrolled]
        print_json({"cohort": message_keys(made), "enrolled": keys})
        return
    console().print(_described(made))
    print_codes(codes, enrolled)


def _described(found: training_pb2.Cohort) -> Table:
    rows = [
        ("Cohort", found.cohort_id),
        ("Name", found.display_name),
        ("Course", found.course_id),
        ("Trainees", str(found.trainees)),
        ("Made", when(found.create_time)),
        ("Deleted on", when(found.expire_time)),
    ]
    return pairs(rows)
