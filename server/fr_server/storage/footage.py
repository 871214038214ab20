"""Keeps footage while it arrives and is analyzed, and the encrypted result until it expires.

Each video is a folder of mode 0700, which the processes of a server share. The footage lies there as it came, because
the decoder reads it from a file; it is deleted when the analysis ends. The result is encrypted under a key derived from
that of the galleries. The folder is not a store: lost footage can be sent again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fr_core.errors import StorageLow, StoreFailed, message
from fr_core.storage.data_folder import make_folder
from fr_core.storage.durable import cause, sync, write_private
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import DataKey
from fr_video.errors import TooManyVideos, UnknownVideo, VideoIncomplete, VideoTooLarge

_ID = re.compile(r"[0-9a-f]{32}")
_HEAD, _FOOTAGE, _PROGRESS, _RESULT, _WORK = "head", "footage", "progress", "result", "work"
_LOCK = "lock"  # while a video is announced
# A folder without a readable head: of a process that died while it made it.
_ORPHAN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Announced:
    """The announcement of a video."""

    owner: str  # principal_id
    sha256: str  # of the file, 64 hexadecimal digits
    size_bytes: int
    interval: tuple[int, int]  # seconds between frames looked at, numerator and denominator
    motion_interval: tuple[int, int]
    created_ms: int


@dataclass(frozen=True, slots=True)
class FootageRules:
    """The limits of the footage of a server."""

    max_bytes: int  # of a file
    keep_ms: int  # after which a video is deleted
    per_caller: int  # videos of one caller at a time
    reserve_bytes: int  # that the disk keeps free


class FootageFolder:
    """The videos of a server; for several threads and processes. The folder is made for the first video.

    Raises `StoreFailed`: the folder cannot be used; this for every method.
    """

    def __init__(self, folder: Path, key: KeyEncryptionKey, rules: FootageRules, clock_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._key = DataKey(hashlib.blake2b(b"footage", key=key.secret, digest_size=32, person=b"fr-footage").digest())
        self._clock_ms = clock_ms
        self.rules = rules

    def announce(
        self, owner: str, sha256: str, size_bytes: int, sampling: tuple[tuple[int, int], tuple[int, int]]
    ) -> str:
        """Return the id of the video that the owner announced like this before, or of a new one.

        Raises `VideoTooLarge`; `TooManyVideos`: the owner has as many as allowed; `StorageLow`: the disk has no room.
        """
        if size_bytes > (most := self.rules.max_bytes):
            raise VideoTooLarge(message("error.video.too_many_bytes", size=size_bytes, most=most), limit=str(most))
        new = Announced(owner, sha256, size_bytes, *sampling, self._clock_ms())
        with _disk_errors():
            self.purge()
            make_folder(self._folder)
            with self._alone():
                return self._found_or_made(new)

    def video(self, owner: str, video_id: str) -> StoredVideo:
        """Return a video; raises `UnknownVideo` if there is none of that id, or it is not the owner's."""
        announced = self._announced(video_id) if _ID.fullmatch(video_id) else None
        if announced is None or announced.owner != owner or self._is_due(announced):
            raise UnknownVideo(message("error.video.unknown"))
        return self._stored(video_id, announced)

    def own(self, owner: str) -> list[StoredVideo]:
        """Return the videos of an owner, the newest first."""
        with _disk_errors():
            found = [(video_id, one) for video_id, one in self._all() if one.owner == owner and not self._is_due(one)]
        found.sort(key=lambda one: one[1].created_ms, reverse=True)
        return [self._stored(video_id, one) for video_id, one in found]

    def _stored(self, video_id: str, announced: Announced) -> StoredVideo:
        return StoredVideo(self._folder / video_id, announced, self._key, self.rules.reserve_bytes)

    def purge(self) -> None:
        """Delete the videos that have expired, and footage that a process left when it died after its analysis."""
        with _disk_errors():
            for path in self._paths():
                with suppress(FileNotFoundError):  # deleted meanwhile
                    announced = self._announced(path.name)
                    orphan = announced is None and time.time() - path.lstat().st_mtime > _ORPHAN_S
                    if orphan or (announced is not None and self._is_due(announced)):
                        shutil.rmtree(path, ignore_errors=True)
                    elif (path / _RESULT).exists():
                        (path / _FOOTAGE).unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one of all threads and processes that announces a video, until the block ends."""
        with (self._folder / _LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _found_or_made(self, new: Announced) -> str:
        own = [(video_id, one) for video_id, one in self._all() if one.owner == new.owner]
        for video_id, one in own:
            if replace(one, created_ms=new.created_ms) == new:
                return video_id
        if len(own) >= (most := self.rules.per_caller):
            raise TooManyVideos(message("error.video.too_many_videos", most=most), limit=str(most))
        _require_room(self._folder, new.size_bytes, self.rules.reserve_bytes)
        video_id = secrets.token_hex(16)
        (self._folder / video_id).mkdir(mode=0o700)
        os.close(os.open(self._folder / video_id / _FOOTAGE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write_private(self._folder / video_id / _HEAD, json.dumps(asdict(new)).encode())
        return video_id

    def _is_due(self, announced: Announced) -> bool:
        return self._clock_ms() >= announced.created_ms + self.rules.keep_ms

    def _paths(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return [path for path in self._folder.iterdir() if _ID.fullmatch(path.name)]
        return []

    def _all(self) -> Iterator[tuple[str, Announced]]:
        for path in self._paths():
            announced = self._announced(path.name)
            if announced is not None:
                yield path.name, announced

    def _announced(self, video_id: str) -> Announced | None:
        try:
            said = json.loads((self._folder / video_id / _HEAD).read_bytes())
            said |= {name: tuple(said[name]) for name in ("interval", "motion_interval")}
            return Announced(**said)
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
            return None


class StoredVideo:
    """A video in its folder; another process may delete it at any time, which raises `UnknownVideo`."""

    def __init__(self, path: Path, announced: Announced, key: DataKey, reserve_bytes: int) -> None:
        self.video_id = path.name
        self.announced = announced
        self.footage = path / _FOOTAGE
        self._path = path
        self._key = key
        self._reserve_bytes = reserve_bytes

    @property
    def received_bytes(self) -> int:
        """Number of bytes that are there, from the beginning; all of them once it has been analyzed."""
        try:
            return self.footage.stat().st_size
        except FileNotFoundError:
            return self.announced.size_bytes

    def add(self, offset: int, data: bytes) -> None:
        """Write bytes, and skip those that are there; durable once all are.

        Raises `VideoIncomplete`: bytes before them are missing; `VideoTooLarge`: more than announced; `StorageLow`: the
        disk has no room for them.
        """
        size = self.announced.size_bytes
        if offset + len(data) > size:
            raise VideoTooLarge(message("error.video.more_than_announced", size=size), limit=str(size))
        with _disk_errors():
            if self.result() is not None:
                return
            try:
                file = os.open(self.footage, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                raise UnknownVideo(message("error.video.unknown")) from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                there = os.fstat(file).st_size
                if offset > there:
                    told = message("error.video.bytes_missing", received=there)
                    raise VideoIncomplete(told, received_bytes=str(there))
                rest = memoryview(data)[there - offset :]
                _require_room(self._path, len(rest), self._reserve_bytes)
                while rest:
                    written = os.pwrite(file, rest, there)
                    there, rest = there + written, rest[written:]
                if there == size:
                    os.fsync(file)
            finally:
                os.close(file)

    @contextmanager
    def analyzing(self) -> Iterator[bool]:
        """Have this thread, and no other of any process, analyze it until the block ends.

        Yields false if there is another.
        """
        with _disk_errors():
            try:
                file = os.open(self._path / _WORK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                raise UnknownVideo(message("error.video.unknown")) from None
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(file)

    def tell(self, frames: int, time_s: float) -> None:
        """Note the progress of its analysis; raises `UnknownVideo` if it was deleted meanwhile."""
        self._require_there()
        with _disk_errors(), suppress(FileNotFoundError):
            partial = self._path / f"{_PROGRESS}.new"
            partial.write_text(f"{frames} {time_s}")
            partial.rename(self._path / _PROGRESS)

    def told(self) -> tuple[int, float]:
        """Return how many frames were analyzed, and the seconds of the last one; zeros where nothing readable says."""
        with _disk_errors(), suppress(FileNotFoundError, ValueError):  # it need not survive a power cut
            frames, time_s = (self._path / _PROGRESS).read_text().split()
            if 0 <= int(frames) < 2**63 and math.isfinite(float(time_s)):
                return int(frames), float(time_s)
        return 0, 0.0

    def put(self, name: str, data: bytes) -> None:
        """Keep a sealed part of the result, durable once `finish` is called; raises `UnknownVideo` as `tell`."""
        self._require_there()
        with _disk_errors():
            file = os.open(self._path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(self._key.seal(data, self._bound_to(name)))
                opened.flush()
                os.fsync(file)

    def get(self, name: str) -> bytes:
        """Return a part of the result; raises `StoreCorrupt` if it was changed, `UnknownVideo` if it is not there."""
        found = self._read(name)
        if found is None:
            raise UnknownVideo(message("error.video.unknown"))
        return found

    def finish(self, result: bytes) -> None:
        """Keep the sealed result durably, and delete the footage; raises `UnknownVideo` if it was deleted meanwhile."""
        self._require_there()
        with _disk_errors():
            sync(self._path)  # the names of the parts
            write_private(self._path / _RESULT, self._key.seal(result, self._bound_to(_RESULT)))
            self.footage.unlink(missing_ok=True)

    def result(self) -> bytes | None:
        """Return what was given to `finish`, None before; raises `StoreCorrupt` if it was changed."""
        return self._read(_RESULT)

    def _read(self, name: str) -> bytes | None:
        with _disk_errors():
            try:
                sealed = (self._path / name).read_bytes()
            except FileNotFoundError:
                return None
        return self._key.open(sealed, self._bound_to(name), "footage")

    def delete(self) -> None:
        """Delete it with all that belongs to it: first its head, so that an analysis notices."""
        with _disk_errors():
            (self._path / _HEAD).unlink(missing_ok=True)
            self.footage.unlink(missing_ok=True)
            shutil.rmtree(self._path, ignore_errors=True)

    def _bound_to(self, name: str) -> bytes:
        return f"{self.video_id} {self.announced.owner} {self.announced.sha256} {name}".encode()

    def _require_there(self) -> None:
        if not (self._path / _HEAD).exists():
            raise UnknownVideo(message("error.video.unknown"))


def _require_room(folder: Path, size_bytes: int, reserve_bytes: int) -> None:
    disk = os.statvfs(folder)
    reserve = min(reserve_bytes, disk.f_blocks * disk.f_frsize // 8)
    if disk.f_bavail * disk.f_frsize <= size_bytes + reserve:
        raise StorageLow(message("error.video.disk_nearly_full"))


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFailed(message("error.video.folder_unusable"), errno=cause(error)) from error
