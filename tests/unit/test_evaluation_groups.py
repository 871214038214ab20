"""Error rates by group of people, and by quality."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.scoring.intervals import UndefinedRate
from fr_datasets import people_folder
from fr_datasets.errors import DatasetError, DatasetMalformed
from fr_datasets.labels import with_labels
from fr_datasets.people_pairs import pairs_of_people
from fr_datasets.values import PairSet, PeopleSet, Person, VerificationPair
from fr_evaluation.cli_parts import print_words
from fr_evaluation.verification import section_words
from fr_evaluation.verification.as_json import report_keys
from fr_evaluation.verification.groups import age_band, group_figures
from fr_evaluation.verification.page import page
from fr_evaluation.verification.quality import quality_figures
from fr_evaluation.verification.run import read_pairs
from fr_evaluation.words import Section, Table, in_words
from support.evaluations import verified
from support.people import made_pairs
from support.photos import face

COMPARED, ACROSS = made_pairs(people=100, folds=1)
SEX = {f"P{number}": {"sex": "f" if number < 40 else "m", "age": str(number)} for number in range(95)}


def test_rates_are_of_the_mated_pairs_of_the_group_and_of_two_people_of_it() -> None:
    sex = group_figures(COMPARED, ACROSS, SEX, 0.3, seed=1, draws=50)[0]
    assert (sex.kind, dict(sex.people), sex.unlabelled, sex.banded) == ("sex", {"f": 40, "m": 55}, 5, False)
    at = sex.at[0]
    missed = (COMPARED.mated_similarities < 0.3)[:40]
    assert (at.fnmr.groups[0].trials, at.fnmr.groups[1].trials) == (40, 55)
    assert at.fnmr.groups[0].rate is not None
    assert at.fnmr.groups[0].rate.count == missed.sum()
    first, second = ACROSS.places()
    women = ACROSS.similarities[(first < 40) & (second < 40)]
    assert at.fmr.groups[0].rate is not None
    assert (at.fmr.groups[0].rate.count, at.fmr.groups[0].rate.total) == ((women >= 0.3).sum(), 40 * 39 // 2)
    assert at.fmr.spread is not None
    assert at.fmr.ratios().keys() == {"f", "m"}
    overall = sex.at[1]
    assert (ACROSS.similarities >= overall.threshold).mean() == pytest.approx(0.01, abs=1e-3)
    assert overall.fmr.gini_by_chance is not None
    assert at.fmr.by_people.keys() == {"f", "m"}
    assert at.fmr.beyond_chance() is False  # drawn alike


def test_a_rate_is_of_the_people_behind_it_not_of_those_of_the_list() -> None:
    some = COMPARED.only(lambda pair: not pair.mated or int((pair.people or ("P0",))[0][1:]) >= 11)
    at = group_figures(some, ACROSS, SEX, 0.3, seed=1, draws=50)[0].at[0]
    assert [(one.group, one.people, one.rate is None) for one in at.fnmr.groups] == [("f", 29, True), ("m", 55, False)]
    assert "30 people" in at.fnmr.groups[0].note
    assert at.fmr.groups[0].people == 40
    assert at.fmr.groups[0].rate is not None


def test_a_difference_is_named_only_where_it_exceeds_chance() -> None:
    worse = np.where(np.arange(200) < 25, 0.0, COMPARED.similarities)  # 25 of 40 women are missed
    sex = group_figures(replace(COMPARED, similarities=worse), ACROSS, SEX, 0.4, seed=1, draws=200)[0]
    missed, accepted = sex.at[0].fnmr, sex.at[0].fmr
    assert (missed.beyond_chance(), missed.extremes()) == (True, ("m", "f"))
    assert accepted.beyond_chance() is False
    assert missed.max_to_min is not None
    assert missed.max_to_min.low > 1
    said = in_words(section_words.about_kind(sex))
    assert "more than chance alone sets apart: at 0.400, f is missed more often than m" in said
    assert "accepted" not in said
    none = np.where(np.arange(200) < 40, 0.0, 0.9)  # all women are missed, and no man
    sex = group_figures(replace(COMPARED, similarities=none), ACROSS, SEX, 0.3, seed=1, draws=200)[0]
    assert sex.at[0].fnmr.max_to_min is None
    assert sex.at[0].fnmr.beyond_chance() is True


def test_a_mated_pair_that_could_not_be_compared_is_a_miss_of_its_group() -> None:
    failed = tuple(VerificationPair(Path("a"), Path("b"), True, people=(name, name)) for name in ("P0", "P99"))
    sex = group_figures(replace(COMPARED, failed=failed), ACROSS, SEX, -1.0, seed=1, draws=50)[0]
    women, men = (group.rate for group in sex.at[0].fnmr.groups)
    assert women is not None
    assert men is not None
    assert (women.count, women.total, men.count, men.total) == (1, 41, 0, 55)


def test_ages_are_put_into_bands_and_small_groups_have_no_rate() -> None:
    age = group_figures(COMPARED, ACROSS, SEX, 0.3, seed=1, draws=50)[1]
    assert age.banded
    assert dict(age.people) == {"under 18": 18, "18-29": 12, "30-44": 15, "45-59": 15, "60 and over": 35}
    rates = {group.group: group.rate for group in age.at[0].fnmr.groups}
    assert [name for name, rate in rates.items() if rate is not None] == ["60 and over"]
    rates = {group.group: group.rate for group in age.at[0].fmr.groups}  # 18 people make 153 comparisons
    assert [name for name, rate in rates.items() if rate is not None] == ["60 and over"]
    assert "30 people" in age.at[0].fmr.groups[0].note
    assert age.at[0].fnmr.notes == ("A differential needs at least two groups with a rate.",)
    assert [age_band(text) for text in ("17.9", "18", "29", "30", "59", "60")] == [
        *("under 18", "18-29", "18-29", "30-44", "45-59", "60 and over")
    ]
    for text in ("old", "nan", "1e999", "-1", "150"):
        with pytest.raises(ValueError, match=r"age|float"):
            age_band(text)
    words = {name: {"age": "-1" if name == "P0" else said["age"]} for name, said in SEX.items()}
    assert not group_figures(COMPARED, ACROSS, words, 0.3, seed=1, draws=50)[0].banded


def test_without_labels_or_names_there_are_no_groups() -> None:
    for across, labels in ((ACROSS, {}), (None, SEX)):
        with pytest.raises(UndefinedRate, match="in no groups"):
            group_figures(COMPARED, across, labels, 0.3, seed=1)


def test_discarding_low_quality_leaves_fewer_misses_where_quality_tells() -> None:
    mated = COMPARED.mated_similarities
    telling = {Path(f"P{number}/2"): float(similarity) for number, similarity in enumerate(mated)}
    scores = {Path(f"P{number}/1"): 2.0 for number in range(100)} | telling
    found = quality_figures(replace(COMPARED, failed=COMPARED.pairs[:1]), ACROSS, scores, 0.3)
    half = found.discard[-1]
    misses = int((mated < 0.3).sum())
    assert (found.discard[0].fnmr.count, half.discarded, half.fnmr.count) == (misses + 1, 50, 1)  # the failure stays
    assert found.without == 1
    assert len(found.bins) == 5
    assert sum(one.fnmr.count for one in found.bins if one.fnmr) == misses
    assert [one.fmr is None for one in found.bins] == [True] * 4 + [False]  # all first photos are of quality 2
    assert found.bins[-1].fmr is not None
    assert (found.bins[-1].fmr.total, found.bins[-1].high) == (len(ACROSS.similarities), 2.0)
    alike = quality_figures(COMPARED, None, dict.fromkeys(scores, 0.5), 0.3)
    assert alike.bins == ()
    with pytest.raises(UndefinedRate, match="no quality"):
        quality_figures(COMPARED, None, {}, 0.3)


def people(photos: int, count: int) -> PeopleSet:
    return PeopleSet(
        "set", "terms", tuple(Person(f"P{n}", tuple(Path(f"{n}/{k}") for k in range(photos))) for n in range(count))
    )


def test_people_become_pairs_of_all_their_photos_and_of_every_two_of_them() -> None:
    pairs = pairs_of_people(people(3, 4)).pairs
    assert [(pair.a.as_posix(), pair.b.as_posix()) for pair in pairs if pair.mated][:3] == [
        *(("0/0", "0/1"), ("0/0", "0/2"), ("0/1", "0/2"))
    ]
    assert sum(pair.mated for pair in pairs) == 12
    assert {pair.people for pair in pairs if not pair.mated} == {
        *(("P0", "P1"), ("P0", "P2"), ("P0", "P3"), ("P1", "P2"), ("P1", "P3"), ("P2", "P3"))
    }
    bounded = [pair.people for pair in pairs_of_people(people(2, 10), most_nonmated=20).pairs if not pair.mated]
    assert len(set(bounded)) == len(bounded) == 20
    assert bounded[:2] == [("P0", "P1"), ("P0", "P2")]
    assert bounded[-2:] == [("P9", "P0"), ("P9", "P1")]
    with pytest.raises(DatasetError, match="has two photos"):
        pairs_of_people(people(1, 4))


def test_one_person_has_at_most_a_hundred_pairs_from_all_of_their_photos() -> None:
    mated = [pair for pair in pairs_of_people(people(100, 2)).pairs if pair.mated]
    assert [pair.people for pair in mated] == [("P0", "P0")] * 100 + [("P1", "P1")] * 100
    numbers = [(int(pair.a.name), int(pair.b.name)) for pair in mated[:100]]
    places = [list(combinations(range(100), 2)).index(pair) for pair in numbers]
    assert places == [number * 4950 // 100 for number in range(100)]
    assert len(pairs_of_people(people(5, 2), most_mated_of_one=3).pairs) == 7


def test_labels_go_with_the_pairs_of_a_folder(tmp_path: Path) -> None:
    for name in ("Ada/1.jpg", "Ada/2.jpg", "Bo/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text("person,sex\nAda,f\nBo,m\n", encoding="utf-8")
    assert people_folder.pairs(tmp_path).labels == {"Ada": {"sex": "f"}, "Bo": {"sex": "m"}}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("who,sex\nP0,f\nnobody,m\n", "line 3: the list of pairs names no such person"),
        ("who,sex\nP0,f\nP0,f\n", "line 3: the person is listed twice"),
        ("who\nP0\n", "at least one label"),
    ],
)
def test_labels_of_strangers_are_refused_with_their_line(tmp_path: Path, text: str, what: str) -> None:
    pairs = PairSet("made", "terms", COMPARED.pairs)
    path = tmp_path / "groups.csv"
    path.write_text("who,sex\nP3,f\n", encoding="utf-8")
    assert with_labels(pairs, path).labels == {"P3": {"sex": "f"}}
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetMalformed, match=what):
        with_labels(pairs, path)
    nameless = replace(pairs, pairs=tuple(replace(pair, people=None) for pair in pairs.pairs))
    with pytest.raises(DatasetError, match="names no people"):
        with_labels(nameless, path)


def test_ratios_need_an_error_in_each_group() -> None:
    similarities = np.where(COMPARED.mated, 0.9, 0.0)
    sex = group_figures(replace(COMPARED, similarities=similarities), ACROSS, SEX, 0.3, seed=1, draws=50)[0]
    missed = sex.at[0].fnmr
    assert (missed.ratios(), missed.max_to_min, missed.gini_by_chance, missed.beyond_chance()) == ({}, None, None, None)
    assert [note.partition(":")[0] for note in missed.notes] == ["Ratios", "Gini coefficient"]


def test_groups_and_quality_are_told_in_json_page_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(9):
        for photo in range(2):
            face(tmp_path / f"P{number}" / f"{photo}.png", 20 * number)
    labels = tmp_path / "labels.csv"
    labels.write_text("person,sex\n" + "".join(f"P{n},{'fm'[n % 2]}\n" for n in range(9)), encoding="utf-8")
    groups = tmp_path / "groups.csv"
    groups.write_text("who,[/side]\nP1,<b>\nP2,[/x]\n", encoding="utf-8")
    given = read_pairs("people_folder", tmp_path)
    assert given.pairs.labels["P1"] == {"sex": "m"}
    arguments = ["verification", "--dataset", "people_folder", "--root", str(tmp_path), "--groups"]
    result = CliRunner().invoke(evaluate, [*arguments, str(tmp_path / "nowhere.csv")])
    assert (result.exit_code, result.output.partition(":")[0]) == (2, "DATASET_MISSING")
    report = verified(read_pairs("people_folder", tmp_path, groups))
    keys = report_keys(report)
    (side,) = keys["differentials"]
    assert (side["label"], side["people"], side["unlabelled"]) == ("[/side]", {"<b>": 1, "[/x]": 1}, 7)
    assert side["at"][0]["fnmr"]["groups"]["<b>"]["rate"] is None
    assert keys["quality"]["discard"][0]["fnmr"]["total"] == 9
    assert keys["calibration"]["nonmated"] == 36
    html = page(report)
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "7 people; they are in no group of it" in html
    tables = [table for section in section_words.sections(report) for table in section.tables]
    assert tables
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)
    json.dumps(keys, allow_nan=False)
    sections = section_words.sections(report)
    odd = Section("[/x]", "\x1b[2J", (Table(["[/x]"], [["[red]\x9b"]], "[/x]"),))
    print_words("[/x]", [*sections, odd], "")
    told = capsys.readouterr().out
    assert told.count("[/x]") >= 4
    assert all(words in told for words in ("[/side]", r"\x1b[2J", r"[red]\x9b"))
    assert all(sign.isprintable() or sign == "\n" for sign in told)
