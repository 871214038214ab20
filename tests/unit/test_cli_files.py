"""Files about persons that the command line writes: who may read them, and what is there when it is stopped."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_api.v1 import gallery_pb2
from fr_client.cli.files import refused_file
from fr_client.cli.gallery import duplicates
from fr_client.private import private_file
from fr_client.unpack import Exported, write_export


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """Let the umask keep nobody out."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


SUBJECT = gallery_pb2.Subject(subject_id="s", templates=[gallery_pb2.Template(template_id=7)])


class Holding:
    """Holds the template of `SUBJECT`; looks at the folder when it is asked for that."""

    def __init__(self, folder: Path, error: BaseException | None = None) -> None:
        self.seen: dict[str, int] = {}
        self._folder = folder
        self._error = error

    def __call__(self, template_id: int) -> gallery_pb2.GetTemplateResponse:
        self.seen = {path.name: mode(path) for path in self._folder.iterdir()}
        if self._error is not None:
            raise self._error
        return gallery_pb2.GetTemplateResponse()


def test_an_archive_has_its_name_when_it_is_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    target, template = tmp_path / "out.zip", Holding(tmp_path)
    assert write_export(SUBJECT, template, target) == Exported(templates=1, photos=0)
    assert list(template.seen.values()) == [0o600]
    assert target.name not in template.seen
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert mode(target) == 0o600
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert "templates/7.json" in archive.namelist()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(28, "No space left on device")])
def test_of_an_archive_that_was_not_finished_nothing_is_left(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write_export(SUBJECT, Holding(tmp_path, error), tmp_path / "out.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_replaces_no_file_also_where_it_came_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"

    def write() -> None:
        with private_file(target, replace=False) as file:
            file.write(b"ours")
            target.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write()
    assert target.read_bytes() == b"theirs"
    with pytest.raises(FileExistsError):
        write_export(SUBJECT, Holding(tmp_path), target)
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_a_kill_leaves_no_half_of_a_file_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    program = (
        "import os, pathlib, signal, sys; from fr_client.private import private_file\n"
        "with private_file(pathlib.Path(sys.argv[1]), replace=False) as file:\n"
        "    file.write(bytes(100_000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, target], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.match(".fr-*.part")
    assert mode(left) == 0o600


def cluster() -> gallery_pb2.Cluster:
    return gallery_pb2.Cluster(number=1, size=1, members=[gallery_pb2.ClusterMember(template_id=7, subject_id="Zoë")])


def test_a_table_of_clusters_is_for_its_owner_also_where_it_replaces_one_for_all(tmp_path: Path) -> None:
    target = tmp_path / "clusters.csv"
    target.write_text("of yesterday")
    target.chmod(0o644)
    with duplicates._csv(target) as write:
        write(cluster())
        assert target.read_text() == "of yesterday"
    assert target.read_bytes().decode().splitlines()[1:] == ["1,1,,7,Zoë,0.000000"]
    assert mode(target) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_table_can_be_written_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with duplicates._csv(pipe) as write:
        write(cluster())
    assert os.read(reader, 1000).decode().splitlines()[1:] == ["1,1,,7,Zoë,0.000000"]
    os.close(reader)


def test_what_was_refused_is_for_the_owner_from_its_first_row_on(tmp_path: Path) -> None:
    for target in (tmp_path / "new.csv", tmp_path / "old.csv"):
        if target.name == "old.csv":
            target.write_text("of yesterday")
            target.chmod(0o644)
        with refused_file(target, ("photo", "reason")) as write:
            assert mode(target) == 0o600
            write(("Zoë.jpg", "NO_FACE"))
            assert target.read_text().splitlines() == ["photo,reason", "Zoë.jpg,NO_FACE"]
        assert mode(target) == 0o600


def test_what_was_refused_can_be_written_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with refused_file(pipe, ("photo",)) as write:
        write(("Zoë.jpg",))
    assert os.read(reader, 1000).decode().splitlines() == ["photo", "Zoë.jpg"]
    assert mode(pipe) == 0o644  # a device, such as /dev/null, is not ours to change
    os.close(reader)
