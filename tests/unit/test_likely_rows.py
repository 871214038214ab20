"""A detector's rows that leave the device are those that the host would pick, in both forms of export."""

import numpy as np
import pytest

from fr_core.detect.scrfd import ScrfdDetector, likely_rows
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import RowFilter
from fr_core.types import F32, U8
from support.engines import AS_THEY_ARE, detector_spec, doubled
from support.scrfd import STRIDES, export_of, faces_of, rows_of, small_scrfd

pytestmark = pytest.mark.parametrize("device", ["cpu", "openvino"])
exports = pytest.mark.parametrize("flat", [False, True], ids=["batch axis", "flat"])


def pictures(count: int, height: int = 64, width: int = 96, seed: int = 1) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


@exports
@pytest.mark.parametrize("batch", ["n", 1], ids=["any batch", "one picture"])
@pytest.mark.parametrize("score", [0.0, 0.6, 1.1], ids=["all rows", "some", "none"])
def test_faces_are_those_of_all_rows(device: str, flat: bool, batch: str | int, score: float) -> None:
    """A file that says one picture is edited to take more; in flat exports pictures then mix."""
    content, spec = small_scrfd(flat, batch), detector_spec("scrfd")
    (every,) = open_sessions(content, AS_THEY_ARE, device)
    (likely,) = open_sessions(content, AS_THEY_ARE, device, rows=likely_rows(score))
    assert likely.input_shape == every.input_shape == (None, None, None, 3)
    detector = ScrfdDetector(likely, spec, ())
    for count, size in ((1, (64, 96)), (3, (64, 96)), (2, (96, 64))):
        tiles = pictures(count, *size)
        outputs = every.run(tiles)
        found = detector.detect_tiles(list(tiles))
        for number, ours in enumerate(found):
            theirs = faces_of(outputs, number, count, size[1], score, spec.nms_threshold)
            assert len(ours) == len(theirs)
            assert (len(ours) > 0) == (score < 1)
            assert np.allclose(ours.scores, theirs.scores, atol=1e-6)
            assert np.allclose(ours.boxes, theirs.boxes, atol=1e-4)
            assert np.allclose(ours.landmarks, theirs.landmarks, atol=1e-4)


@exports
def test_a_row_at_the_threshold_leaves_the_device_and_numbers_count_as_said(device: str, flat: bool) -> None:
    score = np.float32(0.2)
    made: list[F32] = []
    for values in (1, 4, 10):
        for stride in STRIDES:
            rows = (64 // stride) ** 2 * 2
            output = np.arange(rows * values, dtype=np.float32).reshape(1, rows, values)
            if values == 1:
                output = np.full((1, rows, 1), np.nextafter(score, np.float32(0)), np.float32)
                output[0, -1] = score
                output[0, 0] = np.nan
            made.append(output[0] if flat else output)
    (session,) = open_sessions(export_of(made), AS_THEY_ARE, device, rows=likely_rows(0.2))
    numbers, scores, boxes, points = session.run(pictures(1, 64, 64))
    assert (numbers.dtype.name, scores.dtype.name) == ("int64", "float32")
    likely = np.isfinite(scores)  # the libraries disagree on a score that is no number
    assert numbers[0, likely].tolist() == [127, 159, 167]
    assert scores[likely].tolist() == [score] * 3
    assert np.array_equal(boxes[likely], [rows_of(output, 0, 1)[-1] for output in made[3:6]])
    assert np.array_equal(points[likely], [rows_of(output, 0, 1)[-1] for output in made[6:]])
    (faces,) = ScrfdDetector(session, detector_spec("scrfd"), ()).detect_tiles(list(pictures(1, 64, 64)))
    assert np.isfinite(faces.scores).all()


def test_model_with_other_outputs_is_refused(device: str) -> None:
    for rows in (likely_rows(0.2), RowFilter(1, 2, (1,), 0.2)):
        with pytest.raises(ValueError, match="other outputs than its family"):
            open_sessions(doubled(), AS_THEY_ARE, device, rows=rows)
