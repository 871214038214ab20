"""`fr bench` end to end with real models: the real command, a real server, the real peer; short rounds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from fr_bench.speed.server_process import started_server
from fr_core.packs.cache import ModelCache
from fr_datasets import lfw
from support.commands import REPOSITORY, commands, page, shell

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]

# Put behind the documented options, of which the last one counts.
SHORT = {
    "pipeline": "--number 3 --repeat 1",
    "serve": "--number 4 --repeat 1 --seconds 1 --gallery-size 300",
    "search": "--n 2000 --probes 20 --repeat 2 --peer flat --sweep 1000 --no-bar",
    "gallery": "--n 2500 --no-bar",
    "evaluation": "--n 10000 --no-bar --testdata few",
    "training": "--trainees 5 --every 0.5 --seconds 2 --no-bar",
}


def run_short(commands: Sequence[str], folder: Path, testdata: Path) -> None:
    """Run commands, two at a time: that they work is tested, not how fast they are."""
    short = [f"FR_TESTDATA={testdata} {command} {SHORT[command.split()[2]]}" for command in commands]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(shell, folder=folder), short))


def few_people(folder: Path, testdata: Path) -> None:
    """The first people of LFW, under `few`."""
    chosen = [person for person in lfw.people(testdata / "lfw").people if len(person.photos) > 1][:4]
    for person in chosen:
        shutil.copytree(person.photos[0].parent, folder / "few" / "lfw" / "images" / person.identity)
    listed = "".join(f"{person.identity}\t{len(person.photos)}\n" for person in chosen)
    (folder / "few" / "lfw" / "people.txt").write_text(f"1\n{len(chosen)}\n{listed}", encoding="utf-8")


def of(content: dict[str, Any], subject: str) -> list[float]:
    return [item["photos_per_s"] for item in content["rounds"] if item["subject"] == subject]


@pytest.fixture
def folder(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> Path:
    """Five photos of one person each, under `photos`."""
    pytest.importorskip("insightface")
    (tmp_path / "photos").mkdir()
    for key in ("obama", "obama2", "biden", "person_a_1", "person_b_1"):
        shutil.copy(photos[key], tmp_path / "photos" / f"{key}.jpg")
    return tmp_path


def test_the_pipeline_beside_the_peer(folder: Path) -> None:
    command = "fr bench pipeline --photos photos --number 5 --repeat 1 --device cpu --peer insightface --json --out out"
    content = json.loads(shell(command, folder))
    assert [item["subject"] for item in content["rounds"]] == ["pipeline", "peer (1 caller)", "peer (2 callers)"]
    assert content["photos_per_s"] == pytest.approx(median(of(content, "pipeline")))
    assert content["peer_photos_per_s"] == pytest.approx(median(of(content, "peer (1 caller)")))
    assert content["ratio"] == pytest.approx(content["photos_per_s"] / content["peer_photos_per_s"])
    assert content["peer"] == "peer (1 caller)"
    agreement = content["agreement"]
    assert agreement["photos"] == 5
    assert 5 <= agreement["matched"] <= min(agreement["faces"], agreement["peer_faces"])
    assert 0.8 < agreement["cosine_median"] <= 1.001
    stages = content["stages"]
    steps = sum(stages[f"{name}_ms"] for name in ("decode", "detect", "align", "embed", "assess"))
    assert 0 < steps <= stages["total_ms"]
    assert [item["batch"] for item in content["embedding"]] == [1, 8]
    assert content["overhead_ratio"] == max(item["ratio"] for item in content["embedding"]) > 0.5
    assert {item["model"] for item in content["batches"]} == {"detector", "embedder"}
    assert content["device"]["active"] == "cpu"
    assert json.loads((folder / "out" / "pipeline-buffalo_s-cpu-f32-fast-photos.json").read_text()) == content
    page = (folder / "out" / "pipeline-buffalo_s-cpu-f32-fast-photos.md").read_text()
    assert f"    {command}\n" in page
    assert "| ratio to the peer" in page


@pytest.mark.nightly
def test_a_server_beside_the_pipeline_and_above_its_peak(folder: Path) -> None:
    command = (
        "fr bench serve --photos photos --number 6 --repeat 1 --concurrency 4 --ratio-to-pipeline --peer insightface "
        "--sweep 1,2 --overload 3 --seconds 2 --batches --json --out out"
    )
    content = json.loads(shell(command, folder))
    assert [item["subject"] for item in content["rounds"][:2]] == ["server", "pipeline"]
    assert content["pipeline_photos_per_s"] == pytest.approx(median(of(content, "pipeline")))
    assert content["server_to_pipeline"] == pytest.approx(content["photos_per_s"] / content["pipeline_photos_per_s"])
    assert content["bars"][-1]["name"] == "server_to_pipeline"
    assert [point["load"] for point in content["points"]] == [4, 1, 2]
    overload = content["overload"]
    assert overload["load"] == pytest.approx(3 * content["photos_per_s"])
    assert overload["sent"] == sum(outcome["calls"] for outcome in overload["outcomes"])
    assert content["goodput_to_peak"] == pytest.approx(overload["photos_per_s"] / content["photos_per_s"])
    assert overload["health"][0]["status"] == "SERVING"
    assert overload["memory"]["end_mib"] > 50
    ran = {item["model"]: sum(count for _, count in item["counts"]) for item in content["batches"]}
    assert ran["embedder"] > 0
    assert content["agreement"]["matched"] >= 5
    made = {path.name.rpartition("photos")[2] for path in (folder / "out").iterdir()}
    assert made == {".json", ".md", "-latency.svg", "-batches.svg"}


@pytest.mark.nightly
def test_a_bar_that_is_missed_is_told_by_the_exit_status(folder: Path) -> None:
    told = shell("fr bench pipeline --photos photos --number 1 --repeat 1 --bar 1000000 || echo status $?", folder)
    assert "MISSED" in told
    assert told.endswith("status 1\n")


@pytest.mark.nightly
def test_every_command_of_the_guide_runs(folder: Path, testdata: Path) -> None:
    lines = commands(page("docs/benchmarks.md"))
    assert len(lines) >= 12
    few_people(folder, testdata)
    with started_server(("--pack", "buffalo_s")) as server:
        run_short([command.replace("localhost:50061", server.address) for command in lines], folder, testdata)


@pytest.mark.nightly
def test_the_commands_of_make_bench_gpu_run_without_a_gpu(folder: Path, testdata: Path) -> None:
    told = shell(f"make -C {REPOSITORY} -n bench-gpu DEVICE=cpu PACK=buffalo_s FR=fr", folder).replace("\\\n", "")
    commands = [line for line in told.splitlines() if line.startswith("fr bench")]
    assert [command.split()[2] for command in commands] == ["pipeline", "search", "serve"]
    run_short(commands, folder, testdata)


def test_the_cost_of_a_call_is_measured_beside_another_environment(folder: Path) -> None:
    command = (
        f"{sys.executable} -m fr_bench.speed.call_cost --against {sys.executable} --subjects 40 --calls 5 --rounds 2"
    )
    told = json.loads(shell(f"{command} --json", folder))
    this, against = told["search"]
    assert (this["name"], against["name"]) == ("this", "against")
    for cost in (this, against):
        assert cost["cpu_ms"] > 0
        assert cost["outside_ms"] == pytest.approx(cost["cpu_ms"] - cost["index_ms"])


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
