"""Plans of courses, read whole or refused; and their pictures, alike in all that could tell more than a face."""

import io
import math
import re
import struct
import tomllib
import zlib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from fr_core.align import similarity_transform
from fr_core.errors import FrError
from fr_core.imaging import ImageLimits, decode
from fr_core.types import F32, U8
from fr_training.answers import Degraded, Poorer
from fr_training.bank.needs import Available, needs, require_enough
from fr_training.bank.triage import DEGRADATIONS, UNIT_EYES
from fr_training.build.jpegs import MOST_BYTES, file_of, jpeg, padded
from fr_training.build.pictures import (
    EYE_DISTANCE,
    FACE_WIDTH,
    GREY,
    SIDE,
    TEMPLATE,
    degrade,
    enlarged,
    poorer,
    render,
    shown,
)
from fr_training.errors import PlanInvalid, UnknownPlan
from fr_training.grading.certainty import FEW
from fr_training.lessons import lesson, lesson_names
from fr_training.plan import CoursePlan
from fr_training.plan_reading import MAX_TOML_BYTES, read_plan
from fr_training.prompts import ExerciseKind
from fr_training.shipped_plans import plan_names, plan_text

PAIRS = "same = 2\ndifferent = 3\n"
LISTS = "present = 5\nabsent = 5\nsize = 4\n"
TRIAGE = "usable = 2\nlimited = 2\nreject = 2\n"
ROOT = Path(__file__).parents[2]
HEADS = ("## A small plan", "### Other languages")  # of the guide, whose examples belong together


def block(block_id: str, exercise: str = "verification", more: str = PAIRS) -> str:
    return f'[[sittings.blocks]]\nid = "{block_id}"\nexercise = "{exercise}"\n{more}'


def plan(*blocks: str, head: str = "", claims: str = "false") -> str:
    return f'format = 1\ntitle = "A course"\nclaims = {claims}\n{head}\n[[sittings]]\nname = "day-1"\n' + "".join(
        blocks
    )


def french(words: str, told: str) -> str:
    return f'[translations.fr]\n"{words}" = "{told}"\n'


def refused(text: str, error: type[FrError] = PlanInvalid) -> str:
    with pytest.raises(error) as raised:
        read_plan(text)
    return raised.value.message


def forms(found: CoursePlan) -> dict[str, tuple[str, str]]:
    return {one.block_id: one.forms for one in found.blocks}


def test_a_plan_is_read_with_its_defaults() -> None:
    found = read_plan(plan(block("one", more=PAIRS + "minutes = 4\nfeedback = true\n")))
    (one,) = found.blocks
    assert (found.title, found.seed, found.mask, found.colour) == ("A course", 1, "head", True)
    assert found.retention_days == 90
    assert (one.exercise, one.items, one.shown, one.minutes, one.feedback) == (ExerciseKind.VERIFICATION, 5, 5, 4, True)
    assert (one.title, one.forms, found.minutes) == ("one", ("one", "one"), 4)
    assert found.sittings[0].trials == 5
    found = read_plan(plan(block("practice", more=PAIRS + "adaptive = true\ntrials = 4\ntarget = 0.75\n")))
    (one,) = found.blocks
    assert (one.items, one.shown, one.target) == (5, 4, 0.75)


def test_a_plan_has_its_words_in_other_languages() -> None:
    head = 'notice = "Yes?"\n[translations]\nen = {}\n[translations.fr]\n"A course" = "Un cours"\n"Yes?" = "Oui ?"\n'
    head += '"day-1" = "Jour 1"\n"Look." = "Regardez."\n"A talk" = "Un exposé"\n'
    talk = '[[sittings.slots]]\nkind = "talk"\nminutes = 5\ntitle = "A talk"\n'
    lessons = block("one", "lesson", 'lesson = "law"\nminutes = 9\n')
    one = block("two", more=PAIRS + 'minutes = 4\ninstructions = "Look."\n')
    found = read_plan(plan(talk, lessons, one, head=head))
    told, (sitting,) = found.in_language("fr"), found.in_language("fr").sittings
    assert (told.title, told.notice) == ("Un cours", "Oui ?")
    assert (sitting.title, sitting.slots[0].title) == ("Jour 1", "Un exposé")
    assert [block.title for block in told.blocks] == [lesson("law", "fr").title, "two"]
    assert told.blocks[1].instructions == "Regardez."
    assert found.in_language("en") == found
    spanish = found.in_language("es")
    assert (spanish.title, spanish.blocks[0].title) == ("A course", lesson("law", "es").title)
    assert replace(spanish, sittings=found.sittings) == found


