"""Photos, aligned crops and templates of an evaluation: they carry the ticket of their call, and end with it."""

from __future__ import annotations

import csv
import io
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from fr_core.align import ARCFACE_TEMPLATE, align
from fr_core.errors import CallEnded
from fr_core.imaging import ImageLimits
from fr_core.reading import read_at_most
from fr_core.runtime.ticket import Ticket, current_ticket, hold
from fr_datasets.errors import BinMalformed, DatasetMissing, DatasetUnreadable, read_photo
from fr_evaluation.hardest import thumbnail
from fr_evaluation.photos import AHEAD, Photos, in_threads
from fr_evaluation.verification.as_json import report_keys, write_scores
from fr_evaluation.verification.page import page
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import read_pairs
from fr_evaluation.verification.templates import Pool, TemplatePairs, compare_templates
from support import photos as squares
from support.evaluations import ignore, verified_set
from support.photos import engine


class Stop(Exception):
    """What a caller raises to end the work."""


@pytest.fixture
def ticket() -> Iterator[Ticket]:
    """The ticket of this test, which ends with it."""
    own = Ticket(bulk=True)
    hold(own)
    yield own
    hold(Ticket())


def test_each_photo_is_analysed_for_the_ticket_of_the_call(ticket: Ticket) -> None:
    assert all(seen is ticket for seen in in_threads(lambda _: current_ticket(), range(9), 3, ignore))


def test_answers_keep_their_order_and_few_are_in_work() -> None:
    begun: list[int] = []

    def analyze(item: int) -> int:
        begun.append(item)
        return item

    answers = in_threads(analyze, range(1000), 2, ignore)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    threading.Event().wait(0.05)
    assert len(begun) <= 3 + AHEAD * 2


def test_a_cancelled_call_begins_no_more_photos(ticket: Ticket) -> None:
    begun: list[int] = []

    def analyze(item: int) -> int:
        begun.append(item)
        if item == 2:
            ticket.cancel()
        return item

    with pytest.raises(CallEnded):
        list(in_threads(analyze, range(1000), 1, ignore))
    assert begun == [0, 1, 2]


def test_a_caller_that_raises_ends_the_work_and_what_ran_is_awaited() -> None:
    running = threading.Event()
    finished: list[int] = []

    def analyze(item: int) -> int:
        if item:
            running.set()
            threading.Event().wait(0.5)
        finished.append(item)
        return item

    def stop(done: int, total: int) -> None:
        if done:
            running.wait(5)
            raise Stop

    with pytest.raises(Stop):
        list(in_threads(analyze, range(1000), 2, stop))
    assert 2 <= len(finished) <= 1 + AHEAD
    count = len(finished)
    threading.Event().wait(0.6)
    assert len(finished) == count


def test_of_a_photo_no_more_is_read_than_tells_that_it_is_too_large(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # more than any memory
    assert len(read_photo(huge, 9)) == 10
    assert len(read_at_most(huge, 0)) == 1
    photos = Photos(squares.engine().pipeline, 1, ignore)
    assert photos.embed([huge])[huge].refusal == "IMAGE_TOO_MANY_BYTES"
    assert photos.count([huge], ImageLimits(max_bytes=9))[0].refusal == "IMAGE_TOO_MANY_BYTES"
    assert thumbnail(huge, ImageLimits()) is None


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_a_photo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DatasetUnreadable, match="not a regular file"):
        read_photo(tmp_path / "pipe.jpg", 9)
    assert thumbnail(tmp_path / "pipe.jpg", ImageLimits()) is None


