"""How far the trainees of a cohort are: a table, or a line for each change where there is no terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fr_api.v1 import training_pb2
from fr_client.cli.show import console, plain, table
from fr_client.cli.train_labels import counted

_STATES = {
    training_pb2.SESSION_STATE_NOT_STARTED: "not begun",
    training_pb2.SESSION_STATE_RUNNING: "running",
    training_pb2.SESSION_STATE_PAUSED: "paused",
    training_pb2.SESSION_STATE_FINISHED: "finished",
}
# Which sitting of a trainee is shown where there is one line for each trainee.
_FIRST = {
    training_pb2.SESSION_STATE_RUNNING: 3,
    training_pb2.SESSION_STATE_PAUSED: 2,
    training_pb2.SESSION_STATE_FINISHED: 1,
}


# Lines around the rows of a table on a terminal: the summary, the head with what is above and below it, the end, and
# the line for trainees without a row, and the cursor.
_AROUND = 7


class Board:
    """What is known of each trainee in each sitting, as changes come."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], training_pb2.SittingProgress] = {}

    def note(self, change: Iterable[training_pb2.SittingProgress]) -> None:
        """Take note of what is new."""
        for one in change:
            self._known[one.trainee_id, one.sitting] = one

    def trainees(self) -> list[training_pb2.SittingProgress]:
        """One sitting of each trainee, those who answered last first: the one under way, else the last, else the first.

        Of several under way, one whose time runs comes before one that is paused.
        """
        chosen: dict[str, training_pb2.SittingProgress] = {}
        for one in self._known.values():
            before = chosen.get(one.trainee_id)
            if before is None or _weight(one) > _weight(before):
                chosen[one.trainee_id] = one
        return sorted(chosen.values(), key=lambda one: -one.last_time.ToNanoseconds())

    def picture(self, height: int, now: datetime) -> Group:
        """The board for a terminal of so many lines: a summary, and a line for each trainee as far as there is room.

        Args:
            height: of the terminal, in lines.
            now: with the time zone of the trainer.
        """
        found = self.trainees()
        room = max(1, height - _AROUND)
        parts: list[RenderableType] = [plain(trainees_words(found)), progress_table(found[:room], now)]
        if len(found) > room:
            words = f"{counted(len(found) - room, 'more trainee')}, who answered before: `fr train cohort show`."
            parts.append(plain(words))
        return Group(*parts)


def _weight(one: training_pb2.SittingProgress) -> tuple[int, int]:
    return _FIRST.get(one.state, 0), one.last_time.ToNanoseconds()


def show_changes(changes: Iterable[Sequence[training_pb2.SittingProgress]]) -> None:
    """Show changes until they end: on a terminal as a table that is drawn anew, else a line for each."""
    out, board = console(), Board()
    if not out.is_terminal:
        for change in changes:
            for one in change:
                typer.echo(plain(progress_line(one)).plain)
        return
    with Live(board.picture(out.height, datetime.now().astimezone()), console=out, auto_refresh=False) as live:
        for change in changes:
            board.note(change)
            live.update(board.picture(out.height, datetime.now().astimezone()), refresh=True)


def progress_table(progress: Iterable[training_pb2.SittingProgress], now: datetime) -> Table:
    """Return a row of one line for each trainee in each sitting, which fits 80 columns.

    Args:
        progress: the rows.
        now: see `clock_words`.
    """
    numbers = ("Done", "Right")
    rows = table("Trainee", "Sitting", "State", "Block", *numbers, "Last", right=numbers)
    for column in rows.columns:  # where there is too little room, names give way, and no number and no pseudonym
        column.no_wrap = column.header not in ("Sitting", "Block")
    for one in progress:
        last = clock_words(one.last_time, now) if one.HasField("last_time") else ""
        done, right = f"{one.answered}/{one.trials}", f"{one.right}/{one.scored}" if one.scored else ""
        state = plain(state_words(one.state))
        rows.add_row(plain(one.trainee_id), _name(one.sitting), state, _name(one.block_id), done, right, last)
    return rows


def _name(name: str) -> Text:
    """A name on one line, however little room there is."""
    made = plain(name)
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


def clock_words(moment: Timestamp, now: datetime) -> str:
    """Return a time in the time zone of `now`: as HH:MM on its day, else the month and the day, such as 11-26."""
    then = moment.ToDatetime(UTC).astimezone(now.tzinfo)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%m-%d}"


def progress_line(one: training_pb2.SittingProgress) -> str:
    """Return a line for a trainee in a sitting."""
    where = f", {one.block_id}" if one.block_id else ""
    right = f", right {right_words(one)}" if one.scored else ""
    state = state_words(one.state)
    return f"{one.trainee_id} {one.sitting}: {state}{where}, {one.answered} of {one.trials} answered{right}"


def summary_words(progress: Iterable[training_pb2.SittingProgress]) -> str:
    """Return how many sittings are in which state, and how many answers there are."""
    found = list(progress)
    return f"Sittings: {_states_words(found)}."


def trainees_words(progress: Sequence[training_pb2.SittingProgress]) -> str:
    """Return how many trainees are in which state, where there is one sitting of each."""
    return f"{counted(len(progress), 'trainee')}: {_states_words(progress)}."


def _states_words(progress: Sequence[training_pb2.SittingProgress]) -> str:
    states = Counter(one.state for one in progress)
    parts = [f"{states[state]:,} {words}" for state, words in _STATES.items()]
    return f"{', '.join(parts)}. Answers: {sum(one.answered for one in progress):,}"


def right_words(one: training_pb2.SittingProgress) -> str:
    """Return the right answers of those that have a right and a wrong; empty where there are none."""
    return f"{one.right} of {one.scored}" if one.scored else ""


def state_words(state: training_pb2.SessionState.ValueType) -> str:
    """Return where a session is, for people."""
    return _STATES.get(state, "newer than this command")
