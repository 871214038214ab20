"""Unit tests of the data sets: what a good list gives, and what each broken one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fr_datasets import celeba_wild, deepface, groups, lfw, london, nonface, odd_formats
from fr_datasets.catalogue import READERS, check
from fr_datasets.errors import DatasetError, DatasetMalformed, DatasetMissing, DatasetUnknown
from fr_datasets.manifests import RemoteFile, load_manifest, manifest_names, parse_manifest
from fr_datasets.values import CountedPhoto, VerificationPair
from support.evaluations import touch, write


def refusal(read: Callable[[Path], object], root: Path) -> DatasetMalformed:
    with pytest.raises(DatasetMalformed) as caught:
        read(root)
    return caught.value


# --- LFW ----------------------------------------------------------------------------------------------------

PAIRS = "2\t1\nAda_A\t1\t3\nAda_A\t1\tBo\t2\nBo\t1\t2\nBo\t1\tAda_A\t3\n"


@pytest.fixture
def lfw_root(tmp_path: Path) -> Path:
    touch(
        tmp_path / "images",
        *(f"Ada_A/Ada_A_{n:04d}.jpg" for n in (1, 2, 3)),
        *(f"Bo/Bo_{n:04d}.jpg" for n in (1, 2)),
    )
    write(tmp_path, "pairs.txt", PAIRS)
    write(tmp_path, "people.txt", "2\n1\nAda_A\t3\n1\nBo\t2\n")
    return tmp_path


def test_lfw_pairs_have_paths_labels_and_folds(lfw_root: Path) -> None:
    ada, bo = lfw_root / "images" / "Ada_A", lfw_root / "images" / "Bo"
    found = lfw.view2(lfw_root)
    assert found.pairs == (
        VerificationPair(ada / "Ada_A_0001.jpg", ada / "Ada_A_0003.jpg", True, 1, ("Ada_A", "Ada_A")),
        VerificationPair(ada / "Ada_A_0001.jpg", bo / "Bo_0002.jpg", False, 1, ("Ada_A", "Bo")),
        VerificationPair(bo / "Bo_0001.jpg", bo / "Bo_0002.jpg", True, 2, ("Bo", "Bo")),
        VerificationPair(bo / "Bo_0001.jpg", ada / "Ada_A_0003.jpg", False, 2, ("Bo", "Ada_A")),
    )
    assert [photo.name for photo in found.photos] == [
        "Ada_A_0001.jpg",
        "Ada_A_0003.jpg",
        "Bo_0002.jpg",
        "Bo_0001.jpg",
    ]
    assert "commercial" in found.terms


def test_a_missing_lfw_photo_is_named_and_shifts_nothing(lfw_root: Path) -> None:
    (lfw_root / "images/Ada_A/Ada_A_0003.jpg").rename(lfw_root / "images/Ada_A/Ada_A_0004.jpg")
    with pytest.raises(DatasetMissing, match=r"Ada_A_0003\.jpg, named by line 2 of pairs\.txt"):
        lfw.view2(lfw_root)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "empty"),
        ("2\n", 1, "two numbers"),
        ("2\tmany\n", 1, "whole number"),
        ("0\t1\n", 1, "whole number"),
        ("2\t1\nAda_A\t1\t3\n", 2, "promises 4 pairs, and 1 follow"),
        (PAIRS + "Bo\t1\t2\n", 6, "promises 4 pairs, and 5 follow"),
        (PAIRS.replace("Ada_A\t1\t3", "Ada_A\t1"), 2, "found 2 fields"),
        (PAIRS.replace("Ada_A\t1\t3", "Ada_A\t1\tBo\t2"), 2, "found 4 fields"),
        (PAIRS.replace("Bo\t1\tAda_A\t3", "Bo\t1\t2"), 5, "found 3 fields"),
        (PAIRS.replace("Bo\t1\t2", "Bo\t1\t-2"), 4, "whole number"),
        (PAIRS.replace("Bo\t1\t2", "Bo\t1\t²"), 4, "whole number"),
        (PAIRS.replace("Ada_A\t1\tBo\t2", "Ada_A\t1\tAda_A\t2"), 3, "same person twice"),
    ],
)
def test_a_broken_lfw_list_is_refused_with_its_line(lfw_root: Path, text: str, line: int, what: str) -> None:
    path = write(lfw_root, "pairs.txt", text)
    error = refusal(lfw.view2, lfw_root)
    assert (error.path, error.line) == (path, line)
    assert f"{path}, line {line}: " in error.message
    assert what in error.message


def test_lfw_people_have_all_their_photos(lfw_root: Path) -> None:
    found = lfw.people(lfw_root).people
    assert [(person.identity, len(person.photos)) for person in found] == [("Ada_A", 3), ("Bo", 2)]
    assert found[0].photos[1] == lfw_root / "images/Ada_A/Ada_A_0002.jpg"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("2\n1\nAda_A\t3\n", 3, "ends before its 2 sets"),
        ("1\n2\nAda_A\t3\n", 2, "fewer than 2 people"),
        ("1\n1\nAda_A\t3\n1\nBo\t2\n", 4, "goes on"),
        ("1\n1\nAda_A\n", 3, "found 1 fields"),
        ("1\n1\nAda_A\tthree\n", 3, "whole number"),
    ],
)
def test_a_broken_people_list_is_refused_with_its_line(lfw_root: Path, text: str, line: int, what: str) -> None:
    write(lfw_root, "people.txt", text)
    error = refusal(lfw.people, lfw_root)
    assert error.line == line
    assert what in error.message


def test_a_person_without_a_photo_is_missing(lfw_root: Path) -> None:
    (lfw_root / "images/Bo/Bo_0002.jpg").unlink()
    with pytest.raises(DatasetMissing, match=r"Bo_0002\.jpg, named by line 5 of people\.txt"):
        lfw.people(lfw_root)


# --- lists of pairs in CSV ----------------------------------------------------------------------------------

CELEBA = "same,identity_a,file_a,identity_b,file_b\n1,7,a.jpg,7,b.jpg\n0,7,a.jpg,8,c.jpg\n"
DEEPFACE = "file_x,file_y,Decision\r\na.jpg,b.jpg,Yes\r\na.jpg,c.jpg,No"


@pytest.fixture
def celeba_root(tmp_path: Path) -> Path:
    touch(tmp_path / "images", "7/a.jpg", "7/b.jpg", "8/c.jpg")
    write(tmp_path, "pairs.csv", CELEBA)
    return tmp_path


@pytest.fixture
def deepface_root(tmp_path: Path) -> Path:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "pairs_master.csv", DEEPFACE)
    return tmp_path


def test_celeba_pairs_lie_in_folders_of_identities(celeba_root: Path) -> None:
    images = celeba_root / "images"
    assert celeba_wild.pairs(celeba_root).pairs == (
        VerificationPair(images / "7/a.jpg", images / "7/b.jpg", True, people=("7", "7")),
        VerificationPair(images / "7/a.jpg", images / "8/c.jpg", False, people=("7", "8")),
    )


def test_deepface_pairs_lie_beside_their_list(deepface_root: Path) -> None:
    assert deepface.pairs(deepface_root).pairs == (
        VerificationPair(deepface_root / "a.jpg", deepface_root / "b.jpg", True),
        VerificationPair(deepface_root / "a.jpg", deepface_root / "c.jpg", False),
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (CELEBA.replace("identity_a,file_a", "file_a,identity_a"), 1, "columns must be same,identity_a"),
        (CELEBA.replace("0,7,a", "no,7,a"), 3, "must be 0 or 1"),
        (CELEBA.replace("0,7,a", "1,7,a"), 3, "contradicts the identities"),
        (CELEBA.replace("1,7,a", "0,7,a"), 2, "contradicts the identities"),
        (CELEBA.replace("7,b.jpg", "7"), 2, "expected 5 fields, found 4"),
        (CELEBA.replace("b.jpg", '"b.jpg'), 2, "unexpected end"),
        ("same,identity_a,file_a,identity_b,file_b\n", 1, "no rows"),
        ("", 1, "the list is empty"),
    ],
)
def test_a_broken_celeba_list_is_refused_with_its_line(celeba_root: Path, text: str, line: int, what: str) -> None:
    write(celeba_root, "pairs.csv", text)
    error = refusal(celeba_wild.pairs, celeba_root)
    assert error.line == line
    assert what in error.message


def test_a_decision_other_than_yes_and_no_is_refused(deepface_root: Path) -> None:
    write(deepface_root, "pairs_master.csv", DEEPFACE.replace("No", "no"))
    error = refusal(deepface.pairs, deepface_root)
    assert (error.line, "must be Yes or No" in error.message) == (3, True)


# --- photos with known counts -------------------------------------------------------------------------------


def test_nonface_photos_are_divided_into_easy_and_hard(tmp_path: Path) -> None:
    touch(tmp_path, "easy/a.jpg", "hard/b.jpg", "hard/unlisted.jpg")
    write(tmp_path, "index.csv", 'file,source,terms\nhard/b.jpg,"zoo, wild",CC0\neasy/a.jpg,x,y\n')
    found = nonface.parts(tmp_path)
    assert found["easy"].photos == (CountedPhoto(tmp_path / "easy/a.jpg", (0,)),)
    assert found["hard"].photos == (CountedPhoto(tmp_path / "hard/b.jpg", (0,)),)
    assert found["hard"].name == "nonface/hard"


def test_nonface_photos_elsewhere_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "other/a.jpg")
    write(tmp_path, "index.csv", "file,source,terms\nother/a.jpg,x,y\n")
    assert refusal(nonface.parts, tmp_path).line == 2


def test_group_photos_carry_their_count_in_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "compreface_010_2.jpg", "compreface_016_0.jpg", "linzaer_1.jpg")
    assert [photo.counts for photo in groups.photos(tmp_path).photos] == [(2,), (0,)]


def test_group_photos_without_a_count_or_absent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="holds no photo"):
        groups.photos(tmp_path)
    with pytest.raises(DatasetMissing, match="folder"):
        groups.photos(tmp_path / "nowhere")
    touch(tmp_path, "compreface_010.jpg")
    with pytest.raises(DatasetError, match="must be compreface_NUMBER_FACES"):
        groups.photos(tmp_path)


ODD = "file,kind,expected_faces,source,note\na.jpg,EXIF,1,s,\nb.jpg,tiny,0 or 1,s,\nc.jpg,truncated,error,s,\n"


def test_odd_files_hold_a_count_a_choice_or_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "index.csv", ODD)
    found = odd_formats.photos(tmp_path).photos
    assert [(photo.counts, photo.kind) for photo in found] == [((1,), "EXIF"), ((0, 1), "tiny"), ((), "truncated")]
    assert [photo.must_be_refused for photo in found] == [False, False, True]


@pytest.mark.parametrize("expected", ["", "one", "0 or", "-1", "1 or error"])
def test_odd_counts_that_are_no_counts_are_refused(tmp_path: Path, expected: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(tmp_path, "index.csv", ODD.replace("0 or 1", expected))
    error = refusal(odd_formats.photos, tmp_path)
    assert (error.line, "`expected_faces`" in error.message) == (3, True)


def test_london_people_have_a_neutral_and_a_smiling_photo(tmp_path: Path) -> None:
    touch(tmp_path, "002/002_08.jpg", "002/002_03.jpg", "001/001_03.jpg", "001/001_08.jpg", "README.txt")
    found = london.people(tmp_path).people
    assert {person.photo_conditions for person in found} == {("neutral", "smiling")}
    assert [person.identity for person in found] == ["001", "002"]
    assert [photo.name for photo in found[1].photos] == ["002_03.jpg", "002_08.jpg"]
    (tmp_path / "001/001_08.jpg").unlink()
    with pytest.raises(DatasetMissing, match=r"001_08\.jpg"):
        london.people(tmp_path)
    with pytest.raises(DatasetMissing, match="no folder of a person"):
        london.people(tmp_path / "001")


# --- manifests ----------------------------------------------------------------------------------------------


def test_each_set_has_a_manifest_of_its_own_name() -> None:
    assert manifest_names() == tuple(READERS)
    assert [load_manifest(name).name for name in manifest_names()] == list(manifest_names())


MANIFEST = """
name = "x"
title = "X"
licence = "CC0"
terms = "Free."
citation = "X et al."
layout = "a.txt"
by_hand = "Ask."
[counts]
pairs = 2
[[files]]
path = "a.txt"
sources = ["https://example.org/a.txt"]
checksum = "md5:0123456789abcdef0123456789abcdef"
"""


def test_a_manifest_says_what_can_be_fetched() -> None:
    manifest = parse_manifest(MANIFEST)
    assert (manifest.title, manifest.counts) == ("X", {"pairs": 2})
    checksum = "md5:0123456789abcdef0123456789abcdef"
    assert manifest.files == (RemoteFile("a.txt", ("https://example.org/a.txt",), checksum),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "X"', 'title = "X"\nurl = "x"'),
        ("terms =", "term ="),
        ('"X"', '" "'),
        ('"CC0"', "0"),
        ("pairs = 2", "pairs = 0"),
        ("pairs = 2", "pairs = true"),
        ("md5:01", "md5:1"),
        ("md5:01", "crc:01"),
        ("https://example.org", "file://"),
        ('["https://example.org/a.txt"]', "[]"),
        ('path = "a.txt"', 'path = "../a.txt"'),
        ('path = "a.txt"', 'path = "b/a.txt"'),
        ('path = "a.txt"', 'path = "."'),
        ("checksum =", "sum ="),
    ],
)
def test_a_manifest_with_other_keys_or_values_is_refused(old: str, new: str) -> None:
    assert old in MANIFEST
    with pytest.raises(ValueError, match=r"validation errors? for Manifest"):
        parse_manifest(MANIFEST.replace(old, new))


def test_a_set_without_a_manifest_is_unknown() -> None:
    with pytest.raises(DatasetUnknown, match="lwf"):
        load_manifest("lwf")


# --- the real lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["celeba_wild", "deepface", "groups", "london", "nonface", "odd_formats"])
def test_the_test_data_are_what_the_manifests_promise(testdata: Path, name: str) -> None:
    assert check(load_manifest(name), testdata / name) == load_manifest(name).counts


def test_two_folds_of_lfw_are_a_part_of_it(testdata: Path) -> None:
    assert london.people(testdata / "london").people[0].labels["face_age"] == "24"
    with pytest.raises(DatasetError, match=r"sha256|1200 pairs of 6000"):
        check(load_manifest("lfw"), testdata / "lfw")
    assert check(load_manifest("lfw"), testdata / "lfw", partial=True)["pairs"] == 1200
