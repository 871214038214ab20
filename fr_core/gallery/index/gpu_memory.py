"""Keeps vectors in half precision in the memory of GPUs, in blocks that one thread of each GPU reads and writes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fr_core.types import F32, I64

F16 = npt.NDArray[np.float16]
# u32[ceil(rows / 32)]: row n has bit n % 32 of value n // 32.
RowBits = npt.NDArray[np.uint32]
Result = TypeVar("Result")

HALF_BYTES = 2
# Probes that are compared in one pass. With the rows of a block they fill the scratch memory; see `scratch_bytes`.
PROBES_PER_PASS = 256
# Rows of a full block: 512 MiB at D = 512, and as many as FAISS multiplies at a time (faiss/gpu/impl/DistanceUtils.cuh,
# chooseTileSize, of float16 on a GPU of more than 8 GiB), so that it selects the best of a block once.
BLOCK_ROWS = 2**19
# Rows of the smallest block: 1 MiB at D = 512.
_LEAST_ROWS = 1024
# FAISS's kernels select no more than this: faiss/gpu/utils/DeviceDefs.cuh, GPU_MAX_SELECTION_K.
MAX_FETCHED = 2048


class Gpu(Protocol):
    """One GPU. It serves one caller at a time: FAISS ends the process where two uses of its scratch memory overlap.

    Every method but `allocate` raises `DeviceLost`: the GPU is broken.
    """

    @property
    def doubted(self) -> int:
        """Return how often a first pass left too many rows of a block for a probe, and all were read again."""

    @property
    def filters(self) -> bool:
        """Return whether a search can be one of some rows only."""

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes; their content is what was there before.

        Raises `DeviceUnavailable`: too little memory is left, or the GPU is broken.
        """

    def write(self, address: int, halves: F16) -> None:
        """Copy values f16[n, D] to an address, and return when they are there.

        Raises `DeviceUnavailable`: too little memory is left for what is kept beside the first rows of a block.
        """

    def zero(self, address: int, size: int) -> None:
        """Overwrite bytes with zeros, and return when that is done."""

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""

    def search(self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
        """Return the k best inner products of probes f16[n, D] with the rows at an address.

        Args:
            rows: how many, f16[rows, D] in C order.
            probes: at most `PROBES_PER_PASS`.
            k: in [1, min(rows, MAX_FETCHED)], and no more than there are rows allowed.
            allowed: the rows that may be found; None = every row, and always None without `filters`.

        Returns scores f32[n, k], descending, and rows i64[n, k].
        """


class GpuOwner:
    """The thread that uses a GPU, from its opening to the last free; any other thread hands its work to it.

    `open_gpu`: called in that thread. Raises what it raises.
    """

    def __init__(self, open_gpu: Callable[[], Gpu], name: str = "gpu") -> None:
        self.reserved = 0  # bytes of all blocks; only the thread changes it
        self.doubted = 0  # as `Gpu.doubted`, after the last search
        # Its `put` may be called by a finalizer in the midst of another `put`.
        self._work: SimpleQueue[tuple[Future[Any], Callable[[Gpu], Any]] | None] = SimpleQueue()
        ready: Future[bool] = Future()
        threading.Thread(target=_own, args=(open_gpu, self._work, ready), name=name, daemon=True).start()
        self.filters = ready.result()
        # At the end of the process its memory goes with it, and the thread may be amid a search.
        weakref.finalize(self, self._work.put, None).atexit = False

    def submit(self, do: Callable[[Gpu], Result]) -> Future[Result]:
        """Hand over `do`, which the thread calls with the GPU after all earlier work."""
        future: Future[Result] = Future()
        self._work.put((future, do))
        return future


def _own(
    open_gpu: Callable[[], Gpu],
    work: SimpleQueue[tuple[Future[Any], Callable[[Gpu], Any]] | None],
    ready: Future[bool],
) -> None:
    try:
        gpu = open_gpu()
    except BaseException as error:  # noqa: BLE001 - told to the one who waits
        ready.set_exception(error)
        return
    ready.set_result(gpu.filters)
    while (task := work.get()) is not None:
        future, do = task
        try:
            future.set_result(do(gpu))
        except BaseException as error:  # noqa: BLE001 - told to the one who waits
            future.set_exception(error)
        del task, future, do  # or the last search's blocks would live until the next


class _Block:
    """Rows of one GPU. When the last reference goes, the memory is overwritten with zeros, then freed."""

    def __init__(self, owner: GpuOwner, start: int, room: int, row_bytes: int) -> None:
        self.owner = owner
        self.start = start  # number of its first row
        self.room = room
        self.used = 0
        self.row_bytes = row_bytes
        self.address = owner.submit(lambda gpu: _allocated(owner, gpu, room * row_bytes)).result()
        weakref.finalize(self, _release, owner, self.address, room * row_bytes).atexit = False

    def write(self, place: int, halves: F16) -> Future[None]:
        address = self.address + place * self.row_bytes
        return self.owner.submit(lambda gpu: gpu.write(address, halves))

    def zero(self, places: I64) -> Future[None]:
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)

        def overwrite(gpu: Gpu) -> None:
            for run in runs:
                gpu.zero(self.address + int(run[0]) * self.row_bytes, len(run) * self.row_bytes)

        return self.owner.submit(overwrite)

    def search(self, probes: F16, k: int, allowed: RowBits | None) -> Future[tuple[F32, I64]]:
        def find(gpu: Gpu) -> tuple[F32, I64]:
            found = gpu.search(self.address, self.used, probes, k, allowed)
            self.owner.doubted = gpu.doubted
            return found

        return self.owner.submit(find)


