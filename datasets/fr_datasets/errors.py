"""Errors of data sets, on disk or while they are fetched.

These errors name files of the set, even where a file is called after a person, as in LFW: those who run an evaluation
have to find the file. They are raised on the evaluating machine only and never reach a log of the server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from fr_core.errors import FrError
from fr_files.reading import read_at_most
from fr_locales.messages import Message, message


class DatasetError(FrError):
    """A data set cannot be used as it is.

    `code` says what went wrong, as `fr dataset` prints it; `reason` is for what the API answers, and stays empty.
    `dataset` takes the place of NAME in the remedy; `of_dataset` sets it.
    """

    code: ClassVar[str] = "DATASET_UNUSABLE"
    dataset: str = "NAME"

    def advice_in(self, language: str) -> str:
        """As `FrError.advice_in`, with the data set named."""
        return super().advice_in(language).replace("NAME", self.dataset)


@contextmanager
def of_dataset(name: str) -> Iterator[None]:
    """Errors of data sets that are raised inside are those of the set `name`."""
    try:
        yield
    except DatasetError as error:
        error.dataset = name
        raise


class DatasetUnknown(DatasetError):
    """There is no data set with that name."""

    code = "DATASET_UNKNOWN"
    remedy = message("remedy.dataset.unknown")

    @classmethod
    def among(cls, name: str, known: Iterable[str]) -> DatasetUnknown:
        """The error for `name`, with the nearest of the names that are known, where one is near."""
        near = get_close_matches(name, known, n=1)
        return cls(f"There is no data set {name!r}." + (f" Did you mean {near[0]}?" if near else ""))


class DatasetMissing(DatasetError):
    """A file or folder of the data set is absent."""

    code = "DATASET_MISSING"
    remedy = message("remedy.dataset.missing")


class DatasetUnreadable(DatasetError):
    """A list or a photo is there, and cannot be read."""

    code = "DATASET_UNREADABLE"
    remedy = message("remedy.dataset.unreadable")


class NameNotText(DatasetUnreadable):
    """The name of a file or folder is not UTF-8, so that no report could name it."""

    remedy = message("remedy.dataset.name_not_text")


class DatasetIncomplete(DatasetError):
    """A data set holds another number of people, photos or pairs than its manifest says."""

    code = "DATASET_INCOMPLETE"
    remedy = message("remedy.dataset.incomplete")


class DatasetNotLinked(DatasetError):
    """The folder of the data set is not known."""

    code = "DATASET_NOT_LINKED"
    remedy = message("remedy.dataset.not_linked")


class DatasetMalformed(DatasetError):
    """A list breaks its format, or names a photo outside of the folder; the sentence says in which line.

    It is line `line`, from 1, of the list `path`; `what` is wrong with it, without a full stop.
    """

    code = "DATASET_MALFORMED"
    remedy = message("remedy.dataset.malformed")

    def __init__(self, path: Path, line: int, what: Message | str) -> None:
        super().__init__(message("error.dataset.malformed", path=path, line=line, what=what), line=str(line))
        self.path = path
        self.line = line


class BinMalformed(DatasetError):
    """A .bin file of InsightFace breaks its format, or holds more than crops and labels."""

    code = "DATASET_MALFORMED"
    remedy = message("remedy.dataset.bin_malformed")


class TermsNotAccepted(DatasetError):
    """The terms of a data set that was to be fetched were not accepted."""

    code = "TERMS_NOT_ACCEPTED"
    remedy = message("remedy.dataset.terms_not_accepted")


class ChecksumMismatch(DatasetError):
    """A file is not the one that its authors published."""

    code = "CHECKSUM_MISMATCH"
    remedy = message("remedy.dataset.checksum_mismatch")


class ArchiveRefused(DatasetError):
    """An archive is damaged, or holds what must not be unpacked."""

    code = "ARCHIVE_REFUSED"
    remedy = message("remedy.dataset.archive_refused")


class FetchFailed(DatasetError):
    """No source delivered a file."""

    code = "FETCH_FAILED"
    remedy: ClassVar[Message | None] = message("remedy.dataset.fetch_failed")


class CannotWrite(FetchFailed):
    """The download cannot be written: the disk is full, or the folder belongs to another user."""

    remedy = message("remedy.dataset.cannot_write")


class NoSource(FetchFailed):
    """The set can only be placed by hand."""

    remedy = None


class LeadsOut(DatasetError):
    """A file or folder of a data set is outside its folder: it, or a folder on its path, is a symbolic link."""

    remedy = message("remedy.dataset.leads_out")


def require_inside(path: Path, folder: Path) -> Path:
    """Return `path` if it is inside `folder` after following links; otherwise raises `LeadsOut`.

    Without this, a person who can write into the folder of a data set could read every file on the server's machine.
    The folder itself may be a link, because the person who registers the data set makes it.
    """
    if not os.path.realpath(path).startswith(f"{os.path.realpath(folder).rstrip(os.sep)}{os.sep}"):
        raise LeadsOut(message("error.dataset.leads_out_folder", path=path, folder=folder))
    return path


def require_file(path: Path, named_by: str, folder: Path) -> Path:
    """Return `path`, which `named_by` names, such as "line 7 of pairs.txt", if it is a readable file in `folder`.

    Raises `DatasetMissing`: there is no such file; `DatasetUnreadable`: it may not be read, or its name is none;
    `LeadsOut`: it is outside of the folder.
    """
    require_inside(require_text(path), folder)
    try:
        there = path.is_file()
    except OSError as error:
        raise DatasetUnreadable(
            message("error.dataset.file_unseen", named_by=named_by, reason=str(error.strerror))
        ) from error
    if not there:
        raise DatasetMissing(message("error.dataset.file_named_not", path=path, named_by=named_by))
    if not os.access(path, os.R_OK):
        raise DatasetUnreadable(message("error.dataset.file_named_may_not", path=path, named_by=named_by))
    return path


def require_text(path: Path) -> Path:
    """Return `path`, whose name is UTF-8; raises `NameNotText`."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise NameNotText(message("error.dataset.name_not_utf", path=str(path))) from error
    return path


def read_photo(path: Path, most: int) -> bytes:
    """The bytes of a photo that was there when the list was read; of one larger than `most`, the first `most + 1`.

    Raises `DatasetUnreadable`: it is gone, may not be read, or is not a regular file.
    """
    try:
        return read_at_most(path, most)
    except OSError as error:
        raise DatasetUnreadable(message("error.dataset.photo_gone", path=path, reason=str(error.strerror))) from error


def require_folder(path: Path) -> Path:
    """Return `path`, a folder that can be listed; raises `DatasetMissing` or `DatasetUnreadable`."""
    require_text(path)
    try:
        there, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise DatasetUnreadable(
            message("error.dataset.folder_unseen", path=path, reason=str(error.strerror))
        ) from error
    if not is_folder:
        if there:
            raise DatasetMissing(message("error.dataset.no_folder", path=path))
        raise DatasetMissing(message("error.dataset.folder_not", path=path))
    if not os.access(path, os.R_OK | os.X_OK):
        raise DatasetUnreadable(message("error.dataset.folder_may_not_read", path=path))
    return path
