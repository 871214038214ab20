"""`fr evaluate` without models, where coloured squares are faces and equal ones one person; and `fr bench search`."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from fr_bench.bench_cli import bench
from fr_bench.bench_commands.options import SetName
from fr_bench.cli import evaluate
from fr_bench.evaluate import Evaluation, count_groups, count_nonface, count_odd_formats, of_pairs, run
from fr_bench.report import interval_text, to_json, value_text
from fr_bench.speed import search_gallery, search_truth
from fr_bench.speed.report import BenchReport, page_of
from fr_bench.speed.search import SearchOrder, bench_search
from fr_bench.speed.search_child import build
from fr_bench.speed.search_gallery import MATED_COSINE, Gallery, drawn_pairs, plant
from fr_bench.speed.search_report import (
    Accuracy,
    SearchDetail,
    SearchPoint,
    SearchRound,
    SearchSettings,
    SubjectFigures,
    SubjectMemory,
    held_figures,
)
from fr_bench.speed.search_subjects import PEERS
from fr_bench.speed.search_truth import Answers, Truth, exact_search, judge
from fr_bench.values import Measure
from fr_core.gallery.index.register import new_index
from fr_core.scoring.intervals import rate
from fr_core.types import F32, I64
from fr_datasets.values import CountedPhoto, CountedSet, PairSet, PeopleSet, Person, VerificationPair
from fr_evaluation.photos import Photos, largest, most_central
from support.evaluations import ignore
from support.photos import engine


def photo(path: Path, *squares: tuple[int, int, int, int]) -> Path:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    for left, top, side, blue in squares:
        pixels[top : top + side, left : left + side] = (255, 0, blue)
    PIL.Image.fromarray(pixels).save(path)
    return path


def person(folder: Path, name: str, blue: int | None) -> Path:
    return photo(folder / f"{name}.png", *([] if blue is None else [(100, 50, 100, blue)]))


def photos_of(workers: int = 2) -> Photos:
    return Photos(engine().pipeline, workers, ignore)


def measures(evaluation: Evaluation, threshold: float = 0.5) -> dict[str, Measure]:
    return {m.key: m for outcome in evaluation.run(photos_of(), threshold) for m in outcome.measures}


def counts(measure: Measure) -> tuple[int, int]:
    assert measure.rate is not None
    return measure.rate.count, measure.rate.total


@pytest.fixture
def people(tmp_path: Path) -> dict[str, Path]:
    """Two photos of each of two people, and one without a face."""
    shown = {"a1": 10, "a2": 10, "b1": 200, "b2": 200, "empty": None}
    return {name: person(tmp_path, name, blue) for name, blue in shown.items()}


def pair_set(people: dict[str, Path], *pairs: tuple[str, str, bool, int | None]) -> PairSet:
    return PairSet("lfw", "terms", tuple(VerificationPair(people[a], people[b], m, fold) for a, b, m, fold in pairs))


def test_each_photo_is_opened_once(people: dict[str, Path]) -> None:
    photos = photos_of()
    first = photos.embed([people["a1"], people["b1"], people["a1"]])
    people["a1"].unlink()
    again = photos.embed([people["a1"]])
    assert list(first) == [people["a1"], people["b1"]]
    assert again[people["a1"]] is first[people["a1"]]
    assert first[people["a1"]].size == (300, 200)


def test_the_central_face_is_not_always_the_largest(tmp_path: Path) -> None:
    path = photo(tmp_path / "two.png", (0, 0, 80, 10), (120, 70, 60, 200))
    found = photos_of().embed([path])[path]
    central, biggest = most_central(found), largest(found)
    assert central is not None
    assert biggest is not None
    assert (central.face.detection.area, biggest.face.detection.area) == (3600, 6400)


def test_pairs_give_accuracy_and_error_rates(people: dict[str, Path]) -> None:
    pairs = (("a1", "a2", True, 1), ("a1", "b1", False, 1), ("b1", "b2", True, 2), ("a2", "b2", False, 2))
    evaluation = of_pairs(pair_set(people, *pairs), most_central)
    found, lax = measures(evaluation), measures(evaluation, threshold=-1.0)
    for name in ("best_threshold_accuracy", "fold_accuracy", "default_accuracy"):
        assert counts(found[name]) == (4, 4)
    assert [counts(found[name]) for name in ("photos_without_face", "default_fmr", "default_fnmr")] == [
        (0, 4),
        (0, 2),
        (0, 2),
    ]
    assert [counts(lax[name]) for name in ("default_fmr", "default_accuracy")] == [(2, 2), (2, 4)]


def test_pairs_that_cannot_be_compared_are_wrong(people: dict[str, Path]) -> None:
    pairs = [("a1", "a2", True), ("a1", "b1", False), ("a1", "empty", True), ("b1", "empty", False)]
    found = measures(of_pairs(pair_set(people, *((*pair, None) for pair in pairs)), most_central))
    assert found["best_threshold_accuracy"].value == 0.5
    assert "fold_accuracy" not in found
    assert (found["photos_without_face"].value, counts(found["photos_without_face"])) == (1, (1, 4))
    assert [counts(found[f"default_{name}"]) for name in ("accuracy", "fmr", "fnmr")] == [(2, 4), (0, 1), (1, 2)]
    people["b2"].write_bytes(b"")
    refused = pair_set(people, ("a1", "a2", True, None), ("a1", "b1", False, None), ("b1", "b2", True, None))
    (outcome,) = of_pairs(refused, most_central).run(photos_of(), 0.5)
    assert (outcome.notes, counts(outcome.measures[0])) == (("b2.png: UNDECODABLE.",), (2, 3))


def test_all_people_are_compared_with_each_other(tmp_path: Path, people: dict[str, Path]) -> None:
    # 50 people, of whom the first two look alike, and one without a face: 50 * 49 / 2 comparisons.
    blues = [0, 0, *range(1, 49)]
    crowd = [Person(str(n), (person(tmp_path, f"p{n}", blue),)) for n, blue in enumerate(blues)]
    crowd.append(Person("nobody", (people["empty"],)))
    pairs = pair_set(people, ("a1", "a2", True, None), ("a1", "b1", False, None))
    found = measures(of_pairs(pairs, most_central, PeopleSet("crowd", "terms", tuple(crowd))), threshold=0.9)
    assert counts(found["across_people_fmr"]) == (1, 1225)
    # 1,225 comparisons can show a rate of 1e-3 with the one that is alike, and none below.
    assert 0.1 < found["across_people_threshold_at_fmr_1e-3"].value < 0.9
    assert "across_people_threshold_at_fmr_1e-4" not in found


def test_counts_of_faces_refusals_and_odd_files(tmp_path: Path) -> None:
    none, face, broken = photo(tmp_path / "0.png"), photo(tmp_path / "1.png", (0, 0, 50, 0)), tmp_path / "text.jpg"
    two, bitmap = photo(tmp_path / "two.png", (0, 0, 50, 0), (200, 0, 50, 0)), tmp_path / "face.bmp"
    broken.write_text("text")
    PIL.Image.open(face).save(bitmap)

    def counted(*photos: tuple[Path, tuple[int, ...]]) -> CountedSet:
        return CountedSet("a set", "terms", tuple(CountedPhoto(*one) for one in photos))

    (outcome,) = count_nonface([counted((none, (0,)), (face, (0,)), (broken, (0,)))], photos_of())
    told = [(m.key, m.value, counts(m)) for m in outcome.measures]
    assert told == [("photos_with_detections", 1, (1, 3)), ("photos_refused", 1, (1, 3))]
    assert outcome.notes == ("1.png: expected 0, got 1.", "text.jpg: expected 0, got UNDECODABLE.")
    (outcome,) = count_groups(counted((two, (2,)), (two, (1,)), (two, (3,))), photos_of())
    assert (outcome.measures[0].value, counts(outcome.measures[0])) == (1, (1, 3))
    assert outcome.notes == ("two.png: expected 1, got 2.", "two.png: expected 3, got 2.")
    right, wrong = ((face, (0, 1)), (bitmap, (1,)), (broken, ())), ((broken, (0, 1)), (face, ()), (face, (2,)))
    (outcome,) = count_odd_formats(counted(*right, *wrong), photos_of())
    assert [(m.key, m.value) for m in outcome.measures] == [("files_not_as_expected", 3), ("refused_by_default", 3)]
    assert outcome.notes[1:] == (
        "Refused by the default limits: 2 UNDECODABLE, 1 UNSUPPORTED_FORMAT.",
        "text.jpg: expected 0 or 1, got UNDECODABLE.",
        "1.png: expected a refusal, got 1.",
        "1.png: expected 2, got 1.",
    )


def test_a_missed_bar_is_in_the_report_and_another_pack_has_none(people: dict[str, Path]) -> None:
    # Four right pairs and one that cannot be compared: both bars of LFW are missed.
    right = (("a1", "a2", True, 1), ("a1", "b1", False, 1), ("b1", "b2", True, 2), ("a2", "b2", False, 2))
    pairs = pair_set(people, *right, ("b1", "empty", False, 2))
    report, other = (
        run(engine(pack), {SetName.LFW: of_pairs(pairs, most_central)}, 2, lambda name, done, total: None)
        for pack in ("buffalo_s", "sface")
    )
    missed = [("lfw", "best_threshold_accuracy"), ("lfw", "photos_without_face")]
    assert [(name, m.key) for name, m in report.missed] == missed
    assert (report.sets[0].photos, report.sets[0].terms) == (5, "terms")
    content = json.loads(json.dumps(to_json(report)))
    assert content["ok"] is False
    best = content["sets"][0]["parts"][0]["measures"][0]
    told = ["best_threshold_accuracy", 0.8, 4, 5, ">= 0.998", False]
    assert [best[key] for key in ("key", "value", "count", "total", "bar", "met")] == told
    assert 0.0 < best["threshold"] < 1.0
    assert other.missed == ()
    assert to_json(other)["verdict"] == "No bars are set for the pack sface."


def test_a_rare_rate_is_not_shown_as_none_at_all() -> None:
    rare = Measure("k", "l", 28 / 667590, rate(28, 667590))
    assert value_text(rare) == "4.19e-05 (28 of 667590)"
    assert interval_text(rare) == "2.90e-05 .. 6.06e-05"
    none = Measure("k", "l", 0.0, rate(0, 600))
    assert (value_text(none), interval_text(none)) == ("0.0000 (0 of 600)", "0.0000 .. 0.0064")
    assert value_text(Measure("k", "l", 0.33142)) == "0.3314"


def test_the_command_refuses_what_does_not_exist(tmp_path: Path) -> None:
    for options, told in (
        (["--testdata", str(tmp_path / "nowhere")], "nowhere"),
        (["--only", "nothing"], "celeba_wild"),
    ):
        result = CliRunner().invoke(evaluate, options)
        assert (result.exit_code, told in result.output) == (2, True)


SETTINGS = SearchSettings("numpy", ("flat",), 300, 128, 5, 12, 3, 5, 1, 1, ())


def random_gallery(size: int, dimension: int = 16) -> tuple[Gallery, F32]:
    probes, mates = drawn_pairs(20, dimension, seed=7)
    return plant(mates, size, seed=7), probes


def vectors_of(gallery: Gallery) -> F32:
    return np.concatenate([vectors for _, vectors in gallery.loads()])


def test_a_gallery_is_the_same_wherever_it_is_drawn_with_mates_at_random_places() -> None:
    gallery, _ = random_gallery(search_gallery.LOAD_ROWS + 5000, 8)
    assert [(first, len(vectors)) for first, vectors in gallery.loads()] == [
        (0, search_gallery.LOAD_ROWS),
        (search_gallery.LOAD_ROWS, 5000),
    ]
    everything = vectors_of(gallery)
    assert np.abs(np.linalg.norm(everything, axis=1) - 1).max() < 1e-6
    assert np.array_equal(everything, vectors_of(gallery))
    ids: I64 = np.array([0, 4095, 4096, 65535, 65536, 70535], dtype=np.int64)
    assert np.array_equal(gallery.vectors_of(ids), everything[ids])
    assert len(np.unique(everything[:, 0])) > 70_000  # no stream of random numbers is drawn from twice
    assert not np.array_equal(vectors_of(replace(gallery, seed=8)), everything)
    gallery, probes = random_gallery(3000)
    mates = vectors_of(gallery)[gallery.planted_ids]
    assert np.array_equal(mates, gallery.planted)
    cosines = np.vecdot(mates.astype(np.float64), probes.astype(np.float64))
    assert np.abs(cosines - MATED_COSINE).max() < 1e-6
    assert (np.diff(gallery.planted_ids) > 0).all()
    assert gallery.planted_ids[0] < 1000 < 2000 < gallery.planted_ids[-1]


def test_the_exact_search_agrees_with_the_reference_index() -> None:
    gallery, probes = random_gallery(2 * search_truth._ROWS + 100)
    # A probe's mate twice: the smaller id comes first.
    gallery = plant(np.concatenate([gallery.planted, gallery.planted[:5]]), gallery.size, seed=3)
    reference = new_index("numpy", gallery.dimension)
    reference.add(np.arange(gallery.size, dtype=np.int64), vectors_of(gallery))
    expected = reference.search(probes, 7)
    truth = exact_search(gallery, probes, 7)
    assert np.array_equal(truth.ids, expected.ids)
    assert np.abs(truth.similarities - expected.similarities).max() < 1e-14
    assert truth.seconds > 0


def answers_of(truth: Truth) -> Answers:
    places: I64 = np.arange(len(truth.ids), dtype=np.int64)
    return Answers(places, truth.ids.copy(), truth.similarities.copy())


def test_a_right_answer_is_found_right_and_a_wrong_one_wrong() -> None:
    gallery, probes = random_gallery(3000)
    truth = exact_search(gallery, probes, 4)
    further = exact_search(gallery, probes, 5)
    right = answers_of(truth)
    swapped, missing, twice, wrong, nothing, late = (answers_of(truth) for _ in range(6))
    swapped.ids[3, :2] = swapped.ids[3, 1::-1]
    swapped.scores[3, :2] = swapped.scores[3, 1::-1]
    missing.ids[0, 3], missing.scores[0, 3] = further.ids[0, 4], further.similarities[0, 4]
    twice.ids[0, 1], twice.scores[0, 1] = twice.ids[0, 0], twice.scores[0, 0]
    wrong.scores[19, 2] += 0.25
    nothing.ids[1], nothing.scores[1] = -1, 7.0
    late.ids[2, 1:], late.scores[2, 1:] = truth.ids[2, :3], truth.similarities[2, :3]
    late.ids[2, 0] = -1
    answered = {"right": [right, right], "swapped": [swapped], "missing": [missing], "twice": [twice]}
    found = judge(gallery, probes, truth, {**answered, "wrong": [right, wrong], "nothing": [nothing], "late": [late]})
    assert {name: (one.rank1, one.recall) for name, one in found.items()} == {
        "right": (1.0, 1.0),
        "swapped": (0.95, 1.0),
        "missing": (1.0, 79 / 80),
        "twice": (1.0, 79 / 80),
        "wrong": (1.0, 1.0),
        "nothing": (0.95, 76 / 80),
        "late": (0.95, 79 / 80),
    }
    assert found["right"].answers == 40
    assert max(found["right"].score_error, found["nothing"].score_error) < 1e-14
    assert found["wrong"].score_error == pytest.approx(0.25)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_finds_the_nearest_of_a_few(name: str) -> None:
    if importlib.util.find_spec(PEERS[name].module) is None:
        pytest.skip(f"{name} is not installed")
    gallery, probes = random_gallery(200)
    searcher = PEERS[name].open(gallery.dimension, gallery.size, 5, 1)
    built = build(searcher, gallery)
    assert "1 threads" in built.settings
    truth = exact_search(gallery, probes, 5)
    for asked in (probes, probes[:1]):  # usearch answers one probe in another form
        ids, scores = searcher.search(asked, 5)
        assert np.array_equal(ids, truth.ids[: len(asked)])
        assert np.abs(scores - truth.similarities[: len(asked)]).max() < 1e-5


def figures(subject: str, p50_ms: float, *, linear: bool = True) -> SubjectFigures:
    memory = SubjectMemory(128_000_000, 2_048_000_000, 24_000_000, None)
    accuracy = Accuracy(10, 1.0, 0.995, 0.0)
    return SubjectFigures(
        subject, linear, "none", 1.0, memory, 128.0, 2200.0, "own account", p50_ms, 9.0, 100.0, 200.0, 2.0, accuracy
    )


def point(size: int, *several: SubjectFigures) -> SearchPoint:
    rounds = [
        SearchRound(item.subject, 5, item.p50_ms * part, 9.0, 1.0, 2.0) for item in several for part in (0.5, 1, 3)
    ]
    return SearchPoint(size, 1.0, 1.0, several, tuple(rounds))


def search_detail(index: str, size: int, k: int, peers: tuple[str, ...], *several: SubjectFigures) -> SearchDetail:
    settings = replace(SETTINGS, index=index, size=size, dimension=512, k=k, peers=peers)
    return SearchDetail(settings, None, 0.4, point(size, *several), (), ())


def test_bars_of_speed_are_held_where_they_were_set() -> None:
    ours, peer = figures("compact", 10.0), figures("peer flat", 150.0)

    def held(detail: SearchDetail) -> dict[str, bool]:
        return {item.name: item.met for item in held_figures(detail, decides=True)}

    right = {"rank1": True, "top20_recall": True, "score_error": True}
    speed = {"p50_ms": True, "ratio": True, "shared_ratio": True, "bytes_per_template": True}
    assert held(search_detail("compact", 1_000_000, 20, ("flat",), ours, peer)) == {**right, **speed}
    assert held(search_detail("compact", 100_000, 20, ("flat",), ours, peer)) == right
    assert held(search_detail("compact", 100_000, 10, (), ours)) == {"rank1": True, "score_error": True}
    assert "ratio" not in held(search_detail("compact", 1_000_000, 20, ("usearch",), ours, peer))
    slow = replace(ours, p50_ms=10.1, shared_ratio=1.7, scan_bytes_per_template=141.0)
    slow = replace(slow, accuracy=Accuracy(10, 0.9999, 0.9899, 1.1e-5))
    assert not any(held(search_detail("compact", 1_000_000, 20, ("flat",), slow, peer)).values())
    on_gpu = held(search_detail("gpu", 10_000_000, 20, (), replace(ours, p50_ms=3.8, together_per_s=19_999.0)))
    assert on_gpu == {**right, "p50_ms": True, "together_per_s": False}


@pytest.fixture(scope="module")
def searched() -> tuple[BenchReport, list[str]]:
    steps: list[str] = []
    return bench_search(SearchOrder(replace(SETTINGS, sweep=(100, 300)), allow_busy=True), steps.append), steps


@pytest.mark.nightly
def test_figures_of_searches_and_turns_of_subjects(searched: tuple[BenchReport, list[str]]) -> None:
    content = json.loads(page_of(searched[0]).json)
    first = ["p50_ms", "p95_ms", "peer_p50_ms", "ratio", "rank1", "top20_recall", "bytes_per_template", "build_s"]
    assert list(content)[:8] == first
    assert content["ratio"] == pytest.approx(content["peer_p50_ms"] / content["p50_ms"])
    assert (content["rank1"], content["top20_recall"], content["score_error"]) == (1.0, None, 0.0)
    ours, peer = content["point"]["figures"]
    assert (ours["subject"], peer["subject"]) == ("numpy", "peer flat")
    assert ours["accuracy"] == {"answers": 12 + 15, "rank1": 1.0, "recall": 1.0, "score_error": 0.0}
    assert (peer["accuracy"]["rank1"], peer["accuracy"]["recall"]) == (1.0, 1.0)
    assert 0 < peer["accuracy"]["score_error"] < 1e-5
    assert ours["p50_ms"] == sorted(item["p50_ms"] for item in content["point"]["rounds"][::2])[1]
    assert ours["scan_bytes_per_template"] == 4 * 128
    assert ours["memory_source"] == "own account"
    assert peer["memory_source"] == "resident memory"
    report, steps = searched
    assert isinstance(report.detail, SearchDetail)
    assert [one.size for one in report.detail.sweep] == [100, 300]
    turns = [(item.subject, item.probes) for item in report.detail.point.rounds]
    assert turns == [("numpy", 4), ("peer flat", 4)] * 3
    assert report.detail.point.exact_rank1_mated == 1.0
    assert len(steps) == 2 * (1 + 2 + 6)


@pytest.mark.parametrize(
    "options",
    [
        ["--n", "10", "--probes", "11"],
        ["--n", "10", "--probes", "5", "--k", "11"],
        ["--n", "10", "--probes", "5", "--sweep", "4"],
        ["--probes", "2", "--repeat", "3"],
        ["--photos", "lfw", "--dimension", "128"],
        ["--n", "300", "--probes", "20", "--sweep", "1e3"],
        ["--n", "300", "--probes", "20", "--index", "numpy", "--peer", "annoy"],
        ["--photos", "lfw", "--testdata", "/nowhere", "--index", "numpy"],
    ],
)
def test_what_cannot_be_measured_ends_with_status_2(options: Sequence[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(bench, ["search", *options, "--out", str(tmp_path)])
    assert done.exit_code == 2, done.output
    assert list(tmp_path.iterdir()) == []
