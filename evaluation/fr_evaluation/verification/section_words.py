"""Calibration, groups and quality of a verification report, in plain words and in rows."""

from __future__ import annotations

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.differentials import GroupRate
from fr_core.scoring.intervals import Rate
from fr_evaluation.verification.calibrate import method_of
from fr_evaluation.verification.groups import ByThreshold, LabelFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import Section, Table, interval_text, rate_text, section

HELD_OUT_HEADER = ("fold", "threshold", "FMR stated", "FMR observed", "inside", "Cllr", "ECE")
GROUP_HEADER = ("group", "people", "pairs of one person missed", "to mean", "accepted in it", "to mean")
SPREAD_HEADER = ("label", "at", "rate", "highest to lowest", "Gini coefficient")
QUALITY_HEADER = ("quality of the worse photo", "pairs of one person missed", "different people accepted")
HELD_OUT = "Calibrations of all folds but one, tried on that one"
RATES = {"fnmr": "FNMR", "fmr": "FMR"}


def sections(report: VerificationReport) -> tuple[Section, ...]:
    """Each with its paragraph."""
    tried = Table(HELD_OUT_HEADER, held_out_rows(report), HELD_OUT)
    spread = Table(SPREAD_HEADER, spread_rows(report), "How far groups are apart")
    return (
        section("What a similarity means", about_calibration(report), tried),
        section("Groups of people", about_groups(report), *group_tables(report), spread),
        section("Quality", about_quality(report), Table(QUALITY_HEADER, quality_rows(report))),
    )


def about_calibration(report: VerificationReport) -> str:
    """What calibration.json supports, and whether it holds on people whom it has not seen."""
    calibration = report.calibration
    if calibration is None:
        return f"There is no calibration. {report.undefined['calibration']}"
    rates, likelihood = calibration.rates, calibration.likelihood
    sentences = [
        f"calibration.json says what a similarity means, by {rates.mated:,} mated and {rates.nonmated:,} non-mated "
        f"comparisons of {calibration.provenance.people:,} people: false match rates down to {1 / rates.nonmated:.1e}, "
        f"and likelihood ratios ({method_of(calibration)}) from {10**likelihood.weakest:.2g} to "
        f"{10**likelihood.strongest:,.0f}, which is as far as these comparisons reach."
    ]
    if report.held_out:
        inside = sum(one.inside for one in report.held_out)
        by = "by resampling people" if report.held_out[0].by_people else "by Wilson's formula"
        sentences.append(
            f"Learnt from all folds but one, and tried at its threshold for a false match rate of "
            f"{report.held_out[0].target:g} on that one, whose people it has not seen: in {inside} of "
            f"{len(report.held_out)} folds the observed rate lies in the stated 95 % interval, {by}. By "
            "chance alone some do not, the more the smaller a fold is."
        )
    return " ".join(sentences)


def held_out_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """Each fold, tried by a calibration of the others."""
    return [
        (
            str(one.fold),
            f"{one.threshold:.4f}",
            f"{one.stated.value:.4f} ({interval_text(one.interval)})",
            f"{one.observed.value:.4f} ({interval_text(one.observed_interval)})",
            "yes" if one.inside else "no",
            f"{one.cllr:.4f}",
            f"{one.calibration_error:.4f}",
        )
        for one in report.held_out
    ]


def about_groups(report: VerificationReport) -> str:
    """What the groups are, and what few people cannot show."""
    if not report.groups:
        return f"There are no groups to compare. {report.undefined['differentials']}"
    sentences = [
        "Missed are pairs of one person of the group; accepted are comparisons of two people who are both of it, by "
        "the first photo of each. A group of fewer than 30 people, or with fewer than 30 trials, has no rate. `To "
        "mean` is a rate against the geometric mean of those of all groups. Where a group has no error, ratios are "
        "undefined, and where too many resamples leave nothing to measure, there is no interval; report.json says why."
    ]
    banded = [kind.kind for kind in report.groups if kind.banded]
    if banded:
        sentences.append(f"Ages are put into bands ({', '.join(banded)}).")
    sentences += [
        f"Nothing is said of {kind.kind} of {kind.unlabelled:,} people; they are in no group of it."
        for kind in report.groups
        if kind.unlabelled
    ]
    sentences += [_widest(kind) for kind in report.groups]
    sentences.append(
        "Read intervals, not ratios: chance alone sets groups apart, the more so the fewer the errors and the more "
        "groups, and few people cannot show that there is no difference. The intervals of a group take its comparisons "
        "for independent; as they share people, they are wider in truth. Whatever else differs between the photos of "
        "two groups, such as light or age, shows here too."
    )
    return " ".join(sentences)


