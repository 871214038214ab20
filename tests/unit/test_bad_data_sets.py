"""Bad input to `fr evaluate verification` and `fr dataset`, as typed: one line, with its place, and no traceback."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import fr_core.engine
from fr_bench.cli import evaluate
from fr_datasets.cli import dataset
from fr_datasets.fetch import PARTS
from support import photos as squares

GOOD = "a,b,mated\na.png,b.png,1\na.png,c.png,0\n"
LONG = "9" * 5000
Content = str | bytes | int | None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the user's own links, and with an engine that needs no models."""
    monkeypatch.setenv("FR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(fr_core.engine, "open_engine", lambda *_: squares.engine())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay_out(tmp_path / "set", {"a.png": 0, "b.png": 0, "c.png": 90})
    return tmp_path / "set"


def lay_out(root: Path, files: Mapping[str, Content]) -> None:
    """Text or bytes as they are, a number as a photo of the person of that colour, None as a photo of nobody."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, (str, bytes)):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            squares.face(path, content)


def measure(root: Path, name: str = "pairs_csv", *options: str) -> Result:
    return CliRunner().invoke(evaluate, ["verification", "--dataset", name, "--root", str(root), *options])


def report(root: Path) -> dict[str, Any]:
    result = measure(root, "pairs_csv", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def assert_told(result: Result, status: int, code: str, words: str) -> None:
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"{code}: [^\n]*\n", result.stderr), result.stderr
    assert words in result.stderr


MALFORMED = "DATASET_MALFORMED"
HEADER = "line 1: the columns must be a,b,mated or a,b,mated,fold, and are "


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        # the header
        ("b,a,mated\na.png,b.png,1\n", MALFORMED, HEADER + "'b,a,mated'"),
        ("a,b\na.png,b.png\n", MALFORMED, HEADER + "'a,b'"),
        ("a,b,mated,sex\na.png,b.png,1,f\n", MALFORMED, HEADER + "'a,b,mated,sex'"),
        ("a;b;mated\na.png;b.png;1\n", MALFORMED, HEADER + "'a;b;mated'"),
        (f"{LONG},b\n", MALFORMED, HEADER + "'9999"),
        ("x" * 200_000 + "\n", MALFORMED, "line 1: the header is not CSV"),
        ("", MALFORMED, "line 1: the list is empty"),
        ("\n\r\n", MALFORMED, "line 1: the list is empty"),
        ("a,b,mated\n\n", MALFORMED, "line 1: the list has no rows"),
        # rows
        (GOOD + "a.png,b.png\n", MALFORMED, "line 4: expected 3 fields, found 2"),
        ("a,b,mated\n\na.png,b.png,1\n", MALFORMED, "line 2: expected 3 fields, found 0"),
        ('a,b,mated\na.png,"b.png,1\na.png,c.png,0\n', MALFORMED, "line 2: the row is not CSV"),
        ("a,b,mated\na.png," + "x" * 200_000 + ",1\n", MALFORMED, "line 2: the row is not CSV"),
        # labels and folds
        (GOOD + "b.png,c.png,2\n", MALFORMED, "line 4: `mated` must be 0 or 1, and is '2'"),
        ("a,b,mated\na.png,b.png,yes\n", MALFORMED, "line 2: `mated` must be 0 or 1, and is 'yes'"),
        ("a,b,mated\na.png,b.png,\n", MALFORMED, "line 2: `mated` must be 0 or 1, and is ''"),
        ("a,b,mated,fold\na.png,b.png,1,0\n", MALFORMED, "line 2: expected a whole number from 1, found '0'"),
        (f"a,b,mated,fold\na.png,b.png,1,{LONG}\n", MALFORMED, "line 2: expected a whole number from 1"),
        (f"a,b,mated,fold\na.png,b.png,1,{2**63}\n", MALFORMED, "line 2: expected a whole number from 1"),
        # pairs that are none
        ("a,b,mated\na.png,a.png,1\n", MALFORMED, "line 2: the pair names one photo twice"),
        ("a,b,mated\na.png,./x/../a.png,1\n", MALFORMED, "line 2: the pair names one photo twice"),
        (GOOD + "a.png,b.png,1\n", MALFORMED, "line 4: the pair is there already, in line 2"),
        (GOOD + "c.png,./a.png,1\n", MALFORMED, "line 4: the pair is there already, in line 3"),
        # photos
        (GOOD + "a.png,nobody.png,0\n", "DATASET_MISSING", "nobody.png, named by line 4 of pairs.csv, is not there"),
        ("a,b,mated\n,b.png,1\n", MALFORMED, "line 2: no photo is named"),
        ("a,b,mated\na.png,../out.png,1\n", MALFORMED, "line 2: the photo lies outside of the folder"),
        ("a,b,mated\na.png,x/../../out.png,1\n", MALFORMED, "line 2: the photo lies outside of the folder"),
        ("a,b,mated\na.png,/etc/hostname,1\n", MALFORMED, "line 2: the photo lies outside of the folder"),
        (f"a,b,mated\na.png,{LONG},1\n", "DATASET_UNREADABLE", "named by line 2 of pairs.csv cannot be looked up"),
        # the text
        (b"a,b,mated\na.png,b\xff.png,1\n", MALFORMED, "line 2: the text is not UTF-8"),
        (GOOD.encode("utf-16"), MALFORMED, "line 1: the text is not UTF-8"),
        ("a,b,mated\na.png,b\0.png,1\n", MALFORMED, "line 2: the line holds a control character"),
        ("a,b,mated\r\na.png,\x1b[2J,1\r\n", MALFORMED, "line 2: the line holds a control character"),
        ("a,b,mated\na.png,b\x9b2J.png,1\n", MALFORMED, "line 2: the line holds a control character"),
        ("a,b,mated\na.png,b\u2028.png,1\n", "DATASET_MISSING", "named by line 2 of pairs.csv, is not there"),
    ],
)
def test_a_wrong_list_is_told_with_its_line(root: Path, text: str | bytes, code: str, words: str) -> None:
    lay_out(root, {"pairs.csv": text, "../out.png": 0})
    assert_told(measure(root), 2, code, words)


@pytest.mark.parametrize(
    "text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\r"), GOOD + "\n \r\n", GOOD.strip()]
)
def test_a_list_may_come_from_any_editor(root: Path, text: str) -> None:
    lay_out(root, {"pairs.csv": GOOD})
    expected = report(root)
    lay_out(root, {"pairs.csv": text})
    found = report(root)
    assert found["dataset"]["list_sha256"] == expected["dataset"]["list_sha256"]
    assert found["pairs"] == expected["pairs"] == expected["pairs"] | {"mated": 1, "nonmated": 1}


def listed(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Makes something in place of the list."""

    def change(root: Path) -> Path:
        make(root / "pairs.csv")
        return root

    return change


def loop(root: Path) -> Path:
    (root / "loop").symlink_to("loop")
    return root / "loop"


def name_in_bytes(root: Path) -> Path:
    folder = Path(os.fsdecode(os.fsencode(root) + b"\xff"))
    lay_out(folder, {"pairs.csv": GOOD, "a.png": 0, "b.png": 0, "c.png": 90})
    return folder


def loop_as_photo(root: Path) -> Path:
    lay_out(root, {"pairs.csv": GOOD})
    (root / "c.png").unlink()
    (root / "c.png").symlink_to("c.png")
    return root


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def second_name(root: Path) -> Path:
    lay_out(root, {"pairs.csv": "a,b,mated\na.png,same.png,1\n"})
    (root / "same.png").symlink_to("a.png")
    return root


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda root: root, "DATASET_MISSING", "pairs.csv is not there. Complete the data set"),
        (lambda root: root / "nowhere", "DATASET_MISSING", "pairs.csv is not there"),
        (lambda root: root / "a.png", "DATASET_MISSING", "a.png is not a folder"),
        (loop, "DATASET_UNREADABLE", "symbolic links"),
        (listed(lambda path: path.symlink_to(path.name)), "DATASET_UNREADABLE", "pairs.csv cannot be read: "),
        (listed(Path.mkdir), "DATASET_UNREADABLE", "pairs.csv cannot be read: "),
        (listed(os.mkfifo), "DATASET_UNREADABLE", "pairs.csv cannot be read: not a regular file"),
        (listed(huge), "DATASET_UNREADABLE", "pairs.csv is larger than 268435456 bytes"),
        (name_in_bytes, "DATASET_UNREADABLE", "\\udcff/pairs.csv' is not UTF-8. Rename it"),
        (loop_as_photo, "DATASET_MISSING", "c.png, named by line 3 of pairs.csv, is not there"),
        (second_name, MALFORMED, "line 2: the pair names one photo twice"),
    ],
)
def test_a_wrong_place_is_told(root: Path, change: Callable[[Path], Path], code: str, words: str) -> None:
    assert_told(measure(change(root)), 2, code, words)


