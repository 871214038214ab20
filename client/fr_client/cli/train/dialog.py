"""Asks a trainee line by line, and makes the calls of a sitting, however long the server is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

from fr_api.v1 import training_pb2
from fr_client.cli.train.answers import NotUnderstood
from fr_client.cli.train.messages import trainee_text
from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError
from fr_client.sync.training import Training

# Replaces the connection: gRPC itself may wait two minutes before it calls a lost server again.
Connect = Callable[[], Training]

# The same call is sent again: the server counts it once, however often it comes.
AGAIN = frozenset({UNREACHABLE, CONNECTION_LOST, TIMED_OUT, "OVERLOADED", "SHUTTING_DOWN", "NOT_READY"})
# The waits between the calls, in seconds; the last one repeats.
DELAYS_S = (1.0, 2.0, 3.0, 5.0)
# At the beginning: a server that has just started answers within these.
FIRST_DELAYS_S = (0.5, 0.5, 1.0, 1.0, 2.0, 3.0)


@dataclass
class Sender:
    """Makes a call until it has an answer: connections break during sittings.

    `tick` shows a line that replaces its last one; None if the output cannot.
    """

    connect: Connect
    say: Callable[[str], None]
    tick: Callable[[str], None] | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self.training = self.connect()
        self.rejoin: Callable[[Training], object] = lambda training: (
            None
        )  # before the next call to a server that is back

    def soon(self, call: Callable[[Training], T]) -> T:
        """Return the answer; raises `FrApiError` for a refusal, and if there is no answer within some seconds."""
        for delay_s in FIRST_DELAYS_S:
            try:
                return call(self.training)
            except FrApiError as error:
                if error.reason not in AGAIN:
                    raise
            self.sleep(delay_s)
            self.training = self.connect()
        return call(self.training)

    def __call__(self, call: Callable[[Training], T]) -> T:
        """Return the answer, however long it takes; raises `FrApiError` for a refusal."""
        try:
            return call(self.training)
        except FrApiError as error:
            if error.reason not in AGAIN:
                raise
            lost = error
        self.say("The server does not answer. Your answer is kept here, and is sent when the server is back.")
        self.say("You need not do anything. Ctrl-C leaves; unsent questions are asked again when you come back.")
        began_s = self.clock()
        for delay_s in chain(DELAYS_S, repeat(DELAYS_S[-1])):
            if self.tick is not None:
                minutes, seconds = divmod(int(self.clock() - began_s), 60)
                self.tick(f"Waiting for the server, {minutes}:{seconds:02}.")
            self.sleep(max(delay_s, lost.retry_after_s or 0.0))
            try:
                answer = self._again(call, lost)
            except FrApiError as error:
                if error.reason not in AGAIN:
                    self._answers_again()
                    raise
                lost = error
            else:
                self._answers_again()
                return answer
        raise AssertionError("itertools.repeat never ends")

    def _again(self, call: Callable[[Training], T], lost: FrApiError) -> T:
        if lost.reason != "OVERLOADED":  # the server itself says this, so the trainee was never away
            self.training = self.connect()
            self.rejoin(self.training)
        return call(self.training)

    def _answers_again(self) -> None:
        if self.tick is not None:
            self.say("")
        self.say("The server answers again.")


T = TypeVar("T")

HELP = (
    "At every question: p pauses and stops the time, k says that you know one of the people, q leaves (the same "
    "command continues), f ends the sitting for good, ? shows this. Ctrl-C leaves at any time, as q does."
)


class Left(Exception):
    """The trainee leaves; the sitting can continue later."""


class InputEnded(Exception):
    """Standard input ends before the sitting."""


class EndedForGood(Exception):
    """The trainee ends the sitting; trials without an answer stay so."""


class Countdown:
    """The time left in a block, as the server last reported it; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end_s: float | None = None
        self._paused_s: float | None = None
        self._is_known = True

    def begin(self, left_s: float | None) -> None:
        """Start with the server's seconds; None for no limit."""
        self._end_s = None if left_s is None else self._clock() + left_s
        self._paused_s = None
        self._is_known = True

    def doubt(self) -> None:
        """Show nothing until the server reports the time left."""
        self._is_known = False

    def pause(self) -> None:
        """Stop."""
        if self._paused_s is None:
            self._paused_s = self._clock()

    def resume(self) -> None:
        """Continue."""
        if self._paused_s is not None and self._end_s is not None:
            self._end_s += self._clock() - self._paused_s
        self._paused_s = None

    @property
    def is_over(self) -> bool:
        """Return whether less than a second is left; never without a limit."""
        return self._end_s is not None and self._left_s(self._end_s) < 1

    def words(self) -> str:
        """Return the minutes and seconds left; "" without a limit, or if they are unknown."""
        if self._end_s is None or not self._is_known:
            return ""
        minutes, seconds = divmod(max(0, int(self._left_s(self._end_s))), 60)
        return f"{minutes}:{seconds:02} left"

    def _left_s(self, end_s: float) -> float:
        return end_s - (self._clock() if self._paused_s is None else self._paused_s)


