"""The calls of a sitting: each is made until it is answered, however long the server is away."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError
from fr_client.training import Training

T = TypeVar("T")
# Opens a connection, in place of the one before: gRPC itself calls a lost server again after up to two minutes only.
Connect = Callable[[], Training]

# The same is sent again: the server takes it once, however often it comes.
AGAIN = frozenset({UNREACHABLE, CONNECTION_LOST, TIMED_OUT, "OVERLOADED", "SHUTTING_DOWN", "NOT_READY"})
# The waits between the calls, in seconds; the last one again and again.
DELAYS_S = (1.0, 2.0, 3.0, 5.0)
# Before there is anything to lose: a server that was started a moment ago answers within these.
FIRST_DELAYS_S = (0.5, 0.5, 1.0, 1.0, 2.0, 3.0)


class Waiting:
    """Tells a trainee that the server is waited for.

    Args:
        say: shows a line.
        tick: shows a line in place of the last one that it showed; None where that cannot be done.
    """

    def __init__(self, say: Callable[[str], None], tick: Callable[[str], None] | None) -> None:
        self._say = say
        self._tick = tick

    def begin(self) -> None:
        """The server does not answer."""
        self._say("The server does not answer. An answer that you gave is kept here, and is sent when it is back.")
        self._say("Nothing needs to be done. Ctrl-C leaves; what was not sent is then asked again when you come back.")

    def go_on(self, waited_s: float) -> None:
        """It does not answer yet."""
        if self._tick is not None:
            minutes, seconds = divmod(int(waited_s), 60)
            self._tick(f"Waiting for the server, {minutes}:{seconds:02}.")

    def end(self) -> None:
        """It answers."""
        if self._tick is not None:
            self._say("")
        self._say("The server answers again.")


class Sender:
    """Makes a call until it is answered: connections break in the midst of sittings.

    Args:
        connect: opens a connection.
        waiting: tells that the server is waited for.
        sleep: waits so many seconds.
        clock: gives seconds.

    Attributes:
        training: of the present connection.
        rejoin: is called when the server is back, before the call is made again; None where there is nothing to do.
    """

    def __init__(
        self, connect: Connect, waiting: Waiting, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._connect = connect
        self._waiting = waiting
        self._sleep = sleep
        self._clock = clock
        self.training = connect()
        self.rejoin: Callable[[Training], object] | None = None

    def soon(self, call: Callable[[Training], T]) -> T:
        """Return the answer; raises `FrApiError` for a refusal, and where there is none within some seconds."""
        for delay_s in FIRST_DELAYS_S:
            try:
                return call(self.training)
            except FrApiError as error:
                if error.reason not in AGAIN:
                    raise
            self._sleep(delay_s)
            self.training = self._connect()
        return call(self.training)

    def __call__(self, call: Callable[[Training], T]) -> T:
        """Return the answer, however long it takes; raises `FrApiError` for a refusal."""
        try:
            return call(self.training)
        except FrApiError as error:
            if error.reason not in AGAIN:
                raise
            lost = error
        self._waiting.begin()
        began_s = self._clock()
        for delay_s in chain(DELAYS_S, repeat(DELAYS_S[-1])):
            self._waiting.go_on(self._clock() - began_s)
            self._sleep(max(delay_s, lost.retry_after_s or 0.0))
            try:
                answer = self._again(call, lost)
            except FrApiError as error:
                if error.reason not in AGAIN:
                    self._waiting.end()
                    raise
                lost = error
            else:
                self._waiting.end()
                return answer
        raise AssertionError("itertools.repeat ends never")

    def _again(self, call: Callable[[Training], T], lost: FrApiError) -> T:
        if lost.reason != "OVERLOADED":  # which the server itself has answered: the trainee was never away
            self.training = self._connect()
            if self.rejoin is not None:
                self.rejoin(self.training)
        return call(self.training)


class SessionTime:
    """The time of a session on the server.

    Args:
        session_id: of the session.
        sent: makes the calls.
    """

    def __init__(self, session_id: str, sent: Sender) -> None:
        self._session_id = session_id
        self._sent = sent

    def pause(self) -> None:
        """Stop it."""
        self._sent(lambda training: training.pause_session(self._session_id))

    def resume(self) -> None:
        """Let it go on."""
        self._sent(lambda training: training.resume_session(self._session_id))
