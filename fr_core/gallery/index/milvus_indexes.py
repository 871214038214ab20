"""Makes the Milvus indexes of a store's galleries, and drops the collections of deleted galleries."""

import hashlib
import time
from collections.abc import Callable, Collection

from fr_core.errors import IndexUnavailable
from fr_core.gallery.index.milvus_index import MilvusIndex
from fr_core.gallery.index.milvus_link import MilvusLink
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.milvus_state import MilvusState
from fr_core.gallery.index.protocol import RemoteState
from fr_core.gallery.index.turning import Turn
from fr_core.types import F32, I64

# Part of what the name of each collection stands for: a later layout makes them anew.
_LAYOUT = 1

Truth = Callable[[int, I64], tuple[I64, F32]]
"""Returns, of vectors of a gallery under ascending ids i64[n], those that are stored: ids i64[m], vectors f32[m, D]."""


class MilvusIndexes:
    """The indexes of one store in one Milvus server.

    Args:
        settings: of the server.
        derive: returns 32 secret bytes for a purpose, the same at each start; another store gives others.
        truth: the store.
        clock: seconds, ascending.
    """

    def __init__(
        self,
        settings: MilvusSettings,
        derive: Callable[[str], bytes],
        truth: Truth,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._derive = derive
        self._truth = truth
        self._clock = clock
        self._link = MilvusLink(settings, clock)
        self._prefix = f"{settings.prefix}_{derive('milvus store')[:6].hex()}_"
        self._states: dict[int, MilvusState] = {}
        self._filled = False
        self._untidy = True  # a process before may have left collections

    @property
    def clean(self) -> bool:
        """Return True if Milvus says that it has deleted and compacted everything that was removed."""
        return not self._untidy and all(state.clean for state in tuple(self._states.values()))

    @property
    def state(self) -> RemoteState:
        """As `RemoteIndexes.state`."""
        states = tuple(self._states.values())
        return RemoteState(
            answers=not any(state.told for state in states),
            incomplete=sum(not state.complete for state in states),
            pending_vectors=sum(state.fresh.size for state in states),
            pending_deletions=sum(len(state.doomed) for state in states),
            clean=self.clean,
        )

    def new(self, gallery_no: int, dimension: int) -> MilvusIndex:
        """Return the empty index of a gallery of vectors with D values."""
        secret = self._derive(f"milvus turn {gallery_no}")
        turn = Turn(secret, dimension)
        # Another store, gallery, layout or index has a collection of another name; `tidy` drops the one before.
        made_for = self._derive(f"milvus collection {gallery_no} {_LAYOUT} {dimension} {self._settings.kind}")
        collection = self._link.collection(f"{self._prefix}{gallery_no}_{made_for[:6].hex()}")
        state = MilvusState(
            dimension=dimension,
            collection=collection,
            turn=turn,
            tag_key=hashlib.blake2b(secret, person=b"fr-milvus-tag").digest(),
            truth=lambda ids: self._truth(gallery_no, ids),
            settings=self._settings,
            clock=self._clock,
            filled=self._filled,
            complete=self._filled,
        )
        self._states[gallery_no] = state
        return MilvusIndex(state)

    def filled(self) -> None:
        """Let Milvus be compared with the truth: the indexes hold every id of the store."""
        self._filled = True
        for state in self._states.values():
            state.filled = True

    def drop(self, gallery_no: int) -> None:
        """Have the collection of a gallery dropped by the next `tidy`."""
        self._states.pop(gallery_no, None)
        self._untidy = True

    def tidy(self) -> None:
        """Drop the collections of deleted galleries, if there may be any; a failure is tried again."""
        if self._untidy and self._filled:
            self._untidy = False  # before, since another gallery may be deleted meanwhile
            try:
                self._drop_except({state.collection.name for state in tuple(self._states.values())})
            except IndexUnavailable:
                self._untidy = True

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def _drop_except(self, kept: Collection[str]) -> None:
        for name in self._link.names(self._prefix):
            if name not in kept:
                self._link.collection(name).drop()
