"""Calibration, groups and quality of a verification report, in plain words and in rows."""

from __future__ import annotations

from collections.abc import Sequence

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.differentials import BEYOND_CHANCE, MIN_PEOPLE, GroupRate, WithoutDifference
from fr_core.scoring.intervals import Rate
from fr_evaluation.verification.calibrate import HeldOut, method_of
from fr_evaluation.verification.groups import ByThreshold, GroupedRate, LabelFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import Section, Table, counted, interval_text, rate_text, section, threshold_text

HELD_OUT_HEADER = ("fold", "threshold", "FMR stated", "FMR observed", "agree", "inside", "Cllr", "ECE")
GROUP_HEADER = ("group", "people", "pairs of one person missed", "to mean", "accepted in it", "to mean")
SPREAD_HEADER = ("label", "threshold", "rate", "highest to lowest", "by chance", "Gini", "by chance")
QUALITY_HEADER = ("quality of the worse photo", "pairs of one person missed", "different people accepted")
HELD_OUT = "Calibrations of all folds but one, tried on that one"
# Groups of too few people that are named.
NAMED = 20
RATES = {"fnmr": "missed", "fmr": "accepted"}


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
    """Say what calibration.json supports, and whether it holds on people whom it has not seen."""
    calibration = report.calibration
    if calibration is None:
        return f"There is no calibration. {report.undefined['calibration']}"
    rates, likelihood, people = calibration.rates, calibration.likelihood, calibration.provenance.people
    among = "people whom the list does not name" if people is None else f"{people:,} people"
    said = (
        f"calibration.json says what a similarity means, by {rates.mated:,} mated and {rates.nonmated:,} non-mated "
        f"comparisons of {among}: false match rates down to {1 / rates.nonmated:.1e}, and likelihood ratios "
        f"({method_of(calibration)}) from {10**likelihood.weakest:.2g} to {10**likelihood.strongest:,.0f}, which is as "
        "far as these comparisons would reach if they were independent; they share people."
    )
    return f"{said} {_about_held_out(report.held_out)}" if report.held_out else said


def _about_held_out(tried: Sequence[HeldOut]) -> str:
    agree, inside = sum(one.agrees for one in tried), sum(one.inside for one in tried)
    by_people = sum(one.by_people and one.observed_by_people for one in tried)
    if tried[0].disjoint:
        unseen = "whose people it has not seen"
    else:
        unseen = "though the list names nobody, so folds may share people"
    if by_people == len(tried):
        by = "Intervals are by resampling people."
    elif by_people:
        by = f"Intervals are by resampling people in {by_people} of {len(tried)} folds; others are Wilson's."
    else:
        by = "Intervals are Wilson's, which are too narrow where comparisons share people."
    return (
        f"Learnt from all folds but one, and tried at its threshold for a false match rate of {tried[0].target:g} on "
        f"that one, {unseen}: in {agree} of {len(tried)} folds the observed rate agrees with the stated one, that is, "
        "they differ by no more than their 95 % intervals together allow; nearly all folds do where all is right. In "
        f"{inside} it also lies in the stated interval, which leaves out what chance does in a fold. {by}"
    )


def held_out_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """Each fold, tried by a calibration of the others."""
    return [
        (
            str(one.fold),
            threshold_text(one.threshold, 4),
            f"{one.stated.value:.4f} ({interval_text(one.interval)})",
            f"{one.observed.value:.4f} ({interval_text(one.observed_interval)})",
            "yes" if one.agrees else "no",
            "yes" if one.inside else "no",
            f"{one.cllr:.4f}",
            f"{one.calibration_error:.4f}",
        )
        for one in report.held_out
    ]


def about_groups(report: VerificationReport) -> str:
    """Say what the groups are, and what few people cannot show."""
    if not report.groups:
        return f"There are no groups to compare. {report.undefined['differentials']}"
    sentences = [about_kind(kind) for kind in report.groups]
    sentences.append(
        "Missed are pairs of one person of the group; accepted are comparisons of two people who are both of it, by "
        f"the first photo of each. A rate needs {MIN_PEOPLE} people of the group behind it; report.json says why "
        "something is undefined. `To mean` is a rate against the geometric mean of those of all groups that have one."
    )
    banded = [kind.kind for kind in report.groups if kind.banded]
    if banded:
        sentences.append(f"Ages are put into bands ({', '.join(banded)}).")
    sentences += [
        f"Nothing is said of {kind.kind} of {counted(kind.unlabelled, 'person', 'people')}; they are in no group of it."
        for kind in report.groups
        if kind.unlabelled
    ]
    few = [
        f"{name} ({number:,})" for kind in report.groups for name, number in kind.people.items() if number < MIN_PEOPLE
    ]
    if few:
        more = f" and {len(few) - NAMED:,} more" if len(few) > NAMED else ""
        sentences.append(f"Groups of too few people: {', '.join(few[:NAMED])}{more}.")
    looks = sum(grouped.beyond_chance() is not None for _, _, grouped in _looks(report.groups))
    if looks:
        sentences.append(
            f"`By chance` is the spread that {BEYOND_CHANCE:.0%} of draws stay under which deal the same labels out to "
            f"people anew. {counted(looks, 'spread')} {'was' if looks == 1 else 'were'} held against it (by label, "
            "threshold and kind of error): about one in twenty exceeds it where nothing differs."
        )
    sentences.append(
        "Few people cannot show that there is no difference. Rates have Wilson's intervals, which take comparisons for "
        "independent; as they share people, the truth is less sure: read the intervals of ratios, which are by people. "
        "Whatever else differs between the photos of two groups, such as light or age, shows here too."
    )
    return " ".join(sentences)


