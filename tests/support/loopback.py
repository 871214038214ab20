"""Web servers of this machine that answer as a test says."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on 127.0.0.1, over TLS with a context, and yield the port; each GET, POST and PUT is left to `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def send(asked: BaseHTTPRequestHandler, body: bytes = b"", status: int = 200, **headers: object) -> None:
    """Answer with this status, body and headers, in which "_" stands for "-"; `Content_Length=` may be a wrong one."""
    asked.send_response(status)
    for name, value in {"Content_Length": len(body), **headers}.items():
        asked.send_header(name.replace("_", "-"), str(value))
    asked.end_headers()
    asked.wfile.write(body)
