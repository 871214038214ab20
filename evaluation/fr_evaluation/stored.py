"""Reports that are kept: a folder for each, which is there whole or not at all.

Several processes may keep and read reports at once. A folder that is being written has a hidden name, and is locked by
whoever writes it, so that one whose writer died is told from one that is on its way.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fr_core.errors import StorageLow, StoreCorrupt, StoreFailed, UnknownReport
from fr_core.gallery.store.durable import cause, sync
from fr_core.runtime.ticket import current_ticket
from fr_core.types import ModelId

KINDS = ("verification", "identification")
SUMMARY_NAME = "summary.json"
_FORMAT = 1
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{3}(-[a-z0-9]+){2,12}-[0-9a-f]{8}")
_BEING_WRITTEN = ".new-"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a report is, for a list of them.

    Attributes:
        kind: one of `KINDS`.
        dataset: name of the data set.
        model: that was measured.
        measured_at: with a time zone.
        version: of FR Core.
        words: what was found.
    """

    kind: str
    dataset: str
    model: ModelId
    measured_at: datetime
    version: str
    words: str


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report that is kept.

    Attributes:
        report_id: names it for ever; later ones are greater.
        summary: what it is.
        files: name of each file -> its sha256, hexadecimal.
    """

    report_id: str
    summary: Summary
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some of the reports, the newest first.

    Attributes:
        reports: those of this page.
        more: whether older ones follow.
        damaged: how many on the way cannot be read, and were left out.
    """

    reports: tuple[KeptReport, ...]
    more: bool
    damaged: int


class Reports:
    """The reports in a folder, which is made with the first of them, for its owner alone.

    Raises:
        StorageLow: the disk is full.
        StoreFailed: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, summary: Summary, files: Mapping[str, bytes]) -> KeptReport:
        """Keep a report, durably.

        Raises:
            CallEnded: the call that it is for has ended; it is not kept.
        """
        moment = summary.measured_at.astimezone(UTC)
        what = f"{summary.kind}-{summary.dataset.replace('_', '-')}"
        report_id = f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}-{what}-{secrets.token_hex(4)}"
        report = KeptReport(
            report_id, summary, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        )
        with _disk_errors():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with _whole_folder(self._folder, report_id) as folder:
                for name, content in {**files, SUMMARY_NAME: _as_json(report)}.items():
                    _write(folder / name, content)
                current_ticket().require_wanted()
        return report

    def read(self, report_id: str, name: str) -> tuple[KeptReport, bytes]:
        """Return a report and one of its files.

        Raises:
            UnknownReport: there is none of that id, or it has no such file.
            StoreCorrupt: it is damaged.
        """
        if not _ID.fullmatch(report_id):  # before it becomes a path
            raise UnknownReport("No report has an id of this form.")
        with _disk_errors():
            if not (self._folder / report_id).is_dir():
                raise UnknownReport("There is no such report.")
            report = self._report(report_id)
            if name not in report.files:
                raise UnknownReport("The report has no such file.")
            return report, self._content(report, name)

    def page(self, before: str, size: int) -> ReportPage:
        """Return `size` reports at most, those that are older than the report `before`; all where that is ""."""
        found: list[KeptReport] = []
        damaged = 0
        with _disk_errors():
            ids = sorted(report_id for report_id in self._ids() if not before or report_id < before)
            while ids and len(found) < size:
                try:
                    found.append(self._report(ids.pop()))
                except (StoreCorrupt, OSError):  # the others are listed all the same
                    damaged += 1
        return ReportPage(tuple(found), bool(ids), damaged)

    def remove_leftovers(self) -> None:
        """Remove what writers left that died."""
        with _disk_errors():
            for folder in self._names():
                if folder.startswith(_BEING_WRITTEN):
                    _remove_unless_locked(self._folder / folder)

    def _ids(self) -> Iterator[str]:
        return (name for name in self._names() if _ID.fullmatch(name))

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []

    def _report(self, report_id: str) -> KeptReport:
        path = self._folder / report_id / SUMMARY_NAME
        try:
            return _from_json(report_id, path.read_bytes())
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError, NotADirectoryError):
            raise _damaged() from None

    def _content(self, report: KeptReport, name: str) -> bytes:
        try:
            content = (self._folder / report.report_id / name).read_bytes()
        except FileNotFoundError:
            raise _damaged() from None
        if hashlib.sha256(content).hexdigest() != report.files[name]:
            raise _damaged()
        return content


def _damaged() -> StoreCorrupt:
    return StoreCorrupt("A report is damaged; measure again.", check="report")


def _as_json(report: KeptReport) -> bytes:
    summary = asdict(report.summary) | {"measured_at": report.summary.measured_at.isoformat()}
    return json.dumps({"format": _FORMAT, "summary": summary, "files": report.files}, indent=2).encode()


def _from_json(report_id: str, text: bytes) -> KeptReport:
    """Read what `_as_json` wrote; raises ValueError, KeyError, TypeError or AttributeError where it did not."""
    keys: dict[str, Any] = json.loads(text)
    if keys["format"] != _FORMAT:
        raise ValueError("another format")
    summary, model, files = {**keys["summary"]}, {**keys["summary"]["model"]}, {**keys["files"]}
    texts = (*model.values(), *files.values(), *(value for name, value in summary.items() if name != "model"))
    if not all(isinstance(text, str) for text in texts) or summary["kind"] not in KINDS:
        raise ValueError("another form")
    measured_at = datetime.fromisoformat(summary["measured_at"])
    summary |= {"model": ModelId(**model), "measured_at": measured_at}
    return KeptReport(report_id, Summary(**summary), files)


@contextmanager
def _whole_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a hidden folder; it gets its name, durably, when the block has ended, and is removed when that fails."""
    folder = parent / f"{_BEING_WRITTEN}{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
        sync(folder)
        folder.rename(parent / name)
        sync(parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_unless_locked(folder: Path) -> None:
    with suppress(OSError):  # what cannot be removed harms nobody
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
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
            raise StorageLow("The disk of the reports is full.") from None
        raise StoreFailed("The reports cannot be read or written.", errno=cause(error)) from None