@pytest.mark.parametrize("name", [b"Cy\xff/1.png", b"Bo/2\xff.png"])
def test_a_name_that_is_no_text_is_told(root: Path, name: bytes) -> None:
    lay_out(root / "people", {"Ada/1.png": 0, "Bo/1.png": 90, os.fsdecode(name): 90})
    assert_told(measure(root / "people", "people_folder"), 2, "DATASET_UNREADABLE", "\\udcff")


def test_a_name_does_not_command_the_terminal(root: Path) -> None:
    lay_out(root / "people", {"Ada/1.png": 0, "Bo/\x1b[2J\n\x9b1m\x7f.txt": ""})
    words = r"Bo/\x1b[2J\n\x9b1m\x7f.txt is not a photo"
    assert_told(measure(root / "people", "people_folder"), 2, "DATASET_UNUSABLE", words)
    assert_told(invoke("verify", "people_folder", "--root", str(root / "people")), 1, "DATASET_UNUSABLE", words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pairs.csv", "pairs.csv cannot be read: Permission denied"),
        ("x/d.png", "d.png, named by line 4 of pairs.csv, may not be read"),
        ("x", "named by line 4 of pairs.csv cannot be looked up: Permission denied"),
    ],
)
def test_what_may_not_be_read_is_told(root: Path, name: str, words: str) -> None:
    lay_out(root, {"pairs.csv": GOOD + "a.png,x/d.png,0\n", "x/d.png": 90})
    (root / name).chmod(0)
    if os.access(root / name, os.R_OK):
        pytest.skip("this user may read everything")
    try:
        assert_told(measure(root), 2, "DATASET_UNREADABLE", words)
        assert_told(invoke("verify", "pairs_csv", "--root", str(root)), 1, "DATASET_UNREADABLE", words)
    finally:
        (root / name).chmod(0o700)


