"""Items of one stream that share commits of the audit, on a disk whose power fails."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_core.storage import log_copier
from fr_server.app import App
from fr_server.authz.access_audit import Journal
from fr_server.authz.authenticate import Credentials
from fr_server.authz.record import Ended
from fr_server.rpc.interceptors.guard import Guard
from fr_server.telemetry.trust import Trust
from fr_trust.access.budget import UNLIMITED
from fr_trust.access.budgets import Budgets
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import EVERYTHING, NOTHING, Role
from fr_trust.access.store import AccessStore
from support.access import KEY, Clocks, open_store
from support.counts import count
from support.power_cut import Image, PowerCut
from support.servers import photo, running

CUTS = count("AUDIT_POWER_CUTS")
AT_ONCE = 16
PHOTOS = [photo(*range(1, faces + 1)) for faces in (1, 2, 3, 4)]


class Counting(Journal):
    """Counts the records of each commit."""

    def __init__(self, store: AccessStore) -> None:
        super().__init__(store)
        self.groups: list[int] = []
        self.recording: list[asyncio.Future[None]] = []

    async def record(self, *ended: Ended) -> None:
        self.groups.append(len(ended))
        await super().record(*ended)

    async def settled(self) -> None:
        await asyncio.gather(*self.recording)


class Early(Counting):
    """Lets the answers go before their records are durable."""

    async def record(self, *ended: Ended) -> None:
        self.recording.append(asyncio.ensure_future(super().record(*ended)))


@dataclass(slots=True)
class Cuts:
    """The images that power cuts left, each with the number of answers that the client had by then."""

    groups: list[int]
    answered: list[int] = field(default_factory=list)  # the numbers of faces, in the order of the answers
    taken: list[tuple[Image, int]] = field(default_factory=list)


def cut_many(folder: Path, recorder: type[Counting], monkeypatch: pytest.MonkeyPatch) -> Cuts:
    """Embed photos over one stream until the power of the disk with the audit has failed enough."""
    monkeypatch.setattr(log_copier, "_CHECKPOINT_FRAMES", 40)  # as frequent as in days
    clocks, rng, enough = Clocks(), random.Random(1), threading.Event()
    with open_store(folder / "access", clocks) as store:
        made = store.create(NewKey("", frozenset({Role.OPERATOR}), EVERYTHING, NOTHING, UNLIMITED, None))
    cuts, unanswered = Cuts([]), threading.Semaphore(AT_ONCE)

    def take(image: Image) -> None:
        # A thread that comes here holds the disk: nothing that is begun from now on can be in the image.
        if len(cuts.taken) < CUTS:
            cuts.taken.append((image, len(cuts.answered)))
        else:
            enough.set()

    def asked() -> Iterator[recognition_pb2.StreamEmbedRequest]:
        while not enough.is_set():
            unanswered.acquire()
            yield recognition_pb2.StreamEmbedRequest(image=common_pb2.Image(data=rng.choice(PHOTOS)))

    disk = PowerCut(random.Random(2), 60, take, folder / "access")
    with ExitStack() as stack:
        opened = AccessStore.open(
            folder / "access", KEY, clocks.clock_ms, vfs=disk.vfs_name, monotonic_s=clocks.monotonic_s
        )
        keys = stack.enter_context(opened)
        journal = recorder(keys)
        cuts.groups = journal.groups
        budgets = Budgets(clocks.monotonic_s, clocks.clock_ms)
        guard = Guard(Credentials(keys, None, lambda peer: None), budgets, journal, Trust())
        stack.enter_context(patch("support.servers.App", partial(App, guard=guard)))
        server = stack.enter_context(running(folder / "data"))
        stub = recognition_pb2_grpc.RecognitionServiceStub(server.channel)
        for answer in stub.StreamEmbed(asked(), metadata=(("authorization", f"Bearer {made.token.text}"),)):
            assert answer.HasField("embedded"), answer.refusal
            cuts.answered.append(len(answer.embedded.faces))
            unanswered.release()
        asyncio.run_coroutine_threadsafe(journal.settled(), server.loop).result(30)
    return cuts


def recorded(image: Image, folder: Path) -> list[int]:
    image.write(folder)
    with open_store(folder) as store, store.auditing() as audit:
        kept = [one.record for one in audit.every() if one.record.action == "recognition.stream_embed"]
        return [one.counts["faces"] for one in kept]


def test_each_item_is_durable_before_its_answer_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = cut_many(tmp_path, Counting, monkeypatch)
    assert max(cuts.groups) > 1
    assert sum(cuts.groups) == len(cuts.answered)
    for number, (image, answered) in enumerate(cuts.taken):
        found = recorded(image, tmp_path / f"cut-{number}")
        assert answered <= len(found)
        assert found == cuts.answered[: len(found)]
    records, commits = sum(cuts.groups), len(cuts.groups)
    print(f"power cuts: {len(cuts.taken)}, records: {records}, their commits: {commits}, lost: 0")  # noqa: T201


@pytest.mark.nightly
def test_control_an_answer_that_does_not_wait_for_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = cut_many(tmp_path, Early, monkeypatch)
    images = enumerate(cuts.taken)
    assert any(answered > len(recorded(image, tmp_path / f"cut-{number}")) for number, (image, answered) in images)
