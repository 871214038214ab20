"""Trials in the terminal: answers, remaining time, blocks that run out of time, pictures."""

import stat
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from fr_api.v1 import training_pb2
from fr_client.cli.state import Unusable
from fr_client.cli.train import answers as keys
from fr_client.cli.train.answers import NotUnderstood, Scale
from fr_client.cli.train.dialog import Countdown, Dialog
from fr_client.cli.train.labels import Shown, labels
from fr_client.cli.train.picture_file import desktop_viewer, picture_file
from fr_client.cli.train.pictures import GROUND, HEAD, HEIGHT, SMALLEST, WIDTH, compose, layout
from fr_client.cli.train.session import Blocks
from support.scripted_training import face, picture


def test_a_rating_is_read_by_its_scale() -> None:
    signed = {"-3": -3, " 3 ": 3, "+2": 2, "0": 0, "\N{MINUS SIGN}1": -1}
    assert {typed: keys.rating(typed, Scale.SIGNED) for typed in signed} == signed
    seven = {"1": -3, "4": 0, "7": 3, "+1": 1, "-2": -2}
    assert {typed: keys.rating(typed, Scale.SEVEN) for typed in seven} == seven


@pytest.mark.parametrize(
    ("parse", "wrong"),
    [
        (lambda text: keys.rating(text, Scale.SIGNED), ("", "4", "-4", "1.5", "same", "٣", "--1")),
        (lambda text: keys.rating(text, Scale.SEVEN), ("", "0", "8", "9", "+4", "-5", "1 2")),
        (lambda text: keys.ratings(text, Scale.SIGNED), ("", "1 9", "1;2", ",")),
        (keys.percent, ("101", "-1", "0.5", "half", "5 0", "٥", "1", "0.9", ".9", "0,9", "1.0", "100.1", "1.2.3", "%")),
        (keys.difficulty, ("0", "6", "11", "easy", "٢")),
        (lambda text: keys.number(text, 3), ("", "0", "4", "-1", "1.0", "²", "9" * 5000)),
        (lambda text: keys.choice(text, ["a", "b"]), ("", "3", "0", "none", "x")),
        (lambda text: keys.observation(text, "nose"), ("", "s", "8", "s11", "n3", "x5", "s-1")),
        (keys.quality, ("", "l", "r", "u1", "l7", "x", "1", "l 1 9")),
    ],
)
def test_what_is_no_answer_is_told_what_would_be_one(parse: Callable[[str], Any], wrong: tuple[str, ...]) -> None:
    for typed in wrong:
        with pytest.raises(NotUnderstood) as caught:
            parse(typed)
        assert str(caught.value)[-1] == "."


def test_probabilities_and_difficulties_may_be_left_out_and_notes_have_an_end() -> None:
    assert [keys.percent(typed) for typed in ("", "0", "80", "80 %", "100%")] == [None, 0.0, 0.8, 0.8, 1.0]
    # Meant as a probability or as percent? Only the sign tells.
    assert [keys.percent(typed) for typed in ("1%", "0.5 %", "0,5%", "99.5", "2")] == [0.01, 0.005, 0.005, 0.995, 0.02]
    assert [keys.difficulty(typed) for typed in (" ", "1", "5")] == [None, 1, 5]
    lines = keys.notes_with(["x" * 1_000], "y" * 999)
    assert len("\n".join(lines)) == keys.MAX_NOTES
    with pytest.raises(NotUnderstood, match="2,002 characters"):
        keys.notes_with(lines, "z")
    # What the server would refuse: the arrow key of a terminal, and a byte that is not UTF-8.
    assert keys.notes_with([], "a\x1b[D\tscar\udcff ü") == ["a[D\tscar\ufffd ü"]


def test_the_time_that_is_left_stands_still_in_a_pause() -> None:
    now = 100.0
    countdown = Countdown(lambda: now)
    assert countdown.words() == ""
    countdown.begin(90.0)
    now += 25.5
    assert countdown.words() == "1:04 left"
    countdown.pause()
    now += 1_000.0
    countdown.pause()  # a second one changes nothing
    assert countdown.words() == "1:04 left"
    countdown.resume()
    countdown.resume()
    now += 4.5
    assert (countdown.words(), countdown.is_over) == ("1:00 left", False)
    now += 600.0
    assert (countdown.words(), countdown.is_over) == ("0:00 left", True)
    countdown.begin(None)
    assert (countdown.words(), countdown.is_over) == ("", False)
    countdown.begin(60.0)
    countdown.doubt()
    assert countdown.words() == ""  # not shown until the server reports it
    now += 90.0
    assert countdown.is_over


def test_what_was_typed_ahead_is_dropped_where_something_new_is_asked() -> None:
    def of(*lines: str) -> list[str]:
        left, told = iter(lines), list[str]()
        at = Dialog(
            lambda: next(left), told.append, told.append, lambda: told.append("-"), list, list, Countdown(lambda: 0.0)
        )
        assert at.ask("Rate:", lambda line: keys.rating(line, Scale.SIGNED)) == 1
        return [one.partition(":")[0] for one in told]

    assert of("k", "1") == ["Rate", "No people are shown now.", "Rate"]
    hint = "Type -3 (surely two people) to 3 (surely one person); 0 is undecided."
    assert of("9", "1") == ["Rate", "-", hint, "Rate"]
    assert of("p", "\n", "1") == ["Rate", "-", "Paused", "-", "Rate"]
    question = "End the sitting for good? Trials without an answer stay so. [y/N]"
    assert of("f", "\n", "1") == ["Rate", "-", question, "Rate"]