ADA = {f"images/Ada/Ada_000{number}.jpg": 0 for number in (1, 2)} | {"images/Bo/Bo_0001.jpg": 90}
CFP = {"Protocol/Pair_list_F.txt": "1 ../Data/1.jpg\n2 ../../out.png\n", "Data/1.jpg": 0}
CELEBA = "same,identity_a,file_a,identity_b,file_b\n0,..,../a.png,1,b.png\n"


@pytest.mark.parametrize(
    ("name", "files", "code", "words"),
    [
        ("lfw", {"pairs.txt": "1 1\nAda 1 2\nAda 1 Zed 1\n"}, "DATASET_MISSING", "Zed_0001.jpg, named by line 3 of"),
        ("lfw", {"pairs.txt": f"1 {LONG}\nAda 1 2\n"}, MALFORMED, "line 1: expected a whole number"),
        ("lfw", {"pairs.txt": "1 1\nAda 1 2\n../Ada 1 Bo 1\n"}, MALFORMED, "line 3: the photo lies outside"),
        ("agedb30", {"agedb_30_pair.txt": "a.png ../../out.png 1\n"}, MALFORMED, "line 1: the photo lies outside"),
        ("calfw", {"pairs_CALFW.txt": f"a.png {LONG}\nb.png 1\n"}, MALFORMED, "line 1: the label must be a number"),
        ("cplfw", {"pairs_CPLFW.txt": "/etc/hostname 1\na.png 1\n"}, MALFORMED, "line 1: the photo lies outside"),
        ("cfp", CFP, MALFORMED, "line 2: the photo lies outside"),
        ("celeba_wild", {"pairs.csv": CELEBA}, MALFORMED, "line 2: the photo lies outside"),
        ("deepface", {"pairs_master.csv": "file_x,file_y,Decision\n../out.png,a.png,No\n"}, MALFORMED, "outside"),
        ("lfv", {}, "DATASET_UNKNOWN", "'lfv'. Did you mean lfw?"),
        ("groups", {}, "DATASET_UNKNOWN", "The data set groups has no pairs; those with pairs are agedb30"),
    ],
)
def test_wrong_lists_of_others_are_told(
    root: Path, name: str, files: Mapping[str, Content], code: str, words: str
) -> None:
    lay_out(root, ADA | {"images/a.png": 0, "images/b.png": 0, "../out.png": 0} | dict(files))
    assert_told(measure(root, name), 2, code, words)


