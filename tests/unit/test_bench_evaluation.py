"""What `fr bench evaluation` tells, and its bars."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fr_bench.evaluate import machine
from fr_bench.speed.evaluation import EvaluationReport, Reduced, evaluation_json, evaluation_text, missed
from fr_bench.speed.values import Conditions

REPORT = EvaluationReport(
    2736, 58.0, 60.0, 10_000_000, Reduced(5.0, 1024.0, 9.0, 2000.0), Conditions(machine(), None, (), {})
)


def test_a_figure_at_its_bar_meets_it() -> None:
    assert not missed(REPORT)
    assert "2,736 photos through the server" in evaluation_text(REPORT)
    assert evaluation_text(REPORT).count(": ok") == 3
    assert json.loads(evaluation_json(REPORT))["reduced"]["det_mib"] == 1024.0


@pytest.mark.parametrize(
    "worse",
    [
        {"service_s": 60.1},
        {"reduced": replace(REPORT.reduced, det_s=5.1)},
        {"reduced": replace(REPORT.reduced, det_mib=1025.0)},
    ],
)
def test_a_figure_beyond_its_bar_is_told(worse: dict[str, object]) -> None:
    report = replace(REPORT, **worse)  # type: ignore[arg-type]
    assert missed(report)
    assert evaluation_text(report).count("MISSED") == 1


def test_fewer_similarities_have_no_bar() -> None:
    few = replace(REPORT, n=1000, reduced=Reduced(50.0, 5000.0, 9.0, 2000.0))
    assert not missed(few)
    assert missed(replace(few, service_s=61.0))
