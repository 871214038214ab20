"""What a cohort's figures come to, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate
from fr_training.grading.certainty import of_cohort
from fr_training.grading.figures import CohortChange, CohortFigures, Words
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.practise_words import practise
from fr_training.grading.trainee_words import TESTS
from fr_training.grading.values import Undefined
from fr_training.grading.words import THEY, bias, counted, left_out, went_well
from fr_training.statistics.fusion import GroupArea

SIGNIFICANT = 0.05

TOGETHER = (
    "What is said above of guessing, of leaning and of advice goes by the trainees, each of whom counts once. "
    "Intervals of pooled figures, and of each block, take answers for independent; answers of one trainee, and answers "
    "to one item, go together, so that the truth is less sure than these say. Other items may show something else."
)


def cohort_words(figures: CohortFigures) -> Words:
    """The sentences of a cohort."""
    pairs = figures.together.pairs
    surely = of_cohort(figures.together, figures.aided, figures.prevalence, figures.own, figures.items)
    return Words(
        went_well=(*went_well(THEY, figures.together, figures.aided, surely), *_crowds(figures.crowds)),
        bias=bias(THEY, pairs, figures.aided, figures.prevalence, surely),
        practise=practise(THEY, figures.together, figures.aided, surely),
        change=tuple(_changes(figures.changes)),
        limits=(*left_out(figures.counts), *_quarantined(figures.items), TOGETHER),
    )


def _changes(changes: Sequence[CohortChange]) -> Iterable[str]:
    for one in changes:
        between = f"From {TESTS.get(one.first, one.first)} to {TESTS.get(one.second, one.second)}"
        if not (isinstance(one.better, Rate) and isinstance(one.worse, Rate)):
            continue
        beyond = (
            "no more scores rose or fell than chance makes"
            if isinstance(one.p_value, Undefined) or one.p_value >= SIGNIFICANT
            else f"more scores {'rose' if one.rose > one.fell else 'fell'} than chance makes"
        )
        yield (
            f"{between}, of {counted(one.trainees, 'trainee')} {one.better.count:,} did reliably better and "
            f"{one.worse.count:,} reliably worse, by more than about {one.needed:.1f} points; of so many who do not "
            f"change, about {_by_chance(one.trainees)} would be called one or the other. {one.rose:,} scores rose "
            f"and {one.fell:,} fell: {beyond}."
        )


def _by_chance(trainees: int) -> str:
    """How many of them a verdict of 95 % confidence is wrong of."""
    expected = trainees * (1.0 - DEFAULT_CONFIDENCE)
    return f"{expected:.1f}" if expected < 9.95 else f"{expected:,.0f}"


def _crowds(crowds: Sequence[CrowdFigures]) -> Iterable[str]:
    for one in crowds[:1]:
        areas = {size.size: size.area for size in one.sizes if isinstance(size.area, GroupArea)}
        if 1 in areas and len(areas) > 1:
            alone, most = areas[1], areas[max(areas)]
            if most.low > alone.high:
                yield (
                    f"The average of {most.size} trainees who judge alone has an area of {most.area:.2f}, one trainee "
                    f"{alone.area:.2f} on average: of these items, independent opinions together tell more than one."
                )


def _quarantined(items: Sequence[ItemRow]) -> Iterable[str]:
    aside = sum(one.quarantined for one in items)
    if aside:
        yield (
            f"Of {counted(len(items), 'item')} {aside:,} {'is' if aside == 1 else 'are'} answered as if the label were "
            "wrong: the able do worse than others, or fewer are right than by guessing, further than chance takes one "
            "item. Look at these before they are used again; of a hundred sound items, two or three look so by chance."
        )
