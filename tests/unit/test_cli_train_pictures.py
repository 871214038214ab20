"""The picture of a trial: where its tiles lie, what is in it, where its file is, and what opens it."""

from __future__ import annotations

import stat
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from fr_client.cli.state import Unusable
from fr_client.cli.train.labels import Shown
from fr_client.cli.train.picture_file import desktop_viewer, picture_file
from fr_client.cli.train.pictures import GROUND, HEAD, HEIGHT, SMALLEST, WIDTH, compose, layout
from support.scripted_training import face

RED, GREEN, BLUE = (200, 40, 40), (40, 180, 40), (40, 40, 200)


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("others", [0, 1, 2, 3, 5, 8, 10, 20, 33, 50])
def test_tiles_and_their_labels_lie_in_the_picture_and_apart(others: int, probe: bool) -> None:
    if not others and not probe:
        return
    found = layout([True] * probe + [False] * others)
    assert len(found.tiles) == others + probe
    boxes = [(left, top - HEAD, left + side, top + side) for left, top, side in found.tiles]
    assert min(min(left, top) for left, top, _, _ in boxes) >= 0
    assert all(right <= found.size[0] and bottom <= found.size[1] for _, _, right, bottom in boxes)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert found.size[0] <= WIDTH
    if others <= 20:
        assert found.size[1] <= HEIGHT
    sides = {side for _, _, side in found.tiles[probe:]}
    assert len(sides) <= 1
    assert min(sides, default=SMALLEST) >= SMALLEST


def test_each_photo_is_in_its_tile_whole_and_enlarged() -> None:
    shown = [Shown("probe", face(RED), True), Shown("1", face(GREEN)), Shown("2", face(BLUE))]
    picture, found = compose(shown), layout([True, False, False])
    assert picture.size == found.size
    for colour, (left, top, side) in zip((RED, GREEN, BLUE), found.tiles, strict=True):
        for x, y in ((left + 2, top + 2), (left + side - 3, top + side - 3), (left + side // 2, top + side // 2)):
            assert all(abs(seen - meant) < 12 for seen, meant in zip(pixel(picture, x, y), colour, strict=True))
        label = picture.crop((left, top - HEAD, left + side, top))
        assert len(label.getcolors(1 << 20) or ()) > 3  # letters, with smooth edges
    assert pixel(picture, 2, 2) == GROUND


def pixel(picture: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    found = picture.getpixel((x, y))
    assert isinstance(found, tuple)
    return (int(found[0]), int(found[1]), int(found[2]))


def test_one_file_is_replaced_by_each_trial_and_gone_at_the_end(tmp_path: Path) -> None:
    told: list[str] = []
    opened: list[bytes] = []
    first, second = [Shown("A", face(RED))], [Shown("A", face(GREEN))]
    with picture_file(tmp_path / "pictures", lambda path: opened.append(path.read_bytes()), told.append) as shows:
        shows.show(first)
        shows.show(list(first))  # the next step of the trial shows the same
        shows.show(second)
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["trial.png"]
        assert stat.S_IMODE(shows.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(shows.path.parent.stat().st_mode) == 0o700
        assert len(opened) == 2
        assert opened[0] != opened[1] == shows.path.read_bytes()
        shows.show([])
        assert not shows.path.exists()
        shows.show(second)
    assert list((tmp_path / "pictures").iterdir()) == []
    assert told == [f"Picture: {shows.path}"] * 3


def test_a_folder_of_ones_own_is_deleted_whatever_happens() -> None:
    folders: list[Path] = []

    def interrupted() -> None:
        with picture_file(None, None, lambda line: None) as shows:
            shows.show([Shown("A", face())])
            folders.append(shows.path.parent)
            assert stat.S_IMODE(folders[0].stat().st_mode) == 0o700
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not folders[0].exists()


def test_a_picture_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    def broken(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    with picture_file(tmp_path, broken, told.append) as shows:
        shows.show([Shown("A", face(RED))])
        shows.show([Shown("A", face(GREEN))])
        with pytest.raises(Unusable, match="Pillow cannot decode"):
            shows.show([Shown("A", b"no photo")])
    assert [line for line in told if "open the picture yourself" in line] == [
        "No viewer starts (No such file or directory): open the picture yourself."
    ]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unusable, match="cannot be made"), picture_file(tmp_path / "file", None, told.append):
        pass
    gone = tmp_path / "gone"
    with picture_file(gone, None, told.append) as shows:
        gone.rmdir()
        with pytest.raises(Unusable, match="cannot be written"):
            shows.show([Shown("A", face())])


@pytest.mark.skipif(sys.platform != "linux", reason="The desktop is told by the environment on Linux alone")
def test_a_desktop_opens_pictures_and_a_machine_without_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desktop_viewer({}) is None
    program = tmp_path / "xdg-open"
    program.write_text('#!/bin/sh\nprintf %s "$1" > "$0.opened"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    viewer = desktop_viewer({"WAYLAND_DISPLAY": "wayland-0"})
    assert viewer is not None
    viewer(tmp_path / "trial.png")
    opened = tmp_path / "xdg-open.opened"
    give_up = time.monotonic() + 5
    while not (opened.exists() and opened.read_text()) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert opened.read_text() == str(tmp_path / "trial.png")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert desktop_viewer({"DISPLAY": ":0"}) is None
