"""Wraps the pictures of a live stream into an MPEG transport stream, which the decoder in the sandbox reads.

Of ISO/IEC 13818-1, the least that a demultiplexer needs: a PAT, a PMT, and one PES packet for each picture.
"""

from __future__ import annotations

from collections.abc import Iterator

_PACKET = 188
_PMT_PID, _VIDEO_PID = 0x100, 0x101
_NO_LENGTH = b"\0\0"  # of a PES packet of video, which may be longer than 65,535 bytes
STREAM_TYPES = {"H264": 0x1B, "H265": 0x24}
"""Codec -> its stream type in the PMT."""


class Muxer:
    """Makes the packets of one programme with one video stream of a codec of `STREAM_TYPES`."""

    def __init__(self, codec: str) -> None:
        self._counters = {0: 0, _PMT_PID: 0, _VIDEO_PID: 0}
        pat = b"\x00\x01" + (0xE000 | _PMT_PID).to_bytes(2, "big")
        video = (0xE000 | _VIDEO_PID).to_bytes(2, "big")
        pmt = video + b"\xf0\x00" + bytes([STREAM_TYPES[codec]]) + video + b"\xf0\x00"
        self._tables = ((0, _section(0, pat)), (_PMT_PID, _section(2, pmt)))

    def tables(self) -> bytes:
        """Return the PAT and the PMT; a reader may begin behind them."""
        return b"".join(packet for pid, section in self._tables for packet in self._packets(pid, b"\0" + section))

    def picture(self, data: bytes, pts: int) -> bytes:
        """Return the packets of a picture: its NAL units with start codes, and its time in ticks of 90 kHz."""
        pts %= 2**33
        time = bytes(
            [
                0x21 | (pts >> 29 & 0x0E),
                pts >> 22 & 0xFF,
                0x01 | (pts >> 14 & 0xFE),
                pts >> 7 & 0xFF,
                0x01 | (pts << 1 & 0xFE),
            ]
        )
        return b"".join(self._packets(_VIDEO_PID, b"\0\0\x01\xe0" + _NO_LENGTH + b"\x80\x80\x05" + time + data))

    def _packets(self, pid: int, payload: bytes) -> Iterator[bytes]:
        at, first = 0, 0x40
        while at < len(payload):
            head = bytes([0x47, first | pid >> 8, pid & 0xFF])
            counter = self._counters[pid]
            self._counters[pid] = (counter + 1) % 16
            part = payload[at : at + _PACKET - 4]
            at, first = at + len(part), 0
            missing = _PACKET - 4 - len(part)
            if not missing:
                yield head + bytes([0x10 | counter]) + part
                continue
            # An adaptation field fills the packet: its length, then flags, then padding.
            field = bytes([missing - 1]) + (b"\0" + b"\xff" * (missing - 2) if missing > 1 else b"")
            yield head + bytes([0x30 | counter]) + field + part


def _section(table: int, body: bytes) -> bytes:
    head = bytes([table]) + (0xB000 | len(body) + 9).to_bytes(2, "big") + b"\x00\x01\xc1\x00\x00"
    return head + body + _crc32(head + body).to_bytes(4, "big")


def _crc32(data: bytes) -> int:
    """Return the CRC-32 of MPEG-2: that of zlib without reflection and final inversion."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value
