"""`fr bench storage` on a real PostgreSQL: figures of both databases beside their bars."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fr_bench.bench_cli import bench
from support.postgres import Cluster


def test_both_databases_are_measured_and_a_full_one_is_left_alone(postgres: Cluster, tmp_path: Path) -> None:
    command = ["storage", "--url", postgres.database().url, "--n", "100", "--repeat", "1", "--json"]
    command += ["--out", str(tmp_path)]
    ended = CliRunner().invoke(bench, command)
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    assert report["ratios"].keys() == {"search", "enrol_alone", "enrol_together"}
    assert report["ratios"]["search"] == report["search_ms"]["postgresql"] / report["search_ms"]["sqlite"]
    again = CliRunner().invoke(bench, command)
    assert again.exit_code == 2
    assert "WRONG_KEY" in again.stderr
