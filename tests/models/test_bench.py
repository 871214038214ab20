"""`fr bench` with models: a secured server beside the stand-in of InsightFace Server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_bench.speed import call_cost, rounds
from fr_bench.speed.generator import Closed
from fr_bench.speed.peer import SERVER_SIZES, Peer
from fr_bench.speed.rest_peer import STAND_IN, RestOrder, opened_rest_peer
from fr_bench.speed.workload import read_photos
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from support.counts import NIGHTLY
from support.servers import photo

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(autouse=True)
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By day have servers open the models in a tenth of the time: on the processor, with one size of batches."""
    if not NIGHTLY:
        monkeypatch.setenv("FR__MODEL__DEVICE", "cpu")
        monkeypatch.setenv("FR__BATCHING__EMBEDDER_SIZES", "1")


def of(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    return [one for one in content["rates"] if part in one["subject"]]


@pytest.mark.parametrize(
    "most", [pytest.param(2.0, id="quiet"), pytest.param(-1.0, id="busy", marks=pytest.mark.nightly)]
)
def test_the_cost_of_a_call_is_told_on_a_quiet_machine_alone(
    pack_cache: ModelCache, most: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rounds, "MOST_OTHER_LOAD", most)
    status = call_cost.main(["--subjects", "50", "--calls", "50", "--rounds", "1", "--json"])
    told = capsys.readouterr()
    if most < 0:
        assert (status, told.out) == (2, "")
        assert "--allow-busy" in told.err
    else:
        assert status == 0
        (cost,) = json.loads(told.out)["search"]
        assert cost["name"] == "this"
        assert cost["cpu_ms"] > 0


def test_a_secured_server_is_measured_beside_the_stand_in(
    pack_cache: ModelCache, photos: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("insightface")
    (tmp_path / "photos").mkdir()
    for key in ("obama", "person_a_1"):
        (tmp_path / "photos" / f"{key}.jpg").write_bytes(photos[key].read_bytes())
    options = (
        "--photos photos --number 4 --repeat 1 --secured --peer-url stand-in --ratio-to-pipeline --allow-busy --json"
    )
    if not NIGHTLY:
        options += " --device cpu"
    done = subprocess.run(
        [Path(sys.executable).parent / "fr", "bench", "serve", *options.split(), "--out", "out"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["load"]["secured"] is True
    assert [one["subject"] for one in content["rates"]] == ["server", "pipeline", "peer (stand-in, 8 at once)"]
    assert all(one["cpu_ms_per_photo"] > 0 for one in content["rates"])
    assert content["ratio"] == pytest.approx(content["photos_per_s"] / content["peer_photos_per_s"])
    agreement = content["agreement"]
    assert (agreement["peer_faces"], agreement["matched"]) == (2, 2)
    assert agreement["cosine_min"] > 0.9
    assert [path.suffix for path in sorted((tmp_path / "out").iterdir())][:2] == [".json", ".md"]
    assert "TLS, access by key and audit" in next((tmp_path / "out").glob("*-secured-*.md")).read_text()


def test_the_stand_in_answers_with_the_largest_face_of_insightfaces_pipeline(pack_cache: ModelCache) -> None:
    pytest.importorskip("insightface")
    six_people = read_photos(["t1"], 1, None).photos[0]
    pack, listed = load_pack("buffalo_s"), (six_people, photo(width=64, height=64))
    with Peer(pack, listed, SERVER_SIZES) as peer:
        found = peer.faces()
    with opened_rest_peer(RestOrder(STAND_IN), pack.name, listed, Closed((0, 1, 0), 2, 60.0)) as stand_in:
        assert stand_in is not None
        ours, nothing = stand_in.faces
        done = stand_in.run(0)
    assert (done.photos, done.faces, len(nothing.boxes), len(found[1].boxes)) == (3, 2, 0, 0)
    assert (len(ours.boxes), len(found[0].boxes)) == (1, 6)
    theirs = int(np.argmax(np.prod(found[0].boxes[:, 2:] - found[0].boxes[:, :2], axis=1)))
    assert np.abs(ours.boxes[0] - found[0].boxes[theirs]).max() < 2
    assert ours.embeddings is not None
    assert found[0].embeddings is not None
    # Pillow and OpenCV decode a JPEG a little differently.
    assert ours.embeddings[0] @ found[0].embeddings[theirs] > 0.99


TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.mark.nightly
def test_servers_on_one_postgresql_are_measured_beside_one_in_a_folder(pack_cache: ModelCache) -> None:
    short = "--subjects 50 --calls 60 --rounds 1 --json --allow-busy"
    done = subprocess.run(
        [sys.executable, TOOLS / "bench_servers.py", *short.split()],
        env={**os.environ, "PYTHONPATH": str(TOOLS.parent / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["servers"] for one in found["servers"]] == [1, 2, 3]
    assert all(one["searches_per_s"] > 0 for one in found["servers"])
    assert min(found["postgresql_p50_ms"], found["folder_p50_ms"]) > 0


SPEED_BARS = TOOLS / "speed_bars.py"
# By day the one that needs no server.
PARTS = ("lfw", "t1", "stream", "large", "groups", "search") if NIGHTLY else ("search",)


def speed_bars(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SPEED_BARS, *words], capture_output=True, text=True, timeout=900, check=False
    )


def test_make_speed_bars_prints_each_figure_beside_its_bar(pack_cache: ModelCache, testdata: Path) -> None:
    pytest.importorskip("insightface")
    short = ["--photos", "2", "--repeat", "1", "--templates", "2000", "--allow-busy", "--testdata"]
    done = speed_bars("--parts", *PARTS, *short, testdata)
    assert done.returncode == 0, done.stderr
    *figures, busy, last = done.stdout.splitlines()
    assert len(figures) == (26 if NIGHTLY else 1)
    for line in figures:
        name, value, told = line[:62].strip(), float(line[62:71]), line[73:]
        bar = re.match(r"bar (>=|<=) (\S+): (reached|MISSED)", told)
        assert bar or told.startswith("no bar"), line
        if bar:
            assert ((value >= float(bar[2])) == (bar[3] == "reached")) == (bar[1] == ">=") or value == float(bar[2])
            assert (name in last) == (bar[3] == "MISSED")
    assert "worthless" in busy
    assert last.endswith("Not measured: none.")


def test_a_part_that_cannot_be_measured_is_told_by_the_exit_status(tmp_path: Path) -> None:
    done = speed_bars("--parts", "lfw", "--testdata", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "lfw: not measured. " in done.stdout
    assert "nowhere" in done.stdout
    assert done.stdout.endswith("Not measured: lfw.\n")
