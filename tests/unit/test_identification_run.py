"""Identification without models: coloured squares are faces; and strangers that are drawn like people."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.errors import CallEnded
from fr_core.scoring.checks import F64
from fr_core.scoring.gallery_sizes import mated_at_sizes
from fr_core.scoring.identification import MatedSearches
from fr_core.scoring.intervals import rate
from fr_core.types import F32, Embedding, ModelId
from fr_datasets.errors import DatasetIncomplete, DatasetUnknown
from fr_datasets.values import Person
from fr_evaluation.files import report_keys, scores_csv
from fr_evaluation.identification import searches
from fr_evaluation.identification import words as identification_words
from fr_evaluation.identification.figures import (
    IdentificationReport,
    first_by_people,
    identification_figures,
    rates_by_people,
)
from fr_evaluation.identification.page import page
from fr_evaluation.identification.run import read_people
from fr_evaluation.identification.searches import BLOCK, OpenSet, Search, Strangers, open_set, search
from fr_evaluation.words import in_words
from fr_evaluation.write import write_report
from support.evaluations import cancelled_call, identified
from support.photos import face
from support.results import defined

PEOPLE = 6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six people with three photos each."""
    for number in range(PEOPLE):
        for photo in (1, 2, 3):
            face(tmp_path / "people" / f"p{number}" / f"{photo}.png", 40 * number)
    return tmp_path / "people"


def person(name: str, photos: int) -> Person:
    return Person(name, tuple(Path(f"{name}{number}") for number in range(photos)))


def test_half_of_the_people_are_enrolled_and_everything_else_is_searched_for() -> None:
    people = [person("a", 1), person("b", 3), person("c", 2), person("d", 1), person("e", 2)]
    chosen = open_set(people, seed=3)
    assert len(chosen.enrolled) == 3
    assert all(photo.name.endswith("0") for photo in chosen.enrolled)
    assert [(number, photo.name[0]) for number, photo in chosen.mated] == [
        (number, chosen.enrolled[number].name[0]) for number, _ in chosen.mated
    ]
    assert sorted(chosen.photos) == sorted(photo for one in people for photo in one.photos)
    strangers = {(number, photo.name[0]) for number, photo in chosen.nonmated}
    assert len(strangers) == len({name for _, name in strangers}) == len({number for number, _ in strangers}) == 2
    assert {name for _, name in strangers}.isdisjoint(photo.name[0] for photo in chosen.enrolled)
    assert open_set(people, seed=3) == chosen
    assert any(open_set(people, seed=seed) != chosen for seed in range(10))


def unit(*values: float) -> Embedding:
    vector = np.array(values, dtype=np.float32)
    return Embedding(vector / np.linalg.norm(vector), ModelId("null", "1", "0" * 64))


def drawn(photos: int, seed: int) -> tuple[list[Path], dict[Path, Embedding | None]]:
    """Photos, and a random embedding of each."""
    chance = np.random.default_rng(seed)
    found: dict[Path, Embedding | None] = {Path(f"{n}"): unit(*chance.standard_normal(8)) for n in range(photos)}
    return list(found), found


