"""`fr train run`: a trainee takes a sitting at a terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.run import INTERRUPTED
from fr_client.cli.show import plain, when
from fr_client.cli.state import Unusable, connected
from fr_client.cli.train_desk import Countdown, Desk, EndedForGood, InputEnded, Left
from fr_client.cli.train_easel import Viewer, desktop_viewer, easel
from fr_client.cli.train_keys import Scale
from fr_client.cli.train_labels import counted
from fr_client.cli.train_questions import Style
from fr_client.cli.train_secret import ASK, Code, asked_code
from fr_client.cli.train_sitting import Sender, SessionTime, Sitting
from fr_client.errors import FrApiError
from fr_client.training import Training

_BEGUN = (training_pb2.SESSION_STATE_RUNNING, training_pb2.SESSION_STATE_PAUSED)
_REPORT = "When all that you began is finished, `fr train report --code - --out DIR` writes your report."
_GO_ON = "What was answered is kept: the same command goes on."


def run(
    context: typer.Context,
    code: Code = ASK,
    sitting: Annotated[
        str, typer.Option(metavar="NAME", help="Which sitting; the next one that is not finished if unset.")
    ] = "",
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the picture of the present trial lies; a temporary folder if unset."),
    ] = None,
    viewer: Annotated[
        bool | None,
        typer.Option("--viewer/--no-viewer", help="Open pictures with the desktop's viewer; if unset, on a terminal."),
    ] = None,
    keys: Annotated[
        Scale, typer.Option(help="Keys that rate: -3 to 3, or 1 to 7 for the same from left to right.")
    ] = Scale.SIGNED,
    short: Annotated[bool, typer.Option("--short", help="Ask for no probabilities and difficulties.")] = False,
) -> None:
    """Take a sitting of a course: compare the faces that are shown, and answer line by line.

    A picture of each trial is written and opened. The same command goes on with a sitting that was left. Answers may
    come through a pipe, one a line. Exit status: 0 at the end and where it was left with q.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a path may be no UTF-8
    wanted = desktop_viewer() if (sys.stdin.isatty() if viewer is None else viewer) else None
    with connected(context, as_json=False) as client:
        take(client.training, asked_code(code), sitting, pictures, wanted, Style(keys, short))


def take(
    training: Training,
    code: str,
    sitting: str,
    pictures: Path | None,
    viewer: Viewer | None,
    style: Style,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Lead the trainee with a code through a sitting; ends the command where it is left early.

    Args:
        training: the client.
        code: of the trainee.
        sitting: its name; empty for the next one that is not finished.
        pictures: see `easel`.
        viewer: likewise.
        style: how the trainee is asked.
        sleep: waits so many seconds, between calls that are not answered.

    Raises:
        FrApiError: the server refuses for good, or does not answer any more.
        Unusable: there is no such sitting, or a picture cannot be shown.
    """
    with easel(pictures, viewer, say) as shows:  # first: without it nothing is begun
        joined = training.join(code)
        chosen = choose(joined, sitting)
        if chosen is None:
            say(f"{joined.title}: what there is to take is finished. {_REPORT}")
            return
        begun = chosen.state in _BEGUN
        if not begun and not _consents(joined, chosen.sitting):
            say("Nothing was begun.")
            raise typer.Exit(1)
        session = training.start_session(code, chosen.sitting.name, consent=not begun)
        say(f"{chosen.sitting.title}: {session.answered} of {session.trials} trials are answered.")
        sent = Sender(say, sleep)
        time_of = SessionTime(training, session.session_id, sent)
        desk = Desk(sys.stdin.readline, say, _prompt, time_of, Countdown(time.monotonic))
        with _leaving(training, session.session_id):
            if session.state == training_pb2.SESSION_STATE_PAUSED:
                desk.wait_paused()
            over = Sitting(training, session, desk, shows, style, sent).run()
            say("")
            say(f"The sitting is over: {over.answered} of {over.trials} trials are answered. {_REPORT}")


def choose(joined: training_pb2.JoinCourseResponse, name: str) -> training_pb2.SittingState | None:
    """Return the sitting that is meant: the named one, else one that was begun, else the first that was not.

    Returns None where the sitting, or every one, is finished.

    Raises:
        Unusable: the course has none of that name.
    """
    among = [one for one in joined.sittings if name in ("", one.sitting.name)]
    if name and not among:
        names = ", ".join(one.sitting.name for one in joined.sittings)
        raise Unusable("UNKNOWN_SITTING", f"The course has no sitting {name}; it has: {names}.")
    unfinished = [one for one in among if one.state != training_pb2.SESSION_STATE_FINISHED]
    return min(unfinished, key=lambda one: one.state not in _BEGUN, default=None)


def _consents(joined: training_pb2.JoinCourseResponse, sitting: training_pb2.Sitting) -> bool:
    """Show what the trainee is about to do and what is kept of it, and ask whether that is agreed to."""
    say(joined.title)
    trials = sum(block.trials for block in sitting.blocks)
    say(f"{sitting.title}: {counted(len(sitting.blocks), 'block')}, {counted(trials, 'trial')}.")
    say("")
    for line in joined.notice.splitlines():
        say(line)
    if joined.HasField("expire_time"):
        say(f"Results are deleted on {when(joined.expire_time)}.")
    _prompt("Do you agree? [y/N]:")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _leaving(training: Training, session_id: str) -> Iterator[None]:
    """Stop the time where the trainee leaves, and end the command as it was left."""
    try:
        yield
    except EndedForGood:
        over = training.finish_session(session_id)
        say(f"The sitting is ended: {over.answered} of {over.trials} trials are answered. {_REPORT}")
    except Left:
        _stop(training, session_id)
        say(_GO_ON)
    except InputEnded:
        _stop(training, session_id)
        typer.echo(f"The answers ended before the sitting did. {_GO_ON}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _stop(training, session_id)
        typer.echo(f"\n{_GO_ON}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (FrApiError, Unusable):
        typer.echo(_GO_ON, err=True)
        raise


def _stop(training: Training, session_id: str) -> None:
    """Stop the time, so that it does not run while nobody is there."""
    try:
        training.pause_session(session_id)
    except FrApiError as error:
        if error.reason != "SESSION_FINISHED":
            typer.echo(plain(f"The time could not be stopped: {error.message}").plain, err=True)


def say(line: str) -> None:
    """Show a line; nothing in it can move the cursor."""
    typer.echo(plain(line).plain)


def _prompt(question: str) -> None:
    """Show a question; what is typed follows it on a terminal, and is not seen elsewhere."""
    typer.echo(f"{plain(question).plain} ", nl=not sys.stdin.isatty())
    sys.stdout.flush()
