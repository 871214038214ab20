"""Unit tests of the public sets' lists, and of lists of one's own: what each gives, and what a broken one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import CallEnded
from fr_core.runtime.ticket import Ticket, hold
from fr_datasets import agedb30, cfp, cross_lfw, ijb, lfw, pairs_csv, people_folder, tables
from fr_datasets.errors import DatasetError, DatasetMalformed, DatasetMissing, DatasetUnreadable
from fr_datasets.values import fold_of
from support.evaluations import touch, write


def refusal(read: Callable[[Path], object], root: Path) -> tuple[int, str]:
    with pytest.raises(DatasetMalformed) as caught:
        read(root)
    return caught.value.line, caught.value.what


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 19, 20, 6000, 6007])
def test_folds_are_dealt_as_scikit_learn_deals_them(count: int) -> None:
    folds = [fold_of(index, count) for index in range(count)]
    expected = [fold for fold in range(1, 11) for _ in range(count // 10 + (fold <= count % 10))]
    assert folds == expected


# --- LFW ----------------------------------------------------------------------------------------------------

PHOTOS = ("Ada_A/Ada_A_0001.jpg", "Ada_A/Ada_A_0003.jpg", "Bo/Bo_0002.jpg")


@pytest.mark.parametrize("folder", [".", *lfw.FOLDERS])
def test_lfw_photos_lie_in_the_root_or_in_a_folder_of_the_archives(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, *PHOTOS)
    write(tmp_path, "pairs.txt", "1\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n")
    assert lfw.view2(tmp_path).pairs[1].b == tmp_path / folder / "Bo/Bo_0002.jpg"


def test_lfw_photos_in_two_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "lfw", *PHOTOS)
    touch(tmp_path / "lfw_funneled", *PHOTOS)
    write(tmp_path, "pairs.txt", "1\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n")
    with pytest.raises(DatasetError, match="lfw, lfw_funneled"):
        lfw.view2(tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_lfw_view_1_has_one_block_and_no_folds(tmp_path: Path, part: str) -> None:
    touch(tmp_path / "lfw", *PHOTOS)
    write(tmp_path, f"pairsDev{part.title()}.txt", "1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n")
    found = lfw.view1(tmp_path, "train" if part == "train" else "test")
    assert found.name == f"lfw/view1-{part}"
    assert [(pair.a.name, pair.b.name, pair.mated, pair.fold) for pair in found.pairs] == [
        ("Ada_A_0001.jpg", "Ada_A_0003.jpg", True, None),
        ("Ada_A_0001.jpg", "Bo_0002.jpg", False, None),
    ]
    assert lfw.contents(tmp_path) == {f"view1_{part}_pairs": 2}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("1\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n", 1, "one number"),
        ("1\nAda_A\t1\t3\n", 2, "promises 2 pairs, and 1 follow"),
    ],
)
def test_a_broken_list_of_view_1_is_refused(tmp_path: Path, text: str, line: int, what: str) -> None:
    touch(tmp_path / "lfw", *PHOTOS)
    write(tmp_path, "pairsDevTrain.txt", text)
    found = refusal(lambda root: lfw.view1(root, "train"), tmp_path)
    assert found[0] == line
    assert what in found[1]


def test_lfw_view_1_has_people_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path / "lfw", "Ada_A/Ada_A_0001.jpg", "Ada_A/Ada_A_0002.jpg", "Bo/Bo_0001.jpg")
    write(tmp_path, "peopleDevTest.txt", "2\nAda_A\t2\nBo\t1\n")
    found = lfw.view1_people(tmp_path, "test").people
    assert [(person.identity, len(person.photos)) for person in found] == [("Ada_A", 2), ("Bo", 1)]
    assert lfw.contents(tmp_path) == {"view1_test_people": 2}
    write(tmp_path, "peopleDevTest.txt", "3\nAda_A\t2\nBo\t1\n")
    assert "promises 3 people, and 2 follow" in refusal(lambda root: lfw.view1_people(root, "test"), tmp_path)[1]


def test_a_root_without_a_list_of_lfw_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="none of LFW's lists"):
        lfw.contents(tmp_path)


# --- CALFW, CPLFW, AgeDB-30 -----------------------------------------------------------------------------------


def two_lines(*pairs: tuple[str, str, int]) -> str:
    return "".join(f"{a} {label}\n{b} {label}\n" for a, b, label in pairs)


def test_calfw_folds_of_mated_pairs_are_the_lists_and_others_are_dealt(tmp_path: Path) -> None:
    touch(tmp_path / "aligned images", "A_0001.jpg", "A_0002.jpg", "B_0001.jpg")
    mated = [("A_0001.jpg", "A_0002.jpg", fold) for fold in (2, 1, 2, 1)]
    others = [("A_0001.jpg", "B_0001.jpg", 0)] * 4
    write(tmp_path, "pairs_CALFW.txt", two_lines(*mated, *others))
    found = cross_lfw.calfw(tmp_path).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [
        *((True, fold) for fold in (2, 1, 2, 1)),
        *((False, fold) for fold in (1, 1, 2, 2)),
    ]
    assert found[0].b == tmp_path / "aligned images/A_0002.jpg"
    assert cross_lfw.calfw(tmp_path).counts == {"pairs": 8, "mated": 4}


def test_cplfw_labels_without_folds_are_dealt_into_ten(tmp_path: Path) -> None:
    touch(tmp_path / "images", "A_1.jpg", "A_2.jpg", "B_1.jpg")
    pairs = [("A_1.jpg", "A_2.jpg", 1), ("A_1.jpg", "B_1.jpg", 0)] * 20
    write(tmp_path, "pairs_CPLFW.txt", two_lines(*pairs))
    folds = [pair.fold for pair in cross_lfw.cplfw(tmp_path).pairs]
    assert folds == [fold for fold in range(1, 11) for _ in range(4)]
    assert cross_lfw.cplfw(tmp_path).counts == {"pairs": 40, "mated": 20}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a.jpg 1\n", 1, "only one line"),
        ("a.jpg 1\nb.jpg 2\n", 2, "labels differ"),
        ("a.jpg 1\na.jpg 1\n", 2, "one photo twice"),
        ("a.jpg\nb.jpg 1\n", 1, "expected `FILE LABEL`"),
        ("a.jpg 1\nb.jpg -1\n", 2, "number from 0"),
        ("", 1, "empty"),
    ],
)
def test_a_broken_list_of_two_lines_is_refused(tmp_path: Path, text: str, line: int, what: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "pairs_CPLFW.txt", text)
    found = refusal(cross_lfw.cplfw, tmp_path)
    assert found[0] == line
    assert what in found[1]


def test_agedb_folds_are_ten_blocks(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "agedb_30_pair.txt", "a.jpg b.jpg 1\na.jpg c.jpg 0\n" * 10)
    found = agedb30.pairs(tmp_path).pairs
    assert [pair.fold for pair in found] == [fold for fold in range(1, 11) for _ in range(2)]
    assert [pair.mated for pair in found[:2]] == [True, False]
    assert agedb30.pairs(tmp_path).counts == {"pairs": 20, "mated": 10}


@pytest.mark.parametrize("line", ["a.jpg b.jpg", "a.jpg b.jpg 2", "a.jpg b.jpg 1 1"])
def test_a_broken_list_of_agedb_is_refused(tmp_path: Path, line: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, "agedb_30_pair.txt", f"a.jpg b.jpg 1\n{line}\n")
    found = refusal(agedb30.pairs, tmp_path)
    assert found[0] == 2
    assert "`FILE FILE LABEL`, label 0 or 1" in found[1]


# --- CFP ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cfp_root(tmp_path: Path) -> Path:
    for person in ("001", "002"):
        touch(tmp_path / "Data/Images" / person, "frontal/01.jpg", "frontal/02.jpg", "profile/01.jpg")
    frontal = [f"../Data/Images/{person}/frontal/{n}.jpg" for person in ("001", "002") for n in ("01", "02")]
    profile = [f"../Data/Images/{person}/profile/01.jpg" for person in ("001", "002")]
    for name, photos in (("F", frontal), ("P", profile)):
        text = "".join(f"{n} {photo}\n" for n, photo in enumerate(photos, 1))
        write(tmp_path, f"Protocol/Pair_list_{name}.txt", text)
    for fold in ("01", "02"):
        write(tmp_path, f"Protocol/Split/FP/{fold}/same.txt", "1,1\n4,2\n")
        write(tmp_path, f"Protocol/Split/FP/{fold}/diff.txt", "1,2\n")
        write(tmp_path, f"Protocol/Split/FF/{fold}/same.txt", "1,2\n")
        write(tmp_path, f"Protocol/Split/FF/{fold}/diff.txt", "1,3\n")
    return tmp_path


def test_cfp_pairs_join_the_two_lists_by_number(cfp_root: Path) -> None:
    images = cfp_root / "Data/Images"
    found = cfp.pairs(cfp_root).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [
        (True, 1),
        (True, 1),
        (False, 1),
        (True, 2),
        (True, 2),
        (False, 2),
    ]
    assert (found[1].a, found[1].b) == (images / "002/frontal/02.jpg", images / "002/profile/01.jpg")
    assert (found[2].a, found[2].b) == (images / "001/frontal/01.jpg", images / "002/profile/01.jpg")
    frontal = cfp.pairs(cfp_root, "FF").pairs
    assert (frontal[1].a, frontal[1].b) == (images / "001/frontal/01.jpg", images / "002/frontal/01.jpg")
    assert cfp.contents(cfp_root) == {"pairs": 6, "mated": 4, "frontal_pairs": 4}


@pytest.mark.parametrize(
    ("name", "text", "line", "what"),
    [
        ("Split/FP/02/same.txt", "1,1\n1,3\n", 2, "has number 3"),
        ("Split/FP/02/same.txt", "5,1\n", 1, "has number 5"),
        ("Split/FP/02/diff.txt", "1 2\n", 1, "number,number"),
        ("Split/FP/02/diff.txt", "1,0\n", 1, "whole number"),
        ("Pair_list_F.txt", "1\n", 1, "number path"),
        ("Pair_list_P.txt", "1 ../Data/Images/001/profile/01.jpg\n" * 2, 2, "twice"),
    ],
)
def test_a_broken_list_of_cfp_is_refused(cfp_root: Path, name: str, text: str, line: int, what: str) -> None:
    path = write(cfp_root / "Protocol", name, text)
    with pytest.raises(DatasetMalformed, match=what) as caught:
        cfp.pairs(cfp_root)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_missing_photo_or_fold_of_cfp_is_named(cfp_root: Path) -> None:
    (cfp_root / "Data/Images/002/profile/01.jpg").unlink()
    with pytest.raises(DatasetMissing, match=r"002/profile/01\.jpg, named by line 2 of Pair_list_P\.txt"):
        cfp.pairs(cfp_root)
    (cfp_root / "Protocol/Split/FF/02/diff.txt").unlink()
    with pytest.raises(DatasetMissing, match=r"FF/02/diff\.txt"):
        cfp.pairs(cfp_root, "FF")


# --- lists of one's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "folds"), [("", [None, None]), (",fold", [2, 1])])
def test_pairs_of_ones_own_may_have_folds(tmp_path: Path, column: str, folds: list[int | None]) -> None:
    touch(tmp_path, "x/a.jpg", "b c.jpg", "d.jpg")
    ends = [f",{fold}" if fold else "" for fold in folds]
    write(tmp_path, "pairs.csv", f"a,b,mated{column}\nx/a.jpg,b c.jpg,1{ends[0]}\nb c.jpg,d.jpg,0{ends[1]}\n")
    found = pairs_csv.pairs(tmp_path).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [(True, folds[0]), (False, folds[1])]
    assert (found[0].a, found[0].b) == (tmp_path / "x/a.jpg", tmp_path / "b c.jpg")


def test_people_of_ones_own_lie_in_folders(tmp_path: Path) -> None:
    touch(tmp_path, "Bo/2.JPG", "Bo/1.png", "Ada A/x.jpeg", "Ada A/.hidden", ".cache/y", "README.txt")
    found = people_folder.people(tmp_path).people
    assert [(person.identity, [photo.name for photo in person.photos]) for person in found] == [
        ("Ada A", ["x.jpeg"]),
        ("Bo", ["1.png", "2.JPG"]),
    ]
    assert found[0].labels == {}
    write(tmp_path, "labels.csv", "person,sex,age\nBo,m,40\nAda A,f,31\n")
    assert people_folder.people(tmp_path).people[0].labels == {"sex": "f", "age": "31"}
    assert people_folder.people(tmp_path).counts == {"people": 2, "photos": 3}


@pytest.mark.parametrize(
    ("labels", "error", "what"),
    [
        ("person,sex\nBo,m\n", DatasetMissing, "Ada has no row"),
        (
            "person,sex\nBo,m\nAda,f\nCy,m\n",
            DatasetError,
            "1 rows of people who have no folder, the first of them 'Cy'",
        ),
        ("person,sex\nBo,m\nBo,m\n", DatasetMalformed, "listed twice"),
        ("name,sex\nBo,m\n", DatasetMalformed, "columns must be person.*and are 'name,sex'"),
        ("person\nBo\n", DatasetMalformed, "at least one label"),
        ("person,sex,sex\nBo,m,m\n", DatasetMalformed, "column is listed twice"),
    ],
)
def test_labels_at_odds_with_the_folders_are_refused(
    tmp_path: Path, labels: str, error: type[DatasetError], what: str
) -> None:
    touch(tmp_path, "Bo/1.jpg", "Ada/1.jpg")
    write(tmp_path, "labels.csv", labels)
    with pytest.raises(error, match=what):
        people_folder.people(tmp_path)


def test_conditions_of_photos_of_ones_own_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "Bo/2.jpg", "Bo/1.png", "Ada/x.jpeg")
    write(tmp_path, "conditions.csv", "person,photo,condition\nBo,2.jpg,camera\nAda,x.jpeg,passport\n")
    found = people_folder.people(tmp_path).people
    assert [person.photo_conditions for person in found] == [("passport",), ("", "camera")]


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ("Bo,2.jpg,a\n", 2, "no such photo"),
        ("..,1.jpg,a\n", 2, "no such photo"),
        ("Bo,1.jpg,a\nBo,1.jpg,b\n", 3, "listed twice"),
        ("", 1, "no rows"),
    ],
)
def test_conditions_at_odds_with_the_photos_are_refused(tmp_path: Path, rows: str, line: int, what: str) -> None:
    touch(tmp_path, "Bo/1.jpg")
    write(tmp_path, "conditions.csv", f"person,photo,condition\n{rows}")
    found = refusal(people_folder.people, tmp_path)
    assert found[0] == line
    assert what in found[1]


def test_a_photo_beside_the_folders_of_people_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "Bo/1.jpg", "Ada/1.jpg", "README.txt", "group.JPG")
    with pytest.raises(DatasetError, match=r"group\.JPG is in no person's folder"):
        people_folder.people(tmp_path)


def test_people_without_photos_or_with_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="no folder of a person"):
        people_folder.people(tmp_path)
    (tmp_path / "Bo").mkdir()
    with pytest.raises(DatasetMissing, match="holds no photo"):
        people_folder.people(tmp_path)
    touch(tmp_path, "Bo/notes.txt")
    with pytest.raises(DatasetError, match=r"notes\.txt is no photo"):
        people_folder.people(tmp_path)


# --- IJB ------------------------------------------------------------------------------------------------------

MEDIA = "1.jpg 11 901\n2.jpg 11 902\n3.jpg 12 903\n"
POINTS = "".join(f"{n}.jpg 30.5 51.5 65.5 51 48 71.7 33.5 92 62.7 92 0.99\n" for n in (1, 2, 3))
PAIRS = "11 12 0\n11 11 1\n"


@pytest.fixture
def ijb_root(tmp_path: Path) -> Path:
    touch(tmp_path / "loose_crop", "1.jpg", "2.jpg", "3.jpg")
    for name, text in (("face_tid_mid", MEDIA), ("name_5pts_score", POINTS), ("template_pair_label", PAIRS)):
        write(tmp_path, f"meta/ijbc_{name}.txt", text)
    return tmp_path


def test_ijb_templates_hold_media_landmarks_and_pairs(ijb_root: Path) -> None:
    found = ijb.templates(ijb_root, "ijbc")
    assert found.photos == ("1.jpg", "2.jpg", "3.jpg")
    assert found.templates.tolist() == [11, 11, 12]
    assert found.media.tolist() == [901, 902, 903]
    assert found.landmarks.shape == (3, 5, 2)
    assert found.landmarks.dtype == np.float32
    assert found.landmarks[0, :2].tolist() == [[30.5, 51.5], [65.5, 51.0]]
    assert found.scores.tolist() == pytest.approx([0.99] * 3)
    assert found.pairs.tolist() == [[11, 12], [11, 11]]
    assert found.mated.tolist() == [False, True]
    assert ijb.templates(ijb_root, "ijbc").counts == {"photos": 3, "templates": 2, "pairs": 2, "mated": 1}


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "what"),
    [
        ("face_tid_mid", "2.jpg 11 902", "2.jpg 11", 2, "expected numbers"),
        ("face_tid_mid", "2.jpg 11 902", "2.jpg 11 x", 2, "expected numbers"),
        ("face_tid_mid", "2.jpg 11 902", "", 2, "empty"),
        ("name_5pts_score", "2.jpg 30.5", "2.jpg", 2, "expected numbers"),
        ("name_5pts_score", "2.jpg 30.5", "2.jpg left", 2, "expected numbers"),
        ("name_5pts_score", "2.jpg 30.5", "2.jpg nan", 2, "not finite"),
        ("name_5pts_score", "2.jpg", "4.jpg", 2, "not that of the same line"),
        ("name_5pts_score", POINTS, "".join(POINTS.splitlines(keepends=True)[:2]), 2, "not that of the same line"),
        ("template_pair_label", "11 11 1", "11 11 2", 2, "0 or 1"),
        ("template_pair_label", "11 11 1", "11 13 1", 2, "no photo"),
        ("template_pair_label", "11 12 0", "11 12", 1, "expected numbers"),
        ("template_pair_label", "11 11 1", "11 11.5 1", 2, "expected numbers"),
    ],
)
def test_a_broken_list_of_ijb_is_refused(ijb_root: Path, name: str, old: str, new: str, line: int, what: str) -> None:
    path = ijb_root / f"meta/ijbc_{name}.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = refusal(lambda root: ijb.templates(root, "ijbc"), ijb_root)
    assert found[0] == line
    assert what in found[1]


def test_a_missing_photo_or_list_of_ijb_is_named(ijb_root: Path) -> None:
    (ijb_root / "loose_crop/3.jpg").unlink()
    with pytest.raises(DatasetMissing, match=r"3\.jpg, named by line 3 of ijbc_face_tid_mid\.txt"):
        ijb.templates(ijb_root, "ijbc")
    with pytest.raises(DatasetMissing, match=r"ijbb_face_tid_mid\.txt is not there"):
        ijb.templates(ijb_root, "ijbb")
    touch(ijb_root, "loose_crop/3.jpg")
    (ijb_root / "meta/ijbc_template_pair_label.txt").unlink()
    with pytest.raises(DatasetMissing, match=r"template_pair_label\.txt is not there"):
        ijb.templates(ijb_root, "ijbc")


def test_lines_end_at_line_ends_alone_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffa\r\nb\rc\n\nd\u2028e".encode())
    assert tables.read_lines(path) == ["a", "b", "c", "", "d\u2028e"]
    monkeypatch.setattr(tables, "MAX_LINES", 4)
    with pytest.raises(DatasetUnreadable, match="more than 4 lines"):
        tables.read_lines(path)


def test_a_long_list_ends_with_its_call(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("a,b\n" + "1,2\n" * 5000)
    ticket = Ticket()
    hold(ticket)
    try:
        rows = tables.read_table(path, ["a", "b"])
        next(rows)
        ticket.cancel()
        with pytest.raises(CallEnded):
            list(rows)
        with pytest.raises(CallEnded):
            tables.read_lines(path)
    finally:
        hold(Ticket())
