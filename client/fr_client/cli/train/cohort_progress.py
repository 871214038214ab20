"""Shows the progress of a cohort: as a table, or without a terminal as a line for each change."""

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
from fr_client.cli.train.labels import counted

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
        parts: list[RenderableType] = [plain(trainees_text(found)), progress_table(found[:room], now)]
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
        for change in changes:
            for one in change:
                typer.echo(plain(progress_line(one)).plain)
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
    """Return a name that stays on one line, shortened if necessary."""
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
    right = f", right {right_text(one)}" if one.scored else ""
    state = state_text(one.state)
    return f"{one.trainee_id} {one.sitting}: {state}{where}, {one.answered} of {one.trials} answered{right}"


def summary_text(progress: Iterable[training_pb2.SittingProgress]) -> str:
    """Return the number of sittings in each state, and of answers."""
    found = list(progress)
    return f"Sittings: {_states_text(found)}."


def trainees_text(progress: Sequence[training_pb2.SittingProgress]) -> str:
    """Return the number of trainees in each state, for one sitting of each."""
    return f"{counted(len(progress), 'trainee')}: {_states_text(progress)}."


def _states_text(progress: Sequence[training_pb2.SittingProgress]) -> str:
    states = Counter(one.state for one in progress)
    parts = [f"{states[state]:,} {words}" for state, words in _STATES.items()]
    return f"{', '.join(parts)}. Answers: {sum(one.answered for one in progress):,}"


def right_text(one: training_pb2.SittingProgress) -> str:
    """Return the number of right answers and of scored ones; "" if none is scored."""
    return f"{one.right} of {one.scored}" if one.scored else ""


def state_text(state: training_pb2.SessionState.ValueType) -> str:
    """Return the state of a session, for people."""
    return _STATES.get(state, "newer than this command")
