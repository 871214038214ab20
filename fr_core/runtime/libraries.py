"""The libraries that run models, as far as opening one is concerned: the seam at which tests put another."""

import importlib.util
from collections.abc import Mapping
from typing import Protocol

from fr_core.runtime.devices import DeviceKind, DeviceSpec, Precision
from fr_core.runtime.providers import CPU, CUDA, TENSORRT
from fr_core.runtime.session import Plan, Session

_PROVIDER_OF: dict[DeviceKind, str] = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}


class Library(Protocol):
    """Runs models on some kinds of device."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """Return what its sessions raise where they cannot run a model."""

    def suited(self, kind: DeviceKind) -> Precision:
        """Return the precision in which it runs models on such a device, unless another is asked for."""

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        """Return why it does not run models so on this machine, a sentence; None where it may, which `open` decides."""

    def open(self, plan: Plan) -> Session:
        """Load a model. Raises `DeviceUnavailable`: the device is not there, or the library does not use it."""


class OnnxRuntimeLibrary:
    """ONNX Runtime, with the execution providers that it was built with.

    `offered`: names of its execution providers; None = those of the installed one.
    """

    def __init__(self, offered: tuple[str, ...] | None = None) -> None:
        self._offered = offered

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """As `Library.failures`."""
        from fr_core.runtime.onnxruntime_session import FAILURES

        return FAILURES

    def suited(self, kind: DeviceKind) -> Precision:
        """As `Library.suited`: fp16 on GPUs, whose tensor cores compute in it.

        On a processor, the embeddings of a face in fp16 and in f32 had a cosine similarity above 0.9995.
        """
        return "fp16" if DeviceSpec(kind).accelerated else "f32"

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        """As `Library.refusal`; says nothing of the machine."""
        offered = self._offered
        if offered is None:
            import onnxruntime

            offered = tuple(onnxruntime.get_available_providers())
        if _PROVIDER_OF[kind] in offered:
            return None
        return (
            f"The installed ONNX Runtime has no {_PROVIDER_OF[kind]} (it comes with fr-core[gpu]); it offers "
            f"{', '.join(offered)}."
        )

    def open(self, plan: Plan) -> Session:
        """As `Library.open`."""
        from fr_core.runtime.onnxruntime_session import open_onnxruntime

        return open_onnxruntime(plan)


class OpenVinoLibrary:
    """OpenVINO on the processor. It is imported when it is needed, for fr-core[gpu] comes without it."""

    failures: tuple[type[Exception], ...] = (RuntimeError,)
    """As `Library.failures`."""

    def suited(self, kind: DeviceKind) -> Precision:
        """As `Library.suited`: bf16 if the processor computes in it, which reaches every bar of `fr evaluate`."""
        return "bf16" if self.refusal(kind, "bf16") is None else "f32"

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        """As `Library.refusal`."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed; it comes with fr-core[cpu]."
        from fr_core.runtime.openvino_session import precisions

        found = precisions()
        if not found:
            return "OpenVINO does not support this processor."
        if precision not in found:
            return f"OpenVINO has no {precision} on this processor; it has {' and '.join(found)}."
        return None

    def open(self, plan: Plan) -> Session:
        """As `Library.open`."""
        from fr_core.runtime.openvino_session import open_openvino

        return open_openvino(plan)


Libraries = Mapping[DeviceKind, Library]  # which library runs a kind of device


def installed_libraries() -> Libraries:
    """The libraries of this environment."""
    onnxruntime = OnnxRuntimeLibrary()
    return {"cpu": onnxruntime, "cuda": onnxruntime, "tensorrt": onnxruntime, "openvino": OpenVinoLibrary()}
