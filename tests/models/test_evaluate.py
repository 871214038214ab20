"""The bars of the default pack, clusters against names, crops and templates against photos, and `fr bench`."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from fr_bench import evaluate as bars
from fr_bench.bench_commands.options import SetName
from fr_bench.cli import evaluate
from fr_bench.evaluate import available_cpus, load_sets, run
from fr_bench.speed.server_process import started_server
from fr_bench.values import Measure, Report
from fr_core.align import align
from fr_core.engine import Engine, EngineOptions, photos_at_once
from fr_core.errors import DeviceUnavailable
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.scoring.calibration_json import from_json
from fr_core.types import EmbeddedFace, Embedding
from fr_datasets import lfw
from fr_datasets.values import TemplateSet, VerificationPair
from fr_evaluation.photos import Photos, most_central
from fr_evaluation.verification.compare import ComparedPairs, compare
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.run import read_pairs, run_verification
from fr_evaluation.verification.sources import PairsToCompare
from fr_evaluation.verification.templates import templates_to_compare
from support.commands import REPOSITORY, commands, page, shell
from support.counts import NIGHTLY, count
from support.postgres import Cluster

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache
    from support.engines import Memory

pytestmark = [pytest.mark.models, pytest.mark.slow]


SETS = tuple(SetName) if NIGHTLY else (SetName.DEEPFACE, SetName.NONFACE, SetName.GROUPS)
SETTINGS = [("f32", "thorough"), ("bf16", "fast")] if NIGHTLY else [("auto", "thorough")]
BARS = [(part, key) for part, key in bars.BARS if part.partition("/")[0] in SETS]


@pytest.fixture(scope="module", params=SETTINGS, ids=" ".join)
def report(testdata: Path, pack_cache: ModelCache, memory: Memory, request: pytest.FixtureRequest) -> Report:
    """With the server's defaults, and with the fast setting."""
    precision, detection = request.param
    options = EngineOptions(precision=precision, detection=detection)
    try:
        opened = memory.open(load_pack(bars.PACK), pack_cache, options)
    except DeviceUnavailable as error:
        pytest.skip(error.what)
    return run(opened, load_sets(testdata, SETS), available_cpus(), lambda name, done, total: None)


def measures(report: Report) -> dict[tuple[str, str], Measure]:
    outcomes = [outcome for part in report.sets for outcome in part.outcomes]
    return {(outcome.name, measure.key): measure for outcome in outcomes for measure in outcome.measures}


@pytest.mark.parametrize(("part", "key"), BARS, ids=[" ".join(bar) for bar in BARS])
def test_the_bar_is_reached(report: Report, part: str, key: str) -> None:
    measure = measures(report)[part, key]
    assert measure.bar == bars.BARS[part, key]
    notes = [
        note for held in report.sets for outcome in held.outcomes if outcome.name == part for note in outcome.notes
    ]
    assert measure.met, f"{measure.value} misses {measure.bar}; {notes}"


def test_the_whole_sets_were_measured(report: Report) -> None:
    totals = {name: measure.rate.total for name, measure in measures(report).items() if measure.rate is not None}
    assert totals["deepface", "best_threshold_accuracy"] == 300
    assert totals["nonface/easy", "photos_with_detections"] == 74
    assert totals["nonface/hard", "photos_with_detections"] == 26
    assert totals["groups", "photos_counted_right"] == 9
    if NIGHTLY:
        assert totals["odd_formats", "files_not_as_expected"] == 47
        assert totals["lfw", "best_threshold_accuracy"] == 1200
        assert totals["lfw", "fold_accuracy"] == 1200
        assert totals["celeba_wild", "best_threshold_accuracy"] == 600
        assert totals["lfw", "across_people_fmr"] == 1156 * 1155 // 2


@pytest.mark.nightly
def test_the_packs_threshold_keeps_the_false_match_rate_that_it_claims(report: Report) -> None:
    measured = measures(report)["lfw", "across_people_fmr"].rate
    assert measured is not None
    claimed = report.pack.thresholds.fmr
    if claimed is None:
        pytest.skip("the pack claims no false match rate at its threshold")
    assert measured.interval.low <= claimed


