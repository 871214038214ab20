"""`fr train cohort`: makes, lists, shows, watches and deletes cohorts, and shows the progress of their trainees."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, counted, every, pairs, plain, print_answer, print_json, print_list, table, when
from fr_client.cli.state import AsJson, Yes, argument, confirm, connected, days_long
from fr_client.cli.train.codes import CodesTo, codes_file, print_codes
from fr_client.cli.train.courses import CourseId
from fr_client.unpack import message_keys

_STATES = {
    training_pb2.SESSION_STATE_NOT_STARTED: "not begun",
    training_pb2.SESSION_STATE_RUNNING: "running",
    training_pb2.SESSION_STATE_PAUSED: "paused",
    training_pb2.SESSION_STATE_FINISHED: "finished",
}
# The sitting to show if there is one line for each trainee.
_FIRST = {
    training_pb2.SESSION_STATE_RUNNING: 3,
    training_pb2.SESSION_STATE_PAUSED: 2,
    training_pb2.SESSION_STATE_FINISHED: 1,
}


# Lines around the rows on a terminal: the summary, the head with its rules, the end, the line for trainees without a
# row, and the cursor.
_AROUND = 7


class Board:
    """Collects the changes of each trainee in each sitting."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], training_pb2.SittingProgress] = {}

    def note(self, change: Iterable[training_pb2.SittingProgress]) -> None:
        """Record changes."""
        for one in change:
            self._known[one.trainee_id, one.sitting] = one

    def trainees(self) -> list[training_pb2.SittingProgress]:
        """Return one sitting of each trainee: the present one, else the last, else the first; latest answers first.

        Of several present ones, a running one comes before a paused one.
        """
        chosen: dict[str, training_pb2.SittingProgress] = {}
        for one in self._known.values():
            before = chosen.get(one.trainee_id)
            if before is None or _weight(one) > _weight(before):
                chosen[one.trainee_id] = one
        return sorted(chosen.values(), key=lambda one: -one.last_time.ToNanoseconds())

    def picture(self, height: int, now: datetime) -> Group:
        """Return a summary, and a line for each trainee, in at most `height` lines; for `now` see `clock_text`."""
        found = self.trainees()
        room = max(1, height - _AROUND)
        parts: list[RenderableType] = [
            plain(f"{counted(len(found), 'trainee')}: {summary_text(found)}"),
            progress_table(found[:room], now),
        ]
        if len(found) > room:
            words = f"{counted(len(found) - room, 'more trainee')}, who answered earlier: `fr train cohort show`."
            parts.append(plain(words))
        return Group(*parts)


def _weight(one: training_pb2.SittingProgress) -> tuple[int, int]:
    return _FIRST.get(one.state, 0), one.last_time.ToNanoseconds()


def show_changes(changes: Iterable[Sequence[training_pb2.SittingProgress]]) -> None:
    """Show changes until they end: on a terminal in one table, else a line for each."""
    out, board = console(), Board()
    if not out.is_terminal:
        told: dict[tuple[str, str], str] = {}
        for one in chain.from_iterable(changes):
            line, key = plain(progress_line(one)).plain, (one.trainee_id, one.sitting)
            if told.get(key) != line:  # a change may be of a time, or of a draft
                told[key] = line
                typer.echo(line)
        return
    with Live(board.picture(out.height, datetime.now().astimezone()), console=out, auto_refresh=False) as live:
        for change in changes:
            board.note(change)
            live.update(board.picture(out.height, datetime.now().astimezone()), refresh=True)


def progress_table(progress: Iterable[training_pb2.SittingProgress], now: datetime) -> Table:
    """Return a row of one line for each trainee in each sitting, within 80 columns; for `now` see `clock_text`."""
    numbers = ("Done", "Right")
    rows = table("Trainee", "Sitting", "State", "Block", *numbers, "Last", right=numbers)
    for column in rows.columns:  # in a narrow table names give way, not numbers and pseudonyms
        column.no_wrap = column.header not in ("Sitting", "Block")
    for one in progress:
        last = clock_text(one.last_time, now) if one.HasField("last_time") else ""
        done, right = f"{one.answered}/{one.trials}", f"{one.right}/{one.scored}" if one.scored else ""
        state = plain(state_text(one.state))
        rows.add_row(plain(one.trainee_id), _name(one.sitting), state, _name(one.block_id), done, right, last)
    return rows


def _name(name: str) -> Text:
    made = plain(name)
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


def clock_text(moment: Timestamp, now: datetime) -> str:
    """Return a time in the time zone of `now`: HH:MM on the same day, else month and day, such as 11-26."""
    then = moment.ToDatetime(UTC).astimezone(now.tzinfo)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%m-%d}"


