"""The rule of scales: what is looked at, and what is believed."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.detect.multiscale import MultiscaleDetector, Scales, copy_scales
from fr_core.detect.nms import iou, keep_best
from fr_core.detect.null import NullDetector
from fr_core.detect.protocol import TileFaces
from fr_core.detect.tiles import cut, resized, tile_corners
from fr_core.types import U8, Detection
from support.scrfd import overlap_of


class SquareModel:
    """Sees each bright square of a tile whose side it can make out, with one certainty; counts its work."""

    tile_shapes = Scales().tile_shapes

    def __init__(self, score: float = 0.9, smallest: float = 10.0) -> None:
        self._score = score
        self._smallest = smallest
        self.tiles: list[tuple[int, ...]] = []

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        self.tiles += [tile.shape[:2] for tile in tiles]
        return [self._faces(tile) for tile in tiles]

    def _faces(self, tile: U8) -> TileFaces:
        faces: list[Detection] = []
        if tile.max() > 127:
            marked = np.zeros_like(tile)
            marked[tile[..., 0] > 127, 0] = 255
            faces = [face for face in NullDetector().detect(marked) if face.area >= self._smallest**2]
        if not faces:
            return TileFaces.joined([])
        return TileFaces(
            np.stack([face.box for face in faces]),
            np.stack([face.landmarks for face in faces]),
            np.full(len(faces), self._score, np.float32),
        )


def photo(width: int, height: int, *squares: tuple[int, int, int]) -> U8:
    pixels = np.zeros((height, width, 3), np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = 255
    return pixels


def detect(pixels: U8, model: SquareModel) -> list[list[float]]:
    faces = MultiscaleDetector(model, threshold=0.5, nms_threshold=0.4).detect(pixels)
    return [face.box.tolist() for face in faces]


@pytest.mark.parametrize("size", [(1, 1), (40, 250), (250, 250), (320, 100), (500, 500), (4000, 3000), (9000, 50)])
def test_copies_go_from_the_coarsest_to_full_resolution_at_most(size: tuple[int, int]) -> None:
    rule = Scales()
    found = copy_scales(*size, rule)
    assert found[0] == pytest.approx(rule.coarse / max(size))
    assert found[1:] == sorted(found[1:])
    assert all(scale <= 1 for scale in found[1:])
    assert max(size) <= rule.coarse_only or max(size) * found[-1] == pytest.approx(min(max(size), rule.finest))
    for coarser, finer in pairwise(found[1:]):
        assert finer / coarser <= 4


@pytest.mark.parametrize(
    ("size", "fitting"),
    [((640, 480), (480, 640)), ((900, 33), (480, 640)), ((480, 640), (640, 480)), ((500, 481), (640, 640))],
)
def test_a_whole_copy_gets_the_smallest_tile_that_holds_it(size: tuple[int, int], fitting: tuple[int, int]) -> None:
    model = SquareModel()
    detect(photo(*size, (5, 5, 25)), model)
    assert set(model.tiles) == {(256, 256), fitting}


def test_fast_looks_closer_only_where_it_saw_no_face() -> None:
    def work(*squares: tuple[int, int, int], fast: bool = True) -> tuple[int, int]:
        model = SquareModel()
        found = MultiscaleDetector(model, 0.5, 0.4, fast=fast).detect(photo(4000, 3000, *squares))
        return len(found), len(model.tiles)

    _, tiles = work((100, 100, 24), fast=False)
    assert work((100, 100, 24)) == (1, tiles + 2)  # seen in the finest copy only
    found, tiles = work((100, 100, 24), (1000, 1000, 900))
    assert (found, tiles <= 3) == (1, True)  # the small one beside the large one is missed


@pytest.mark.parametrize(
    "square",
    [
        *((*corner, 24) for corner in ((0, 0), (470, 630), (625, 640), (3976, 2976), (1999, 1501))),
        *((1317, 433, side) for side in (40, 70, 110, 160, 300, 700, 1500, 2500)),
    ],
)
def test_face_of_any_size_in_12_megapixels_is_found_once_wherever_it_lies(square: tuple[int, int, int]) -> None:
    left, top, side = square
    (box,) = detect(photo(4000, 3000, square), SquareModel())
    assert np.allclose(box, [left, top, left + side, top + side], atol=max(2, side * 0.02))


def test_a_face_that_fills_the_frame_is_found_once() -> None:
    (box,) = detect(photo(1000, 1000, (20, 20, 960)), SquareModel())
    assert np.allclose(box, [20, 20, 980, 980], atol=8)


def test_doubtful_candidate_of_one_scale_needs_a_second_look() -> None:
    class OnlyAtFullSize(SquareModel):
        """Takes a leaf for a face in a tile of 640, and sees nothing where it is looked at closely."""

        def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
            found = zip(tiles, super().detect_tiles(tiles), strict=True)
            return [faces if tile.shape[0] == 640 else TileFaces.joined([]) for tile, faces in found]

    pixels = photo(640, 640, (100, 100, 40))
    assert detect(pixels, OnlyAtFullSize(score=0.6)) == []
    assert len(detect(pixels, SquareModel(score=0.6))) == 1


class Scripted(SquareModel):
    """Gives each square of a tile of one size its own score; of other sizes, the usual one."""

    def __init__(self, scores: dict[int, float]) -> None:
        super().__init__()
        self._scores = scores

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        found = super().detect_tiles(tiles)
        return [
            TileFaces(faces.boxes, faces.landmarks, np.full(len(faces), self._scores[tile.shape[0]], np.float32))
            for tile, faces in zip(tiles, found, strict=True)
        ]


@pytest.mark.parametrize(
    ("coarse", "fine", "side", "scores"),
    [(0.8, 0.6, 200, [0.7]), (0.5, 0.6, 200, [0.55]), (0.3, 0.6, 200, []), (0.2, 0.8, 70, [0.8])],
    ids=["both", "doubtful", "too doubtful", "too small in the coarse copy to be judged"],
)
def test_copies_that_see_a_face_well_vote_by_their_mean(
    coarse: float, fine: float, side: int, scores: list[float]
) -> None:
    model = Scripted({256: coarse, 640: fine})
    faces = MultiscaleDetector(model, threshold=0.5, nms_threshold=0.4).detect(photo(640, 640, (200, 200, side)))
    assert [face.score for face in faces] == pytest.approx(scores)
    assert side == 70 or model.tiles == [(640, 640), (256, 256)]  # and no second look


def test_crowd_is_looked_at_in_small_parties_and_nobody_is_lost() -> None:
    class Counting(SquareModel):
        largest_party = 0

        def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
            self.largest_party = max(self.largest_party, len(tiles))
            assert all(tile.shape[2] == 3 and tile[..., 0].any() and not tile[..., 1:].any() for tile in tiles)
            return super().detect_tiles(tiles)

    squares = [(20 + 40 * (i % 15), 20 + 40 * (i // 15), 20) for i in range(150)]
    model = Counting(score=0.59)
    red = photo(640, 640, *squares) * np.array([1, 0, 0], np.uint8)
    found = detect(red, model)
    assert sorted([round(left), round(top)] for left, top, _, _ in found) == sorted([x, y] for x, y, _ in squares)
    assert model.largest_party <= 16
    assert len(model.tiles) == 2 + 150


@pytest.mark.parametrize(
    ("side", "fine", "coarse", "again", "looks", "faces"),
    [
        (20, 0.59, 0.0, 0.0, 1, 0),
        (20, 0.59, 0.0, 0.9, 1, 1),
        (20, 0.61, 0.0, 0.0, 0, 1),
        (70, 0.61, 0.0, 0.0, 1, 0),
        (70, 0.74, 0.0, 0.9, 1, 1),
        (70, 0.76, 0.0, 0.0, 0, 1),
        (70, 0.31, 0.0, 0.9, 1, 1),
        (70, 0.29, 0.4, 0.9, 0, 0),
    ],
)
def test_second_looks_are_for_those_in_doubt(
    side: int, fine: float, coarse: float, again: float, looks: int, faces: int
) -> None:
    """A square of 20 px is too small for a vote in any copy; one of 70 px has a vote in the fine copy alone."""

    class Twice(Scripted):
        """Sees a square of the coarse copy with one score, and one that is looked at again with another."""

        def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
            found = super().detect_tiles(tiles)
            if tiles[0].shape[0] == 256 and len(self.tiles) > 2:
                found = [TileFaces(one.boxes, one.landmarks, np.full(len(one), again, np.float32)) for one in found]
            return found

    model = Twice({256: coarse, 640: fine})
    found = MultiscaleDetector(model, threshold=0.5, nms_threshold=0.4).detect(photo(640, 640, (200, 200, side)))
    assert (len(model.tiles) - 2, len(found)) == (looks, faces)


@pytest.mark.parametrize("spoil", ["turned inside out", "no number", "without end", "landmarks at one place"])
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_a_face_is_dropped(spoil: str) -> None:
    class Strange(SquareModel):
        def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
            found = []
            for faces in super().detect_tiles(tiles):
                boxes, landmarks = faces.boxes.copy(), faces.landmarks.copy()
                if spoil == "turned inside out":
                    boxes = boxes[:, [2, 1, 0, 3]]
                elif spoil == "no number":
                    landmarks[:, 2] = np.nan
                elif spoil == "without end":
                    boxes[:, 2:] = np.inf
                else:
                    landmarks[:] = landmarks[:, :1]
                found.append(TileFaces(boxes, landmarks, faces.scores))
            return found

    assert detect(photo(700, 500, (100, 100, 200)), Strange()) == []


@given(length=st.integers(641, 5000), side=st.integers(1, 150), where=st.floats(0, 1))
def test_a_face_no_longer_than_the_overlap_lies_whole_in_some_tile(length: int, side: int, where: float) -> None:
    rule = Scales()
    first = where * (length - side)
    starts = {left for left, _ in tile_corners(length, 640, 640, rule.overlap)}
    assert any(
        (start == 0 or first > start + rule.edge)
        and (start + 640 >= length or first + side < start + 640 - rule.edge)
        and start <= first
        and first + side <= start + 640
        for start in starts
    )


def test_tiny_photos_the_order_of_faces_and_suppression() -> None:
    assert resized(photo(5, 900), 0, 3).shape == (3, 1, 3)
    tile = cut(np.full((3, 4, 3), 9, np.uint8), 2, 1, 8, 8)
    assert tile.shape == (8, 8, 3)
    assert tile.sum() == 9 * 3 * 2 * 2
    for size in ((1, 1), (1, 500), (500, 1)):
        assert detect(photo(*size), SquareModel()) == []
    boxes = detect(photo(600, 600, (10, 10, 60), (200, 200, 120), (400, 50, 80)), SquareModel())
    sides = [right - left for left, _, right, _ in boxes]
    assert (len(sides), sides) == (3, sorted(sides, reverse=True))
    four = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [5, 5, 5, 5]], np.float32)
    assert iou(four[0], four).tolist() == [1.0, 0.5, 0.0, 0.0]
    scores = np.array([0.5, 0.9, 0.7, 0.1], np.float32)
    assert keep_best(four, scores, 0.4).tolist() == [1, 2, 3]
    assert keep_best(four, scores, 0.5).tolist() == [1, 2, 0, 3]
    assert keep_best(four[:0], scores[:0], 0.4).tolist() == []


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.0, 0.4, 1.0]))
def test_boxes_that_stay_are_those_of_the_definition(seed: int, threshold: float) -> None:
    """Whole numbers, so that libraries round alike; some boxes have no area or are inside out."""
    rng = np.random.default_rng(seed)
    boxes = rng.integers(0, 12, (rng.integers(0, 30), 4)).astype(np.float32)
    boxes[::2, 2:] = boxes[::2, :2] + rng.integers(1, 12, boxes[::2, :2].shape)
    scores = (rng.integers(1, 6, len(boxes)) / 8).astype(np.float32)  # many are equal
    kept: list[int] = []
    for number in sorted(range(len(boxes)), key=lambda number: -scores[number]):
        if all(overlap_of(boxes[number], boxes[other]) <= np.float32(threshold) for other in kept):
            kept.append(number)
    with_area = {number for number, box in enumerate(boxes) if (box[2:] > box[:2]).all()}
    found = keep_best(boxes, scores, threshold)
    assert [number for number in found.tolist() if number in with_area] == [n for n in kept if n in with_area]


@pytest.mark.filterwarnings("error")
def test_boxes_of_strange_numbers_suppress_no_face() -> None:
    face = [0, 0, 10, 10]
    strange = [
        [np.nan, 0, 10, 10],
        [0, 0, np.inf, 10],
        [-np.inf, 0, np.inf, 10],
        [-3e38, 0, 3e38, 10],
        [30, 30, -90, 40],
        [5, 5, 5, 5],
    ]
    boxes = np.array([*strange, face], np.float32)
    assert len(strange) in keep_best(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32), 0.4)
    assert keep_best(boxes[-1:], np.array([np.nan], np.float32), 0.4).tolist() == []
