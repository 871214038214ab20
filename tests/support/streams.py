"""Serves made footage as a camera does: an RTSP server, and MPEG transport streams over TCP, with cuts."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import av

from fr_core.types import U8

_MTU = 1_400
_TYPE = 96


@dataclass(frozen=True, slots=True)
class Unit:
    """An encoded picture, with start codes."""

    time: Fraction
    data: bytes


def encoded(
    pictures: Iterable[tuple[Fraction, U8]], codec: str = "libx264", every: int = 25, *, lossless: bool = False
) -> list[Unit]:
    """Encode pictures, with a key frame every so many, each of which carries its parameters.

    `lossless`: in H.264 without losses, whatever the codec.
    """
    units: list[Unit] = []
    context: Any = None
    for time, picture in pictures:
        if context is None:
            context = av.CodecContext.create("libx264rgb" if lossless else codec, "w")
            context.height, context.width = picture.shape[:2]
            context.pix_fmt = "rgb24" if lossless else "yuv420p"
            context.time_base, context.thread_count = Fraction(1, 90_000), 1
            quality = "0" if lossless else "18"
            context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(every), "crf": quality}
            if codec == "libx265":
                context.options = {**context.options, "x265-params": f"keyint={every}:log-level=none:repeat-headers=1"}
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = int(time * 90_000), Fraction(1, 90_000)
        units += [Unit(time, bytes(packet)) for packet in context.encode(frame)]
    return units


def nal_units(data: bytes) -> list[bytes]:
    return [one.rstrip(b"\0") if place else one for place, one in enumerate(re.split(rb"\0\0\0?\x01", data)) if one]


class RtpSender:
    """Packs pictures into RTP packets, as RFC 6184 and RFC 7798 have it."""

    def __init__(self, codec: str, sequence: int = 65_530, ticks: int = 2**32 - 45_000) -> None:
        self.codec = codec
        self.sequence, self.ticks = sequence, ticks  # both soon begin again at 0

    def packets(self, unit: Unit) -> list[bytes]:
        payloads = [part for nal in nal_units(unit.data) for part in self._parts(nal)]
        return [self._packet(part, unit.time, last=place == len(payloads) - 1) for place, part in enumerate(payloads)]

    def _parts(self, nal: bytes) -> list[bytes]:
        if len(nal) <= _MTU:
            return [nal]
        head = 1 if self.codec == "H264" else 2
        kind = nal[0] & 0x1F if head == 1 else nal[0] >> 1 & 0x3F
        first = bytes([nal[0] & 0xE0 | 28]) if head == 1 else bytes([nal[0] & 0x81 | 49 << 1, nal[1]])
        rest = [nal[at : at + _MTU] for at in range(head, len(nal), _MTU)]
        marks = [0x80 * (place == 0) | 0x40 * (place == len(rest) - 1) for place in range(len(rest))]
        return [first + bytes([mark | kind]) + part for mark, part in zip(marks, rest, strict=True)]

    def _packet(self, payload: bytes, time: Fraction, *, last: bool) -> bytes:
        ticks = (self.ticks + int(time * 90_000)) % 2**32
        packet = struct.pack(">BBHII", 0x80, _TYPE | 0x80 * last, self.sequence, ticks, 7) + payload
        self.sequence = (self.sequence + 1) % 2**16
        return packet


class Camera:
    """Sends one session after another, each to the next who connects. A context manager.

    Args:
        sessions: pictures of each session; it is cut after the last. After the last session, connections are refused.
        speed: seconds of footage that are sent in a second.
        codec: H264 or H265.
        login: user and password that it wants, as a digest.
        as_rtsp: else an MPEG transport stream over TCP.
        damaged: changes the packets of a picture, given its place in the session; they go out in its stead.
    """

    def __init__(
        self,
        sessions: Sequence[Sequence[Unit]],
        *,
        speed: float = 1.0,
        codec: str = "H264",
        login: tuple[str, str] | None = None,
        as_rtsp: bool = True,
        damaged: Callable[[int, list[bytes]], list[bytes]] = lambda place, packets: packets,
    ) -> None:
        self.sessions = sessions
        self.finished = threading.Event()  # set when the last session was sent
        self.asked: list[str] = []  # methods of the requests
        self._speed, self._codec, self._login, self._as_rtsp, self._damaged = speed, codec, login, as_rtsp, damaged
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        before = f"{login[0]}:{login[1]}@" if login else ""
        self.address = f"rtsp://{before}{host}:{port}/live/1" if as_rtsp else f"tcp://{host}:{port}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        for units in self.sessions:
            while not self._stop.is_set():
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    if not self._as_rtsp or self._handshake(connection):
                        self._play(connection, units)
                        break
        self._listener.close()
        self.finished.set()

    def _play(self, connection: socket.socket, units: Sequence[Unit]) -> None:
        from fr_video.mpegts import Muxer

        sender, muxer = RtpSender(self._codec), Muxer(self._codec)
        before = units[0].time
        for place, unit in enumerate(units):
            if self._stop.wait(float(unit.time - before) / self._speed):
                return
            before = unit.time
            if self._as_rtsp:
                for packet in self._damaged(place, sender.packets(unit)):
                    connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
            else:
                connection.sendall(muxer.tables() + muxer.picture(unit.data, int(unit.time * 90_000)))

    def _handshake(self, connection: socket.socket) -> bool:
        nonce, file = secrets.token_hex(8), connection.makefile("rb")
        for _ in range(10):
            lines = []
            while line := file.readline().decode().rstrip("\r\n"):
                lines.append(line)
            if not lines:
                return False
            method, address, _ = lines[0].split(" ")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            self.asked.append(method)
            if self._login and not self._may(method, address, nonce, headers.get("Authorization", "")):
                said = f'WWW-Authenticate: Digest realm="camera", nonce="{nonce}", algorithm=SHA-256, qop="auth"'
                self._answer(connection, 401, headers, said)
            elif method == "DESCRIBE":
                self._answer(connection, 200, headers, "Content-Type: application/sdp", body=self._description())
            elif method == "SETUP":
                self._answer(
                    connection, 200, headers, "Session: 77;timeout=60", "Transport: RTP/AVP/TCP;interleaved=0-1"
                )
            else:
                self._answer(connection, 200, headers)
                if method == "PLAY":
                    return True
        return False

    def _may(self, method: str, address: str, nonce: str, header: str) -> bool:
        assert self._login is not None
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', header))

        def hashed(*words: str) -> str:
            return hashlib.sha256(":".join(words).encode()).hexdigest()

        inner = hashed(self._login[0], "camera", self._login[1])
        return said.get("response") == hashed(
            inner, nonce, said.get("nc", ""), said.get("cnonce", ""), "auth", hashed(method, address)
        )

    def _answer(
        self, connection: socket.socket, status: int, headers: dict[str, str], *said: str, body: str = ""
    ) -> None:
        lines = [f"RTSP/1.0 {status} Said", f"CSeq: {headers['CSeq']}", *said, f"Content-Length: {len(body)}"]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _description(self) -> str:
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
            "m=audio 0 RTP/AVP 0\r\na=control:track9\r\n"
            f"m=video 0 RTP/AVP {_TYPE}\r\na=rtpmap:{_TYPE} {self._codec}/90000\r\na=control:track1\r\n"
        )
