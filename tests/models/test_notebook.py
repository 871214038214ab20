"""The notebook of the examples runs from its first cell to its last on a server with real models, and draws."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from fr_core.packs.cache import ModelCache
from support.commands import REPOSITORY, serving
from support.lazy_module import LazyModule

matplotlib, plt = LazyModule("matplotlib"), LazyModule("matplotlib.pyplot")

NOTEBOOK = json.loads((REPOSITORY / "examples/first-steps.ipynb").read_text("utf-8"))


def test_no_output_is_committed_since_it_would_show_faces() -> None:
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 7
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.nightly
@pytest.mark.models
@pytest.mark.network
def test_every_cell_runs(
    pack_cache: ModelCache,
    photos: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    matplotlib.use("Agg")
    plt.close("all")
    settings = ("--set", "model.device=cpu", "--set", "batching.embedder_sizes=1")
    with serving(tmp_path, "--port", "0", "--data", tmp_path / "data", *settings) as server:
        monkeypatch.setenv("FR_SERVER", server.address)
        monkeypatch.delenv("FR_CONNECTION", raising=False)
        names: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cannot show the figure|.*non-interactive")
            for cell in NOTEBOOK["cells"]:
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert len(plt.get_fignums()) == 4
    plt.close("all")
    told = capsys.readouterr().out
    assert "examiner" in told
    assert "target FMR 0.0001: threshold" in told
    leads = {
        key: [one.subject_id for one in answer.results[0].candidates if one.above_threshold]
        for key, answer in names["answers"].items()
    }
    assert leads == {key: [subject] if subject else [] for key, subject in names["probes"].items()}
    assert len(names["mated"]) == 4
    assert min(names["mated"]) > max(names["non_mated"])
