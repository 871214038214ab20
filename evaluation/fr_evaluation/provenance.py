"""What a report was computed on: versions of the libraries that its numbers go through, and the kind of machine."""

from __future__ import annotations

import importlib.metadata
import platform

# Of each library its distributions, of which one is installed.
PACKAGES = (
    "numpy",
    "pillow",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "faiss-cpu",
    "faiss-gpu",
)


def versions() -> dict[str, str]:
    """Of Python, of the machine ("Linux x86_64"), and of those of `PACKAGES` that are installed, by name."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