def test_the_guide_says_how_a_plan_is_translated() -> None:
    guide = (ROOT / "docs" / "training-plans.md").read_text("utf-8")
    small, more = (guide.partition(head)[2].partition("```toml\n")[2].partition("```")[0] for head in HEADS)
    told = read_plan(small + more).in_language("fr")
    assert told.title == "Vingt paires avant, vingt après"
    assert [one.title for one in told.blocks[:2]] == ["Premier test", "Entraînement"]
    assert told.blocks[2].instructions.startswith("Notez")


def test_every_exercise_is_known() -> None:
    counts = {
        "triad": ("trials = 3\n", 3),
        "candidates": ("present = 2\nabsent = 1\nsize = 5\n", 3),
        "triage": ("usable = 1\nlimited = 2\nreject = 1\n", 4),
        "own_probe": ("trials = 1\nsize = 5\n", 1),
        "evidence": ("trials = 2\n", 2),
        "lab": ('about = "quality"\ntrials = 2\n', 2),
        "lesson": ('lesson = "thresholds"\n', 6),
        "aided": (PAIRS + "wrong = 1\n", 5),
        "blind": ('verifies = "verification"\n', 5),
    }
    items = {kind: counts.get(kind, (PAIRS, 5)) for kind in sorted(ExerciseKind, key=lambda kind: kind == "blind")}
    found = read_plan(plan(*(block(kind.replace("_", "-"), kind, more) for kind, (more, _) in items.items())))
    assert {one.exercise: one.items for one in found.blocks} == {kind: count for kind, (_, count) in items.items()}
    assert {one.exercise: one.shown for one in found.blocks} == {one.exercise: one.items for one in found.blocks}


