"""A GPU without a GPU: memory and products by NumPy, and a record of what a real one would not have borne."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.cuvs_gpu import Filter, Tensor
from fr_core.gallery.index.faiss_cuda import scratch_bytes
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, F16, MAX_FETCHED, PROBES_PER_PASS, Gpu, RowBits
from fr_core.types import F32, I64

# A GPU's memory holds what it held before.
LEFT_OVER = 0xA5
_FIRST = 1 << 20
_PAGE = 256
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # of cudaMemcpyKind
_INVALID, _OUT_OF_MEMORY = 1, 2  # of cudaError


class NullGpu:
    """A `Gpu` that notes overlapping uses, on which FAISS ends the process, instead of refusing them.

    Args:
        room: bytes of its memory.
        within: called in the midst of each use.
        filters: as `Gpu.filters`.
    """

    def __init__(
        self, room: int = 2**40, within: Callable[[], object] = lambda: None, *, filters: bool = False
    ) -> None:
        self.filters = filters
        self.doubted = 0
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
        with self._use(), self._lock:
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
        with self._use(), self._lock:
            self.freed.append(self.blocks.pop(address))

    def search(self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
        """As `Gpu.search`, in no order among equals, as on a GPU."""
        assert len(probes) <= PROBES_PER_PASS
        assert allowed is None or self.filters
        assert 1 <= k <= min(rows, MAX_FETCHED)
        assert rows <= BLOCK_ROWS
        with self._use():
            self.rows_searched.append(rows)
            self.most_scratch = max(self.most_scratch, scratch_bytes(len(probes), rows, k, probes.shape[1]))
            held = self._bytes(address, rows * probes.shape[1] * 2).view(np.float16).reshape(rows, -1)
            return _best(held, probes, k, allowed)

    def holds(self, halves: F16) -> bool:
        """Return whether the bytes of a row f16[D] are anywhere in its memory."""
        return any(halves.tobytes() in block.tobytes() for block in self.blocks.values())

    def _bytes(self, address: int, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        with self._lock:
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


class NullCudaRuntime:
    """The CUDA runtime on memory of the machine. What is copied or set is there after the next synchronisation only.

    `full`: refuse to allocate.
    """

    def __init__(self) -> None:
        self.memory: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.full = False
        self._pending: list[Callable[[], object]] = []
        self._code: Any = None
        self._launches: list[Any] = []
        # A plain function, of which the type of the result can be set as of one of ctypes.
        self.cudaGetErrorString = lambda code: b"out of memory" if code == _OUT_OF_MEMORY else b"invalid argument"

    def cudaSetDevice(self, device: ctypes.c_int) -> int:  # noqa: N802 - CUDA's name, as the others
        """Choose a GPU: there is one."""
        return 0 if device.value == 0 else _INVALID

    def cudaMalloc(self, pointer: Any, size: ctypes.c_size_t) -> int:  # noqa: N802
        """Allocate memory that holds what it held before."""
        if self.full:
            return _OUT_OF_MEMORY
        block = ctypes.create_string_buffer(bytes([LEFT_OVER]) * size.value, size.value)
        self.memory[ctypes.addressof(block)] = block
        pointer._obj.value = ctypes.addressof(block)
        return 0

    def cudaMemcpy(self, to: ctypes.c_void_p, source: ctypes.c_void_p, size: ctypes.c_size_t, kind: int) -> int:  # noqa: N802
        """Copy from the machine to the GPU; or back, what is there."""
        if kind == _DEVICE_TO_HOST and self._within(source, size):
            ctypes.memmove(to, source, size.value)
            return 0
        if kind != _HOST_TO_DEVICE or not self._within(to, size) or self._within(source, size):
            return _INVALID
        content = ctypes.string_at(source, size.value)
        self._pending.append(lambda: ctypes.memmove(to, content, len(content)))
        return 0

    def cudaMemset(self, to: ctypes.c_void_p, value: int, size: ctypes.c_size_t) -> int:  # noqa: N802
        """Set bytes."""
        if not self._within(to, size):
            return _INVALID
        self._pending.append(lambda: ctypes.memset(to, value, size.value))
        return 0

    def cudaDeviceSynchronize(self) -> int:  # noqa: N802
        """Let all come to pass that was begun."""
        for change in self._pending:
            change()
        self._pending.clear()
        return 0

    def cudaDeviceGetAttribute(self, value: Any, attribute: int, device: ctypes.c_int) -> int:  # noqa: N802
        """Return a compute capability of 9.0."""
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0

    def cudaLibraryLoadData(  # noqa: N802
        self, library: Any, code: bytes, jit: None, jits: None, jit_count: int, option: None, options: None, count: int
    ) -> int:
        """Load what `support.kernels.HostCompiler` compiled."""
        assert (jit, jits, jit_count, option, options, count) == (None, None, 0, None, None, 0)
        self._code = ctypes.CDLL(code.decode())
        library._obj.value = 5
        return 0

    def cudaLibraryGetKernel(self, kernel: Any, library: ctypes.c_void_p, name: bytes) -> int:  # noqa: N802
        """Return a handle of a kernel."""
        assert library.value == 5
        self._launches.append(getattr(self._code, f"launch_{name.decode()}"))
        kernel._obj.value = len(self._launches)
        return 0

    def cudaLaunchKernel(  # noqa: N802
        self, kernel: ctypes.c_void_p, grid: Any, block: Any, given: Any, shared: ctypes.c_size_t, stream: Any
    ) -> int:
        """Run a kernel, after all that was begun before."""
        assert (shared.value, stream.value) == (0, None)
        assert 1 <= grid.y <= 65_535
        self.cudaDeviceSynchronize()
        self._launches[(kernel.value or 0) - 1](grid, block, given)
        return 0

    def cudaFree(self, address: ctypes.c_void_p) -> int:  # noqa: N802
        """Give back what was allocated."""
        return 0 if self.memory.pop(address.value or 0, None) is not None else _INVALID

    def _within(self, address: ctypes.c_void_p, size: ctypes.c_size_t) -> bool:
        place = address.value or 0
        return any(start <= place and place + size.value <= start + len(block) for start, block in self.memory.items())


class NullFaiss:
    """The part of FAISS that is for GPUs, on memory of the machine. `fails`: a search raises what FAISS raises."""

    METRIC_INNER_PRODUCT, DistanceDataType_F16, IndicesDataType_I64 = 0, 2, 1
    GpuDistanceParams = SimpleNamespace

    def __init__(self) -> None:
        self.scratch = 0
        self.fails = False

    def StandardGpuResources(self) -> Any:  # noqa: N802 - FAISS's name
        """Make resources of which the scratch memory can be set."""
        return SimpleNamespace(setTempMemory=lambda size: setattr(self, "scratch", size))

    def cast_integer_to_void_ptr(self, address: int) -> int:
        """Return the address."""
        return address

    def swig_ptr(self, array: Any) -> Any:
        """Return the array."""
        return array

    def bfKnn(self, resources: Any, wanted: Any) -> None:  # noqa: N802
        """Search as `NullGpu` does."""
        if self.fails:
            raise RuntimeError("Error in bfKnn\nat a line of its source")
        assert wanted.vectorType == wanted.queryType == self.DistanceDataType_F16
        assert (wanted.metric, wanted.outIndicesType) == (self.METRIC_INNER_PRODUCT, self.IndicesDataType_I64)
        assert wanted.queries.shape == (wanted.numQueries, wanted.dims)
        content = ctypes.string_at(wanted.vectors, wanted.numVectors * wanted.dims * 2)
        held = np.frombuffer(content, dtype=np.float16).reshape(wanted.numVectors, wanted.dims)
        wanted.outDistances[:], wanted.outIndices[:] = _best(held, wanted.queries, wanted.k)


class NullCuvs:
    """The part of cuVS's C interface that an index uses, on memory of the machine.

    It reads the structures that the real library is given, and results are there after the next synchronisation only.

    `refuses`: the name of a function that reports an error.
    """

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.filtered = 0  # searches of some rows only
        self.resources = 0  # those that were not destroyed
        self.indexes: dict[int, F16] = {}
        self._pending: list[Callable[[], object]] = []
        self.cuvsGetLastErrorText = lambda: b"CUDA error encountered\nObtained 21 stack frames"

    def __getattribute__(self, name: str) -> Any:
        """Return a member, or what refuses in its place."""
        refused = object.__getattribute__(self, "__dict__").get("refuses") == name
        return (lambda *_: 0) if refused else object.__getattribute__(self, name)

    def cuvsRMMPoolMemoryResourceEnable(self, first: int, most: int, managed: ctypes.c_bool) -> int:  # noqa: N802
        """Take memory for products."""
        return int(0 < first <= most < 100 and not managed.value)

    def cuvsResourcesCreate(self, resources: Any) -> int:  # noqa: N802
        """Make a handle."""
        self.resources += 1
        resources._obj.value = 77
        return 1

    def cuvsResourcesDestroy(self, resources: ctypes.c_size_t) -> int:  # noqa: N802
        """Give a handle back."""
        self.resources -= 1
        return int(resources.value == 77)

    def cuvsBruteForceIndexCreate(self, index: Any) -> int:  # noqa: N802
        """Make an index of nothing."""
        index._obj.value = 1 + max(self.indexes, default=0)
        self.indexes[index._obj.value] = np.empty((0, 0), dtype=np.float16)
        return 1

    def cuvsBruteForceBuild(  # noqa: N802
        self, resources: ctypes.c_size_t, rows: Any, metric: int, argument: ctypes.c_float, index: ctypes.c_void_p
    ) -> int:
        """Refer to rows of a device."""
        assert (resources.value, metric, argument.value) == (77, 6, 0.0)
        self.indexes[index.value or 0] = _array(rows._obj, np.float16)
        return 1

    def cuvsBruteForceSearch(  # noqa: N802
        self,
        resources: ctypes.c_size_t,
        index: ctypes.c_void_p,
        probes: Any,
        found: Any,
        scores: Any,
        wanted: Filter,
    ) -> int:
        """Search as `NullGpu` does."""
        assert resources.value == 77
        held, allowed = self.indexes[index.value or 0], None
        if wanted.kind:
            assert wanted.kind == 1, "no bitset"
            allowed = _array(Tensor.from_address(wanted.address), np.uint32)
            self.filtered += 1
        to_scores, to_found = _array(scores._obj, np.float32), _array(found._obj, np.int64)
        best = _best(held, _array(probes._obj, np.float16), to_found.shape[1], allowed)
        self._pending += [lambda: np.copyto(to_scores, best[0]), lambda: np.copyto(to_found, best[1])]
        return 1

    def cuvsBruteForceIndexDestroy(self, index: ctypes.c_void_p) -> int:  # noqa: N802
        """Give an index back."""
        return int(self.indexes.pop(index.value or 0, None) is not None)

    def cuvsStreamSync(self, resources: ctypes.c_size_t) -> int:  # noqa: N802
        """Let all come to pass that was begun."""
        for change in self._pending:
            change()
        self._pending.clear()
        return 1


def _best(held: F16, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
    products = probes.astype(np.float32) @ held.astype(np.float32).T
    if allowed is not None:
        assert len(allowed) == -(-len(held) // 32)
        bits = np.unpackbits(np.ascontiguousarray(allowed).view(np.uint8), bitorder="little")[: len(held)]
        products[:, bits == 0] = -3.0e38
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(products, best, axis=1), best.astype(np.int64)


def _array(tensor: Tensor, kind: Any) -> Any:
    """Return the memory that a tensor of a device names."""
    wanted = np.dtype(kind)
    code = {"i": 0, "u": 1, "f": 2}[wanted.kind]
    assert (tensor.device_type, tensor.device_id) == (2, 0)
    assert (tensor.code, tensor.bits, tensor.lanes) == (code, 8 * wanted.itemsize, 1)
    assert not tensor.strides
    assert not tensor.byte_offset
    shape = tuple(tensor.shape[n] for n in range(tensor.ndim))
    size = int(np.prod(shape)) * wanted.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(tensor.data), dtype=wanted).reshape(shape)


def read_back(gpu: Gpu, address: int, size: int) -> bytes:
    """Return what a GPU holds; call it in its owner's thread."""
    if isinstance(gpu, NullGpu):
        return gpu.blocks[address].tobytes()[:size]
    content = ctypes.create_string_buffer(size)
    assert not ctypes.CDLL(None).cudaMemcpy(content, ctypes.c_void_p(address), ctypes.c_size_t(size), _DEVICE_TO_HOST)
    return content.raw