def group_tables(report: VerificationReport) -> list[Table]:
    """A table for each label and threshold, with a row for each group that has a rate."""
    return [
        Table(GROUP_HEADER, _group_rows(kind, at), f"{kind.kind}, at {_at(at)}")
        for kind in report.groups
        for at in kind.at
    ]


def _group_rows(kind: LabelFigures, at: ByThreshold) -> list[tuple[str, ...]]:
    return [
        (
            missed.group,
            f"{kind.people[missed.group]:,}",
            _group_text(missed, kind),
            _to_mean(at.fnmr, missed.group),
            _group_text(accepted, kind),
            _to_mean(at.fmr, missed.group),
        )
        for missed, accepted in zip(at.fnmr.groups, at.fmr.groups, strict=True)
        if missed.rate is not None or accepted.rate is not None
    ]


def spread_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """Return how far apart the groups are, where they are at all; why something is undefined, the JSON says."""
    return [
        (
            kind.kind,
            threshold_text(at.threshold),
            RATES[grouped.rate],
            _spread_text(grouped.spread.max_to_min, grouped.max_to_min),
            _chance_text(grouped.max_to_min_by_chance),
            _spread_text(grouped.spread.gini),
            _chance_text(grouped.gini_by_chance),
        )
        for kind, at, grouped in _looks(report.groups)
        if grouped.spread is not None and grouped.spread.gini is not None
    ]


def _looks(kinds: Sequence[LabelFigures]) -> list[tuple[LabelFigures, ByThreshold, GroupedRate]]:
    """Each rate at each threshold, of each kind of label."""
    return [(kind, at, grouped) for kind in kinds for at in kind.at for grouped in (at.fnmr, at.fmr)]


def _at(at: ByThreshold) -> str:
    return f"{threshold_text(at.threshold)}, {at.at}"


def about_quality(report: VerificationReport) -> str:
    """Say what discarding the worst photos would change."""
    quality = report.quality
    if quality is None:
        return f"What quality is worth cannot be told. {report.undefined['quality']}"
    whole = quality.discard[0]
    tenth = next(point for point in quality.discard if point.share >= 0.1)
    sentences = [
        f"At the pack's threshold, {threshold_text(quality.threshold)}, {whole.fnmr.value:.2%} of the pairs of one "
        f"person are missed ({whole.fnmr.count:,} of {whole.fnmr.total:,})."
    ]
    if tenth.discarded:
        sentences.append(
            f"Without the {counted(tenth.discarded, 'pair')} of lowest quality, below {tenth.lowest_quality:.4f}, it "
            f"is {tenth.fnmr.value:.2%} ({tenth.fnmr.count:,} of {tenth.fnmr.total:,}, {tenth.fnmr.interval.low:.2%} "
            f"to {tenth.fnmr.interval.high:.2%}). That is a tenth at most: pairs of one quality go together."
        )
    else:
        sentences.append("Too many pairs are of the lowest quality to discard a tenth: they stay or go together.")
    if quality.without:
        has = "pair has" if quality.without == 1 else "pairs have"
        sentences.append(
            f"{quality.without:,} {has} no quality, as a photo gave no template; those of one person stay misses."
        )
    return " ".join(sentences)


def quality_rows(report: VerificationReport) -> list[tuple[str, ...]]:
    """Each range of quality, lowest first."""
    if report.quality is None:
        return []
    return [(f"{one.low:.3f} to {one.high:.3f}", _or_none(one.fnmr), _or_none(one.fmr)) for one in report.quality.bins]


def about_kind(kind: LabelFigures) -> str:
    """Say which rates are further apart than chance sets them."""
    looks = [(at, grouped) for _, at, grouped in _looks([kind]) if grouped.beyond_chance() is not None]
    if not looks:
        return f"By {kind.kind}, no two groups have rates that can be compared."
    found = [_difference(at, grouped) for at, grouped in looks if grouped.beyond_chance()]
    if not found:
        return f"By {kind.kind}, no rates are further apart than chance alone sets them."
    return f"By {kind.kind}, more than chance alone sets apart: {'; '.join(found)}."


def _difference(at: ByThreshold, grouped: GroupedRate) -> str:
    low, high = grouped.extremes()
    ratio = None if grouped.spread is None else grouped.spread.max_to_min
    times = "" if ratio is None else f", {_spread_text(ratio, grouped.max_to_min)} times as often"
    return f"at {threshold_text(at.threshold)}, {high} is {RATES[grouped.rate]} more often than {low}{times}"


def _group_text(group: GroupRate, kind: LabelFigures) -> str:
    if group.rate is None:
        return "too few"
    fewer = group.people < kind.people[group.group]
    return _rate_text(group.rate) + (f"; of {group.people:,} people" if fewer else "")


def _rate_text(rate: Rate) -> str:
    return f"{rate_text(rate)}; {rate.interval.low:.2g} to {rate.interval.high:.2g}"


def _or_none(rate: Rate | None) -> str:
    return "none" if rate is None else _rate_text(rate)


def _to_mean(grouped: GroupedRate, group: str) -> str:
    ratio = grouped.ratios().get(group)
    return "" if ratio is None else _spread_text(ratio, grouped.by_people.get(group))


def _spread_text(value: float | None, by_people: Bootstrap | None = None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.2f}" + ("" if by_people is None else f" ({by_people.low:.2f} to {by_people.high:.2f})")


def _chance_text(chance: WithoutDifference | None) -> str:
    if chance is None:
        return "undefined"
    return "any" if chance.high is None else f"{chance.high:.2f}"
