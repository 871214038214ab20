"""Keeps the memories of all galleries, and copies to them what this process has committed.

Where several servers share a database, the memories also follow what others have committed, see `following`. Both take
`changing` meanwhile. A commit is copied directly where the memory is at the version before it; else the follower copies
it together with the changes of others.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fr_core.errors import InternalError, ReplicaBehind, message
from fr_core.gallery.effects import AddedVector, Effect, of_each_gallery
from fr_core.gallery.index.protocol import IndexPeers, RemoteIndexes, RemoteState
from fr_core.gallery.index.register import index_maker
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.storage.terms import Term

_log = logging.getLogger(__name__)

# The thread that writes waits for the follower for so long, before it leaves a commit to it.
_FOLLOWING_S = 0.05
_ALONE = Term(0, math.inf)  # of a process whose memories no other one changes
# A server that begins waits for so long until remote indexes have been compared: longer than a dead server keeps the
# lease of the one that compares them.
_SETTLE_S = 45.0


@dataclass(frozen=True, slots=True)
class Applied:
    """The rows that a commit added to the log of changes; both 0 where there is no log."""

    after: int  # the number of the last row before them
    until: int  # the number of the last of them


class Memories:
    """The memory of every gallery. `index`: one of `INDEX_NAMES`, unless all indexes are `remote`.

    Attributes:
        seq: every change up to this number of the log of changes is in the memories.
        hurry: has the follower come soon, where there is one.
        longest_s: how long a search waits for the memory; None = as long as it takes.
        require_term: returns the time in which this process may answer searches; raises `ReplicaBehind` where another
            server may take it for dead.
    """

    def __init__(self, index: str, remote: RemoteIndexes | None = None) -> None:
        self.seq = 0
        self.hurry: Callable[[], None] = lambda: None
        self.longest_s: float | None = None
        self.require_term: Callable[[], Term] = lambda: _ALONE
        self._new_index = index_maker(index)
        self._remote = remote
        self._galleries: dict[int, GalleryMemory] = {}
        self._without: set[int] = set()  # galleries that no index could be made for
        self._filled = False
        self._changing = threading.Lock()
        self._changed = threading.Condition()
        self._changes = 0
        self._abandoned = False

    @property
    def remote_state(self) -> RemoteState | None:
        """Return the state of the indexes on a server of their own, if there is one."""
        return None if self._remote is None else self._remote.state

    @property
    def doubted(self) -> int:
        """Return the greatest `VectorIndex.doubted`: all galleries share the GPUs."""
        return max((memory.index.doubted for memory in self), default=0)

    def create(self, gallery_no: int, embedding_size: int, version: int) -> GalleryMemory:
        """Make the empty memory of a gallery."""
        memory = self.unlisted(gallery_no, embedding_size, version)
        self._list(gallery_no, memory)
        return memory

    def unlisted(self, gallery_no: int, embedding_size: int, version: int) -> GalleryMemory:
        """Make an empty memory of a gallery, which no search finds until it is `put`."""
        remote = self._remote
        index = self._new_index(embedding_size) if remote is None else remote.new(gallery_no, embedding_size)
        return GalleryMemory(index, version)

    def put(self, gallery_no: int, memory: GalleryMemory) -> None:
        """List the memory of a gallery that had none."""
        self._list(gallery_no, memory)
        self._tell()

    def _list(self, gallery_no: int, memory: GalleryMemory) -> None:
        self._galleries[gallery_no] = memory
        if self._remote is not None:
            self._remote.listed(gallery_no)

    def share(self, peers: IndexPeers) -> None:
        """Have other servers use the same remote indexes, if there are any; comes before `create`."""
        if self._remote is not None:
            self._remote.share(peers)

    def drop(self, gallery_no: int) -> None:
        """Forget a gallery as soon as no search uses it."""
        self._without.discard(gallery_no)
        memory = self._galleries.pop(gallery_no, None)
        if memory is not None:
            memory.retire()
        if self._remote is not None:
            self._remote.drop(gallery_no)

    def __iter__(self) -> Iterator[GalleryMemory]:
        return iter(tuple(self._galleries.values()))

    def held(self, gallery_no: int) -> GalleryMemory | None:
        """Return the memory of a gallery, or None, without the refusals of `get`."""
        return self._galleries.get(gallery_no)

    def refuse(self, gallery_no: int) -> None:
        """Refuse the searches of a gallery from now on."""
        self.drop(gallery_no)
        self._without.add(gallery_no)

    def is_refused(self, gallery_no: int) -> bool:
        """Return whether there will be no memory of a gallery."""
        return gallery_no in self._without

    def numbers(self) -> frozenset[int]:
        """Return the numbers of the galleries that have a memory."""
        return frozenset(self._galleries)

    def begin_upkeep(self) -> None:
        """Let the upkeep begin that needs to know everything that the store holds."""
        if self._remote is not None:
            self._remote.filled()

    @property
    def clean(self) -> bool:
        """Return True if, as far as remote indexes say, nothing that was removed is left in them."""
        return self._remote is None or self._remote.clean

    def tidy(self) -> None:
        """Do what is due beside the upkeep of each remote index; cheap if there is nothing."""
        if self._remote is not None:
            self._remote.tidy()

    def settle(self, on_step: Callable[[], None]) -> None:
        """Learn from other servers what remote indexes hold, so that the first searches are answered.

        It takes `_SETTLE_S` at most; then upkeep goes on beside searches. What `on_step` raises ends it.
        """
        until_s = time.monotonic() + _SETTLE_S
        if (state := self.remote_state) and state.incomplete:
            _log.info("Waiting up to %d seconds until Milvus has been compared with the galleries", _SETTLE_S)
        while (state := self.remote_state) and state.answers and state.incomplete and time.monotonic() < until_s:
            self.tidy()
            for memory in self:
                while memory.keep_up():
                    on_step()
            on_step()
            time.sleep(_FOLLOWING_S)

    def close(self) -> None:
        """Close the connections to remote indexes."""
        if self._remote is not None:
            self._remote.close()

    def allow_searches(self) -> None:
        """Let them be searched: they hold everything that the store holds."""
        self._filled = True

    def get(self, gallery_no: int) -> GalleryMemory | None:
        """Return the memory of a gallery, or None where it was deleted, or was created only now.

        Raises `InternalError`: there is no memory for the gallery, and will be none.
        """
        if not self._filled:
            raise RuntimeError("the galleries are not loaded")
        if gallery_no in self._without:
            raise InternalError(message("error.gallery.gallery_no_index_until"))
        return self._galleries.get(gallery_no)

    @property
    def changes(self) -> int:
        """Return how many times the memory was changed; for `wait_beyond`."""
        with self._changed:
            return self._changes

    def wait_beyond(self, changes: int) -> None:
        """Wait until the memory was changed more than `changes` times.

        Raises `InternalError` once that is in vain, and `ReplicaBehind` if it takes longer than `longest_s`.
        """
        with self._changed:
            there = self._changed.wait_for(lambda: self._changes > changes or self._abandoned, self.longest_s)
            if self._abandoned:
                raise InternalError(message("error.gallery.thread_writes_died"))
            if not there:
                raise ReplicaBehind(message("error.gallery.replica_behind"))

    def abandon(self) -> None:
        """End all waits for changes."""
        for memory in self:
            memory.abandon()
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    @contextmanager
    def changing(self, longest_s: float = -1) -> Iterator[bool]:
        """Let no other thread change the memories within the block; yields False after a wait of `longest_s`."""
        mine = self._changing.acquire(timeout=longest_s)
        try:
            yield mine
        finally:
            if mine:
                self._changing.release()

    def apply(self, effects: Sequence[Effect], logged: Applied = Applied(0, 0)) -> None:
        """Copy the effects of a commit, in their order; a gallery never shows a part of them."""
        with self.changing(_FOLLOWING_S) as mine:
            if mine:
                # Every gallery gets its effects, also where one of them has to wait for the changes of others.
                done = [self._apply(gallery_no, own) for gallery_no, own in of_each_gallery(effects).items()]
                if all(done) and self.seq == logged.after:
                    self.seq = logged.until
        if self.seq < logged.until:
            self.hurry()
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _apply(self, gallery_no: int, effects: Sequence[Effect]) -> bool:
        """Copy the effects on one gallery; returns whether its memory is at their version now."""
        if effects[-1].deleted:
            self.drop(gallery_no)
            return True
        if gallery_no in self._without:
            return True
        memory = self._galleries.get(gallery_no)
        if memory is None and effects[0].since == 0:
            memory = self.try_create(gallery_no, effects[0].gallery.info.embedding_size)
        if memory is None or memory.version != effects[0].since:
            return memory is not None and memory.version >= effects[-1].version
        added: dict[int, AddedVector] = {}
        removed: list[int] = []
        for effect in effects:
            added.update((item.template_id, item) for item in effect.added)
            # Templates that the same commit added and removed again never show.
            removed.extend(no for no in effect.removed if added.pop(no, None) is None)
        memory.change(effects[-1].version, tuple(added.values()), removed)
        return True

    def try_create(self, gallery_no: int, embedding_size: int) -> GalleryMemory | None:
        """Make the empty memory of a new gallery; None where that fails, and then it is never searched."""
        try:
            return self.create(gallery_no, embedding_size, 0)
        # As in `GalleryMemory.change`: the commit is durable, and the other galleries go on.
        except Exception as error:  # noqa: BLE001
            self._without.add(gallery_no)
            _log.error("the index of a new gallery could not be made: %s", type(error).__name__)
            return None
