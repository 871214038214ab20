"""Tells a verification report in messages and in rows, for the terminal and for the page."""

from collections.abc import Sequence

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.det import ThresholdRow
from fr_core.scoring.intervals import Rate
from fr_core.scoring.verification import OperatingPoint
from fr_evaluation import words
from fr_evaluation.verification import section_words
from fr_evaluation.verification.figures import VerificationFigures
from fr_evaluation.verification.report import VerificationReport
from fr_locales.messages import Message, message

Row = tuple[words.Text, words.Text, words.Text, words.Text]
# Of one similarity, computed alone or with others.
ROUNDING = 1e-6
HEADER: Row = (
    message("evaluation.figures.figure"),
    message("evaluation.figures.value"),
    message("evaluation.figures.interval"),
    message("evaluation.figures.of"),
)
THRESHOLD_HEADER = (
    message("evaluation.thresholds.asked"),
    message("evaluation.thresholds.threshold"),
    message("evaluation.thresholds.observed"),
    message("evaluation.thresholds.missed"),
    message("evaluation.thresholds.support"),
)


def summary(report: VerificationReport) -> tuple[Message, ...]:
    """Summarise the findings in a paragraph for the person who sets a threshold."""
    figures, compared, dataset = report.figures, report.compared, report.dataset
    n, title = len(compared.pairs) + len(compared.failed), dataset.manifest.title
    photos = message("evaluation.count.photos", count=dataset.photos)
    part = message("evaluation.verification.part", part=dataset.part) if dataset.part else ""
    sentences = [
        message("evaluation.verification.compared", count=n, photos=photos, title=title, part=part),
        _about_failures(report),
    ]
    if figures.accuracy is not None:
        share, error = figures.accuracy.mean, figures.accuracy.standard_error
        sentences.append(message("evaluation.verification.right", share=share, error=error))
    rows = figures.across_people or tuple(one.row for one in figures.at_fmr)
    if figures.people:
        sentences.append(message("evaluation.verification.everybody", people=figures.people))
    if figures.left_out:
        sentences.append(message("evaluation.verification.left_out", people=figures.left_out))
    sentences += [_at_threshold(row.target, row.point) for row in rows if row.point is not None]
    unsupported = [row.target for row in rows if row.point is None]
    if unsupported:
        sentences.append(message("evaluation.verification.unsupported", one_in=round(1 / max(unsupported))))
    return tuple(sentences)


def _about_failures(report: VerificationReport) -> Message:
    """Say how photos without a template count."""
    if not report.failures:
        return message("evaluation.verification.no_failures")
    return message(
        "evaluation.verification.failures",
        photos=message("evaluation.count.photos", count=len(report.failures)),
        mated=message("evaluation.count.pairs", count=report.compared.mated_failures),
        nonmated=report.compared.nonmated_failures,
    )


def _at_threshold(target: float, point: OperatingPoint) -> Message:
    return message(
        "evaluation.verification.threshold",
        threshold=words.threshold_text(point.threshold),
        one_in=round(1 / target),
        few=words.few_errors_text(point.fmr),
        missed=point.fnmr.value,
        low=point.fnmr.interval.low,
        high=point.fnmr.interval.high,
    )


def rows(report: VerificationReport) -> list[Row]:
    """The figures that the pairs support, a row for each; `_about_undefined` tells of the others."""
    figures = report.figures
    found: list[Row] = []
    if (right := figures.accuracy) is not None:
        name = message("evaluation.figures.accuracy", folds=len(right.folds))
        found.append((name, f"{right.mean:.4f}", "", _error(f"{right.standard_error:.4f}")))
    if (best := figures.best) is not None:
        name = message("evaluation.figures.best_accuracy", threshold=words.threshold_text(best.threshold))
        counts = _counts(best.n - best.n_wrong, best.n)
        found.append((name, f"{best.accuracy:.4f}", words.interval_text(best.interval), counts))
    if (equal := figures.equal_error_rate) is not None:
        where = message("evaluation.figures.at", threshold=words.threshold_text(equal.threshold))
        found.append((message("evaluation.figures.equal_error_rate"), f"{equal.value:.4f}", "", where))
    if (area := figures.auc) is not None:
        error, interval = _error(f"{area.standard_error:.5f}"), words.interval_text(area.interval)
        found.append((message("evaluation.figures.auc"), f"{area.value:.5f}", interval, error))
    if (default := figures.default) is not None:
        threshold = words.threshold_text(default.threshold)
        found.append(_rate_row(message("evaluation.figures.fmr", threshold=threshold), default.fmr))
        found.append(_rate_row(message("evaluation.figures.fnmr", threshold=threshold), default.fnmr))
    if (evidence := figures.evidence) is not None:
        cost = message("evaluation.figures.min_cllr", cllr=evidence.min_cllr)
        found.append((message("evaluation.figures.cllr"), f"{evidence.cllr:.4f}", "", cost))
        found.append((message("evaluation.figures.calibration_error"), f"{evidence.calibration_error:.4f}", "", ""))
    name = message("evaluation.figures.without_template")
    found.append((name, f"{len(report.failures):,}", "", f"{report.dataset.photos:,}"))
    return found


