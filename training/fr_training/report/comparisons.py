"""Writes the sections that compare: with other tests, trainees and norms, with and without advice, between groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.words import Section
from fr_locales.messages import Message, message
from fr_locales.rendering import number
from fr_training.courses import Course
from fr_training.grading.advice import AidedFigures, AutomationBias, PrevalenceFigures
from fr_training.grading.change_sentences import TESTS
from fr_training.grading.fusion import CrowdFigures, PairingFigures
from fr_training.grading.groups import MIN_ITEMS, MIN_TRIALS, GroupFigures, Spread
from fr_training.grading.scores import OTHER_TEST, ChangeFigures, LearningFigures, NormFigures, StandingFigures
from fr_training.grading.values import Maybe, Undefined
from fr_training.grading.verification import AgreementFigures
from fr_training.report.cells import (
    HEADER,
    Row,
    between_tests,
    group_text,
    kind_text,
    placed,
    rate_text,
    table,
    text,
    told,
    with_interval,
)
from fr_training.statistics.advice import AdviceGain
from fr_training.statistics.change import Change, Verdict
from fr_training.statistics.estimates import RateDifference
from fr_training.statistics.fusion import GroupArea
from fr_training.statistics.learning import CurvePoint
from fr_training.statistics.signal_detection import Difference

VERDICTS = {
    Verdict.BETTER: message("verdict.better"),
    Verdict.NO_RELIABLE_CHANGE: message("verdict.none"),
    Verdict.WORSE: message("verdict.worse"),
}


def change_section(changes: Sequence[ChangeFigures]) -> Section:
    """From test to test."""
    rows: list[Row] = []
    for one in changes:
        between, moved = between_tests(one.first, one.second), one.sensitivity
        rows += _points(message("row.points", between=between), one.score, one.norm)
        if moved is not None:
            dprime, criterion = (moved.dprime, moved.criterion) if isinstance(moved, Difference) else (moved, moved)
            rows += [
                (message("row.change_dprime", between=between), dprime, message("row.change_dprime_means")),
                (message("row.change_criterion", between=between), criterion, message("row.change_criterion_means")),
            ]
        rows += _points(message("row.points_triads", between=between), one.triads, None)
        rows += _points(message("row.points_lists", between=between), one.lists, None)
    return told(message("section.change"), None, table(HEADER, rows))


def _points(name: Message, found: Maybe[Change] | None, norm: Message | None) -> Iterable[Row]:
    if isinstance(found, Undefined):
        yield name, found, None
    elif found is not None:
        verdict = VERDICTS[found.verdict]
        means = message("row.points_alone_means", verdict=verdict, needed=found.needed)
        if norm is not None:
            means = message("row.points_means", verdict=verdict, needed=found.needed, norm=norm)
        yield name, number(f"{found.points:+.1f}"), means


def standing_section(found: StandingFigures) -> Section:
    """Beside the cohort and published norms."""
    percentile = placed(found.percentile_in_cohort, found.percentile_low, found.percentile_high)
    rows: list[Row] = [
        (
            message("row.score"),
            text(found.score, 1),
            message("row.score_means", test=TESTS[found.test]) if found.test else "",
        ),
        (message("row.percentile"), percentile, message("row.percentile_means", count=found.cohort)),
    ]
    header = (message("column.published"), message("column.number"), message("column.percentile"))
    norms = table((*header, message("column.source")), map(_norm, found.norms), OTHER_TEST)
    return told(message("section.standing"), None, table(HEADER, rows), norms)


def _norm(one: NormFigures) -> Row:
    unit = f"{one.value:g} {text(one.unit)}" + ("" if one.sd is None else f" (SD {one.sd:g})")
    source = message("cell.from_memory", source=one.source) if one.from_memory else one.source
    return one.title, unit, placed(one.percentile, one.percentile_low, one.percentile_high), source


def aided_section(aided: Maybe[AidedFigures], prevalence: Maybe[PrevalenceFigures]) -> Section:
    """Advice, and pairs of two people that are rare."""
    rows: list[Row] = []
    about = None
    if isinstance(aided, AidedFigures):
        about = message("about.aided", count=aided.trials, wrong=aided.advice_wrong)
        net = aided.bias.net if isinstance(aided.bias, AutomationBias) else aided.bias
        gain = aided.gain.dprime if isinstance(aided.gain, AdviceGain) else aided.gain
        rows += [
            (message("row.right_before"), aided.right_before, message("row.right_before_means")),
            (message("row.right_after"), aided.right_after, message("row.right_after_means")),
            (message("row.misled"), aided.misled, message("row.misled_means")),
            (message("row.helped"), aided.helped, message("row.helped_means")),
            (message("row.net"), net, message("row.net_means")),
            (message("row.gain"), gain, message("row.gain_means")),
        ]
    if isinstance(prevalence, PrevalenceFigures):
        found, moved = prevalence.false_same, prevalence.sensitivity
        value = _difference(found) if isinstance(found, RateDifference) else found
        criterion = moved.criterion if isinstance(moved, Difference) else moved
        rows += [
            (message("row.rare"), value, message("row.rare_means")),
            (message("row.rare_criterion"), criterion, message("row.rare_criterion_means")),
        ]
    return told(message("section.aided"), about, table(HEADER, rows))


def _difference(found: RateDifference) -> object:
    first, second = (message("rate.of", part=one.count, total=one.total) for one in (found.first, found.second))
    low, high = number(f"{100 * found.low:+.0f}"), number(f"{100 * found.high:+.0f}")
    return message("cell.points", points=100 * found.value, low=low, high=high, first=first, second=second)


def group_section(groups: Sequence[GroupFigures]) -> Section:
    """Both error rates by the labels of the people shown."""
    rows: list[Row] = []
    for kind in groups:
        name = kind_text(kind.kind)
        for one in kind.groups:
            false_same = _group_rate(one.false_same, one.false_same_interval)
            rows.append(
                (name, group_text(kind.kind, one.group), false_same, _group_rate(one.misses, one.misses_interval))
            )
        rows.append((name, message("row.spread"), _spread(kind.false_same), _spread(kind.misses)))
    about = message("about.groups", answers=MIN_TRIALS, items=MIN_ITEMS) if rows else None
    header = (message("column.label"), message("column.group"), message("column.false_same"), message("column.misses"))
    return told(message("section.groups"), about, table(header, rows))


def _group_rate(found: Maybe[Rate], interval: Maybe[Interval]) -> object:
    if isinstance(found, Undefined) or isinstance(interval, Undefined):
        return found
    return rate_text(found, interval.low, interval.high)


def _spread(found: Maybe[Spread]) -> object:
    if isinstance(found, Undefined):
        return found
    if not found.beyond_chance:
        return message("spread.by_chance")
    times = text(message("spread.times", times=found.max_to_min))
    return with_interval(times, f"{found.low:.2g}", f"{found.high:.2g}")


def verification_section(found: Maybe[AgreementFigures]) -> Section:
    """Blind verification."""
    if isinstance(found, Undefined):
        return told(message("section.blind"), None)
    only = message("cell.both", first=found.own_only, second=found.first_only)
    rows = [
        (message("row.same_word"), found.same_word, message("row.same_word_means")),
        (message("row.kappa_linear"), found.linear_kappa, message("row.kappa_linear_means")),
        (message("row.kappa_quadratic"), found.quadratic_kappa, message("row.kappa_quadratic_means")),
        (message("row.only_one"), only, message("row.only_one_means", p=text(found.p_value, 3))),
        (message("row.area_verifier"), found.own_area, message("row.area_verifier_means")),
        (message("row.area_first"), found.first_area, message("row.area_first_means")),
        (message("row.area_both"), found.fused_area, message("row.area_both_means")),
    ]
    about = message("about.blind", count=found.pairs, alone=found.alone)
    return told(message("section.blind"), about, table(HEADER, rows))


def crowd_section(crowds: Sequence[CrowdFigures]) -> Section:
    """The averages of several trainees."""
    rows = [(one.form, f"{size.size}", *_group(size.area)) for one in crowds for size in one.sizes]
    header = (message("column.form"), message("column.trainees"), message("column.mean_area"), message("column.spread"))
    return told(message("section.crowds"), message("about.crowds") if rows else None, table(header, rows))


def pairing_section(found: Maybe[PairingFigures]) -> Section:
    """Return the section on whom to pair for second opinions."""
    if isinstance(found, Undefined):
        return told(message("section.pairing"), None)
    header = (message("column.couple"), message("column.apart"), message("column.better"), message("column.together"))
    rows = [
        (message("cell.couple", first=one.first, second=one.second), one.apart, one.better, one.together)
        for one in found.couples
    ]
    gain = text(found.gain), text(found.any_gain)
    return told(
        message("section.pairing"), message("about.pairing", gain=gain[0], any_gain=gain[1]), table(header, rows)
    )


def _group(found: Maybe[GroupArea]) -> Row:
    if isinstance(found, Undefined):
        return found, None
    spread = message("cell.range", low=number(f"{found.worst:.2f}"), high=number(f"{found.best:.2f}"))
    return with_interval(*(number(f"{one:.2f}") for one in (found.area, found.low, found.high))), spread


def learning_section(found: Maybe[LearningFigures]) -> Section:
    """Right answers as the trials go on."""
    if isinstance(found, Undefined):
        return told(message("section.learning"), None)
    header = (message("column.pairs"), message("column.right_interval"), message("column.band"))
    return told(message("section.learning"), message("about.learning"), table(header, map(_point, found.points)))


def _point(one: CurvePoint) -> Row:
    trials = message("cell.range", low=f"{one.first + 1:,}", high=f"{one.last + 1:,}")
    if one.band is None:
        return trials, one.right, None
    low, high = (f"{number(f'{end:.0%}'[:-1])} %" for end in (one.band.low, one.band.high))
    return trials, one.right, message("cell.range", low=low, high=high)


def made_of(course: Course) -> Iterable[tuple[str, str]]:
    """The parts that the course was made of."""
    for name, value in (
        (message("made_of.course"), f"{course.plan.title} ({course.course_id})"),
        (message("made_of.datasets"), ", ".join(course.datasets)),
        (message("made_of.terms"), "; ".join(course.terms)),
        (message("made_of.model"), str(course.model)),
        (message("made_of.seed"), str(course.seed)),
        (message("made_of.manifests"), course.manifest_sha256),
    ):
        yield text(name), value
