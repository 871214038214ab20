"""Reports that are kept: a folder for each, which is there whole or not at all.

Several processes may keep, read and delete reports at once. A folder that is being written has a hidden name, and is
locked by its writer, so that one whose writer died is told from one that is on its way. One that is deleted gets
such a name first.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fr_core.errors import StorageLow, StoreCorrupt, StoreFailed, UnknownReport, message
from fr_core.runtime.ticket import current_ticket
from fr_core.storage.durable import cause, sync, write_new
from fr_core.types import ModelId
from fr_evaluation.files import NAMES
from fr_evaluation.report import KINDS
from fr_files.reading import open_regular, read_json

SUMMARY_NAME = "summary.json"
_FORMAT = 1
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{3}(-[a-z0-9]+){2,12}-[0-9a-f]{8}")
_HIDDEN = ".new-"
# Errors of `open_regular` if there is no regular file: nothing, a file in place of a folder, a link, a socket, a pipe.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL)
_PIECE = 2**20
# Of a summary: what Reports writes has a few hundred.
_MOST_BYTES = 2**16
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Summary:
    """An entry of a list of reports; `kind` is one of `KINDS`, `measured_at` has a time zone, `words` say what was
    found.
    """

    kind: str
    dataset: str
    model: ModelId
    measured_at: datetime
    version: str
    words: str


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report that is kept: its id names it for ever, later ones are greater; `files` has the sha256 of each file
    by name.
    """

    report_id: str
    summary: Summary
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some of the reports, the newest first; whether older ones follow, and how many could not be read and were left
    out.
    """

    reports: tuple[KeptReport, ...]
    more: bool
    damaged: int


class Reports:
    """The reports in a folder, which is made with the first of them, for its owner alone.

    They leave `reserve_bytes` free on the disk, as enrolments do, but 1/8 of the disk at most. Every method may raise
    `StoreFailed`: the disk refuses.
    """

    def __init__(self, folder: Path, reserve_bytes: int = 0) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def require_room(self, size: int = 0) -> None:
        """Raise `StorageLow` unless the disk has more room than a report of `size` bytes and the reserve."""
        with _disk_errors():
            there = next(path for path in (self._folder, *self._folder.absolute().parents) if path.exists())
            disk = os.statvfs(there)
        reserve = min(self._reserve_bytes, disk.f_blocks * disk.f_frsize // 8)
        if disk.f_bavail * disk.f_frsize <= size + reserve:
            raise StorageLow(message("error.evaluation.disk_reports_nearly_full"))

    def keep(self, summary: Summary, files: Mapping[str, bytes]) -> KeptReport:
        """Keep a report, durably; keeps none if it raises `CallEnded`, or `StorageLow`, as the disk is nearly full."""
        moment = summary.measured_at.astimezone(UTC)
        what = f"{summary.kind}-{summary.dataset.replace('_', '-')}"
        report_id = f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{what}-{secrets.token_hex(4)}"
        report = KeptReport(
            report_id, summary, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        )
        written = {**files, SUMMARY_NAME: _as_json(report)}
        self.require_room(sum(map(len, written.values())))
        with _disk_errors():
            _make_durably(self._folder)
            with _whole_folder(self._folder, report_id) as folder:
                for name, content in written.items():
                    write_new(folder / name, content)
                current_ticket().require_wanted()
        return report

    def open(self, report_id: str, name: str) -> tuple[KeptReport, BinaryIO]:
        """Return a report, and one of its files, open at its beginning and found to be whole; the caller closes it.

        Raises `UnknownReport` if there is none of that id, or it has no such file, `StoreCorrupt`, or `CallEnded`.
        """
        folder = self._folder_of(report_id)
        with _disk_errors():
            if not folder.is_dir():
                raise _unknown()
            try:
                report = self._report(report_id)
                if name not in report.files:
                    if name == "calibration.json":
                        raise UnknownReport(message("error.evaluation.no_calibration"))
                    raise UnknownReport(message("error.evaluation.report_no_file"))
                return report, _opened_whole(folder / name, report.files[name])
            except StoreCorrupt:
                if not folder.exists():  # deleted meanwhile
                    raise _unknown() from None
                raise

    def delete(self, report_id: str) -> None:
        """Delete a report, damaged or not; its readers go on. What the disk does not delete is a leftover then.

        Raises `UnknownReport` if there is none of that id.
        """
        folder, hidden = self._folder_of(report_id), _hidden_name(self._folder)
        with _disk_errors():
            try:
                folder.rename(hidden)
            except FileNotFoundError:
                raise _unknown() from None
            sync(self._folder)
            with suppress(FileNotFoundError):  # another process removes leftovers
                _remove(hidden)

    def page(self, before: str, size: int) -> ReportPage:
        """Return `size` reports at most, those that are older than the report `before`; all where that is ""."""
        found: list[KeptReport] = []
        damaged = 0
        with _disk_errors():
            ids = sorted(report_id for report_id in self._ids() if not before or report_id < before)
            while ids and len(found) < size:
                report_id = ids.pop()
                try:
                    found.append(self._report(report_id))
                except (StoreCorrupt, OSError):  # the others are listed all the same
                    damaged += (self._folder / report_id).exists()
        return ReportPage(tuple(found), bool(ids), damaged)

    def remove_leftovers(self) -> None:
        """Remove what writers and deleters left that died."""
        with _disk_errors():
            for folder in self._names():
                if folder.startswith(_HIDDEN):
                    _remove_unless_locked(self._folder / folder)

    def _ids(self) -> Iterator[str]:
        return (name for name in self._names() if _ID.fullmatch(name))

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []

    def _report(self, report_id: str) -> KeptReport:
        with _opened(self._folder / report_id / SUMMARY_NAME) as file:
            text = file.read(_MOST_BYTES)  # what is longer is cut off, and so damaged
        try:
            return _from_json(report_id, text)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise _damaged() from None

    def _folder_of(self, report_id: str) -> Path:
        if not _ID.fullmatch(report_id):  # before it becomes a path
            raise UnknownReport(message("error.evaluation.no_report_id_form"))
        return self._folder / report_id


def _unknown() -> UnknownReport:
    return UnknownReport(message("error.evaluation.no_report"))


def _damaged() -> StoreCorrupt:
    return StoreCorrupt(message("error.evaluation.report_damaged"), check="report")


def _opened(path: Path) -> BinaryIO:
    """Open a file; where something else lies there, or nothing, the report is damaged: a pipe would never end."""
    try:
        return open_regular(path, follow=False)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _damaged() from None
        raise


def _opened_whole(path: Path, sha256: str) -> BinaryIO:
    with ExitStack() as opened:
        file = opened.enter_context(_opened(path))
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            current_ticket().require_wanted()
            digest.update(piece)
        if digest.hexdigest() != sha256:
            raise _damaged()
        file.seek(0)
        opened.pop_all()  # the caller closes it
        return file


def _as_json(report: KeptReport) -> bytes:
    summary = asdict(report.summary) | {"measured_at": report.summary.measured_at.isoformat()}
    return json.dumps({"format": _FORMAT, "summary": summary, "files": report.files}, indent=2).encode()


def _from_json(report_id: str, text: bytes) -> KeptReport:
    """Read what `_as_json` wrote.

    Raises ValueError, KeyError, TypeError, AttributeError, OverflowError where it did not.
    """
    keys: dict[str, Any] = read_json(text, _MOST_BYTES)
    if type(keys["format"]) is not int or keys["format"] != _FORMAT:
        raise ValueError("another format")
    summary, model, files = {**keys["summary"]}, {**keys["summary"]["model"]}, {**keys["files"]}
    texts = (*model.values(), *files.values(), *(value for name, value in summary.items() if name != "model"))
    "".join(texts).encode()  # raises if it is not text, or cannot be sent
    if summary["kind"] not in KINDS or not files.keys() <= NAMES or not all(map(_SHA256.fullmatch, files.values())):
        raise ValueError("another form")
    measured_at = datetime.fromisoformat(summary["measured_at"])
    if measured_at.tzinfo is None:
        raise ValueError("no time zone")
    measured_at.astimezone(UTC)  # raises where that is before the first year, or after the last
    summary |= {"model": ModelId(**model), "measured_at": measured_at}
    return KeptReport(report_id, Summary(**summary), files)


def _make_durably(folder: Path) -> None:
    """Make a folder for its owner alone, and those above it, where they are not there."""
    if folder.is_dir():
        return
    _make_durably(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync(folder.parent)


def _hidden_name(parent: Path) -> Path:
    return parent / f"{_HIDDEN}{secrets.token_hex(8)}"


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Make a hidden folder, and return it with its lock; another process may take one without a lock for a leftover."""
    while True:
        folder = _hidden_name(parent)
        folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # removed before it was opened
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if folder.exists():  # else it was removed before it was locked
                    return folder, lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


@contextmanager
def _whole_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a hidden folder; it gets its name, durably, when the block has ended, and is removed when that fails."""
    folder, lock = _locked_folder(parent)
    try:
        yield folder
        sync(folder)
        folder.rename(parent / name)
        sync(parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove a folder, or what lies in the place of one."""
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_unless_locked(folder: Path) -> None:
    with suppress(OSError):  # what cannot be removed harms nobody
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            shutil.rmtree(folder)
        finally:
            os.close(lock)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageLow(message("error.evaluation.disk_reports_full")) from None
        raise StoreFailed(message("error.evaluation.reports_cannot_read_written"), errno=cause(error)) from None
