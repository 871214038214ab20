"""A verification report in plain words and in rows, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.det import ThresholdRow
from fr_core.scoring.intervals import Rate
from fr_core.scoring.verification import OperatingPoint
from fr_evaluation.verification import section_words
from fr_evaluation.verification.figures import VerificationFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import (
    RULE_OF_30,
    Section,
    Table,
    by_people_text,
    counted,
    counted_text,
    few_errors_text,
    interval_text,
    section,
    support_text,
    sure_text,
    threshold_text,
)

Row = tuple[str, str, str, str]
# Of one similarity, computed alone or with others.
ROUNDING = 1e-6
HEADER: Row = ("figure", "value", "95 % interval", "of")
THRESHOLD_HEADER = ("FMR asked for", "threshold", "FMR observed", "pairs of one person missed", "support")


def summary(report: VerificationReport) -> str:
    """Summarise the findings in a paragraph for the person who sets a threshold."""
    figures, compared = report.figures, report.compared
    n = len(compared.pairs) + len(compared.failed)
    photos = f"{counted(report.dataset.photos, 'photo')} of {report.dataset.manifest.title}"
    part = f", a part of the data set: {report.dataset.part}" if report.dataset.part else ""
    sentences = [
        f"{counted(n, 'pair')} of {photos} {'was' if n == 1 else 'were'} compared{part}.",
        _about_failures(report),
    ]
    if figures.accuracy is not None:
        right = figures.accuracy
        sentences.append(
            f"{right.mean:.2%} were decided rightly, each fold with the threshold that is best on the others "
            f"(standard error {right.standard_error:.2%})."
        )
    rows = figures.across_people or tuple(one.row for one in figures.at_fmr)
    if figures.people:
        sentences.append(f"Each of the {figures.people:,} people was compared with every other, by one photo of each.")
    if figures.left_out:
        sentences.append(f"{figures.left_out:,} more, the last of the list, were not, as that would be too many.")
    for row in rows:
        if row.point is not None:
            point = row.point
            sentences.append(
                f"With the threshold {threshold_text(point.threshold)}, at most one in {round(1 / row.target):,} of "
                f"these pairs of different people was accepted{few_errors_text(point.fmr)}, and "
                f"{point.fnmr.value:.2%} of the pairs of one person were missed ({point.fnmr.interval.low:.2%} to "
                f"{point.fnmr.interval.high:.2%})."
            )
    unsupported = [row.target for row in rows if row.point is None]
    if unsupported:
        sentences.append(
            f"Lower rates, from one in {round(1 / max(unsupported)):,} on, are not supported by this many comparisons."
        )
    return " ".join(sentences)


def _about_failures(report: VerificationReport) -> str:
    """Say how photos without a template count."""
    if not report.failures:
        return "Every photo gave a template."
    compared = report.compared
    mated, nonmated = compared.mated_failures, compared.nonmated_failures
    return (
        f"{counted(len(report.failures), 'photo')} gave no template, so that {counted(mated, 'pair')} of one person "
        f"and {nonmated:,} of different people could not be compared: those of one person count as missed, false "
        "match rates leave out the others, and accuracy counts both as wrong."
    )


def rows(report: VerificationReport) -> list[Row]:
    """The figures that the pairs support, a row for each; `_about_undefined` tells of the others."""
    figures = report.figures
    found: list[Row] = []
    if figures.accuracy is not None:
        error = f"standard error {figures.accuracy.standard_error:.4f}"
        found.append(
            (f"accuracy, mean of {len(figures.accuracy.folds)} folds", f"{figures.accuracy.mean:.4f}", "", error)
        )
    if figures.best is not None:
        found.append(
            (
                f"accuracy at the best threshold, {threshold_text(figures.best.threshold)}",
                f"{figures.best.accuracy:.4f}",
                interval_text(figures.best.interval),
                f"{figures.best.n - figures.best.n_wrong:,} of {figures.best.n:,}",
            )
        )
    if figures.equal_error_rate is not None:
        where = f"at {threshold_text(figures.equal_error_rate.threshold)}"
        found.append(("equal error rate", f"{figures.equal_error_rate.value:.4f}", "", where))
    if figures.auc is not None:
        error = f"standard error {figures.auc.standard_error:.5f}"
        found.append(
            ("area under the ROC curve", f"{figures.auc.value:.5f}", interval_text(figures.auc.interval), error)
        )
    if figures.default is not None:
        where = f"at the pack's threshold, {threshold_text(figures.default.threshold)}"
        found.append(_rate_row(f"false match rate {where}", figures.default.fmr))
        found.append(_rate_row(f"false non-match rate {where}", figures.default.fnmr))
    if figures.evidence is not None:
        cost = f"at best {figures.evidence.min_cllr:.4f}"
        found.append(("cost of the likelihood ratios, Cllr", f"{figures.evidence.cllr:.4f}", "", cost))
        found.append(("expected calibration error", f"{figures.evidence.calibration_error:.4f}", "", ""))
    without = len(report.failures)
    found.append(("photos without a template", f"{without:,}", "", f"{report.dataset.photos:,}"))
    return found


def _about_undefined(report: VerificationReport) -> str:
    """Say which figures there are none of, and why; those that lack the same go together."""
    lacking: dict[str, list[str]] = {}
    for name, why in report.undefined.items():
        lacking.setdefault(why.removesuffix("."), []).append(name.replace("_", " "))
    if not lacking:
        return ""
    found = [f"{', '.join(names)} ({why})" for why, names in lacking.items()]
    return f"Some figures are undefined: {'; '.join(found)}."


def sections(report: VerificationReport) -> tuple[Section, ...]:
    """Everything but the summary and the single pairs."""
    return (
        section("Figures", _about_undefined(report), Table(HEADER, rows(report))),
        _about_thresholds(report),
        *section_words.sections(report),
    )


def lists_everybody(figures: VerificationFigures) -> bool:
    """Return whether the non-mated pairs of the list are those of every two people, so that both give the same
    thresholds.
    """
    by_list, by_people = figures.det, figures.det_across
    if by_list is None or by_people is None or by_list.n_nonmated != by_people.n_nonmated:
        return False
    points = [(one.row.point, row.point) for one, row in zip(figures.at_fmr, figures.across_people, strict=True)]
    return any(a and b for a, b in points) and all(
        a is b or (a and b and abs(a.threshold - b.threshold) < ROUNDING and a.fmr.count == b.fmr.count)
        for a, b in points
    )


def _about_thresholds(report: VerificationReport) -> Section:
    """By the pairs of the list and by every two people, told once where these are the same pairs."""
    figures, calibration = report.figures, report.calibration
    missed = [(one.row, one.by_subject) for one in figures.at_fmr]
    across = [(row, None) for row in figures.across_people]
    everybody = f"By every two of {figures.people:,} people"
    if lists_everybody(figures):
        told = [_thresholds(f"{everybody}, which are the pairs of the list", missed, calibration)]
    else:
        told = [_thresholds("By the pairs of the list", missed), _thresholds(everybody, across, calibration)]
    text = " ".join(filter(None, (RULE_OF_30, *(lacking for _, lacking in told))))
    return section("Thresholds by false match rate", text, *(table for table, _ in told))


def _thresholds(
    title: str, rows: Sequence[tuple[ThresholdRow, Bootstrap | None]], calibration: Calibration | None = None
) -> tuple[Table, str]:
    """The rows that the comparisons support, and a sentence on the others.

    Args:
        title: of the table.
        rows: each with the interval by people of its misses.
        calibration: of the comparisons of the false match rate, whose interval by people it knows.
    """
    found = [_threshold_row(row.target, row.point, sure, calibration) for row, sure in rows if row.point is not None]
    lacking = [row.target for row, _ in rows if row.point is None]
    sentence = f"{title}, rates of {max(lacking):g} and less need more comparisons than there are." if lacking else ""
    return Table(THRESHOLD_HEADER, found, title), sentence


def _threshold_row(
    target: float, point: OperatingPoint, missed_by_people: Bootstrap | None, calibration: Calibration | None
) -> tuple[str, ...]:
    accepted, missed = counted_text(point.fmr), sure_text(point.fnmr) + by_people_text(missed_by_people)
    if calibration is not None:
        limits, by_people = calibration.fmr_interval_at(point.threshold)
        accepted += f"; by people {limits.low:.2g} to {limits.high:.2g}" if by_people else ""
    return f"{target:g}", threshold_text(point.threshold, 4), accepted, missed, support_text(point.fmr)


def _rate_row(label: str, rate: Rate) -> Row:
    return label, f"{rate.value:.4g}", interval_text(rate.interval), f"{rate.count:,} of {rate.total:,}"
