"""Describes the machine, the accelerators and the versions of a measurement."""

import os
import shutil
import subprocess
from collections.abc import Sequence

import fr_core
from fr_bench.evaluate import machine
from fr_bench.speed.values import Conditions
from fr_evaluation.json_values import installed

PACKAGES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "Pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "faiss-cpu",
    "faiss-gpu-cuvs",
    "grpcio",
    "insightface",
)


def conditions(packages: Sequence[str] = PACKAGES) -> Conditions:
    """Describe this moment, with the versions of those of `packages` that are installed."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Conditions(machine(), load, _accelerators(), {"fr-core": fr_core.__version__, **installed(packages)})


def _accelerators() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return tuple(line.strip() for line in told.stdout.splitlines()) if told.returncode == 0 else ()