PEOPLE = ("001", "002", "003", "004")


@pytest.mark.nightly
def test_a_repeated_report_names_an_edited_figure(testdata: Path, pack_cache: ModelCache, tmp_path: Path) -> None:
    root, out = tmp_path / "people", tmp_path / "out"
    for name in PEOPLE:
        (root / name).mkdir(parents=True)
        for photo in sorted((testdata / "london" / name).iterdir())[:3]:
            shutil.copy(photo, root / name)
    run = CliRunner()
    told = ["identification", "--dataset", "people_folder", "--root", str(root), "--out", str(out), "--device", "cpu"]
    assert run.invoke(evaluate, told).exit_code == 0
    again = ["repeat", str(out), "--root", str(root), "--threads", "1"]
    result = run.invoke(evaluate, again)
    assert result.exit_code == 0, result.output
    assert "the same numbers: " in result.output
    path = out / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["galleries"][0]["at_default_threshold"]["fnir"]["count"] += 1
    path.write_text(json.dumps(report), encoding="utf-8")
    result = run.invoke(evaluate, [*again, "--json"])
    assert result.exit_code == 1
    told_now = json.loads(result.stdout)
    assert not told_now["same"]
    assert [one["path"] for one in told_now["different"]] == ["galleries/0/at_default_threshold/fnir/count"]


def evaluated(root: Path, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["verification", "--dataset", "lfw", "--root", str(root), "--out", str(out), "--json", *options]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    print(report["accuracy"]["mean"], report["fnmr_at_fmr"]["0.01"], report["across_people"])  # noqa: T201 - the figures
    assert report["failures_to_acquire"] == 0
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report
    return report


@pytest.mark.nightly
@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize(("option", "accuracy"), [("--no-flip", 0.9960), ("--flip", 0.9970)])
def test_lfw_in_one_command(testdata: Path, tmp_path: Path, option: str, accuracy: float) -> None:
    report = evaluated(testdata / "lfw", tmp_path, option)
    assert report["accuracy"]["mean"] >= accuracy
    assert report["fnmr_at_fmr"]["0.01"]["fnmr"]["high"] <= 0.01
    assert report["across_people"]["fnmr_at_fmr"]["0.001"]["fnmr"]["high"] <= 0.02
    require_calibrated(report, tmp_path)


@pytest.mark.usefixtures("remembering")
def test_a_part_of_lfw_in_one_command(testdata: Path, tmp_path: Path) -> None:
    each = 30 if NIGHTLY else 10  # pairs of one person, and of two, in each of two folds
    root = tmp_path / "lfw"
    root.mkdir()
    (root / "images").symlink_to(testdata / "lfw" / "images")
    _, *pairs = (testdata / "lfw" / "pairs.txt").read_text(encoding="utf-8").splitlines()
    some = [pair for first in range(0, len(pairs), 300) for pair in pairs[first : first + each]]
    (root / "pairs.txt").write_text("\n".join([f"2\t{each}", *some]) + "\n", encoding="utf-8")
    report = evaluated(root, tmp_path, "--no-flip")
    assert report["accuracy"]["mean"] >= 1 - 1 / (4 * each)  # one pair may be wrong
    assert report["across_people"]["fnmr_at_fmr"]["0.01"]["fnmr"]["high"] <= 3 / each
    assert [(one["fold"], one["people_disjoint"]) for one in report["held_out"]] == [(1, True), (2, True)]


def require_calibrated(report: dict[str, Any], folder: Path) -> None:
    """A calibration of one fold holds on the people of the other, and states no more than its comparisons support."""
    print(report["held_out"])  # noqa: T201 - the figures
    assert [one["fold"] for one in report["held_out"]] == [1, 2]
    for one in report["held_out"]:
        stated, observed, limits = one["stated"], one["observed"], one["log10_lr"]
        assert one["people_disjoint"]
        assert stated["by_people"]
        assert observed["by_people"]
        assert min(stated["total"], observed["total"]) > 80_000  # every two people of a fold
        assert stated["low"] <= observed["value"] <= stated["high"]
        assert one["agrees"]
        assert one["inside"]
        assert one["cllr"] <= 0.1
        assert one["expected_calibration_error"] <= 0.02
        assert -log10(301) <= limits["weakest"] < 0 < limits["strongest"] <= log10(stated["total"] + 1)
    calibration = from_json((folder / "calibration.json").read_text(encoding="utf-8"))
    assert calibration.provenance.model_id == report["settings"]["model"]
    assert calibration.provenance.list_sha256 == report["dataset"]["list_sha256"]
    part = "folds 1, 2; 1,200 of 6,000 pairs"
    assert (calibration.provenance.part, calibration.provenance.people) == (part, 844)
    assert calibration.rates.nonmated == 355_746
    for target in (0.1, 0.01, 1e-3, 1e-4, 1e-5):
        threshold = calibration.threshold_at_fmr(target)
        limits, by_people = calibration.fmr_interval_at(threshold)
        independent = calibration.fmr_at(threshold).interval
        assert by_people
        assert limits.low < independent.low
        assert independent.high < limits.high
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as rows:
        stated = [calibration.log10_lr(float(row["similarity"])).log10_lr for row in csv.DictReader(rows)]
    assert -log10(601) <= min(stated) <= max(stated) <= log10(355_747)


class Quality(NamedTuple):
    """Agreement of clusters with labels: of pairs, and B-cubed as the mean of templates (Bagga and Baldwin 1998)."""

    precision: float
    recall: float
    b_precision: float
    b_recall: float


def quality(labels: Sequence[str], clusters: Sequence[int]) -> Quality:
    (_, wrong), (missed, right) = import_module("sklearn.metrics.cluster").pair_confusion_matrix(labels, clusters)
    both, by_label, by_cluster = Counter(zip(labels, clusters, strict=True)), Counter(labels), Counter(clusters)
    b_precision = sum(count * count / by_cluster[cluster] for (_, cluster), count in both.items()) / len(labels)
    b_recall = sum(count * count / by_label[label] for (label, _), count in both.items()) / len(labels)
    return Quality(right / (right + wrong), right / (right + missed), b_precision, b_recall)


def embedded(engine: Engine, photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Embedding]]:
    """The largest face of each photo that shows one, with its label."""
    seen = Photos(engine.pipeline, photos_at_once(engine.device), lambda done, total: None).embed(
        path for _, path in photos
    )
    return [(label, face.embedding) for label, path in photos for face in seen[path].faces[:1]]


