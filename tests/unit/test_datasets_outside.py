"""Data sets with links to outside files are refused: the server would read those with its own rights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from fr_datasets import nonface, odd_formats, people_folder
from fr_datasets.catalogue import READERS
from fr_datasets.errors import DatasetError

JPEG = b"\xff\xd8\xff"


def write(path: Path, data: bytes | str = JPEG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def people_of(root: Path) -> None:
    write(root / "Bo" / "1.jpg")
    write(root / "Bo" / "2.jpg")
    write(root / "labels.csv", "person,sex\nBo,m\n")


def london_of(root: Path) -> None:
    for number in ("03", "08"):
        write(root / "001" / f"001_{number}.jpg")
    write(root / "london_info.csv", "face_id,face_gender\n001,f\n")


def nonface_of(root: Path) -> None:
    write(root / "easy" / "1.jpg")
    write(root / "index.csv", ",".join(nonface.COLUMNS) + "\neasy/1.jpg" + "," * (len(nonface.COLUMNS) - 1) + "\n")


def odd_of(root: Path) -> None:
    write(root / "1.jpg")
    row = {"file": "1.jpg", "expected_faces": "1"}
    write(
        root / "index.csv",
        ",".join(odd_formats.COLUMNS) + "\n" + ",".join(row.get(c, "") for c in odd_formats.COLUMNS) + "\n",
    )


def pairs_of(root: Path) -> None:
    write(root / "1.jpg")
    write(root / "2.jpg")
    write(root / "pairs.csv", "a,b,mated\n1.jpg,2.jpg,1\n")


def groups_of(root: Path) -> None:
    write(root / "compreface_1_2.jpg")


def bins_of(root: Path) -> None:
    write(root / "lfw.bin", pickle.dumps(([JPEG, JPEG], [True]), protocol=4))


MADE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "people_folder": (people_of, ("Bo/2.jpg", "Bo", "labels.csv")),
    "london": (london_of, ("001/001_03.jpg", "001", "london_info.csv")),
    "nonface": (nonface_of, ("easy/1.jpg", "easy", "index.csv")),
    "odd_formats": (odd_of, ("1.jpg", "index.csv")),
    "pairs_csv": (pairs_of, ("2.jpg", "pairs.csv")),
    "groups": (groups_of, ("compreface_1_2.jpg",)),
    "insightface_bins": (bins_of, ("lfw.bin",)),
}
LINKS = [(name, link) for name, (_, links) in MADE.items() for link in links]


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str, link: str) -> None:
    make, read = MADE[name][0], READERS[name]
    root, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    make(root)
    (root / link).rename(elsewhere)
    (root / link).symlink_to(elsewhere)
    with pytest.raises(DatasetError, match=f"{Path(link).name}.* leads out of the folder"):
        read(root)


@pytest.mark.parametrize("name", MADE)
def test_control_a_set_behind_a_link_is_read(tmp_path: Path, name: str) -> None:
    make, read = MADE[name][0], READERS[name]
    make(tmp_path / "there")
    (tmp_path / "set").symlink_to(tmp_path / "there")
    assert read(tmp_path / "set") == read(tmp_path / "there")


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    people_of(tmp_path)
    (tmp_path / "Bo" / "3.jpg").symlink_to("1.jpg")
    assert people_folder.people(tmp_path).counts == {"people": 1, "photos": 3}


def test_a_list_that_leads_upwards_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "set"
    odd_of(root)
    write(tmp_path / "secret.jpg")
    index = (root / "index.csv").read_text()
    write(root / "index.csv", index.replace("1.jpg", "../secret.jpg"))
    with pytest.raises(DatasetError, match="leads out of the folder"):
        odd_formats.photos(root)
