"""The machine on the very pairs that trainees judged, so that both can be held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.scoring.intervals import Rate
from fr_core.scoring.likelihood import cllr
from fr_training.grading.areas import Roc, roc_of_machine, scores
from fr_training.grading.splitting import of_items
from fr_training.grading.values import Maybe, share, unless_undefined
from fr_training.results import Result


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """Of the machine. A pair counts once, however many trainees judged it; in `agrees`, once for each answer.

    Attributes:
        trials: different pairs of which it says something.
        right: share that it has right.
        misses: pairs of one person that it calls different.
        false_same: pairs of two people that it calls the same.
        roc: of its similarities.
        cllr: cost of its likelihood ratios in bits, of the pairs that have one; 0 is perfect, 1 is no evidence.
        agrees: share of answers that say the same as the machine; an undecided trainee agrees with nobody.
    """

    trials: int
    right: Maybe[Rate]
    misses: Maybe[Rate]
    false_same: Maybe[Rate]
    roc: Maybe[Roc]
    cllr: Maybe[float]
    agrees: Maybe[Rate]


def machine_figures(pairs: Sequence[Result]) -> MachineFigures:
    """Of rated pairs of known truth, of one trainee or of several together."""
    answers = [one for one in pairs if one.machine]
    different_pairs = of_items(pairs)
    said = [one for one in different_pairs if one.machine]
    same = [one for one in said if one.truth == "same"]
    different = [one for one in said if one.truth == "different"]
    lacking = "pairs with an opinion of the machine"
    return MachineFigures(
        trials=len(said),
        right=share(sum(one.machine == one.truth for one in said), len(said), lacking),
        misses=share(sum(one.machine == "different" for one in same), len(same), f"{lacking} that show one person"),
        false_same=share(sum(one.machine == "same" for one in different), len(different), f"{lacking} of two people"),
        roc=roc_of_machine(different_pairs),
        cllr=_cllr(different_pairs),
        agrees=share(sum(one.machine == one.answer for one in answers), len(answers), lacking),
    )


def _cllr(pairs: Sequence[Result]) -> Maybe[float]:
    weighed = [(one, one.log10_lr) for one in pairs if one.log10_lr is not None]
    same, different = scores([one for one, _ in weighed], [ratio for _, ratio in weighed])
    return unless_undefined(lambda: cllr(same, different))
