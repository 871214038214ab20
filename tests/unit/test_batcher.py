"""The batcher: who shares a batch with whom, who goes first, who is dropped, and who fails."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.errors import CallEnded, ConfigInvalid, DeviceLost, DeviceUnavailable, Overloaded, ShuttingDown
from fr_core.runtime.batcher import BULK_TURN, Batcher
from fr_core.runtime.observe import ModelRole, NullObserver
from fr_core.runtime.ticket import Ticket
from support.counts import examples

SOON = 5.0
EXAMPLE = 0

Run = Callable[[Sequence[int]], Sequence[int]]


class Model:
    """Doubles integers, remembers its batches, and can be held, poisoned, broken or killed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.poison: set[int] = set()
        self.lost = False
        self.killer: int | None = None

    def __call__(self, batch: Sequence[int]) -> list[int]:
        if any(batch):
            self.batches.append(list(batch))
            self.entered.release()
            assert self.gate.wait(SOON)
        if self.killer in batch:
            raise SystemExit
        if self.lost or self.poison & set(batch):
            raise RuntimeError("bad batch")
        return [2 * item for item in batch]


class Recorder(NullObserver):
    def __init__(self) -> None:
        self.drops = 0
        self.depths: list[int] = []

    def queued(self, model: ModelRole, items: int) -> None:
        self.depths.append(items)

    def dropped(self, model: ModelRole, items: int) -> None:
        self.drops += items


@contextmanager
def batching(
    *models: Run,
    sizes: Sequence[int] = (1, 2, 4),
    max_queued: int = 100,
    group: Callable[[int], Hashable] = lambda item: None,
    observer: NullObserver | None = None,
    on_death: Callable[[BaseException], None] = lambda error: None,
    fits: Callable[[int, int], bool] = lambda item, size: True,
) -> Iterator[Batcher[int, int]]:
    batcher = Batcher("embedder", models, sizes, max_queued, [EXAMPLE], group, observer, on_death, fits=fits)
    batcher.start()
    try:
        yield batcher
    finally:
        for model in models:
            if isinstance(model, Model):
                model.gate.set()
        batcher.close()


def busy(model: Model, batcher: Batcher[int, int]) -> Future[list[int]]:
    """Hold the lane with one item, so that what comes next queues up."""
    model.gate.clear()
    future = batcher.submit([99], Ticket())
    assert model.entered.acquire(timeout=SOON)
    return future


def until_idle(batcher: Batcher[int, int], lanes: int) -> None:
    end = time.monotonic() + SOON
    while batcher._idle_lanes < lanes:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_items_of_different_calls_share_a_batch_of_an_allowed_size() -> None:
    model = Model()
    with batching(model) as batcher:
        futures = [busy(model, batcher), *(batcher.submit([n], Ticket()) for n in range(1, 8))]
        model.gate.set()
        assert [future.result(SOON) for future in futures] == [[198], *([2 * n] for n in range(1, 8))]
    assert model.batches == [[99], [1, 2, 3, 4], [5, 6], [7]]


def test_only_items_of_one_group_share_a_batch() -> None:
    model = Model()
    with batching(model, group=lambda item: item % 2) as batcher:
        busy(model, batcher)
        future = batcher.submit([1, 2, 3, 4, 5, 6], Ticket())
        model.gate.set()
        assert future.result(SOON) == [2, 4, 6, 8, 10, 12]
    assert model.batches[1:] == [[1, 3], [2, 4], [5], [6]]


def test_a_batch_has_no_more_items_than_fit() -> None:
    model, started = Model(), []

    def run(batch: Sequence[int]) -> list[int]:
        if not any(batch):
            started.append(len(batch))
        return model(batch)

    with batching(run, group=lambda item: item > 10, fits=lambda item, size: size * item <= 40) as batcher:
        futures = [busy(model, batcher), *(batcher.submit([item], Ticket()) for item in (8, 9, 8, 9, 20, 21, 20, 20))]
        model.gate.set()
        assert [future.result(SOON) for future in futures][1:] == [[16], [18], [16], [18], [40], [42], [40], [40]]
    assert started == [1, 2, 4]
    assert model.batches == [[99], [8, 9, 8, 9], [20, 21], [20, 20]]


def test_nothing_is_run_at_the_start_that_does_not_fit() -> None:
    started = []

    def run(batch: Sequence[int]) -> list[int]:
        started.append(len(batch))
        return list(batch)

    with batching(run, fits=lambda item, size: size < 3):
        assert started == [1, 2]