def crop(shade: int, side: int = 112) -> bytes:
    """A crop of the person of that shade, as PNG."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (shade, 80, 10)).save(file, format="PNG")
    return file.getvalue()


def write_bin(path: Path, crops: Sequence[bytes], mated: Sequence[bool]) -> Path:
    path.write_bytes(pickle.dumps((list(crops), list(mated)), protocol=4))
    return path


def scores_of(report: VerificationReport) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    write_scores(report, file)
    file.seek(0)
    return list(csv.DictReader(file))


def test_crops_are_embedded_as_they_are_and_named_by_their_numbers(tmp_path: Path) -> None:
    shades = [n if mated else (n, n + 100) for n in range(10) for mated in (True, False)]
    couples = [(one, one) if isinstance(one, int) else one for one in shades]
    crops = [crop(shade) for couple in couples for shade in couple]
    path = write_bin(tmp_path / "lfw.bin", crops, [a == b for a, b in couples])
    report = verified_set("insightface_bins", path)
    keys = report_keys(report)
    assert (keys["accuracy"]["mean"], len(keys["accuracy"]["folds"])) == (1.0, 10)
    assert (keys["dataset"]["photos"], keys["settings"]["pick"]) == (40, "aligned crop")
    assert keys["dataset"]["title"].endswith("lfw.bin")
    rows = scores_of(report)
    assert [(row["photo_a"], row["photo_b"]) for row in rows[:2]] == [("1", "2"), ("3", "4")]
    assert rows[0]["similarity"] == "1.0"
    # A folder with one file is that file; another crop is another list.
    assert verified_set("insightface_bins", tmp_path).dataset.list_sha256 == report.dataset.list_sha256
    write_bin(path, [crop(255), *crops[1:]], [a == b for a, b in couples])
    assert verified_set("insightface_bins", path).dataset.list_sha256 != report.dataset.list_sha256


def test_a_crop_that_cannot_be_decoded_fails_its_pair_and_one_of_another_size_ends_the_run(tmp_path: Path) -> None:
    path = write_bin(tmp_path / "a.bin", [crop(1), crop(1)[:60], crop(2), crop(2)], [True, True])
    report = verified_set("insightface_bins", path)
    assert scores_of(report)[-1]["failure"] == "UNDECODABLE"
    assert report_keys(report)["pairs"]["mated_failures"] == 1
    write_bin(path, [crop(1), crop(1, side=96)], [True])
    with pytest.raises(BinMalformed, match="96 x 96 pixels; aligned crops have 112 x 112"):
        verified_set("insightface_bins", path)


def test_a_folder_of_several_files_asks_for_one_of_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"holds no \.bin file"):
        read_pairs("insightface_bins", tmp_path)
    for name in ("lfw", "cfp_fp"):
        write_bin(tmp_path / f"{name}.bin", [crop(1), crop(1)], [True])
    with pytest.raises(DatasetMissing, match=r"name one of them as the root: cfp_fp\.bin, lfw\.bin"):
        read_pairs("insightface_bins", tmp_path)


POINTS = np.round(ARCFACE_TEMPLATE, 4)


@pytest.fixture
def ijb(tmp_path: Path) -> Path:
    """Template 10 of two media, 20 like a photo of it, 30 of another person, and 40 of a photo that is broken."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "loose_crop").mkdir()
    rows = [  # template, medium, shade, score
        (20, 5, 1, 0.9),
        (10, 1, 1, 0.9),
        (10, 2, 2, 0.3),
        (30, 7, 200, 0.9),
        (10, 1, 3, 0.6),
        (40, 9, None, 0.9),
        (20, 6, None, 0.9),
    ]
    points = " ".join(f"{value:.4f}" for value in POINTS.reshape(-1))
    members, landmarks = [], []
    for number, (template, medium, shade, score) in enumerate(rows, 1):
        (tmp_path / "loose_crop" / f"{number}.jpg").write_bytes(b"no photo" if shade is None else crop(shade))
        members.append(f"{number}.jpg {template} {medium}\n")
        landmarks.append(f"{number}.jpg {points} {score}\n")
    pairs = "10 20 1\n10 30 0\n20 40 1\n20 30 0\n"
    for name, text in (
        ("face_tid_mid", "".join(members)),
        ("name_5pts_score", "".join(landmarks)),
        ("template_pair_label", pairs),
    ):
        (tmp_path / "meta" / f"ijbc_{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def vector(shade: int) -> npt.NDArray[np.float64]:
    """That of the aligned photo of a person, of length 1."""
    pipeline = engine().pipeline
    made = pipeline.embed_aligned([align(pipeline.decode(crop(shade)).pixels, POINTS)])[0]
    return made.embedding.vector.astype(np.float64)


def test_templates_are_pooled_and_compared_and_those_without_a_photo_fail_their_pairs(ijb: Path) -> None:
    report = verified_set("ijbc", ijb)
    keys = report_keys(report)
    assert keys["failure_reasons"] == {"UNDECODABLE": 2}
    assert keys["dataset"]["photos"] == 7
    assert keys["pairs"] == {"mated": 2, "nonmated": 2, "mated_failures": 1, "nonmated_failures": 0}
    rows = scores_of(report)
    assert [row["photo_a"] for row in rows] == ["templates/10", "templates/10", "templates/20", "templates/20"]
    pooled = (0.9 * vector(1) + 0.6 * vector(3)) / 2 + 0.3 * vector(2)
    expected = pooled @ vector(1) / np.linalg.norm(pooled)
    assert float(rows[0]["similarity"]) == pytest.approx(expected, abs=1e-5)
    assert rows[-1]["failure"] == "NO_TEMPLATE"
    (ijb / "meta" / "ijbc_template_pair_label.txt").write_text("10 20 0\n10 30 0\n", encoding="utf-8")
    assert "templates/10 and templates/20" in page(verified_set("ijbc", ijb), thumbnails=True)
    assert "landmarks of the list" in keys["settings"]["pick"]


def test_landmarks_that_fit_no_face_are_a_failure_of_their_photo(ijb: Path) -> None:
    path = ijb / "meta" / "ijbc_name_5pts_score.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] = "4.jpg " + " ".join(["50"] * 10) + " 0.9"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    keys = report_keys(verified_set("ijbc", ijb))
    assert keys["failure_reasons"] == {"LANDMARKS_UNUSABLE": 1, "UNDECODABLE": 2}
    assert keys["pairs"]["nonmated_failures"] == 2


def test_a_template_is_the_sum_of_the_means_of_its_media() -> None:
    pool = Pool(np.array([3, 8]), 2)
    for template, medium, vector in ((3, 1, (4.0, 0.0)), (3, 1, (2.0, 0.0)), (3, 2, (0.0, 4.0))):
        pool.add(template, medium, np.array(vector))
    units, usable = pool.units()
    assert units.tolist() == [pytest.approx([0.6, 0.8]), [0.0, 0.0]]
    assert usable.tolist() == [True, False]


def test_similarities_in_blocks_are_those_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_evaluation.verification.templates.BLOCK", 7)
    draw = np.random.default_rng(1)
    units = draw.standard_normal((5, 16))
    units /= np.linalg.norm(units, axis=1)[:, None]
    first, second = draw.integers(0, 5, (2, 50))
    pairs = TemplatePairs(tuple(Path(str(n)) for n in range(5)), first, second, draw.random(50) < 0.5)
    usable = np.array([True, True, False, True, True])
    compared = compare_templates(pairs, units, usable)
    kept = [n for n in range(50) if first[n] != 2 and second[n] != 2]
    expected = [float(units[first[n]] @ units[second[n]]) for n in kept]
    assert compared.similarities.tolist() == pytest.approx(expected)
    assert list(compared.pairs) == [pairs[n] for n in kept]
    assert len(compared.failed) == 50 - len(kept)
    assert list(pairs[2:4]) == [pairs[2], pairs[3]]
