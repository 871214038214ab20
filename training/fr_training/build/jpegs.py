"""Encodes pictures as JPEG files of one length, so that a length tells nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2

from fr_core.types import U8

JPEG_QUALITY = 90
_COM = b"\xff\xfe"  # a comment, which no decoder shows (ITU-T T.81, B.2.4.5)
_COM_HEAD = 4  # bytes of its marker and its length
_COM_MOST = 65_533  # bytes in one, beside its marker and its length
MOST_BYTES = 64 * 1024
"""Of a file of a picture, also of a noisy one: all of a course have one length, and 51 fit into a message of 4 MiB."""


def file_of(picture: U8) -> bytes:
    """Encode a picture as a JPEG, at the first of a row of qualities that keeps it within `MOST_BYTES`."""
    for quality in (JPEG_QUALITY, 80, 70, 60, 50, 40, 30, 20, 10):
        data = jpeg(picture, quality)
        if len(data) <= MOST_BYTES:
            break
    return data


def jpeg(picture: U8, quality: int = JPEG_QUALITY) -> bytes:
    """Encode one picture, u8[H, W, 3], RGB, as a JPEG without metadata."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise RuntimeError("OpenCV could not encode a picture in memory.")
    return bytes(data)


def padded(files: Sequence[bytes]) -> list[bytes]:
    """Bring JPEG files to one length, with comments right after their first segment.

    A blurred or flat picture is a smaller file: its length would tell. Comments are filled with what cannot be
    compressed, so that a connection that compresses does not undo it. Such a connection still tells no more than the
    pictures themselves show: two that are alike take some bytes less together. TLS does not compress.
    """
    if not files:
        return []
    length = max(map(len, files)) + _COM_HEAD
    return [_padded(data, length - len(data)) for data in files]


def _padded(data: bytes, missing: int) -> bytes:
    """The file with `missing` bytes more, at least 4."""
    fill = memoryview(hashlib.shake_256(data).digest(missing))
    parts = []
    while missing:
        size = min(missing - _COM_HEAD, _COM_MOST)
        if 0 < missing - _COM_HEAD - size < _COM_HEAD:  # what would be left is too little for a comment
            size -= _COM_HEAD
        parts += [_COM, (size + 2).to_bytes(2, "big"), bytes(fill[:size])]
        fill = fill[size:]
        missing -= _COM_HEAD + size
    first = 4 + int.from_bytes(data[4:6], "big")  # after the JFIF header, which has to be the first segment
    return b"".join((data[:first], *parts, data[first:]))
