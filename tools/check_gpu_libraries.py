"""Check that ONNX Runtime and FAISS of this environment want one and the same major version of CUDA.

Reads the names of the CUDA libraries that are written into the installed shared objects, so it needs neither a GPU nor
a driver. `python tools/check_gpu_libraries.py [SITE_PACKAGES]` prints what each wants; exit status 1 if they differ, or
if a library without CUDA is installed in the place of one with it.
"""

import mmap
import re
import sys
import sysconfig
from pathlib import Path

# Where the distributions keep the shared objects that are linked to CUDA.
OBJECTS = {
    "onnxruntime-gpu": "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    "faiss-gpu": "faiss/libfaiss.so",
}

_CUDA_RUNTIME = re.compile(rb"libcudart\.so\.(\d+)")


def cuda_major(path: Path) -> set[int]:
    """The major versions of the CUDA runtime that a shared object names; empty where it names none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return {int(match[1]) for match in _CUDA_RUNTIME.finditer(content)}


def check(site_packages: Path) -> list[str]:
    """Return what is wrong with an environment, one sentence each; prints what its libraries want."""
    wrong, seen = [], set()
    for distribution, relative in OBJECTS.items():
        path = site_packages / relative
        majors = cuda_major(path) if path.is_file() else set()
        if len(majors) != 1:
            wrong.append(f"{distribution}: {relative} is missing, or names {len(majors)} versions of the CUDA runtime")
            continue
        print(f"{distribution} wants CUDA {min(majors)}")
        seen |= majors
    if len(seen) > 1:
        wrong.append(f"they want different versions of CUDA: {', '.join(map(str, sorted(seen)))}")
    return wrong


def main(arguments: list[str]) -> int:
    """Check the environment that runs this, or the one whose site-packages are named."""
    wrong = check(Path(arguments[0]) if arguments else Path(sysconfig.get_path("platlib")))
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
