"""Writes figures and messages as the short texts of tables, and puts tables and sections together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.words import Section, Table, section
from fr_locales.messages import Message, message
from fr_locales.rendering import number, render
from fr_training.answers import Degraded
from fr_training.bank.labels import AGE_KINDS, ETHNICITY_KINDS, SEX_KINDS, sex_of
from fr_training.grading.change_sentences import TESTS
from fr_training.grading.class_items import USABILITIES
from fr_training.grading.values import Area, Time, Times, Undefined
from fr_training.statistics.estimates import Estimate

HEADER = (message("column.figure"), message("column.value"), message("column.meaning"))
FAULTS = {
    Degraded.BLUR: message("fault.blur"),
    Degraded.NOISE: message("fault.noise"),
    Degraded.RESOLUTION: message("fault.resolution"),
    Degraded.COMPRESSION: message("fault.compression"),
    Degraded.OCCLUSION: message("fault.occlusion"),
    Degraded.POSE: message("fault.pose"),
}
_KINDS = {
    **dict.fromkeys(SEX_KINDS, message("kind.sex")),
    **dict.fromkeys(ETHNICITY_KINDS, message("kind.ethnicity")),
    **dict.fromkeys(AGE_KINDS, message("kind.age")),
}
_TRUTHS = {
    "same": message("truth.same"),
    "different": message("truth.different"),
    "absent": message("truth.absent"),
    **{word.value: label for word, label in USABILITIES.items()},
}
Row: TypeAlias = tuple[object, ...]  # the cells of a row, each as `text` takes it


def table(header: Sequence[Message], rows: Iterable[Row], title: Message | None = None) -> Table:
    """A table of texts."""
    return Table([*map(text, header)], [[*map(text, row)] for row in rows], text(title))


def told(heading: Message, about: Message | None, *tables: Table) -> Section:
    """A section with those of the tables that have rows."""
    return section(text(heading), text(about), *tables)


def percent(value: float) -> str:
    """A share in [0, 1] as whole per cent; "under 1 %" and "over 99 %" where rounding would say none or all."""
    if 0.0 < value < 0.01:
        return render(message("cell.under", limit="1 %"))
    if 0.99 < value < 1.0:
        return render(message("cell.over", limit="99 %"))
    return f"{number(f'{value:.0%}'[:-1])} %"


def percentile(value: object) -> str:
    """A percentile in percent, never 0 or 100, or why there is none."""
    if not isinstance(value, float):
        return text(value)
    if value < 1.0:
        return render(message("cell.under", limit="1"))
    return render(message("cell.over", limit="99")) if value > 99.0 else f"{value:.0f}"


def placed(value: object, low: float | None, high: float | None) -> str:
    """A percentile with the range that the score's own interval gives it, or why there is none."""
    if low is None or high is None:
        return percentile(value)
    return with_interval(percentile(value), percentile(low), percentile(high))


def with_interval(value: str, low: str, high: str) -> str:
    """A figure with the ends of its interval."""
    return render(message("cell.interval", value=value, range=message("cell.range", low=low, high=high)))


def rate_text(value: Rate, low: float, high: float) -> str:
    """A rate with its counts and the ends of an interval."""
    counted = message("rate.of", part=value.count, total=value.total)
    return with_interval(
        render(message("cell.counted", value=percent(value.value), counts=counted)), percent(low), percent(high)
    )


def text(value: object, digits: int = 2) -> str:
    """A figure with its interval, or why there is none.

    The value is a rate, an estimate, an area, a time, a number, a message, a text, or an `Undefined`; None is written
    as "". `digits` stand behind the point.
    """
    match value:
        case None:
            return ""
        case Undefined():
            return render(message("cell.not_known", reason=value.reason))
        case Rate():
            return rate_text(value, value.interval.low, value.interval.high)
        case Estimate():
            return with_interval(*(_number(one, digits) for one in (value.value, value.low, value.high)))
        case Area(area, Undefined() as none):
            return render(message("cell.no_interval", value=number(f"{area:.{digits}f}"), reason=none.reason))
        case Area(area, Interval() as ends):
            return with_interval(*(number(f"{one:.{digits}f}") for one in (area, ends.low, ends.high)))
        case Message():
            return render(value)
        case Time():
            return render(message("cell.time", seconds=value.median_ms / 1000, trials=value.trials))
        case bool():
            return render(message("cell.yes") if value else message("cell.no"))
        case float():
            return _number(value, digits)
        case int():
            return number(f"{value:,}")
    return str(value)


def _number(value: float, digits: int) -> str:
    written = f"{value:.{digits}f}"
    return number(written.lstrip("-") if float(written) == 0.0 else written)  # no "-0.00"


def time_rows(times: Times) -> list[Row]:
    """Median times of right and of wrong answers."""
    return [
        (message("row.time_right"), times.right, message("row.time_right_means")),
        (message("row.time_wrong"), times.wrong, message("row.time_wrong_means")),
    ]


def between_tests(first: str, second: str) -> Message:
    """Two tests by their words in a plan, such as "pre" and "post"."""
    return message("cell.range", low=TESTS[first], high=TESTS[second])


def kind_text(kind: str) -> Message | str:
    """A kind of labels, such as "face_gender"; one that is not known has its own name."""
    return _KINDS.get(kind, kind.replace("_", " "))


def group_text(kind: str, group: str) -> str:
    """A group by its label, such as "f"; one that is not known has its own name."""
    return sex_of({kind: group}) if kind in SEX_KINDS else group.replace("_", " ")


def truth_text(truth: str) -> Message | str:
    """Return the right answer, named as in `fr_training.trials.Result`; photos and candidates are counted from 1."""
    kind, _, number = truth.partition(":")
    if kind == "odd":
        return message("truth.odd", number=int(number) + 1)
    if kind == "mate":
        return message("truth.mate", number=int(number) + 1)
    if kind == "row":
        return message("lab.row", row=int(number)) if int(number) else message("lab.no_row")
    if kind == "record":
        return message("evidence.record", record=int(number)) if int(number) else message("evidence.whole")
    return _TRUTHS.get(truth, truth)
