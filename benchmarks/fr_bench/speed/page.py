"""Prints and writes the report of a measurement: a table for people, JSON, and the files of a results folder."""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fr_bench.report import STATES, bar_text
from fr_bench.speed.values import Conditions, Held

# A table of text; the first row is its head.
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """The report of one measurement."""

    stem: str  # names its files, the same for the same measurement
    title: str
    lines: Sequence[str]  # what was measured with what
    tables: Sequence[Rows]  # for people
    held: Sequence[Held]
    values: Mapping[str, Any]  # everything, for programs
    # Draws into a folder, to files that begin with the stem.
    plots: Callable[[Path, str], tuple[Path, ...]] | None = None

    @property
    def missed(self) -> bool:
        """Return whether a bar that decides the exit status is missed."""
        return any(item.decides and not item.met for item in self.held)

    @property
    def json(self) -> str:
        """The values as text; a number that is not finite would be a defect and is refused."""
        return json.dumps(self.values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def render(self) -> Group:
        """The report for a terminal."""
        held = [
            Text.assemble(f"{item.name} {_held_text(item.value)}, bar {bar_text(item.bar)}: ", STATES[item.met])
            for item in self.held
        ]
        return Group(Text("\n".join(self.lines)), *map(_drawn, self.tables), *held)

    def markdown(self, command: str, pictures: Sequence[str] = ()) -> str:
        """The report as a page; it names the command that made it, and the pictures that lie beside it."""
        lines = [f"# {self.title}", "", f"    {command}", "", *(f"- {line}" for line in self.lines), ""]
        for head, *body in self.tables:
            lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
            lines += ["| " + " | ".join(row) + " |" for row in body]
            lines.append("")
        lines.pop()
        if self.held:
            lines += ["", "| figure | value | bar | reached |", "|---|---|---|---|"]
            lines += [
                f"| {item.name} | {_held_text(item.value)} | {bar_text(item.bar)} | {'yes' if item.met else 'no'} |"
                for item in self.held
            ]
        lines += ["", *(f"![{picture}]({picture})" for picture in pictures)] if pictures else []
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, command: str) -> tuple[Path, ...]:
        """Write the JSON, the page and the plots, in place of those of the same measurement; raises `OSError`.

        Without Matplotlib there are no plots (`can_plot`).
        """
        folder.mkdir(parents=True, exist_ok=True)
        pictures = self.plots(folder, self.stem) if self.plots is not None and can_plot() else ()
        text, page = folder / f"{self.stem}.json", folder / f"{self.stem}.md"
        text.write_text(self.json, encoding="utf-8")
        page.write_text(self.markdown(command, [path.name for path in pictures]), encoding="utf-8")
        return (text, page, *pictures)


def can_plot() -> bool:
    """Return whether Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def machine_text(told: Conditions) -> list[str]:
    """Return what the figures were measured on, as lines for people."""
    machine = told.machine
    return [
        f"{machine.cpus} CPUs ({machine.processor}, {machine.architecture}), {machine.system}, Python {machine.python}"
        + (f", load average {told.load_average:.2f} at the start" if told.load_average is not None else ""),
        ", ".join(f"{name} {version}" for name, version in told.versions.items()),
        *(f"Accelerator: {name}" for name in told.accelerators),
    ]


def _drawn(rows: Rows) -> Table:
    head, *body = rows
    table = Table(*head, box=box.SIMPLE_HEAD)
    for row in body:
        table.add_row(*row)
    return table


def _held_text(value: float) -> str:
    """A figure beside its bar: three decimals, or two digits where these would show none."""
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"