def test_ranks_similarities_and_failures_are_those_that_a_direct_search_finds() -> None:
    a, b, lost, a2, b2, lost2, none, stranger = (Path(name) for name in ("a", "b", "l", "a2", "b2", "l2", "n", "s"))
    given = OpenSet((a, lost, b), ((0, a2), (1, lost2), (2, b2), (2, none)), ((0, stranger), (1, none)))
    embeddings = {
        a: unit(1, 0, 0, 0),
        lost: None,
        b: unit(0, 1, 0, 0),
        a2: unit(1, 2, 0, 0),  # nearer to b
        b2: unit(0, 1, 1, 0),
        lost2: unit(0, 0, 1, 0),
        none: None,
        stranger: unit(3, 4, 0, 0),
    }
    found = search(given, embeddings, [], seed=1)
    (mated,), (nonmated,) = found.mated, found.nonmated
    assert (found.people, found.not_enrolled, mated.gallery_size) == (2, 1, 2)
    assert mated.ranks.tolist() == [2, 1]
    assert mated.similarities == pytest.approx([5**-0.5, 0.5**0.5])
    assert mated.failures == 2  # of somebody who could not be enrolled, and of a photo without a template
    assert nonmated.top_similarities == pytest.approx([0.8])
    assert nonmated.failures == 1
    assert [(one.photo, one.person, one.mate, one.rank, one.nearest) for one in found.made] == [
        (a2, 0, a, 2, b),
        (lost2, 1, lost, None, None),
        (b2, 2, b, 1, a),
        (none, 2, b, None, None),
        (stranger, 3, None, None, b),
        (none, 4, None, None, None),
    ]
    similarities = [5**-0.5, None, 0.5**0.5, None, None, None]
    assert [one.similarity for one in found.made] == pytest.approx(similarities)
    assert [one.other for one in found.made] == pytest.approx([2 * 5**-0.5, None, 0.0, None, 0.8, None])


def test_searches_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, embeddings = drawn(30, seed=2)
    mated = tuple((n % 4, photos[4 + n]) for n in range(13))
    given = OpenSet(tuple(photos[:4]), mated, tuple(enumerate(photos[17:])))
    whole = search(given, embeddings, [50], seed=1)
    monkeypatch.setattr(searches, "CELLS", 5 * BLOCK)  # five probes at a time, as strangers come in blocks
    probes: list[int] = []

    def counted(mates: F64, others: Iterable[F64], sizes: Sequence[int]) -> tuple[MatedSearches, ...]:
        probes.append(len(mates))
        return mated_at_sizes(mates, others, sizes)

    monkeypatch.setattr(searches, "mated_at_sizes", counted)
    parts = search(given, embeddings, [50], seed=1)
    assert probes == [5, 5, 3]
    for one, other in zip(whole.mated, parts.mated, strict=True):
        assert one.ranks.tolist() == other.ranks.tolist()
        assert one.similarities == pytest.approx(other.similarities, abs=1e-6)
        assert (one.gallery_size, one.failures) == (other.gallery_size, other.failures)
    for strangers, others in zip(whole.nonmated, parts.nonmated, strict=True):
        assert strangers.top_similarities == pytest.approx(others.top_similarities, abs=1e-6)
    assert [(one.rank, one.nearest) for one in whole.made] == [(one.rank, one.nearest) for one in parts.made]


def test_strangers_fill_the_larger_galleries_and_the_smaller_is_part_of_each() -> None:
    photos, embeddings = drawn(12, seed=1)
    given = OpenSet(tuple(photos[:4]), tuple((n, photos[4 + n]) for n in range(4)), tuple(enumerate(photos[8:])))
    found = search(given, embeddings, [2, 4, 100, 5_000], seed=1)
    assert [one.gallery_size for one in found.mated] == [4, 100, 5_000]
    assert found.mated[0].ranks.tolist() == search(given, embeddings, [], seed=2).mated[0].ranks.tolist()
    for smaller, larger in ((0, 1), (1, 2)):
        assert (found.mated[smaller].ranks <= found.mated[larger].ranks).all()
        assert (found.nonmated[smaller].top_similarities <= found.nonmated[larger].top_similarities).all()
    assert found.mated[2].ranks.max() > 4
    assert found.nonmated[2].top_similarities.max() < 1.0
    again = search(given, embeddings, [100, 5_000], seed=1)
    assert again.mated[2].ranks.tolist() == found.mated[2].ranks.tolist()


