"""`fr train cohort`: who takes a course, the trainees' codes, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, pairs, plain, print_json, table, when
from fr_client.cli.state import AsJson, Yes, confirm, connected
from fr_client.cli.train_codes import CodesTo, codes_file, print_codes
from fr_client.cli.train_courses import CourseId
from fr_client.cli.train_labels import counted
from fr_client.cli.train_progress import progress_table, show_changes, summary_words
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
        typer.Option(
            min=0.001, max=3_650, metavar="DAYS", help="How long results are kept; as the plan says if unset."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a cohort of a course, with trainees; their codes are told this once."""
    retention = None if retention_days is None else timedelta(days=retention_days)
    with connected(context, as_json) as client:
        made = training_pb2.CreateCohortResponse()
        try:
            with codes_file(codes) as write:
                made = client.training.create_cohort(course_id, trainees, display_name=name, retention=retention)
                write(made.enrolled)
        except BaseException:
            if made.cohort.cohort_id:  # without the codes nobody could ever join it
                client.training.delete_cohort(made.cohort.cohort_id)
            raise
        _print_made(made.cohort, made.enrolled, codes, as_json)


@cohort.command("add")
def add_trainees(
    context: typer.Context, cohort_id: CohortId, trainees: Trainees, codes: CodesTo, as_json: AsJson = False
) -> None:
    """Add trainees to a cohort; their codes are told this once."""
    with connected(context, as_json) as client:
        enrolled: Sequence[training_pb2.Enrolled] = ()
        try:
            with codes_file(codes) as write:
                enrolled = client.training.add_trainees(cohort_id, trainees)
                write(enrolled)
        except BaseException:
            for one in enrolled:  # without the codes nobody could ever join as one of these
                client.training.delete_trainee(one.trainee_id)
            raise
        _print_made(client.training.cohort(cohort_id).cohort, enrolled, codes, as_json)


@cohort.command("list")
def list_cohorts(
    context: typer.Context,
    course_id: Annotated[str, typer.Option("--course", metavar="COURSE", help="Of this course alone.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the cohorts, the newest first."""
    with connected(context, as_json) as client:
        found = list(client.training.cohorts(course_id))
        if as_json:
            print_json({"cohorts": [message_keys(one) for one in found]})
            return
        rows = table("Cohort", "Name", "Course", "Trainees", "Made", "Deleted on", right=("Trainees",))
        rows.columns[0].no_wrap = True
        for one in found:
            words = map(plain, (one.cohort_id, one.display_name, one.course_id))
            rows.add_row(*words, str(one.trainees), when(one.create_time), when(one.expire_time))
        console().print(rows if found else "There is no cohort yet.")


@cohort.command("show")
def show_cohort(context: typer.Context, cohort_id: CohortId, as_json: AsJson = False) -> None:
    """Show a cohort and how far each trainee is."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id)
        if as_json:
            print_json(message_keys(found))
            return
        _print_cohort(found.cohort)
        console().print(plain(summary_words(found.progress)))
        console().print(progress_table(found.progress, datetime.now().astimezone()))


@cohort.command("watch")
def watch_cohort(
    context: typer.Context,
    cohort_id: CohortId,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document a line, one for each change.")] = False,
) -> None:
    """Show how far each trainee is, as it changes, until Ctrl-C."""
    try:
        with connected(context, as_json) as client:
            client.training.cohort(cohort_id)  # one that is not there is an error, not a wait
            changes = client.training.watch_cohort(cohort_id)
            with closing(changes):
                if not as_json:
                    show_changes(changes)
                    return
                for one in chain.from_iterable(changes):
                    typer.echo(json.dumps(message_keys(one)))
    except KeyboardInterrupt:
        return  # that is how one stops watching


@cohort.command("delete")
def delete_cohort(context: typer.Context, cohort_id: CohortId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a cohort with its trainees, their sessions and answers."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id).cohort
        confirm(f"Delete cohort {cohort_id} with {counted(found.trainees, 'trainee')} and all their results?", yes)
        client.training.delete_cohort(cohort_id)
        if as_json:
            print_json({})
            return
        console().print(plain(f"Deleted cohort {cohort_id} with {counted(found.trainees, 'trainee')}."))


def delete_trainee(
    context: typer.Context,
    trainee_id: Annotated[
        str,
        typer.Argument(metavar="TRAINEE", help="Pseudonym, as `fr train cohort show` has it.", show_default=False),
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a trainee with all sessions and answers, as when consent is withdrawn."""
    with connected(context, as_json) as client:
        confirm(f"Delete trainee {trainee_id} with all answers?", yes)
        client.training.delete_trainee(trainee_id)
        if as_json:
            print_json({})
            return
        console().print(plain(f"Deleted trainee {trainee_id}."))


def _print_made(
    made: training_pb2.Cohort, enrolled: Sequence[training_pb2.Enrolled], codes: str, as_json: bool
) -> None:
    if as_json:
        keys = [message_keys(one) if codes == "-" else {"trainee_id": one.trainee_id} for one in enrolled]
        print_json({"cohort": message_keys(made), "enrolled": keys})
        return
    _print_cohort(made)
    print_codes(codes, enrolled)


def _print_cohort(found: training_pb2.Cohort) -> None:
    rows = [
        ("Cohort", found.cohort_id),
        ("Name", found.display_name),
        ("Course", found.course_id),
        ("Trainees", str(found.trainees)),
        ("Made", when(found.create_time)),
        ("Deleted on", when(found.expire_time)),
    ]
    console().print(pairs(rows))
