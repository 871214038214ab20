"""How far the trainees of a cohort are: a table, or a line for each change where there is no terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, plain, table, when

_STATES = {
    training_pb2.SESSION_STATE_NOT_STARTED: "not begun",
    training_pb2.SESSION_STATE_RUNNING: "running",
    training_pb2.SESSION_STATE_PAUSED: "paused",
    training_pb2.SESSION_STATE_FINISHED: "finished",
}


class Board:
    """What is known of each trainee in each sitting, as changes come."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], training_pb2.SittingProgress] = {}

    def note(self, change: Iterable[training_pb2.SittingProgress]) -> None:
        """Take note of what is new."""
        for one in change:
            self._known[one.trainee_id, one.sitting] = one

    def progress(self) -> list[training_pb2.SittingProgress]:
        """What is known, those who answered last first: a terminal may not have room for all."""
        return sorted(self._known.values(), key=lambda one: -one.last_time.ToNanoseconds())

    def picture(self) -> Group:
        """The board for a terminal."""
        now = self.progress()
        return Group(plain(summary_words(now)), progress_table(now))


def show_changes(changes: Iterable[Sequence[training_pb2.SittingProgress]]) -> None:
    """Show changes until they end: on a terminal as a table that is drawn anew, else a line for each."""
    out, board = console(), Board()
    if not out.is_terminal:
        for change in changes:
            for one in change:
                typer.echo(plain(progress_line(one)).plain)
        return
    with Live(board.picture(), console=out, auto_refresh=False) as live:
        for change in changes:
            board.note(change)
            live.update(board.picture(), refresh=True)


def progress_table(progress: Iterable[training_pb2.SittingProgress]) -> Table:
    """Return a row for each trainee in each sitting."""
    numbers = ("Answered", "Right")
    rows = table("Trainee", "Sitting", "State", "Block", *numbers, "Last answer", right=numbers)
    for one in progress:
        last = when(one.last_time) if one.HasField("last_time") else ""
        words = (one.trainee_id, one.sitting, state_words(one.state), one.block_id)
        rows.add_row(*map(plain, words), f"{one.answered} of {one.trials}", right_words(one), last)
    return rows


def progress_line(one: training_pb2.SittingProgress) -> str:
    """Return a line for a trainee in a sitting."""
    where = f", {one.block_id}" if one.block_id else ""
    right = f", right {right_words(one)}" if one.scored else ""
    state = state_words(one.state)
    return f"{one.trainee_id} {one.sitting}: {state}{where}, {one.answered} of {one.trials} answered{right}"


def summary_words(progress: Iterable[training_pb2.SittingProgress]) -> str:
    """Return how many sittings are in which state, and how many answers there are."""
    found = list(progress)
    states = Counter(one.state for one in found)
    parts = [f"{states[state]:,} {words}" for state, words in _STATES.items()]
    answers = sum(one.answered for one in found)
    return f"Sittings: {', '.join(parts)}. Answers: {answers:,}."


def right_words(one: training_pb2.SittingProgress) -> str:
    """Return the right answers of those that have a right and a wrong; empty where there are none."""
    return f"{one.right} of {one.scored}" if one.scored else ""


def state_words(state: training_pb2.SessionState.ValueType) -> str:
    """Return where a session is, for people."""
    return _STATES.get(state, "newer than this command")
