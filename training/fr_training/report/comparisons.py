"""Writes the sections that compare: with other tests, trainees and norms, with and without advice, between groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.words import Section, Table, counted, section
from fr_training.courses import Course
from fr_training.grading.advice import AidedFigures, PrevalenceFigures
from fr_training.grading.figures import Words
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.groups import MIN_ITEMS, MIN_TRIALS, GroupFigures, Spread
from fr_training.grading.scores import OTHER_TEST, ChangeFigures, LearningFigures, StandingFigures
from fr_training.grading.values import Maybe, Undefined
from fr_training.grading.verification import AgreementFigures
from fr_training.report.cells import HEADER, Row, percent, placed, text
from fr_training.statistics.advice import AdviceGain, AutomationBias
from fr_training.statistics.change import Change
from fr_training.statistics.estimates import RateDifference
from fr_training.statistics.fusion import GroupArea
from fr_training.statistics.learning import CurvePoint
from fr_training.statistics.signal_detection import Difference

HEADINGS = (
    ("went_well", "What went well"),
    ("bias", "Which way the answers lean"),
    ("practise", "What to practise"),
    ("change", "What changed"),
    ("limits", "What these figures cannot say"),
)


def plain_words(words: Words) -> dict[str, tuple[str, ...]]:
    """The sentences under their headings, those that there are."""
    return {heading: tuple(map(text, said)) for name, heading in HEADINGS if (said := getattr(words, name))}


def change_section(changes: Sequence[ChangeFigures]) -> Section:
    """From test to test."""
    rows: list[Row] = []
    for one in changes:
        between = f"{one.first} to {one.second}"
        if isinstance(one.score, Change):
            meaning = (
                f"Verdict: {one.score.verdict.value}. A change must exceed {one.score.needed:.1f} points: more "
                f"than two tests of so many pairs differ by chance, and "
                f"than {text(one.norm)}, another test, taken again."
            )
            rows.append((f"{between}: points of percent right", f"{one.score.points:+.1f}", meaning))
        else:
            rows.append((f"{between}: points of percent right", text(one.score), ""))
        rows += _differences(between, one.sensitivity)
    return section("Change", "", Table(HEADER, rows))


def _differences(between: str, found: Maybe[Difference]) -> Iterable[Row]:
    dprime, criterion = (found.dprime, found.criterion) if isinstance(found, Difference) else (found, found)
    yield f"{between}: d'", text(dprime), "Above 0 is better; an interval that holds 0 is not more than chance."
    yield f"{between}: criterion c", text(criterion), 'Below 0 is readier to say "same" than before.'


def standing_section(found: StandingFigures) -> Section:
    """Beside the cohort and published norms."""
    rows = [
        ("percent right", text(found.score, 1), f"In the {found.test}-test." if found.test else ""),
        (
            "percentile in the cohort",
            placed(found.percentile_in_cohort, found.percentile_low, found.percentile_high),
            f"Share of {counted(found.cohort, 'trainee')} below, in percent; equal scores count one half. The range "
            "is of the score's own interval.",
        ),
    ]
    norms = [
        (
            text(one.title),
            f"{one.value:g} {text(one.unit)}" + ("" if one.sd is None else f" (SD {one.sd:g})"),
            placed(one.percentile, one.percentile_low, one.percentile_high),
            one.source + (" (not looked up in its source)" if one.from_memory else ""),
        )
        for one in found.norms
    ]
    return section(
        "Beside others",
        "",
        Table(HEADER, rows),
        Table(("published figure", "value", "percentile there", "source"), norms, text(OTHER_TEST)),
    )


def aided_section(aided: Maybe[AidedFigures], prevalence: Maybe[PrevalenceFigures]) -> Section:
    """Advice, and pairs of two people that are rare."""
    rows: list[Row] = []
    about = ""
    if isinstance(aided, AidedFigures):
        about = (
            f"{counted(aided.trials, 'pair was', 'pairs were')} rated before and after advice, which was wrong in "
            f"{aided.advice_wrong:,}. Wrong advice is given on purpose: the machine errs much more rarely than here."
        )
        net = aided.bias.net if isinstance(aided.bias, AutomationBias) else aided.bias
        gain = aided.gain.dprime if isinstance(aided.gain, AdviceGain) else aided.gain
        rows += [
            ("right before the advice", text(aided.right_before), "Of all pairs with advice."),
            ("right after the advice", text(aided.right_after), "Of the same pairs."),
            ("misled", text(aided.misled), "Wrong advice turned a right answer into a wrong one."),
            ("helped", text(aided.helped), "Right advice mended an answer that was not right."),
            ("shift of the criterion by the advice", text(net), "About 0 is healthy; above 0 leans to the machine."),
            ("gain of d'", text(gain), "What the advice did to telling one person from two; above 0 is better."),
        ]
    if isinstance(prevalence, PrevalenceFigures):
        found = prevalence.false_same
        value = _difference(found) if isinstance(found, RateDifference) else text(found)
        meaning = "Where pairs of two people are rare, how many more of them are called the same than elsewhere."
        rows.append(('false "same" where two people are rare', value, meaning))
        moved = prevalence.sensitivity
        criterion = moved.criterion if isinstance(moved, Difference) else moved
        rows.append(
            ("shift of c where two people are rare", text(criterion), 'Below 0 is readier to say "same" there.')
        )
    return section("What moves answers beside the photos", about if rows else "", Table(HEADER, rows))


def _difference(found: RateDifference) -> str:
    values = f"{100 * found.value:+.0f} points; {100 * found.low:+.0f} to {100 * found.high:+.0f}"
    return (
        f"{values} ({found.first.count:,} of {found.first.total:,}, {found.second.count:,} of {found.second.total:,})"
    )


def group_section(groups: Sequence[GroupFigures]) -> Section:
    """Both error rates by the labels of the people shown."""
    rows: list[tuple[str, ...]] = []
    for kind in groups:
        name = kind.kind.replace("_", " ")
        rows += [
            (
                name,
                one.group,
                _group_rate(one.false_same, one.false_same_interval),
                _group_rate(one.misses, one.misses_interval),
            )
            for one in kind.groups
        ]
        rows.append((name, "how far apart", _spread(kind.false_same), _spread(kind.misses)))
    about = (
        f"Groups of fewer than {MIN_TRIALS} answers, or of fewer than {MIN_ITEMS} different pairs of a kind, are not "
        "shown: their rates would be chance, or those of a few photos. The intervals allow for other pairs."
    )
    return section(
        "By the people shown", about if rows else "", Table(("label", "group", 'false "same"', "misses"), rows)
    )


def _group_rate(found: Maybe[Rate], interval: Maybe[Interval]) -> str:
    if isinstance(found, Undefined) or isinstance(interval, Undefined):
        return text(found)
    ends = f"{percent(interval.low)} to {percent(interval.high)}"
    return f"{percent(found.value)} ({found.count:,} of {found.total:,}); {ends}"


def _spread(found: Maybe[Spread]) -> str:
    if isinstance(found, Undefined):
        return text(found)
    if not found.beyond_chance:
        return "not shown to differ: chance alone makes as much"
    return f"at most {found.max_to_min:.2g} times another; {found.low:.2g} to {found.high:.2g}"


def verification_section(found: Maybe[AgreementFigures]) -> Section:
    """Blind verification."""
    if isinstance(found, Undefined):
        return section("Blind verification", "")
    rows = [
        ("same word", text(found.same_word), "Pairs on which both gave the same word, without seeing each other's."),
        ("kappa, linear", text(found.linear_kappa), "Agreement of the ratings beyond chance; 1 is full, 0 is chance."),
        ("kappa, quadratic", text(found.quadratic_kappa), "The same; large differences weigh more."),
        (
            "only one of both right",
            f"{found.own_only:,} and {found.first_only:,}",
            f"The verifier alone, the first judge alone; p of as unequal numbers by chance: {text(found.p_value, 3)}.",
        ),
        ("area, verifier", text(found.own_area), "Of the verifier's ratings of these pairs."),
        ("area, first judge", text(found.first_area), "Of the first judge's ratings."),
        ("area, both together", text(found.fused_area), "Of the average of both: what independent opinions are worth."),
    ]
    about = f"{counted(found.pairs, 'pair was', 'pairs were')} judged by two; {found.alone:,} had no first judge yet."
    return section("Blind verification", about, Table(HEADER, rows))


def crowd_section(crowds: Sequence[CrowdFigures]) -> Section:
    """The averages of several trainees."""
    rows = [
        (
            one.form,
            f"{size.size}",
            _group(size.area) if isinstance(size.area, GroupArea) else text(size.area),
            f"{size.area.worst:.2f} to {size.area.best:.2f}" if isinstance(size.area, GroupArea) else "",
        )
        for one in crowds
        for size in one.sizes
    ]
    header = ("form", "trainees", "mean area; 95 % interval", "95 of 100 groups lie in")
    about = (
        "The area under the ROC curve of the average of trainees of this cohort who judged alone. The intervals say "
        "what other items may show of these trainees; blocks whose items follow the trainee are left out."
    )
    return section("Opinions together", about if rows else "", Table(header, rows))


def _group(found: GroupArea) -> str:
    return f"{found.area:.2f}; {found.low:.2f} to {found.high:.2f}"


def learning_section(found: Maybe[LearningFigures]) -> Section:
    """Right answers as the trials go on."""
    if isinstance(found, Undefined):
        return section("Learning", "")
    rows = [(f"{one.first + 1:,} to {one.last + 1:,}", text(one.right), _band(one)) for one in found.points]
    about = (
        "Share of right answers in each stretch of pairs. Adaptive blocks are left out, as they keep their share, and "
        "so is blind verification. The pairs of different blocks need not be equally hard: a rise may be easier pairs."
    )
    return section("Learning", about, Table(("pairs", "right; 95 % interval", "band by resampling"), rows))


def _band(point: CurvePoint) -> str:
    return "" if point.band is None else f"{point.band.low:.0%} to {point.band.high:.0%}".replace("%", " %")


def made_of(course: Course) -> list[tuple[str, str]]:
    """The parts that the course was made of."""
    return [
        ("course", f"{course.plan.title} ({course.course_id})"),
        ("data sets", ", ".join(course.datasets)),
        ("terms of their photos", "; ".join(course.terms)),
        ("model", str(course.model)),
        ("seed", str(course.seed)),
        ("sha256 of the manifests", course.manifest_sha256),
    ]
