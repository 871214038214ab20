"""Settings that cannot be: the start fails with a sentence that names the setting, before anybody listens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fr_core.errors import FrError
from fr_core.packs.cache import ModelCache
from fr_server.config import load_config
from fr_server.main import build

START_S = 30.0
"""More than the start takes; it ends before the models are run."""


def line_of_the_command(folder: Path, setting: str) -> str:
    """Start `fr serve` with a setting; return the line that it ends with."""
    fr = str(Path(sys.executable).with_name("fr"))
    command = [fr, "serve", "--port", "0", "--data", str(folder), "--set", "model.device=cpu"]
    ended = subprocess.run([*command, "--set", setting], capture_output=True, text=True, timeout=START_S, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    return line


def refusal(folder: Path, setting: str) -> str:
    """What the command would say."""
    with pytest.raises(FrError) as refused:
        build(load_config(None, ["model.device=cpu", setting], {"server.port": 0, "gallery.folder": str(folder)}))
    assert not folder.exists()
    return f"{refused.value.reason}: {refused.value.message}"


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
    told = refusal(tmp_path / "data", setting)
    assert told.startswith("CONFIG_INVALID: ")
    assert f"`{setting.partition('=')[0]}`" in told


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
    assert refusal(tmp_path / "data", setting).startswith(sentence)


@pytest.mark.models
@pytest.mark.parametrize("setting", ["model.lanes=-1", "model.device=nope", "model.pack=nope"])
def test_the_command_ends_with_that_sentence_and_status_1(tmp_path: Path, pack_cache: ModelCache, setting: str) -> None:
    assert line_of_the_command(tmp_path / "data", setting) == refusal(tmp_path / "data", setting)
