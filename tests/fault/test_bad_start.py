"""Settings that cannot be: `fr serve` ends with status 1 and one line that names the setting, before it listens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fr_core.packs.cache import ModelCache

START_S = 30.0
"""More than the start takes; it ends before the models are run."""


def refusal(tmp_path: Path, setting: str) -> str:
    """Start a server with a setting; return the line that it ends with."""
    fr = str(Path(sys.executable).with_name("fr"))
    command = [fr, "serve", "--port", "0", "--data", str(tmp_path / "data"), "--set", "model.device=cpu"]
    ended = subprocess.run([*command, "--set", setting], capture_output=True, text=True, timeout=START_S, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "setting",
    [
        "model.detection=quick",
        "model.precision=int8",
        "model.lanes=-1",
        "model.threads=-1",
        "model.workers=-1",
        "batching.max_queued=0",
        'batching.detector_sizes=""',
        "batching.detector_sizes=2,4",
        "batching.embedder_sizes=0,1",
        "batching.embedder_sizes=-1",
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path: Path, setting: str) -> None:
    line = refusal(tmp_path, setting)
    assert line.startswith("CONFIG_INVALID: ")
    assert f"`{setting.partition('=')[0]}`" in line


@pytest.mark.models
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model.device=nope", "CONFIG_INVALID: 'nope' is not a device; the devices are auto, "),
        ("model.device=cuda:0,0", "CONFIG_INVALID: The device 'cuda:0,0' names a number twice."),
        ("model.precision=fp16", "CONFIG_INVALID: The device cpu has no fp16 (`model.precision`); it has f32."),
        ("model.pack=nope", "UNKNOWN_PACK: "),
    ],
)
def test_a_device_or_pack_that_cannot_be_is_named(
    tmp_path: Path, pack_cache: ModelCache, setting: str, sentence: str
) -> None:
    assert refusal(tmp_path, setting).startswith(sentence)
