"""The pictures of the console in README and guides look like the console."""

from pathlib import Path

import pytest
from PIL import Image
from screenshots import SCHEMES, SHOTS, difference, shown, taken

from support.browser import chromium, needs_browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NAMES = [shot.name + ending for shot in SHOTS for ending in SCHEMES.values()]
MOST = 0.02
MOST_BYTES = 64 * 1024


@pytest.mark.nightly
@needs_browser
def test_the_pictures_look_like_the_pages(tmp_path: Path) -> None:
    with shown(tmp_path) as made, chromium() as browser:
        pictures = dict(taken(browser, made))
    found = {name: difference(one, Image.open(IMAGES / f"{name}.png")) for name, one in pictures.items()}
    assert sorted(found) == sorted(NAMES)
    assert {name: drift for name, drift in found.items() if drift > MOST} == {}, "`make screenshots` takes them anew"


def test_another_picture_is_another() -> None:
    """The control: each picture differs from each other one, and is small."""
    pictures = {name: Image.open(IMAGES / f"{name}.png") for name in NAMES}
    assert sorted(path.stem for path in IMAGES.glob("*.png")) == sorted(NAMES)
    assert all(difference(one, one) == 0 for one in pictures.values())
    for name, one in pictures.items():
        assert {other for other, kept in pictures.items() if difference(one, kept) <= MOST} == {name}
        covered = one.copy()
        covered.paste(0, (0, 0, one.width, one.height // 3))
        assert difference(one, covered) > MOST
        assert (IMAGES / f"{name}.png").stat().st_size <= MOST_BYTES
