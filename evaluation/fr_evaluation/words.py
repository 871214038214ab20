"""Values for the words of a report, which its edges render, and the messages that reports have in common."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TypeAlias

from fr_core.imaging import ImageLimits
from fr_core.quality.limits import QualityLimits
from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.intervals import Interval, Rate
from fr_core.scoring.support import ENOUGH_ERRORS, Strength, rule_of_three, support
from fr_evaluation.report import Report
from fr_locales.messages import Message, Written, message
from fr_locales.rendering import number, render

Text: TypeAlias = str | Message | tuple[str | Message, ...]
"""A name or a figure as it is, a message, or the sentences of a paragraph."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts, each as long as the header; the title is empty where the section says it."""

    header: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    title: Text = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report for the terminal and for the page: its paragraph, which may be empty, and filled tables."""

    heading: Text
    text: Text = ""
    tables: tuple[Table, ...] = ()


RULE_OF_30 = message("evaluation.rule_of_30", enough=ENOUGH_ERRORS)


def in_words(text: Text) -> str:
    """The text in English, the sentences of a paragraph after each other."""
    if isinstance(text, tuple):
        return " ".join(filter(None, map(in_words, text)))
    if isinstance(text, Written):
        return number(text)
    return render(text) if isinstance(text, Message) else text


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, such as "1 pair", "1,200 pairs" or, with a plural of its own, "2 people"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def threshold_text(value: float, digits: int = 3) -> str:
    """A threshold in [-1, 1], rounded up: a user who types it accepts no more than was measured."""
    exact = Decimal(repr(float(value)))  # 0.226 is meant as that, not as the double next to it
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING) + 0)  # no "-0.000"


def section(heading: Text, text: Text, *tables: Table) -> Section:
    """A section with those of the tables that have rows."""
    return Section(heading, text, tuple(table for table in tables if table.rows))


def conditions(report: Report) -> list[tuple[Text, Text]]:
    """Say what was measured with what; settings have the names of the JSON."""
    dataset, settings = report.dataset, report.settings
    unnamed, people = message("evaluation.condition.people_unnamed"), dataset.people
    return [
        (message("evaluation.condition.dataset"), dataset.manifest.name),
        *([(message("evaluation.condition.part"), dataset.part)] if dataset.part else []),
        (message("evaluation.condition.terms"), dataset.manifest.terms),
        (message("evaluation.condition.citation"), dataset.manifest.citation),
        (message("evaluation.condition.list_sha256"), dataset.list_sha256),
        (message("evaluation.condition.manifest_sha256"), dataset.manifest.sha256),
        (message("evaluation.condition.people"), unnamed if people is None else f"{people:,}"),
        *((name.replace("_", " "), _plain(getattr(settings, name))) for name in settings.__slots__),
        (message("evaluation.condition.measured_at"), report.measured_at.isoformat(timespec="seconds")),
        (message("evaluation.condition.seconds"), f"{report.seconds:.1f} s"),
    ]


def _plain(value: object) -> str:
    match value:
        case ImageLimits() | QualityLimits():
            return ", ".join(f"{name.replace('_', ' ')} {_plain(inner)}" for name, inner in asdict(value).items())
        case tuple():
            return " ".join(map(str, value)) or "none"
        case _:
            return str(value)


def interval_text(interval: Interval) -> Message:
    """The two ends."""
    return message("evaluation.interval", low=interval.low, high=interval.high)


def by_people_text(rate: Message, bootstrap: Bootstrap | None) -> Message:
    """A rate, and its interval by people where there is one."""
    if bootstrap is None:
        return rate
    return message("evaluation.rate.by_people", rate=rate, low=bootstrap.low, high=bootstrap.high)


def sure_text(rate: Rate, bootstrap: Bootstrap | None = None) -> Message:
    """A rate with its interval, and with that by people where there is one."""
    sure = message("evaluation.rate.with_interval", value=rate.value, interval=interval_text(rate.interval))
    return by_people_text(sure, bootstrap)


def support_text(rate: Rate) -> Message:
    """Say how far its errors support a rate, in few words."""
    strength = support(rate.count, rate.total).strength
    if strength is Strength.NO_ERRORS:
        return message("evaluation.support.no_error", most=rule_of_three(rate.total))
    if strength is Strength.ENOUGH_ERRORS:
        return message("evaluation.support.enough", enough=ENOUGH_ERRORS)
    return message("evaluation.support.few", enough=ENOUGH_ERRORS)


def counted_text(rate: Rate) -> Message:
    """A rate with its counts and its interval."""
    interval = rate.interval
    return message("evaluation.rate.counted", rate=rate_text(rate), low=interval.low, high=interval.high)


def few_errors_text(rate: Rate) -> Message | str:
    """Say how few errors a rate rests on, to follow it in prose; empty where they are enough."""
    if rate.count >= ENOUGH_ERRORS:
        return ""
    return message("evaluation.few_errors", count=rate.count) if rate.count else message("evaluation.no_errors")


def rate_text(rate: Rate) -> Message:
    """A rate with its counts."""
    return message("evaluation.rate.counts", value=rate.value, part=rate.count, total=rate.total)


def yes_or_no(value: bool) -> Message:
    """An answer."""
    return message("evaluation.yes") if value else message("evaluation.no")
