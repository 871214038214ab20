"""Makes the calls of a sitting until they have an answer, however long the server is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError
from fr_client.sync.training import Training

T = TypeVar("T")
# Replaces the connection: gRPC itself may wait two minutes before it calls a lost server again.
Connect = Callable[[], Training]

# The same call is sent again: the server counts it once, however often it comes.
AGAIN = frozenset({UNREACHABLE, CONNECTION_LOST, TIMED_OUT, "OVERLOADED", "SHUTTING_DOWN", "NOT_READY"})
# The waits between the calls, in seconds; the last one repeats.
DELAYS_S = (1.0, 2.0, 3.0, 5.0)
# At the beginning: a server that has just started answers within these.
FIRST_DELAYS_S = (0.5, 0.5, 1.0, 1.0, 2.0, 3.0)


@dataclass(slots=True)
class Waiting:
    """Tells a trainee about the wait for the server; `tick` shows a line that replaces its last one, if possible."""

    say: Callable[[str], None]
    tick: Callable[[str], None] | None

    def begin(self) -> None:
        """Say that the server does not answer."""
        self.say("The server does not answer. Your answer is kept here, and is sent when the server is back.")
        self.say("You need not do anything. Ctrl-C leaves; unsent questions are asked again when you come back.")

    def go_on(self, waited_s: float) -> None:
        """Say how long the wait has been."""
        if self.tick is not None:
            minutes, seconds = divmod(int(waited_s), 60)
            self.tick(f"Waiting for the server, {minutes}:{seconds:02}.")

    def end(self) -> None:
        """Say that the server answers again."""
        if self.tick is not None:
            self.say("")
        self.say("The server answers again.")


@dataclass
class Sender:
    """Makes a call until it has an answer: connections break during sittings.

    Attributes:
        training: of the present connection.
        rejoin: called when the server is back, before the next call; None for nothing to do.
    """

    connect: Connect
    waiting: Waiting
    sleep: Callable[[float], None]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self.training = self.connect()
        self.rejoin: Callable[[Training], object] | None = None

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
        self.waiting.begin()
        began_s = self.clock()
        for delay_s in chain(DELAYS_S, repeat(DELAYS_S[-1])):
            self.waiting.go_on(self.clock() - began_s)
            self.sleep(max(delay_s, lost.retry_after_s or 0.0))
            try:
                answer = self._again(call, lost)
            except FrApiError as error:
                if error.reason not in AGAIN:
                    self.waiting.end()
                    raise
                lost = error
            else:
                self.waiting.end()
                return answer
        raise AssertionError("itertools.repeat never ends")

    def _again(self, call: Callable[[Training], T], lost: FrApiError) -> T:
        if lost.reason != "OVERLOADED":  # the server itself says this, so the trainee was never away
            self.training = self.connect()
            if self.rejoin is not None:
                self.rejoin(self.training)
        return call(self.training)


@dataclass(slots=True)
class SessionTime:
    """Stops and starts the time of a session on the server."""

    session_id: str
    sent: Sender

    def pause(self) -> None:
        """Stop it."""
        self.sent(lambda training: training.pause_session(self.session_id))

    def resume(self) -> None:
        """Start it again."""
        self.sent(lambda training: training.resume_session(self.session_id))
