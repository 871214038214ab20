"""Plays the video of an RTSP server (RFC 2326) over its one TCP connection, as an MPEG transport stream.

The decoder in the sandbox has no network, and FFmpeg's own RTSP would parse untrusted data outside the sandbox.
So this module reads the texts and the packets, in Python, within limits, and the sandbox gets pictures only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from fr_core.errors import message
from fr_video.errors import StreamUnreadable
from fr_video.mpegts import Muxer
from fr_video.rtp import Depacketizer, parsed

PORT = 554
_MOST_HEAD_BYTES = 32_768
_MOST_BODY_BYTES = 65_536
_BLOCK_BYTES = 65_536
_BEGIN_S = 30.0  # until the server must play, so that one that sends a little now and then holds no thread
_ALIVE_EVERY_S = 20.0  # servers end a session after 60 seconds by default (RFC 2326, 12.37)
_AGENT = "FR Core"
_LENGTH = re.compile(r"[0-9]{1,9}")
_TRANSPORT_STREAM = 33  # the static payload type of RFC 3551


@dataclass(frozen=True, slots=True)
class Media:
    """The video of a session description."""

    codec: str  # H264, H265, or MP2T for an MPEG transport stream
    payload_type: int
    control: str  # its address
    parameters: tuple[bytes, ...]  # NAL units that decoding needs


class RtspSession:
    """A session that plays. `chunks` yields the stream until the server ends it, or the socket's time is over.

    Args:
        connection: connected to the server, with the time limit of each read.
        address: of the stream; user and password in it are for the server, and are sent nowhere else.
        monotonic_s: a clock.

    Raises:
        StreamUnreadable: the server refuses, requires a login or sends a codec that is not supported, or does not
            speak RTSP.
        OSError: the connection broke, or was silent for too long.
    """

    def __init__(self, connection: socket.socket, address: str, monotonic_s: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = monotonic_s
        self._parts = urlsplit(address)
        self._buffer = bytearray()
        self._number = 0
        self._session = ""
        self._login: Callable[[str, str], str] | None = None
        self._begin_by: float | None = monotonic_s() + _BEGIN_S
        self._address = _without_login(self._parts)
        described, body = self._ask("DESCRIBE", self._address, Accept="application/sdp")
        base = described.get("content-base") or described.get("content-location") or self._address
        try:
            self.media = read_description(body.decode("utf-8", "replace"), base)
        except ValueError as error:  # of an address
            raise StreamUnreadable(message("error.video.no_rtsp")) from error
        setup, _ = self._ask("SETUP", self.media.control, Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        self._channel = _channel(setup.get("transport", ""))
        self._session = setup.get("session", "").partition(";")[0].strip()
        self._ask("PLAY", self._address, Range="npt=now-")
        self._begin_by = None
        self._told_alive = self._clock()

    def chunks(self) -> Iterator[bytes]:
        """Yield the stream; raises as the class."""
        media = self.media
        if media.codec == "MP2T":
            for packet in self._packets():
                found = parsed(packet)
                if found is not None and found[0] == media.payload_type:
                    yield found[4]
            return
        pictures, muxer = Depacketizer(media.codec, media.payload_type, media.parameters), Muxer(media.codec)
        for packet in self._packets():
            for picture in pictures.add(packet):
                yield (muxer.tables() if picture.is_key else b"") + muxer.picture(picture.data, picture.ticks)

    def close(self) -> None:
        """Tell the server that the session ends; it may be gone already."""
        with suppress(OSError):
            self._send("TEARDOWN", self._address, {})

    def _packets(self) -> Iterator[bytes]:
        """Yield the RTP packets of the video."""
        while True:
            if self._clock() - self._told_alive >= _ALIVE_EVERY_S:
                self._told_alive = self._clock()
                self._send("OPTIONS", self._address, {})  # its answer comes between packets, and is skipped
            first = self._take(1)
            if first != b"$":
                self._buffer[:0] = first
                self._message()
                continue
            channel, high, low = self._take(3)
            packet = self._take(high << 8 | low)
            if channel == self._channel:
                yield packet

    def _ask(self, method: str, address: str, **headers: str) -> tuple[Mapping[str, str], bytes]:
        for _ in range(2):
            self._send(method, address, headers)
            status, said, body = self._answer()
            if status != 401 or self._login is not None:
                break
            self._login = self._login_of(said.get("www-authenticate", ""))
        if status == 401:
            raise StreamUnreadable(message("error.video.stream_login"))
        if status != 200:
            raise StreamUnreadable(message("error.video.stream_refused", status=status))
        return said, body

    def _send(self, method: str, address: str, headers: Mapping[str, str]) -> None:
        self._number += 1
        lines = [f"{method} {address} RTSP/1.0", f"CSeq: {self._number}", f"User-Agent: {_AGENT}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._session:
            lines.append(f"Session: {self._session}")
        if self._login is not None:
            lines.append(f"Authorization: {self._login(method, address)}")
        self._connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def _answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next answer; packets before it are skipped."""
        while True:
            first_byte = self._take(1)
            if first_byte == b"$":
                _, high, low = self._take(3)
                self._take(high << 8 | low)
                continue
            self._buffer[:0] = first_byte
            first, headers, body = self._message()
            found = re.fullmatch(r"RTSP/1\.\d (\d{3})(?: .*)?", first)
            if found is not None:
                return int(found[1]), headers, body

    def _message(self) -> tuple[str, dict[str, str], bytes]:
        """Return the first line, the headers and the body of a message."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MOST_HEAD_BYTES:
                raise StreamUnreadable(message("error.video.no_rtsp"))
            self._fill()
        first, *lines = bytes(self._buffer[:end]).decode("utf-8", "replace").split("\r\n")
        del self._buffer[: end + 4]
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        size = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(size) or int(size) > _MOST_BODY_BYTES:
            raise StreamUnreadable(message("error.video.no_rtsp"))
        return first, headers, self._take(int(size))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _fill(self) -> None:
        if self._begin_by is not None and self._clock() > self._begin_by:
            raise TimeoutError("the server does not come to play")
        data = self._connection.recv(_BLOCK_BYTES)
        if not data:
            raise ConnectionResetError("the server ended the connection")
        self._buffer += data

    def _login_of(self, challenge: str) -> Callable[[str, str], str] | None:
        user, password = (unquote(word or "") for word in (self._parts.username, self._parts.password))
        scheme, _, rest = challenge.partition(" ")
        if not user:
            return None
        if scheme.lower() == "basic":
            word = base64.b64encode(f"{user}:{password}".encode()).decode()
            return lambda method, address: f"Basic {word}"
        if scheme.lower() == "digest":
            return _digest(rest, user, password)
        raise StreamUnreadable(message("error.video.stream_login"))


def read_description(text: str, base: str) -> Media:
    """Return the first video of a session description (RFC 4566); raises `StreamUnreadable`: none that is supported."""
    session, *media = re.split(r"(?m)^(?=m=)", text)
    for part in media:
        found = re.match(r"m=video \d+(?:/\d+)? RTP/AVP (\d{1,3})\b", part)
        if found is None:
            continue
        kind = int(found[1])
        named = re.search(rf"(?m)^a=rtpmap:{kind} ([\w-]+)/", part)
        codec = named[1].upper() if named else "MP2T" if kind == _TRANSPORT_STREAM else ""
        if codec not in ("H264", "H265", "MP2T"):
            continue
        own = re.search(r"(?m)^a=control:(\S+)", part)
        whole = re.search(r"(?m)^a=control:(\S+)", session)
        outer = base if whole is None or whole[1] == "*" else urljoin(base, whole[1])
        return Media(codec, kind, _joined(outer, own[1] if own else ""), _parameters(part, codec))
    raise StreamUnreadable(message("error.video.stream_codec"))


def _joined(base: str, control: str) -> str:
    if not control or control == "*":
        return base
    # Servers mean "within", also where the base has no slash at its end.
    return urljoin(base if base.endswith("/") else f"{base}/", control)


def _parameters(part: str, codec: str) -> tuple[bytes, ...]:
    names = ("sprop-parameter-sets",) if codec == "H264" else ("sprop-vps", "sprop-sps", "sprop-pps")
    units = []
    for name in names:
        found = re.search(rf"(?m)^a=fmtp:.*[ ;]{name}=([A-Za-z0-9+/=,]+)", part)
        for word in found[1].split(",") if found else ():
            with suppress(binascii.Error):
                units.append(base64.b64decode(word, validate=True))
    return tuple(filter(None, units))


def _channel(transport: str) -> int:
    found = re.search(r"interleaved=(\d{1,3})", transport)
    return int(found[1]) if found else 0


def _without_login(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _digest(challenge: str, user: str, password: str) -> Callable[[str, str], str]:
    """Return a function that makes the Authorization header of a request (RFC 7616, with MD5 or SHA-256)."""
    said = {
        name.lower(): quoted or bare
        for name, quoted, bare in re.findall(r'\b(\w{1,20}+)=(?:"([^"]*)"|([^\s,]+))', challenge)
    }
    algorithm = said.get("algorithm", "MD5")
    if algorithm not in ("MD5", "SHA-256"):
        raise StreamUnreadable(message("error.video.stream_login"))
    realm, nonce = said.get("realm", ""), said.get("nonce", "")
    with_quality = "auth" in said.get("qop", "").replace(" ", "").split(",")
    count = 0

    def hashed(text: str) -> str:
        name = algorithm.lower().replace("-", "")
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    def login(method: str, address: str) -> str:
        nonlocal count
        count += 1
        own, number = secrets.token_hex(8), f"{count:08x}"
        middle = f"{nonce}:{number}:{own}:auth" if with_quality else nonce
        response = hashed(f"{hashed(f'{user}:{realm}:{password}')}:{middle}:{hashed(f'{method}:{address}')}")
        words = {"username": user, "realm": realm, "nonce": nonce, "uri": address, "response": response}
        words |= {"opaque": said["opaque"]} if "opaque" in said else {}
        text = ", ".join(f'{name}="{value}"' for name, value in words.items()) + f", algorithm={algorithm}"
        return f'Digest {text}, qop=auth, nc={number}, cnonce="{own}"' if with_quality else f"Digest {text}"

    return login