@dataclass
class Dialog:
    """Asks a trainee, one line for each answer; `read` returns a line with its end, or "" at the end of input."""

    read: Callable[[], str]
    say: Callable[[str], None]
    prompt: Callable[[str], None]
    drop_typed_ahead: Callable[[], None]
    stop_time: Callable[[], object]
    start_time: Callable[[], object]
    countdown: Countdown

    def __post_init__(self) -> None:
        self.known_to_me: bool | None = None  # None if no people are shown
        self.save: Callable[[training_pb2.Draft], object] = lambda draft: None  # keeps what is typed so far

    def ask(self, question: str, parse: Callable[[str], T]) -> T:
        """Ask until there is an answer; execute commands on the way.

        Raises `Left`, `EndedForGood`, `InputEnded`, and `FrApiError` if the time could not be stopped.
        """
        while True:
            line = self.line(question)
            if line is None:
                continue
            try:
                return parse(line)
            except NotUnderstood as error:
                self.drop_typed_ahead()  # it answers the following questions
                self.say(str(error))

    def line(self, question: str) -> str | None:
        """Ask once; None for a command in place of an answer."""
        left = self.countdown.words()
        self.prompt(f"[{left}] {question}" if left else question)
        line = self._next()
        command = line.strip().lower()
        if command == "q":
            raise Left
        if command == "f":
            self._end_for_good()
        elif command == "p":
            self.pause()
        elif command == "k":
            self._know()
        elif command == "?":
            self.say(HELP)
        else:
            return line
        return None

    def pause(self) -> None:
        """Stop the time until Enter is pressed, if the block allows it."""
        try:
            self.stop_time()
        except FrApiError as error:
            if error.reason != "PAUSES_USED_UP":
                raise
            self.say(trainee_text(error))
            return
        self.countdown.pause()
        self.wait_paused()

    def wait_paused(self) -> None:
        """Wait for Enter, then start the time again."""
        self.drop_typed_ahead()
        self.prompt("Paused: the time stands still. Enter continues, q leaves:")
        if self._next().strip().lower() == "q":
            raise Left
        self.start_time()
        self.drop_typed_ahead()
        self.countdown.resume()

    def agrees(self, question: str) -> bool:
        """Ask a question for yes or no; an empty line is no."""
        self.drop_typed_ahead()
        self.prompt(f"{question} [y/N]:")
        return self._next().strip().lower() in ("y", "yes")

    def _next(self) -> str:
        line = self.read()
        if not line:
            raise InputEnded
        return line.rstrip("\r\n")

    def _end_for_good(self) -> None:
        if self.agrees("End the sitting for good? Trials without an answer stay so."):
            raise EndedForGood

    def _know(self) -> None:
        if self.known_to_me is None:
            self.say("No people are shown now.")
            return
        self.known_to_me = not self.known_to_me
        if self.known_to_me:
            self.say("Noted: you know somebody here. Answer all the same; the trial will count in no figure.")
            self.say("k takes it back.")
        else:
            self.say("Taken back: you know nobody here.")
