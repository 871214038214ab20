"""Speaks TLS in front of a PostgreSQL server, whose registry package cannot; a program to run in another network.

Arguments: the address to listen on, the files of the certificate and of its key, and the socket. Prints the port.
"""

import contextlib
import socket
import ssl
import struct
import sys
import threading

# https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest.
_WANTS_TLS = struct.pack("!II", 8, 80877103)
_BYTES = 65_536

# FR Core asks PostgreSQL to notice so that a client was cut off; behind a relay, the relay has to.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_BYTES):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _serve(client: socket.socket, context: ssl.SSLContext, path: str) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        while client.recv(len(_WANTS_TLS)) != _WANTS_TLS:
            client.sendall(b"N")  # no encryption by GSSAPI
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as secured:
            server.connect(path)
            back = threading.Thread(target=_pump, args=(server, secured), daemon=True)
            back.start()
            _pump(secured, server)
            back.join()


def main(address: str, certificate: str, key: str, path: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((address, 0)) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - the test reads it
        while True:
            client, _ = listening.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                client.setsockopt(socket.IPPROTO_TCP, option, value)
            threading.Thread(target=_serve, args=(client, context, path), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
