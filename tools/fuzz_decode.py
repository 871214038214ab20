"""Fuzz the decoder of photos: `python tools/fuzz_decode.py mutants`, `sandboxed`, or `guided` with coverage by Atheris.

mutants: a number of mutants of drawn photos and of the kept inputs. A mutant that crashes the decoder, raises an error
that is no refusal, or costs too much is written to a folder. A crash ends only the process of its batch. sandboxed:
mutants of AVIF and HEIC in the sandbox, as in a server; a crash costs one process. guided: for a number of seconds, by
coverage of Pillow's Python and of ours; it needs Atheris, which the development environment does not have: `python -m
pip install atheris`. keep: the fewest inputs of a folder that reach every line of the decoder that all inputs together
reach, as lines of tests/corpus/images.txt.
"""

import argparse
import base64
import hashlib
import importlib
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools")]

from fr_core.errors import FrError  # noqa: E402
from fr_core.imaging import ImageLimits, decode  # noqa: E402
from fr_core.imaging.sandbox import ALWAYS_SANDBOXED, SandboxedDecoder, needed_mib  # noqa: E402
from photo_mutants import Mutants, drawn_seeds, kept_inputs  # noqa: E402

LIMITS = ImageLimits(max_pixels=1_000_000)
"""Limits on photos here: with so few pixels, a permitted photo costs little beside the limits below."""

MOST_MS = 250.0
MOST_GROWTH_MIB = 200.0
KEPT = REPOSITORY / "tests" / "corpus" / "images.txt"

_BATCH = 10_000


def seeds_of(sandboxed: bool) -> list[bytes]:
    """Return the drawn photos of the formats that a server always decodes in the sandbox, or of the others."""
    drawn = drawn_seeds().items()
    return [data for name, data in drawn if (name.partition(",")[0] in ALWAYS_SANDBOXED) == sandboxed]


def run_sandboxed(seed: int, count: int) -> dict[str, float]:
    """Decode `count` mutants of AVIF and HEIC in the sandbox.

    Return the number of each outcome, and `costly` and `crashed`, the numbers of processes that were replaced. Raises
    any other failure.
    """
    found = {"costly": 0.0, "crashed": 0.0}

    def replaced(costly: bool) -> None:
        found["costly" if costly else "crashed"] += 1

    mutants = Mutants(seeds_of(sandboxed=True), np.random.default_rng(seed))
    decoder = SandboxedDecoder(1, needed_mib(LIMITS), 5_000, on_replaced=replaced)
    try:
        for _ in range(count):
            try:
                decoder.decode(mutants.next(), LIMITS)
                said = "decoded"
            except FrError as refused:
                said = refused.reason
            found[said] = found.get(said, 0.0) + 1
    finally:
        decoder.close()
    return found


def outcome(data: bytes, limits: ImageLimits = LIMITS) -> tuple[str, float]:
    """Return "decoded" or the reason of the refusal, and the milliseconds of this thread; raises any other failure."""
    begun = time.thread_time()
    try:
        decode(data, limits)
        said = "decoded"
    except FrError as refused:
        said = refused.reason
    return said, (time.thread_time() - begun) * 1000


