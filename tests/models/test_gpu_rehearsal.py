"""The tests of `tests/gpu`: skipped without a GPU, failed where one is required, and able to pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.counts import NIGHTLY

ROOT = Path(__file__).resolve().parents[2]
INDEX = "tests/gpu/test_gpu_index.py"
# Takes minutes without a GPU: half a million rows and 256 probes.
WITH_A_GPU_ONLY = f"{INDEX}::test_a_full_block_is_searched_in_the_scratch_memory_there_is"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = {**inherited, "CUDA_VISIBLE_DEVICES": "", "FR_GPU_REQUIRED": "", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=1800, check=False)


def test_without_a_gpu_its_tests_are_skipped_and_fail_only_where_one_is_required() -> None:
    skipped, required = run(INDEX), run(INDEX, FR_GPU_REQUIRED="1")
    assert skipped.returncode == 0, skipped.stdout
    assert "passed" not in skipped.stdout
    assert required.returncode == 1, required.stdout
    assert "FR_GPU_REQUIRED is set, and the test would be skipped: Skipped: FAISS has no GPU" in required.stdout
    assert "skipped" not in required.stdout.splitlines()[-1]


@pytest.mark.models
@pytest.mark.slow
def test_the_tests_for_gpus_can_pass() -> None:
    """By day those of the gallery index that take seconds; at night all that need no real GPU."""
    by_day = [INDEX, "-k", "erased or spread or near or full_refuses or bitset"]
    chosen = ["tests/gpu", "--deselect", WITH_A_GPU_ONLY] if NIGHTLY else by_day
    done = run("-p", "support.gpu_rehearsal", *chosen, FR_GPU_REQUIRED="1", PYTHONPATH="tests")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
