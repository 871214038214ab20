"""Evidence exercises: the hashes are of the files that a trainee gets, and the product's own check finds the record."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.verify import Broken, Verified, Why
from fr_locales.rendering import render
from fr_training.answers import Answer, Conclusion, FileHash, Given, Notes
from fr_training.bank.compose import compose
from fr_training.build.custody import with_custody
from fr_training.build.jpegs import jpeg, padded
from fr_training.build.pictures import SIDE
from fr_training.courses import Item, Learned
from fr_training.exercises import exercise_of
from fr_training.grading.kinds import evidence_figures
from fr_training.keys import EvidenceKey
from fr_training.prompts import Evidence, ExerciseKind, Step
from fr_training.trials import Locked, Trial
from fr_trust.audit.export import verify_export
from support.people import ExactMatcher, made_pool, plan_of
from support.results import evidence

EXERCISE = exercise_of(ExerciseKind.EVIDENCE)
PIXELS = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
ORIGINAL, _ = padded([jpeg(PIXELS), jpeg(PIXELS[::-1])])


def decoded() -> np.ndarray:
    with Image.open(io.BytesIO(ORIGINAL)) as image:
        return np.asarray(image.convert("RGB"))


def task(broken: int, item_id: str = "00112233445566ff") -> tuple[Evidence, EvidenceKey]:
    made = with_custody(Item(item_id, (0,), EvidenceKey("", "", broken), None, (1,)), ORIGINAL, decoded())
    assert isinstance(made.asked, Evidence)
    assert isinstance(made.key, EvidenceKey)
    return made.asked, made.key


@pytest.mark.parametrize("broken", range(7))
@pytest.mark.parametrize(("first", "why"), [("00", Why.EDITED), ("01", Why.MISSING)])
def test_the_check_of_the_product_finds_the_record(broken: int, first: str, why: Why) -> None:
    asked, key = task(broken, f"{first}112233445566ff")
    found = verify_export(asked.records.encode().splitlines(keepends=True), read_public_key(asked.public_key))
    assert key.broken == broken
    if not broken:
        assert isinstance(found, Verified)
        assert found.records == 6
    else:
        assert isinstance(found, Broken)
        last = why is Why.MISSING and broken == 6  # of which the checkpoint alone tells
        assert (found.seq, found.why) == (broken, Why.TRUNCATED if last else why)
    assert key.original in asked.records


def test_the_crop_is_what_other_programs_make_of_the_box() -> None:
    asked, key = task(0)
    x, y, width, height = asked.box
    made = io.BytesIO()
    with Image.open(io.BytesIO(ORIGINAL)) as image:
        image.convert("RGB").crop((x, y, x + width, y + height)).save(made, "PPM")
    assert key.crop == hashlib.sha256(made.getvalue()).hexdigest()
    assert key.original == hashlib.sha256(ORIGINAL).hexdigest()
    assert task(0) == task(0)
    assert 0 <= x < x + width <= SIDE
    assert 0 <= y < y + height <= SIDE


def test_the_records_come_last_and_hold_no_answer_before() -> None:
    asked, key = task(3)
    other = EvidenceKey("1" * 64, "2" * 64, 0)
    for step in EXERCISE.steps:
        shown = EXERCISE.prompt(step, ("p",), key, asked)
        assert shown == EXERCISE.prompt(step, ("p",), other, asked)
        assert shown.question is not None
        assert bool(shown.question.files) == (step == Step.CONCLUDE)
        assert key.original not in render(shown.question.text)


def answered(original: str, crop: str, record: int) -> Trial:
    given: tuple[Given, ...] = (
        FileHash(original),
        FileHash(crop),
        Notes("Cropped; nobody is named."),
        Conclusion(record),
    )
    locked = tuple(Locked(step, Answer(one), 0, 1) for step, one in zip(EXERCISE.steps, given, strict=True))
    return Trial("t", 0, "b", "f", "i", (0,), 0, locked=locked, done=True)


def test_each_part_counts() -> None:
    _, key = task(3)
    right = EXERCISE.grade(key, answered(key.original, key.crop, 3), ("p",))
    assert (right.correct, right.reasons, right.truth, right.answer) == (
        True,
        "original+crop+chain",
        "record:3",
        "record:3",
    )
    wrong = EXERCISE.grade(key, answered(key.original, key.original, 2), ("p",))
    assert (wrong.correct, wrong.reasons, wrong.answer) == (False, "original", "record:2")
    told = EXERCISE.reveal(key, answered(key.original, key.original, 2), ("p",))
    assert told.text is not None
    assert render(told.text).startswith(
        "Not right: the hash of the original is right, that of the crop is not right, and record 3 breaks the chain."
    )
    whole = EXERCISE.reveal(task(0)[1], answered("0" * 64, "0" * 64, 0), ("p",))
    assert whole.text is not None
    assert "the chain is whole" in render(whole.text)
    found = evidence_figures([evidence(3, 3, 0), evidence(3, 1, 1), evidence(0, 0, 2, parts="crop")])
    shares = [getattr(one, "count", None) for one in (found.right, found.original, found.crop, found.chain)]
    assert shares == [1, 2, 3, 2]


def test_originals_are_good_photos_of_people_who_are_shown_nowhere_else() -> None:
    made = compose(plan_of('id = "one"; exercise = "evidence"; trials = 8'), made_pool(40, 10), 1, ExactMatcher())
    items = made.forms["one"].items
    assert len({person for item in items for person in item.people}) == 8
    assert all(made.pictures[item.photos[0]].degraded is None for item in items)
    assert len({item.key.broken for item in items if isinstance(item.key, EvidenceKey)}) > 2


@pytest.mark.parametrize(
    "block", ['exercise = "evidence"; trials = 4', 'exercise = "lab"; about = "threshold"; trials = 4']
)
def test_an_item_that_is_set_aside_is_not_shown(block: str) -> None:
    plan, pool = plan_of(f'id = "one"; {block}'), made_pool(80, 40)

    def ids(*aside: str) -> list[str]:
        made = compose(plan, pool, 1, ExactMatcher(), Learned(suspects=frozenset(aside)))
        return [item.item_id for item in made.forms["one"].items]

    before = ids()
    after = ids(before[0])
    assert len(set(after)) == len(before) == 4
    assert before[0] not in after