def run_batch(seeds: Sequence[bytes], seed: int, count: int, folder: Path) -> dict[str, float]:
    """Decode `count` mutants; write those that fail to `folder`.

    Return the number of each outcome, `slowest_ms`, `growth_mib` of the peak memory, and `failed`, the number written.
    """
    mutants = Mutants(seeds, np.random.default_rng(seed))
    at_work = folder / f"at-work-{seed}.bin"
    before = _peak_mib()
    found: dict[str, float] = {"slowest_ms": 0.0, "growth_mib": 0.0, "failed": 0.0}
    for _ in range(count):
        data = mutants.next()
        at_work.write_bytes(data)  # what is left of a process that crashes
        try:
            said, took_ms = outcome(data)
        except BaseException as error:  # noqa: BLE001 - what is looked for
            said, took_ms = f"raised {type(error).__name__}", 0.0
        found[said] = found.get(said, 0.0) + 1
        found["slowest_ms"] = max(found["slowest_ms"], took_ms)
        grown, found["growth_mib"] = found["growth_mib"], _peak_mib() - before
        too_large = grown <= MOST_GROWTH_MIB < found["growth_mib"]
        if said.startswith("raised") or took_ms > MOST_MS or too_large:
            found["failed"] += 1
            (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    at_work.unlink()
    return found


def _peak_mib() -> float:
    """Most memory that this process held; not getrusage(2), which counts what its parent held before it."""
    (line,) = (line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


def _mutants(count: int, seed: int, folder: Path) -> int:
    """Run batches in processes of their own; returns the number of inputs that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(sandboxed=False) * 5 + kept_inputs(KEPT)  # most of those kept are broken already
    total: dict[str, float] = {}
    context = multiprocessing.get_context("spawn")
    for start in range(0, count, _BATCH):
        with ProcessPoolExecutor(1, context) as process:
            try:
                found = process.submit(run_batch, seeds, seed + start, min(_BATCH, count - start), folder).result()
            except BrokenProcessPool:  # it crashed
                found = {"failed": 1.0}
        for key, value in found.items():
            most = key in ("slowest_ms", "growth_mib")
            total[key] = max(total.get(key, 0.0), value) if most else total.get(key, 0.0) + value
    for key in sorted(total):
        print(f"{key}: {total[key]:g}")
    if total["failed"]:
        print(f"The inputs that failed are in {folder}; at-work-*.bin are those that ended the process.")
    return int(total["failed"])


def _guided(seconds: int, folder: Path) -> None:
    """Fuzz by coverage; new inputs go to `folder`, and an input that fails becomes crash-* in it."""
    atheris: Any = importlib.import_module("atheris")  # not of the development environment
    folder.mkdir(parents=True, exist_ok=True)
    for data in [*seeds_of(sandboxed=False), *(kept_inputs(KEPT) if KEPT.exists() else [])]:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def one_input(data: bytes) -> None:
        _, took_ms = outcome(data)
        if took_ms > MOST_MS * 4:  # the instruments slow everything down
            raise TimeoutError(f"{took_ms:.0f} ms")

    atheris.instrument_all()
    options = [f"-max_total_time={seconds}", "-max_len=20000", "-rss_limit_mb=1024", "-timeout=5"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(folder)], one_input)
    atheris.Fuzz()


def _lines_of(data: bytes) -> frozenset[tuple[str, int]]:
    """Lines of Pillow and of the rooms of imaging that decoding a photo runs; and what came of it."""
    seen: set[tuple[str, int]] = set()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def tracer(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        return local if "PIL" in file or "imaging" in file else None

    sys.settrace(tracer)
    try:
        said, _ = outcome(data)
    finally:
        sys.settrace(None)
    return frozenset({*seen, (said, 0)})


def _keep(inputs: Iterable[bytes]) -> list[bytes]:
    """The fewest inputs, the smallest first, that reach all lines that drawn photos alone do not."""
    reached = set[tuple[str, int]]().union(*(_lines_of(data) for data in seeds_of(sandboxed=False)))
    kept = []
    for data in sorted(inputs, key=len):
        lines = _lines_of(data)
        if not lines <= reached:
            reached |= lines
            kept.append(data)
    return kept


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mutants", "sandboxed", "guided", "keep"))
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "fuzz", metavar="FOLDER")
    chosen = parser.parse_args()
    if chosen.what == "sandboxed":
        for key, value in sorted(run_sandboxed(chosen.seed, chosen.count).items()):
            print(f"{key}: {value:g}")
    elif chosen.what == "guided":
        _guided(chosen.seconds, chosen.out)
    elif chosen.what == "keep":
        for data in _keep(path.read_bytes() for path in chosen.out.iterdir() if path.stat().st_size <= 4096):
            print(base64.b64encode(data).decode())
    else:
        sys.exit(1 if _mutants(chosen.count, chosen.seed, chosen.out) else 0)


if __name__ == "__main__":
    main()
