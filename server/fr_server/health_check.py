"""`fr-health`: asks the server of this machine for its health, without a key. For orchestrators, which ask often.

It speaks as much HTTP/2 (RFC 9113) as one call of grpc.health.v1 takes, since importing gRPC costs several times as
much as the call.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

DEFAULT_ADDRESS = "127.0.0.1:50061"
_LIMIT_S = 3.0
_USAGE = """Usage: fr-health [--plain] [HOST:PORT]

Ask the server of this machine for its health: prints SERVING and ends with 0, else with 1. HOST:PORT is $FR_SERVER, or
127.0.0.1:50061. A server that requires client certificates gets that of $FR_CERTIFICATE, with $FR_CERTIFICATE_KEY.
--plain is for a server without TLS. `fr health` also says why there is no connection.
"""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x4, 0x8
_HEAD_BYTES = 9
_MAX_FRAME_BYTES = 16_384  # SETTINGS_MAX_FRAME_SIZE, which the settings sent here leave as it is
# A message of gRPC: not compressed, its length, and HealthCheckResponse.status (grpc/health/v1/health.proto).
_EMPTY_MESSAGE = bytes(5)
_STATUSES = {b"\0\0\0\0\2\x08\1": "SERVING", b"\0\0\0\0\2\x08\2": "NOT_SERVING"}


def health(address: str, tls: bool = True, certificate: str = "", key: str = "", limit_s: float = _LIMIT_S) -> str:
    """Return the health that the server at HOST:PORT tells, such as "SERVING".

    The server's certificate is not checked, as Kubernetes' own probes over HTTPS do not check it: nothing secret is
    sent, and no restart would renew it. `certificate` and `key` are files, PEM, for a server that asks for them.

    Raises `OSError`: there is no answer within `limit_s`, or it is none of gRPC's health service; `ValueError`: the
    address is not HOST:PORT.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, such as {DEFAULT_ADDRESS}")
    end = time.monotonic() + limit_s
    with ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((host.strip("[]"), int(port)), limit_s))
        connection.settimeout(_left_s(end))
        if tls:
            connection = opened.enter_context(_encrypted(connection, certificate, key))
        connection.sendall(_request(address, "https" if tls else "http"))
        answer = b"".join(_message(_frames(connection, end)))
    try:
        return _STATUSES[answer]
    except KeyError:
        raise OSError("it has no health service of gRPC") from None


def main() -> None:
    """Run from the command line."""
    words = sys.argv[1:]
    options = {word for word in words if word.startswith("-")}
    addresses = [word for word in words if word not in options]
    if options - {"--plain"} or len(addresses) > 1:
        sys.stdout.write(_USAGE)
        sys.exit(0 if options & {"--help", "-h"} else 2)
    address = addresses[0] if addresses else os.environ.get("FR_SERVER") or DEFAULT_ADDRESS
    certificate, key = (os.environ.get(name, "") for name in ("FR_CERTIFICATE", "FR_CERTIFICATE_KEY"))
    try:
        status = health(address, "--plain" not in options, certificate, key)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"No health from {address}: {error}.\n")
        sys.exit(1)
    sys.stdout.write(f"{status}\n")
    sys.exit(0 if status == "SERVING" else 1)


def _left_s(end: float) -> float:
    return max(end - time.monotonic(), 0.001)


def _encrypted(plain: socket.socket, certificate: str, key: str) -> socket.socket:
    import ssl  # which takes as long as the rest

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context.wrap_socket(plain)


def _request(address: str, scheme: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": scheme,
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": address,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    headers = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, _EMPTY_MESSAGE)
    )


def _text(text: str) -> bytes:
    """Return a string of HPACK that is neither indexed nor compressed, of less than 127 bytes (RFC 7541, 5.2)."""
    raw = text.encode("ascii")
    if len(raw) >= 127:
        raise ValueError("the address is too long")
    return bytes([len(raw)]) + raw


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _frames(connection: socket.socket, end: float) -> Iterator[tuple[int, int, bytes]]:
    """Return (kind, flags, payload) of each frame that the server sends."""
    while True:
        head = _read(connection, _HEAD_BYTES, end)
        length = int.from_bytes(head[:3], "big")
        if length > _MAX_FRAME_BYTES:
            raise OSError("it does not speak HTTP/2")
        yield head[3], head[4], _read(connection, length, end)


def _message(frames: Iterator[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """Return the parts of the one message, up to the end of the answer."""
    for kind, flags, payload in frames:
        if kind in (_RST_STREAM, _GOAWAY):
            return
        if kind == _DATA:
            yield payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return


def _read(connection: socket.socket, size: int, end: float) -> bytes:
    read = b""
    while len(read) < size:
        connection.settimeout(_left_s(end))
        more = connection.recv(size - len(read))
        if not more:
            raise OSError("it closed the connection")
        read += more
    return read


if __name__ == "__main__":
    main()