def clustered(faces: Sequence[tuple[str, Embedding]], folder: Path, index: str) -> Quality:
    threshold = load_pack("buffalo_s").thresholds.similarity
    model = faces[0][1].model
    with Galleries.open(folder, index=index) as galleries:
        galleries.create("g", "", model, len(faces[0][1].vector))
        labels = {}
        for n, (label, embedding) in enumerate(faces):
            labels[galleries.enrol("g", Enrolment(str(n), NewTemplate(embedding))).template_id] = label
        found = {
            member.template_id: cluster.number
            for step in galleries.clusters("g", threshold)
            for cluster in step.clusters
            for member in cluster.members
        }
    assert found.keys() == labels.keys()
    ids = sorted(labels)
    return quality([labels[one] for one in ids], [found[one] for one in ids])


@pytest.mark.nightly
def test_people_of_lfw(default_engine: Engine, testdata: Path, tmp_path: Path) -> None:
    """Every photo of the people of two folds; a few labels of LFW are known to be wrong, and stay as they are."""
    photos = [(path.parent.name, path) for path in sorted((testdata / "lfw" / "images").glob("*/*.jpg"))]
    faces = embedded(default_engine, photos)
    told = clustered(faces, tmp_path / "numpy", "numpy")
    print(f"lfw, {len(photos) - len(faces)} photos without a face: {told}")  # noqa: T201 - the figures
    assert len(faces) > 2600
    assert told.precision >= 0.99
    assert told.recall >= 0.99
    assert min(told.b_precision, told.b_recall) >= 0.98
    assert clustered(faces, tmp_path / "compact", "compact") == told


