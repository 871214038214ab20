"""Does each piece of work in Milvus: compares a collection with the truth, writes, deletes, compacts, watches.

Searches and changes run beside `prepare`, which calls Milvus. Milvus may fail at any step: then nothing counts as
done, and the work begins again later. Every step may be done twice.
"""

import logging

import numpy as np
import numpy.typing as npt

from fr_core.errors import IndexUnavailable
from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.milvus_link import Collection
from fr_core.gallery.index.milvus_loss import told_loss
from fr_core.gallery.index.milvus_settings import FLAT
from fr_core.gallery.index.milvus_state import MilvusState
from fr_core.gallery.index.protocol import Upkeep
from fr_core.types import I64

_log = logging.getLogger(__name__)

# Vectors that are read from the truth, turned and written at a time: 8 MiB at D = 512.
ROWS = 4096
# Entities whose vectors are compared with the truth at each start.
_SAMPLE = 256
# A piece of a comparison takes so long, so that a start can be stopped and other galleries have their turn.
AT_ONCE_S = 30.0
# Milvus returns the float32 numbers that it was given; another LAPACK may round the turned ones otherwise.
_SAME = 1e-6


def next_work(state: MilvusState) -> Upkeep | None:
    """Return the work that is due now, or None, where no other server uses the collection."""
    now = state.clock()
    if not state.filled or now < state.again_at:
        return None
    if not state.complete:
        return Comparing(state)
    if state.doomed or state.fresh.size:
        return Writing(state)
    if state.job is not None or (state.uncompacted and now >= state.next_compaction):
        return Compacting(state)
    return Watching(state) if state.opened and now >= state.next_watch else None


class Work:
    """Work that has no effect if Milvus fails."""

    def __init__(self, state: MilvusState) -> None:
        self._state = state
        self._done = False

    def prepare(self) -> None:
        """Call Milvus; see `Upkeep.prepare`."""
        try:
            self._speak()
            self._done = True
        except IndexUnavailable as error:
            self._state.note_failure(error)

    def finish(self) -> None:
        """Take the effect; see `Upkeep.finish`."""
        if self._done:
            self._state.note_success()
            self._take()
        self._state.trim()

    def _speak(self) -> None:
        raise NotImplementedError

    def _take(self) -> None:
        raise NotImplementedError


class Comparing(Work):
    """Compares the collection with the truth: adds what is missing, deletes what is extra, or makes it anew."""

    def __init__(self, state: MilvusState) -> None:
        super().__init__(state)
        rows = np.flatnonzero(state.live.live)
        self._live: I64 = state.live.ids[rows]
        self._tags = state.tags_of(rows)
        # Vectors that are added from now on wait in memory, and removed ones are deleted afterwards.
        state.reach, state.doomed, state.fresh = state.last_id, [], VectorRows(state.dimension)
        self._wipe = state.wipe
        self._whole, self._compacts, self._surplus = False, False, 0

    def _speak(self) -> None:
        state, collection = self._state, self._state.collection
        new = collection.open(state.turn.size, self._wipe)
        held, tags = (self._live[:0], self._tags[:0]) if new else collection.held(self._live)
        same = self._live[np.isin(self._live, held[known(self._live, self._tags, held, tags)], assume_unique=True)]
        if not is_sample_sound(state, collection, same):
            _log.warning("a collection in Milvus holds other vectors than the gallery, and is made anew")
            new = collection.open(state.turn.size, wipe=True)
            held, same = held[:0], same[:0]
        extra = np.setdiff1d(held, self._live, assume_unique=True)
        collection.delete(extra)
        # A process before may have ended between a deletion and its compaction.
        self._compacts = bool(len(extra)) or not (new or state.opened)
        missing = np.flatnonzero(~np.isin(self._live, same, assume_unique=True))
        until = state.clock() + AT_ONCE_S
        for start in range(0, len(missing), ROWS):
            rows = missing[start : start + ROWS]
            ids, vectors = state.truth(self._live[rows])  # those that were removed meanwhile are missing there, too
            tags_of = self._tags[rows][np.isin(self._live[rows], ids, assume_unique=True)]
            collection.write(ids, tags_of, state.turn.turned(vectors), new)
            left = len(missing) - start - len(rows)
            if left and state.clock() > until:
                _log.info("a gallery of %d templates: %d are still to be written to Milvus", len(self._live), left)
                return
        self._whole = True
        self._surplus = collection.count() - len(self._live)
        told = "a gallery of %d templates in Milvus: %d were missing or others, %d were extra"
        _log.info(told, len(self._live), len(missing), len(extra))
        if state.settings.kind != FLAT:
            told_loss(state, collection, self._live)

    def _take(self) -> None:
        state = self._state
        state.wipe = False
        if self._compacts:
            state.uncompacted = True
        # There is more to write, or more came meanwhile than memory has room for.
        if not self._whole or state.reach < 0 <= state.last_id:
            return
        state.complete, state.opened, state.surplus = True, True, self._surplus


