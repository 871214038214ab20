"""`fr train run`: a trainee takes a sitting at a terminal."""

import io
import re
import shlex
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from fr_api.v1 import training_pb2
from fr_client.cli.plugins import INTERRUPTED
from fr_client.cli.show import counted, plain, when
from fr_client.cli.state import NoDownscale, Settings, Unusable, reporting
from fr_client.cli.train.answers import Scale
from fr_client.cli.train.codes import ASK, Code, asked_code
from fr_client.cli.train.dialog import AGAIN, Connect, Countdown, Dialog, EndedForGood, InputEnded, Left, Sender
from fr_client.cli.train.messages import in_trainees_words, trainee_text
from fr_client.cli.train.picture_file import PictureFile, Pictures, Viewer, WithViewer, chosen_viewer, picture_file
from fr_client.cli.train.questions import Style
from fr_client.cli.train.session import Blocks, SessionRun
from fr_client.errors import FrApiError
from fr_client.sync.training import Training

if sys.platform == "win32":
    import msvcrt
else:
    import termios


def drop_typed_ahead() -> None:
    """Drop unread input of a terminal: it answers a question that nobody has seen. Keeps the lines of a pipe.

    Raises `OSError` if the terminal is closed.
    """
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        while msvcrt.kbhit():
            msvcrt.getwch()
        return
    try:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    except termios.error as error:  # which is not an OSError
        raise OSError(*error.args) from error


_NAMES = ("SIGHUP", "SIGTERM")
_KEPT = "\xa0"  # a space at which no line breaks


class Stopped(KeyboardInterrupt):
    """A signal ends the command; `status` is its exit status."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number  # as in shells


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` in the block at the first SIGHUP or SIGTERM; if nothing catches it, the command ends.

    It ignores later ones until the block ends: a closed terminal sends several, and none may interrupt the cleaning. A
    signal that is ignored from the beginning, as under nohup, stays so. Only the main thread may enter.
    """
    found = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    before = {one: signal.getsignal(one) for one in found if signal.getsignal(one) != signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    try:
        for one in before:
            signal.signal(one, stop)
        yield
    except Stopped as stopped:
        raise typer.Exit(stopped.status) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


Language = Annotated[
    str,
    typer.Option(metavar="LANGUAGE", help="Language of what the server says, such as fr; English where it lacks it."),
]
_BEGUN = (training_pb2.SESSION_STATE_RUNNING, training_pb2.SESSION_STATE_PAUSED)
_GO_ON = "Your answers are kept: the same command continues."


def run(
    context: typer.Context,
    code: Code = ASK,
    sitting: Annotated[str, typer.Option(metavar="NAME", help="The sitting; the next unfinished one if unset.")] = "",
    pictures: Pictures = None,
    viewer: WithViewer = None,
    keys: Annotated[
        Scale, typer.Option(help="Keys of ratings: -3 to 3, or 1 to 7 for the same from left to right.")
    ] = Scale.SIGNED,
    short: Annotated[bool, typer.Option("--short", help="Do not ask for probabilities and difficulties.")] = False,
    language: Language = "",
    no_downscale: NoDownscale = False,
) -> None:
    """Take a sitting of a course: compare the faces in the pictures, and answer line by line.

    The command writes and opens a picture of each trial. Run it again to continue a sitting that you left. Answers may
    come through a pipe, one a line. Exit status: 0 at the end, and after q.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a path may not be UTF-8
    with stopped_by_signals(), reporting(as_json=False), in_trainees_words(), _connections(context.obj) as connect:
        style, report = Style(keys, short, language), report_text(options_given(context))
        take(connect, asked_code(code), sitting, pictures, chosen_viewer(viewer), style, time.sleep, report)


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

    Raises `FrApiError` if the server refuses for good, or does not answer at the start, and `Unusable` if there is no
    such sitting, or a picture cannot be shown.
    """
    with picture_file(pictures, viewer, say) as shows:  # first: without it nothing begins
        sent = Sender(connect, say, _tick if sys.stdout.isatty() else None, sleep, time.monotonic)
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
        stop = partial(sent, lambda training: training.pause_session(session.session_id))
        start = partial(sent, lambda training: training.resume_session(session.session_id))
        countdown = Countdown(time.monotonic)
        dialog = Dialog(sys.stdin.readline, say, prompt, drop_typed_ahead, stop, start, countdown)
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
    command = shlex.join(["fr", *given, "train", "report", "get", "--code", "-", "--out", "DIR"])
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
    say(joined.title)
    trials = sum(block.trials for block in sitting.blocks)
    say(f"{sitting.title}: {counted(len(sitting.blocks), 'block')}, {counted(trials, 'trial')}.")
    say("")
    for line in joined.notice.splitlines():
        say(line)
    if joined.HasField("expire_time"):
        say(f"Results are deleted on {when(joined.expire_time)}.")
    drop_typed_ahead()
    prompt("Do you agree? [y/N]:")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _connections(settings: Settings) -> Iterator[Connect]:
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
    try:
        yield
    except EndedForGood:
        shows.clear()
        over = sent(lambda training: training.finish_session(session_id))
        say(f"The sitting is ended: {over.answered} of {over.trials} trials have an answer. {report}")
    except (Left, InputEnded, OSError) as leaving:
        shows.clear()
        _stop(sent.training, session_id)
        if isinstance(leaving, OSError):  # such as a closed terminal or pipe
            raise
        if isinstance(leaving, InputEnded):
            _complain(f"The answers ended before the sitting. {_GO_ON}")
            raise typer.Exit(1) from None
        say(_GO_ON)
    except (FrApiError, Unusable):
        _complain(_GO_ON)
        raise


def _stop(training: Training, session_id: str) -> None:
    try:
        training.pause_session(session_id)
    except FrApiError as error:
        if error.reason in AGAIN:
            _complain(
                "The server does not answer now. You get the lost time back when you come back, if the block has a "
                "pause left."
            )
        elif error.reason != "SESSION_FINISHED":
            _complain(plain(f"The time could not be stopped: {trainee_text(error)}").plain)


def _complain(line: str) -> None:
    with suppress(OSError):
        typer.echo(line, err=True)


def say(line: str) -> None:
    """Show a line; nothing in it can move the cursor."""
    typer.echo(_fitted(line))


def _fitted(line: str) -> str:
    """The line without control characters; on a terminal it breaks between words, and never in a command."""
    text = plain(line).plain
    if not sys.stdout.isatty():
        return text
    kept = re.sub("`[^`]*`", lambda command: command[0].replace(" ", _KEPT), text)
    width = shutil.get_terminal_size().columns
    return textwrap.fill(kept, width, break_long_words=False, break_on_hyphens=False).replace(_KEPT, " ")


def prompt(question: str) -> None:
    """Show a question; on a terminal the input follows on the same line."""
    typer.echo(f"{_fitted(question)} ", nl=not sys.stdin.isatty())
    sys.stdout.flush()


def _tick(line: str) -> None:
    typer.echo(f"\r{line}", nl=False)