def test_each_half_of_the_trainees_has_its_forms() -> None:
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
    found = read_plan(plan(block("opinion"), block("verify", "blind", 'verifies = "opinion"\n')))
    assert forms(found) == {"opinion": ("opinion-0", "opinion-1"), "verify": ("opinion-1", "opinion-0")}
    assert found.blocks[1].items == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#" * (MAX_TOML_BYTES + 1), "longer than 64 KiB"),
        ("k = 1\n" * 4_001, "more than 4,000 keys and values"),
        ("title = 'x'\n", "`format` is missing"),
        ("format = 1\ntitle = ''\n", "`title` must have 1 to"),
        (plan(block("one"), head="sead = 3"), "did you mean `seed`"),
        (plan(block("one"), head='mask = "square"'), "head, oval, none"),
        (plan(block("one"), block("one")), "several blocks of the id `one`"),
        (plan(block("one", more="same = 2\n")), "`different` is missing"),
        (plan(block("one", more=PAIRS + "size = 3\n")), "no key `size`"),
        (plan(block("one", more=PAIRS + "minutes = 0\n")), "`minutes`"),
        (plan(block("one", more=PAIRS + "adaptive = true\n")), "`trials` is missing"),
        (plan(block("one", more=PAIRS + "adaptive = true\ntrials = 6\n")), "from 1 to 5"),
        (plan(block("one", more=PAIRS + "adaptive = true\ntrials = 3\ntarget = 1.0\n")), "between 0.5 and 1"),
        (plan(block("one", "aided", PAIRS + "wrong = 6\n")), "more than there are trials"),
        (plan(block("one", "candidates", "present = 1\nabsent = 0\nsize = 51\n")), "from 1 to 50"),
        (plan(block("one", more=PAIRS + 'equated = "pairs"\n')), "must be given together"),
        (plan(block("one", more=PAIRS + 'equated = "p"\noccasion = "pre"\nfeedback = true\n')), "must be false"),
        (plan(block("one", "candidates", LISTS + 'equated = "l"\noccasion = "pre"\n')), "`reveal_scores`"),
        (plan(block("one", "triage", TRIAGE + 'equated = "l"\noccasion = "pre"\n')), "triad and candidates"),
        (plan(block("one", "blind", 'verifies = "two"\n')), "does not name a plain verification"),
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
        (plan(block("one"), head="translations = 1"), "`translations` must be a table"),
        (plan(block("one"), head="translations = {fr = 1}"), "In the table `translations`, `fr` must be a table"),
        (plan(block("one"), "[translations.de]\n"), "`translations` has no key `de`. It knows: ar, en, es, fr"),
        (plan(block("one"), french("A coarse", "Un cours")), "into `fr`. Did you mean `A course`?"),
        (plan(block("one"), french("Something else entirely", "x")), "Copy a title"),
        (plan(block("one"), french("A course", "")), "In the translations into `fr`, `A course` must have 1 to"),
        (plan(block("one"), french("A course", "x" * 201)), "must have 1 to 200 characters"),
        (plan(block("one"), french("A course", "a") + '"A course" = "b"'), "Cannot overwrite a value"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_with_what_is_wrong(text: str, says: str) -> None:
    assert says in refused(text)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('same = 9\ndifferent = 10\nequated = "t"\noccasion = "pre"\n', "same"),
        ('same = 10\ndifferent = 9\nequated = "t"\noccasion = "pre"\n', "different"),
    ],
)
def test_tests_that_can_show_nothing_are_refused(more: str, key: str) -> None:
    words = f"`{key}` must be at least 10"
    assert words in refused(plan(block("one", more=more), claims="true"))
    read_plan(plan(block("one", more=more)))
    read_plan(plan(block("one", more=more.replace("9", "10")), claims="true"))
    triads = 'trials = {}\nequated = "t"\noccasion = "pre"\n'
    assert "`trials` must be" in refused(plan(block("odd", "triad", triads.format(9)), claims="true"))
    read_plan(plan(block("odd", "triad", triads.format(10)), claims="true"))
    lists = 'present = {}\nabsent = {}\nsize = 4\nreveal_scores = false\nequated = "l"\noccasion = "pre"\n'
    for counts, which in (((9, 10), "present"), ((10, 9), "absent")):
        assert f"`{which}` must be" in refused(plan(block("one", "candidates", lists.format(*counts)), claims="true"))
    read_plan(plan(block("one", "candidates", lists.format(10, 10)), claims="true"))
    rare = "same = 40\ndifferent = {}\n"
    assert "`different` must be" in refused(plan(block("day", "low_prevalence", rare.format(9)), claims="true"))
    read_plan(plan(block("day", "low_prevalence", rare.format(10)), claims="true"))
    read_plan(plan(block("practice", more="same = 1\ndifferent = 1\nfeedback = true\n"), claims="true"))


def test_photos_of_a_block_can_be_made_poorer_within_limits() -> None:
    more = PAIRS + "scale = 24\nblur = 2.5\ncompression = 20\nlight = 1\n"
    (one,) = read_plan(plan(block("one", more=more))).blocks
    assert one.poorer == Poorer(24.0, 2.5, 20.0, 1.0)
    for line in ("scale = 7", "scale = 129", "blur = 0.4", "compression = 96", "light = 1.1", "light = nan"):
        assert "must be a number from" in refused(plan(block("one", more=f"{PAIRS}{line}\n"))), line
    for key in ("scale", "blur", "compression", "light"):
        for value in ("nan", "inf", "-inf", "-1", "0", "1e300", "9" * 150, "true", '"1"', "[1]"):
            assert "must be a number from" in refused(plan(block("one", more=f"{PAIRS}{key} = {value}\n"))), value
    assert "must be a number from 0.1 to 1" in refused(plan(block("one", more=PAIRS + "light = true\n")))
    assert "no key `light`" in refused(plan(block("one", "triage", "usable = 1\nlimited = 0\nreject = 0\nlight = 1\n")))
    tests = [
        block(w, more=f'{PAIRS}equated = "p"\noccasion = "{w}"\n{m}') for w, m in (("pre", ""), ("post", "blur = 2\n"))
    ]
    assert "differ in" in refused(plan(*tests))


SAYS = re.compile(r"# Needs: (\d+) people, (\d+) of them with two photos; (\d+) minutes; (\d+) trials\.")


def shipped(name: str) -> CoursePlan:
    return read_plan(plan_text(name))


