"""What `fr bench gallery` tells of its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fr_bench.speed.conditions import conditions
from fr_bench.speed.life import LifeReport, life_page

REPORT = LifeReport(6000.0, 10.0, 25.0, 31.0, 400, 2916.4, 2760.2, 1_000_000, 512, conditions())


def test_figures_stand_beside_their_bars() -> None:
    told = life_page(REPORT).text
    assert "enrol_per_s 6,000.0, bar >= 5,000: ok" in told
    assert "start_s 25.0, bar <= 30: ok" in told
    assert not life_page(REPORT).missed
    few = replace(REPORT, n=10, start_s=None)
    assert not life_page(few).missed
    assert "too short to be seen" in life_page(few).text
    assert "bar" not in life_page(few).text
    for slow in (replace(REPORT, enrol_per_s=4999.0), replace(REPORT, start_s=30.5)):
        assert life_page(slow).missed
        assert "MISSED" in life_page(slow).text


def test_the_report_is_written_as_json_and_as_a_page(tmp_path: Path) -> None:
    written = life_page(REPORT).write(tmp_path / "results", "fr bench gallery --n 1000000")
    assert [path.name for path in written] == ["gallery-1000000.json", "gallery-1000000.md"]
    content = json.loads(written[0].read_text())
    assert list(content)[:3] == ["enrol_per_s", "enrol_s", "start_s"]
    assert content == json.loads(life_page(REPORT).json)
    page = written[1].read_text()
    assert "    fr bench gallery --n 1000000\n" in page
    assert "| start: from NOT_SERVING to SERVING | 25.0 s |" in page
