"""What became of decisions: those that were acknowledged beside those that the server has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fr_bench.speed.training_values import Decision, Kept


def kept(decisions: Iterable[Decision], trainee_ids: Sequence[str], exported: Iterable[tuple[str, int, str]]) -> Kept:
    """Compare what was sent with what is there.

    Args:
        decisions: all that were sent, each of them acknowledged.
        trainee_ids: pseudonyms by the places of their codes.
        exported: trainee, ordinal and rating of each trial, the rating "" where it was not answered.
    """
    sent = {(trainee_ids[one.code], one.ordinal): str(one.rating) for one in decisions}
    rows = list(exported)
    there = {(trainee, ordinal): rating for trainee, ordinal, rating in rows if rating}
    times = Counter((trainee, ordinal) for trainee, ordinal, _ in rows)
    return Kept(
        acknowledged=len(sent),
        lost=sum(there.get(place) != rating for place, rating in sent.items()),
        doubled=sum(count > 1 for count in times.values()),
        unsent=len(there.keys() - sent.keys()),
    )