def test_plans_have_names_and_an_unknown_one_is_not_repeated() -> None:
    assert plan_names() == ("demo", "half-day", "one-day", "self-paced", "taster-90", "three-day", "two-day")
    with pytest.raises(UnknownPlan, match="Did you mean three-day") as near:
        plan_text("three-days")
    assert "three-days" not in near.value.message
    with pytest.raises(UnknownPlan, match="demo, half-day, one-day, self-paced, taster-90, three-day, two-day"):
        plan_text("../plans")


def test_every_word_of_the_plans_is_translated_and_no_other() -> None:
    plans = [shipped(name) for name in plan_names()]
    lessons = {lesson(one).title for one in lesson_names()}
    for plan in plans:
        assert list(plan.translations) == ["ar", "es", "fr"]
        for told in plan.translations.values():
            assert told.keys() == plan.words - lessons
    known = tomllib.loads((resources.files("fr_training") / "plan_words.toml").read_text("utf-8"))
    used = frozenset[str]().union(*(plan.words for plan in plans)) - lessons
    assert {language: words.keys() for language, words in known.items()} == dict.fromkeys(("fr", "es", "ar"), used)


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
    for name in plan_names():
        require_enough(shipped(name), Available(1_152, 340, 340))  # a fifth of LFW, the shared test data
    require_enough(shipped("demo"), Available(38, 3, 3))  # the demo photos
    assert shipped("taster-90").minutes <= 90


@pytest.mark.parametrize("name", [name for name in plan_names() if name != "demo"])
def test_a_plan_tests_before_and_after_and_has_lists_early_whose_claims_can_appear(name: str) -> None:
    plan = shipped(name)
    assert plan.claims
    assert all(block.minutes for block in plan.blocks)
    assert plan.blocks[0].occasion == "pre"
    tests = [block for block in plan.blocks if block.occasion == "post"]
    assert {block.equated for block in tests} == {block.equated for block in plan.blocks if block.occasion == "pre"}
    lists = [block for block in plan.blocks if block.exercise == ExerciseKind.CANDIDATES]
    assert [block for block in plan.blocks if not block.lesson].index(lists[0]) <= 2
    kinds = {block.exercise for block in plan.blocks}
    if name not in ("taster-90", "half-day"):
        assert sum(block.absent for block in lists) >= FEW
        assert sum(block.present for block in lists) >= FEW
        assert {ExerciseKind.LAB, ExerciseKind.EVIDENCE} < kinds
    assert (ExerciseKind.BLIND in kinds) == (name in ("two-day", "three-day"))  # it needs a partner


BEFORE = {
    ExerciseKind.CANDIDATES: "bias",
    ExerciseKind.FEATURES: "comparison",
    ExerciseKind.LAB: "thresholds",
    ExerciseKind.EVIDENCE: "evidence",
}


@pytest.mark.parametrize("name", [name for name in plan_names() if name not in ("demo", "taster-90")])
def test_a_lesson_comes_once_and_before_the_exercise_that_needs_it(name: str) -> None:
    blocks = shipped(name).blocks
    places = {block.lesson: place for place, block in enumerate(blocks) if block.lesson}
    lessons = [block.lesson for block in blocks if block.lesson]
    assert len(places) == len(lessons) >= 3
    if name in ("three-day", "self-paced"):
        assert set(lessons) == set(lesson_names())
    for kind, before in BEFORE.items():
        first = next((place for place, block in enumerate(blocks) if block.exercise == kind), None)
        if first is not None and before in places:
            assert places[before] < first, (kind, before)
    assert "reporting" not in places or lessons[-1] == "reporting"
    assert all((block.minutes or 0) >= lesson(block.lesson).minutes for block in blocks if block.lesson)


def photo(size: int, turn_degrees: float, scale: float) -> tuple[U8, F32]:
    """A photo with a red, a green and three blue dots at the landmarks of a turned face, and the landmarks.

    At scale 1 the photo has half as many pixels in each direction as a picture.
    """
    scale /= 2.0
    angle = math.radians(turn_degrees)
    turned = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    landmarks = ((TEMPLATE - SIDE / 2) @ turned.T + size / 2).astype(np.float32)
    pixels = np.full((size, size, 3), 200, dtype=np.uint8)
    for number, (x, y) in enumerate(landmarks):
        colour = [(255, 0, 0), (0, 255, 0), (0, 0, 255)][min(number, 2)]
        # Eighths of a pixel, and OpenCV measures from the middle of the first pixel.
        at = (round((float(x) - 0.5) * 8), round((float(y) - 0.5) * 8))
        cv2.circle(pixels, at, round(12 * scale * 8), colour, -1, shift=3)
    return pixels, landmarks


