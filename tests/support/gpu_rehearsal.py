"""A plugin of pytest that lets the tests of `tests/gpu` run without a GPU: `pytest -p support.gpu_rehearsal tests/gpu`.

It shows that these tests can pass; of a GPU it shows nothing. Models run on the processor under the name of a CUDA
device, in the precision that is asked for, and vectors lie in two `NullGpu`.
"""

from dataclasses import replace

from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index import cuvs_gpu, faiss_cuda, int8_gpu
from fr_core.runtime import open as opening
from fr_core.runtime.devices import ActiveDevice, DeviceKind, DeviceSpec, Precision
from fr_core.runtime.libraries import OnnxRuntimeLibrary, installed_libraries
from fr_core.runtime.onnxruntime_session import open_onnxruntime
from fr_core.runtime.session import Plan, Session
from support.gpus import NullGpu

_GPUS = 2


class NullCuda(OnnxRuntimeLibrary):
    """The processor as so many CUDA devices."""

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        """As `Library.refusal`: never."""
        return None

    def open(self, plan: Plan) -> Session:
        """As `Library.open`."""
        if plan.spec.indices[0] >= _GPUS:
            raise DeviceUnavailable("There are no more GPUs.", device=str(plan.spec))
        session = open_onnxruntime(replace(plan, spec=DeviceSpec("cpu")))
        session.device = ActiveDevice(plan.requested, str(plan.spec), session.device.runtime, plan.precision)  # type: ignore[misc]
        return session


class NumberedNullGpu(NullGpu):
    """A `NullGpu` that is opened as `CudaGpu` is."""

    def __init__(self, device: int, *, filters: bool = False) -> None:
        super().__init__(filters=filters)
        assert device < _GPUS


class NullCuvsGpu(NumberedNullGpu):
    """A `NullGpu` that is opened as `CuvsGpu` and `Int8Gpu` are."""

    def __init__(self, device: int) -> None:
        super().__init__(device, filters=True)


faiss_cuda.gpu_count = lambda: _GPUS
faiss_cuda.CudaMemory = NumberedNullGpu  # type: ignore[assignment, misc]
faiss_cuda.CudaGpu = NumberedNullGpu  # type: ignore[assignment, misc]
cuvs_gpu.CuvsGpu = NullCuvsGpu  # type: ignore[assignment, misc]
int8_gpu.Int8Gpu = NullCuvsGpu  # type: ignore[assignment, misc]
opening.installed_libraries = lambda: {**installed_libraries(), "cuda": NullCuda()}  # type: ignore[attr-defined]
