"""The export as scores for gradebooks: how far, how much, and what is not known yet."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_training.exports.ags import ags
from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.exports.values import CohortResults, Finished
from fr_training.trials import Result
from support import results as graded
from support.results import course, listed, pair, triaged

NOW = 1_700_000_000_123
ENDED = (Finished("t1", "first", 0, 1),)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.load(new_signing_key())


def scores(key: SigningKey, results: Sequence[Result], finished: Sequence[Finished] = ()) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ags(CohortResults(course(), "x", {"t1": results}, finished, key, NOW)))
    return found


def pre(ratings: Sequence[int | None], known: int = 0) -> list[Result]:
    """Trials of a block of 40, all of one person."""
    return [pair("same", one, n, known=n < known) for n, one in enumerate(ratings)]


def test_a_finished_block_word_by_word(key: SigningKey) -> None:
    results = pre([3] * 30 + [-1] * 6 + [0] * 2 + [None], known=3)
    assert scores(key, results, ENDED) == [
        {
            "lineItem": {
                "label": "Faces & <b>lists</b>: Before <script>",
                "scoreMaximum": 40,
                "resourceId": "0123456789abcdef/pre",
                "tag": "pre",
            },
            "score": {
                "userId": "t1",
                "scoreGiven": 27,
                "scoreMaximum": 37,
                "activityProgress": "Completed",
                "gradingProgress": "FullyGraded",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "comment": "Training output, no proof of ability: 27 right of 37 trials that count; 2 undecided or "
                "inconclusive; 2 not answered; 3 left out, as the trainee knows somebody shown.",
            },
        }
    ]


def test_a_block_without_an_answer_has_no_score_until_it_is_over(key: SigningKey) -> None:
    (running,) = scores(key, pre([3, 3, -3, None]))
    assert (running["score"]["scoreGiven"], running["score"]["scoreMaximum"]) == (2, 40)
    assert (running["score"]["activityProgress"], running["score"]["gradingProgress"]) == ("InProgress", "Pending")
    (known,) = scores(key, pre([3] * 40, known=40), ENDED)
    assert "scoreGiven" not in known["score"]
    assert (known["score"]["activityProgress"], known["score"]["gradingProgress"]) == ("Completed", "NotReady")
    (made,) = scores(key, pre([None]))
    assert "scoreGiven" not in made["score"]
    assert "scoreMaximum" not in made["score"]
    assert (made["score"]["activityProgress"], made["score"]["gradingProgress"]) == ("Started", "NotReady")
    (over,) = scores(key, pre([None]), ENDED)
    assert (over["score"]["scoreGiven"], over["score"]["scoreMaximum"]) == (0, 40)
    assert (over["score"]["activityProgress"], over["score"]["gradingProgress"]) == ("Completed", "FullyGraded")


def test_a_block_is_over_when_all_is_answered_or_a_later_one_has_begun(key: SigningKey) -> None:
    (full,) = scores(key, pre([1] * 40))
    assert (full["score"]["activityProgress"], full["score"]["scoreGiven"]) == ("Completed", 40)
    first, second = scores(key, [*pre([1]), triaged("usable", "usable", 1)])
    assert first["lineItem"]["tag"] == "pre"
    assert first["score"]["activityProgress"] == "Completed"
    assert second["lineItem"]["tag"] == "triage"
    assert second["score"]["activityProgress"] == "InProgress"


def test_the_end_of_another_trainee_or_sitting_ends_nothing(key: SigningKey) -> None:
    others = (Finished("t2", "first", 0, 1), Finished("t1", "second", 0, 1))
    assert scores(key, pre([1]), others)[0]["score"]["activityProgress"] == "InProgress"


def test_an_own_probe_waits_for_somebody_to_tell(key: SigningKey) -> None:
    told = listed(1, "candidate:1", 0, block="own")
    untold = listed(1, "candidate:1", 1, block="own", scored=False)
    (made,) = scores(key, [told, untold], ENDED)
    score = made["score"]
    assert (score["scoreGiven"], score["scoreMaximum"]) == (1, 1)
    assert score["gradingProgress"] == "PendingManual"
    assert "1 of which nobody has told yet what is right" in score["comment"]
    (alone,) = scores(key, [untold, untold])
    assert "scoreGiven" not in alone["score"]
    assert (alone["score"]["activityProgress"], alone["score"]["gradingProgress"]) == ("Completed", "PendingManual")


@given(graded.results(), graded.results("t2"), st.booleans())
def test_scores_keep_the_rules_of_ags(
    key: SigningKey, first: Sequence[Result], second: Sequence[Result], over: bool
) -> None:
    results = {"t1": first, "t2": second}
    made = json.loads(ags(CohortResults(course(), "x", results, ENDED if over else (), key, NOW)))
    begun = {(trainee, one.block_id) for trainee, own in results.items() for one in own}
    assert {(one["score"]["userId"], one["lineItem"]["resourceId"].split("/")[1]) for one in made} == begun
    assert len(made) == len(begun)
    for one in made:
        assert set(one) == {"lineItem", "score"}
        assert one["lineItem"]["scoreMaximum"] > 0
        score = one["score"]
        needed = {"userId", "activityProgress", "gradingProgress", "timestamp", "comment"}
        assert set(score) - needed in (set(), {"scoreGiven", "scoreMaximum"})
        assert score["activityProgress"] in ("Initialized", "Started", "InProgress", "Submitted", "Completed")
        assert score["gradingProgress"] in ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", score["timestamp"])
        if "scoreGiven" in score:
            assert 0 <= score["scoreGiven"] <= score["scoreMaximum"]
            assert score["scoreMaximum"] > 0
        assert (score["gradingProgress"] in ("FullyGraded", "Pending")) <= ("scoreGiven" in score)
        assert "raining output" in score["comment"]
