"""Imaging, the sandbox's messages: the few bytes between a process that asks and one that decodes.

A request is three numbers and the names of formats; an answer is a letter and what belongs to it. Nothing is pickled.
`read_answer` takes the sender for an enemy: a decoder that a photo has taken over writes what it likes.
"""

import json
import re
import struct
from contextlib import suppress

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
from fr_locales.messages import Message, message

MAX_MESSAGE_BYTES = 4096  # no message is longer
OUT_OF_MEMORY = b"M"  # sent by a worker that has too little memory for a photo

_REQUEST = struct.Struct("<QQQ")
_SIZE = struct.Struct("<QQ")
_PIXELS, _REFUSAL = b"P", b"R"

_REFUSALS: dict[str, type[FrError]] = {
    kind.reason: kind for kind in (ImageTooManyBytes, ImageTooManyPixels, SeveralFrames, Undecodable, UnsupportedFormat)
}
# What refusals of photos carry; also: no name of a parameter of `FrError`.
_METADATA = frozenset({"accepted", "format", "found", "height", "limit", "samples", "width"})
_OWN = "error.imaging."  # begins the ids of messages that a worker may send
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
    found = error.finding
    assert isinstance(found, Message)  # `tools/check_messages.py` sees to it
    what = {"reason": error.reason, "id": found.id, "values": {**found.values}, "metadata": error.metadata}
    return _REFUSAL + json.dumps(what).encode()


def read_answer(answer: bytes, limits: ImageLimits, memory_mib: int) -> tuple[int, int]:
    """The (width, height) in pixels of the photo that was decoded.

    `answer`: that a worker sent, at most `MAX_MESSAGE_BYTES`.

    Raises `ImageTooManyBytes`, `ImageTooManyPixels`, `SeveralFrames`, `Undecodable`, `UnsupportedFormat`: what the
    worker raised; `ImageTooCostly`: its memory did not do; `Nonsense`: anything else.
    """
    kind, rest = answer[:1], answer[1:]
    if kind == _PIXELS and len(rest) == _SIZE.size:
        width, height = _SIZE.unpack(rest)
        if width < 1 or height < 1 or width * height > limits.max_pixels:
            raise Nonsense("a size that the limits do not allow")
        return width, height
    if kind == _REFUSAL:
        raise _refusal(rest)
    if answer == OUT_OF_MEMORY:
        raise ImageTooCostly(message("error.imaging.decoding_takes_mib", mib=memory_mib), limit_mib=str(memory_mib))
    raise Nonsense("an answer of no known kind")


def _refusal(text: bytes) -> FrError:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Nonsense("a refusal that is not JSON") from error
    match said:
        case {"reason": str(reason), "id": str(message_id), "values": dict(values), "metadata": dict(metadata)} if (
            reason in _REFUSALS and message_id.startswith(_OWN) and _METADATA.issuperset(metadata)
        ):
            texts = (*metadata.values(), *(value for value in values.values() if not isinstance(value, int)))
            if all(isinstance(text, str) and _VALUE.fullmatch(text) for text in texts):
                refusal = _REFUSALS[reason](Message(message_id, values), **metadata)
                with suppress(LookupError, ValueError):  # no such message, or not with these values
                    if _SENTENCE.fullmatch(refusal.what):
                        return refusal
    raise Nonsense("a refusal that is none of a photo")
