"""Check all that needs a GPU in ten minutes: driver, libraries, tests, accuracy and speed. `make check-gpu` runs it.

A step that fails or takes too long does not keep the next from running. What each wrote is in `build/check-gpu`; at the
end there is one line for each. The exit status is 1 unless all went well.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "check-gpu"
LIMIT_S = 600.0
_LAST_LINES = 15
_GRACE_S = 10.0
# Photos and templates of the measurements, so that they fit into the time; and those without a GPU.
_SIZES = {True: ("4000", "1000000"), False: ("40", "20000")}


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the seconds that it may take."""

    name: str
    command: tuple[str, ...]
    limit_s: float
    variables: Mapping[str, str] = field(default_factory=dict)  # of the environment, beside those there are


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a step: "ok", "FAILED", "late" where it was stopped, or "not run" where no time was left."""

    name: str
    state: str
    seconds: float


def steps(fr: str, device: str, pack: str, photos: str, models: Path | None) -> list[Step]:
    """Return all steps, the most telling first.

    Args:
        fr: the command of the environment that is checked.
        device: as `fr serve` takes it; one without a GPU rehearses the steps.
        pack: whose speed is measured; accuracy is that of buffalo_s, which has bars.
        photos: of the measurements of speed, as `fr bench` takes them.
        models: a folder with model files, where they cannot be downloaded.
    """
    python = str(Path(fr).with_name("python"))
    on_gpu = device.partition(":")[0] in ("cuda", "tensorrt")
    source = ["--from", str(models)] if models else []
    number, templates = _SIZES[on_gpu]
    speed = [f"FR={fr}", f"DEVICE={device}", f"PACK={pack}", f"PHOTOS={photos}", f"NUMBER={number}"]
    speed += [f"TEMPLATES={templates}", "BAR=", f"MODELS={models or ''}", f"OUT={LOGS / 'results'}"]
    query = "--query-gpu=index,name,compute_cap,memory.total,driver_version"
    of_gpu = [
        Step("driver", ("nvidia-smi", query, "--format=csv"), 20),
        Step("libraries", (python, "tools/check_gpu_libraries.py"), 30),
    ]
    return [
        *(of_gpu if on_gpu else []),
        Step("models", (fr, "models", "fetch", "buffalo_s", *source), 60),
        Step("tests", (python, "-m", "pytest", "-q", "tests/gpu"), 240, {"FR_GPU_REQUIRED": "1" if on_gpu else ""}),
        Step("accuracy", (fr, "evaluate", "--device", device, "--only", "lfw"), 180),
        Step("speed", ("make", "bench-gpu", *speed), 300),
    ]


def run(todo: Sequence[Step], folder: Path, limit_s: float = LIMIT_S) -> list[Outcome]:
    """Run steps one after the other, within so many seconds; their output goes to `folder`, and its end to stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    begin, outcomes = time.monotonic(), []
    for step in todo:
        left = limit_s - (time.monotonic() - begin)
        if left <= 0:
            outcomes.append(Outcome(step.name, "not run", 0.0))
            continue
        print(f"{step.name}: {' '.join(step.command)}", flush=True)
        log, begun = folder / f"{step.name}.log", time.monotonic()
        state = _state(step, log, min(step.limit_s, left))
        outcomes.append(Outcome(step.name, state, time.monotonic() - begun))
        if state != "ok":
            lines = log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
            print("\n".join(f"  {line}" for line in lines), file=sys.stderr, flush=True)
    return outcomes


def _state(step: Step, log: Path, limit_s: float) -> str:
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **step.variables},
                start_new_session=True,
            )
        except OSError as error:
            output.write(str(error).encode())
            return "FAILED"
        try:
            return "FAILED" if process.wait(limit_s) else "ok"
        except subprocess.TimeoutExpired:
            _end(process)
            return "late"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--fr", required=True, help="the command `fr` of the environment that is checked")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pack", default="buffalo_l")
    parser.add_argument("--photos", default="lfw")
    parser.add_argument("--models", type=Path, help="a folder with model files, where they cannot be downloaded")
    chosen = parser.parse_args(arguments)
    outcomes = run(steps(chosen.fr, chosen.device, chosen.pack, chosen.photos, chosen.models), LOGS)
    for outcome in outcomes:
        print(f"{outcome.state:8} {outcome.seconds:5.0f} s  {outcome.name}")
    return 0 if all(outcome.state == "ok" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