def test_people_in_the_wild(default_engine: Engine, testdata: Path, tmp_path: Path) -> None:
    """Uncropped photos of people with bystanders; the largest face is not always the one that is named."""
    people = sorted((testdata / "celeba_wild" / "images").iterdir())[: count("WILD_PEOPLE")]
    photos = [(person.name, path) for person in people for path in sorted(person.glob("*.jpg"))]
    faces = embedded(default_engine, photos)
    told = clustered(faces, tmp_path / "numpy", "numpy")
    print(f"celeba_wild, {len(photos) - len(faces)} photos without a face: {told}")  # noqa: T201 - the figures
    assert len(faces) > 0.935 * len(photos)
    assert told.precision >= 0.98
    assert told.recall >= 0.85
    assert clustered(faces, tmp_path / "compact", "compact") == told


PAIRS = 40


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def pairs(testdata: Path) -> list[VerificationPair]:
    listed = lfw.view2(testdata / "lfw").pairs
    return [pair for label in (True, False) for pair in [one for one in listed if one.mated is label][: PAIRS // 2]]


@pytest.fixture(scope="module")
def faces(default_engine: Engine, pairs: list[VerificationPair]) -> dict[Path, EmbeddedFace]:
    found = Photos(default_engine.pipeline, 8, ignore).embed(photo for pair in pairs for photo in (pair.a, pair.b))
    picked = {path: most_central(photo) for path, photo in found.items()}
    return {path: face for path, face in picked.items() if face is not None}


@pytest.fixture(scope="module")
def by_photos(pairs: list[VerificationPair], faces: dict[Path, EmbeddedFace]) -> ComparedPairs:
    compared = compare(pairs, {path: face.embedding for path, face in faces.items()})
    assert len(compared.pairs) == PAIRS
    return compared


def report_of(engine: Engine, given: PairsToCompare) -> VerificationReport:
    return run_verification(
        engine, given, flip=False, seed=1, workers=8, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC), on_progress=ignore
    )


def test_crops_of_our_own_aligner_give_the_similarities_of_their_photos(
    default_engine: Engine,
    pairs: list[VerificationPair],
    faces: dict[Path, EmbeddedFace],
    by_photos: ComparedPairs,
    tmp_path: Path,
) -> None:
    def crop(path: Path) -> bytes:
        pixels = decode(path.read_bytes(), ImageLimits()).pixels
        file = io.BytesIO()
        PIL.Image.fromarray(align(pixels, faces[path].face.detection.landmarks).pixels).save(file, format="PNG")
        return file.getvalue()

    crops = [crop(photo) for pair in pairs for photo in (pair.a, pair.b)]
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((crops, [pair.mated for pair in pairs]), protocol=4))
    report = report_of(default_engine, read_pairs("insightface_bins", path))
    assert report.compared.mated.tolist() == by_photos.mated.tolist()
    np.testing.assert_allclose(report.compared.similarities, by_photos.similarities, atol=1e-3)


def test_a_template_of_one_photo_gives_the_similarities_of_photos(
    default_engine: Engine, faces: dict[Path, EmbeddedFace], by_photos: ComparedPairs, testdata: Path
) -> None:
    paths, folder = tuple(faces), testdata / "lfw"
    numbers = np.arange(len(paths))
    templates = TemplateSet(
        "ijbc",
        "terms",
        folder,
        tuple(path.relative_to(folder).as_posix() for path in paths),
        templates=numbers,
        media=np.ones(len(paths), dtype=np.int64),
        landmarks=np.array([faces[path].face.detection.landmarks for path in paths]),
        scores=np.full(len(paths), 0.9, dtype=np.float32),
        pairs=np.array([[paths.index(pair.a), paths.index(pair.b)] for pair in by_photos.pairs]),
        mated=by_photos.mated,
    )
    report = report_of(default_engine, templates_to_compare("ijbc", folder, templates))
    np.testing.assert_allclose(report.compared.similarities, by_photos.similarities, atol=1e-3)


