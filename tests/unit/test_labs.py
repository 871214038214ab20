"""Labs: what was measured is counted again here, a prediction is locked before it is told, and the row can be read."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.intervals import wilson_interval
from fr_locales.rendering import render
from fr_training.answers import MAX_ROWS, Answer, Conclusion, Degraded, Given, Prediction
from fr_training.bank.compose import compose
from fr_training.bank.labs import require_groups, right_row
from fr_training.bank.manifest import sha256_of
from fr_training.bank.pool import Pool, PoolPhoto
from fr_training.courses import Course, Form, Item
from fr_training.errors import InvalidRating, PlanInvalid, TooFewPeople
from fr_training.exercises import exercise_of
from fr_training.grading.blocks import together
from fr_training.keys import LabKey
from fr_training.prompts import ExerciseKind, Lab, LabKind, LabRow, Measured, Question, Step
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowTrial
from fr_training.store.course_codec import pack_course, unpack_course
from support.people import ExactMatcher, made_pool, plan_of, unit
from support.sessions import Trainee, begun, course

LABS = exercise_of(ExerciseKind.LAB)
POOL = made_pool(120, 90)


def spoil(photos: Sequence[PoolPhoto], kind: Degraded | None, strength: float) -> list[npt.NDArray[np.float32] | None]:
    """Worse with each strength; every tenth face of the poorest photos is not found."""
    if kind is None:
        return [photo.embedding for photo in photos]
    rng = np.random.default_rng(int(100 * strength))
    poor = kind == Degraded.BLUR or strength < 13
    return [
        None
        if poor and number % 10 == 0
        else unit(photo.embedding + 0.05 * rng.normal(size=len(photo.embedding)) * (20 if poor else 1))
        for number, photo in enumerate(photos)
    ]


@cache
def labs_of(about: str, trials: int = 3, pool: Pool = POOL, seed: int = 1) -> list[tuple[Lab, LabKey]]:
    plan = plan_of(f'id = "one"; exercise = "lab"; about = "{about}"; trials = {trials}')
    form = compose(plan, pool, seed, ExactMatcher(), spoil=spoil).forms["one"]
    assert len({item.item_id for item in form.items}) == len(form.items) == trials
    found = []
    for item in form.items:
        assert (item.photos, item.people, item.b) == ((), (), None)
        assert isinstance(item.asked, Lab)
        assert isinstance(item.key, LabKey)
        found.append((item.asked, item.key))
    return found


def pairs_of_two(pool: Pool) -> list[float]:
    """Everybody's photo with every other's second one, in either direction: which is drawn cannot be told from here."""
    both = [(one.photos[0].embedding, one.photos[-1].embedding) for one in pool.people]
    return [float(a[0] @ b[1]) for a, b in combinations(both, 2)]


def test_thresholds_are_counted_again() -> None:
    own = [float(one.photos[0].embedding @ one.photos[1].embedding) for one in POOL.people if len(one.photos) > 1]
    others = pairs_of_two(POOL)
    for lab, key in labs_of("threshold"):
        for row in lab.rows:
            missed = sum(similarity < float(row.name) for similarity in own)
            assert (row.missed.count, row.missed.total, row.false.total) == (missed, 90, 120 * 119 // 2)
            interval = wilson_interval(missed, 90)
            assert (row.missed.low, row.missed.high) == (interval.low, interval.high)
            # Of a pair of two people either one's second photo is compared.
            expected = sum(similarity >= float(row.name) for similarity in others)
            assert row.false.count == pytest.approx(expected, rel=0.35, abs=12)
            assert row.false.low <= row.false.count / row.false.total <= row.false.high
        shares = [row.false.count for row in lab.rows]
        assert shares == sorted(shares, reverse=True)
        fits = [n for n, row in enumerate(lab.rows, start=1) if row.missed.percent <= lab.limit]
        assert key.right == (fits[-1] if fits else 0)
        assert key.measured == lab.rows[lab.asked].missed.percent
        assert key.low <= key.measured <= key.high
        assert lab.given != lab.asked


def test_galleries_grow_and_strangers_find_more() -> None:
    for lab, key in labs_of("gallery"):
        assert [row.name for row in lab.rows] == ["5", "10", "20", "50"]
        assert [row.missed.total for row in lab.rows] == [5, 10, 20, 50]
        assert {row.false.total for row in lab.rows} == {60}
        leads = [row.false.count for row in lab.rows]
        assert leads == sorted(leads)  # of the same searches, as each gallery holds the smaller ones
        assert key.measured == lab.rows[lab.asked].false.percent
        right = [
            n
            for n, row in enumerate(lab.rows, start=1)
            if (row.missed.total - row.missed.count) / row.missed.total / lab.limit
            >= row.false.count / row.false.total * (1 - 1 / lab.limit)
        ]
        assert key.right == max(right, default=0)


def test_poorer_photos_are_missed_more_often() -> None:
    found = labs_of("quality", 4)
    assert {lab.fault for lab, _ in found} == {"resolution", "blur", "compression", "noise"}
    (blur,) = (lab for lab, _ in found if lab.fault == "blur")
    assert [row.name for row in blur.rows] == ["0", "4", "5.5", "10", "14"]
    assert blur.given == 0
    assert all(row.missed.count > blur.rows[0].missed.count + 9 for row in blur.rows[1:])  # with those not found
    assert {row.missed.total for row in blur.rows} == {90}


def test_groups_are_those_of_the_labels_and_unclear_ones_have_no_row() -> None:
    found = {lab.fault: (lab, key) for lab, key in labs_of("groups", 2)}
    assert set(found) == {"sex", "age"}
    lab, key = found["sex"]
    assert [(row.name, row.missed.total) for row in lab.rows] == [("female", 45), ("male", 45)]
    assert all(row.false.total == 60 * 59 // 2 for row in lab.rows)
    apart = [row.false.low > other.false.high for row, other in (lab.rows, lab.rows[::-1])]
    assert key.right == (apart.index(True) + 1 if any(apart) else 0)
    clear = replace(lab, rows=(replace(lab.rows[0], false=Measured(9, 100, 0.04, 0.1)), lab.rows[0]))
    assert (
        right_row(replace(clear, rows=(clear.rows[0], replace(clear.rows[0], false=Measured(1, 100, 0.0, 0.03))))) == 1
    )
    assert (
        right_row(replace(clear, rows=(clear.rows[0], replace(clear.rows[0], false=Measured(5, 100, 0.0, 0.05))))) == 0
    )


def test_a_table_has_no_more_groups_than_an_answer_can_name() -> None:
    pool = made_pool(14 * 10 + 12, 152)
    people = [replace(one, labels={"race": f"r{min(n, 139) % 14:02}"}) for n, one in enumerate(pool.people)]
    for lab, key in labs_of("groups", 2, replace(pool, people=tuple(people))):
        names = [row.name for row in lab.rows]
        assert (len(names), names[-1]) == (MAX_ROWS, "r13")  # the largest
        LABS.check(Step.CONCLUDE, Answer(Conclusion(key.right)), ())


def test_photos_are_made_poorer_once_for_all_blocks() -> None:
    seen: list[tuple[Degraded | None, float]] = []

    def counted(photos: Sequence[PoolPhoto], kind: Degraded | None, strength: float) -> Any:
        seen.append((kind, strength))
        return spoil(photos, kind, strength)

    lines = [f'id = "{name}"; exercise = "lab"; about = "quality"; trials = 4' for name in "abc"]
    compose(plan_of("\n".join(lines)), POOL, 1, ExactMatcher(), spoil=counted)
    assert len(set(seen)) == len(seen) == 17  # four strengths of four faults, and the photos as they are


def test_no_block_asks_what_another_has_asked_while_there_are_other_questions() -> None:
    lines = [f'id = "{name}"; exercise = "lab"; about = "threshold"; trials = 4' for name in "abc"]
    made = compose(plan_of("\n".join(lines)), POOL, 1, ExactMatcher(), spoil=spoil)
    ids = [item.item_id for form in made.forms.values() for item in form.items]
    assert len(set(ids)) == len(ids) == 12
    many = [f'id = "{name}"; exercise = "lab"; about = "threshold"; trials = 4' for name in "abcdefghijklmnopqrst"]
    few = compose(plan_of("\n".join(many)), made_pool(30, 20), 1, ExactMatcher(), spoil=spoil)
    assert len({len(form.items) for form in few.forms.values()}) == 1  # then they are asked again


def test_the_seed_decides_and_nobody_is_used_up() -> None:
    assert labs_of("threshold") == labs_of("threshold")
    assert [lab for lab, _ in labs_of("threshold")] != [lab for lab, _ in labs_of("threshold", seed=2)]
    plan = plan_of(
        'id = "all"; exercise = "verification"; same = 10; different = 10\n'
        'id = "lab"; exercise = "lab"; about = "gallery"; trials = 1'
    )
    compose(plan, made_pool(30, 20), 1, ExactMatcher())  # as many people as the pairs need


def test_what_a_set_cannot_show_is_refused() -> None:
    groups = plan_of('id = "one"; exercise = "lab"; about = "groups"; trials = 1')
    with pytest.raises(TooFewPeople, match="sex, the ethnicity or the age"):
        require_groups(groups, [{"gender": "f"}] * 50 + [{"gender": "m"}] * 9)
    require_groups(groups, [{"gender": "f"}] * 50 + [{"gender": "m"}] * 10)
    with pytest.raises(TooFewPeople, match="of whom 20 need"):
        compose(
            plan_of('id = "one"; exercise = "lab"; about = "threshold"; trials = 1'),
            made_pool(60, 19),
            1,
            ExactMatcher(),
        )
    alike = made_pool(40, 40)
    same = replace(
        alike,
        people=tuple(
            replace(
                person,
                photos=tuple(replace(photo, embedding=POOL.people[0].photos[0].embedding) for photo in person.photos),
            )
            for person in alike.people
        ),
    )
    with pytest.raises(TooFewPeople, match="`threshold`"):
        labs_of("threshold", 1, same)
    for wrong in ('about = "luck"; trials = 1', "trials = 1", 'about = "groups"; trials = 5'):
        with pytest.raises(PlanInvalid):
            plan_of(f'id = "one"; exercise = "lab"; {wrong}')


LAB, KEY = labs_of("threshold", 1)[0]


def words(question: Question | None) -> str:
    assert question is not None
    cells = [cell if isinstance(cell, str) else render(cell) for row in question.rows for cell in row]
    return "\n".join([render(question.text), *map(render, question.columns), *cells])


@pytest.mark.parametrize("about", LabKind)
def test_nothing_measured_is_told_before_the_prediction(about: str) -> None:
    """A trainee reads the same words for all measurements in rows that are not given, and for all truths."""
    for lab, key in labs_of(about, 2):
        one = Measured(77, 78, 0.7, 0.99)
        others = tuple(
            row if n == lab.given else LabRow(row.name, row.false if about == LabKind.THRESHOLD else one, one)
            for n, row in enumerate(lab.rows)
        )
        changed, other = replace(lab, rows=others, limit=99.5), replace(key, right=0, measured=98.7)
        shown = [LABS.prompt(Step.PREDICT, (), *both) for both in ((key, lab), (other, changed))]
        assert shown[0] == shown[1]
        assert shown[0].question is not None
        assert not shown[0].question.rows
        assert LABS.prompt(Step.CONCLUDE, (), key, lab) != LABS.prompt(Step.CONCLUDE, (), key, changed)
        assert LABS.prompt(Step.CONCLUDE, (), other, lab) == LABS.prompt(Step.CONCLUDE, (), key, lab)
        after = LABS.prompt(Step.CONCLUDE, (), key, lab).question
        assert after is not None
        assert [len(row) for row in after.rows] == [len(after.columns)] * len(lab.rows)
        for row in lab.rows:
            assert f"{row.missed.count:,} of {row.missed.total:,}" in words(after)


@pytest.mark.parametrize(
    "given", [Prediction(-0.1), Prediction(100.1), Prediction(float("nan")), Conclusion(-1), Conclusion(13)]
)
def test_an_answer_out_of_range_is_refused(given: Given) -> None:
    step = Step.PREDICT if isinstance(given, Prediction) else Step.CONCLUDE
    with pytest.raises(InvalidRating):
        LABS.check(step, Answer(given), ())
    LABS.check(Step.PREDICT, Answer(Prediction(0.0)), ())
    LABS.check(Step.CONCLUDE, Answer(Conclusion(0)), ())


def lab_course() -> Course:
    made = course(
        'format = 1\ntitle = "Labs"\n[[sittings]]\nname = "first"\n[[sittings.blocks]]\nid = "lab"\n'
        'exercise = "lab"\nabout = "threshold"\ntrials = 2\nfeedback = true\n'
    )
    items = tuple(Item(sha256_of(str(n))[:16], (), KEY, None, (), asked=LAB) for n in range(2))
    return replace(made, forms={"lab": Form("lab", items, "0" * 64)})


def test_a_trainee_predicts_concludes_and_is_told() -> None:
    made = lab_course()
    near, far = (KEY.measured, 3), (min(100.0, KEY.high + 20.0), 3)

    def answer(shown: ShowTrial) -> Answer:
        predicted, wrong = near if shown.number == 1 else far
        if shown.prompt.step == Step.PREDICT:
            return Answer(Prediction(predicted))
        return Answer(Conclusion(KEY.right if shown.number == 1 else (KEY.right + wrong) % len(LAB.rows)))

    trainee = Trainee(made, begun(made), answer)
    first, second = results(made, trainee.run())
    assert (first.truth, first.answer, first.correct) == (f"row:{KEY.right}", f"row:{KEY.right}", True)
    assert (first.lab, first.predicted, first.measured, first.near) == ("threshold", KEY.measured, KEY.measured, True)
    assert (second.correct, second.near) == (False, False)
    found = together([first, second]).labs
    assert found is not None
    assert found.trials == 2
    assert [
        (one.about, getattr(one.right, "count", None), getattr(one.near, "count", None)) for one in found.by_question
    ] == [("threshold", 1, 1)]
    told = LABS.reveal(KEY, trainee.session.trials[0], ())
    assert told.text is not None
    text = render(told.text)
    assert text.startswith(f"Right: the answer is row {KEY.right}. You predicted {KEY.measured:.3g} %")
    assert "near" in text
    assert "far off" in render(LABS.reveal(KEY, trainee.session.trials[1], ()).text or told.text)
    assert ("trades" in text, "misses nobody" in text) == (True, False)
    easy = LABS.reveal(replace(KEY, measured=0.0), trainee.session.trials[0], ()).text
    assert easy is not None
    assert ("trades" in render(easy), "misses nobody" in render(easy)) == (False, True)
    assert unpack_course(made.course_id, pack_course(made)) == made
