"""The data sets: what a good list gives, and that each broken one is refused with its line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fr_core.errors import CallEnded
from fr_core.runtime.ticket import Ticket, hold
from fr_datasets import (
    agedb30,
    celeba_wild,
    cfp,
    chokepoint,
    cross_lfw,
    deepface,
    groups,
    ijb,
    lfw,
    london,
    nonface,
    odd_formats,
    pairs_csv,
    people_folder,
    tables,
    youtube_faces,
)
from fr_datasets.catalogue import check
from fr_datasets.errors import DatasetError, DatasetMalformed, DatasetMissing, DatasetUnreadable
from fr_datasets.manifests import load_manifest, manifest_names, translated
from fr_datasets.values import CountedPhoto, LabelledFace, LabelledFrame, VerificationPair, fold_of
from support.evaluations import lay_out, touch, write


def empty(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "")


PAIRS = "2\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\nBo\t1\t2\nBo\t1\tAda_A\t3\n"
PHOTOS = ("Ada_A/Ada_A_0001.jpg", "Ada_A/Ada_A_0003.jpg", "Bo/Bo_0002.jpg")
FEW = "1\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n"
LFW = {
    "pairs.txt": PAIRS,
    "people.txt": "2\n1\nAda_A\t3\n1\nBo\t2\n",
    **empty(*(f"images/Ada_A/Ada_A_{n:04d}.jpg" for n in (1, 2, 3)), *(f"images/Bo/Bo_{n:04d}.jpg" for n in (1, 2))),
}
TRAIN = {"pairsDevTrain.txt": "1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\n", **empty(*(f"lfw/{name}" for name in PHOTOS))}
TEST = {
    "peopleDevTest.txt": "2\nAda_A\t2\nBo\t1\n",
    **empty("lfw/Ada_A/Ada_A_0001.jpg", "lfw/Ada_A/Ada_A_0002.jpg", "lfw/Bo/Bo_0001.jpg"),
}
CELEBA = {
    "pairs.csv": "same,identity_a,file_a,identity_b,file_b\n1,7,a.jpg,7,b.jpg\n0,7,a.jpg,8,c.jpg\n",
    **empty("images/7/a.jpg", "images/7/b.jpg", "images/8/c.jpg"),
}
DEEPFACE = {
    "pairs_master.csv": "file_x,file_y,Decision\r\na.jpg,b.jpg,Yes\r\na.jpg,c.jpg,No",
    **empty("a.jpg", "b.jpg", "c.jpg"),
}
NONFACE = {
    "index.csv": 'file,source,terms\nhard/b.jpg,"zoo, wild",CC0\neasy/a.jpg,x,y\n',
    **empty("easy/a.jpg", "hard/b.jpg", "hard/unlisted.jpg", "other/a.jpg"),
}
ODD = {
    "index.csv": "file,kind,expected_faces,source,note\n"
    "a.jpg,EXIF,1,s,\nb.jpg,tiny,0 or 1,s,\nc.jpg,truncated,error,s,\n",
    **empty("a.jpg", "b.jpg", "c.jpg"),
}
CPLFW = {"pairs_CPLFW.txt": "a.jpg 1\nb.jpg 1\n", **empty("a.jpg", "b.jpg")}
AGEDB = {"agedb_30_pair.txt": "a.jpg b.jpg 1\na.jpg b.jpg 0\n", **empty("a.jpg", "b.jpg")}
FRONTAL = [f"Data/Images/{person}/frontal/{n}.jpg" for person in ("001", "002") for n in ("01", "02")]
PROFILE = [f"Data/Images/{person}/profile/01.jpg" for person in ("001", "002")]
CFP = {
    "Protocol/Pair_list_F.txt": "".join(f"{n} ../{photo}\n" for n, photo in enumerate(FRONTAL, 1)),
    "Protocol/Pair_list_P.txt": "".join(f"{n} ../{photo}\n" for n, photo in enumerate(PROFILE, 1)),
    **{f"Protocol/Split/FP/{fold}/same.txt": "1,1\n4,2\n" for fold in ("01", "02")},
    **{f"Protocol/Split/FF/{fold}/diff.txt": "1,3\n" for fold in ("01", "02")},
    **{f"Protocol/Split/{name}.txt": "1,2\n" for name in ("FP/01/diff", "FP/02/diff", "FF/01/same", "FF/02/same")},
    **empty(*FRONTAL, *PROFILE),
}
PEOPLE = {
    "labels.csv": "person,sex,age\nBo,m,40\nAda A,f,31\n",
    "conditions.csv": "person,photo,condition\nBo,2.JPG,camera\nAda A,x.jpeg,passport\n",
    **empty("Bo/2.JPG", "Bo/1.png", "Ada A/x.jpeg", "Ada A/.hidden", ".cache/y", "README.txt"),
}
POINTS = "".join(f"{n}.jpg 30.5 51.5 65.5 51 48 71.7 33.5 92 62.7 92 0.99\n" for n in (1, 2, 3))
IJB = {
    "meta/ijbc_face_tid_mid.txt": "1.jpg 11 901\n2.jpg 11 902\n3.jpg 12 903\n",
    "meta/ijbc_name_5pts_score.txt": POINTS,
    "meta/ijbc_template_pair_label.txt": "11 12 0\n11 11 1\n",
    **empty(*(f"loose_crop/{n}.jpg" for n in (1, 2, 3))),
}
YOUTUBE = {
    "frame_images_DB/Ada.labeled_faces.txt": "Ada\\0\\0.7.jpg,0,30,20,16,18,0.0,1\n"
    "Ada\\0\\0.9.jpg,0,31,20,16,18,0.0,1\n",
    "frame_images_DB/Bo.labeled_faces.txt": "Bo\\2\\2.1.jpg,0,40,50,20,20,0.0,1\n",
    "splits.txt": "split, pair, first, second, similarity, same\n"
    "1, 1, Ada/0, Bo/2, 0.3, 0\n2, 2, Ada/0, Ada/0, 0.9, 1\n",
    **empty(*(f"frame_images_DB/{name}" for name in ("Ada/0/0.7.jpg", "Ada/0/0.9.jpg", "Bo/2/2.1.jpg"))),
}
_EYES = '<leftEye x="30" y="40"/><rightEye x="50" y="42.5"/>'
CHOKEPOINT = {
    "groundtruth/P1E_S1_C1.xml": f"""<?xml version="1.0"?>
