"""Draws the picture of a trial: photos side by side, large, with the labels of the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

from fr_client.cli.drawing import Font, Photo, open_photo
from fr_client.cli.train.labels import Shown

# In pixels: fits a common screen with room for a window's frame.
WIDTH, HEIGHT = 1760, 920
GAP, HEAD = 20, 40
LARGEST, SMALLEST, PROBE = 640, 150, 480
# A grey between the lightness of faces and of their background, so that no tile looks brighter for it.
GROUND, INK, PROBE_INK = (118, 118, 118), (255, 255, 255), (255, 224, 130)


@dataclass(frozen=True, slots=True)
class Layout:
    """The (width, height) of a picture, and (left, top, side) of each tile, its label above it; in pixels."""

    size: tuple[int, int]
    tiles: tuple[tuple[int, int, int], ...]


def compose(shown: Sequence[Shown]) -> Photo:
    """Return one picture of all photos; raises `Unusable` if a photo cannot be decoded."""
    found = layout([one.is_probe for one in shown])
    picture = Image.new("RGB", found.size, GROUND)
    pen, text = ImageDraw.Draw(picture), Font(26)
    for one, (left, top, side) in zip(shown, found.tiles, strict=True):
        # The photos of trials are small squares: smooth enlargement keeps pixels from looking like features.
        fitted = ImageOps.contain(open_photo(one.data), (side, side), Image.Resampling.LANCZOS)
        picture.paste(fitted, (left + (side - fitted.width) // 2, top + (side - fitted.height) // 2))
        ink = PROBE_INK if one.is_probe else INK
        pen.text((left + side / 2, top - HEAD / 2), text.fitted(one.label, side), fill=ink, font=text.font, anchor="mm")
    return picture


def layout(probes: Sequence[bool]) -> Layout:
    """Place tiles: a probe on the left, the others in a grid as large as the screen allows.

    `probes` says of each tile whether it is the probe; at most one is, and it comes first.
    """
    others = len(probes) - sum(probes)
    if not others:
        side = min(LARGEST, HEIGHT - HEAD - 2 * GAP)
        return Layout((side + 2 * GAP, side + HEAD + 2 * GAP), ((GAP, GAP + HEAD, side),))
    begin = GAP + (PROBE + 2 * GAP if any(probes) else 0)
    columns, side = _grid(others, WIDTH - begin - GAP, HEIGHT - 2 * GAP)
    places = [divmod(number, columns) for number in range(others)]
    tiles = [(begin + c * (side + GAP), GAP + HEAD + r * (side + HEAD + GAP), side) for r, c in places]
    if any(probes):
        tiles.insert(0, (GAP, GAP + HEAD, PROBE))
    width = max(left + one for left, _, one in tiles) + GAP
    height = max(top + one for _, top, one in tiles) + GAP
    return Layout((width, height), tuple(tiles))


def _grid(tiles: int, width: int, height: int) -> tuple[int, int]:
    """Return the number of columns with the largest tiles, and their side."""

    def side(columns: int) -> int:
        rows = -(-tiles // columns)
        across = (width - (columns - 1) * GAP) // columns
        down = (height - rows * HEAD - (rows - 1) * GAP) // rows
        return max(SMALLEST, min(across, down, LARGEST))

    # For equal sides the most columns, but never so many that the smallest tiles exceed the width.
    fitting = max(1, (width + GAP) // (SMALLEST + GAP))
    best = max(range(1, min(tiles, fitting) + 1), key=lambda columns: (side(columns), columns))
    return best, side(best)
