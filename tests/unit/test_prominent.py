"""The prominent face: who is the subject of a photo with several faces, and which photo has none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.quality.prominent import LARGEST_CUT, PassedOver, prominent
from fr_core.types import Detection, Face, Quality, QualityReason

SIZE = (600, 400)
UNFIT, CUT_OFF, BACKGROUND = PassedOver.UNFIT, PassedOver.CUT_OFF, PassedOver.BACKGROUND


def face(x: float, y: float, side: float, *reasons: QualityReason) -> Face:
    """A square face around (x, y)."""
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    quality = Quality(0.3 if reasons else 0.9, reasons, side / 2.5, 100.0, 0.5, 0.0, 0.0, 0.0, 0.8, 20.0)
    return Face(Detection(box, np.zeros((5, 2), np.float32), 0.8), quality)


BLURRED, SMALL = QualityReason.BLURRED, QualityReason.TOO_SMALL
SUBJECT = face(300, 180, 150)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ([], []),
        ([face(80, 150, 85)], [BACKGROUND]),
        ([face(80, 150, 115)], [BACKGROUND]),  # not much smaller, but the photo is centred on the subject
        ([face(90, 150, 118, BLURRED)], [UNFIT]),
        ([face(72, 150, 140)], [CUT_OFF]),
        ([face(90, 150, 175)], [CUT_OFF]),  # larger, though cut
        ([face(300, 190, 20, SMALL)], [UNFIT]),  # tiny and unfit, nearer to the centre
        ([face(80, 150, 60), face(520, 150, 30, SMALL), face(560, 300, 140)], [BACKGROUND, UNFIT, CUT_OFF]),
    ],
)
def test_the_subject_is_taken_past_others_that_do_not_count(others: list[Face], why: list[PassedOver]) -> None:
    assert prominent([SUBJECT, *others], SIZE) == (0, dict(enumerate(why, start=1)))
    assert prominent([*others, SUBJECT], SIZE) == (len(others), dict(enumerate(why)))


@pytest.mark.parametrize(
    "faces",
    [
        pytest.param([], id="no face"),
        pytest.param([face(x, 200, 100) for x in (150, 300, 450)], id="three in a row: the place alone takes nobody"),
        pytest.param([face(300, 200, 110), face(150, 200, 101), face(450, 200, 101)], id="nearly three in a row"),
        pytest.param([SUBJECT, face(100, 150, 140)], id="a neighbour as large"),
        pytest.param([SUBJECT, face(100, 150, 140, BLURRED)], id="a neighbour as large who looks away"),
        pytest.param([face(180, 180, 120), face(530, 180, 140)], id="a cut face as large as one beside the centre"),
        pytest.param([face(160, 150, 150), face(330, 200, 80)], id="a smaller one, nearer to the centre"),
        pytest.param([face(160, 150, 150), face(470, 150, 100)], id="a smaller one, and nobody in the centre"),
        pytest.param([face(300, 150, 120), face(450, 150, 90)], id="a smaller one, and nobody quite in the centre"),
        pytest.param([face(300, 200, 100, BLURRED), face(120, 200, 105)], id="the neighbour of a blurred subject"),
        pytest.param([face(300, 200, 110, BLURRED), face(120, 200, 105)], id="a blurred subject and a neighbour"),
        pytest.param([face(300, 200, 100), face(500, 330, 200)], id="a cut face in the foreground"),
        pytest.param([face(300, 200, 100, BLURRED), face(500, 330, 200)], id="a cut one beside a blurred subject"),
        pytest.param([face(80, 200, 200), face(560, 200, 60)], id="a cut face in the foreground, and nobody else near"),
        pytest.param([face(300, 200, 95), face(80, 80, 160), face(520, 320, 160, BLURRED)], id="two in the foreground"),
    ],
)
def test_a_photo_with_two_subjects_has_none(faces: list[Face]) -> None:
    for order in (faces, faces[::-1]):
        assert prominent(order, SIZE) is None


def test_a_blurred_subject_stays_the_subject_of_its_photo() -> None:
    """The caller is told its quality; faces in the background do not replace it."""
    assert prominent([face(300, 200, 150, BLURRED), face(60, 60, 50)], SIZE) == (0, {1: BACKGROUND})


FACES = st.lists(
    st.builds(
        lambda x, y, side, unfit: face(x, y, side, *([BLURRED] if unfit else [])),
        st.integers(0, 600),
        st.integers(0, 400),
        st.integers(20, 300),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(FACES, st.randoms(use_true_random=False))
def test_there_is_one_subject_whatever_the_order_and_the_scale(faces: list[Face], rng: object) -> None:
    found = prominent(faces, SIZE)
    shuffled = list(faces)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = prominent(shuffled, SIZE)
    assert (found is None) == (again is None)
    if found is None or again is None:
        return
    assert faces[found[0]] is shuffled[again[0]]
    largest = max(one.detection.area for one in faces)
    assert faces[found[0]].detection.area * LARGEST_CUT**2 >= largest * 0.999
    assert sorted((found[0], *found[1])) == list(range(len(faces)))
    doubled = [Face(Detection(one.detection.box * 2, one.detection.landmarks, 0.8), one.quality) for one in faces]
    assert prominent(doubled, (SIZE[0] * 2, SIZE[1] * 2)) == found


@given(FACES, st.integers(0, 600), st.integers(0, 400))
def test_a_tiny_unfit_face_changes_nothing(faces: list[Face], x: int, y: int) -> None:
    before = prominent(faces, SIZE)
    tiny = face(x, y, 5, SMALL)
    after = prominent([*faces, tiny], SIZE)
    assert after == (before and (before[0], {**before[1], len(faces): UNFIT}))