def test_callers_take_turns_however_many_items_each_has_waiting() -> None:
    model = Model()
    with batching(model, sizes=(1,)) as batcher:
        busy(model, batcher)
        many = batcher.submit([1, 2, 3, 4], Ticket(caller="a"))
        few = [batcher.submit([item], Ticket(caller=caller)) for item, caller in ((5, "b"), (6, "b"), (7, "c"))]
        model.gate.set()
        assert many.result(SOON) == [2, 4, 6, 8]
        assert [one.result(SOON) for one in few] == [[10], [12], [14]]
    assert model.batches[1:] == [[1], [5], [7], [2], [6], [3], [4]]


def test_a_caller_has_its_share_of_the_queue_and_others_have_the_rest() -> None:
    model = Model()
    with batching(model, max_queued=4) as batcher:
        busy(model, batcher)
        own = [batcher.submit([n], Ticket(caller="a")) for n in range(3)]
        with pytest.raises(Overloaded, match="the limit is 3"):
            batcher.submit([9], Ticket(caller="a"))
        other = batcher.submit([4], Ticket(caller="b"))
        with pytest.raises(Overloaded, match="the limit is 4"):
            batcher.submit([9], Ticket(caller="c"))
        model.gate.set()
        assert [one.result(SOON) for one in (*own, other)] == [[0], [2], [4], [8]]


def test_an_idle_lane_gets_its_share() -> None:
    models = Model(), Model()
    with batching(*models, sizes=(1, 2, 4, 8)) as batcher:
        until_idle(batcher, 2)
        for model in models:
            model.gate.clear()
        future = batcher.submit([1, 2, 3, 4, 5, 6, 7, 8], Ticket())
        for model in models:
            assert model.entered.acquire(timeout=SOON)
        for model in models:  # not before both have begun: the first would take of the other's share
            model.gate.set()
        assert future.result(SOON) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert [len(model.batches[0]) for model in models] == [4, 4]


def test_an_interactive_item_waits_for_one_bulk_batch_at_most() -> None:
    model = Model()
    with batching(model) as batcher:
        model.gate.clear()
        bulk = [batcher.submit([n], Ticket(bulk=True)) for n in range(101, 141)]
        assert model.entered.acquire(timeout=SOON)
        interactive = batcher.submit([1], Ticket())
        model.gate.set()
        assert interactive.result(SOON) == [2]
        [future.result(SOON) for future in bulk]
    assert [batch for batch in model.batches if 1 in batch] == [model.batches[1]] == [[1]]  # no bulk item beside it


def test_two_bulk_batches_never_run_in_a_row_while_an_interactive_item_waits() -> None:
    model = Model()
    with batching(model, sizes=(1,)) as batcher:
        for n in range(1, 2 * BULK_TURN):  # bulk's turn is long due
            batcher.submit([n], Ticket()).result(SOON)
        model.batches.clear()
        model.entered = threading.Semaphore(0)
        model.gate.clear()
        bulk = [batcher.submit([n], Ticket(bulk=True)) for n in (101, 102, 103)]
        assert model.entered.acquire(timeout=SOON)
        interactive = batcher.submit([1], Ticket())
        model.gate.set()
        assert interactive.result(SOON) == [2]
        [future.result(SOON) for future in bulk]
    assert model.batches[:2] == [[101], [1]]


def test_bulk_items_do_not_starve() -> None:
    model = Model()
    with batching(model, sizes=(1,)) as batcher:
        busy(model, batcher)
        bulk = batcher.submit([1000], Ticket(bulk=True))
        interactive = [batcher.submit([n], Ticket()) for n in range(1, 3 * BULK_TURN)]
        model.gate.set()
        assert bulk.result(SOON) == [2000]
        [future.result(SOON) for future in interactive]
    assert model.batches.index([1000]) <= BULK_TURN


def test_nothing_of_an_ended_call_is_kept() -> None:
    model = Model()
    with batching(model, sizes=(1,)) as batcher:
        model.gate.clear()
        ticket = Ticket()
        future = batcher.submit([1, 2, 3], ticket)
        assert model.entered.acquire(timeout=SOON)
        ticket.cancel()
        model.gate.set()
        with pytest.raises(CallEnded):
            future.result(SOON)
        assert batcher.submit([4], Ticket()).result(SOON) == [8]
        assert not batcher._running


