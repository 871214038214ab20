"""Runs the tests of each claim on reliability, and writes docs/reliability.md with their figures.

--light runs the versions of CI. --check compares the page with the rows, and looks for their tests. A row that was not
run keeps its last figure, or says "not run".
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "reliability.md"
NOT_RUN = "not run"
FIGURE = re.compile(r"^figure: (?P<name>.+?) = (?P<value>.+)$", re.MULTILINE)
SUMMARY = re.compile(r"^=* ?(?P<told>(?:\d+ \w+(?:, )?)+) in [\d.]+s", re.MULTILINE)
COLUMNS = ("Claim", "Bar", "Row and tests", "Last figure", "When, and where")

HEAD = """# Reliability

Each row names a claim, the bar of its tests, and the figure that the tests printed last. Each test has a control that
fails without the protection. `make chaos` runs the long versions, which takes hours. `make chaos LIGHT=1` runs the
short versions of CI, which do not measure speed, and `make chaos ROWS="kill soak"` runs only these rows. `make soak`
loads a server for 10 minutes after 15 of warm-up; `MINUTES=60` also finds slower growth of the memory, which noise
hides in a short run.

"""


@dataclass(frozen=True, slots=True)
class Row:
    """One claim of chaos.toml: its word for the command line, its sentence, and its bar."""

    name: str
    claim: str
    bar: str
    # Their ids, as pytest takes them; the control that must fail is among those of the same file.
    tests: Sequence[str]
    told: str = ""  # pattern of a printed line that is a figure, beside the lines `figure: NAME = VALUE`
    command: Sequence[str] = ()  # other than pytest for the long version, with its arguments; empty for none


ROWS = tuple(
    Row(**row) for row in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["rows"]
)


@dataclass(frozen=True, slots=True)
class Ran:
    """The figures of a row, and when and where they were measured."""

    figure: str
    where: str


def figures_of(row: Row, printed: str) -> str:
    """Return the figures that the tests of a row printed, else how many passed."""
    told = [f"{one['name']}: {one['value']}" for one in FIGURE.finditer(printed)]
    if row.told:
        told += re.findall(f"^{row.told}$", printed, re.MULTILINE)
    if told:
        return "; ".join(dict.fromkeys(told))
    summary = SUMMARY.search(printed)
    return summary["told"] if summary else "nothing was told"


def run(row: Row, light: bool) -> tuple[Ran, bool]:
    """Run a row; return its figures, and whether it passed."""
    command, environment = [sys.executable, "-m", "pytest", "-rP", "--timeout=7200", *row.tests], dict(os.environ)
    if not light:
        environment["FR_NIGHTLY"] = "1"
        command = [sys.executable, *row.command] if row.command else command
    paths = [str(REPOSITORY / "tests"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    passed = ended.returncode == 0
    figure = figures_of(row, ended.stdout)
    if not passed:
        figure = f"FAILED; {figure}"
        print(ended.stdout[-4000:] + ended.stderr[-2000:])
    size = "short" if light else "long"
    return Ran(figure, f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {size}"), passed


def read_page(text: str) -> dict[str, Ran]:
    """Return the figures that a page has for each claim."""
    found: dict[str, Ran] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1]
        if len(cells) == len(COLUMNS) and cells[0] != COLUMNS[0] and not set(cells[0]) <= set("-"):
            found[cells[0]] = Ran(cells[3].replace("\\|", "|"), cells[4])
    return found


def render(rows: Sequence[Row], ran: Mapping[str, Ran]) -> str:
    """Return the page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        paths = [f"../{test.partition('::')[0]}" for test in row.tests]
        tests = " ".join([f"[`{row.name}`]({paths[0]})", *(f"[{n}]({path})" for n, path in enumerate(paths[1:], 2))])
        last = ran.get(row.claim, Ran(NOT_RUN, ""))
        cells = (row.claim, row.bar, tests, last.figure.replace("|", "\\|"), last.where)
        lines.append("| " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


def missing_tests(rows: Sequence[Row]) -> list[str]:
    """Return the tests and tools of the rows that do not exist."""
    missing = []
    for row in rows:
        for test in (*row.tests, *row.command[:1]):
            path, _, name = test.partition("::")
            file = REPOSITORY / path
            if not file.is_file() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
                missing.append(test)
    return missing


def check(page: Path = PAGE, rows: Sequence[Row] = ROWS) -> list[str]:
    """Return the faults of the page and its rows."""
    wrong = [f"there is no {test}" for test in missing_tests(rows)]
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if render(rows, read_page(text)) != text:
        wrong.append(f"{page} is not of these rows: run `python tools/chaos.py --render`")
    return wrong


def main() -> int:
    """Run rows, or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names of rows; all where none is named")
    parser.add_argument("--light", action="store_true", help="the versions of CI")
    parser.add_argument("--check", action="store_true", help="compare the page with the rows; runs nothing")
    parser.add_argument("--render", action="store_true", help="write the page with the figures it has; runs nothing")
    options = parser.parse_args()
    unknown = set(options.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(
            f"there is no row {', '.join(sorted(unknown))}; the rows are {', '.join(row.name for row in ROWS)}"
        )
    if options.check:
        wrong = check()
        print("\n".join(wrong))
        return 1 if wrong else 0
    ran = read_page(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    failed = []
    for row in ROWS:
        if options.render or (options.rows and row.name not in options.rows):
            continue
        ran[row.claim], passed = run(row, options.light)
        print(f"{row.name}: {ran[row.claim].figure}", flush=True)
        failed += [] if passed else [row.name]
        PAGE.write_text(render(ROWS, ran), encoding="utf-8")  # after each: the next may take an hour
    PAGE.write_text(render(ROWS, ran), encoding="utf-8")
    print(f"failed: {', '.join(failed)}" if failed else "Every row that was run has passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
