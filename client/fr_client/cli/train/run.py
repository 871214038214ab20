"""`fr train run`: a trainee takes a sitting at a terminal."""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.ending import INTERRUPTED
from fr_client.cli.show import plain, when
from fr_client.cli.state import Settings, Unusable, reporting
from fr_client.cli.train.answers import Scale
from fr_client.cli.train.blocks import Blocks
from fr_client.cli.train.calls import AGAIN, Connect, Sender, SessionTime, Waiting
from fr_client.cli.train.codes import ASK, Code, asked_code
from fr_client.cli.train.dialog import Countdown, Dialog, EndedForGood, InputEnded, Left
from fr_client.cli.train.labels import counted
from fr_client.cli.train.messages import in_trainees_words, trainee_text
from fr_client.cli.train.picture_file import PictureFile, Viewer, desktop_viewer, picture_file
from fr_client.cli.train.questions import Style
from fr_client.cli.train.session import SessionRun
from fr_client.cli.train.terminal import Stopped, drop_typed_ahead, stopped_by_signals
from fr_client.errors import FrApiError
from fr_client.sync.training import Training

_BEGUN = (training_pb2.SESSION_STATE_RUNNING, training_pb2.SESSION_STATE_PAUSED)
_GO_ON = "Your answers are kept: the same command continues."


def run(
    context: typer.Context,
    code: Code = ASK,
    sitting: Annotated[str, typer.Option(metavar="NAME", help="The sitting; the next unfinished one if unset.")] = "",
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the picture of the present trial; a temporary one if unset."),
    ] = None,
    viewer: Annotated[
        bool | None,
        typer.Option(
            "--viewer/--no-viewer", help="Open pictures with the desktop's viewer; if unset, only on a terminal."
        ),
    ] = None,
    keys: Annotated[
        Scale, typer.Option(help="Keys of ratings: -3 to 3, or 1 to 7 for the same from left to right.")
    ] = Scale.SIGNED,
    short: Annotated[bool, typer.Option("--short", help="Do not ask for probabilities and difficulties.")] = False,
) -> None:
    """Take a sitting of a course: compare the faces in the pictures, and answer line by line.

    The command writes and opens a picture of each trial. Run it again to continue a sitting that you left. Answers may
    come through a pipe, one a line. Exit status: 0 at the end, and after q.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a path may not be UTF-8
    wanted = desktop_viewer() if (sys.stdin.isatty() if viewer is None else viewer) else None
    with stopped_by_signals(), reporting(as_json=False), in_trainees_words(), _connections(context.obj) as connect:
        style, report = Style(keys, short), report_text(options_given(context))
        take(connect, asked_code(code), sitting, pictures, wanted, style, time.sleep, report)


def take(
    connect: Connect,
    code: str,
    sitting: str,
    pictures: Path | None,
    viewer: Viewer | None,
    style: Style,
    sleep: Callable[[float], None],
    report: str,
) -> None:
    """Lead a trainee through a sitting, or through the next unfinished one for ""; may end the command early.

    Raises:
        FrApiError: the server refuses for good, or does not answer at the start.
        Unusable: there is no such sitting, or a picture cannot be shown.
    """
    with picture_file(pictures, viewer, say) as shows:  # first: without it nothing begins
        sent = Sender(connect, Waiting(say, _tick if sys.stdout.isatty() else None), sleep, time.monotonic)
        joined = sent.soon(lambda training: training.join(code))
        chosen = choose(joined, sitting)
        if chosen is None:
            say(f"{joined.title}: all sittings are finished. {report}")
            return
        begun = chosen.state in _BEGUN
        if not begun and not _consents(joined, chosen.sitting):
            say("Nothing has begun.")
            raise typer.Exit(1)
        name = chosen.sitting.name
        session = sent.soon(lambda training: training.start_session(code, name, consent=not begun))
        say(f"{chosen.sitting.title}: {session.answered} of {session.trials} trials have an answer.")
        say(style.told)
        time_of, countdown = SessionTime(session.session_id, sent), Countdown(time.monotonic)
        dialog = Dialog(sys.stdin.readline, say, _prompt, drop_typed_ahead, time_of, countdown)
        blocks = Blocks(session, begun, countdown, say)
        left = (sent, session.session_id, shows)
        with _interrupted(*left), _leaving(*left, report):
            if session.state == training_pb2.SESSION_STATE_PAUSED:
                dialog.wait_paused()
            over = SessionRun(code, session, dialog, shows, style, sent, blocks).run()
            say("")
            say(f"The sitting is over: {over.answered} of {over.trials} trials have an answer. {report}")


def options_given(context: typer.Context) -> list[str]:
    """Return the options of `fr` itself from the command line: none of them is a secret."""
    root = context.find_root()
    words: list[str] = []
    for option in root.command.params:
        source = root.get_parameter_source(option.name or "")
        if source is None or source.name != "COMMANDLINE":
            continue
        value = root.params[option.name or ""]
        words += [option.opts[0]] if value is True else [option.opts[0], str(value)]
    return words


def report_text(given: Sequence[str]) -> str:
    """Return the command for a trainee's report, with options of `fr` itself."""
    command = shlex.join(["fr", *given, "train", "report", "--code", "-", "--out", "DIR"])
    return f"When you have finished all sittings that you began, `{command}` writes your report."


