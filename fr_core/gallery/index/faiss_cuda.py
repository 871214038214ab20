"""Uses a GPU through the CUDA runtime and FAISS: allocates memory of our own, and has FAISS search it."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fr_core.errors import DeviceLost, DeviceUnavailable, message
from fr_core.gallery.index.gpu_memory import BLOCK_ROWS, F16, HALF_BYTES, MAX_FETCHED, PROBES_PER_PASS, RowBits
from fr_core.types import F32, I64

_log = logging.getLogger(__name__)
# An enrolment that a GPU refuses is stored all the same, and its caller is told nothing: the log is where it is read.
_REFUSED = "GPU %d refused %s for the vectors of a gallery: %s"

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # of cudaMemcpyKind
# Values of a vector for which the scratch memory has room without asking CUDA again, which every search would wait for.
MOST_VALUES = 4096


def gpu_count() -> int:
    """Return how many GPUs FAISS can use; 0 where it was built without them."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def scratch_bytes(probes: int, rows: int, k: int, dimension: int) -> int:
    """Return the scratch memory that FAISS takes for a search of a block.

    Two buffers of products, two of what was selected of them, the results, and the probes
    (faiss/gpu/impl/Distance.cu, runDistance; faiss/gpu/GpuDistance.cu, bfKnnConvert).
    """
    products, selected = 4 * probes * rows, (4 + 8) * probes * k
    return 2 * products + 3 * selected + HALF_BYTES * probes * dimension


class CudaMemory:
    """The memory of a GPU: a `Gpu` but for its searches. Make it, use it and drop it in one thread.

    Args:
        device: number of the GPU, in CUDA's numbering.
        runtime: the functions of the CUDA runtime; None = those of the one that FAISS loaded, and made visible to all
            (faiss/__init__.py).
    """

    doubted = 0

    def __init__(self, device: int, runtime: Any = None) -> None:
        self._device = device
        self._runtime = runtime or ctypes.CDLL(None)
        self._runtime.cudaGetErrorString.restype = ctypes.c_char_p
        self._need("cudaSetDevice", ctypes.c_int(device))

    def allocate(self, size: int) -> int:
        """As `Gpu.allocate`."""
        pointer = ctypes.c_void_p()
        self._need("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(size))
        return int(pointer.value or 0)

    def write(self, address: int, halves: F16) -> None:
        """As `Gpu.write`."""
        self._copy_in(address, np.ascontiguousarray(halves, dtype=np.float16))

    def zero(self, address: int, size: int) -> None:
        """As `Gpu.zero`."""
        self._call("cudaMemset", ctypes.c_void_p(address), 0, ctypes.c_size_t(size))
        self._call("cudaDeviceSynchronize")

    def free(self, address: int) -> None:
        """As `Gpu.free`."""
        self._call("cudaFree", ctypes.c_void_p(address))

    def _copy_in(self, address: int, values: npt.NDArray[Any]) -> None:
        """Copy an array in C order to the GPU, and return when it is there."""
        source = ctypes.c_void_p(values.ctypes.data)
        self._call("cudaMemcpy", ctypes.c_void_p(address), source, ctypes.c_size_t(values.nbytes), _HOST_TO_DEVICE)
        self._call("cudaDeviceSynchronize")  # searches run in a stream that does not wait for this one

    def _copy_out(self, values: npt.NDArray[Any], address: int) -> None:
        """Fill an array in C order from the GPU."""
        to = ctypes.c_void_p(values.ctypes.data)
        self._call("cudaMemcpy", to, ctypes.c_void_p(address), ctypes.c_size_t(values.nbytes), _DEVICE_TO_HOST)

    def _need(self, call: str, *arguments: object) -> None:
        """Call a function of the CUDA runtime; raises `DeviceUnavailable`: it reports an error."""
        if reason := self._reason(call, *arguments):
            raise self._unavailable(call, reason)

    def _call(self, call: str, *arguments: object) -> None:
        """Call a function that only a broken GPU refuses; raises `DeviceLost`: it reports an error."""
        if reason := self._reason(call, *arguments):
            raise self._lost(call, reason)

    def _unavailable(self, call: str, reason: str) -> DeviceUnavailable:
        _log.error(_REFUSED, self._device, call, reason)
        return DeviceUnavailable(
            message("error.gallery.gpu_refused", device=self._device, call=call, reason=reason),
            device=f"cuda:{self._device}",
        )

    def _lost(self, call: str, reason: str) -> DeviceLost:
        _log.error(_REFUSED, self._device, call, reason)
        return DeviceLost(
            message("error.gallery.gpu_refused", device=self._device, call=call, reason=reason),
            device=f"cuda:{self._device}",
        )

    def _reason(self, call: str, *arguments: object) -> str:
        code = getattr(self._runtime, call)(*arguments)
        return f"error {code}: {self._runtime.cudaGetErrorString(code).decode('ascii', 'replace')}" if code else ""


class CudaGpu(CudaMemory):
    """A `Gpu` that FAISS searches. Make it, use it and drop it in one thread.

    FAISS's own index of flat vectors would do less: each addition copies all vectors and computes all norms anew, it
    can overwrite no row, and it frees memory as it is (faiss/gpu/impl/FlatIndex.cu).

    Args:
        device: number of the GPU, in CUDA's numbering.
        runtime: as `CudaMemory` takes it.
        library: FAISS.
    """

    filters = False

    def __init__(self, device: int, runtime: Any = None, library: Any = faiss) -> None:
        super().__init__(device, runtime)
        self._faiss = library
        self._resources = library.StandardGpuResources()
        self._resources.setTempMemory(scratch_bytes(PROBES_PER_PASS, BLOCK_ROWS, MAX_FETCHED, MOST_VALUES))

    def search(self, address: int, rows: int, probes: F16, k: int, allowed: RowBits | None = None) -> tuple[F32, I64]:
        """As `Gpu.search`, of every row: `allowed` is None."""
        probes = np.ascontiguousarray(probes, dtype=np.float16)
        scores = np.empty((len(probes), k), dtype=np.float32)
        found = np.empty((len(probes), k), dtype=np.int64)
        wanted = self._faiss.GpuDistanceParams()
        wanted.metric, wanted.k, wanted.dims = self._faiss.METRIC_INNER_PRODUCT, k, probes.shape[1]
        wanted.vectors, wanted.numVectors = self._faiss.cast_integer_to_void_ptr(address), rows
        wanted.queries, wanted.numQueries = self._faiss.swig_ptr(probes), len(probes)
        wanted.vectorType = wanted.queryType = self._faiss.DistanceDataType_F16
        wanted.outDistances, wanted.outIndices = self._faiss.swig_ptr(scores), self._faiss.swig_ptr(found)
        wanted.outIndicesType, wanted.device = self._faiss.IndicesDataType_I64, self._device
        try:
            self._faiss.bfKnn(self._resources, wanted)
        except RuntimeError as error:
            raise self._lost("bfKnn", str(error).partition("\n")[0]) from error
        return scores, found
