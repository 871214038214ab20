"""Compiles CUDA kernels for the processor, and runs them in threads: their very source, without a GPU.

A kernel may use atomics, and must not wait for other threads. Where the arithmetic of integers overflows, the process
ends.
"""

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

COMPILER = shutil.which("g++")

# What nvcc and NVRTC know by themselves, and a launch of a kernel in four threads.
_BEFORE = """
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>
#define __device__ static
#define __global__
struct dim3 { unsigned x, y, z; };
static thread_local dim3 blockIdx, blockDim, threadIdx;
static float __uint_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static unsigned atomicAdd(unsigned *to, unsigned value) { return __atomic_fetch_add(to, value, __ATOMIC_RELAXED); }
#line 1 "kernels"
"""
_AFTER = """
template <class... Given, size_t... Number>
static void call(void (*kernel)(Given...), void **given, std::index_sequence<Number...>)
{
    kernel(*static_cast<Given *>(given[Number])...);
}

template <class... Given> static void launch(void (*kernel)(Given...), dim3 grid, dim3 block, void **given)
{
    auto work = [=](unsigned first) {
        blockDim = block;
        for (unsigned number = first; number < grid.x * grid.y; number += 4) {
            blockIdx = {number % grid.x, number / grid.x, 0};
            for (unsigned thread = 0; thread < block.x; thread++) {
                threadIdx = {thread, 0, 0};
                call(kernel, given, std::index_sequence_for<Given...>{});
            }
        }
    };
    std::vector<std::thread> threads;
    for (unsigned first = 0; first < 4; first++) threads.emplace_back(work, first);
    for (auto &thread : threads) thread.join();
}
"""
_LAUNCH = 'extern "C" void launch_{0}(dim3 grid, dim3 block, void **given) {{ launch({0}, grid, block, given); }}\n'
_OPTIONS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-pthread", "-fsanitize=signed-integer-overflow,shift")
_TRAP = "-fsanitize-undefined-trap-on-error"


@cache
def compiled(source: bytes) -> str:
    """Return the path of a library with a function `launch_NAME(grid, block, arguments)` for each kernel.

    Raises `ValueError`: the compiler refuses the source.
    """
    assert COMPILER
    text = source.decode("ascii")
    launches = "".join(_LAUNCH.format(name) for name in re.findall(r"__global__ void (\w+)\(", text))
    folder = Path(tempfile.mkdtemp(prefix="fr-kernels-"))
    file, library = folder / "kernels.cpp", folder / "kernels.so"
    file.write_text(_BEFORE + text + _AFTER + launches)
    done = subprocess.run(
        [COMPILER, *_OPTIONS, _TRAP, str(file), "-o", str(library)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr)
    loaded = str(library)
    ctypes.CDLL(loaded)  # so that the folder can go
    shutil.rmtree(folder, ignore_errors=True)
    return loaded


class HostCompiler:
    """NVRTC, as far as an index uses it, for the processor. Its code is the path of a library."""

    def __init__(self) -> None:
        self.architecture = ""
        self._source, self._code = b"", b""

    def nvrtcCreateProgram(  # noqa: N802 - NVRTC's name, as the others
        self, program: Any, source: bytes, name: bytes, headers: int, contents: None, names: None
    ) -> int:
        """Take a source."""
        assert (name, headers, contents, names) == (b"int8_scan.cu", 0, None, None)
        program._obj.value, self._source = 7, source
        return 0

    def nvrtcCompileProgram(self, program: ctypes.c_void_p, count: int, options: Any) -> int:  # noqa: N802
        """Compile it; 6 is NVRTC_ERROR_COMPILATION."""
        assert (program.value, count) == (7, 1)
        self.architecture = options[0].decode("ascii")
        try:
            self._code = compiled(self._source).encode()
        except ValueError:
            return 6
        return 0

    def nvrtcGetCUBINSize(self, program: ctypes.c_void_p, size: Any) -> int:  # noqa: N802
        """Return the size of the code."""
        size._obj.value = len(self._code)
        return 0

    def nvrtcGetCUBIN(self, program: ctypes.c_void_p, code: Any) -> int:  # noqa: N802
        """Return the code."""
        ctypes.memmove(code, self._code, len(self._code))
        return 0

    def nvrtcDestroyProgram(self, program: Any) -> int:  # noqa: N802
        """Forget it."""
        program._obj.value = None
        return 0


class NullBlas:
    """The product of int8 of cuBLAS, by NumPy. `fails`: it reports an error."""

    def __init__(self) -> None:
        self.fails = False
        self.handles = 0
        self.multiplied = 0

    def cublasCreate_v2(self, handle: Any) -> int:  # noqa: N802 - cuBLAS's name, as the others
        """Make a handle."""
        handle._obj.value = 9
        self.handles += 1
        return 0

    def cublasDestroy_v2(self, handle: ctypes.c_void_p) -> int:  # noqa: N802
        """Give a handle back."""
        self.handles -= 1
        return int(handle.value != 9)

    def cublasGemmEx(  # noqa: N802
        self,
        handle: ctypes.c_void_p,
        turned_a: int,
        turned_b: int,
        m: int,
        n: int,
        k: int,
        alpha: Any,
        a: ctypes.c_void_p,
        kind_a: int,
        lda: int,
        b: ctypes.c_void_p,
        kind_b: int,
        ldb: int,
        beta: Any,
        c: ctypes.c_void_p,
        kind_c: int,
        ldc: int,
        compute: int,
        algorithm: int,
    ) -> int:
        """Multiply columns of int8 to int32, where all is as cuBLAS wants it: 13 is CUBLAS_STATUS_EXECUTION_FAILED."""
        if self.fails:
            return 13
        assert (handle.value, alpha._obj.value, beta._obj.value) == (9, 1, 0)
        assert (turned_a, turned_b, kind_a, kind_b, kind_c, compute, algorithm) == (1, 0, 3, 3, 10, 72, -1)
        assert not any(number % 16 for number in (lda, ldb, ldc, m, n, k))
        assert min(lda, ldb) >= k
        assert ldc >= m
        assert not any((place.value or 1) % 4 for place in (a, b, c))
        self.multiplied += 1
        rows, probes = (_memory(place, count * k, np.int8).reshape(count, k) for place, count in ((a, m), (b, n)))
        products = probes.astype(np.float64) @ rows.astype(np.float64).T  # exact: far below 2**53
        _memory(c, n * ldc, np.int32).reshape(n, ldc)[:, :m] = products.astype(np.int32)
        return 0


def _memory(address: ctypes.c_void_p, count: int, kind: Any) -> Any:
    size = count * np.dtype(kind).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address.value or 0), dtype=kind)


class HostKernels:
    """The kernels of a source, which work on arrays of NumPy."""

    def __init__(self, source: bytes) -> None:
        self._library = ctypes.CDLL(compiled(source))

    def run(self, name: str, threads: int, probes: int, *arguments: Any) -> None:
        """Run a kernel with so many threads for each probe; arguments are arrays in C order, counts, and None."""
        held = [
            ctypes.c_uint32(given) if isinstance(given, int) else ctypes.c_void_p(_place(given)) for given in arguments
        ]
        addresses = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
        getattr(self._library, f"launch_{name}")(_Dim3(-(-threads // 64), probes, 1), _Dim3(64, 1, 1), addresses)


class _Dim3(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint))


def _place(array: Any) -> int | None:
    assert array is None or array.flags.c_contiguous
    return None if array is None else int(array.ctypes.data)
