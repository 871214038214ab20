"""The link between a front-end and the engine's process: memory, waiting, refusals; all within this process."""

import math
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fr_core.detect.protocol import TileFaces
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import CallEnded, GalleryReplaced, InvalidField
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.values import GalleryUse
from fr_core.packs.manifest import load_pack
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.ticket import Ticket
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.verify import Verified
from fr_core.storage.terms import Answering, Term, answering
from fr_core.types import F32, U8, AlignedFace, Embedding
from fr_server.app import Part
from fr_server.config import config_from
from fr_server.pools import StorageThreads
from fr_server.storage.audits import LocalAudit, audit_of
from fr_server.storage.calls import GalleryCalls
from fr_server.workers.link_client import Asker, EngineDefect, RemoteRawEmbedder, RemoteTileDetector, remote_galleries
from fr_server.workers.link_server import Answerer
from fr_server.workers.messages import AUDIT_METHODS, GALLERY_METHODS, ArenaPlan, Welcome, Wire
from fr_server.workers.process import start_frontend
from fr_server.workers.shared_memory import Arena, Slots, new_memory
from fr_trust.audit.export import verify_export
from fr_trust.audit.search import Filter
from support.faults import until

SHAPE = (8, 8)
TILE_BYTES = 8 * 8 * 3
# Room for two tiles, or for one face of 112 x 112.
PLAN = ArenaPlan(slots=2, slot_bytes=112 * 112 * 3)


def tile(value: int) -> U8:
    return np.full((*SHAPE, 3), value, np.uint8)


def seen(pixels: U8) -> TileFaces:
    """As many faces as the first pixel says, whose scores tell the pixel."""
    count = int(pixels[0, 0, 0])
    rows = np.arange(count * 15, dtype=np.float32).reshape(count, 15)
    return TileFaces(rows[:, :4], rows[:, 4:14].reshape(-1, 5, 2), np.full(count, count, np.float32))


@dataclass
class Models:
    """A detector that waits until it is let go, and one that embeds by the mean."""

    gate: threading.Event = field(default_factory=threading.Event)
    batches: int = 0
    tiles: int = 0

    def detect(self, tiles: Sequence[U8]) -> list[TileFaces]:
        self.batches += 1
        assert self.gate.wait(10)
        self.tiles += len(tiles)
        if any(int(one[0, 0, 0]) == 13 for one in tiles):
            raise KeyError("Jane Roe")
        return [seen(one) for one in tiles]

    def embed(self, faces: Sequence[AlignedFace]) -> list[F32]:
        return [np.full(4, face.pixels.mean(), np.float32) for face in faces]


@dataclass
class Link:
    asker: Asker
    answerer: Answerer
    models: Models
    far_end: Wire
    gone: threading.Event


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    models, gone = Models(), threading.Event()
    models.gate.set()
    detector: Batcher[U8, TileFaces] = Batcher("detector", [models.detect], (1, 2), 4, [tile(0)])
    face = AlignedFace(np.zeros((112, 112, 3), np.uint8), np.eye(2, 3, dtype=np.float32))
    embedder: Batcher[AlignedFace, F32] = Batcher("embedder", [models.embed], (1, 2), 4, [face])
    detector.start()
    embedder.start()
    ours, theirs = multiprocessing.Pipe()
    memory = new_memory(PLAN)
    storage = StorageThreads()
    with Galleries.open(tmp_path) as galleries, closing(storage):
        wire, far_end = Wire(ours), Wire(theirs)
        answerer = Answerer(
            wire,
            Arena(memory, PLAN),
            {"detector": detector, "embedder": embedder},
            galleries,
            storage,
            lambda word: gone.set() if word is None else None,
        )
        asker = Asker(far_end, memory, PLAN)
        os.close(memory)
        answerer.start()

        def hear() -> None:
            with suppress(EOFError):
                while True:
                    asker.answered(far_end.receive())

        hearing = threading.Thread(target=hear)
        hearing.start()
        try:
            yield Link(asker, answerer, models, far_end, gone)
        finally:
            models.gate.set()
            hang_up(far_end)
            hearing.join()
            answerer.join()
            far_end.close()
            wire.close()
            detector.close()
            embedder.close()


