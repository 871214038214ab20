"""The one form of ZIP that a bundle has: what the files are called and hold decides every byte of the archive.

Files are stored, not compressed, in the order of their names, with the time 1980-01-01 and no attributes, extra fields,
comments, data descriptors or 64-bit sizes (APPNOTE.TXT 6.3.10, 4.3). So a reader of an archive can write its headers
anew from the files and compare: nothing can hide between them, and no other archive says the same.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO
from zlib import crc32

from fr_core.errors import EvidenceUnusable, InvalidField
from fr_locales.messages import Message, message

MAX_BUNDLE_BYTES = 2**31 - 1
MAX_FILES = 20_000
ARCHIVE = "(archive)"  # named where it is not a file of the archive that is wrong, but the archive

_NAME = re.compile(r"[a-z0-9_]{1,32}(/[a-z0-9_]{1,32}){0,3}\.[a-z0-9]{1,8}")
_MAX_NAME = 160
_CHUNK = 2**18
# Of archives by others: the end with its comment, and what a directory may say of a file.
_MAX_END, _MAX_LISTED = 22 + 2**16 - 1, 2**10

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_SIGN, _CENTRAL_SIGN, _END_SIGN = b"PK\3\4", b"PK\1\2", b"PK\5\6"
# Version 1.0 reads what is stored; 0x21 is 1980-01-01, the first day that a ZIP knows.
_VERSION, _NO_FLAGS, _STORED, _TIME, _DATE = 10, 0, 0, 0, 0x21


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive."""

    name: str
    header_at: int  # where its local header begins, in bytes
    size: int  # of its content, in bytes
    crc: int  # CRC-32 of its content
    sha256: str  # of its content, 64 hexadecimal digits

    @property
    def content_at(self) -> int:
        """Return where its content begins, in bytes."""
        return self.header_at + _LOCAL.size + len(self.name)


def is_name(name: str) -> bool:
    """Return whether a file of a bundle can have this path: short words and digits, neither absolute nor upwards."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def chunks(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Return the bytes of the archive of some files (path -> content), in order, piece by piece.

    Raises, before anything is yielded:
        InvalidField: there are more files, or more bytes, than an archive holds.
        ValueError: a path is none.
    """
    if not all(map(is_name, files)):
        raise ValueError("a file of a name that no bundle holds")
    if len(files) > MAX_FILES:
        raise InvalidField(message("error.trust.case_more_files_bundle"), field="case_id")
    if sum(map(len, files.values())) + len(files) * 2 * (_MAX_NAME + _CENTRAL.size) > MAX_BUNDLE_BYTES:
        raise InvalidField(message("error.trust.case_audit_more_bytes"), field="case_id")
    return _chunks(files)


def _chunks(files: Mapping[str, bytes]) -> Iterator[bytes]:
    entries, at = [], 0
    for name in sorted(files):
        content = files[name]
        entry = Entry(name, at, len(content), crc32(content), "")
        entries.append(entry)
        yield _local(entry)
        yield content
        at = entry.content_at + entry.size
    directory = b"".join(map(_central, entries))
    yield directory + _end(len(entries), len(directory), at)


def scan(file: BinaryIO) -> list[Entry]:
    """Return the files of an archive, every byte of which was looked at; memory does not grow with its files' sizes.

    The file can be sought. Raises `EvidenceUnusable` if it is not an archive of this form; `file` names its first wrong
    file.
    """
    length = file.seek(0, 2)
    if length > MAX_BUNDLE_BYTES:
        raise unusable(ARCHIVE, "size", message("error.trust.bundle_larger_bundle_can"))
    if _is_packed_anew(file, length):
        raise unusable(ARCHIVE, "packed", message("error.trust.archive_packed_anew_no"))
    file.seek(0)
    entries: list[Entry] = []
    at = 0
    while (sign := file.read(4)) == _LOCAL_SIGN:
        if len(entries) == MAX_FILES:
            raise unusable(ARCHIVE, "files", message("error.trust.bundle_holds_more_files"))
        entry = _read_entry(file, at, length)
        if entries and entry.name <= entries[-1].name:
            raise unusable(entry.name, "order", message("error.trust.file_bundle_twice_not"))
        entries.append(entry)
        at = entry.content_at + entry.size
    file.seek(at)
    if not entries or sign != (_CENTRAL_SIGN):
        raise unusable(_name_at(file, at), "header", message("error.trust.header_file_bundle_changed"))
    for entry in entries:
        expected = _central(entry)
        if file.read(len(expected)) != expected:
            raise unusable(entry.name, "directory", message("error.trust.directory_bundle_says_something"))
    directory = file.tell() - at
    if file.read(_END.size) != _end(len(entries), directory, at) or file.read(1):
        raise unusable(ARCHIVE, "end", message("error.trust.end_bundle_changed_something"))
    return entries


