"""A verification report in plain words and in rows, for the terminal and for the page."""

from __future__ import annotations

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.det import ThresholdRow
from fr_core.scoring.intervals import Rate
from fr_evaluation.verification import section_words
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import (
    RULE_OF_30,
    Section,
    Table,
    by_people_text,
    counted,
    interval_text,
    rate_text,
    section,
    support_text,
    sure_text,
    threshold_text,
)

Row = tuple[str, str, str, str]
HEADER: Row = ("figure", "value", "95 % interval", "of")
THRESHOLD_HEADER = ("FMR asked for", "threshold", "FMR observed", "pairs of one person missed", "support")


def summary(report: VerificationReport) -> str:
    """What was found, as a paragraph for whoever sets a threshold."""
    figures, compared = report.figures, report.compared
    n = len(compared.pairs) + len(compared.failed)
    photos = f"{counted(report.dataset.photos, 'photo')} of {report.dataset.manifest.title}"
    sentences = [f"{counted(n, 'pair')} of {photos} {'was' if n == 1 else 'were'} compared.", _about_failures(report)]
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
                f"With the threshold {threshold_text(point.threshold)}, at most one pair of different people in "
                f"{round(1 / row.target):,} is accepted, and {point.fnmr.value:.2%} of the pairs of one person are "
                f"missed ({point.fnmr.interval.low:.2%} to {point.fnmr.interval.high:.2%})."
            )
    unsupported = [row.target for row in rows if row.point is None]
    if unsupported:
        sentences.append(
            f"Lower rates, from one in {round(1 / max(unsupported)):,} on, are not supported by this many comparisons."
        )
    return " ".join(sentences)


def _about_failures(report: VerificationReport) -> str:
    """How photos without a template count."""
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
    """The figures, a row for each; one that is undefined says why in place of its value."""
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
    found += [(name.replace("_", " "), "undefined", "", why) for name, why in report.undefined.items()]
    return found


def sections(report: VerificationReport) -> tuple[Section, ...]:
    """Everything but the summary and the single pairs."""
    figures = report.figures
    by_list = [_threshold_row(one.row, one.by_subject) for one in figures.at_fmr]
    by_people = [_threshold_row(row, None, report.calibration) for row in figures.across_people]
    return (
        section("Figures", "", Table(HEADER, rows(report))),
        section(
            "Thresholds by false match rate",
            RULE_OF_30,
            Table(THRESHOLD_HEADER, by_list, "By the pairs of the list"),
            Table(THRESHOLD_HEADER, by_people, f"By every two of {figures.people:,} people"),
        ),
        *section_words.sections(report),
    )


def _threshold_row(
    row: ThresholdRow, missed_by_people: Bootstrap | None, calibration: Calibration | None = None
) -> tuple[str, ...]:
    """`calibration`: of the comparisons of the false match rate, whose interval by people it knows."""
    if row.point is None:
        return f"{row.target:g}", "", "", "", row.note
    point = row.point
    accepted, missed = rate_text(point.fmr), sure_text(point.fnmr) + by_people_text(missed_by_people)
    if calibration is not None:
        limits, by_people = calibration.fmr_interval_at(point.threshold)
        accepted += f"; by people {limits.low:.2g} to {limits.high:.2g}" if by_people else ""
    return f"{row.target:g}", threshold_text(point.threshold, 4), accepted, missed, support_text(point.fmr)


def _rate_row(label: str, rate: Rate) -> Row:
    return label, f"{rate.value:.4g}", interval_text(rate.interval), f"{rate.count:,} of {rate.total:,}"
