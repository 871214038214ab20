"""Data sets from hostile hands: links to outside files are refused, and nothing that a .bin file names is ever run."""

import os
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_datasets import bins, nonface, odd_formats, people_folder
from fr_datasets.catalogue import READERS
from fr_datasets.errors import BinMalformed, DatasetError, DatasetMissing
from fr_datasets.plain_pickle import PickleRefused, load_plain

JPEG, PNG = b"\xff\xd8\xff\xe0one", b"\x89PNG\r\n\x1a\ntwo"


Files = Mapping[str, bytes | str]


def make(root: Path, files: Files) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def row(columns: Sequence[str], **values: str) -> str:
    """A list of one row."""
    return ",".join(columns) + "\n" + ",".join(values.get(column, "") for column in columns) + "\n"


PEOPLE: Files = {"Bo/1.jpg": JPEG, "Bo/2.jpg": JPEG, "labels.csv": "person,sex\nBo,m\n"}
ODD: Files = {"1.jpg": JPEG, "index.csv": row(odd_formats.COLUMNS, file="1.jpg", expected_faces="1")}


# For each set its files, and which of them are exchanged for a link.
MADE: dict[str, tuple[Files, tuple[str, ...]]] = {
    "people_folder": (PEOPLE, ("Bo/2.jpg", "Bo", "labels.csv")),
    "london": (
        {
            **dict.fromkeys(("001/001_03.jpg", "001/001_08.jpg"), JPEG),
            "london_info.csv": "face_id,face_gender\n001,f\n",
        },
        ("001/001_03.jpg", "001", "london_info.csv"),
    ),
    "nonface": (
        {"easy/1.jpg": JPEG, "index.csv": row(nonface.COLUMNS, file="easy/1.jpg")},
        ("easy/1.jpg", "easy", "index.csv"),
    ),
    "odd_formats": (ODD, ("1.jpg", "index.csv")),
    "pairs_csv": ({"1.jpg": JPEG, "2.jpg": JPEG, "pairs.csv": "a,b,mated\n1.jpg,2.jpg,1\n"}, ("2.jpg", "pairs.csv")),
    "groups": ({"compreface_1_2.jpg": JPEG}, ("compreface_1_2.jpg",)),
    "youtube_faces": (
        {
            "frame_images_DB/Bo/0/0.1.jpg": JPEG,
            "frame_images_DB/Bo.labeled_faces.txt": "Bo\\0\\0.1.jpg,0,9,9,9,9,0,1\n",
        },
        ("frame_images_DB/Bo/0/0.1.jpg", "frame_images_DB/Bo", "frame_images_DB/Bo.labeled_faces.txt"),
    ),
    "chokepoint": (
        {
            "A_C1/0.jpg": JPEG,
            "Still/Neutral/ID1.jpg": JPEG,
            "groundtruth/A_C1.xml": '<dataset><frame number="0"/></dataset>',
        },
        ("A_C1/0.jpg", "groundtruth/A_C1.xml", "Still/Neutral/ID1.jpg"),
    ),
    "insightface_bins": ({"lfw.bin": pickle.dumps(([JPEG, JPEG], [True]), protocol=4)}, ("lfw.bin",)),
}
LINKS = [(name, link) for name, (_, links) in MADE.items() for link in links]


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str, link: str) -> None:
    root, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    make(root, MADE[name][0])
    (root / link).rename(elsewhere)
    (root / link).symlink_to(elsewhere)
    with pytest.raises(DatasetError, match=f"{Path(link).name}.* leads out of the folder"):
        READERS[name](root)


@pytest.mark.parametrize("name", MADE)
def test_control_a_set_behind_a_link_is_read(tmp_path: Path, name: str) -> None:
    make(tmp_path / "there", MADE[name][0])
    (tmp_path / "set").symlink_to(tmp_path / "there")
    assert READERS[name](tmp_path / "set") == READERS[name](tmp_path / "there")


def test_a_link_within_the_folder_is_followed_and_a_list_upwards_refused(tmp_path: Path) -> None:
    make(tmp_path, PEOPLE)
    (tmp_path / "Bo" / "3.jpg").symlink_to("1.jpg")
    assert people_folder.people(tmp_path).counts == {"people": 1, "photos": 3}
    root = tmp_path / "set"
    make(root, {**ODD, "../secret.jpg": JPEG})
    (root / "index.csv").write_text(row(odd_formats.COLUMNS, file="../secret.jpg", expected_faces="1"))
    with pytest.raises(DatasetError, match="leads out of the folder"):
        odd_formats.photos(root)


leaves = st.binary(max_size=400) | st.booleans() | st.integers()
plain = st.recursive(leaves, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=30)


