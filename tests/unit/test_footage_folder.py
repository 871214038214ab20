"""The folder of footage, when callers compete, the disk is nearly full, or a process died."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fr_core.errors import StorageLow
from fr_core.storage.keys import KeyEncryptionKey
from fr_server.storage.footage import FootageFolder, FootageRules, StoredVideo
from fr_video.errors import TooManyVideos

SAMPLING = ((1, 1), (1, 5))
KEY = KeyEncryptionKey(bytes(32))
MIB = 2**20


def opened(path: Path, per_caller: int = 8, reserve_bytes: int = 0) -> FootageFolder:
    return FootageFolder(path / "footage", KEY, FootageRules(10 * MIB, 10**6, per_caller, reserve_bytes), lambda: 1000)


def announced(folder: FootageFolder, number: int, owner: str = "a", size: int = 3 * MIB) -> StoredVideo:
    return folder.video(owner, folder.announce(owner, f"{number:064x}", size, SAMPLING))


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two threads ask for room on the disk at once, if both may."""
    both, statvfs = threading.Barrier(2), os.statvfs

    def met(path: Path) -> os.statvfs_result:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return statvfs(path)

    monkeypatch.setattr(os, "statvfs", met)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [one.result() for one in [threads.submit(call) for call in calls]]


def test_chunks_leave_the_disk_its_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several announcements found room enough for itself."""
    free = [4 * MIB]
    disk = SimpleNamespace(f_frsize=1, f_blocks=100 * MIB)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**vars(disk), f_bavail=free[0]))
    folder = opened(tmp_path, reserve_bytes=MIB // 2)
    first, second = announced(folder, 1), announced(folder, 2)
    first.add(0, bytes(3 * MIB))
    free[0] -= 3 * MIB
    with pytest.raises(StorageLow):
        second.add(0, bytes(MIB))
    assert second.received_bytes == 0
    first.delete()
    free[0] += 3 * MIB
    second.add(0, bytes(MIB))
    assert second.received_bytes == MIB


@pytest.mark.usefixtures("together")
def test_announcements_at_once_do_not_exceed_the_limit_of_a_caller(tmp_path: Path) -> None:
    folder = opened(tmp_path, per_caller=2)

    def one(number: int) -> str:
        try:
            return announced(folder, number).video_id
        except TooManyVideos:
            return ""

    made = at_once([lambda number=number: one(number) for number in range(16)])  # type: ignore[misc]
    assert sum(map(bool, made)) == 2


@pytest.mark.usefixtures("together")
def test_the_same_announcement_at_once_is_one_video(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    assert len(set(at_once([lambda: announced(folder, 1).video_id] * 8))) == 1


def test_videos_come_and_go_while_others_are_announced(tmp_path: Path) -> None:
    folder = opened(tmp_path)

    def come_and_go(owner: str) -> None:
        for number in range(60):
            announced(folder, number, owner).delete()

    at_once([lambda owner=owner: come_and_go(owner) for owner in "abcd"])  # type: ignore[misc]


def test_footage_that_a_dead_process_left_beside_its_result_is_deleted(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    video = announced(folder, 1, size=4)
    video.add(0, b"film")
    video.finish(b"result")
    video.footage.write_bytes(b"film")  # as it is if the process dies in between
    opened(tmp_path).purge()
    assert not video.footage.exists()
    assert video.result() == b"result"


def test_the_parts_of_a_result_are_durable_before_the_result_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut would leave a result whose footage is gone, and whose tracks are empty."""
    fsync, durable = os.fsync, list[str]()

    def noted(file: int) -> None:
        durable.append(Path(f"/proc/self/fd/{file}").readlink().name.split(".")[0])
        fsync(file)

    video = announced(opened(tmp_path), 1, size=4)
    video.add(0, b"film")
    monkeypatch.setattr(os, "fsync", noted)
    video.put("track-1", b"track")
    video.put("crop-1-0", b"crop")
    video.finish(b"result")
    assert durable == ["track-1", "crop-1-0", video.video_id, "result", video.video_id]


@pytest.mark.parametrize("damaged", [b"", b"nonsense", b"\xff\0", b"1 2 3", b"1 nan", b"-1 0.0", b"9" * 30 + b" 1.0"])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, damaged: bytes) -> None:
    folder = opened(tmp_path)
    video = announced(folder, 1)
    video.tell(3, 0.5)
    assert video.told() == (3, 0.5)
    (tmp_path / "footage" / video.video_id / "progress").write_bytes(damaged)
    assert video.told() == (0, 0.0)