def test_a_full_queue_refuses_interactive_items_at_once_and_says_the_limit() -> None:
    model = Model()
    with batching(model, max_queued=3) as batcher:
        busy(model, batcher)
        waiting = batcher.submit([1, 2, 3], Ticket())
        with pytest.raises(Overloaded) as refused:
            batcher.submit([4], Ticket())
        assert refused.value.metadata == {"limit": "3"}
        model.gate.set()
        assert waiting.result(SOON) == [2, 4, 6]
        # A submission larger than the bound is served.
        assert batcher.submit(range(1, 10), Ticket()).result(SOON) == [2 * n for n in range(1, 10)]


def test_bulk_items_wait_for_room_until_their_call_ends_and_leave_interactive_ones_theirs() -> None:
    model, ended = Model(), Ticket(bulk=True)
    with batching(model, max_queued=1) as batcher, ThreadPoolExecutor(2) as pool:
        busy(model, batcher)
        batcher.submit([1], Ticket(bulk=True))
        waiting, ending = (pool.submit(batcher.submit, [2], ticket) for ticket in (Ticket(bulk=True), ended))
        time.sleep(0.05)
        assert not waiting.done()
        ended.cancel()
        with pytest.raises(CallEnded):
            ending.result(SOON)
        interactive = batcher.submit([3], Ticket())
        model.gate.set()
        assert interactive.result(SOON) == [6]
        assert waiting.result(SOON).result(SOON) == [4]


def test_cancelled_and_expired_items_never_reach_the_model() -> None:
    model, recorder, now = Model(), Recorder(), [0.0]
    with batching(model, observer=recorder) as batcher:
        busy(model, batcher)
        cancelled, expiring = Ticket(), Ticket(deadline=1.0, clock=lambda: now[0])
        futures = [batcher.submit([n], ticket) for n, ticket in ((1, cancelled), (2, expiring), (3, Ticket()))]
        cancelled.cancel()
        now[0] = 1.0
        model.gate.set()
        assert futures[2].result(SOON) == [6]
        for future in futures[:2]:
            with pytest.raises(CallEnded):
                future.result(SOON)
        with pytest.raises(CallEnded):
            batcher.submit([4], expiring)
    assert model.batches == [[99], [3]]
    assert recorder.drops == 2
    assert recorder.depths[-1] == 0


def test_the_death_of_one_lane_fails_the_waiters_of_all() -> None:
    killed, held = Model(), Model()
    killed.killer = 13
    deaths: list[str] = []
    with batching(killed, held, on_death=lambda error: deaths.append(type(error).__name__)) as batcher:
        until_idle(batcher, 2)
        killed.gate.clear()
        held.gate.clear()
        futures = [batcher.submit([13], Ticket()) for _ in range(6)]
        for model in (killed, held):
            assert model.entered.acquire(timeout=SOON)
        killed.gate.set()  # `held` still hangs in its batch
        for future in futures:
            with pytest.raises(DeviceLost):
                future.result(SOON)
    assert deaths == ["SystemExit"]


def test_an_example_that_fails_once_kills_the_lane() -> None:
    """A device that comes and goes is a lost one: after a first failure nothing that it gives can be trusted."""
    model = Model()
    probes = iter([True])

    def flaky(batch: Sequence[int]) -> Sequence[int]:
        if list(batch) == [EXAMPLE] and model.lost and next(probes, False):
            raise RuntimeError("gone")
        return model(batch) if any(batch) else batch

    with batching(flaky) as batcher:
        busy(model, batcher)
        futures = [batcher.submit([n], Ticket()) for n in (1, 2, 3, 4)]
        model.poison, model.lost = {1, 2, 3, 4, 99}, True
        model.gate.set()
        for future in futures:
            with pytest.raises(DeviceLost) as lost:
                future.result(SOON)
            assert str(lost.value.__cause__) == "gone"


def test_a_batch_that_fails_only_as_a_batch_is_answered_and_told() -> None:
    model, told = Model(), []

    class Told(NullObserver):
        def failed(self, model: ModelRole, items: int) -> None:
            told.append(items)

    def small(batch: Sequence[int]) -> Sequence[int]:
        if len(batch) > 1 and any(batch):
            raise MemoryError
        return model(batch)

    with batching(small, observer=Told()) as batcher:
        busy(model, batcher)
        futures = [batcher.submit([n], Ticket()) for n in (1, 2, 3, 4)]
        model.gate.set()
        assert [future.result(SOON) for future in futures] == [[2], [4], [6], [8]]
    assert told == [4]