def _allocated(owner: GpuOwner, gpu: Gpu, size: int) -> int:
    address = gpu.allocate(size)
    owner.reserved += size
    return address


def _release(owner: GpuOwner, address: int, size: int) -> None:
    def free(gpu: Gpu) -> None:
        gpu.zero(address, size)
        gpu.free(address)
        owner.reserved -= size

    owner.submit(free)


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """The best rows of n probes by their products in half precision."""

    scores: F32  # f32[n, w], in no order
    rows: I64  # i64[n, w]
    unseen: F32  # f32[n], no row that was not fetched scores higher; -inf where every row was


class Halves:
    """Vectors in half precision, spread over GPUs: each new block goes to the GPU with the fewest bytes in use.

    Any number of searches may run at once; a change needs the vectors for itself.

    Args:
        owners: of the GPUs, one or more; several `Halves` share them.
        block_rows: of a full block.
    """

    def __init__(self, dimension: int, owners: Sequence[GpuOwner], block_rows: int = BLOCK_ROWS) -> None:
        self._owners = tuple(owners)
        self._block_rows = block_rows
        self._row_bytes = dimension * HALF_BYTES
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return sum(block.used for block in self._blocks)

    @property
    def scan_bytes(self) -> int:
        """Return the number of bytes of the vectors."""
        return len(self) * self._row_bytes

    @property
    def filters(self) -> bool:
        """Return whether a search can be one of some rows only."""
        return all(owner.filters for owner in self._owners)

    def append(self, vectors: F32) -> None:
        """Add vectors f32[n, D], each value in [-1, 1]; adds all of them, or none where it raises."""
        halves = vectors.astype(np.float16)
        blocks, writes, begun = list(self._blocks), [], 0
        filled = {block: block.used for block in blocks}
        while begun < len(halves):
            last = blocks[-1] if blocks else None
            if last is None or filled[last] == last.room:
                last = self._new_block(len(self) + begun, len(halves) - begun)
                blocks.append(last)
                filled[last] = 0
            some = halves[begun : begun + last.room - filled[last]]
            writes.append(last.write(filled[last], some))
            filled[last] += len(some)
            begun += len(some)
        for write in writes:
            write.result()
        self._blocks = blocks
        for block, used in filled.items():
            block.used = used

    def erase(self, rows: I64) -> None:
        """Overwrite rows i64[n] with zeros, and return when that is done."""
        rows = np.unique(rows)
        zeroed = []
        for block in self._blocks:
            places = rows[slice(*np.searchsorted(rows, (block.start, block.start + block.used)))] - block.start
            if len(places):
                zeroed.append(block.zero(places))
        for done in zeroed:
            done.result()

    def search(self, probes: F32, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> Fetched:
        """Return the k best rows for each of probes f32[n, D], n >= 1, or all rows where there are fewer.

        Args:
            k: in [1, MAX_FETCHED].
            allowed: bool[rows], true for the rows that may be found, one or more; None = every row, and always None
                without `filters`.
        """
        halves = probes.astype(np.float16)
        passes = [halves[start : start + PROBES_PER_PASS] for start in range(0, len(halves), PROBES_PER_PASS)]
        shares = [share for share in (_share(block, allowed) for block in self._blocks) if share.count]
        # All is handed over before the first is awaited, so that no GPU waits for another, nor for this thread.
        found = [
            [(share, share.block.search(some, min(k, share.count), share.bits)) for share in shares] for some in passes
        ]
        merged = [_merged([(share, *future.result()) for share, future in of_pass], k) for of_pass in found]
        return Fetched(*(np.concatenate(arrays) for arrays in zip(*merged, strict=True)))

    def _new_block(self, start: int, needed: int) -> _Block:
        # As large as all before it together: an index has few blocks, and no row is ever copied to a larger one.
        room = min(self._block_rows, max(needed, start, _LEAST_ROWS))
        return _Block(min(self._owners, key=lambda owner: owner.reserved), start, room, self._row_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The rows of a block that a search may find."""

    block: _Block
    count: int
    bits: RowBits | None  # None = every row


def _share(block: _Block, allowed: npt.NDArray[np.bool_] | None) -> _Share:
    if allowed is None:
        return _Share(block, block.used, None)
    some = allowed[block.start : block.start + block.used]
    octets = np.packbits(some, bitorder="little")
    bits = np.zeros(-(-len(some) // 32), dtype="<u4")
    bits.view(np.uint8)[: len(octets)] = octets
    return _Share(block, int(np.count_nonzero(some)), bits)


def _merged(found: Sequence[tuple[_Share, F32, I64]], k: int) -> tuple[F32, I64, F32]:
    """Return the k best of what the blocks found for the same probes, as `Fetched` has it."""
    scores = np.concatenate([of_block for _, of_block, _ in found], axis=1)
    rows = np.concatenate([share.block.start + of_block for share, _, of_block in found], axis=1)
    unseen = np.full(len(scores), -np.inf, dtype=np.float32)
    for share, of_block, _ in found:
        if of_block.shape[1] < share.count:
            unseen = np.maximum(unseen, of_block[:, -1])
    if scores.shape[1] > k:
        order = np.argpartition(-scores, k, axis=1)
        unseen = np.maximum(unseen, np.take_along_axis(scores, order[:, k : k + 1], axis=1)[:, 0])
        best = order[:, :k]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return scores, rows, unseen
