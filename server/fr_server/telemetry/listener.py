"""Passes events of calls and of the engine to any number of listeners."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from fr_core.runtime.observe import ModelRole, NullObserver, Stage

OK = "OK"
CANCELLED = "CANCELLED"
"""The outcomes of calls besides the reasons of `fr_core.errors`. A passed deadline also counts as CANCELLED."""

FrontendEnd = Literal["ended", "silent"]
"""The reason for replacing a front-end process: it ended unexpectedly, or did not answer and was killed."""

Ended: TypeAlias = Callable[[str, float], None]
"""Call it once at the end of a call, with the outcome (OK, CANCELLED or a reason) and the duration in seconds."""


Chore = Literal[
    "purge_training", "purge_cases", "purge_footage", "prune_audit", "checkpoints", "key_ends", "sweep_budgets"
]
"""The name of a periodic job in the log and in the metrics."""

MOST_FAILED = 50  # calls that failed, of which `Tally` keeps the newest

CHORES: tuple[Chore, ...] = get_args(Chore)


class Listener(NullObserver):
    """Receives events of the engine, and of calls on the event loop, and ignores them.

    The methods of a subclass are quick, and do not raise.
    """

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        """Record the start of a call, such as of `fr_api.v1.RecognitionService/Detect`, in its context.

        `traceparent` is the caller's value for this key of W3C Trace Context, unchecked; may be empty.
        """
        return lambda outcome, took_s: None

    def refused(self, reason: str) -> None:
        """Record that a stream item was refused or failed, with a reason of `fr_core.errors`."""


class Together(Listener):
    """Passes events to several listeners, in order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        stack = ExitStack()
        for listener in self._listeners:
            stack.enter_context(listener.stage(name))
        return stack

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        endings = [listener.began(method, request_id, traceparent) for listener in self._listeners]

        def ended(outcome: str, took_s: float) -> None:
            for ending in endings:
                ending(outcome, took_s)

        return ended

    def analyzed(self, faces: int) -> None:
        for listener in self._listeners:
            listener.analyzed(faces)

    def queued(self, model: ModelRole, items: int) -> None:
        for listener in self._listeners:
            listener.queued(model, items)

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        for listener in self._listeners:
            listener.batch(model, waits_s, run_s)

    def failed(self, model: ModelRole, items: int) -> None:
        for listener in self._listeners:
            listener.failed(model, items)

    def dropped(self, model: ModelRole, items: int) -> None:
        for listener in self._listeners:
            listener.dropped(model, items)

    def refused(self, reason: str) -> None:
        for listener in self._listeners:
            listener.refused(reason)


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that failed."""

    at_ms: int  # its end, milliseconds since 1970, UTC
    method: str  # such as "fr_api.v1.GalleryService/Search"
    reason: str
    request_id: str


class Tally(Listener):
    """Counts calls by their outcomes, and keeps the `newest` that failed, the last one first. Runs on the event loop.

    `clock` gives milliseconds since 1970, UTC. The counts begin at `since_ms`.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.since_ms = clock()
        self.in_progress = 0
        self.ended: Counter[str] = Counter()
        self.newest: deque[FailedCall] = deque(maxlen=MOST_FAILED)

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        self.in_progress += 1

        def ended(outcome: str, took_s: float) -> None:
            self.in_progress -= 1
            self.ended[outcome] += 1
            if outcome not in (OK, CANCELLED):
                self.newest.appendleft(FailedCall(self._clock(), method, outcome, request_id))

        return ended
