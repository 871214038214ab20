"""Plans of courses: read whole, or refused with a sentence that names the key; and those that come with FR Core."""

from __future__ import annotations

import re

import pytest

from fr_core.errors import FrError
from fr_training.bank.needs import Available, needs, require_enough
from fr_training.errors import PlanInvalid, UnknownPlan
from fr_training.plan import MAX_TOML_BYTES, CoursePlan, read_plan
from fr_training.prompts import ExerciseKind
from fr_training.shipped_plans import plan_names, plan_text

PAIRS = "same = 2\ndifferent = 3\n"


def block(block_id: str, exercise: str = "verification", more: str = PAIRS) -> str:
    return f'[[sittings.blocks]]\nid = "{block_id}"\nexercise = "{exercise}"\n{more}'


def plan(*blocks: str, head: str = "") -> str:
    return f'format = 1\ntitle = "A course"\n{head}\n[[sittings]]\nname = "day-1"\n' + "".join(blocks)


def refused(text: str, error: type[FrError] = PlanInvalid) -> str:
    with pytest.raises(error) as raised:
        read_plan(text)
    return raised.value.message


def forms(found: CoursePlan) -> dict[str, tuple[str, str]]:
    return {one.block_id: one.forms for one in found.blocks}


def test_a_plan_is_read_with_its_defaults() -> None:
    found = read_plan(plan(block("one", more=PAIRS + "minutes = 4\nfeedback = true\n")))
    (one,) = found.blocks
    assert (found.title, found.seed, found.mask, found.colour) == ("A course", 1, "oval", True)
    assert found.retention_days == 90
    assert (one.exercise, one.items, one.shown, one.minutes, one.feedback) == (ExerciseKind.VERIFICATION, 5, 5, 4, True)
    assert (one.title, one.forms, found.minutes) == ("one", ("one", "one"), 4)
    assert found.sittings[0].trials == 5


def test_every_exercise_is_known() -> None:
    counts = {
        "triad": ("trials = 3\n", 3),
        "candidates": ("present = 2\nabsent = 1\nsize = 5\n", 3),
        "triage": ("usable = 1\nlimited = 2\nreject = 1\n", 4),
        "own_probe": ("trials = 1\nsize = 5\n", 1),
        "aided": (PAIRS + "wrong = 1\n", 5),
        "blind": ('verifies = "verification"\n', 5),
    }
    items = {kind: counts.get(kind, (PAIRS, 5)) for kind in sorted(ExerciseKind, key=lambda kind: kind == "blind")}
    found = read_plan(plan(*(block(kind.replace("_", "-"), kind, more) for kind, (more, _) in items.items())))
    assert {one.exercise: one.items for one in found.blocks} == {kind: count for kind, (_, count) in items.items()}
    assert {one.exercise: one.shown for one in found.blocks} == {one.exercise: one.items for one in found.blocks}


def test_half_of_the_trainees_take_equated_forms_the_other_way_round() -> None:
    more = PAIRS + 'equated = "pairs"\noccasion = "{}"\n'
    three = [block(word, more=more.format(word)) for word in ("pre", "post", "retention")]
    found = read_plan(plan(*three))
    assert forms(found) == {
        "pre": ("pairs-a", "pairs-b"),
        "post": ("pairs-b", "pairs-a"),
        "retention": ("pairs-c", "pairs-c"),
    }
    assert list(found.forms()) == ["pairs-a", "pairs-b", "pairs-c"]
    assert forms(read_plan(plan(three[1]))) == {"post": ("pairs-a", "pairs-a")}


def test_a_blind_verification_shows_each_half_what_the_other_has_judged() -> None:
    found = read_plan(plan(block("opinion"), block("verify", "blind", 'verifies = "opinion"\n')))
    assert forms(found) == {"opinion": ("opinion-0", "opinion-1"), "verify": ("opinion-1", "opinion-0")}
    assert found.blocks[1].items == 5