FIGURES = ("accuracy", "accuracy_at_best_threshold", "equal_error_rate", "auc", "at_default_threshold")


@pytest.mark.parametrize(
    ("files", "failures"),
    [
        ({"pairs.csv": "a,b,mated\na.png,b.png,1\n"}, {}),
        ({"pairs.csv": "a,b,mated\na.png,c.png,0\n"}, {}),
        ({"pairs.csv": GOOD, "a.png": None, "b.png": None, "c.png": None}, {"NO_FACE": 3}),
        ({"pairs.csv": GOOD, "a.png": b"", "b.png": b"some text", "c.png": None}, {"NO_FACE": 1, "UNDECODABLE": 2}),
    ],
    ids=["only mated", "only non-mated", "no face", "no photo"],
)
def test_figures_of_an_empty_class_are_undefined(
    root: Path, files: Mapping[str, Content], failures: Mapping[str, int]
) -> None:
    lay_out(root, files)
    keys = report(root)
    assert keys["failure_reasons"] == failures
    assert all(keys[name] is None for name in FIGURES)
    assert keys["undefined"].keys() >= {*FIGURES, "det"} - {"equal_error_rate"}
    assert not any(rate["supported"] for rate in keys["fnmr_at_fmr"].values())
    told = measure(root).stdout
    assert "undefined" in told
    assert "decided rightly" not in told
    assert "With the threshold" not in told


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(dataset, list(arguments))


@pytest.mark.parametrize(("place", "words"), [("a.png", "cannot be written"), ("broken", "cannot be read. Remove it")])
def test_a_home_that_is_none_is_told(root: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str) -> None:
    lay_out(root, {"pairs.csv": GOOD, "broken/datasets/links.toml/x": ""})
    monkeypatch.setenv("FR_HOME", str(root / place))
    assert_told(invoke("link", "pairs_csv", "--root", str(root)), 1, "DATASET_UNUSABLE", words)


IJB = {
    "meta/ijbb_face_tid_mid.txt": "a.jpg 1 10\nb.jpg 2 11\n",
    "meta/ijbb_name_5pts_score.txt": f"a.jpg {'1 ' * 10}.9\nb.jpg {'1 ' * 10}.9\n",
    "loose_crop/a.jpg": "",
    "loose_crop/b.jpg": "",
}


@pytest.mark.timeout(20)
def test_pipes_in_place_of_lists_are_not_waited_for(root: Path, tmp_path: Path) -> None:
    lay_out(root, IJB)
    os.mkfifo(root / "meta/ijbb_template_pair_label.txt")
    told = invoke("verify", "ijbb", "--root", str(root), "--partial")
    assert_told(told, 1, "DATASET_UNREADABLE", "pair_label.txt cannot be read: not a regular file")
    (tmp_path / "home/datasets").mkdir(parents=True)
    os.mkfifo(tmp_path / "home/datasets/links.toml")
    assert_told(invoke("list"), 1, "DATASET_UNUSABLE", "links.toml cannot be read. Remove it")


def test_a_set_whose_fetch_was_cut_off_is_incomplete_unless_a_part_is_meant(root: Path) -> None:
    lay_out(root, ADA | {"pairs.txt": "1 1\nAda 1 2\nAda 1 Bo 1\n", f"{PARTS}/lfw.md5-68331da3eb755a50.part": b"x"})
    for command in ("verify", "link"):
        result = invoke(command, "lfw", "--root", str(root))
        assert_told(result, 1, "DATASET_INCOMPLETE", f"`fr dataset fetch lfw --root {root}` goes on")
    assert invoke("link", "lfw", "--root", str(root), "--partial").exit_code == 0
    assert "(a part)" in invoke("list").stdout
