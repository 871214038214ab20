"""The exercises: what they show, which answers they take, what these are worth, and what is told afterwards."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pytest

from fr_core.errors import InputRefused, InvalidField, MissingField
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.answers import (
    MAX_NOTES,
    Answer,
    Compared,
    Conclusion,
    Degraded,
    FileHash,
    Given,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    OptionChosen,
    PairRating,
    Prediction,
    ProbeSent,
    Read,
    Triage,
    Usability,
)
from fr_training.errors import InvalidRating, WrongStep
from fr_training.exercises import EXERCISES, exercise_of
from fr_training.exercises.checks import COMPONENTS
from fr_training.exercises.exercise import Exercise, Graded
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import PAIRS
from fr_training.prompts import ExerciseKind, LabKind, Prompt, Reveal, Role, Step
from fr_training.trials import Locked, Trial

MATED, NONMATED = PairKey(True, 0.4, 1.5, advice_same=False), PairKey(False, 0.1, -2.0)
OBSERVED = Observations(tuple(Observation(one.component_id, Compared.SIMILAR, 5) for one in COMPONENTS))


def require_told(
    reveal: Reveal,
    correct: bool | None,
    text: str,
    similarities: Mapping[str, float] = MappingProxyType({}),
    picture_id: str = "",
) -> None:
    assert reveal.text is not None
    assert (reveal.correct, render(reveal.text)) == (correct, text)
    assert (reveal.similarities, reveal.picture_id) == (similarities, picture_id)


def trial(exercise: Exercise, given: Sequence[Given], order: Sequence[int]) -> Trial:
    locked = tuple(Locked(step, Answer(one), 0, 1) for step, one in zip(exercise.steps, given, strict=False))
    return Trial("t", 0, "block", "form", "item", tuple(order), 0, locked=locked)


def told(
    kind: ExerciseKind, key: AnswerKey, given: Sequence[Given], order: Sequence[int], ids: Sequence[str]
) -> tuple[Graded, Reveal]:
    exercise = exercise_of(kind)
    done = trial(exercise, given, order)
    return exercise.grade(key, done, ids), exercise.reveal(key, done, ids)


def ids_of(prompt: Prompt) -> list[tuple[str, Role]]:
    return [(one.picture_id, one.role) for one in prompt.pictures]


def test_instructions_of_low_prevalence_do_not_tell_it_apart() -> None:
    low, plain = exercise_of(ExerciseKind.LOW_PREVALENCE), exercise_of(ExerciseKind.VERIFICATION)
    assert low.instructions == plain.instructions


@pytest.mark.parametrize("kind", sorted(PAIRS - {ExerciseKind.FOOTAGE}))
def test_pairs_show_both_photos_at_each_step(kind: ExerciseKind) -> None:
    exercise = exercise_of(kind)
    for step in exercise.steps:
        prompt = exercise.prompt(step, ("pa", "pb"), PairKey(True, 0.4, advice_same=False))
        assert (prompt.exercise, prompt.step) == (kind, step)
        assert ids_of(prompt) == [("pa", Role.COMPARED), ("pb", Role.COMPARED)]
        assert (prompt.components == COMPONENTS) == (step == Step.OBSERVE)
        assert (prompt.advice is not None) == (step == Step.RATE_AGAIN)


def test_the_probe_is_shown_before_the_candidates_are() -> None:
    exercise, own = exercise_of(ExerciseKind.CANDIDATES), exercise_of(ExerciseKind.OWN_PROBE)
    probe, candidates = ("probe", Role.PROBE), [("ca", Role.CANDIDATE), ("cb", Role.CANDIDATE)]
    ids = ("probe", "ca", "cb")
    assert ids_of(exercise.prompt(Step.NOTE, ids, None)) == [probe]
    assert ids_of(exercise.prompt(Step.DECIDE, ids, None)) == [probe, *candidates]
    assert ids_of(own.prompt(Step.SEND_PROBE, (), None)) == []
    assert ids_of(own.prompt(Step.NOTE, ids[1:], None)) == []
    assert ids_of(own.prompt(Step.DECIDE, ids[1:], None)) == candidates


@pytest.mark.parametrize(
    ("kind", "photos", "fixed"),
    [
        (ExerciseKind.VERIFICATION, 2, 0),
        (ExerciseKind.TRIAD, 3, 0),
        (ExerciseKind.CANDIDATES, 4, 1),
        (ExerciseKind.OWN_PROBE, 3, 0),
    ],
)
def test_every_order_is_as_likely_as_any_other(kind: ExerciseKind, photos: int, fixed: int) -> None:
    rng = np.random.default_rng(7)
    draws = 1_200
    orders = [exercise_of(kind).order(photos, rng) for _ in range(draws)]
    assert all(order[:fixed] == tuple(range(fixed)) and sorted(order) == list(range(photos)) for order in orders)
    counts = np.array([orders.count(one) for one in set(orders)])
    expected = [1, 1, 2, 6][photos - fixed]
    assert len(counts) == expected  # of the 3! at most, none is missing
    assert np.abs(counts - draws / expected).max() < 5 * np.sqrt(draws / expected)


ONE, TWO = "both photos show one person.", "the photos show two people."


@pytest.mark.parametrize("kind", sorted(PAIRS - {ExerciseKind.AIDED, ExerciseKind.FOOTAGE}))
@pytest.mark.parametrize(
    ("key", "rating", "answer", "correct", "text"),
    [
        (MATED, 3, "same", True, f"Right: {ONE}"),
        (MATED, 1, "same", True, f"Right: {ONE}"),
        (MATED, -1, "different", False, f"Not right: {ONE}"),
        (MATED, 0, "undecided", None, f"Undecided: {ONE}"),
        (NONMATED, -3, "different", True, f"Right: {TWO}"),
        (NONMATED, 2, "same", False, f"Not right: {TWO}"),
        (NONMATED, 0, "undecided", None, f"Undecided: {TWO}"),
    ],
)
def test_ratings(kind: ExerciseKind, key: PairKey, rating: int, answer: str, correct: bool | None, text: str) -> None:
    first: list[Given] = [OBSERVED] if kind == ExerciseKind.FEATURES else []
    graded, reveal = told(kind, key, [*first, PairRating(rating, 0.25)], (1, 0), ("pa", "pb"))
    truth = "same" if key.mated else "different"
    assert graded == Graded(truth, answer, correct, rating, None, 0.25, "", key.similarity, key.log10_lr, truth)
    require_told(reveal, correct, text)


@pytest.mark.parametrize(("log10_lr", "machine"), [(0.01, "same"), (0.0, "different"), (-3.0, "different"), (None, "")])
def test_the_machine_says_same_above_a_likelihood_ratio_of_1(log10_lr: float | None, machine: str) -> None:
    pair = exercise_of(ExerciseKind.VERIFICATION)
    graded = pair.grade(PairKey(True, 0.9, log10_lr), trial(pair, (), (0, 1)), ("pa", "pb"))
    assert graded == Graded("same", "", None, similarity=0.9, log10_lr=log10_lr, machine=machine)


@pytest.mark.parametrize(
    ("key", "ratings", "graded", "text"),
    [
        (
            PairKey(False, 0.5, 1.0, advice_same=True),
            (PairRating(-2, 0.1), PairRating(1, 0.6)),
            Graded("different", "same", False, 1, -2, 0.6, "same", 0.5, 1.0, "same"),
            f"Not right: {TWO} The machine's opinion was wrong.",
        ),
        (
            PairKey(True, 0.5, advice_same=True),
            (PairRating(0), PairRating(0)),
            Graded("same", "undecided", None, 0, 0, None, "same", 0.5),
            f"Undecided: {ONE} The machine's opinion was right.",
        ),
    ],
)
def test_an_aided_trial_counts_the_last_rating_and_keeps_the_first(
    key: PairKey, ratings: Sequence[PairRating], graded: Graded, text: str
) -> None:
    found, reveal = told(ExerciseKind.AIDED, key, ratings, (0, 1), ("pa", "pb"))
    assert found == graded
    require_told(reveal, graded.correct, text)


@pytest.mark.parametrize(
    ("chosen", "answer", "correct"), [("x", "odd:2", False), ("y", "odd:0", True), ("z", "odd:1", False)]
)
def test_triads_count_photos_as_in_the_item(chosen: str, answer: str, correct: bool) -> None:
    graded, reveal = told(ExerciseKind.TRIAD, TriadKey(0, 1, -0.1), [OddOneOut(chosen)], (2, 0, 1), ("x", "y", "z"))
    assert graded == Graded("odd:0", answer, correct, machine="odd:1")
    opening = "Right" if correct else "Not right"
    require_told(reveal, correct, f"{opening}: photo 2 shows another person than the two others.", {}, "y")


SIMILARITIES = (0.9, 0.5, 0.7)
SHOWN = {"x": 0.7, "y": 0.9, "z": 0.5}  # x, y, z show the candidates 2, 0, 1


def decide(key: ListKey, choice: ListChoice, picture_id: str | None, own: bool) -> tuple[Graded, Reveal]:
    decision = ListDecision(choice, picture_id, {"x": 0, "y": 1, "z": -1})
    if own:
        given: list[Given] = [ProbeSent("0" * 64), Notes("a scar"), decision]
        return told(ExerciseKind.OWN_PROBE, key, given, (2, 0, 1), ("x", "y", "z"))
    return told(ExerciseKind.CANDIDATES, key, [Notes("a scar"), decision], (0, 3, 1, 2), ("probe", "x", "y", "z"))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("mate", "picture_id", "answer", "correct", "opening"),
    [
        (2, "x", "candidate:2", True, "Right"),
        (2, "y", "candidate:0", False, "Not right"),
        (2, None, "none", False, "Not right"),
        (2, None, "inconclusive", None, "Inconclusive, which is neither right nor wrong"),
        (None, "y", "candidate:0", False, "Not right"),
        (None, None, "none", True, "Right"),
        (None, None, "inconclusive", None, "Inconclusive, which is neither right nor wrong"),
    ],
)
def test_decisions_on_lists(
    own: bool, mate: int | None, picture_id: str | None, answer: str, correct: bool | None, opening: str
) -> None:
    choice = ListChoice(answer.partition(":")[0])
    graded, reveal = decide(ListKey(mate, SIMILARITIES), choice, picture_id, own)
    truth, rank = ("absent", None) if mate is None else ("mate:2", 2)
    assert graded == Graded(truth, answer, correct, machine="candidate:0", mate_rank=rank, candidates=3)
    where = "none of the candidates" if mate is None else "candidate 1"
    require_told(reveal, correct, f"{opening}: {where} is the person searched for.", SHOWN, "" if mate is None else "x")


@pytest.mark.parametrize("mate", [None, 2])
@pytest.mark.parametrize(("choice", "picture_id"), [(ListChoice.CANDIDATE, "x"), (ListChoice.NONE, None)])
def test_a_probe_of_unknown_truth_is_not_wrong(mate: int | None, choice: ListChoice, picture_id: str | None) -> None:
    graded, reveal = decide(ListKey(mate, SIMILARITIES, scored=False), choice, picture_id, own=True)
    assert graded == Graded("", "candidate:2" if picture_id else "none", None, machine="candidate:0", candidates=3)
    assert (reveal.correct, reveal.similarities, reveal.picture_id) == (None, SHOWN, "")
    assert reveal.text == message("reveal.unknown")


def test_equal_similarities_rank_in_the_order_of_the_item() -> None:
    exercise = exercise_of(ExerciseKind.CANDIDATES)
    ids = ("probe", "x", "y", "z")
    for mate, rank in ((0, 3), (1, 1), (2, 2)):
        graded = exercise.grade(ListKey(mate, (0.1, 0.5, 0.5)), trial(exercise, (), range(4)), ids)
        assert (graded.machine, graded.mate_rank) == ("candidate:1", rank)


FINE, BAD = TriageKey(Usability.USABLE, None, 0.0), TriageKey(Usability.REJECT, Degraded.POSE, 50.0)
BLURRED = TriageKey(Usability.LIMITED, Degraded.BLUR, 2.0)
RESERVE = "the photo can be used with reserve, for it is blurred."


@pytest.mark.parametrize(
    ("key", "answer", "named", "reasons", "text"),
    [
        (FINE, Usability.USABLE, (), "", "Right: the photo can be used as it is."),
        (FINE, Usability.REJECT, (Degraded.POSE,), "pose", "Not right: the photo can be used as it is."),
        (BLURRED, Usability.LIMITED, (Degraded.NOISE, Degraded.BLUR), "blur+noise", f"Right: {RESERVE}"),
        (BLURRED, Usability.LIMITED, (Degraded.NOISE,), "noise", f"Right: {RESERVE} You named another reason."),
        (BAD, Usability.USABLE, (), "", "Not right: the photo is to be rejected, for the head is turned away."),
    ],
)
def test_triage(key: TriageKey, answer: Usability, named: Sequence[Degraded], reasons: str, text: str) -> None:
    found, reveal = told(ExerciseKind.TRIAGE, key, [Triage(answer, frozenset(named))], (0,), ("pa",))
    correct = text.startswith("Right")
    assert found == Graded(key.usability, answer, correct, reasons=reasons, degraded=key.degraded or "")
    require_told(reveal, correct, text)


KEYS: dict[ExerciseKind, AnswerKey] = {
    **dict.fromkeys(PAIRS, MATED),
    ExerciseKind.TRIAD: TriadKey(0, 0, 0.1),
    ExerciseKind.CANDIDATES: ListKey(None, (0.1,)),
    ExerciseKind.OWN_PROBE: ListKey(None, (0.1, 0.2)),
    ExerciseKind.TRIAGE: BLURRED,
    ExerciseKind.EVIDENCE: EvidenceKey("0" * 64, "f" * 64, 3),
    ExerciseKind.LAB: LabKey(LabKind.GALLERY, 2, 30.0, 25.0, 35.0),
    ExerciseKind.LESSON: LessonKey("thresholds", "worth", 1, ("no", "yes")),
}


@pytest.mark.parametrize(
    ("kind", "given", "graded"),
    [
        (ExerciseKind.AIDED, (), Graded("same", "", None, similarity=0.4, log10_lr=1.5, machine="same")),
        (
            ExerciseKind.AIDED,
            (PairRating(2, 0.9),),
            Graded("same", "", None, None, 2, None, "different", 0.4, 1.5, "same"),
        ),
        (ExerciseKind.TRIAD, (), Graded("odd:0", "", None, machine="odd:0")),
        (ExerciseKind.CANDIDATES, (Notes("a"),), Graded("absent", "", None, machine="candidate:0", candidates=1)),
        (ExerciseKind.TRIAGE, (), Graded("limited", "", None, degraded="blur")),
        (ExerciseKind.EVIDENCE, (FileHash("0" * 64),), Graded("record:3", "", None, reasons="original")),
        (
            ExerciseKind.LAB,
            (Prediction(35.0),),
            Graded("row:2", "", None, lab="gallery", predicted=35.0, measured=30.0, near=True),
        ),
        (ExerciseKind.LESSON, (Read(),), Graded("option:2", "", None, lesson="thresholds:worth")),
    ],
)
def test_a_trial_that_ends_early_has_no_answer(kind: ExerciseKind, given: Sequence[Given], graded: Graded) -> None:
    exercise, own = exercise_of(kind), exercise_of(ExerciseKind.OWN_PROBE)
    assert exercise.grade(KEYS[kind], trial(exercise, given, (0, 1)), ("pa", "pb")) == graded
    assert own.grade(None, trial(own, (), ()), ()) == Graded("", "", None)  # a probe that was not sent is nothing


@pytest.mark.parametrize("kind", EXERCISES)
def test_nothing_is_revealed_before_the_last_answer(kind: ExerciseKind) -> None:
    exercise = exercise_of(kind)
    for answered in range(len(exercise.steps)):
        open_trial = trial(exercise, [GOOD[step][0] for step in exercise.steps[:answered]], (0, 1))
        with pytest.raises(ValueError, match="every step is answered"):
            exercise.reveal(KEYS[kind], open_trial, ("pa", "pb"))


PAIR = ("pa", "pb")
LIST = ("probe", "ca", "cb", "cc")
RATED = {"ca": -3, "cb": 0, "cc": 3}
SEEN = tuple(Observation(one.component_id, Compared.SIMILAR, 10) for one in COMPONENTS)
HIDDEN = Observation(COMPONENTS[0].component_id, Compared.NOT_VISIBLE, None)
SHA = "0123456789abcdef" * 4

# A good answer to each step, and the pictures of its trial.
GOOD: Mapping[Step, tuple[Given, tuple[str, ...]]] = {
    Step.RATE: (PairRating(3, 1.0), PAIR),
    Step.RATE_AGAIN: (PairRating(-3, 0.0), PAIR),
    Step.CHOOSE: (OddOneOut("pc"), ("pa", "pb", "pc")),
    Step.NOTE: (Notes("a\tb\nc"), LIST),
    Step.OBSERVE: (Observations((HIDDEN, *SEEN[1:])), PAIR),
    Step.DECIDE: (ListDecision(ListChoice.CANDIDATE, "cb", RATED), LIST),
    Step.TRIAGE: (Triage(Usability.USABLE), ("pa",)),
    Step.SEND_PROBE: (ProbeSent(SHA), ()),
    Step.PREDICT: (Prediction(0.0), ()),
    Step.CONCLUDE: (Conclusion(12), ()),
    Step.HASH: (FileHash(SHA), ("pa",)),
    Step.DERIVE: (FileHash(SHA), ("pa",)),
    Step.READ: (Read(), PAIR),
    Step.ANSWER: (OptionChosen("pb"), PAIR),
}
STEPS = [(kind, step) for kind, exercise in EXERCISES.items() for step in exercise.steps]


def good(kind: ExerciseKind, step: Step) -> tuple[Given, tuple[str, ...]]:
    given, pictures = GOOD[step]
    return given, pictures[1:] if kind == ExerciseKind.OWN_PROBE and step != Step.SEND_PROBE else pictures


def check(kind: ExerciseKind, step: Step, given: Given, difficulty: int | None = None) -> None:
    exercise_of(kind).check(step, Answer(given, difficulty), good(kind, step)[1])


def refused(kind: ExerciseKind, step: Step, given: Given, difficulty: int | None = None) -> InputRefused:
    """The refusal, exactly of one of the four classes that the protocol names."""
    with pytest.raises((WrongStep, InvalidRating, MissingField, InvalidField)) as caught:
        check(kind, step, given, difficulty)
    return caught.value


@pytest.mark.parametrize("kind", EXERCISES)
def test_an_exercise_refuses_answers_to_other_steps(kind: ExerciseKind) -> None:
    exercise = exercise_of(kind)
    for step in Step:
        for given, pictures in GOOD.values():
            if step not in exercise.steps or type(given) is not type(GOOD[step][0]):
                with pytest.raises(WrongStep):
                    exercise.check(step, Answer(given), pictures)


FIRST = COMPONENTS[0].component_id
CHOSEN, NOBODY, OPEN = ListChoice.CANDIDATE, ListChoice.NONE, ListChoice.INCONCLUSIVE


TAKEN: list[tuple[Step, Given]] = [
    *((Step.CHOOSE, OddOneOut(picture)) for picture in ("pa", "pb", "pc")),
    *((Step.NOTE, Notes(text)) for text in ("x", "x" * MAX_NOTES, "Narbe über dem Auge\n\t- links", "😀" * MAX_NOTES)),
    (Step.OBSERVE, Observations((*SEEN[1:], Observation(FIRST, Compared.DIFFERENT, 0)))),
    (Step.DECIDE, ListDecision(CHOSEN, "ca", RATED)),  # a decision may contradict its ratings
    (Step.DECIDE, ListDecision(NOBODY, None, RATED)),
    (Step.DECIDE, ListDecision(OPEN, None, RATED)),
    (Step.TRIAGE, Triage(Usability.LIMITED, frozenset(Degraded))),
    (Step.TRIAGE, Triage(Usability.REJECT, frozenset(Degraded))),
]


@pytest.mark.parametrize(
    ("step", "given", "error"),
    [
        *((step, given, None) for step, given in TAKEN),
        # Others are refused in tests/service/test_training_bad_input.py.
        (Step.RATE, PairRating(1, math.nextafter(1.0, 2.0)), InvalidRating),
        (Step.RATE_AGAIN, PairRating(4), InvalidRating),
        *((Step.CHOOSE, OddOneOut(picture), InvalidRating) for picture in ("PA", "p")),
        *((Step.NOTE, Notes(f"a{one}b"), InvalidField) for one in "\0\r\x1b\x7f\x85\ud800"),
        (Step.OBSERVE, Observations((*SEEN[:-1], SEEN[0])), InvalidField),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.DIFFERENT, None), *SEEN[1:])), MissingField),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.DIFFERENT, -1), *SEEN[1:])), InvalidRating),
        (Step.DECIDE, ListDecision(CHOSEN, None, RATED), MissingField),
        (Step.DECIDE, ListDecision(NOBODY, "ca", RATED), InvalidField),
        (Step.DECIDE, ListDecision(OPEN, "ca", RATED), InvalidField),
        *(
            (Step.SEND_PROBE, ProbeSent(sha), InvalidField)
            for sha in ("", SHA[:-1], SHA + "0", SHA.upper(), SHA[:-1] + "g", SHA + "\n")
        ),
    ],
)
def test_an_answer_is_taken_or_refused(step: Step, given: Given, error: type[InputRefused] | None) -> None:
    for kind in (kind for kind, one in STEPS if one == step):
        if error is None:
            check(kind, step, given)
        else:
            assert type(refused(kind, step, given)) is error


def test_a_search_that_found_nobody_takes_a_decision_and_is_graded() -> None:
    own = exercise_of(ExerciseKind.OWN_PROBE)
    own.check(Step.DECIDE, Answer(ListDecision(NOBODY, None, {})), ())
    with pytest.raises(InvalidRating):
        own.check(Step.DECIDE, Answer(ListDecision(CHOSEN, "ca", {})), ())
    given: list[Given] = [ProbeSent(SHA), Notes("a scar"), ListDecision(NOBODY, None)]
    graded, _ = told(ExerciseKind.OWN_PROBE, ListKey(None, ()), given, (), ())
    assert graded == Graded("absent", "none", True)


@pytest.mark.parametrize(
    ("kind", "step", "given"),
    [
        (ExerciseKind.CANDIDATES, Step.NOTE, Notes("Jane Roe\0")),
        (ExerciseKind.FEATURES, Step.OBSERVE, Observations((Observation("Jane Roe", Compared.SIMILAR, 1),))),
        (ExerciseKind.TRIAD, Step.CHOOSE, OddOneOut("Jane Roe")),
        (ExerciseKind.CANDIDATES, Step.DECIDE, ListDecision(CHOSEN, "Jane Roe", {})),
        (ExerciseKind.CANDIDATES, Step.DECIDE, ListDecision(NOBODY, None, {"Jane Roe": 1})),
        (ExerciseKind.OWN_PROBE, Step.SEND_PROBE, ProbeSent("Jane Roe")),
    ],
)
def test_a_refusal_repeats_nothing_that_was_sent(kind: ExerciseKind, step: Step, given: Given) -> None:
    error = refused(kind, step, given)
    assert "Jane" not in f"{error.message} {error.metadata}"
