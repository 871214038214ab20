"""What lies at an https address, read within a time that no answer can draw out."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.request
from typing import IO, Any

# For so long nothing may come: an address that is not there is given up before the whole time is over.
_SILENT_S = 5.0


def download(url: str, context: ssl.SSLContext, most_bytes: int, within_s: float) -> bytes:
    """Return what an https address answers, by the proxies of the environment (`https_proxy`, `no_proxy`).

    No redirect is followed. All that is waited for ends in time, however slowly it comes: connections, the greeting of
    a proxy, the TLS handshake, headers, body. The look-up of the name alone takes what the system's resolver takes.

    Args:
        url: of https.
        context: of the connection.
        most_bytes: read at most; the answer may go on.
        within_s: seconds in all.

    Raises:
        OSError: there is no answer, or not in time, or one of another status than 200 to 299.
        ValueError, http.client.HTTPException: what answers does not speak HTTP.
    """
    https = _Https(context, time.monotonic() + within_s)
    opener = urllib.request.build_opener(https, _NoRedirect())
    ending = threading.Timer(within_s, https.end)
    ending.daemon = True
    ending.start()
    try:
        with opener.open(url, timeout=_SILENT_S) as answer:
            data: bytes = answer.read(most_bytes)
        https.require_time()  # an answer that was cut off may look like one that ended
    finally:
        ending.cancel()
        https.close()
    return data


class _Https(urllib.request.HTTPSHandler):
    """Opens connections that another thread can end, whatever they wait for."""

    def __init__(self, context: ssl.SSLContext, until_s: float) -> None:
        super().__init__(context=context)
        self._tls = context
        self._until_s = until_s
        self._open: list[socket.socket] = []

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)  # type: ignore[arg-type]  # stubs want a class

    def end(self) -> None:
        """Let whoever reads or writes go on: there comes no more."""
        for one in self._open:
            with contextlib.suppress(OSError):  # its other end was quicker
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._open:
            one.close()

    def require_time(self) -> None:
        """Raise `TimeoutError` where the time is over."""
        if time.monotonic() >= self._until_s:
            raise TimeoutError

    def _connection(self, host: str, timeout: float) -> http.client.HTTPSConnection:
        made = http.client.HTTPSConnection(host, timeout=timeout, context=self._tls)
        # Where http.client lets another make its socket; `connect` itself is of no use, as it shakes hands as well.
        made._create_connection = self._connected  # type: ignore[attr-defined]  # private, and pinned by a test
        return made

    def _connected(self, address: tuple[str, int], timeout: float, source: object) -> socket.socket:
        last: OSError | None = None
        for _, _, _, _, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            self.require_time()
            try:
                made = socket.create_connection((str(found[0]), address[1]), min(timeout, self._left_s()))
            except OSError as error:
                last = error
                continue
            made.settimeout(timeout)
            self._open.append(made.dup())  # TLS takes the descriptor of the other away
            self.require_time()  # else `end` has not been yet, and will find it
            return made
        raise last or OSError("the name has no address")

    def _left_s(self) -> float:
        return max(0.001, self._until_s - time.monotonic())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is wanted is at the address that was given, or nowhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follow nothing, so that the answer is an error."""