def test_everybody_is_found_and_the_report_says_so(root: Path) -> None:
    keys = report_keys(identified(root, [1_000]))
    assert keys["kind"] == "identification"
    assert keys["enrolled"] == {"people": 3, "failures_to_enrol": 0}
    assert keys["searches"] == {"mated": 6, "mated_failures": 0, "nonmated": 9, "nonmated_failures": 0}
    assert [gallery["gallery_size"] for gallery in keys["galleries"]] == [3, 1_000]
    assert keys["galleries"][0]["cmc"][0]["count"] == 6
    assert not keys["galleries"][0]["fnir_at_fpir"]["0.01"]["supported"]
    json.dumps(keys, allow_nan=False)
    told = in_words(identification_words.summary(identified(root, sizes=[2, 3, 1000])))
    assert "There is no gallery of 2, 3: 3 real people are enrolled already." in told
    assert "There is no gallery" not in in_words(identification_words.summary(identified(root, sizes=[1000])))


def test_who_could_not_be_enrolled_or_read_counts_as_missed(root: Path) -> None:
    for number in range(PEOPLE):
        face(root / f"p{number}" / "1.png", None if number in (0, 1, 3) else 40 * number)
    report = identified(root)
    keys = report_keys(report)
    missing = keys["enrolled"]["failures_to_enrol"]
    assert missing == 1
    assert keys["failures_to_acquire"] == 3
    assert keys["searches"]["mated_failures"] == 2 * missing
    hits = keys["galleries"][0]["cmc"][-1]
    assert (hits["count"], hits["total"]) == (6 - 2 * missing, 6)
    assert "could not be done" in in_words(identification_words.summary(report))
    rows = list(csv.DictReader(scores_csv(report).splitlines()))
    assert [row["search"] for row in rows] == [str(number) for number in range(1, 16)]
    failed = [(row["photo"][3:], row["enrolled"], row["failure"]) for row in rows if row["failure"]]
    lost = [(photo, "1", "NOT_ENROLLED") for photo in ("2.png", "3.png")]
    assert failed == [*lost, *[("1.png", "0", "NO_FACE")] * 2]
    of_mate = {"rank", "mate_similarity"}
    for row in rows:
        empty = {*of_mate, "other_similarity"} if row["failure"] else {"failure"}
        assert {name for name in row if not row[name]} == (empty | of_mate if row["enrolled"] == "0" else empty)


def of_people(mates: Sequence[float], tops: Sequence[float], photos: int) -> tuple[Search, ...]:
    """As many searches with one outcome for each person; the mate is the first candidate from 0.5 on."""
    photo = Path("photo")
    of = [Search(photo, n, photo, 1 if mate >= 0.5 else 2, mate, photo, 0.1) for n, mate in enumerate(mates)]
    of += [Search(photo, len(mates) + n, None, None, None, photo, top) for n, top in enumerate(tops)]
    return tuple(one for one in of for _ in range(photos))


def test_searches_for_one_person_are_resampled_together() -> None:
    mates, tops = [0.9] * 24 + [0.3] * 6, [0.2] * 27 + [0.6] * 3
    one, many = of_people(mates, tops, 1), of_people(mates, tops, 20)
    assert first_by_people(many, seed=1) == first_by_people(one, seed=1)
    hits = defined(first_by_people(many, seed=1))
    wilson = rate(24 * 20, 30 * 20).interval
    assert (hits.value, hits.subjects) == (0.8, 30)
    assert hits.high - hits.low > 2 * (wilson.high - wilson.low)
    rates = rates_by_people(many, 0.1, 0.5, 20, seed=1)
    fpir, fnir = defined(rates.fpir), defined(rates.fnir)
    assert (fpir.value, fpir.subjects) == (0.1, 30)
    assert fpir.high - fpir.low > 0.15  # at the threshold that was given, not at that of each resample
    assert (fnir.value, fnir.subjects) == (0.0, 60)
    assert fnir.high > 0.2  # in resamples whose threshold lies above 0.6
    assert rates_by_people(many, 0.1, 0.5, 1, seed=1).fnir != fnir  # rank 2 is a miss then
    assert first_by_people(of_people([0.9] * 3, [], 2), seed=1) is None