<dataset name="P1E_S1_C1">
<frame number="00000000"/>
<frame number="00000003"><person id="0001">{_EYES}</person></frame>
</dataset>
""",
    **empty("P1E_S1/P1E_S1_C1/00000000.jpg", "P1E_S1/P1E_S1_C1/00000003.jpg"),
    **empty("Still/Neutral/ID0001.JPG", "Still/Smile/ID0001.JPG", "Still/Smile/notes.txt"),
}
SETS: dict[str, tuple[Callable[[Path], Any], dict[str, str]]] = {
    "lfw": (lfw.view2, LFW),
    "lfw people": (lfw.people, LFW),
    "view 1": (lambda root: lfw.view1(root, "train"), TRAIN),
    "view 1 people": (lambda root: lfw.view1_people(root, "test"), TEST),
    "celeba_wild": (celeba_wild.pairs, CELEBA),
    "deepface": (deepface.pairs, DEEPFACE),
    "nonface": (nonface.parts, NONFACE),
    "odd_formats": (odd_formats.photos, ODD),
    "cplfw": (cross_lfw.cplfw, CPLFW),
    "agedb30": (agedb30.pairs, AGEDB),
    "cfp": (cfp.pairs, CFP),
    "people_folder": (people_folder.people, PEOPLE),
    "ijbc": (lambda root: ijb.templates(root, "ijbc"), IJB),
    "youtube_faces": (youtube_faces.videos, YOUTUBE),
    "chokepoint": (chokepoint.videos, CHOKEPOINT),
}


def laid(root: Path, name: str) -> Path:
    return lay_out(root, SETS[name][1])


def two_lines(*pairs: tuple[str, str, int]) -> str:
    return "".join(f"{a} {label}\n{b} {label}\n" for a, b, label in pairs)


COMMON = "same,identity_a,file_a,identity_b,file_b\n"
LABELS, CONDITIONS = "labels.csv", "conditions.csv"
ADA, GROUND_TRUTH = "frame_images_DB/Ada.labeled_faces.txt", "groundtruth/P1E_S1_C1.xml"


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "line", "what"),
    [
        # An empty `old` stands for the whole list.
        ("lfw", "pairs.txt", "", "", 1, "empty"),
        ("lfw", "pairs.txt", "", "2\n", 1, "two numbers"),
        ("lfw", "pairs.txt", "", "2\tmany\n", 1, "whole number"),
        ("lfw", "pairs.txt", "", "0\t1\n", 1, "whole number"),
        ("lfw", "pairs.txt", "", "2\t1\nAda_A\t1\t3\n", 2, "promises 4 pairs, and 1 follow"),
        ("lfw", "pairs.txt", "", PAIRS + "Bo\t1\t2\n", 6, "promises 4 pairs, and 5 follow"),
        ("lfw", "pairs.txt", "Ada_A\t1\t3", "Ada_A\t1", 2, "found 2 fields"),
        ("lfw", "pairs.txt", "Ada_A\t1\t3", "Ada_A\t1\tBo\t2", 2, "found 4 fields"),
        ("lfw", "pairs.txt", "Bo\t1\tAda_A\t3", "Bo\t1\t2", 5, "found 3 fields"),
        ("lfw", "pairs.txt", "Bo\t1\t2", "Bo\t1\t-2", 4, "whole number"),
        ("lfw", "pairs.txt", "Bo\t1\t2", "Bo\t1\t²", 4, "whole number"),
        ("lfw", "pairs.txt", "Ada_A\t1\tBo\t2", "Ada_A\t1\tAda_A\t2", 3, "same person twice"),
        ("lfw people", "people.txt", "", "2\n1\nAda_A\t3\n", 3, "ends before its 2 sets"),
        ("lfw people", "people.txt", "", "1\n2\nAda_A\t3\n", 2, "fewer than 2 people"),
        ("lfw people", "people.txt", "", "1\n1\nAda_A\t3\n1\nBo\t2\n", 4, "goes on"),
        ("lfw people", "people.txt", "", "1\n1\nAda_A\n", 3, "found 1 fields"),
        ("lfw people", "people.txt", "", "1\n1\nAda_A\tthree\n", 3, "whole number"),
        ("view 1", "pairsDevTrain.txt", "", FEW, 1, "one number"),
        ("view 1", "pairsDevTrain.txt", "", "1\nAda_A\t1\t3\n", 2, "promises 2 pairs, and 1 follow"),
        ("view 1 people", "peopleDevTest.txt", "2\nA", "3\nA", 1, "promises 3 people, and 2 follow"),
        ("celeba_wild", "pairs.csv", "identity_a,file_a", "file_a,identity_a", 1, "columns must be same,identity_a"),
        ("celeba_wild", "pairs.csv", "0,7,a", "no,7,a", 3, "must be 0 or 1"),
        ("celeba_wild", "pairs.csv", "0,7,a", "1,7,a", 3, "contradicts the identities"),
        ("celeba_wild", "pairs.csv", "1,7,a", "0,7,a", 2, "contradicts the identities"),
        ("celeba_wild", "pairs.csv", "7,b.jpg", "7", 2, "expected 5 fields, found 4"),
        ("celeba_wild", "pairs.csv", "b.jpg", '"b.jpg', 2, "unexpected end"),
        ("celeba_wild", "pairs.csv", "", COMMON, 1, "no rows"),
        ("celeba_wild", "pairs.csv", "", "", 1, "the list is empty"),
        ("deepface", "pairs_master.csv", "No", "no", 3, "must be Yes or No"),
        ("nonface", "index.csv", "hard/b", "other/a", 2, ""),
        *(
            ("odd_formats", "index.csv", "0 or 1", expected, 3, "`expected_faces`")
            for expected in ("", "one", "0 or", "-1", "1 or error")
        ),
        ("cplfw", "pairs_CPLFW.txt", "", "a.jpg 1\n", 1, "only one line"),
        ("cplfw", "pairs_CPLFW.txt", "", "a.jpg 1\nb.jpg 2\n", 2, "labels differ"),
        ("cplfw", "pairs_CPLFW.txt", "", "a.jpg 1\na.jpg 1\n", 2, "one photo twice"),
        ("cplfw", "pairs_CPLFW.txt", "", "a.jpg\nb.jpg 1\n", 1, "expected `FILE LABEL`"),
        ("cplfw", "pairs_CPLFW.txt", "", "a.jpg 1\nb.jpg -1\n", 2, "number from 0"),
        ("cplfw", "pairs_CPLFW.txt", "", "", 1, "empty"),
        *(
            ("agedb30", "agedb_30_pair.txt", "a.jpg b.jpg 0", wrong, 2, "`FILE FILE LABEL`, label 0 or 1")
            for wrong in ("a.jpg b.jpg", "a.jpg b.jpg 2", "a.jpg b.jpg 1 1")
        ),
        ("cfp", "Protocol/Split/FP/02/same.txt", "", "1,1\n1,3\n", 2, "has number 3"),
        ("cfp", "Protocol/Split/FP/02/same.txt", "", "5,1\n", 1, "has number 5"),
        ("cfp", "Protocol/Split/FP/02/diff.txt", "", "1 2\n", 1, "number,number"),
        ("cfp", "Protocol/Split/FP/02/diff.txt", "", "1,0\n", 1, "whole number"),
        ("cfp", "Protocol/Pair_list_F.txt", "", "1\n", 1, "number path"),
        ("cfp", "Protocol/Pair_list_P.txt", "", f"1 ../{PROFILE[0]}\n" * 2, 2, "twice"),
        ("people_folder", LABELS, "", "person,sex\nBo,m\nBo,m\n", 3, "listed twice"),
        ("people_folder", LABELS, "", "name,sex\nBo,m\n", 1, "and are 'name,sex'"),
        ("people_folder", LABELS, "", "person\nBo\n", 1, "at least one label"),
        ("people_folder", LABELS, "", "person,sex,sex\nBo,m,m\n", 1, "column is listed twice"),
        ("people_folder", CONDITIONS, "Bo,2.JPG", "Bo,2.jpg", 2, "no such photo"),
        ("people_folder", CONDITIONS, "Bo,2.JPG", "..,1.png", 2, "no such photo"),
        ("people_folder", CONDITIONS, "Ada A,x.jpeg", "Bo,2.JPG", 3, "listed twice"),
        ("people_folder", CONDITIONS, "", "person,photo,condition\n", 1, "no rows"),
        ("ijbc", "meta/ijbc_face_tid_mid.txt", "2.jpg 11 902", "2.jpg 11", 2, "expected numbers"),
        ("ijbc", "meta/ijbc_face_tid_mid.txt", "2.jpg 11 902", "2.jpg 11 x", 2, "expected numbers"),
        ("ijbc", "meta/ijbc_face_tid_mid.txt", "2.jpg 11 902", "", 2, "empty"),
        ("ijbc", "meta/ijbc_name_5pts_score.txt", "2.jpg 30.5", "2.jpg", 2, "expected numbers"),
        ("ijbc", "meta/ijbc_name_5pts_score.txt", "2.jpg 30.5", "2.jpg left", 2, "expected numbers"),
        ("ijbc", "meta/ijbc_name_5pts_score.txt", "2.jpg 30.5", "2.jpg nan", 2, "not finite"),
        ("ijbc", "meta/ijbc_name_5pts_score.txt", "2.jpg", "4.jpg", 2, "not that of the same line"),
        ("ijbc", "meta/ijbc_name_5pts_score.txt", POINTS[POINTS.index("3.jpg") :], "", 2, "not that of the same line"),
        ("ijbc", "meta/ijbc_template_pair_label.txt", "11 11 1", "11 11 2", 2, "0 or 1"),
        ("ijbc", "meta/ijbc_template_pair_label.txt", "11 11 1", "11 13 1", 2, "no photo"),
        ("ijbc", "meta/ijbc_template_pair_label.txt", "11 12 0", "11 12", 1, "expected numbers"),
        ("ijbc", "meta/ijbc_template_pair_label.txt", "11 11 1", "11 11.5 1", 2, "expected numbers"),
        ("youtube_faces", ADA, "31,20,16,18,0.0,1", "31,20,16,18,0.0", 2, "found 7 fields"),
        ("youtube_faces", ADA, "31,20", "31.5,20", 2, "whole number"),
        ("youtube_faces", ADA, "0.9.jpg", "0.7.jpg", 2, "not in the order of their numbers"),
        ("youtube_faces", ADA, "Ada\\0\\0.9.jpg", "..\\..\\0.9.jpg", 2, "outside"),
        ("youtube_faces", ADA, "", "", 1, "empty"),
        ("youtube_faces", "splits.txt", "Ada/0, Bo/2", "Ada/0, Bo/3", 2, "no list of faces names the video 'Bo/3'"),
        ("youtube_faces", "splits.txt", "0.9, 1", "0.9, yes", 3, "must be 0 or 1"),
        ("youtube_faces", "splits.txt", "0.9, 1", "0.9, 0", 3, "contradicts the identities"),
        ("youtube_faces", "splits.txt", "0.9, 1", "1", 3, "found 5 fields"),
        ("chokepoint", GROUND_TRUTH, "</dataset>\n", "", 5, "not well-formed XML"),
        ("chokepoint", GROUND_TRUTH, "", "<dataset/>", 1, "empty"),
        ("chokepoint", GROUND_TRUTH, 'number="00000003"', "", 4, "needs a number"),
        ("chokepoint", GROUND_TRUTH, 'number="00000003"', 'number="00000000"', 4, "not in the order of their numbers"),
        ("chokepoint", GROUND_TRUTH, ' id="0001"', "", 4, "needs an id and both eyes"),
        ("chokepoint", GROUND_TRUTH, '<leftEye x="30" y="40"/>', "", 4, "needs an id and both eyes"),
        ("chokepoint", GROUND_TRUTH, 'x="30"', 'x="nan"', 4, "found 'nan'"),
        ("chokepoint", GROUND_TRUTH, 'y="40"', "", 4, "found ''"),
        (
            "chokepoint",
            GROUND_TRUTH,
            "<dataset ",
            '<!DOCTYPE dataset [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>\n<dataset ',
            2,
            "entities are not allowed",
        ),
    ],
)
def test_a_broken_list_is_refused(
    tmp_path: Path, name: str, file: str, old: str, new: str, line: int, what: str
) -> None:
    read, files = SETS[name]
    assert old in files[file]
    read(laid(tmp_path, name))  # the control: the whole list is taken
    path = write(tmp_path, file, files[file].replace(old, new) if old else new)
    with pytest.raises(DatasetMalformed) as caught:
        read(tmp_path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert f"{path}, line {line}: " in caught.value.message
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("name", "lost", "what"),
    [
        ("lfw", "images/Ada_A/Ada_A_0003.jpg", r"Ada_A_0003\.jpg, named by line 2 of pairs\.txt"),
        ("lfw people", "images/Bo/Bo_0002.jpg", r"Bo_0002\.jpg, named by line 5 of people\.txt"),
        ("cfp", PROFILE[1], r"002/profile/01\.jpg, named by line 2 of Pair_list_P\.txt"),
        ("cfp", "Protocol/Split/FP/02/diff.txt", r"FP/02/diff\.txt"),
        ("youtube_faces", "frame_images_DB/Ada/0/0.9.jpg", r"0\.9\.jpg, named by line 2 of Ada\.labeled_faces\.txt"),
        ("chokepoint", "P1E_S1/P1E_S1_C1/00000003.jpg", r"00000003\.jpg, named by line 4 of P1E_S1_C1\.xml"),
        ("ijbc", "loose_crop/3.jpg", r"3\.jpg, named by line 3 of ijbc_face_tid_mid\.txt"),
        ("ijbc", "meta/ijbc_face_tid_mid.txt", r"ijbc_face_tid_mid\.txt is not there"),
        ("ijbc", "meta/ijbc_template_pair_label.txt", r"template_pair_label\.txt is not there"),
    ],
)
def test_a_missing_photo_or_list_is_named(tmp_path: Path, name: str, lost: str, what: str) -> None:
    (laid(tmp_path, name) / lost).unlink()
    with pytest.raises(DatasetMissing, match=what):
        SETS[name][0](tmp_path)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 19, 20, 6000, 6007])
def test_folds_are_dealt_as_scikit_learn_deals_them(count: int) -> None:
    folds = [fold_of(index, count) for index in range(count)]
    expected = [fold for fold in range(1, 11) for _ in range(count // 10 + (fold <= count % 10))]
    assert folds == expected


def test_lfw_pairs_have_paths_labels_and_folds_and_people_all_their_photos(tmp_path: Path) -> None:
    ada, bo = laid(tmp_path, "lfw") / "images" / "Ada_A", tmp_path / "images" / "Bo"
    found = lfw.view2(tmp_path)
    assert found.pairs == (
        VerificationPair(ada / "Ada_A_0001.jpg", ada / "Ada_A_0003.jpg", True, 1, ("Ada_A", "Ada_A")),
        VerificationPair(ada / "Ada_A_0001.jpg", bo / "Bo_0002.jpg", False, 1, ("Ada_A", "Bo")),
        VerificationPair(bo / "Bo_0001.jpg", bo / "Bo_0002.jpg", True, 2, ("Bo", "Bo")),
        VerificationPair(bo / "Bo_0001.jpg", ada / "Ada_A_0003.jpg", False, 2, ("Bo", "Ada_A")),
    )
    assert found.photos == tuple(dict.fromkeys(path for pair in found.pairs for path in (pair.a, pair.b)))
    assert "commercial" in found.terms
    people = lfw.people(tmp_path).people
    assert [(person.identity, len(person.photos)) for person in people] == [("Ada_A", 3), ("Bo", 2)]
    assert people[0].photos[1] == ada / "Ada_A_0002.jpg"


@pytest.mark.parametrize("folder", [".", *lfw.FOLDERS])
def test_lfw_photos_lie_in_the_root_or_in_one_folder_of_the_archives(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DatasetMissing, match="none of LFW's lists"):
        lfw.contents(tmp_path)
    touch(tmp_path / folder, *PHOTOS)
    write(tmp_path, "pairs.txt", FEW)
    assert lfw.view2(tmp_path).pairs[1].b == tmp_path / folder / "Bo/Bo_0002.jpg"
    if folder == "lfw":
        touch(tmp_path / "lfw_funneled", *PHOTOS)
        with pytest.raises(DatasetError, match="lfw, lfw_funneled"):
            lfw.view2(tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_lfw_view_1_has_no_folds_and_people_of_its_own(tmp_path: Path, part: Literal["train", "test"]) -> None:
    touch(tmp_path / "lfw", *PHOTOS)
    write(tmp_path, f"pairsDev{part.title()}.txt", TRAIN["pairsDevTrain.txt"])
    found = lfw.view1(tmp_path, part)
    assert found.name == f"lfw/view1-{part}"
    first = "Ada_A_0001.jpg"
    assert [(pair.a.name, pair.b.name, pair.mated, pair.fold) for pair in found.pairs] == [
        (first, "Ada_A_0003.jpg", True, None), (first, "Bo_0002.jpg", False, None)
    ]  # fmt: skip
    assert lfw.contents(tmp_path) == {f"view1_{part}_pairs": 2}
    people = lfw.view1_people(laid(tmp_path, "view 1 people"), "test").people
    assert [(person.identity, len(person.photos)) for person in people] == [("Ada_A", 2), ("Bo", 1)]
    assert lfw.contents(tmp_path) == {f"view1_{part}_pairs": 2, "view1_test_people": 2}


def test_celeba_pairs_lie_in_folders_of_identities_and_deepface_pairs_beside_their_list(tmp_path: Path) -> None:
    images = laid(tmp_path / "celeba", "celeba_wild") / "images"
    assert celeba_wild.pairs(tmp_path / "celeba").pairs == (
        VerificationPair(images / "7/a.jpg", images / "7/b.jpg", True, people=("7", "7")),
        VerificationPair(images / "7/a.jpg", images / "8/c.jpg", False, people=("7", "8")),
    )
    a, b, c = (laid(tmp_path / "deepface", "deepface") / f"{name}.jpg" for name in "abc")
    assert deepface.pairs(tmp_path / "deepface").pairs == (VerificationPair(a, b, True), VerificationPair(a, c, False))


def test_calfw_folds_of_mated_pairs_are_the_lists_and_others_are_dealt(tmp_path: Path) -> None:
    touch(tmp_path / "aligned images", "A_0001.jpg", "A_0002.jpg", "B_0001.jpg")
    mated = [("A_0001.jpg", "A_0002.jpg", fold) for fold in (2, 1, 2, 1)]
    others = [("A_0001.jpg", "B_0001.jpg", 0)] * 4
    write(tmp_path, "pairs_CALFW.txt", two_lines(*mated, *others))
    found = cross_lfw.calfw(tmp_path).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [
        *((True, fold) for fold in (2, 1, 2, 1)), *((False, fold) for fold in (1, 1, 2, 2))
    ]  # fmt: skip
    assert found[0].b == tmp_path / "aligned images/A_0002.jpg"
    assert cross_lfw.calfw(tmp_path).counts == {"pairs": 8, "mated": 4}


def test_cplfw_labels_without_folds_and_agedb_lines_are_dealt_into_ten(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "pairs_CPLFW.txt", two_lines(*[("a.jpg", "b.jpg", 1), ("a.jpg", "c.jpg", 0)] * 20))
    assert [pair.fold for pair in cross_lfw.cplfw(tmp_path).pairs] == [n for n in range(1, 11) for _ in range(4)]
    assert cross_lfw.cplfw(tmp_path).counts == {"pairs": 40, "mated": 20}
    write(tmp_path, "agedb_30_pair.txt", "a.jpg b.jpg 1\na.jpg c.jpg 0\n" * 10)
    found = agedb30.pairs(tmp_path).pairs
    assert [pair.fold for pair in found] == [fold for fold in range(1, 11) for _ in range(2)]
    assert [pair.mated for pair in found[:2]] == [True, False]
    assert agedb30.pairs(tmp_path).counts == {"pairs": 20, "mated": 10}


def test_cfp_pairs_join_the_two_lists_by_number(tmp_path: Path) -> None:
    images = laid(tmp_path, "cfp") / "Data/Images"
    found = cfp.pairs(tmp_path).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [
        *((True, 1), (True, 1), (False, 1), (True, 2), (True, 2), (False, 2))
    ]
    assert (found[1].a, found[1].b) == (images / "002/frontal/02.jpg", images / "002/profile/01.jpg")
    assert (found[2].a, found[2].b) == (images / "001/frontal/01.jpg", images / "002/profile/01.jpg")
    frontal = cfp.pairs(tmp_path, "FF").pairs
    assert (frontal[1].a, frontal[1].b) == (images / "001/frontal/01.jpg", images / "002/frontal/01.jpg")
    assert cfp.contents(tmp_path) == {"pairs": 6, "mated": 4, "frontal_pairs": 4}


@pytest.mark.parametrize(("column", "folds"), [("", [None, None]), (",fold", [2, 1])])
def test_pairs_of_ones_own_may_have_folds(tmp_path: Path, column: str, folds: list[int | None]) -> None:
    touch(tmp_path, "x/a.jpg", "b c.jpg", "d.jpg")
    ends = [f",{fold}" if fold else "" for fold in folds]
    write(tmp_path, "pairs.csv", f"a,b,mated{column}\nx/a.jpg,b c.jpg,1{ends[0]}\nb c.jpg,d.jpg,0{ends[1]}\n")
    found = pairs_csv.pairs(tmp_path).pairs
    assert [(pair.mated, pair.fold) for pair in found] == [(True, folds[0]), (False, folds[1])]
    assert (found[0].a, found[0].b) == (tmp_path / "x/a.jpg", tmp_path / "b c.jpg")


def test_ijb_templates_hold_media_landmarks_and_pairs(tmp_path: Path) -> None:
    found = ijb.templates(laid(tmp_path, "ijbc"), "ijbc")
    assert found.photos == ("1.jpg", "2.jpg", "3.jpg")
    assert (found.templates.tolist(), found.media.tolist()) == ([11, 11, 12], [901, 902, 903])
    assert found.landmarks.shape == (3, 5, 2)
    assert found.landmarks.dtype == np.float32
    assert found.landmarks[0, :2].tolist() == [[30.5, 51.5], [65.5, 51.0]]
    assert found.scores.tolist() == pytest.approx([0.99] * 3)
    assert (found.pairs.tolist(), found.mated.tolist()) == ([[11, 12], [11, 11]], [False, True])
    assert found.counts == {"photos": 3, "templates": 2, "pairs": 2, "mated": 1}


def test_videos_of_youtube_faces_are_folders_of_frames_with_a_face_each(tmp_path: Path) -> None:
    root = laid(tmp_path, "youtube_faces") / "frame_images_DB"
    found = youtube_faces.videos(tmp_path)
    assert [(video.name, video.people) for video in found.videos] == [("Ada/0", ("Ada",)), ("Bo/2", ("Bo",))]
    assert found.videos[0].frames[1] == LabelledFrame(root / "Ada/0/0.9.jpg", 9, (LabelledFace("Ada", 31, 20, 9),))
    assert (found.rate, found.pairs) == (24, (("Ada/0", "Bo/2", 1), ("Ada/0", "Ada/0", 2)))
    assert found.counts == {"people": 2, "videos": 2, "frames": 3, "pairs": 2}
    (tmp_path / "splits.txt").rename(root.parent / "splits_corrected.txt")
    assert youtube_faces.videos(tmp_path) == found
    (tmp_path / "splits_corrected.txt").unlink()
    assert youtube_faces.videos(root).pairs is None
    with pytest.raises(DatasetMissing, match="holds no list of labelled faces"):
        youtube_faces.videos(root / "Ada")


def test_sequences_of_chokepoint_have_faces_between_the_eyes_and_stills(tmp_path: Path) -> None:
    folder = laid(tmp_path, "chokepoint") / "P1E_S1" / "P1E_S1_C1"
    found = chokepoint.videos(tmp_path)
    (video,) = found.videos
    assert video.frames == (
        LabelledFrame(folder / "00000000.jpg", 0, ()),
        LabelledFrame(folder / "00000003.jpg", 3, (LabelledFace("0001", 40, 41.25, 30),)),
    )
    stills = tuple(tmp_path / "Still" / kind / "ID0001.JPG" for kind in ("Neutral", "Smile"))
    assert found.stills == {"0001": stills}
    assert found.counts == {"people": 1, "videos": 1, "frames": 2}
    folder.rename(tmp_path / "P1E_S1_C1")
    assert chokepoint.videos(tmp_path).counts == found.counts
    face = video.frames[1].faces[0]
    assert face.distance((30, 31.25, 50, 51.25)) == 0
    assert face.distance((60, 31.25, 80, 51.25)) == 1


def test_people_of_ones_own_lie_in_folders_with_labels_and_conditions(tmp_path: Path) -> None:
    found = people_folder.people(laid(tmp_path, "people_folder"))
    assert [(person.identity, [photo.name for photo in person.photos]) for person in found.people] == [
        ("Ada A", ["x.jpeg"]),
        ("Bo", ["1.png", "2.JPG"]),
    ]
    assert found.people[0].labels == {"sex": "f", "age": "31"}
    assert [[one for one, *_ in person.taken] for person in found.people] == [["passport"], ["", "camera"]]
    assert found.counts == {"people": 2, "photos": 3}
    write(tmp_path, "sessions.csv", "person,photo,session\nBo,1.png,monday\nBo,2.JPG,friday\n")
    again = people_folder.people(tmp_path)
    assert [[one for _, one, _ in person.taken] for person in again.people] == [[""], ["monday", "friday"]]
    write(tmp_path, "sessions.csv", "person,photo,session\nBo,3.png,monday\n")
    with pytest.raises(DatasetMalformed, match="no such photo"):
        people_folder.people(tmp_path)
    (tmp_path / "sessions.csv").unlink()
    for labels, error, what in (
        ("person,sex\nBo,m\n", DatasetMissing, "Ada A has no row"),
        ("person,sex\nBo,m\nAda A,f\nCy,m\n", DatasetError, "1 rows of people who have no folder, the first .*'Cy'"),
    ):
        write(tmp_path, "labels.csv", labels)
        with pytest.raises(error, match=what):
            people_folder.people(tmp_path)
    (tmp_path / "labels.csv").unlink()
    assert people_folder.people(tmp_path).people[0].labels == {}


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ((), "no folder of a person"),
        (("Bo/.hidden",), "holds no photo"),
        (("Bo/notes.txt",), r"notes\.txt is not a photo"),
        (("Bo/1.png", "group.JPG"), r"group\.JPG is in no person's folder"),
    ],
)
def test_people_without_photos_or_with_others_are_refused(tmp_path: Path, names: tuple[str, ...], what: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DatasetError, match=what):
        people_folder.people(tmp_path)


def test_nonface_photos_are_divided_and_odd_files_hold_a_count_a_choice_or_an_error(tmp_path: Path) -> None:
    found = nonface.parts(laid(tmp_path / "nonface", "nonface"))
    assert found["easy"].photos == (CountedPhoto(tmp_path / "nonface/easy/a.jpg", (0,)),)
    assert found["hard"].photos == (CountedPhoto(tmp_path / "nonface/hard/b.jpg", (0,)),)
    assert found["hard"].name == "nonface/hard"
    odd = odd_formats.photos(laid(tmp_path / "odd", "odd_formats")).photos
    assert [(photo.counts, photo.kind) for photo in odd] == [((1,), "EXIF"), ((0, 1), "tiny"), ((), "truncated")]
    assert [photo.must_be_refused for photo in odd] == [False, False, True]


def test_group_photos_carry_their_count_in_the_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="holds no photo"):
        groups.photos(tmp_path)
    with pytest.raises(DatasetMissing, match="folder"):
        groups.photos(tmp_path / "nowhere")
    touch(tmp_path, "compreface_010_2.jpg", "compreface_016_0.jpg", "linzaer_1.jpg")
    assert [photo.counts for photo in groups.photos(tmp_path).photos] == [(2,), (0,)]
    touch(tmp_path, "compreface_010.jpg")
    with pytest.raises(DatasetError, match="must be compreface_NUMBER_FACES"):
        groups.photos(tmp_path)


def test_london_people_have_a_neutral_and_a_smiling_photo(tmp_path: Path) -> None:
    touch(tmp_path, "002/002_08.jpg", "002/002_03.jpg", "001/001_03.jpg", "001/001_08.jpg", "README.txt")
    found = london.people(tmp_path).people
    assert {tuple(one for one, *_ in person.taken) for person in found} == {("neutral", "smiling")}
    assert [person.identity for person in found] == ["001", "002"]
    assert [photo.name for photo in found[1].photos] == ["002_03.jpg", "002_08.jpg"]
    (tmp_path / "001/001_08.jpg").unlink()
    with pytest.raises(DatasetMissing, match=r"001_08\.jpg"):
        london.people(tmp_path)
    with pytest.raises(DatasetMissing, match="no folder of a person"):
        london.people(tmp_path / "001")


@pytest.mark.parametrize("name", ["celeba_wild", "deepface", "groups", "london", "nonface", "odd_formats"])
def test_the_test_data_are_what_the_manifests_promise(testdata: Path, name: str) -> None:
    assert check(load_manifest(name), testdata / name) == load_manifest(name).counts
    assert london.people(testdata / "london").people[0].labels["face_age"] == "24"


def test_two_folds_of_lfw_are_a_part_of_it(testdata: Path) -> None:
    with pytest.raises(DatasetError, match=r"sha256|1200 pairs of 6000"):
        check(load_manifest("lfw"), testdata / "lfw")
    assert check(load_manifest("lfw"), testdata / "lfw", partial=True)["pairs"] == 1200


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


@pytest.mark.parametrize("language", ["ar", "es", "fr"])
def test_the_titles_licences_and_terms_of_sets_are_translated(language: str) -> None:
    sets = [load_manifest(name) for name in manifest_names()]
    words = {one for manifest in sets for one in (manifest.title, manifest.licence, manifest.terms)}
    assert {one for one in words if translated(one, language) == one} == {"CC-BY 4.0"}  # the name of a licence
    assert words == {translated(one, "en") for one in words} == {translated(one, "xx") for one in words}
