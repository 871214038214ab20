"""Imaging, the sandbox's messages: the few bytes between a process that asks and one that decodes.

A request is three numbers and the names of formats; an answer is a letter and what belongs to it. Nothing is pickled.
`read_answer` takes the sender for an enemy: a decoder that a photo has taken over writes what it likes.
"""

from __future__ import annotations

import json
import re
import struct

from fr_core.errors import (
    FrError,
    ImageTooCostly,
    ImageTooManyBytes,
    ImageTooManyPixels,
    SeveralFrames,
    Undecodable,
    UnsupportedFormat,
)
from fr_core.imaging.decode import ImageLimits

MAX_MESSAGE_BYTES = 4096
"""No message is longer."""

READY = b"ready"
"""What a worker says once it has shut itself in."""

OUT_OF_MEMORY = b"M"
"""What a worker says of a photo for which its memory does not do."""

_REQUEST = struct.Struct("<QQQ")
_SIZE = struct.Struct("<QQ")
_PIXELS, _REFUSAL = b"P", b"R"

_REFUSALS: dict[str, type[FrError]] = {
    kind.reason: kind for kind in (ImageTooManyBytes, ImageTooManyPixels, SeveralFrames, Undecodable, UnsupportedFormat)
}
# What refusals of photos carry; also: no name of a parameter of `FrError`.
_METADATA = frozenset({"accepted", "format", "found", "height", "limit", "samples", "width"})
_SENTENCE = re.compile(r"[ -~]{1,300}")
_VALUE = re.compile(r"[ -~]{0,200}")


class Nonsense(ValueError):
    """An answer that no honest worker gives."""


def pack_request(size_bytes: int, limits: ImageLimits) -> bytes:
    """Ask for the photo of so many bytes that lies in the shared memory."""
    return _REQUEST.pack(size_bytes, limits.max_bytes, limits.max_pixels) + ",".join(limits.formats).encode()


def unpack_request(message: bytes) -> tuple[int, ImageLimits]:
    """The number of bytes of the photo, and what it may be."""
    size_bytes, max_bytes, max_pixels = _REQUEST.unpack_from(message)
    return size_bytes, ImageLimits(max_bytes, max_pixels, tuple(message[_REQUEST.size :].decode().split(",")))


def pack_pixels(width: int, height: int) -> bytes:
    """Answer that the pixels lie in the shared memory."""
    return _PIXELS + _SIZE.pack(width, height)


def pack_refusal(error: FrError) -> bytes:
    """Answer that the photo is refused."""
    what = {"reason": error.reason, "what": error.what, "metadata": error.metadata}
    return _REFUSAL + json.dumps(what).encode()


def read_answer(message: bytes, limits: ImageLimits, memory_mib: int) -> tuple[int, int]:
    """The (width, height) in pixels of the photo that was decoded.

    `message`: that a worker sent, at most `MAX_MESSAGE_BYTES`.

    Raises:
        ImageTooManyBytes, ImageTooManyPixels, SeveralFrames, Undecodable, UnsupportedFormat: what the worker raised.
        ImageTooCostly: its memory did not do.
        Nonsense: anything else.
    """
    kind, rest = message[:1], message[1:]
    if kind == _PIXELS and len(rest) == _SIZE.size:
        width, height = _SIZE.unpack(rest)
        if width < 1 or height < 1 or width * height > limits.max_pixels:
            raise Nonsense("a size that the limits do not allow")
        return width, height
    if kind == _REFUSAL:
        raise _refusal(rest)
    if message == OUT_OF_MEMORY:
        raise ImageTooCostly(f"Decoding the photo takes more than {memory_mib} MiB.", limit_mib=str(memory_mib))
    raise Nonsense("an answer of no known kind")


def _refusal(text: bytes) -> FrError:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Nonsense("a refusal that is not JSON") from error
    match said:
        case {"reason": str(reason), "what": str(what), "metadata": dict(metadata)} if (
            reason in _REFUSALS and _SENTENCE.fullmatch(what) and _METADATA.issuperset(metadata)
        ):
            if all(isinstance(value, str) and _VALUE.fullmatch(value) for value in metadata.values()):
                return _REFUSALS[reason](what, **metadata)
    raise Nonsense("a refusal that is none of a photo")