def hang_up(wire: Wire) -> None:
    """End a link both ways, as the kernel does when a process ends."""
    with socket.socket(fileno=os.dup(wire._connection.fileno())) as end, suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def test_both_ends_of_an_arena_see_the_same_pixels_and_slots_do_not_touch() -> None:
    memory = new_memory(PLAN)
    a, b = Arena(memory, PLAN), Arena(memory, PLAN)
    os.close(memory)
    for slot in range(4):
        for view in a.views(slot, [SHAPE, SHAPE]):
            view[:] = slot + 1
    for slot in range(4):
        assert {int(value) for view in b.views(slot, [SHAPE, SHAPE]) for value in np.unique(view)} == {slot + 1}
    for slot, shapes in ((4, [SHAPE]), (-1, [SHAPE]), (0, [(112, 113)])):
        with pytest.raises(ValueError):
            a.views(slot, shapes)


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_machine_without_memory_for_a_front_end_has_nothing_left_open(tmp_path: Path) -> None:
    no_memory, device = ArenaPlan(slots=-1, slot_bytes=1), ActiveDevice("cpu", "cpu", "null")
    welcome = Welcome(config_from({}), load_pack("buffalo_s"), device, Part(1, 1, 1), no_memory, False)
    with Galleries.open(tmp_path) as galleries, closing(StorageThreads()) as storage:
        before = open_descriptors()
        with pytest.raises(OSError):
            start_frontend(welcome, {}, galleries, storage, lambda word: pytest.fail("a front-end spoke"))
        assert open_descriptors() == before


def test_each_class_has_slots_of_its_own_and_waits_for_one_as_long_as_it_is_wanted() -> None:
    slots, ticket, bulk = Slots(PLAN), Ticket(), Ticket(bulk=True)
    taken = {slots.take(ticket), slots.take(ticket)}
    assert len({*taken, slots.take(bulk), slots.take(bulk)}) == 4
    with pytest.raises(CallEnded):
        slots.take(Ticket(deadline=time.monotonic() + 0.01))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slots.take, ticket)
        time.sleep(0.02)
        assert not waiting.done()
        slots.give_back(taken.pop())
        assert waiting.result(5) not in taken


def test_models_answer_through_the_link_in_order_whatever_fits_a_slot(link: Link) -> None:
    detector = RemoteTileDetector(link.asker, (SHAPE,))
    many = PLAN.slot_bytes // TILE_BYTES + 3
    found = detector.detect_tiles([tile(i % 5) for i in range(many)])
    assert [len(faces) for faces in found] == [i % 5 for i in range(many)]
    embedder = RemoteRawEmbedder(link.asker, 4)
    faces = [AlignedFace(np.full((112, 112, 3), i, np.uint8), np.eye(2, 3, dtype=np.float32)) for i in range(7)]
    assert embedder.vectors(faces)[:, 0].tolist() == list(range(7))
    assert detector.detect_tiles([]) == []
    assert embedder.vectors([]).shape == (0, 4)
    assert link.asker.slots.free(bulk=False) == PLAN.slots


def test_photo_whose_first_parts_fill_the_queue_is_served_all_the_same(link: Link) -> None:
    begun = link.models.batches
    link.models.gate.clear()
    many = PLAN.slot_bytes // TILE_BYTES + 3
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(link.asker.pictures, "detector", [tile(1)] * many, Ticket())
        until(lambda: link.models.batches == begun + 1)
        time.sleep(0.1)  # in which the second part is refused
        assert link.answerer.waiting == 1
        link.models.gate.set()
        assert sum(len(part.unpacked()) for part in asked.result(5)) == many
    assert link.asker.slots.free(bulk=False) == PLAN.slots


def test_defect_of_a_model_is_told_without_its_message(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EngineDefect) as caught:
        link.asker.pictures("detector", [tile(13)], Ticket())
    assert "KeyError" in caplog.text
    assert "Jane" not in caplog.text + repr(caught.value)
    (answer,) = link.asker.pictures("detector", [tile(1)], Ticket())
    assert len(answer.unpacked()[0]) == 1


@pytest.mark.parametrize("bulk", [False, True])
def test_slot_of_a_cancelled_call_is_free_when_the_engine_has_let_go_of_it(link: Link, bulk: bool) -> None:
    link.models.gate.clear()
    begun = link.models.batches, link.models.tiles
    ticket, other = Ticket(bulk=bulk), Ticket(bulk=bulk)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(link.asker.pictures, "detector", [tile(1)], other)
        until(lambda: link.models.batches == begun[0] + 1)
        waiting = pool.submit(link.asker.pictures, "detector", [tile(2)], ticket)
        until(lambda: link.answerer.waiting == 2)
        ticket.cancel()
        with pytest.raises(CallEnded):
            waiting.result(5)
        # The engine may still read these pixels.
        assert link.asker.slots.free(bulk) == 0
        until(lambda: not all(ticket.wanted for ticket in link.answerer._tickets.values()))
        link.models.gate.set()
        running.result(5)
    until(lambda: link.asker.slots.free(bulk) == PLAN.slots)
    assert link.answerer.waiting == 0
    assert link.models.tiles == begun[1] + 1, "the cancelled tile was run"


