"""The report of an evaluation: a table for people, and JSON for programs."""

from dataclasses import asdict

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fr_bench.values import Bar, Measure, Report
from fr_core.scoring.intervals import Rate

# A bar's outcome in words, so that nothing hangs on colour.
STATES = {True: Text("ok", style="green"), False: Text("MISSED", style="bold red"), None: Text("")}


def render(report: Report) -> Group:
    """The report for a terminal."""
    table = Table("Set", "Measure", "Value", "95 % interval", "Bar", "", box=box.SIMPLE_HEAD)
    notes = []
    for part in report.sets:
        time = f"{part.photos} photos, {part.seconds:.1f} s"
        for outcome in part.outcomes:
            head = Text.assemble((outcome.name, "bold"), f"\n{time}" if outcome is part.outcomes[0] else "")
            for measure in outcome.measures:
                table.add_row(
                    head,
                    measure.label,
                    value_text(measure),
                    interval_text(measure),
                    "" if measure.bar is None else bar_text(measure.bar),
                    STATES[measure.met],
                )
                head = Text("")
            table.add_section()
            notes += [f"{outcome.name}: {note}" for note in outcome.notes]
    return Group(Text("\n".join(_conditions(report))), table, Text("\n".join([*notes, "", verdict(report)])))


def verdict(report: Report) -> str:
    """One sentence on the bars."""
    held = sum(m.bar is not None for part in report.sets for outcome in part.outcomes for m in outcome.measures)
    if not held:
        return f"No bars are set for the pack {report.pack.name}."
    if not report.missed:
        return f"{held} of {held} bars are reached."
    missed = "; ".join(f"{name}: {measure.label}" for name, measure in report.missed)
    return f"{len(report.missed)} of {held} bars are MISSED: {missed}."


def to_json(report: Report) -> dict[str, object]:
    """The report as plain values; similarities and rates unrounded."""
    return {
        "ok": not report.missed,
        "verdict": verdict(report),
        "pack": report.pack.name,
        "model": asdict(report.model),
        "default_threshold": asdict(report.pack.thresholds),
        "device": asdict(report.device),
        "detection": report.detection,
        "machine": asdict(report.machine),
        "workers": report.workers,
        "code_version": report.code_version,
        "sets": [
            {
                "name": part.name,
                "terms": part.terms,
                "photos": part.photos,
                "seconds": round(part.seconds, 3),
                "parts": [
                    {
                        "name": outcome.name,
                        "measures": [_measure_json(measure) for measure in outcome.measures],
                        "notes": list(outcome.notes),
                    }
                    for outcome in part.outcomes
                ],
            }
            for part in report.sets
        ],
    }


def value_text(measure: Measure) -> str:
    """The value with its counts: a share as "0.9983 (1198 of 1200)", a number of photos as "3 of 26"."""
    rate = measure.rate
    if rate is None:
        return f"{measure.value:.4f}"
    if isinstance(measure.value, int):
        return f"{measure.value} of {rate.total}"
    return f"{measure.value:{_form(rate)}} ({rate.count} of {rate.total})"


def interval_text(measure: Measure) -> str:
    """The interval of the share, always as shares."""
    if measure.rate is None:
        return ""
    form = _form(measure.rate)
    return f"{measure.rate.interval.low:{form}} .. {measure.rate.interval.high:{form}}"


def bar_text(bar: Bar) -> str:
    """The bar, such as ">= 0.998" or "<= 4"."""
    return f"{'>=' if bar.at_least else '<='} {bar.limit:g}"


def _form(rate: Rate) -> str:
    """The number format of a rate and its interval: four decimals would show a rare one as none at all."""
    return ".2e" if 0 < rate.value < 1e-3 or rate.interval.high < 1e-3 else ".4f"


def _conditions(report: Report) -> list[str]:
    thresholds, machine, device = report.pack.thresholds, report.machine, report.device
    return [
        f"FR Core {report.code_version}, pack {report.pack.name}, model {report.model}",
        f"Device {device.active} (asked for: {device.requested}), {device.runtime}, {device.precision}; "
        f"detection {report.detection}; {machine.cpus} CPUs, {machine.architecture}, {machine.system}, "
        f"Python {machine.python}; {report.workers} photos at a time",
        f"The pack's threshold: similarity >= {thresholds.similarity:g} ({thresholds.source})",
    ]


def _measure_json(measure: Measure) -> dict[str, object]:
    rate, bar = measure.rate, measure.bar
    return {
        "key": measure.key,
        "label": measure.label,
        "value": measure.value,
        "threshold": measure.threshold,
        "count": None if rate is None else rate.count,
        "total": None if rate is None else rate.total,
        "interval": None if rate is None else asdict(rate.interval),
        "bar": None if bar is None else bar_text(bar),
        "met": measure.met,
    }
