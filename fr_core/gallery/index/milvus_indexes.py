"""Makes the Milvus indexes of a store's galleries, and drops the collections of deleted galleries."""

import hashlib
import time
from collections.abc import Callable, Collection

from fr_core.errors import IndexUnavailable, ShuttingDown, StoreFailed
from fr_core.gallery.index.milvus_board import Board, LeaseLost
from fr_core.gallery.index.milvus_index import MilvusIndex
from fr_core.gallery.index.milvus_link import MilvusLink
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.milvus_state import MilvusState, Shared
from fr_core.gallery.index.protocol import IndexPeers, RemoteState
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
        self._board: Board | None = None  # where other servers use the collections too
        self._tidied: tuple[int, frozenset[str]] = 0, frozenset()  # the lease, and the collections on the board

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
            pending_deletions=sum(state.pending_deletions for state in states),
            clean=self.clean or (self._board is not None and not self._board.lead),
        )

    def share(self, peers: IndexPeers) -> None:
        """As `RemoteIndexes.share`."""
        self._board = Board(peers, self._derive("milvus board"))

    def new(self, gallery_no: int, dimension: int) -> MilvusIndex:
        """Return the empty index of a gallery of vectors with D values."""
        secret = self._derive(f"milvus turn {gallery_no}")
        turn = Turn(secret, dimension)
        # Another store, gallery, layout or index has a collection of another name; `tidy` drops the one before.
        made_for = self._derive(f"milvus collection {gallery_no} {_LAYOUT} {dimension} {self._settings.kind}")
        base = f"{self._prefix}{gallery_no}_{made_for[:6].hex()}"
        state = MilvusState(
            dimension=dimension,
            collection=self._link.collection(base),
            turn=turn,
            tag_key=hashlib.blake2b(secret, person=b"fr-milvus-tag").digest(),
            truth=lambda ids: self._truth(gallery_no, ids),
            settings=self._settings,
            clock=self._clock,
            filled=self._filled,
            complete=self._filled,
        )
        if self._board is not None:
            state.shared = Shared(self._board, gallery_no, base, self._link.collection, self._link.names)
        self._states[gallery_no] = state
        return MilvusIndex(state)

    def filled(self) -> None:
        """Let Milvus be compared with the truth: the indexes hold every id of the store."""
        self._filled = True
        for gallery_no, state in self._states.items():
            state.filled = True
            self.listed(gallery_no)

    def listed(self, gallery_no: int) -> None:
        """As `RemoteIndexes.listed`."""
        shared = self._states[gallery_no].shared
        if shared is not None and self._filled:
            shared.listed = True

    def drop(self, gallery_no: int) -> None:
        """Have the collection of a gallery dropped by the next `tidy`."""
        self._states.pop(gallery_no, None)
        self._untidy = True

    def tidy(self) -> None:
        """As `RemoteIndexes.tidy`; a failure is tried again."""
        if not self._filled:
            return
        board = self._board
        if board is not None:
            try:
                self._confer(board)
            except (IndexUnavailable, StoreFailed, ShuttingDown, LeaseLost):
                return  # the indexes and the follower of the store say so
            if not board.lead:
                return
        if self._untidy:
            self._untidy = False  # before, since another gallery may be deleted meanwhile
            try:
                if board is None:
                    self._drop_except({state.collection.name for state in tuple(self._states.values())})
                else:
                    self._drop_deleted(board)
            except (IndexUnavailable, StoreFailed, ShuttingDown, LeaseLost):
                self._untidy = True

    def _confer(self, board: Board) -> None:
        """Read the board, and make the requests that are due."""
        board.refresh()
        present = board.lead, frozenset(held.name for held in board.held.values())
        self._untidy = self._untidy or present != self._tidied
        self._tidied = present
        asking = {no: state for no, state in tuple(self._states.items()) if state.shared and state.shared.must_ask}
        try:
            if asking:
                self._link.names(self._prefix)  # a server that does not reach Milvus makes the others do no work
        except IndexUnavailable as error:
            for state in asking.values():
                state.note_failure(error)
            raise
        failures = {no: state.failures for no, state in asking.items()}
        for no, number in board.ask({no: state.wipe for no, state in asking.items()}).items():
            state = asking[no]
            if state.shared is not None and state.failures == failures[no]:
                state.shared.asked, state.wipe = number, False

    def _drop_deleted(self, board: Board) -> None:
        """Drop the collections of galleries that the store no longer has, and those that others have replaced."""
        there = board.peers.galleries()
        names = self._link.names(self._prefix)
        gone = {no: None for no in board.held if no not in there}
        if gone:
            board.publish(board.lead, gone)
        # Where the board knows of none, the next comparison uses the collection that is there.
        kept = tuple(f"{self._prefix}{no}_" for no in there if no not in board.held)
        searched = {held.name for held in board.held.values()}
        for name in names:
            if name not in searched and not name.startswith(kept):
                self._link.collection(name).drop()

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def _drop_except(self, kept: Collection[str]) -> None:
        for name in self._link.names(self._prefix):
            if name not in kept:
                self._link.collection(name).drop()
