"""Check that what ONNX Runtime and FAISS of this environment load is installed, and of one major version of CUDA.

Reads which shared objects these need (DT_NEEDED of their ELF headers), and those again, so it needs neither a GPU nor a
driver. `python tools/check_gpu_libraries.py [SITE_PACKAGES]` prints what each wants. The exit status is 1 if they want
different versions of CUDA, if a library without CUDA is installed in the place of one with it, or if one is missing.
"""

import re
import struct
import sys
import sysconfig
from pathlib import Path

# Where the distributions keep the shared objects that are linked to CUDA.
OBJECTS = {
    "onnxruntime-gpu": "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    "faiss-gpu-cuvs": "faiss/libfaiss.so",
    "libcuvs-cu13": "libcuvs/lib64/libcuvs_c.so",
}
# The folder of TensorRT, where that is installed, and what must find it.
TENSORRT = "tensorrt_libs"
TENSORRT_OBJECT = "onnxruntime/capi/libonnxruntime_providers_tensorrt.so"
# What the base image and the driver bring.
SYSTEM = re.compile(
    r"(ld-linux-x86-64|lib(c|cuda|dl|gcc_s|m|mvec|pthread|rt|stdc\+\+|util|z))\.so(\.\d+)*"  # glibc, GCC, zlib, driver
)

_CUDA_RUNTIME = re.compile(r"libcudart\.so\.(\d+)")
# The ELF format: generic ABI, chapters "ELF Header", "Program Header" and "Dynamic Section".
_MAGIC_64_LITTLE = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB = 1, 5


def needed(path: Path) -> tuple[str, ...]:
    """Return the names of the shared objects that one needs; ValueError where it is none for a 64-bit machine."""
    with path.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or not header.startswith(_MAGIC_64_LITTLE):
            raise ValueError(f"{path.name} is no shared object for a 64-bit machine")
        (start,), (size, count) = struct.unpack_from("<Q", header, 32), struct.unpack_from("<HH", header, 54)
        file.seek(start)
        table = file.read(size * count)
        loaded, dynamic = [], b""
        for at in range(0, size * count, size):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", table, at)
            if kind == _PT_LOAD:
                loaded.append((address, offset, length))
            elif kind == _PT_DYNAMIC:
                file.seek(offset)
                dynamic = file.read(length)
        entries = [struct.unpack_from("<QQ", dynamic, at) for at in range(0, len(dynamic) - 15, 16)]
        strings = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
        begin = next((strings - a + offset for a, offset, length in loaded if a <= strings < a + length), 0)
        names = []
        for tag, value in entries:
            if tag == _DT_NEEDED:
                file.seek(begin + value)
                names.append(file.read(256).split(b"\0", 1)[0].decode("ascii"))
        return tuple(names)


def check(site_packages: Path) -> list[str]:
    """Return what is wrong with an environment, one sentence each; prints what its libraries want."""
    installed = {path.name: path for path in site_packages.rglob("*.so*") if path.is_file()}
    wrong, seen = [], set()
    objects = dict(OBJECTS)
    if (site_packages / TENSORRT).is_dir():
        objects["TensorRT"] = TENSORRT_OBJECT
    for distribution, relative in objects.items():
        path = site_packages / relative
        if not path.is_file():
            wrong.append(f"{distribution}: {relative} is missing")
            continue
        names = _all_needed(path, installed)
        missing = sorted(name for name in names if name not in installed and not SYSTEM.fullmatch(name))
        if missing:
            wrong.append(f"{distribution}: nothing installed is {', '.join(missing)}")
        majors = {int(match[1]) for match in map(_CUDA_RUNTIME.fullmatch, names) if match}
        if not majors:
            wrong.append(f"{distribution}: {relative} needs no CUDA: a build for processors was installed over it")
            continue
        print(f"{distribution} wants CUDA {' and '.join(map(str, sorted(majors)))}")
        seen |= majors
    if len(seen) > 1:
        wrong.append(f"they want different versions of CUDA: {', '.join(map(str, sorted(seen)))}")
    return wrong


def _all_needed(path: Path, installed: dict[str, Path]) -> set[str]:
    """Return the names of all that a shared object needs, and that what it needs needs."""
    names: set[str] = set()
    left = [path]
    while left:
        new = set(needed(left.pop())) - names
        names |= new
        left += [installed[name] for name in sorted(new) if name in installed]
    return names


def main(arguments: list[str]) -> int:
    """Check the environment that runs this, or the one whose site-packages are named."""
    wrong = check(Path(arguments[0]) if arguments else Path(sysconfig.get_path("platlib")))
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