def read(file: BinaryIO, entry: Entry, most: int) -> bytes:
    """Return the content of a file; raises `EvidenceUnusable` where it has more than `most` bytes."""
    if entry.size > most:
        raise unusable(entry.name, "size", message("error.trust.file_bundle_larger_can"))
    file.seek(entry.content_at)
    return file.read(entry.size)


def unusable(name: str, check: str, what: Message) -> EvidenceUnusable:
    """Return the error that names a file, what was looked at in a word, and what was found in a sentence."""
    return EvidenceUnusable(what, file=name, check=check)


def _read_entry(file: BinaryIO, at: int, length: int) -> Entry:
    name = _name_at(file, at)
    file.seek(at)
    header = file.read(_LOCAL.size)
    if name == ARCHIVE or len(header) < _LOCAL.size:
        raise unusable(ARCHIVE, "name", message("error.trust.file_bundle_name_none"))
    crc, size = _LOCAL.unpack(header)[6:8]
    entry = Entry(name, at, size, crc, "")
    file.seek(at)
    if file.read(_LOCAL.size + len(name)) != _local(entry):
        raise unusable(name, "header", message("error.trust.header_file_bundle_changed"))
    if entry.content_at + size > length:
        raise unusable(name, "size", message("error.trust.file_bundle_not_end"))
    found, digest, left = 0, sha256(), size
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise unusable(name, "size", message("error.trust.file_bundle_not_end"))
        found, left = crc32(piece, found), left - len(piece)
        digest.update(piece)
    if found != crc:
        raise unusable(name, "crc", message("error.trust.file_bundle_changed"))
    return Entry(name, at, size, crc, digest.hexdigest())


def _is_packed_anew(file: BinaryIO, length: int) -> bool:
    """Return whether it is an archive whose directory lists files, and none of them has the header that a bundle gives
    it.
    """
    file.seek(max(0, length - _MAX_END))
    tail = file.read(_MAX_END)
    end_at = tail.rfind(_END_SIGN)
    if end_at < 0 or len(tail) - end_at < _END.size:
        return False
    listed, size, at = _END.unpack_from(tail, end_at)[4:7]
    if size > MAX_FILES * _MAX_LISTED:
        return False
    file.seek(at)
    directory = file.read(size)
    at = 0
    for _ in range(listed):
        if directory[at : at + 4] != _CENTRAL_SIGN or len(directory) - at < _CENTRAL.size:
            return False
        told = _CENTRAL.unpack_from(directory, at)
        name_at = at + _CENTRAL.size
        name = directory[name_at : name_at + told[10]].decode("latin-1")
        if is_name(name):
            header = _local(Entry(name, told[16], told[9], told[7], ""))
            file.seek(told[16])
            if file.read(len(header)) == header:
                return False
        at = name_at + sum(told[10:13])
    return bool(listed)


def _name_at(file: BinaryIO, at: int) -> str:
    """Return the name in a local header, however damaged that is; `ARCHIVE` where there is none."""
    file.seek(at)
    header = file.read(_LOCAL.size + _MAX_NAME)
    if len(header) < _LOCAL.size:
        return ARCHIVE
    length = _LOCAL.unpack_from(header)[9]
    name = header[_LOCAL.size : _LOCAL.size + length].decode("latin-1")
    return name if length <= _MAX_NAME and is_name(name) else ARCHIVE


def _local(entry: Entry) -> bytes:
    fixed = (_VERSION, _NO_FLAGS, _STORED, _TIME, _DATE)
    header = _LOCAL.pack(_LOCAL_SIGN, *fixed, entry.crc, entry.size, entry.size, len(entry.name), 0)
    return header + entry.name.encode("ascii")


def _central(entry: Entry) -> bytes:
    fixed = (_VERSION, _VERSION, _NO_FLAGS, _STORED, _TIME, _DATE)
    sizes = (entry.crc, entry.size, entry.size, len(entry.name), 0, 0)
    header = _CENTRAL.pack(_CENTRAL_SIGN, *fixed, *sizes, 0, 0, 0, entry.header_at)
    return header + entry.name.encode("ascii")


def _end(entries: int, directory: int, at: int) -> bytes:
    return _END.pack(_END_SIGN, 0, 0, entries, entries, directory, at, 0)