def test_pictures_are_called_as_the_exercises_count_them() -> None:
    def names(*roles: str) -> list[str]:
        return list(labels([picture(str(number), role) for number, role in enumerate(roles)]).values())

    assert [names(*["COMPARED"] * count) for count in (1, 2, 3)] == [["photo"], ["A", "B"], ["1", "2", "3"]]
    assert [names("PROBE", *["CANDIDATE"] * count) for count in (0, 2)] == [["probe"], ["probe", "1", "2"]]
    assert [names(*["CANDIDATE"] * count) for count in (0, 3)] == [[], ["1", "2", "3"]]
    track = [picture("0", "COMPARED"), picture("1", "SHOT"), picture("2", "SHOT")]
    track[2].at.FromMilliseconds(1260)
    assert labels(track) == {"0": "photo", "1": "0.0 s", "2": "1.3 s"}


# Of 10, 4 and 6 trials; the second has no limit.
LIMITS = (10, None, 5)


def session(answered: int, trials: int = 20, limits: tuple[int | None, ...] = LIMITS) -> training_pb2.Session:
    blocks = [
        training_pb2.Block(
            block_id=f"b{number}",
            title=f"Title {number}",
            trials=count,
            limit=None if minutes is None else Duration(seconds=60 * minutes),
        )
        for number, (count, minutes) in enumerate(zip((10, 4, 6), limits, strict=True), start=1)
    ]
    sitting = training_pb2.Sitting(name="day-1", title="Day 1", blocks=blocks)
    return training_pb2.Session(session_id="s", sitting=sitting, answered=answered, trials=trials)


def at(block: int, number: int, of: int = 10) -> training_pb2.NextTrialResponse:
    return training_pb2.NextTrialResponse(trial=training_pb2.Trial(block_id=f"b{block}", number=number, of=of))


def begins(number: int) -> training_pb2.NextTrialResponse:
    block = training_pb2.Block(block_id=f"b{number}")
    return training_pb2.NextTrialResponse(block=training_pb2.BlockToBegin(block=block, number=number, of=3))


OVER = training_pb2.NextTrialResponse(over=training_pb2.SessionOver())


def told(
    answered: int,
    found: training_pb2.NextTrialResponse,
    *,
    trials: int = 20,
    limits: tuple[int | None, ...] = LIMITS,
    resumed: bool = True,
) -> list[str]:
    said: list[str] = []
    blocks = Blocks(session(answered, trials, limits), resumed, Countdown(lambda: 0.0), said.append)
    blocks.next_is(found)
    blocks.next_is(found)  # is told once
    return said


@pytest.mark.parametrize(
    ("answered", "found", "expected"),
    [
        (3, at(1, 4), []),
        (10, begins(2), []),
        (7, begins(2), ["The time of block 1 (Title 1) ran out; 3 trials stay without an answer."]),
        (9, at(2, 1), ["The time of block 1 (Title 1) ran out; 1 trial stays without an answer."]),
        (11, at(2, 3), ["The time of block 1 (Title 1) ran out; 1 trial stays without an answer."]),
        (14, begins(3), []),
        (12, OVER, ["The time of an earlier block ran out; 8 trials stay without an answer."]),
        (20, OVER, []),
    ],
)
def test_unanswered_trials_are_told(answered: int, found: training_pb2.NextTrialResponse, expected: list[str]) -> None:
    assert told(answered, found) == expected
    # What cannot be known: a form has fewer items than the plan has trials; a block without a limit.
    assert told(7, begins(2), trials=18) == told(7, begins(2), limits=(None, None, None)) == []
    assert told(0, begins(1), resumed=False) == []


def follow(*, late: bool = False, left_s: float | None = None) -> tuple[Blocks, list[str]]:
    said: list[str] = []
    countdown = Countdown(lambda: 0.0)
    countdown.begin(left_s)
    blocks = Blocks(session(0), False, countdown, said.append)
    blocks.next_is(begins(1))
    for number in (1, 2):
        blocks.next_is(at(1, number))
        blocks.shown(at(1, number).trial)
        blocks.shown(at(1, number).trial)  # its next step
        if number == 1:
            blocks.answered()
    if late:
        blocks.late()
    return blocks, said


def test_a_sitting_that_is_over_was_ended_elsewhere_or_ran_out_of_time() -> None:
    cases = ((follow(), 0), (follow(left_s=60.0), 0), (follow(left_s=0.5), 1), (follow(left_s=60.0, late=True), 1))
    for (blocks, said), expected in cases:
        blocks.next_is(OVER)
        assert len(said) == expected


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
    return int(found[0]), int(found[1]), int(found[2])


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
def test_a_desktop_alone_opens_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
