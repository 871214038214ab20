"""Verification without models: coloured squares are faces; photos, aligned crops and templates that are given."""

import csv
import io
import json
import os
import pickle
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.align import ARCFACE_TEMPLATE, align
from fr_core.imaging import ImageLimits
from fr_core.scoring.bootstrap import fnmr_at_fmr_statistic, subject_bootstrap
from fr_core.types import Embedding, ModelId
from fr_datasets.errors import BinMalformed, DatasetMissing, DatasetUnreadable, read_photo
from fr_datasets.manifests import load_manifest
from fr_datasets.values import VerificationPair
from fr_evaluation.hardest import thumbnail
from fr_evaluation.photos import AHEAD, Photos, in_threads
from fr_evaluation.report import part_of
from fr_evaluation.verification import words
from fr_evaluation.verification.as_json import report_keys, write_scores
from fr_evaluation.verification.compare import ComparedPairs, across_people
from fr_evaluation.verification.figures import verification_figures
from fr_evaluation.verification.page import figures, page
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import read_pairs
from fr_evaluation.verification.templates import Pool, TemplatePairs, compare_templates
from fr_evaluation.words import in_words, threshold_text
from fr_evaluation.write import write_report
from fr_files.reading import read_at_most
from support import photos as squares
from support.evaluations import ignore, lay_out, verified_set, write
from support.people import made_pairs
from support.photos import PEOPLE, draw_lfw, engine, face


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return draw_lfw(tmp_path / "lfw")


def test_every_pair_is_right_and_every_photo_gave_a_template(lfw: Path) -> None:
    report = verified_set("lfw", lfw)
    keys = report_keys(report)
    rates = keys["fnmr_at_fmr"]
    assert list(rates) == ["0.01", "0.001", "0.0001", "1e-05", "1e-06"]
    lacking = (False, "not supported by this many comparisons")
    assert {(rate["supported"], rate["note"]) for rate in rates.values()} == {lacking}
    assert (keys["accuracy"]["mean"], keys["accuracy"]["standard_error"], keys["failures_to_acquire"]) == (1.0, 0.0, 0)
    assert (keys["pairs"]["mated"], keys["pairs"]["nonmated"], keys["dataset"]["people"]) == (6, 6, 6)
    assert (keys["across_people"]["people"], keys["measured_at"]) == (PEOPLE, "2026-01-02T03:04:05+00:00")
    assert "never an identity" in keys["notice"]
    json.dumps(keys, allow_nan=False)
    assert keys["dataset"]["part"] == "12 of 6,000 pairs"
    assert report.calibration is not None
    assert report.calibration.provenance.part == "folds 1, 2; 12 of 6,000 pairs"
    assert "were compared, a part of the data set: 12 of 6,000 pairs." in in_words(words.summary(report))
    assert "<td>part of it</td><td>12 of 6,000 pairs</td>" in page(report)
    manifest = report.dataset.manifest
    assert part_of(manifest, {"pairs": 6000}) == part_of(manifest, {"pairs": None}) == part_of(manifest, {}) == ""
    assert part_of(load_manifest("london"), {"pairs": 9, "people": 100}) == "100 of 102 people"


def test_a_photo_without_a_face_counts_as_wrong_and_is_named(lfw: Path) -> None:
    face(lfw / "images" / "Jane_Roe_0" / "Jane_Roe_0_0001.jpg", None)
    (lfw / "images" / "Jane_Roe_4" / "Jane_Roe_4_0002.jpg").write_bytes(b"no photo")
    report = verified_set("lfw", lfw)
    keys = report_keys(report)
    assert (keys["failures_to_acquire"], keys["failure_reasons"]) == (2, {"NO_FACE": 1, "UNDECODABLE": 1})
    assert (keys["pairs"]["mated_failures"], keys["pairs"]["nonmated_failures"]) == (2, 2)
    assert (keys["accuracy"]["pooled"]["count"], keys["at_default_threshold"]["fnmr"]["count"]) == (8, 2)
    assert (
        "2 photos gave no template, so that 2 pairs of one person and 2 of different people could not be compared: "
        "those of one person count as missed, false match rates leave out the others" in in_words(words.summary(report))
    )