# Put behind the documented options, of which the last one counts.
SHORT = {
    "pipeline": "--number 3 --repeat 1 --allow-busy",
    "serve": "--number 4 --repeat 1 --seconds 1 --gallery-size 300 --allow-busy",
    "search": "--n 2000 --probes 20 --repeat 2 --peer flat --sweep 1000 --no-bar --allow-busy",
    "gallery": "--n 2500 --no-bar",
    "storage": "--n 300 --repeat 1 --no-bar",
    "evaluation": "--n 10000 --no-bar --testdata few",
    "training": "--trainees 5 --every 0.5 --seconds 2 --no-bar",
    "video": "--people 3 --seconds 12 --height 360 --strangers 5 --out out",
}


def run_short(commands: Sequence[str], folder: Path, testdata: Path) -> None:
    """Run commands, two at a time: that they work is tested, not how fast they are."""
    short = [f"FR_TESTDATA={testdata} {command} {SHORT[command.split()[2]]}" for command in commands]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(shell, folder=folder), short))


def few_people(folder: Path, testdata: Path) -> None:
    chosen = [person for person in lfw.people(testdata / "lfw").people if len(person.photos) > 1][:4]
    for person in chosen:
        shutil.copytree(person.photos[0].parent, folder / "few" / "lfw" / "images" / person.identity)
    listed = "".join(f"{person.identity}\t{len(person.photos)}\n" for person in chosen)
    (folder / "few" / "lfw" / "people.txt").write_text(f"1\n{len(chosen)}\n{listed}", encoding="utf-8")


def of(content: dict[str, Any], subject: str) -> list[float]:
    return [item["photos_per_s"] for item in content["rounds"] if item["subject"] == subject]


@pytest.fixture
def folder(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> Path:
    pytest.importorskip("insightface")
    (tmp_path / "photos").mkdir()
    for key in ("obama", "obama2", "biden", "person_a_1", "person_b_1"):
        shutil.copy(photos[key], tmp_path / "photos" / f"{key}.jpg")
    return tmp_path


@pytest.mark.nightly
def test_every_command_of_the_guide_runs(folder: Path, testdata: Path, postgres: Cluster) -> None:
    lines = commands(page("docs/benchmarks.md"))
    assert len(lines) >= 12
    few_people(folder, testdata)
    with started_server(("--pack", "buffalo_s")) as server:
        run_here = {"localhost:50061": server.address, "postgresql:///faces": postgres.database().url}
        for told, here in run_here.items():
            lines = [command.replace(told, here) for command in lines]
        run_short(lines, folder, testdata)


@pytest.mark.nightly
def test_the_commands_of_make_bench_gpu_run_without_a_gpu(folder: Path, testdata: Path) -> None:
    told = shell(f"make -C {REPOSITORY} -n bench-gpu DEVICE=cpu PACK=buffalo_s FR=fr", folder).replace("\\\n", "")
    commands = [one.replace("$index", "compact") for one in re.findall(r"\bfr bench [^;\n]*", told)]
    assert [command.split()[2] for command in commands] == ["pipeline", "search", "serve"]
    run_short(commands, folder, testdata)


@pytest.mark.nightly
def test_faces_of_photos_are_searched_among_random_ones(tmp_path: Path, pack_cache: ModelCache, testdata: Path) -> None:
    fr = Path(sys.executable).parent / "fr"
    options = "--n 5000 --probes 20 --repeat 2 --peer flat --photos lfw --device cpu --precision f32 --bar --json"
    done = subprocess.run(
        [fr, "bench", "search", *options.split(), "--allow-busy", "--testdata", testdata, "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "search-compact-5000-lfw.json").read_text())
    assert (content["pack"], content["device"]["active"], content["precision"]) == ("buffalo_s", "cpu", "f32")
    photos = content["photos"]
    assert photos["pairs"] + photos["without_face"] == content["settings"]["probes"] + photos["without_face"] == 20
    assert 0.4 < photos["cosine_median"] < 0.9
    assert content["mated_cosine"] is None
    # The people are found among as many strangers, and nothing of that comes from a probe that is enrolled itself.
    assert content["point"]["exact_rank1_mated"] > 0.9
    assert photos["cosine_min"] < 0.6
    assert (content["rank1"], content["score_error"]) == (1.0, 0.0)
    assert content["top20_recall"] >= 0.99
    # No name and no path of a person is in what is kept.
    told = (tmp_path / "search-compact-5000-lfw.json").read_text() + done.stderr
    assert ".jpg" not in told
