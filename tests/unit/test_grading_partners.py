"""Partners of blind verifications: the neighbour of the other half first, then the next who has judged."""

from __future__ import annotations

from dataclasses import replace

from fr_training.grading.verification import AgreementFigures, agreement_figures, first_judgements, with_partners
from fr_training.prompts import ExerciseKind
from fr_training.trials import Result


def judged(form: str, item: str, rating: int | None, kind: ExerciseKind = ExerciseKind.VERIFICATION) -> Result:
    answer = "" if rating is None else "same" if rating > 0 else "different"
    return Result(
        trainee_id="",
        sitting="day",
        block_id="opinion" if kind == ExerciseKind.VERIFICATION else "second",
        form=form,
        test="",
        exercise=kind,
        ordinal=0,
        item_id=item,
        b=0.0,
        truth="same",
        answer=answer,
        correct=None if rating is None else rating > 0,
        shown_ms=0,
        rating=rating,
        took_ms=None if rating is None else 1000,
    )


def cohort(*rated: tuple[int | None, int | None]) -> dict[str, tuple[Result, ...]]:
    """Trainees in turn of half 0 and 1, with the rating of the own pair and that of the other half's."""
    found = {}
    for number, (own, other) in enumerate(rated):
        half = number % 2
        results = (
            judged(f"opinion-{half}", f"item-{half}", own),
            judged(f"opinion-{1 - half}", f"item-{1 - half}", other, ExerciseKind.BLIND),
        )
        found[f"T-{number}"] = tuple(replace(one, trainee_id=f"T-{number}") for one in results)
    return found


def partners(*rated: tuple[int | None, int | None]) -> list[str]:
    return [results[1].partner for results in with_partners(cohort(*rated)).values()]


def test_neighbours_verify_each_other() -> None:
    assert partners((1, 2), (2, 1), (3, -1), (-2, 2)) == ["T-1", "T-0", "T-3", "T-2"]


def test_whoever_has_no_neighbour_who_judged_gets_the_next_who_did() -> None:
    assert partners((1, 2), (None, 1), (3, -1), (-2, 2)) == ["T-3", "T-0", "T-3", "T-2"]
    assert partners((1, 2), (2, 1), (3, -1)) == ["T-1", "T-0", "T-1"]


def test_a_pair_that_nobody_has_judged_has_no_partner() -> None:
    assert partners((1, 2)) == [""]
    assert partners((1, 2), (None, 3)) == ["", "T-0"]


def test_nothing_else_is_changed_and_agreement_is_told_of_the_couples() -> None:
    before = cohort((3, 3), (3, 3), (-1, 2), (2, -2))
    after = with_partners(before)
    assert {t: tuple(replace(one, partner="") for one in found) for t, found in after.items()} == before
    assert all(one.partner == "" for found in after.values() for one in found[:1])
    figures = agreement_figures(after["T-2"], first_judgements(after))
    assert isinstance(figures, AgreementFigures)
    assert (figures.pairs, figures.alone) == (1, 0)