def test_a_lane_that_dies_while_the_batcher_closes_leaves_nobody_waiting() -> None:
    model = Model()
    model.killer = 99
    with batching(model) as batcher, ThreadPoolExecutor(1) as pool:
        running = busy(model, batcher)
        closing = pool.submit(batcher.close)
        time.sleep(0.05)
        model.gate.set()
        with pytest.raises(DeviceLost):
            running.result(SOON)
        closing.result(SOON)


def test_an_observer_that_raises_ends_in_a_lost_device_not_in_a_hang() -> None:
    class Broken(NullObserver):
        def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
            raise ZeroDivisionError

    with batching(Model(), observer=Broken()) as batcher, pytest.raises(DeviceLost):
        batcher.submit([1], Ticket()).result(SOON)


def test_closing_runs_what_waits_and_refuses_what_comes() -> None:
    model = Model()
    with batching(model) as batcher, ThreadPoolExecutor(1) as pool:
        busy(model, batcher)
        waiting = batcher.submit([1, 2, 3], Ticket())
        closing = pool.submit(batcher.close)
        while not batcher._closing:
            time.sleep(0.001)
        with pytest.raises(ShuttingDown):
            batcher.submit([4], Ticket())
        model.gate.set()
        assert waiting.result(SOON) == [2, 4, 6]
        closing.result(SOON)


def test_every_lane_runs_every_allowed_size_before_the_start_returns() -> None:
    seen: list[int] = []

    def model(batch: Sequence[int]) -> Sequence[int]:
        seen.append(len(batch))
        return batch

    with batching(model, model, sizes=(4, 1, 2)):
        assert sorted(seen) == [1, 1, 2, 2, 4, 4]


def test_a_start_that_is_interrupted_leaves_no_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(future: Future[None]) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    monkeypatch.setattr(Future, "exception", interrupted)
    with pytest.raises(KeyboardInterrupt), batching(lambda batch: batch):
        pass
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("failure", [RuntimeError("the model takes one at a time"), SystemExit()])
def test_sizes_that_cannot_be_or_run_stop_the_start(failure: BaseException) -> None:
    def model(batch: Sequence[int]) -> Sequence[int]:
        if len(batch) > 1:
            raise failure
        return batch

    with pytest.raises(DeviceUnavailable, match="every batch size of 1, 2, 4"), batching(model):
        pass
    for sizes in ((), (2, 4), (0, 1), (1, -1)):
        with pytest.raises(ConfigInvalid, match=r"batching\.embedder_sizes"), batching(Model(), sizes=sizes):
            pass


def test_another_number_of_results_is_a_failure_and_not_a_shift() -> None:
    with batching(lambda batch: [*batch, 0] if 7 in batch else batch) as batcher:
        with pytest.raises(ValueError, match="2 results for 1 items"):
            batcher.submit([7], Ticket()).result(SOON)
        assert batcher.submit([8], Ticket()).result(SOON) == [8]


@settings(max_examples=examples(40))
@given(
    calls=st.lists(st.tuples(st.lists(st.integers(1, 50), max_size=9), st.booleans(), st.booleans()), max_size=30),
    lanes=st.integers(1, 3),
    poison=st.sets(st.integers(1, 50), max_size=3),
)
def test_every_waiter_gets_its_own_answer_or_an_error(
    calls: list[tuple[list[int], bool, bool]], lanes: int, poison: set[int]
) -> None:
    models = [Model() for _ in range(lanes)]
    for model in models:
        model.poison = poison
    with batching(*models, sizes=(1, 2, 4, 8), group=lambda item: item % 3) as batcher:
        ended = []
        for items, bulk, cancel in calls:
            ticket = Ticket(bulk=bulk)
            ended.append((items, cancel, batcher.submit(items, ticket)))
            if cancel:
                ticket.cancel()
        for items, cancel, future in ended:
            try:
                assert future.result(SOON) == [2 * item for item in items]
            except CallEnded:
                assert cancel
            except RuntimeError:
                assert poison & set(items)
            else:
                assert not poison & set(items)
    assert all(len(batch) in (1, 2, 4, 8) for model in models for batch in model.batches)