def group_tables(report: VerificationReport) -> list[Table]:
    """A table for each label and threshold, with a row for each group."""
    return [
        Table(GROUP_HEADER, _group_rows(kind, at), f"{kind.kind}, at {at.at}, {at.threshold:.3f}")
        for kind in report.groups
        for at in kind.at
    ]


def _group_rows(kind: LabelFigures, at: ByThreshold) -> list[tuple[str, ...]]:
    missed_ratios, accepted_ratios = at.fnmr.ratios(), at.fmr.ratios()
    return [
        (
            missed.group,
            f"{kind.people[missed.group]:,}",
            _group_text(missed),
            _ratio_text(missed_ratios.get(missed.group)),
            _group_text(accepted),
            _ratio_text(accepted_ratios.get(missed.group)),
        )
        for missed, accepted in zip(at.fnmr.groups, at.fmr.groups, strict=True)
    ]


def spread_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """How far apart the groups are, at each threshold; why something is undefined, the JSON says."""
    return [
        (
            kind.kind,
            f"{at.at}, {at.threshold:.3f}",
            RATES[grouped.rate],
            _spread_text(None if grouped.spread is None else grouped.spread.max_to_min, grouped.max_to_min),
            _spread_text(None if grouped.spread is None else grouped.spread.gini, grouped.gini),
        )
        for kind in report.groups
        for at in kind.at
        for grouped in (at.fnmr, at.fmr)
    ]


def about_quality(report: VerificationReport) -> str:
    """What discarding the worst photos would change."""
    quality = report.quality
    if quality is None:
        return f"What quality is worth cannot be told. {report.undefined['quality']}"
    whole = quality.discard[0]
    tenth = next(point for point in quality.discard if point.share >= 0.1)
    sentence = (
        f"At the pack's threshold, {quality.threshold:.3f}, {whole.fnmr.value:.2%} of the pairs of one person are "
        f"missed ({whole.fnmr.count:,} of {whole.fnmr.total:,}). Without the tenth of lowest quality, below "
        f"{tenth.lowest_quality:.2f}, it is {tenth.fnmr.value:.2%} ({tenth.fnmr.count:,} of {tenth.fnmr.total:,}, "
        f"{tenth.fnmr.interval.low:.2%} to {tenth.fnmr.interval.high:.2%})."
    )
    if quality.without:
        sentence += f" {quality.without:,} pairs have no quality, as a photo gave no template; mated ones stay misses."
    return sentence


def quality_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """Each range of quality, lowest first."""
    if report.quality is None:
        return []
    return [(f"{one.low:.3f} to {one.high:.3f}", _or_none(one.fnmr), _or_none(one.fmr)) for one in report.quality.bins]


def _widest(kind: LabelFigures) -> str:
    """Whether two groups are further apart than their intervals, and which."""
    for at in kind.at:
        for grouped, what in ((at.fnmr, "missed"), (at.fmr, "accepted")):
            apart = grouped.apart()
            if apart is not None:
                low, high = apart
                return (
                    f"By {kind.kind}, at {at.at}, the intervals of {low} and {high} do not overlap: {high} is {what} "
                    "more often."
                )
    return f"By {kind.kind}, no two intervals lie apart."


def _group_text(group: GroupRate) -> str:
    return "too few" if group.rate is None else _rate_text(group.rate)


def _rate_text(rate: Rate) -> str:
    return f"{rate_text(rate)}; {rate.interval.low:.2g} to {rate.interval.high:.2g}"


def _or_none(rate: Rate | None) -> str:
    return "none" if rate is None else _rate_text(rate)


def _ratio_text(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _spread_text(value: float | None, by_people: Bootstrap | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.2f}" + ("" if by_people is None else f" ({by_people.low:.2f} to {by_people.high:.2f})")