def is_sample_sound(state: MilvusState, collection: Collection, ids: I64) -> bool:
    """Return whether some of the vectors that a collection holds under ids i64[n] are those of the truth, turned."""
    some = np.sort(np.random.default_rng().choice(ids, min(_SAMPLE, len(ids)), replace=False))
    if not len(some):
        return True
    found, vectors = state.truth(some)
    held = collection.vectors(found)
    turned = state.turn.turned(vectors)
    return all(
        number in held and np.abs(held[number] - vector).max() <= _SAME
        for number, vector in zip(found.tolist(), turned, strict=True)
    )


def known(live: I64, tags: I64, held: I64, held_tags: I64) -> npt.NDArray[np.bool_]:
    """Return bool[n]: which of the ids that Milvus holds, i64[n], are live and have the tag that they should."""
    if not len(live):
        return np.zeros(len(held), dtype=bool)
    rows = np.minimum(np.searchsorted(live, held), len(live) - 1)
    known: npt.NDArray[np.bool_] = (live[rows] == held) & (tags[rows] == held_tags)
    return known


class Writing(Work):
    """Gives Milvus the newest vectors, and deletes what was removed."""

    def __init__(self, state: MilvusState) -> None:
        super().__init__(state)
        fresh = state.fresh
        self._rows = np.flatnonzero(fresh.live)
        self._ids, self._vectors = fresh.ids[self._rows], fresh.vectors[self._rows]
        self._upto = int(fresh.ids[-1]) if len(fresh) else state.reach
        self._length = len(fresh)
        self._tags = state.tags_of(state.live.rows_of(self._ids))
        self._doomed = np.unique(np.array(state.doomed, dtype=np.int64))

    def _speak(self) -> None:
        state, collection = self._state, self._state.collection
        # A gallery that is new has nothing there, whatever a collection of its name holds.
        new = not state.opened and collection.open(state.turn.size, wipe=True)
        collection.delete(self._doomed)
        for start in range(0, len(self._ids), ROWS):
            some = slice(start, start + ROWS)
            turned = state.turn.turned(self._vectors[some])
            collection.write(self._ids[some], self._tags[some], turned, new)

    def _take(self) -> None:
        state = self._state
        if not state.complete:  # a search has found a fault meanwhile: everything is compared
            return
        state.opened = True
        removed = self._ids[~state.fresh.live[self._rows]].tolist()
        rest = VectorRows(state.dimension)
        came = self._length + np.flatnonzero(state.fresh.live[self._length :])
        rest.append(state.fresh.ids[came], state.fresh.vectors[came])
        state.fresh, state.reach = rest, self._upto
        done = set(self._doomed.tolist())
        state.doomed = [number for number in state.doomed if number not in done] + removed
        if done:
            state.uncompacted = True


class Compacting(Work):
    """Asks Milvus to rewrite the segments with deleted entities, then asks whether it is done."""

    def _speak(self) -> None:
        state = self._state
        self._job: int | None = state.job
        if self._job is None:
            self._job = state.collection.compact()
        elif state.collection.is_compacted(self._job):
            self._job = None

    def _take(self) -> None:
        state = self._state
        if self._job is None:
            state.next_compaction = state.clock() + state.settings.compact_every_s
            _log.info("Milvus has compacted the collection of a gallery after deletions")
        elif state.job is None:  # what is deleted from now on needs another one
            state.uncompacted = False
        state.job = self._job
        state.again_at = state.clock() + 1.0  # it takes seconds


class Watching(Work):
    """Compares Milvus' count with the truth: a server that was killed may have lost what it acknowledged."""

    def __init__(self, state: MilvusState) -> None:
        super().__init__(state)
        self._expected = state.live.size + state.surplus
        self._counted = -1

    def _speak(self) -> None:
        self._counted = self._state.collection.count()

    def _take(self) -> None:
        # Deletions and writes that came meanwhile are still to be done in Milvus.
        if self._counted != self._expected:
            _log.warning("Milvus does not hold as many vectors as it was given: they are compared")
            self._state.complete = False
