"""Reports of a few figures: as text, as JSON, and as files of a results folder."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fr_bench.speed.report import machine_text
from fr_bench.speed.values import Conditions
from fr_bench.values import Bar


@dataclass(frozen=True, slots=True)
class FigurePage:
    """The figures of one measurement, and their bars.

    Attributes:
        stem: name of the files, without their endings.
        title: heading of the page.
        machine: where and with what it was measured.
        rows: (figure, value) for people.
        held: (name, value, bar) of figures that have a bar.
        values: everything, for programs.
    """

    stem: str
    title: str
    machine: Conditions
    rows: list[tuple[str, str]]
    held: list[tuple[str, float, Bar]]
    values: dict[str, Any]

    @property
    def missed(self) -> bool:
        """Return whether a figure misses its bar."""
        return not all(bar.met(value) for _, value, bar in self.held)

    @property
    def json(self) -> str:
        """One JSON document."""
        return json.dumps(self.values, indent=2) + "\n"

    @property
    def text(self) -> str:
        """The report for people."""
        rows = (f"{name:44} {value}" for name, value in self.rows)
        return "".join(f"{line}\n" for line in (*machine_text(self.machine), *rows, *self._bar_lines()))

    def write(self, folder: Path, command: str) -> tuple[Path, ...]:
        """Write JSON and Markdown into a folder, which is made if it is missing; return the paths."""
        folder.mkdir(parents=True, exist_ok=True)
        machine = "".join(f"- {line}\n" for line in machine_text(self.machine))
        table = "".join(f"| {name} | {value} |\n" for name, value in self.rows)
        page = f"# {self.title}\n\n    {command}\n\n{machine}\n| figure | value |\n|---|---|\n{table}\n" + "".join(
            f"- {line}\n" for line in self._bar_lines()
        )
        json_path, markdown_path = folder / f"{self.stem}.json", folder / f"{self.stem}.md"
        json_path.write_text(self.json, encoding="utf-8")
        markdown_path.write_text(page, encoding="utf-8")
        return json_path, markdown_path

    def _bar_lines(self) -> list[str]:
        return [
            f"{name} {value:,.1f}, bar {'>=' if bar.at_least else '<='} {bar.limit:,.0f}: "
            f"{'ok' if bar.met(value) else 'MISSED'}"
            for name, value, bar in self.held
        ]


def values_of(report: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as plain values."""
    return dataclasses.asdict(report)
