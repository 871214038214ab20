"""The files that pages load: their addresses, which change with their content, and their routes."""

import gzip
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from hashlib import sha256
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SCRIPTS = (
    "vendor/htmx.min.js",
    "vendor/hx-csp.min.js",
    "vendor/hx-sse.min.js",
    "console.js",
    "trial.js",
    "viewer.js",
    "footage.js",
)
_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def routes() -> Iterator[Route]:
    """Yield the route of each file; any mark in an address will do, so that a page that is open finds its files."""
    for name in (*SCRIPTS, "console.css"):
        yield Route(f"/static/{{mark}}/{name}", _answering(name))


def _read_static(name: str) -> bytes:
    return (resources.files("fr_web.console") / "static" / name).read_bytes()


@cache
def address_of(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    return f"/static/{sha256(_read_static(name)).hexdigest()[:12]}/{name}"


def _answering(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = _read_static(name)
    packed = gzip.compress(content, mtime=0)
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "content-type": _KINDS[name.rpartition(".")[2]],
        "vary": "accept-encoding",
    }

    async def answer(request: Request) -> Response:
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers={**headers, "content-encoding": "gzip"})
        return Response(content, headers=headers)

    return answer
