"""Picks from candidate lists: the right person, a foil, a false alarm, or nobody."""

from __future__ import annotations

from dataclasses import dataclass

from fr_core.scoring.checks import F64, check_similarities, check_threshold
from fr_core.scoring.identification import MatedSearches, NonmatedSearches, check_same_size
from fr_core.scoring.intervals import DEFAULT_CONFIDENCE, Rate, rate


@dataclass(frozen=True, slots=True)
class PickRates:
    """What became of the candidate lists of an examiner, or of a rule, who may pick one candidate or nobody.

    Attributes:
        right: the mate was picked, of the mated searches (TPIR of picks).
        foil: somebody else was picked, of the mated searches: worse than a miss, as it points to a wrong person.
        false_alarm: somebody was picked, of the non-mated searches (FPIR of picks).
    """

    right: Rate
    foil: Rate
    false_alarm: Rate


def pick_rates(
    *, right: int, foils: int, mated: int, false_alarms: int, nonmated: int, confidence: float = DEFAULT_CONFIDENCE
) -> PickRates:
    """The rates of picks from their counts.

    Source: the outcomes of target-present and target-absent line-ups; N. M. Steblay, J. E. Dysart and G. L. Wells,
    "Seventy-two tests of the sequential lineup superiority effect", Psychology, Public Policy, and Law 17 (2011)
    99-139.

    Args:
        right: mated searches in which the mate was picked.
        foils: mated searches in which somebody else was picked.
        mated: all mated searches, failures included; in those that remain nobody was picked.
        false_alarms: non-mated searches in which somebody was picked.
        nonmated: all non-mated searches that were done.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: there is no mated search, or no non-mated search was done.
        ValueError: a count is negative, or there are more picks than searches.
    """
    if right + foils > mated:
        raise ValueError(f"{right} right picks and {foils} foils are more than {mated} mated searches.")
    return PickRates(
        rate(right, mated, confidence), rate(foils, mated, confidence), rate(false_alarms, nonmated, confidence)
    )


def picks_at(
    mated: MatedSearches,
    best_foils: F64,
    nonmated: NonmatedSearches,
    threshold: float,
    confidence: float = DEFAULT_CONFIDENCE,
) -> PickRates:
    """The rates of the rule that picks the first candidate iff it reaches the threshold.

    Args:
        mated: the searches; in a failure nobody is picked.
        best_foils: f64[n], finite: in each mated search that was done, the similarity of the best candidate who is not
            the mate. Where mate and foil are equally similar, the mate's rank says who was picked.
        nonmated: the searches for people who are not in the gallery.
        threshold: pick iff similarity >= threshold.
        confidence: of the intervals, in (0, 1).

    Raises:
        UndefinedRate: there is no mated search, or no non-mated search was done.
        ValueError: the shapes differ from the above, the galleries differ in size, or the threshold is NaN.
    """
    check_same_size(mated, nonmated)
    check_threshold(threshold)
    check_similarities(best_foils)
    if best_foils.shape != mated.ranks.shape:
        raise ValueError(f"{len(mated.ranks)} mated searches need as many best foils, not {len(best_foils)}.")
    first = mated.ranks == 1
    return pick_rates(
        right=int((mated.similarities[first] >= threshold).sum()),
        foils=int((best_foils[~first] >= threshold).sum()),
        mated=mated.total,
        false_alarms=int((nonmated.top_similarities >= threshold).sum()),
        nonmated=len(nonmated.top_similarities),
        confidence=confidence,
    )
