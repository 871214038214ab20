"""Tells calibration, groups and quality of a verification report in messages and in rows."""

from collections.abc import Sequence

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.differentials import BEYOND_CHANCE, MIN_PEOPLE, GroupRate, WithoutDifference
from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.verification.calibrate import HeldOut, method_of
from fr_evaluation.verification.groups import ByThreshold, GroupedRate, LabelFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.words import Section, Table, Text, counted_text, interval_text, section, threshold_text, yes_or_no
from fr_locales.messages import Message, message

HELD_OUT_HEADER = (
    message("evaluation.held_out.fold"),
    message("evaluation.thresholds.threshold"),
    message("evaluation.held_out.stated"),
    message("evaluation.thresholds.observed"),
    message("evaluation.held_out.agree"),
    message("evaluation.held_out.inside"),
    "Cllr",
    "ECE",
)
GROUP_HEADER = (
    message("evaluation.groups.group"),
    message("evaluation.groups.people"),
    message("evaluation.thresholds.missed"),
    message("evaluation.groups.to_mean"),
    message("evaluation.groups.accepted_in_it"),
    message("evaluation.groups.to_mean"),
)
SPREAD_HEADER = (
    message("evaluation.groups.label"),
    message("evaluation.thresholds.threshold"),
    message("evaluation.groups.rate"),
    message("evaluation.groups.highest_to_lowest"),
    message("evaluation.groups.by_chance"),
    "Gini",
    message("evaluation.groups.by_chance"),
)
QUALITY_HEADER = (
    message("evaluation.quality.worse_photo"),
    message("evaluation.thresholds.missed"),
    message("evaluation.quality.accepted"),
)
# Groups of too few people that are named.
NAMED = 20
RATES = {"fnmr": message("evaluation.groups.missed"), "fmr": message("evaluation.groups.accepted")}


def sections(report: VerificationReport) -> tuple[Section, ...]:
    """Each with its paragraph."""
    tried = Table(HELD_OUT_HEADER, held_out_rows(report), message("evaluation.held_out.title"))
    spread = Table(SPREAD_HEADER, spread_rows(report), message("evaluation.groups.spread_title"))
    quality = Table(QUALITY_HEADER, quality_rows(report))
    return (
        section(message("evaluation.calibration.heading"), about_calibration(report), tried),
        section(message("evaluation.groups.heading"), about_groups(report), *group_tables(report), spread),
        section(message("evaluation.quality.heading"), about_quality(report), quality),
    )


def about_calibration(report: VerificationReport) -> Text:
    """Say what calibration.json supports, and whether it holds on people whom it has not seen."""
    calibration = report.calibration
    if calibration is None:
        return (message("evaluation.calibration.none"), report.undefined["calibration"])
    rates, likelihood, people = calibration.rates, calibration.likelihood, calibration.provenance.people
    unnamed = message("evaluation.calibration.unnamed")
    said = message(
        "evaluation.calibration.said",
        mated=rates.mated,
        nonmated=rates.nonmated,
        among=unnamed if people is None else message("evaluation.calibration.people", people=people),
        lowest=1 / rates.nonmated,
        method=method_of(calibration),
        weakest=10**likelihood.weakest,
        strongest=10**likelihood.strongest,
    )
    return (said, *_about_held_out(report.held_out))


def _about_held_out(tried: Sequence[HeldOut]) -> tuple[Message, ...]:
    if not tried:
        return ()
    by_people, folds = sum(one.by_people and one.observed_by_people for one in tried), len(tried)
    unseen = message("evaluation.held_out.unseen")
    said = message(
        "evaluation.held_out.said",
        rate=tried[0].target,
        unseen=unseen if tried[0].disjoint else message("evaluation.held_out.may_share"),
        agree=sum(one.agrees for one in tried),
        inside=sum(one.inside for one in tried),
        folds=folds,
    )
    if by_people == folds:
        by = message("evaluation.held_out.by_people")
    elif by_people:
        by = message("evaluation.held_out.by_people_in_some", some=by_people, folds=folds)
    else:
        by = message("evaluation.held_out.by_wilson")
    return said, by


def held_out_rows(report: VerificationReport) -> list[tuple[Text, ...]]:
    """Each fold, tried by a calibration of the others."""

    def sure(rate: Rate, interval: Interval) -> Message:
        return message("evaluation.rate.with_interval", value=rate.value, interval=interval_text(interval))

    return [
        (
            str(one.fold),
            threshold_text(one.threshold, 4),
            sure(one.stated, one.interval),
            sure(one.observed, one.observed_interval),
            yes_or_no(one.agrees),
            yes_or_no(one.inside),
            f"{one.cllr:.4f}",
            f"{one.calibration_error:.4f}",
        )
        for one in report.held_out
    ]


