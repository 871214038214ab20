"""Uses a GPU through cuVS's C interface, which searches memory of our own in half precision, filters included."""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fr_core.errors import DeviceUnavailable, message
from fr_core.gallery.index.faiss_cuda import MOST_VALUES, CudaMemory
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, F16, HALF_BYTES, MAX_FETCHED, PROBES_PER_PASS, RowBits
from fr_core.types import F32, I64

# cuvsError_t of cuvs/core/c_api.h, cuvsDistanceType of cuvs/distance/distance.h, cuvsFilterType of
# cuvs/neighbors/common.h.
_SUCCESS, _INNER_PRODUCT, _NO_FILTER, _BITSET = 1, 6, 0, 1
# dlpack.h: DLDeviceType and DLDataTypeCode.
_CUDA, _INT, _UINT, _FLOAT = 2, 0, 1, 2
# What cuVS takes at once for its products, and the most it may take, in percent of the free memory. Without such a pool
# of a device, which the process has once, each search would ask CUDA for memory, which stops the device.
_POOL_PERCENT, _MOST_POOL_PERCENT = 1, 25
_pooled: WeakKeyDictionary[Any, set[int]] = WeakKeyDictionary()  # devices that have one, by library
_pooling = threading.Lock()
_PAGE = 256  # bytes to which CUDA aligns memory


class Tensor(ctypes.Structure):
    """A DLManagedTensor of dlpack.h, in C order: what cuVS takes for an array."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class Filter(ctypes.Structure):
    """A cuvsFilter of cuvs/neighbors/common.h."""

    _fields_ = (("address", ctypes.c_size_t), ("kind", ctypes.c_int))


class CuvsGpu(CudaMemory):
    """A `Gpu` that cuVS searches. Make it, use it and drop it in one thread.

    Args:
        device: number of the GPU, in CUDA's numbering.
        runtime: as `CudaMemory` takes it.
        library: cuVS's C interface; None = the one of the package libcuvs.
    """

    filters = True

    def __init__(self, device: int, runtime: Any = None, library: Any = None) -> None:
        self._room = 0
        super().__init__(device, runtime)
        self._cuvs = library or _library(device)
        self._cuvs.cuvsGetLastErrorText.restype = ctypes.c_char_p
        with _pooling:
            pooled = _pooled.setdefault(self._cuvs, set())
            if device not in pooled:
                never = ctypes.c_bool(False)
                self._ask_first("cuvsRMMPoolMemoryResourceEnable", _POOL_PERCENT, _MOST_POOL_PERCENT, never)
                pooled.add(device)
        self._resources = ctypes.c_size_t()
        self._ask_first("cuvsResourcesCreate", ctypes.byref(self._resources))
        self._work = 0
        self._at_work(sum(_sizes(PROBES_PER_PASS, MOST_VALUES, MAX_FETCHED, BLOCK_ROWS)))

    def __del__(self) -> None:
        if self._room:
            self._drop_work()
            self._cuvs.cuvsResourcesDestroy(self._resources)

    def search(self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
        """As `Gpu.search`."""
        (n, dimension), device = probes.shape, self._device
        sizes = _sizes(n, dimension, k, rows)
        at_probes, at_scores, at_found, at_bits = (
            self._at_work(sum(sizes)) + at for at in accumulate((0, *sizes[:-1]))
        )
        self._copy_in(at_probes, np.ascontiguousarray(probes, dtype=np.float16))
        filtered = Filter(0, _NO_FILTER)
        if allowed is not None:
            self._copy_in(at_bits, allowed)
            bits = _tensor(device, at_bits, (len(allowed),), _UINT, 32)
            filtered = Filter(ctypes.addressof(bits), _BITSET)
        index = ctypes.c_void_p()
        self._ask("cuvsBruteForceIndexCreate", ctypes.byref(index))
        try:
            # It keeps a reference to the rows, and copies and computes nothing for inner products.
            held = _tensor(device, address, (rows, dimension), _FLOAT, 16)
            nothing = ctypes.c_float(0.0)
            self._ask("cuvsBruteForceBuild", self._resources, ctypes.byref(held), _INNER_PRODUCT, nothing, index)
            tensors = (
                _tensor(device, at_probes, (n, dimension), _FLOAT, 16),
                _tensor(device, at_found, (n, k), _INT, 64),
                _tensor(device, at_scores, (n, k), _FLOAT, 32),
            )
            self._ask("cuvsBruteForceSearch", self._resources, index, *map(ctypes.byref, tensors), filtered)
            self._ask("cuvsStreamSync", self._resources)
        finally:
            self._cuvs.cuvsBruteForceIndexDestroy(index)
        scores, found = np.empty((n, k), dtype=np.float32), np.empty((n, k), dtype=np.int64)
        self._copy_out(scores, at_scores)
        self._copy_out(found, at_found)
        return scores, found

    def _at_work(self, size: int) -> int:
        """Return the address of the memory for probes, filter and results, which has room for `size` bytes."""
        if size > self._room:
            if self._room:
                self._drop_work()
            self._work = self.allocate(size)
            self._room = size
        return self._work

    def _drop_work(self) -> None:
        self.zero(self._work, self._room)
        self.free(self._work)
        self._room = 0

    def _ask_first(self, call: str, *arguments: object) -> None:
        """Call a function of cuVS; raises `DeviceUnavailable`: it reports an error."""
        if reason := self._complaint(call, *arguments):
            raise self._unavailable(call, reason)

    def _ask(self, call: str, *arguments: object) -> None:
        """Call a function of cuVS; raises `DeviceLost`: it reports an error."""
        if reason := self._complaint(call, *arguments):
            raise self._lost(call, reason)

    def _complaint(self, call: str, *arguments: object) -> str:
        if getattr(self._cuvs, call)(*arguments) == _SUCCESS:
            return ""
        text = self._cuvs.cuvsGetLastErrorText() or b"unknown error"
        return str(text.decode("ascii", "replace").partition("\n")[0])


def _library(device: int) -> Any:
    """Return cuVS's C interface; raises `DeviceUnavailable`: it is not installed, or does not load."""
    try:
        return _loaded()
    except (ImportError, OSError, IndexError) as error:
        reason = str(error)
        raise DeviceUnavailable(
            message("error.gallery.no_library", index="cuvs", package="libcuvs", reason=reason), device=f"cuda:{device}"
        ) from error


@cache  # one object for all devices: `_pooled` is by library
def _loaded() -> Any:
    return import_module("libcuvs").load_library()[-1]


def _sizes(probes: int, dimension: int, k: int, rows: int) -> tuple[int, int, int, int]:
    """Return the bytes of probes, scores, found rows and filter, each with what aligns the next."""
    sizes = HALF_BYTES * probes * dimension, 4 * probes * k, 8 * probes * k, 4 * -(-rows // 32)
    probes_size, scores, found, bits = (-(-size // _PAGE) * _PAGE for size in sizes)
    return probes_size, scores, found, bits


def _tensor(device: int, address: int, shape: tuple[int, ...], code: int, bits: int) -> Tensor:
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    return Tensor(address, _CUDA, device, len(shape), code, bits, 1, sizes)
