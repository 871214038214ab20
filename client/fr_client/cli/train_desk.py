"""Where a trainee sits: asks line by line, knows the time that is left, pauses, and lets the trainee leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from fr_client.cli.train_keys import NotUnderstood

T = TypeVar("T")

HELP = (
    "At every question: p pauses and stops the time, k says that you know somebody who is shown, q leaves (the same "
    "command goes on), f ends the sitting for good, ? shows this. Ctrl-C leaves at any time, as q does."
)


class Left(Exception):
    """The trainee leaves; the sitting can be gone on with."""


class InputEnded(Exception):
    """Standard input has ended before the sitting has."""


class EndedForGood(Exception):
    """The trainee ends the sitting; trials that were not answered stay so."""


class Time(Protocol):
    """Stops the time of a session, and lets it go on."""

    def pause(self) -> None:
        """Stop it."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...


class Countdown:
    """The time that is left of a block, as the server last told it.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end_s: float | None = None
        self._paused_s: float | None = None
        self._is_known = True

    def begin(self, left_s: float | None) -> None:
        """Take note of what the server tells; None where there is no limit."""
        self._end_s = None if left_s is None else self._clock() + left_s
        self._paused_s = None
        self._is_known = True

    def doubt(self) -> None:
        """Show nothing until the server tells what is left."""
        self._is_known = False

    def pause(self) -> None:
        """Stop."""
        if self._paused_s is None:
            self._paused_s = self._clock()

    def resume(self) -> None:
        """Go on."""
        if self._paused_s is not None and self._end_s is not None:
            self._end_s += self._clock() - self._paused_s
        self._paused_s = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left, to the second; never where there is no limit."""
        return self._end_s is not None and self._left_s(self._end_s) < 1

    def words(self) -> str:
        """What is left, as minutes and seconds; empty where there is no limit, or it is not known."""
        if self._end_s is None or not self._is_known:
            return ""
        minutes, seconds = divmod(max(0, int(self._left_s(self._end_s))), 60)
        return f"{minutes}:{seconds:02} left"

    def _left_s(self, end_s: float) -> float:
        return end_s - (self._clock() if self._paused_s is None else self._paused_s)


class Desk:
    """Asks a trainee, one line for each answer.

    Args:
        read: returns the next line with its end, or "" when there is none any more.
        say: shows a line.
        prompt: shows a question; what is typed follows it.
        drop: drops what was typed ahead, see `drop_typed_ahead`.
        time: of the session.
        countdown: of the block.
    """

    def __init__(
        self,
        read: Callable[[], str],
        say: Callable[[str], None],
        prompt: Callable[[str], None],
        drop: Callable[[], None],
        time: Time,
        countdown: Countdown,
    ) -> None:
        self._read = read
        self.say = say
        self._prompt = prompt
        self.drop_typed_ahead = drop
        self._time = time
        self.countdown = countdown
        self.known_to_me: bool | None = None  # None where nobody is shown

    def ask(self, question: str, parse: Callable[[str], T]) -> T:
        """Ask until the answer is understood; commands are carried out on the way.

        Raises:
            Left: the trainee leaves.
            EndedForGood: the trainee ends the sitting.
            InputEnded: there is nobody who answers.
            FrApiError: the time could not be stopped.
        """
        while True:
            line = self.line(question)
            if line is None:
                continue
            try:
                return parse(line)
            except NotUnderstood as error:
                self.drop_typed_ahead()  # it was meant for the questions that follow
                self.say(str(error))

    def line(self, question: str) -> str | None:
        """Ask once; None where a command was given in place of an answer."""
        left = self.countdown.words()
        self._prompt(f"[{left}] {question}" if left else question)
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
        """Stop the time until Enter is pressed."""
        self._time.pause()
        self.countdown.pause()
        self.wait_paused()

    def wait_paused(self) -> None:
        """Wait for Enter, then let the time go on."""
        self.drop_typed_ahead()
        self._prompt("Paused: the time stands still. Enter goes on, q leaves:")
        if self._next().strip().lower() == "q":
            raise Left
        self._time.resume()
        self.drop_typed_ahead()
        self.countdown.resume()

    def agrees(self, question: str) -> bool:
        """Ask a question whose answer is yes or no; an empty line is no."""
        self.drop_typed_ahead()
        self._prompt(f"{question} [y/N]:")
        return self._next().strip().lower() in ("y", "yes")

    def _next(self) -> str:
        line = self._read()
        if not line:
            raise InputEnded
        return line.rstrip("\r\n")

    def _end_for_good(self) -> None:
        if self.agrees("End the sitting for good? What is not answered stays so."):
            raise EndedForGood

    def _know(self) -> None:
        if self.known_to_me is None:
            self.say("Nobody is shown now.")
            return
        self.known_to_me = not self.known_to_me
        if self.known_to_me:
            self.say("Noted: you know somebody here. Answer all the same; the trial will count in no figure.")
            self.say("k takes it back.")
        else:
            self.say("Taken back: you know nobody here.")
