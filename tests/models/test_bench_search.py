"""`fr bench search` end to end with real faces: the real command, the real engine, few templates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fr_core.packs.cache import ModelCache

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(300)]


def test_faces_of_photos_are_searched_among_random_ones(tmp_path: Path, pack_cache: ModelCache, testdata: Path) -> None:
    fr = Path(sys.executable).parent / "fr"
    options = "--n 5000 --probes 20 --repeat 2 --peer flat --photos lfw --device cpu --precision f32 --bar --json"
    done = subprocess.run(
        [fr, "bench", "search", *options.split(), "--testdata", testdata, "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "search-compact-5000-lfw.json").read_text())
    assert (content["pack"], content["device"]["active"], content["precision"]) == ("buffalo_s", "cpu", "f32")
    photos = content["photos"]
    assert photos["pairs"] + photos["without_face"] == content["settings"]["probes"] + photos["without_face"] == 20
    assert 0.4 < photos["cosine_median"] < 0.9
    assert content["mated_cosine"] is None
    # The people are found among as many strangers, and nothing of that comes from a probe that is enrolled itself.
    assert content["point"]["exact_rank1_mated"] > 0.9
    assert photos["cosine_min"] < 0.6
    assert (content["rank1"], content["score_error"]) == (1.0, 0.0)
    assert content["top20_recall"] >= 0.99
    # No name and no path of a person is in what is kept.
    told = (tmp_path / "search-compact-5000-lfw.json").read_text() + done.stderr
    assert ".jpg" not in told