def test_figures_of_each_gallery_end_with_their_call(monkeypatch: pytest.MonkeyPatch) -> None:
    photos, embeddings = drawn(3, seed=1)
    found = search(OpenSet((photos[0],), ((0, photos[1]),), ((0, photos[2]),)), embeddings, [], seed=1)
    measured: list[object] = []
    monkeypatch.setattr("fr_evaluation.identification.figures.cmc", lambda *of: measured.append(of))
    with cancelled_call(), pytest.raises(CallEnded):
        identification_figures(found, 0.0, seed=1)
    assert measured == []


def test_intervals_by_people_are_those_of_the_real_gallery(root: Path) -> None:
    photos, embeddings = drawn(50, seed=1)
    mated = tuple((n // 2, photos[10 + n]) for n in range(20))
    given = OpenSet(tuple(photos[:10]), mated, tuple((n // 2, photos[30 + n]) for n in range(20)))
    real, larger = identification_figures(search(given, embeddings, [50], seed=1), 0.0, seed=1).sizes
    row = real.at_fpir[0]
    point, by_people, first_hits = defined(row.point), defined(row.by_people), defined(real.first_by_people)
    fnir, fpir = defined(by_people.fnir), defined(by_people.fpir)
    assert (fnir.value, fpir.value) == (point.fnir.value, point.fpir.value)
    assert first_hits.value == real.cmc[0].value
    assert larger.at_fpir[0].point is not None
    assert (larger.first_by_people, larger.at_fpir[0].by_people) == (None, None)

    report = identified(root, [100])
    report = replace(report, figures=replace(report.figures, sizes=(real, larger)))
    first, second = report_keys(report)["galleries"]
    assert first["first_by_people"]["low"] == first_hits.low
    told = first["fnir_at_fpir"]["0.1"]["by_people"]
    assert {name: told[name]["high"] for name in told} == {"fpir": fpir.high, "fnir": fnir.high}
    assert (second["first_by_people"], "by_people" in second["fnir_at_fpir"]["0.1"]) == (None, False)
    hits, thresholds = identification_words.sections(report)
    cells = [*hits.tables[0].rows[0], *thresholds.tables[0].rows[0]]
    assert [in_words(cell).count("; by people ") for cell in cells] == [0, 1, 0, 0, 0, 1, 1, 0]
    assert f"by people {fnir.low:.2%} to " in in_words(identification_words.summary(report))


def test_the_hardest_searches_are_shown_the_worst_first(root: Path) -> None:
    a, b, c = (root / "p0" / f"{number}.png" for number in (1, 2, 3))
    made = (
        Search(a, 0, b, 1, 0.9, c, 0.1),  # right
        Search(a, 0, b, 1, 0.25, c, 0.1),
        Search(a, 0, b, 2, 0.5, c, 0.65),
        Search(a, 0, b, None, None, None, None),
        Search(c, 1, None, None, None, a, 0.31),
        Search(c, 1, None, None, None, b, 0.8),
        Search(c, 1, None, None, None, b, 0.29),
    )
    report = identified(root)
    report = replace(report, searches=replace(report.searches, made=made))
    assert "No photos are shown" in page(report)
    html = page(report, thumbnails=True)
    cells = re.findall("<td>(p0/[^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>", html)
    assert cells == [
        ("p0/3.png and p0/2.png", "not enrolled: a false alarm", "0.800"),
        ("p0/1.png and p0/2.png", "enrolled: not the first, rank 2", "0.500"),
        ("p0/1.png and p0/2.png", "enrolled: below the threshold, rank 1", "0.250"),
        ("p0/3.png and p0/1.png", "not enrolled: a false alarm", "0.310"),
    ]
    assert html.count("<img") == 8
    assert "2 searches for enrolled people" in html


def test_the_files_are_whole_also_of_undefined_figures(root: Path, tmp_path: Path) -> None:
    def written(report: IdentificationReport) -> set[str]:
        files = write_report(report, tmp_path / "out")
        assert {file.name for file in files} == {file.name for file in (tmp_path / "out").iterdir()}
        return {file.name for file in files}

    texts = {"report.json", "report.html", "scores.csv"}
    assert written(identified(root, [100])) == {*texts, "cmc.png", "det.png", "sizes.png"}
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "never an identity" in html
    for photo in root.glob("*/[23].png"):  # now nobody has a second photo
        photo.unlink()
    report = identified(root)
    keys = report_keys(report)
    assert (keys["galleries"], list(keys["undefined"])) == ([], ["identification"])
    assert in_words(identification_words.summary(report)) == keys["undefined"]["identification"]
    assert written(report) == texts


def test_what_cannot_be_measured_is_one_sentence(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetUnknown, match="deepface names no people; those that do are"):
        read_people("deepface", root)
    face(tmp_path / "one" / "p" / "1.png", 0)
    with pytest.raises(DatasetIncomplete, match="at least two people"):
        read_people("people_folder", tmp_path / "one")
    arguments = ["identification", "--dataset", "people_folder", "--root", str(root)]
    assert CliRunner().invoke(evaluate, [*arguments, "--sizes", "9" * 5000]).exit_code == 2
    result = CliRunner().invoke(evaluate, [*arguments, "--sizes", "10,many"])
    assert (result.exit_code, "whole numbers" in result.output) == (2, True)
    result = CliRunner().invoke(evaluate, [*arguments[:-1], str(tmp_path / "nowhere")])
    assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING")


D = 16


def people(count: int, seed: int = 1) -> F32:
    """f32[count, D]: unit vectors around a mean, along some axes more than along others."""
    chance = np.random.default_rng(seed)
    drawn = chance.standard_normal((count, D)) * np.linspace(0.2, 2.0, D) + 0.3
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def between(a: F32, b: F32) -> F64:
    return (a @ b.T).astype(np.float64)


def all_of(strangers: Strangers, count: int) -> F32:
    return np.concatenate(list(strangers.blocks(count)))


def test_they_are_unit_vectors_the_same_each_time_and_others_for_another_seed() -> None:
    some = all_of(Strangers(people(200), 1), BLOCK + 10)
    assert some.shape == (BLOCK + 10, D)
    assert np.linalg.norm(some, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (all_of(Strangers(people(200), 1), BLOCK + 10) == some).all()
    fewer = all_of(Strangers(people(200), 1), 10)
    assert fewer == pytest.approx(some[:10], abs=1e-5)  # the smaller sum rounds otherwise
    assert not (all_of(Strangers(people(200), 2), 10) == some[:10]).all()


@pytest.mark.parametrize("count", [12, 60, 800])  # fewer than there are directions, and many more
def test_they_are_as_alike_to_people_as_people_are(count: int) -> None:
    real = people(count)
    strangers = Strangers(real, 1)
    off = ~np.eye(count, dtype=np.bool_)
    square = float((between(real, real)[off] ** 2).mean())
    assert float((between(real, all_of(strangers, 4000)) ** 2).mean()) == pytest.approx(square, rel=0.15)
    uniform = 1 / D
    assert abs(square - uniform) > 0.3 * uniform  # which uniform ones would not be
    assert 0.0 <= strangers.shrinkage <= 1.0
    # Few people have few directions, and are drawn towards a sphere.
    assert Strangers(people(8), 1).shrinkage > Strangers(people(40), 1).shrinkage > Strangers(people(800), 1).shrinkage
    assert Strangers(people(1), 1).shrinkage == 1.0


def test_the_likeness_is_the_share_that_reaches_the_threshold_of_a_share_of_real_ones() -> None:
    real = people(200)
    strangers = Strangers(real, 1)
    pairs = between(real, real)[np.triu_indices(200, 1)]
    shown = strangers.likeness()
    assert [(one.real, one.count) for one in shown] == [(1e-2, 199), (1e-3, 19), (1e-4, 1)]
    for one in shown:
        assert (pairs >= one.threshold).sum() == int(one.real * len(pairs))
        drawn = float((between(real, all_of(strangers, BLOCK)) >= one.threshold).mean())
        assert one.drawn == pytest.approx(drawn)
    assert [one.real for one in Strangers(people(20), 1).likeness()] == [1e-2]
    assert Strangers(people(1), 1).likeness() == ()
