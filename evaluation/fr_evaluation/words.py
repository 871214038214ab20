"""Writes the sentences that reports have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal

from fr_core.imaging import ImageLimits
from fr_core.quality.limits import QualityLimits
from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.intervals import Interval, Rate
from fr_core.scoring.support import ENOUGH_ERRORS, Strength, rule_of_three, support
from fr_evaluation.report import Report


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts.

    Attributes:
        header: a text for each column.
        rows: as long as the header.
        title: what the rows are; empty where the section says it.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report in words, for the terminal and for the page.

    Attributes:
        heading: of it.
        text: a paragraph, or empty.
        tables: those that have rows.
    """

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()


RULE_OF_30 = (
    f"Fewer than {ENOUGH_ERRORS} errors hardly tell a rate, even of independent comparisons (rule of 30). Those that "
    "share people are not independent: the truth is less sure than Wilson's intervals, which come first. Where there "
    "is one by people too, read the wider of the two."
)


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, such as "1 pair", "1,200 pairs" or, with a plural of its own, "2 people"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def threshold_text(value: float, digits: int = 3) -> str:
    """A threshold in [-1, 1], rounded up: whoever types what is shown accepts no more than was measured."""
    exact = Decimal(repr(float(value)))  # 0.226 is meant as that, not as the double next to it
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING) + 0)  # no "-0.000"


def section(heading: str, text: str, *tables: Table) -> Section:
    """A section with those of the tables that have rows."""
    return Section(heading, text, tuple(table for table in tables if table.rows))


def conditions(report: Report) -> list[tuple[str, str]]:
    """Say what was measured with what."""
    dataset, settings = report.dataset, report.settings
    return [
        ("data set", dataset.manifest.name),
        *([("part of it", dataset.part)] if dataset.part else []),
        ("terms", dataset.manifest.terms),
        ("to cite", dataset.manifest.citation),
        ("sha256 of the list", dataset.list_sha256),
        ("sha256 of the manifest", dataset.manifest.sha256),
        ("people", "not named by the list" if dataset.people is None else f"{dataset.people:,}"),
        *((name.replace("_", " "), _plain(getattr(settings, name))) for name in settings.__slots__),
        ("measured at", report.measured_at.isoformat(timespec="seconds")),
        ("photos took", f"{report.seconds:.1f} s"),
    ]


def _plain(value: object) -> str:
    match value:
        case ImageLimits() | QualityLimits():
            return ", ".join(f"{name.replace('_', ' ')} {_plain(inner)}" for name, inner in asdict(value).items())
        case tuple():
            return " ".join(map(str, value)) or "none"
        case _:
            return str(value)


def interval_text(interval: Interval) -> str:
    """The two ends."""
    return f"{interval.low:.4f} to {interval.high:.4f}"


def sure_text(rate: Rate) -> str:
    """A rate with its interval."""
    return f"{rate.value:.4f} ({interval_text(rate.interval)})"


def by_people_text(bootstrap: Bootstrap | None) -> str:
    """The interval by people, to follow that of a rate; empty where there is none."""
    return "" if bootstrap is None else f"; by people {bootstrap.low:.4f} to {bootstrap.high:.4f}"


def support_text(rate: Rate) -> str:
    """Say how far its errors support a rate, in few words."""
    strength = support(rate.count, rate.total).strength
    if strength is Strength.NO_ERRORS:
        return f"no error: at most {rule_of_three(rate.total):.2g} (rule of 3)"
    if strength is Strength.ENOUGH_ERRORS:
        return f"{ENOUGH_ERRORS} errors or more"
    return f"fewer than {ENOUGH_ERRORS} errors: hardly known"


def counted_text(rate: Rate) -> str:
    """A rate with its counts and its interval."""
    return f"{rate_text(rate)}; {rate.interval.low:.2g} to {rate.interval.high:.2g}"


def few_errors_text(rate: Rate) -> str:
    """Say how few errors a rate rests on, to follow it in prose; empty where they are enough."""
    if rate.count >= ENOUGH_ERRORS:
        return ""
    return f" (on {counted(rate.count, 'error') if rate.count else 'no error'}: hardly known)"


def rate_text(rate: Rate) -> str:
    """A rate with its counts."""
    return f"{rate.value:.4g} ({rate.count:,} of {rate.total:,})"