def test_an_adaptive_block_shows_some_of_its_items() -> None:
    found = read_plan(plan(block("practice", more=PAIRS + "adaptive = true\ntrials = 4\ntarget = 0.75\n")))
    (one,) = found.blocks
    assert (one.items, one.shown, one.target) == (5, 4, 0.75)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#" * (MAX_TOML_BYTES + 1), "longer than 64 KiB"),
        ("title = 'x'\n", "`format` is missing"),
        ("format = 1\ntitle = ''\n", "`title` has 1 to"),
        (plan(block("one"), head="sead = 3"), "did you mean `seed`"),
        (plan(block("one"), head='mask = "square"'), "oval, none"),
        (plan(block("one"), block("one")), "several blocks of the id `one`"),
        (plan(block("one", more="same = 2\n")), "`different` is missing"),
        (plan(block("one", more=PAIRS + "size = 3\n")), "no key `size`"),
        (plan(block("one", more=PAIRS + "minutes = 0\n")), "`minutes`"),
        (plan(block("one", more=PAIRS + "adaptive = true\n")), "`trials` is missing"),
        (plan(block("one", more=PAIRS + "adaptive = true\ntrials = 6\n")), "from 1 to 5"),
        (plan(block("one", more=PAIRS + "adaptive = true\ntrials = 3\ntarget = 1.0\n")), "between 0.5 and 1"),
        (plan(block("one", "aided", PAIRS + "wrong = 6\n")), "more than there are trials"),
        (plan(block("one", "candidates", "present = 1\nabsent = 0\nsize = 51\n")), "from 1 to 50"),
        (plan(block("one", more=PAIRS + 'equated = "pairs"\n')), "come together"),
        (plan(block("one", more=PAIRS + 'equated = "p"\noccasion = "pre"\nfeedback = true\n')), "must be false"),
        (plan(block("one", "blind", 'verifies = "two"\n')), "names no plain verification"),
        (plan(block("two", "blind", 'verifies = "one"\n'), block("one")), "comes before"),
        (
            plan(
                block("a", more=PAIRS + 'equated = "p"\noccasion = "pre"\n'),
                block("b", more='same = 2\ndifferent = 2\nequated = "p"\noccasion = "post"\n'),
            ),
            "differ in their exercise or their numbers",
        ),
        (
            plan(*(block(one, more=PAIRS + 'equated = "p"\noccasion = "pre"\n') for one in "ab")),
            "two blocks of one occasion",
        ),
        (
            plan(block("o"), block("v", "blind", 'verifies = "o"\n'), block("w", "blind", 'verifies = "o"\n')),
            "several blocks that show the form",
        ),
        (plan(*(block(f"b{n}", more="same = 500\ndifferent = 0\n") for n in range(3))), "more than 1000 trials"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    assert says in refused(text)


SAYS = re.compile(r"# Needs: (\d+) people, (\d+) of them with two photos; (\d+) minutes; (\d+) trials\.")


def shipped(name: str) -> CoursePlan:
    return read_plan(plan_text(name))


def test_the_plans_are_told_by_name() -> None:
    assert plan_names() == ("demo", "taster-90", "three-day")


def test_an_unknown_name_is_refused_with_the_nearest_and_is_not_repeated() -> None:
    with pytest.raises(UnknownPlan, match="Did you mean three-day") as near:
        plan_text("three-days")
    assert "three-days" not in near.value.message
    with pytest.raises(UnknownPlan, match="demo, taster-90, three-day"):
        plan_text("../plans")


@pytest.mark.parametrize("name", plan_names())
def test_a_plan_needs_what_its_first_lines_say(name: str) -> None:
    said = SAYS.search(plan_text(name).split("format =")[0])
    wanted = needs(shipped(name))
    assert said is not None
    assert tuple(map(int, said.groups())) == (
        wanted.people,
        wanted.people_with_two_photos,
        wanted.minutes,
        wanted.trials,
    )


def test_plans_fit_the_people_that_they_are_meant_for() -> None:
    require_enough(shipped("taster-90"), Available(100, 100, 0))  # London has 102, all neutral and smiling
    require_enough(shipped("three-day"), Available(5_749, 1_680, 1_680))  # LFW
    require_enough(shipped("demo"), Available(38, 3, 3))  # the demo photos
    assert shipped("taster-90").minutes <= 90