@pytest.fixture
def abc(tmp_path: Path) -> Callable[[str], VerificationReport]:
    """Verifies pairs of a and b, who are one person, and c."""
    for name, blue in (("a", 0), ("b", 0), ("c", 90)):
        face(tmp_path / f"{name}.png", blue)

    def verify(text: str) -> VerificationReport:
        write(tmp_path, "pairs.csv", text)
        return verified_set("pairs_csv", tmp_path)

    return verify


def test_pairs_without_folds_have_no_accuracy_and_say_why(abc: Callable[[str], VerificationReport]) -> None:
    report = abc("a,b,mated\na.png,b.png,1\na.png,c.png,0\n")
    keys = report_keys(report)
    assert (keys["accuracy"], keys["across_people"]) == (None, None)
    assert keys["undefined"]["accuracy"] == "The list of pairs has no folds."
    assert all(row[1] != "undefined" for row in words.rows(report))
    told = in_words(words.sections(report)[0].text)
    assert told.startswith("Some figures are undefined: accuracy (The list of pairs has no folds); ")
    assert keys["dataset"]["part"] == ""  # nobody has counted the pairs of one's own


def test_pairs_of_every_two_people_are_told_and_drawn_once(lfw: Path) -> None:
    compared, across = made_pairs()
    everybody = replace(
        compared,
        similarities=np.concatenate([compared.mated_similarities, across.similarities[::-1] + 1e-9]),
        mated=np.arange(60 + len(across.similarities)) < 60,
        folds=np.zeros(60 + len(across.similarities), dtype=np.int64),
        pairs=(*compared.pairs[:60], *[compared.pairs[60]] * len(across.similarities)),
    )
    report = verified_set("lfw", lfw)
    for pairs, once in ((everybody, True), (compared, False)):
        told = replace(report, figures=verification_figures(pairs, across, 0.3, seed=1, replicates=20))
        assert words.lists_everybody(told.figures) is once
        titles = [in_words(table.title) for table in words.sections(told)[1].tables]
        everyone = "By every two of 60 people"
        one, both = [f"{everyone}, which are the pairs of the list"], ["By the pairs of the list", everyone]
        assert titles == (one if once else both[1:])  # 60 pairs of the list support no rate
        lacking = [f"{one[0]}, rates of 0.0001 and less need more"] if once else [f"{both[0]}, rates of 0.01 and less"]
        assert all(f" {said}" in in_words(words.sections(told)[1].text) for said in lacking)
        assert len(figures(told)["roc"].axes[0].lines) == (1 if once else 2)
        assert (
            "one in 100 of these pairs of different people was accepted (on 17 errors: hardly known), and"
            in in_words(words.summary(told))
        )


def test_thresholds_are_shown_rounded_up() -> None:
    assert [threshold_text(value) for value in (0.22543, 0.226, np.float64(0.3), 0.2250001, -0.0004, -0.2251)] == [
        *("0.226", "0.226", "0.300", "0.226", "0.000", "-0.225")
    ]


