"""The next start deletes the temporary folders of killed servers and commands, and no others.

Run as a script, this file holds such a folder until it is killed.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_files.scratch import scratch_folder
from fr_trust.access.principal import Role
from support.commands import script
from support.counts import count
from support.secured import HOST, made, started_secured

KILLS = count("SCRATCH_KILLS")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(folder)


def test_servers_that_are_killed_leave_nothing_after_the_next_start(tmp_path: Path, temporary: Path) -> None:
    at = made(tmp_path / "srv")
    for turn in range(KILLS):
        with started_secured(tmp_path / f"run{turn}", at) as server:
            assert len(list(temporary.iterdir())) == 1
            server.process.kill()
            server.process.wait()
        assert len(list(temporary.iterdir())) == 1
    with scratch_folder() as folder:
        assert list(temporary.iterdir()) == [folder]
    assert not list(temporary.iterdir())


def test_the_folder_of_a_living_server_is_left_alone(tmp_path: Path, temporary: Path) -> None:
    at = made(tmp_path / "srv")
    token = at.key(Role.OPERATOR)
    with started_secured(tmp_path / "run", at) as server:
        (living,) = temporary.iterdir()
        with scratch_folder() as folder:
            assert {*temporary.iterdir()} == {living, folder}
        with at.channel(f"{HOST}:{server.address.rpartition(':')[2]}", token) as channel:
            gallery_pb2_grpc.GalleryServiceStub(channel).ListGalleries(gallery_pb2.ListGalleriesRequest(), timeout=30)


def test_a_folder_goes_with_its_process_however_that_ends(temporary: Path) -> None:
    with script(__file__) as first, script(__file__) as second:
        one, other = Path(first.line()), Path(second.line())
        first.kill()
        first.wait()
        assert one.is_dir()
        with scratch_folder() as folder:
            assert {*temporary.iterdir()} == {other, folder}
            assert folder.stat().st_mode & 0o777 == 0o700


def test_nothing_else_is_deleted(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (temporary / "fr-run-link").symlink_to(tmp_path / "kept")
    (temporary / "fr-run-file").touch()
    (temporary / "other").mkdir()
    with scratch_folder():
        pass
    assert {path.name for path in temporary.iterdir()} == {"fr-run-link", "fr-run-file", "other"}
    assert (tmp_path / "kept").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a folder of another user")
def test_a_folder_of_another_user_is_left_alone(temporary: Path) -> None:
    (temporary / "fr-run-theirs").mkdir()
    os.chown(temporary / "fr-run-theirs", 12345, 12345)
    with scratch_folder():
        assert (temporary / "fr-run-theirs").is_dir()


if __name__ == "__main__":
    with scratch_folder() as held:
        (held / "file").write_text("something")
        print(held, flush=True)  # noqa: T201 - the test reads it
        input()