def python_2(crops: list[bytes], labels: list[bool]) -> bytes:
    """A pickle as Python 2 wrote it by protocol 2: BINSTRING, SHORT_BINSTRING, a memo for each value."""
    long, short = crops[0], crops[1]
    parts = [b"\x80\x02]q\x00(T" + len(long).to_bytes(4, "little") + long + b"q\x01"]
    parts += [b"U" + bytes([len(short)]) + short + b"q\x02e]q\x03("]
    parts += [b"\x88" if label else b"\x89" for label in labels]
    return b"".join([*parts, b"e\x86q\x04."])


def write_bin(folder: Path, content: Any, protocol: int = 4) -> Path:
    path = folder / "lfw.bin"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("form", [tuple, list])
def test_crops_and_labels_become_pairs_with_folds(tmp_path: Path, protocol: int, form: type) -> None:
    crops, labels = [JPEG, PNG, PNG, JPEG] * 10, [True, False] * 10
    found = bins.crop_pairs(write_bin(tmp_path, form([crops, labels]), protocol))
    assert (found.name, found.crops, found.mated) == ("lfw", tuple(crops), tuple(labels))
    assert found.folds == tuple(fold for fold in range(1, 11) for _ in range(2))
    assert bins.contents(tmp_path) == {"lfw_pairs": 20}
    found = bins.crop_pairs(write_bin(tmp_path, python_2([JPEG * 100, PNG], [True])))
    assert (found.crops, found.mated, found.folds) == ((JPEG * 100, PNG), (True,), (1,))


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_values_come_back_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert load_plain(pickle.dumps(value, protocol=protocol)) == value


@given(plain, st.integers(0, 2000), st.binary(min_size=1, max_size=1))
def test_a_changed_or_cut_pickle_is_plain_or_refused(value: Any, place: int, byte: bytes) -> None:
    data = pickle.dumps(value, protocol=4)
    place %= len(data)
    for broken in (data[:place], data[:place] + byte + data[place + 1 :]):
        with suppress(PickleRefused):
            load_plain(broken)


@given(st.binary(max_size=200))
def test_any_bytes_are_plain_or_refused(data: bytes) -> None:
    with suppress(PickleRefused):
        load_plain(data)


class Runs:
    """Unpickled, it makes a file: what a malicious pickle would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_names_a_function_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    path = write_bin(tmp_path, ([JPEG, Runs(trace)], [True]), protocol)
    with pytest.raises(BinMalformed, match=r"the pickle holds \w+"):
        bins.crop_pairs(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the control: Python's own unpickler runs it
    assert trace.exists()


# Every opcode that can name, call or build something, or that reaches out of the file.
DANGEROUS = ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
OUTSIDE = ("PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER")


def test_no_opcode_that_calls_or_reaches_out_is_known() -> None:
    named = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
    for name in (*DANGEROUS, *OUTSIDE):
        with pytest.raises(PickleRefused, match=rf"the pickle holds {name},"):
            load_plain(b"\x80\x04)" + named[name] + b"\x01\x00\x00\x00\nx\n.")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b".", b"N.", b"]a.", b")(a.", b"(e.", b")]e.", b"h\x01.", b")).", b"\x80\x04"),
        b"\x8e" + b"\xff" * 8 + b".",
    ],
)
def test_a_pickle_out_of_joint_is_refused(data: bytes) -> None:
    with pytest.raises(PickleRefused):
        load_plain(data)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([JPEG, PNG], "two lists"),
        (([JPEG, PNG], [True], []), "two lists"),
        (([], []), "0 crops for 0 labels"),
        (([JPEG, PNG, JPEG], [True]), "3 crops for 1 labels"),
        (([JPEG, b"GIF89a"], [True]), "Crop 2 of .* neither"),
        (([JPEG, 7], [True]), "Crop 2 of .* neither"),
        (([JPEG, PNG], [2]), "Label 1 of .* not a boolean"),
        (([JPEG, PNG], [JPEG]), "Label 1 of .* not a boolean"),
        (([np.zeros(4, np.uint8), PNG], [True]), "protocol 3 to 5"),
        (pickle.dumps(([JPEG, PNG], [True]), protocol=2), "protocol 3 to 5"),
        (pickle.dumps(([JPEG, PNG], [True]))[:-3], "cut off"),
        (b"no pickle", "cut off, or is not a pickle"),
    ],
)
def test_a_bin_of_another_form_is_refused(tmp_path: Path, content: Any, what: str) -> None:
    with pytest.raises(BinMalformed, match=what):
        bins.crop_pairs(write_bin(tmp_path, content))


def test_a_bin_that_is_absent_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetMissing, match=r"no \.bin file"):
        bins.contents(tmp_path)
    with pytest.raises(DatasetMissing, match=r"lfw\.bin"):
        bins.crop_pairs(tmp_path / "lfw.bin")
    path = write_bin(tmp_path, ([JPEG, PNG], [True]))
    monkeypatch.setattr(bins, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(BinMalformed, match="it has more than"):
        bins.crop_pairs(path)