def test_the_files_are_whole_and_need_nothing_beside_them(lfw: Path, tmp_path: Path) -> None:
    report = verified_set("lfw", lfw)
    out = tmp_path / "out"
    files = write_report(report, out)
    names = {"report.json", "report.html", "scores.csv", "calibration.json"}
    names |= {f"{name}.png" for name in ("histogram", "det", "roc", "quality")}
    assert {file.name for file in files} == {file.name for file in out.iterdir()} == names
    html = (out / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 4
    assert not re.search(r"""(src|href)=["'](?!#)|url\(http""", html)
    assert page(report) == html  # the same bytes, pictures included
    with (out / "scores.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    photos = [f"images/Jane_Roe_0/Jane_Roe_0_000{n}.jpg" for n in (1, 2)]
    names_of_columns = ["pair", "photo_a", "photo_b", "mated", "fold", "similarity", "failure"]
    first = ["1", *photos, "1", "1", repr(float(report.compared.similarities[0])), ""]
    assert (len(rows), rows[0]) == (12, dict(zip(names_of_columns, first, strict=True)))
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report_keys(report)


def test_a_report_that_cannot_be_written_is_told_before_the_photos(lfw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["verification", "--dataset", "lfw", "--root", str(lfw), "--out", str(tmp_path / "file" / "out")]
    result = CliRunner().invoke(evaluate, arguments)
    assert (result.exit_code, "cannot be written" in result.output) == (2, True)


@pytest.mark.parametrize("row", ["a.png,c.png,1,1", "a.png,b.png,0,1", "a.png,b.png,1,2"])
def test_the_hash_of_a_list_tells_rows_apart(abc: Callable[[str], VerificationReport], row: str) -> None:
    reports = [abc(f"a,b,mated,fold\n{one}\nb.png,c.png,0,2\n") for one in (row, "a.png,b.png,1,1")]
    assert len({report.dataset.list_sha256 for report in reports}) == 2


def embedding(*values: float) -> Embedding:
    vector = np.array(values, dtype=np.float32)
    return Embedding(vector / np.linalg.norm(vector), ModelId("null", "1", "0" * 64))


def test_everybody_is_compared_with_everybody_by_the_first_photo_that_has_an_embedding() -> None:
    a1, a2, a3, b1, c1 = (Path(name) for name in ("a1", "a2", "a3", "b1", "c1"))
    pairs = (
        VerificationPair(a1, a2, True, people=("a", "a")),
        VerificationPair(a3, b1, False, people=("a", "b")),
        VerificationPair(b1, c1, False, people=("b", "c")),
    )
    embeddings = {a1: None, a2: embedding(1, 0), a3: embedding(0, 1), b1: embedding(1, 0), c1: embedding(1, 1)}
    across = across_people(pairs, embeddings)
    assert across is not None
    assert across.people == 3
    assert across.similarities == pytest.approx([1.0, 0.5**0.5, 0.5**0.5])
    few = across_people(pairs, {**embeddings, c1: None}, most=2)
    assert few is not None
    assert (few.names, few.photos, few.absent, few.left_out, few.failures) == (("a", "b"), (a2, b1), 1, 0, 2)
    few = across_people(pairs, embeddings, most=2)
    assert few is not None
    assert (few.names, few.absent, few.left_out) == (("a", "b"), 0, 1)
    assert across_people((*pairs, VerificationPair(a1, a2, True)), embeddings) is None
    assert across_people(pairs[:1], embeddings) is None


def test_the_interval_by_people_resamples_the_people_of_the_pairs() -> None:
    chance = np.random.default_rng(1)

    def pair(one: int, other: int) -> VerificationPair:
        return VerificationPair(Path("a"), Path("b"), one == other, people=(f"{one}", f"{other}"))

    mated = tuple(pair(n % 40, n % 40) for n in range(200))
    nonmated = tuple(pair(n % 40, (n + 7) % 40) for n in range(200))
    failed = tuple(pair(n, n) for n in range(3))
    similarities = np.concatenate([chance.normal(0.5, 0.2, 200), chance.normal(0.0, 0.2, 200)])
    is_mated = np.arange(400) < 200
    compared = ComparedPairs(similarities, is_mated, np.zeros(400, dtype=np.int64), (*mated, *nonmated), failed)
    found = verification_figures(compared, None, 0.3, seed=5, replicates=200).at_fmr[0].by_subject
    numbers = [[int(pair.people[side]) for pair in (*mated, *failed, *nonmated) if pair.people] for side in (0, 1)]
    statistic = fnmr_at_fmr_statistic(similarities[:200], similarities[200:], 1e-2, 3)
    expected = subject_bootstrap(statistic, np.array(numbers[0]), np.array(numbers[1]), seed=5, replicates=200)
    assert found == expected


NAMES = ("evaluation.md", "packs.md", "gallery.md")
GUIDES = "".join((Path(__file__).parents[2] / "docs" / name).read_text("utf-8") for name in NAMES)
COMMANDS = re.findall(r"(?m)^(?: {4})?fr evaluate ((?:verification|identification) .*)$", GUIDES)


def test_each_command_of_the_guides_asks_for_its_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) >= 13
    for command in COMMANDS:
        result = CliRunner().invoke(evaluate, command.replace("/data/", "data/").replace("NAME", "sface").split())
        assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING"), command


def test_answers_keep_their_order_and_few_are_in_work() -> None:
    begun: list[int] = []

    def analyze(item: int) -> int:
        begun.append(item)
        return item

    answers = in_threads(analyze, range(1000), 2, ignore)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    threading.Event().wait(0.05)
    assert len(begun) <= 3 + AHEAD * 2


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
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(analyze, range(1000), 2, stop))
    count = len(finished)
    assert 2 <= count <= 1 + AHEAD
    threading.Event().wait(0.6)
    assert len(finished) == count


@pytest.mark.timeout(20)
def test_neither_a_huge_photo_is_read_nor_a_pipe_waited_for(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # more than any memory
    assert len(read_photo(huge, 9)) == 10
    assert len(read_at_most(huge, 0)) == 1
    photos = Photos(squares.engine().pipeline, 1, ignore)
    assert photos.embed([huge])[huge].refusal == "IMAGE_TOO_MANY_BYTES"
    assert photos.count([huge], ImageLimits(max_bytes=9))[0].refusal == "IMAGE_TOO_MANY_BYTES"
    assert thumbnail(huge, ImageLimits()) is None
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DatasetUnreadable, match="not a regular file"):
        read_photo(tmp_path / "pipe.jpg", 9)
    assert thumbnail(tmp_path / "pipe.jpg", ImageLimits()) is None


def crop(shade: int, side: int = 112) -> bytes:
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
    write_bin(tmp_path / "b.bin", [crop(1), crop(1)], [True])
    with pytest.raises(DatasetMissing, match=r"name one of them as the root: a\.bin, b\.bin"):
        read_pairs("insightface_bins", tmp_path)
    with pytest.raises(DatasetMissing, match=r"holds no \.bin file"):
        read_pairs("insightface_bins", tmp_path.parent)


POINTS = np.round(ARCFACE_TEMPLATE, 4)


@pytest.fixture
def ijb(tmp_path: Path) -> Path:
    """Template 10 of two media, 20 like a photo of it, 30 of another person, and 40 of a photo that is broken."""
    (tmp_path / "loose_crop").mkdir()
    rows = [  # template, medium, shade, score
        *((20, 5, 1, 0.9), (10, 1, 1, 0.9), (10, 2, 2, 0.3), (30, 7, 200, 0.9), (10, 1, 3, 0.6)),
        *((40, 9, None, 0.9), (20, 6, None, 0.9)),
    ]
    points = " ".join(f"{value:.4f}" for value in POINTS.reshape(-1))
    members, landmarks = [], []
    for number, (template, medium, shade, score) in enumerate(rows, 1):
        (tmp_path / "loose_crop" / f"{number}.jpg").write_bytes(b"no photo" if shade is None else crop(shade))
        members.append(f"{number}.jpg {template} {medium}\n")
        landmarks.append(f"{number}.jpg {points} {score}\n")
    texts = {
        "face_tid_mid": "".join(members),
        "name_5pts_score": "".join(landmarks),
        "template_pair_label": "10 20 1\n10 30 0\n20 40 1\n20 30 0\n",
    }
    return lay_out(tmp_path, {f"meta/ijbc_{name}.txt": text for name, text in texts.items()})


def vector(shade: int) -> npt.NDArray[np.float64]:
    pipeline = engine().pipeline
    made = pipeline.embed_aligned([align(pipeline.decode(crop(shade)).pixels, POINTS)])[0]
    return made.embedding.vector.astype(np.float64)


def test_templates_are_pooled_and_compared_and_those_without_a_photo_fail_their_pairs(ijb: Path) -> None:
    report = verified_set("ijbc", ijb)
    keys = report_keys(report)
    assert (keys["failure_reasons"], keys["dataset"]["photos"]) == ({"UNDECODABLE": 2}, 7)
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