def progress_line(one: training_pb2.SittingProgress) -> str:
    """Return a line for a trainee in a sitting."""
    where = f", {one.block_id}" if one.block_id else ""
    right = f", right {one.right} of {one.scored}" if one.scored else ""
    state = state_text(one.state)
    return f"{one.trainee_id} {one.sitting}: {state}{where}, {one.answered} of {one.trials} answered{right}"


def summary_text(progress: Sequence[training_pb2.SittingProgress]) -> str:
    """Return the number of sittings in each state, and of answers."""
    states = Counter(one.state for one in progress)
    parts = [f"{states[state]:,} {words}" for state, words in _STATES.items()]
    return f"{', '.join(parts)}. Answers: {sum(one.answered for one in progress):,}."


def state_text(state: training_pb2.SessionState.ValueType) -> str:
    """Return the state of a session, for people."""
    return _STATES.get(state, "newer than this command")


def release_text(found: training_pb2.Release) -> str:
    """Return a line about a release."""
    tests = f", {found.test_items:,} of them of tests" if found.test_items else ""
    return f"Released on {when(found.release_time)}: {counted(found.items, 'item')}{tests}."


cohort = typer.Typer(help="Make, list, show, watch and delete cohorts of trainees.", no_args_is_help=True)
trainee = typer.Typer(help="Delete trainees.", no_args_is_help=True)

CohortId = Annotated[str, argument("COHORT", "Id of the cohort; `fr train cohort list` lists them.")]
Trainees = Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="How many.", show_default=False)]


@cohort.command("create")
def create_cohort(
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
    retention = days_long(retention_days)
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

        found = every(client.training.cohorts(course_id))
        print_list(as_json, "cohorts", found, rows, row, "There is no cohort yet.")


@cohort.command("show")
def show_cohort(context: typer.Context, cohort_id: CohortId, as_json: AsJson = False) -> None:
    """Show a cohort and the progress of each trainee."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id)
        progress = progress_table(found.progress, datetime.now().astimezone())
        parts = (_described(found.cohort), f"Sittings: {summary_text(found.progress)}", progress)
        closed = [f"Closed: {', '.join(found.cohort.closed_sittings)}."] if found.cohort.closed_sittings else []
        print_answer(as_json, found, *parts, *closed, *map(release_text, found.releases))


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


SittingName = Annotated[str, argument("SITTING", "Name of the sitting; `fr train course show` lists them.")]


@cohort.command("close")
def close_sitting(context: typer.Context, cohort_id: CohortId, sitting: SittingName, as_json: AsJson = False) -> None:
    """Close a sitting: nobody begins it or answers in it, and the time of those who are in it stands still."""
    with connected(context, as_json) as client:
        found = client.training.set_sitting_closed(cohort_id, sitting, True)
        print_answer(as_json, found, f"Closed {sitting}. `fr train cohort open` opens it again.")


@cohort.command("open")
def open_sitting(context: typer.Context, cohort_id: CohortId, sitting: SittingName, as_json: AsJson = False) -> None:
    """Open a sitting that was closed: each trainee goes on when they want to."""
    with connected(context, as_json) as client:
        print_answer(as_json, client.training.set_sitting_closed(cohort_id, sitting, False), f"Opened {sitting}.")


@cohort.command("extend")
def extend_time(
    context: typer.Context,
    cohort_id: CohortId,
    minutes: Annotated[int, typer.Option(min=1, max=1_440, metavar="N", help="How many more.", show_default=False)],
    trainee_id: Annotated[str, typer.Option("--trainee", metavar="TRAINEE", help="Only this trainee.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add minutes to the blocks that are running now and have a limit, of all trainees or of one."""
    with connected(context, as_json) as client:
        given = client.training.extend_time(cohort_id, timedelta(minutes=minutes), trainee_id)
        more = counted(minutes, "more minute")
        print_answer(as_json, {"trainee_ids": [*given]}, f"{counted(len(given), 'trainee')} got {more}.")


@cohort.command("delete")
def delete_cohort(context: typer.Context, cohort_id: CohortId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a cohort with its trainees, their sessions and answers."""
    with connected(context, as_json) as client:
        found = client.training.cohort(cohort_id).cohort
        confirm(f"Delete cohort {cohort_id} with {counted(found.trainees, 'trainee')} and all their results?", yes)
        client.training.delete_cohort(cohort_id)
        print_answer(as_json, {}, f"Deleted cohort {cohort_id} with {counted(found.trainees, 'trainee')}.")


@trainee.command("delete")
def delete_trainee(
    context: typer.Context,
    trainee_id: Annotated[str, argument("TRAINEE", "Pseudonym; `fr train cohort show` lists them.")],
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