def about_groups(report: VerificationReport) -> Text:
    """Say what the groups are, and what few people cannot show."""
    if not report.groups:
        return (message("evaluation.groups.none"), report.undefined["differentials"])
    sentences = [about_kind(kind) for kind in report.groups]
    sentences.append(message("evaluation.groups.about", fewest=MIN_PEOPLE))
    banded = [kind.kind for kind in report.groups if kind.banded]
    if banded:
        sentences.append(message("evaluation.groups.bands", kinds=", ".join(banded)))
    sentences += [
        message("evaluation.groups.unlabelled", kind=kind.kind, count=kind.unlabelled)
        for kind in report.groups
        if kind.unlabelled
    ]
    few = [
        f"{name} ({number:,})" for kind in report.groups for name, number in kind.people.items() if number < MIN_PEOPLE
    ]
    if few:
        more = message("evaluation.groups.more", more=len(few) - NAMED) if len(few) > NAMED else ""
        sentences.append(message("evaluation.groups.few", groups=", ".join(few[:NAMED]), more=more))
    looks = sum(grouped.beyond_chance() is not None for _, _, grouped in _looks(report.groups))
    if looks:
        held = message("evaluation.groups.held_against", count=looks)
        sentences.append(message("evaluation.groups.about_chance", share=BEYOND_CHANCE, held=held))
    return (*sentences, message("evaluation.groups.limits"))


def group_tables(report: VerificationReport) -> list[Table]:
    """A table for each label and threshold, with a row for each group that has a rate."""
    return [Table(GROUP_HEADER, _group_rows(kind, at), _at(kind, at)) for kind in report.groups for at in kind.at]


def _at(kind: LabelFigures, at: ByThreshold) -> Message:
    threshold = threshold_text(at.threshold)
    return message("evaluation.groups.title", kind=kind.kind, threshold=threshold, why=at.at)


def _group_rows(kind: LabelFigures, at: ByThreshold) -> list[tuple[Text, ...]]:
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


def spread_rows(report: VerificationReport) -> list[tuple[Text, ...]]:
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


def about_quality(report: VerificationReport) -> Text:
    """Say what discarding the worst photos would change."""
    quality = report.quality
    if quality is None:
        return (message("evaluation.quality.none"), report.undefined["quality"])
    whole = quality.discard[0].fnmr
    tenth = next(point for point in quality.discard if point.share >= 0.1)
    threshold = threshold_text(quality.threshold)
    sentences = [
        message(
            "evaluation.quality.missed", threshold=threshold, share=whole.value, part=whole.count, total=whole.total
        )
    ]
    if tenth.discarded:
        sentences.append(
            message(
                "evaluation.quality.without_tenth",
                pairs=message("evaluation.count.pairs", count=tenth.discarded),
                lowest=tenth.lowest_quality,
                share=tenth.fnmr.value,
                part=tenth.fnmr.count,
                total=tenth.fnmr.total,
                low=tenth.fnmr.interval.low,
                high=tenth.fnmr.interval.high,
            )
        )
    else:
        sentences.append(message("evaluation.quality.alike"))
    if quality.without:
        sentences.append(message("evaluation.quality.without", count=quality.without))
    return tuple(sentences)


def quality_rows(report: VerificationReport) -> list[tuple[Text, ...]]:
    """Each range of quality, lowest first."""
    if report.quality is None:
        return []
    return [
        (message("evaluation.quality.range", low=one.low, high=one.high), _or_none(one.fnmr), _or_none(one.fmr))
        for one in report.quality.bins
    ]


def about_kind(kind: LabelFigures) -> Message:
    """Say which rates are further apart than chance sets them."""
    looks = [(at, grouped) for _, at, grouped in _looks([kind]) if grouped.beyond_chance() is not None]
    if not looks:
        return message("evaluation.groups.no_rates", kind=kind.kind)
    found = [_difference(at, grouped) for at, grouped in looks if grouped.beyond_chance()]
    if not found:
        return message("evaluation.groups.by_chance_alone", kind=kind.kind)
    first, *others = found
    for other in others:
        first = message("evaluation.groups.and", first=first, second=other)
    return message("evaluation.groups.beyond_chance", kind=kind.kind, differences=first)


def _difference(at: ByThreshold, grouped: GroupedRate) -> Message:
    low, high = grouped.extremes()
    ratio = None if grouped.spread is None else grouped.spread.max_to_min
    times = _spread_text(ratio, grouped.max_to_min)
    return message(
        "evaluation.groups.difference",
        threshold=threshold_text(at.threshold),
        high=high,
        rate=RATES[grouped.rate],
        low=low,
        times="" if ratio is None else message("evaluation.groups.times", times=times),
    )


def _group_text(group: GroupRate, kind: LabelFigures) -> Message:
    if group.rate is None:
        return message("evaluation.groups.too_few")
    rate = counted_text(group.rate)
    if not group.people < kind.people[group.group]:
        return rate
    return message("evaluation.groups.of_people", rate=rate, people=group.people)


def _or_none(rate: Rate | None) -> Message:
    return message("evaluation.none") if rate is None else counted_text(rate)


def _to_mean(grouped: GroupedRate, group: str) -> Message | str:
    ratio = grouped.ratios().get(group)
    return "" if ratio is None else _spread_text(ratio, grouped.by_people.get(group))


def _spread_text(value: float | None, by_people: Bootstrap | None = None) -> Message | str:
    if value is None:
        return message("evaluation.undefined")
    if by_people is None:
        return f"{value:.2f}"
    return message("evaluation.groups.spread", value=value, low=by_people.low, high=by_people.high)


def _chance_text(chance: WithoutDifference | None) -> Message | str:
    if chance is None:
        return message("evaluation.undefined")
    return message("evaluation.groups.any") if chance.high is None else f"{chance.high:.2f}"
