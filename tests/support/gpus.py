"""A GPU without a GPU: memory and products by NumPy, and a record of what a real one would not have borne."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, F16, MAX_FETCHED, PROBES_PER_PASS, Gpu, scratch_bytes
from fr_core.types import F32, I64

# A GPU's memory holds what it held before.
LEFT_OVER = 0xA5
_FIRST = 1 << 20
_PAGE = 256
_DEVICE_TO_HOST = 2  # cudaMemcpyDeviceToHost


class NullGpu:
    """A `Gpu` that notes overlapping uses, on which FAISS ends the process, instead of refusing them.

    Args:
        room: bytes of its memory.
        within: called in the midst of each use.
    """

    def __init__(self, room: int = 2**40, within: Callable[[], object] = lambda: None) -> None:
        self.overlaps = 0
        self.threads: set[int] = set()
        self.blocks: dict[int, np.ndarray[tuple[int], np.dtype[np.uint8]]] = {}  # what is allocated, by its address
        self.freed: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []  # as it was when it was given back
        self.rows_searched: list[int] = []
        self.most_scratch = 0
        self._room = room
        self._within = within
        self._lock = threading.Lock()
        self._inside = 0
        self._next = _FIRST

    def allocate(self, size: int) -> int:
        """As `Gpu.allocate`."""
        with self._use():
            if sum(block.size for block in self.blocks.values()) + size > self._room:
                reason = "error 2: out of memory"
                raise DeviceUnavailable(
                    message("error.gallery.gpu_refused", device=0, call="cudaMalloc", reason=reason), device="cuda:0"
                )
            address, self._next = self._next, self._next + -(-size // _PAGE) * _PAGE + _PAGE
            self.blocks[address] = np.full(size, LEFT_OVER, dtype=np.uint8)
            return address

    def write(self, address: int, halves: F16) -> None:
        """As `Gpu.write`."""
        with self._use():
            self._bytes(address, halves.nbytes)[:] = np.frombuffer(halves.tobytes(), dtype=np.uint8)

    def zero(self, address: int, size: int) -> None:
        """As `Gpu.zero`."""
        with self._use():
            self._bytes(address, size)[:] = 0

    def free(self, address: int) -> None:
        """As `Gpu.free`."""
        with self._use():
            self.freed.append(self.blocks.pop(address))

    def search(self, address: int, rows: int, probes: F16, k: int) -> tuple[F32, I64]:
        """As `Gpu.search`, in no order among equals, as on a GPU."""
        assert len(probes) <= PROBES_PER_PASS
        assert 1 <= k <= min(rows, MAX_FETCHED)
        assert rows <= BLOCK_ROWS
        with self._use():
            self.rows_searched.append(rows)
            self.most_scratch = max(self.most_scratch, scratch_bytes(len(probes), rows, k, probes.shape[1]))
            held = self._bytes(address, rows * probes.shape[1] * 2).view(np.float16).reshape(rows, -1)
            products = probes.astype(np.float32) @ held.astype(np.float32).T
            best = np.argsort(-products, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(products, best, axis=1), best.astype(np.int64)

    def holds(self, halves: F16) -> bool:
        """Return whether the bytes of a row f16[D] are anywhere in its memory."""
        return any(halves.tobytes() in block.tobytes() for block in self.blocks.values())

    def _bytes(self, address: int, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        for start, block in self.blocks.items():
            if start <= address < start + block.size:
                assert address + size <= start + block.size, "beyond the end of a block"
                return block[address - start : address - start + size]
        raise AssertionError("no memory of this GPU")

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            self.overlaps += self._inside > 1
            self.threads.add(threading.get_ident())
        try:
            self._within()
            yield
        finally:
            with self._lock:
                self._inside -= 1


def read_back(gpu: Gpu, address: int, size: int) -> bytes:
    """Return what a GPU holds; call it in its owner's thread."""
    if isinstance(gpu, NullGpu):
        return gpu.blocks[address].tobytes()[:size]
    content = ctypes.create_string_buffer(size)
    assert not ctypes.CDLL(None).cudaMemcpy(content, ctypes.c_void_p(address), ctypes.c_size_t(size), _DEVICE_TO_HOST)
    return content.raw