def choose(joined: training_pb2.JoinCourseResponse, name: str) -> training_pb2.SittingState | None:
    """Return a sitting: the named one, else one that has begun, else the first; None if all of these are finished.

    Raises `Unusable` if the course has none of that name.
    """
    among = [one for one in joined.sittings if name in ("", one.sitting.name)]
    if name and not among:
        names = ", ".join(one.sitting.name for one in joined.sittings)
        raise Unusable("UNKNOWN_SITTING", f"The course has no sitting {name}; it has: {names}.")
    unfinished = [one for one in among if one.state != training_pb2.SESSION_STATE_FINISHED]
    return min(unfinished, key=lambda one: one.state not in _BEGUN, default=None)


def _consents(joined: training_pb2.JoinCourseResponse, sitting: training_pb2.Sitting) -> bool:
    """Show the sitting and the notice about its data, and ask for consent."""
    say(joined.title)
    trials = sum(block.trials for block in sitting.blocks)
    say(f"{sitting.title}: {counted(len(sitting.blocks), 'block')}, {counted(trials, 'trial')}.")
    say("")
    for line in joined.notice.splitlines():
        say(line)
    if joined.HasField("expire_time"):
        say(f"Results are deleted on {when(joined.expire_time)}.")
    drop_typed_ahead()
    _prompt("Do you agree? [y/N]:")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _connections(settings: Settings) -> Iterator[Connect]:
    """Yield a function that replaces the connection; the last one is closed with the block."""
    with ExitStack() as stack:

        def connect() -> Training:
            stack.close()
            return stack.enter_context(settings.open()).training

        yield connect


@contextmanager
def _interrupted(sent: Sender, session_id: str, shows: PictureFile) -> Iterator[None]:
    """Leave after Ctrl-C and signals, also while leaving: a closed terminal ends the input first."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        shows.clear()
        _stop(sent.training, session_id)
        _complain(f"\n{_GO_ON}")
        raise typer.Exit(interrupt.status if isinstance(interrupt, Stopped) else INTERRUPTED) from None


@contextmanager
def _leaving(sent: Sender, session_id: str, shows: PictureFile, report: str) -> Iterator[None]:
    """Remove the picture, stop the time if the trainee leaves, and end the command accordingly."""
    try:
        yield
    except EndedForGood:
        shows.clear()
        over = sent(lambda training: training.finish_session(session_id))
        say(f"The sitting is ended: {over.answered} of {over.trials} trials have an answer. {report}")
    except Left:
        shows.clear()
        _stop(sent.training, session_id)
        say(_GO_ON)
    except InputEnded:
        shows.clear()
        _stop(sent.training, session_id)
        _complain(f"The answers ended before the sitting. {_GO_ON}")
        raise typer.Exit(1) from None
    except OSError:  # such as a closed terminal or pipe
        shows.clear()
        _stop(sent.training, session_id)
        raise
    except (FrApiError, Unusable):
        _complain(_GO_ON)
        raise


def _stop(training: Training, session_id: str) -> None:
    """Stop the time while the trainee is away."""
    try:
        training.pause_session(session_id)
    except FrApiError as error:
        if error.reason in AGAIN:
            _complain("The server does not answer now. You get the lost time back when you come back.")
        elif error.reason != "SESSION_FINISHED":
            _complain(plain(f"The time could not be stopped: {trainee_text(error)}").plain)


def _complain(line: str) -> None:
    """Show a line on standard error, unless the terminal is closed."""
    with suppress(OSError):
        typer.echo(line, err=True)


def say(line: str) -> None:
    """Show a line; nothing in it can move the cursor."""
    typer.echo(plain(line).plain)


def _prompt(question: str) -> None:
    """Show a question; on a terminal the input follows on the same line."""
    typer.echo(f"{plain(question).plain} ", nl=not sys.stdin.isatty())
    sys.stdout.flush()


def _tick(line: str) -> None:
    """Show a line of a terminal that replaces the last one."""
    typer.echo(f"\r{line}", nl=False)