def _error(error: str) -> Message:
    return message("evaluation.figures.standard_error", error=error)


def _counts(part: int, total: int) -> Message:
    return message("evaluation.figures.counts", part=part, total=total)


def _rate_row(label: Message, rate: Rate) -> Row:
    return label, f"{rate.value:.4g}", words.interval_text(rate.interval), _counts(rate.count, rate.total)


def _about_undefined(report: VerificationReport) -> words.Text:
    """Say which figures there are none of, and why; those that lack the same go together."""
    lacking: dict[str, list[str]] = {}
    for name, why in report.undefined.items():
        lacking.setdefault(why.removesuffix("."), []).append(name.replace("_", " "))
    if not lacking:
        return ""
    found = [f"{', '.join(names)} ({why})" for why, names in lacking.items()]
    return message("evaluation.figures.undefined", figures="; ".join(found))


def sections(report: VerificationReport) -> tuple[words.Section, ...]:
    """Everything but the summary and the single pairs."""
    return (
        words.section(
            message("evaluation.figures.heading"), _about_undefined(report), words.Table(HEADER, rows(report))
        ),
        _about_thresholds(report),
        *section_words.sections(report),
    )


def lists_everybody(figures: VerificationFigures) -> bool:
    """Return whether the non-mated pairs of the list are those of every two people, so that thresholds are the same."""
    by_list, by_people = figures.det, figures.det_across
    if by_list is None or by_people is None or by_list.n_nonmated != by_people.n_nonmated:
        return False
    points = [(one.row.point, row.point) for one, row in zip(figures.at_fmr, figures.across_people, strict=True)]
    return any(a and b for a, b in points) and all(
        a is b or (a and b and abs(a.threshold - b.threshold) < ROUNDING and a.fmr.count == b.fmr.count)
        for a, b in points
    )


def _about_thresholds(report: VerificationReport) -> words.Section:
    """By the pairs of the list and by every two people, told once where these are the same pairs."""
    figures, calibration = report.figures, report.calibration
    missed = [(one.row, one.by_subject) for one in figures.at_fmr]
    across = [(row, None) for row in figures.across_people]
    if lists_everybody(figures):
        both = message("evaluation.thresholds.by_both", people=figures.people)
        told = [_thresholds(both, missed, calibration)]
    else:
        everybody = message("evaluation.thresholds.by_people", people=figures.people)
        by_list = _thresholds(message("evaluation.thresholds.by_list"), missed)
        told = [by_list, _thresholds(everybody, across, calibration)]
    text = (words.RULE_OF_30, *(lacking for _, lacking in told))
    return words.section(message("evaluation.thresholds.heading"), text, *(table for table, _ in told))


def _thresholds(
    title: Message, rows: Sequence[tuple[ThresholdRow, Bootstrap | None]], calibration: Calibration | None = None
) -> tuple[words.Table, Message | str]:
    """The rows that the comparisons support, each with the interval by people of its misses, and a sentence on the
    others.

    `calibration` is of the comparisons of the false match rate, whose interval by people it knows.
    """
    found = [_threshold_row(row.target, row.point, sure, calibration) for row, sure in rows if row.point is not None]
    lacking = [row.target for row, _ in rows if row.point is None]
    sentence = message("evaluation.thresholds.lacking", title=title, rate=max(lacking)) if lacking else ""
    return words.Table(THRESHOLD_HEADER, found, title), sentence


def _threshold_row(
    target: float, point: OperatingPoint, missed_by_people: Bootstrap | None, calibration: Calibration | None
) -> tuple[words.Text, ...]:
    accepted, missed = words.counted_text(point.fmr), words.sure_text(point.fnmr, missed_by_people)
    if calibration is not None:
        limits, by_people = calibration.fmr_interval_at(point.threshold)
        if by_people:
            low, high = limits.low, limits.high
            accepted = message("evaluation.thresholds.accepted_by_people", rate=accepted, low=low, high=high)
    return f"{target:g}", words.threshold_text(point.threshold, 4), accepted, missed, words.support_text(point.fmr)