def test_bulk_items_that_wait_for_room_hold_up_nobody_else(link: Link) -> None:
    link.models.gate.clear()
    many, few = [tile(1)] * 6, [tile(1)]
    with ThreadPoolExecutor(4) as pool:
        bulk = [pool.submit(link.asker.pictures, "detector", many, Ticket(bulk=True)) for _ in range(3)]
        until(lambda: link.answerer.waiting == 2)
        people = pool.submit(link.asker.pictures, "detector", few, Ticket())
        until(lambda: link.answerer.waiting == 3)
        link.models.gate.set()
        assert len(people.result(5)) == 1
        for one in bulk:
            one.result(5)


def test_galleries_answer_through_the_link_and_nothing_else_does(link: Link) -> None:
    galleries = remote_galleries(link.asker)
    assert galleries.list(10, "").items == ()
    for methods, own in ((GALLERY_METHODS, Galleries), (AUDIT_METHODS, LocalAudit)):
        assert all(callable(getattr(one, method)) for method in methods for one in (galleries, own))
    for method in ("close", "auditing"):
        with pytest.raises(EngineDefect):
            link.asker.gallery(method)
    assert galleries.list(10, "").items == ()


def create(galleries: GalleryCalls, gallery_id: str, use: GalleryUse = GalleryUse.TEST) -> None:
    galleries.create(gallery_id, "", NULL_MODEL, 64, None, None, False, use)


def test_a_gallery_that_was_looked_at_through_the_link_is_not_taken_for_another(link: Link) -> None:
    galleries = remote_galleries(link.asker)
    create(galleries, "twice")
    old = galleries.get("twice")
    assert galleries.subjects(old, 10, "").items == ()
    galleries.delete(old)
    create(galleries, "twice", GalleryUse.OPERATIONAL)
    with pytest.raises(GalleryReplaced):
        galleries.subjects(old, 10, "")


def test_the_term_of_a_search_comes_through_the_link_with_its_answer(link: Link) -> None:
    galleries, made = remote_galleries(link.asker), Answering()
    create(galleries, "termed")
    with answering(made):
        galleries.get("termed")
        assert made.term is None
        galleries.search(
            "termed", Embedding(np.eye(64, dtype=np.float32)[0], NULL_MODEL), 1, -1.0, False, ScoreFusion.MAX, None
        )
    assert made.term == galleries.require_term() == Term(0, math.inf)


def test_what_is_changed_through_the_link_is_put_down_to_who_asked_for_it(link: Link) -> None:
    galleries = remote_galleries(link.asker)
    callers = [Attribution(f"key:k{n}", ("operator",), f"r-{n}", "investigation", f"Case {n}") for n in range(12)]

    def create_as(number: int) -> None:
        with attributed(callers[number]):
            create(galleries, f"g{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_as, range(12)))
    galleries.delete("g3")
    found = [kept.record for kept in galleries.audit_search(Filter(), 0, 100).records]
    assert {(record.actor, record.gallery) for record in found[:12]} == {(f"key:k{n}", f"g{n}") for n in range(12)}
    (told,) = (record for record in found[:12] if record.gallery == "g7")
    assert (told.roles, told.request_id, told.purpose) == (("operator",), "r-7", "investigation")
    assert (told.case,) == galleries.audit_case("Case 7")
    assert dict(told.detail)["use"] == "test"
    assert (found[12].action, found[12].actor) == ("gallery.delete", "system")  # nobody's call


def test_the_audit_is_read_through_the_link(link: Link) -> None:
    galleries = remote_galleries(link.asker)
    assert audit_of(galleries) is galleries
    create(galleries, "g")
    checkpoint, pem = galleries.audit_checkpoint(), galleries.audit_public_key()
    assert galleries.audit_verify([checkpoint]) == Verified(checkpoint.chain_id, 1, 1, 1)
    lines = galleries.audit_export(0, False).data.splitlines()
    assert verify_export(lines, read_public_key(pem), [checkpoint]) == Verified(checkpoint.chain_id, 1, 1, 2)
    with pytest.raises(InvalidField):
        galleries.audit_export(7, False)
    assert galleries.audit_subject("g", "Ann") != galleries.audit_subject("h", "Ann")