def centre(picture: U8, channel: int) -> npt.NDArray[np.float64]:
    """(x, y) of the dot of a pure colour, from the corner of the first pixel."""
    others = [other for other in range(3) if other != channel]
    wide = picture.astype(np.float64)
    weight = np.clip(wide[..., channel] - wide[..., others].max(axis=2) - 40.0, 0.0, None)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return np.array([(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()])


@pytest.mark.parametrize(("size", "turn", "scale"), [(300, 0, 1.0), (300, 35, 0.5), (1500, -80, 3.3), (900, 170, 2.0)])
def test_eyes_come_to_lie_in_one_place_whatever_the_tilt_and_the_size(size: int, turn: float, scale: float) -> None:
    picture = render(*photo(size, turn, scale), "oval", None, 0.0)
    assert picture.shape == (SIDE, SIDE, 3)
    assert not picture.flags.writeable
    left, right = centre(picture, 0), centre(picture, 1)
    np.testing.assert_allclose(left, TEMPLATE[0], atol=0.7)
    np.testing.assert_allclose(right, TEMPLATE[1], atol=0.7)
    assert abs(float(np.linalg.norm(right - left)) - EYE_DISTANCE) < 0.7


def test_the_oval_and_what_lies_outside_the_photo_are_grey() -> None:
    pixels, landmarks = photo(300, 0, 1.0)
    oval, whole = (render(pixels, landmarks, mask, None, 0.0) for mask in ("oval", "none"))
    corner = oval[:20, :20]
    assert (corner == GREY).all()
    assert (whole[:20, :20] == 200).all()
    middle = slice(SIDE // 2 - 40, SIDE // 2 + 40)
    np.testing.assert_array_equal(oval[middle, middle], whole[middle, middle])
    steps = np.abs(np.diff(oval[SIDE // 2 + 40, :, 0].astype(int)))
    assert steps.max() < 0.5 * (200 - GREY)  # a soft edge
    cut = render(pixels[:, 150:].copy(), landmarks - np.array((150, 0), dtype=np.float32), "none", None, 0.0)
    assert (cut[:, : SIDE // 2 - 8] == GREY).all()
    with pytest.raises(ValueError, match="one point"):
        render(np.zeros((50, 50, 3), dtype=np.uint8), np.ones((5, 2), dtype=np.float32), "oval", None, 0.0)


@pytest.mark.parametrize("scale", [11.0, 5.3, 2.6])
def test_each_pixel_of_a_large_photo_is_the_mean_of_those_that_it_covers(scale: float) -> None:
    """Against 8 x 8 samples for each pixel; taking one here and there shows patterns that are not there."""
    size = round(280 * scale)
    landmarks = photo(size, 10, scale)[1]
    noise = np.random.default_rng(5).integers(0, 256, (size, size, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), dtype=np.uint8)
    matrix = 8.0 * similarity_transform(landmarks, TEMPLATE).astype(np.float64)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    fine = cv2.warpAffine(pixels, matrix, (8 * SIDE, 8 * SIDE), flags=cv2.INTER_LINEAR, borderValue=(GREY,) * 3)
    mean = cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(int)
    difference = render(pixels, landmarks, "none", None, 0.0).astype(int) - mean
    assert float(mean.std()) > 4.0
    assert float(difference.std()) < 0.15 * float(mean.std())


def pictures() -> list[U8]:
    """A flat picture, a face of dots, and noise, whose files differ much in length."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return [np.full((SIDE, SIDE, 3), 90, np.uint8), render(*photo(300, 0, 1.0), "oval", None, 0.0), noise]


def encode(made: list[U8]) -> list[bytes]:
    return padded([jpeg(picture) for picture in made])


def test_files_have_one_length_and_no_metadata() -> None:
    made = pictures()
    files = encode(made)
    assert files == encode(made)
    assert padded([]) == []
    assert len({len(jpeg(picture)) for picture in made}) == 3
    assert len({len(data) for data in files}) == 1
    for picture, data in zip(made[:2], files[:2], strict=True):
        with PIL.Image.open(io.BytesIO(data)) as image:
            by_pillow = np.asarray(image.convert("RGB"))
        by_opencv = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        for read in (by_pillow, by_opencv, decode(data, ImageLimits()).pixels):
            assert np.abs(read.astype(int) - picture.astype(int)).mean() < 4.0
    flat, _, noise = encode(pictures())
    assert len(zlib.compress(flat, 9)) > 0.98 * len(zlib.compress(noise, 9))
    for data in encode(pictures()):
        markers = [marker for marker, _ in segments(data)]
        assert markers[0] == 0xE0  # JFIF, which must come first
        assert set(markers) <= {0xE0, 0xFE, 0xDB, 0xC0, 0xC4, 0xDD}  # header, comments, tables, frame
        assert data.endswith(b"\xff\xd9")
        with PIL.Image.open(io.BytesIO(data)) as image:
            assert not image.getexif()
            assert "icc_profile" not in image.info


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """Markers and contents of a JPEG up to its first scan (ITU-T T.81, B.1)."""
    assert data[:2] == b"\xff\xd8"
    found, at = [], 2
    while data[at + 1] != 0xDA:
        marker, length = struct.unpack(">xBH", data[at : at + 4])
        assert data[at] == 0xFF
        found.append((marker, data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


@pytest.mark.parametrize("missing", [0, 1, 3, 4, 65_532, 65_533, 65_534, 65_536, 65_537, 65_538, 200_000])
def test_any_gap_is_filled_with_whole_comments(missing: int) -> None:
    data = jpeg(pictures()[1])
    longest = data + bytes(missing)
    made, _ = padded([data, longest])
    assert len(made) == len(longest) + 4
    assert sum(marker == 0xFE for marker, _ in segments(made)) >= 1
    np.testing.assert_array_equal(decode(made, ImageLimits()).pixels, decode(data, ImageLimits()).pixels)


def test_a_picture_without_colour_keeps_the_luma_alone() -> None:
    pixels, landmarks = photo(400, 0.0, 1.0)
    coloured = render(pixels, landmarks, "oval", None, 0.0)
    grey = render(pixels, landmarks, "oval", None, 0.0, colour=False)
    assert np.ptp(coloured.astype(np.int64), axis=2).max() > 50
    assert np.ptp(grey.astype(np.int64), axis=2).max() == 0
    luma = coloured.astype(np.float64) @ (0.299, 0.587, 0.114)
    assert np.abs(luma - grey[..., 0]).max() <= 2


def face() -> U8:
    rng = np.random.default_rng(3)
    fine = rng.integers(0, 256, (SIDE // 2, SIDE // 2, 3), dtype=np.uint8).astype(np.float32)
    coarse = cv2.GaussianBlur(fine, (0, 0), 12) - 127.5
    small = np.clip(127.5 + 12 * coarse + 0.2 * (fine - 127.5), 0, 255)
    return np.asarray(cv2.resize(small, (SIDE, SIDE)), dtype=np.uint8)


assert set(DEGRADATIONS) == set(Degraded)
RENDERED = [kind for kind, one in DEGRADATIONS.items() if one.rendered]


@pytest.mark.parametrize("kind", RENDERED)
def test_stronger_degradations_are_farther_from_the_photo(kind: Degraded) -> None:
    picture, one = face(), DEGRADATIONS[kind]
    for strength in (*one.limited, *one.reject):
        made = degrade(picture, kind, strength)
        assert made.shape == (SIDE, SIDE, 3)
        assert made.dtype == np.uint8
        assert not made.flags.writeable
        assert (made != picture).any()
        np.testing.assert_array_equal(made, degrade(picture, kind, strength))
    picture, table = face(), DEGRADATIONS[kind]

    def lost(strength: float) -> float:
        return float(np.abs(degrade(picture, kind, strength).astype(int) - picture.astype(int)).mean())

    limited, reject = [lost(one) for one in table.limited], [lost(one) for one in table.reject]
    assert max(limited) < min(reject)
    assert limited == sorted(limited)
    assert reject == sorted(reject)


def test_blur_and_noise_have_the_deviation_that_was_asked_for() -> None:
    edge = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    edge[:, SIDE // 2 :] = 255
    assert degrade(edge, Degraded.POSE, 25.0) is edge  # a pose is the photo's own
    line = degrade(edge, Degraded.BLUR, 6.0)[SIDE // 2, :, 0] / 255.0
    slope = np.diff(line)
    at = np.arange(len(slope))
    mean = (slope * at).sum() / slope.sum()
    assert abs(float(np.sqrt((slope * (at - mean) ** 2).sum() / slope.sum())) - 6.0 * EYE_DISTANCE / UNIT_EYES) < 0.3
    grey, other = (np.full((SIDE, SIDE, 3), level, dtype=np.uint8) for level in (128, 129))
    one, two = (degrade(picture, Degraded.NOISE, 20.0).astype(np.float64) - picture for picture in (grey, other))
    assert abs(float(one.std()) - 20.0) < 0.3
    assert abs(float(one.mean())) < 0.3
    assert abs(float(np.corrcoef(one.ravel(), two.ravel())[0, 1])) < 0.02


def test_resolution_leaves_as_many_pixels_across_the_face() -> None:
    across = 24.0
    pixel = FACE_WIDTH / across

    def left(period: float) -> float:
        """Share of the contrast of stripes that is left, by their period in pixels of the picture."""
        wave = np.sin(2 * np.pi * np.arange(SIDE) / period)
        picture = np.asarray(128 + 100 * np.tile(wave[None, :, None], (SIDE, 1, 3)), dtype=np.uint8)
        return float(degrade(picture, Degraded.RESOLUTION, across).std()) / float(picture.std())

    assert pytest.approx(0.44 * SIDE) == FACE_WIDTH
    assert left(1.2 * pixel) < 0.25  # finer than two pixels each
    assert left(6.0 * pixel) > 0.75


@pytest.mark.parametrize("share", [0.25, 0.35, 0.6, 0.75])
def test_occlusion_covers_that_share_of_the_oval_from_any_side(share: float) -> None:
    sides = set()
    for level in range(100, 116):
        picture = np.full((SIDE, SIDE, 3), level, dtype=np.uint8)
        covered = (degrade(picture, Degraded.OCCLUSION, share) != level).all(axis=2)
        assert abs(float((shown("oval") * covered).sum() / shown("oval").sum()) - share) < 0.01
        sides.add((bool(covered[0, SIDE // 2]), bool(covered[SIDE // 2, 0]), bool(covered[-1, SIDE // 2])))
    assert len(sides) == 4


def test_poorer_pictures_are_the_same_each_time_and_light_differs_from_photo_to_photo() -> None:
    picture = face()
    for how in (Poorer(scale=24.0), Poorer(blur=4.0), Poorer(compression=5.0), Poorer(light=0.5)):
        made = poorer(picture, how)
        np.testing.assert_array_equal(made, poorer(picture, how))
        assert np.abs(made.astype(int) - picture.astype(int)).mean() > 1.0
    np.testing.assert_array_equal(poorer(picture, Poorer()), picture)
    other = np.asarray(np.clip(picture.astype(int) + 1, 0, 255), dtype=np.uint8)  # nearly the same photo
    apart = {
        how: np.abs(poorer(picture, how).astype(int) - poorer(other, how)).mean() for how in map(_light, (0.3, 1.0))
    }
    assert 3.0 < apart[_light(0.3)] < apart[_light(1.0)]


def _light(strength: float) -> Poorer:
    return Poorer(light=strength)


def test_a_picture_shows_ears_hairline_and_neck_and_says_how_far_it_is_enlarged() -> None:
    assert SIDE >= 512
    eyes = TEMPLATE[:2].mean(axis=0)
    for across, down in ((1.5, 0.3), (-1.5, 0.3), (0.0, -1.7), (0.0, 2.6)):  # ears, hairline, neck
        x, y = (eyes + EYE_DISTANCE * np.array([across, down])).astype(int)
        assert shown("head")[y, x] > 0.5, (across, down)
    assert shown("oval")[int(eyes[1] + 2.4 * EYE_DISTANCE), SIDE // 2] == 0.0  # the face alone ends at the chin
    for scale, times in ((1.0, 2.0), (2.0, 1.0), (4.0, 0.5)):
        assert enlarged(photo(900, 10, scale)[1]) == pytest.approx(times, rel=0.01)


def test_files_of_pictures_are_not_too_large() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert len(jpeg(noise)) > MOST_BYTES
    assert len(file_of(noise)) <= MOST_BYTES
    plain = pictures()[1]
    assert file_of(plain) == jpeg(plain)
