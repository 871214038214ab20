"""Recognises the container of a video file by its first bytes, so that FFmpeg need not guess among hundreds."""

_EBML = b"\x1a\x45\xdf\xa3"
_TS_PACKET, _TS_SYNC = 188, 0x47
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"})

HEAD_BYTES = 4 * 192 + 1
"""Number of first bytes that `sniff` needs."""

DEMUXERS = ("mov", "matroska", "avi", "mpegts", "mpeg")
"""FFmpeg's demultiplexers that are used: MP4 and QuickTime, Matroska and WebM, AVI, MPEG transport and program."""

CODECS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mjpeg", "vp8", "vp9", "av1"})
"""FFmpeg's decoders that are used, by the names of their codecs."""


def sniff(head: bytes) -> str | None:
    """Return the demultiplexer of `DEMUXERS` for a file with these first bytes; None for a file of another kind."""
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(_EBML):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"\0\0\1\xba"):
        return "mpeg"
    for offset, step in ((0, _TS_PACKET), (4, 192)):  # packets of M2TS have four bytes more, of a time code
        marks = head[offset : offset + 4 * step : step]
        if len(marks) == 4 and all(mark == _TS_SYNC for mark in marks):
            return "mpegts"
    return None
