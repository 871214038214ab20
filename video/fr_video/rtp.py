"""Puts the pictures of H.264 and H.265 together from RTP packets (RFC 3550, RFC 6184, RFC 7798).

The packets are not trusted. After a missing packet, pictures are left out up to the next key frame, because a
decoder would patch them up and show a face that the camera never saw.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_START = b"\0\0\0\x01"
_UNIT_BYTES = 64  # that a NAL unit costs beside its own
_MOST_PICTURE_BYTES = 16 * 2**20  # a key frame of 4K has 1 to 2 MB
# Types of NAL units. H.264: IDR; SPS, PPS; STAP-A; FU-A. H.265: IRAP from 16 to 21; VPS, SPS, PPS; AP; FU.
_KEY = {"H264": range(5, 6), "H265": range(16, 22)}
_PARAMETERS = {"H264": range(7, 9), "H265": range(32, 35)}
_AGGREGATE = {"H264": 24, "H265": 48}
_FRAGMENT = {"H264": 28, "H265": 49}
_DELIMITER = {"H264": _START + b"\x09\xf0", "H265": _START + b"\x46\x01\x50"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture."""

    data: bytes  # NAL units with start codes, an access unit delimiter first
    ticks: int  # of 90 kHz, from 0 for the first picture
    is_key: bool


class Depacketizer:
    """Takes RTP packets in the order of their arrival, and yields pictures.

    `parameters`: NAL units of the session description, which belong before each key frame that has none of its own.
    """

    def __init__(self, codec: str, payload_type: int, parameters: tuple[bytes, ...] = ()) -> None:
        self.lost = 0  # packets that are missing
        self._codec = codec
        self._payload_type = payload_type
        self._parameters = parameters
        self._sequence: int | None = None
        self._timestamp: int | None = None
        self._ticks = 0
        self._units: list[bytes] = []
        self._fragment: bytearray | None = None
        self._size = 0
        self._waits = True  # for a key frame

    def add(self, packet: bytes) -> Iterator[Picture]:
        """Yield the picture that a packet ends, if any; packets that are not RTP of the stream are skipped."""
        found = parsed(packet)
        if found is None or found[0] != self._payload_type:
            return
        _, marker, sequence, timestamp, payload = found
        if self._sequence is not None and sequence != (self._sequence + 1) % 2**16:
            self.lost += (sequence - self._sequence - 1) % 2**16
            self._drop()
        self._sequence = sequence
        if self._timestamp is not None and timestamp != self._timestamp:
            yield from self._picture()  # some senders set no marker
        if self._timestamp is not None:
            self._ticks += (timestamp - self._timestamp + 2**31) % 2**32 - 2**31
        self._timestamp = timestamp
        self._unpack(payload)
        if marker:
            yield from self._picture()

    def _unpack(self, payload: bytes) -> None:
        head = 1 if self._codec == "H264" else 2
        if len(payload) <= head:
            return
        kind = self._type(payload)
        if kind == _AGGREGATE[self._codec]:
            at = head
            while len(payload) - at > 2:
                begin, at = at + 2, at + 2 + int.from_bytes(payload[at : at + 2], "big")
                self._add(payload[begin:at])
        elif kind == _FRAGMENT[self._codec]:
            self._unpack_fragment(payload, head)
        else:
            self._add(payload)

    def _unpack_fragment(self, payload: bytes, head: int) -> None:
        flags, rest = payload[head], payload[head + 1 :]
        if flags & 0x80:
            first = payload[0] & 0xE0 | flags & 0x1F if head == 1 else payload[0] & 0x81 | (flags & 0x3F) << 1
            self._fragment = bytearray([first, *payload[1:head]])
        if self._fragment is None:
            return self._drop()  # its beginning is missing
        self._fragment += rest
        if len(self._fragment) > _MOST_PICTURE_BYTES:
            return self._drop()
        if flags & 0x40:
            unit, self._fragment = bytes(self._fragment), None
            self._add(unit)
        return None

    def _add(self, unit: bytes) -> None:
        self._size += len(unit) + _UNIT_BYTES
        if not unit or self._size > _MOST_PICTURE_BYTES:
            return self._drop()
        self._units.append(unit)
        return None

    def _picture(self) -> Iterator[Picture]:
        if self._fragment is not None:
            self._drop()
        units, self._units, self._size = self._units, [], 0
        types = [self._type(unit) for unit in units]
        is_key = any(kind in _KEY[self._codec] for kind in types)
        if is_key:
            self._waits = False
        if not units or self._waits:
            return
        if is_key and not any(kind in _PARAMETERS[self._codec] for kind in types):
            units = [*self._parameters, *units]
        data = _DELIMITER[self._codec] + b"".join(_START + unit for unit in units)
        yield Picture(data, self._ticks, is_key)

    def _drop(self) -> None:
        self._units, self._fragment, self._size, self._waits = [], None, 0, True

    def _type(self, unit: bytes) -> int:
        return unit[0] & 0x1F if self._codec == "H264" else unit[0] >> 1 & 0x3F


def parsed(packet: bytes) -> tuple[int, bool, int, int, bytes] | None:
    """Return payload type, marker, sequence number, timestamp and payload of an RTP packet; None for other packets."""
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp = struct.unpack_from(">BBHI", packet)
    at = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        if len(packet) < at + 4:
            return None
        at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    end = len(packet) - (packet[-1] if first & 0x20 else 0)
    return second & 0x7F, bool(second & 0x80), sequence, timestamp, packet[at:end]
