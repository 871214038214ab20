"""The versions for GPUs belong together: one CUDA, and nothing that would put a library without CUDA in their place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from check_gpu_libraries import OBJECTS, check
from lock_file import ROOT, read_lock

PINNED = {pin.name: pin.version for pin in read_lock(ROOT / "requirements-gpu.lock")}


def test_every_cuda_package_is_of_one_major_version() -> None:
    suffixes = {match[1] for name in PINNED if (match := re.search(r"-(cu\d+)$", name))}
    assert suffixes == {"cu12"}
    # From CUDA 13 on the wheels have no suffix, so that one of them would stay unseen.
    assert [name for name in PINNED if name.startswith("nvidia-") and not name.endswith("-cu12")] == []
    assert PINNED["nvidia-cuda-runtime-cu12"].startswith("12.")


def test_libraries_without_cuda_stay_out() -> None:
    assert {"onnxruntime-gpu", "faiss-gpu"} <= PINNED.keys()
    assert not {"onnxruntime", "faiss-cpu", "openvino", "insightface"} & PINNED.keys()


def environment(folder: Path, majors: dict[str, bytes]) -> Path:
    for distribution, content in majors.items():
        path = folder / OBJECTS[distribution]
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\x7fELF" + content)
    return folder


def test_libraries_of_one_cuda_pass(tmp_path: Path) -> None:
    both = {"onnxruntime-gpu": b"libcudart.so.12\0", "faiss-gpu": b"libcudart.so.12\0libcudart.so.12\0"}
    assert check(environment(tmp_path, both)) == []


@pytest.mark.parametrize(
    "majors",
    [
        {"onnxruntime-gpu": b"libcudart.so.13\0", "faiss-gpu": b"libcudart.so.12\0"},
        {"onnxruntime-gpu": b"libcudart.so.12\0", "faiss-gpu": b"no CUDA in it"},
        {"onnxruntime-gpu": b"libcudart.so.12\0"},
    ],
    ids=["two versions", "one without", "one missing"],
)
def test_libraries_that_do_not_fit_are_found(tmp_path: Path, majors: dict[str, bytes]) -> None:
    assert check(environment(tmp_path, majors)) != []
