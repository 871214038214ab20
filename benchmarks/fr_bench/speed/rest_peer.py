"""InsightFace Server under the same load over HTTP: `POST /v1/embeddings`, a photo as the field `image` of a form."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from fr_bench.speed.child import BenchFailed, Child, answer_requests
from fr_bench.speed.generator import OK, Call, Closed, Sent
from fr_bench.speed.peer import FoundFaces
from fr_bench.speed.stand_in import EMBEDDINGS, HEALTH, NO_FACE, stand_in
from fr_bench.speed.values import PEER, Round, round_of
from fr_core.packs.manifest import load_pack
from fr_locales.messages import message

STAND_IN = "stand-in"

_TIMEOUT_S = 120.0
_BOUNDARY = "fr-bench-7c2f0d"


@dataclass(frozen=True, slots=True)
class RestOrder:
    """A server to measure too: its address, or `STAND_IN`; its key, "" for none; its first process, if it runs here."""

    url: str
    key: str = field(default="", repr=False)
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class RestTarget:
    """The address of a server, its key, and the photos to send."""

    url: str
    key: str = field(repr=False)
    photos: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RestPeer:
    """InsightFace Server, or its stand-in, with so many calls at once; and what it finds in each distinct photo."""

    name: str
    pid: int | None
    child: Child
    order: Closed
    faces: tuple[FoundFaces, ...]

    def run(self, turn: int) -> Round:
        """As `Subject.run`."""
        sent: Sent = self.child.ask(self.order)
        for outcome in {call.outcome for call in sent.calls} - {OK, NO_FACE}:
            raise _refusal(outcome)
        faces = sum(call.outcome == OK for call in sent.calls)
        return round_of(self.name, len(sent.calls), faces, sent.seconds)


@contextmanager
def opened_rest_peer(
    order: RestOrder | None, pack: str, photos: tuple[bytes, ...], load: Closed
) -> Iterator[RestPeer | None]:
    """Connect to a server, or run its stand-in with the models of a pack; None where none is asked for.

    Raises `BenchFailed` if nothing answers, or a photo is refused for another reason than that it has no face.
    """
    if order is None:
        yield None
    elif order.url == STAND_IN:
        with (
            stand_in(load_pack(pack)) as (url, pid),
            _connected(RestOrder(url, pid=pid), f"{PEER} ({STAND_IN}", photos, load) as peer,
        ):
            yield peer
    else:
        with _connected(order, f"{PEER} (REST", photos, load) as peer:
            yield peer


@contextmanager
def _connected(order: RestOrder, name: str, photos: tuple[bytes, ...], load: Closed) -> Iterator[RestPeer]:
    _require_answer(order.url)
    with Child("the load generator", run_rest, RestTarget(order.url.rstrip("/"), order.key, photos)) as child:
        faces = tuple(map(_found, child.ask("first")))
        yield RestPeer(f"{name}, {load.concurrency} at once)", order.pid, child, load, faces)


def read_key(path: Path) -> str:
    """Return the key in a file; raises `BenchFailed` where it cannot be read, or could not be a header."""
    try:
        key = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise BenchFailed(message("error.bench.peer_key_unreadable", path=path, reason=str(error.strerror))) from error
    if not (key and key.isascii() and key.isprintable()):
        raise BenchFailed(message("error.bench.peer_key_unreadable", path=path, reason="not one line of ASCII"))
    return key


def _require_answer(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise BenchFailed(message("error.bench.peer_url_takes_address", url=url))
    try:
        with urllib.request.urlopen(url.rstrip("/") + HEALTH, timeout=_TIMEOUT_S):
            pass
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BenchFailed(message("error.bench.no_peer_answers", url=url, error=str(error))) from error


def _refusal(outcome: str) -> BenchFailed:
    status, _, code = outcome.rpartition(" ")
    return BenchFailed(message("error.bench.peer_refuses", status=status or "-", code=code))


def _found(answer: tuple[str, bytes]) -> FoundFaces:
    """The faces of an answer, whose boxes have a corner and a size."""
    outcome, body = answer
    if outcome == NO_FACE:
        return FoundFaces(np.empty((0, 4), np.float32), None)
    if outcome != OK:
        raise _refusal(outcome)
    faces = json.loads(body)["faces"]
    boxes = np.array([[face["bbox"]["pixels"][name] for name in ("x", "y", "width", "height")] for face in faces])
    boxes[:, 2:] += boxes[:, :2]
    return FoundFaces(boxes.astype(np.float32), np.array([face["embedding"] for face in faces], np.float32))


def run_rest(connection: Connection, target: RestTarget) -> None:
    """The process of the generator: it sends bytes that were prepared, and reads only what is no embedding."""
    bodies = tuple(map(form, target.photos))

    def answer(request: Any) -> object:
        if request == "first":
            with _Caller(target) as caller:
                return [caller.call(body) for body in bodies]
        return _closed(target, bodies, request)

    answer_requests(connection, answer)


def form(photo: bytes) -> bytes:
    """A photo as the field `image` of a multipart/form-data body."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + photo + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _closed(target: RestTarget, bodies: Sequence[bytes], order: Closed) -> Sent:
    """Send photos, so many at a time, each caller over a connection of its own."""
    places = iter(order.order)
    cpu, start = time.process_time(), time.monotonic()

    def work() -> list[Call]:
        calls = []
        with _Caller(target) as caller:
            for place in places:  # a tuple's iterator gives each place to one thread
                sent = time.monotonic()
                outcome, _ = caller.call(bodies[place])
                calls.append(Call(place, sent, sent, time.monotonic(), outcome, False))
        return calls

    with ThreadPoolExecutor(order.concurrency) as pool:
        working = [pool.submit(work) for _ in range(order.concurrency)]
        calls = [call for one in working for call in one.result()]
    end = max((call.ended for call in calls), default=start)
    return Sent(tuple(calls), start, end, (time.process_time() - cpu) / max(end - start, 1e-9))


class _Caller:
    """A connection that is kept between calls."""

    def __init__(self, target: RestTarget) -> None:
        url = urllib.parse.urlsplit(target.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(url.netloc, timeout=_TIMEOUT_S)
        self._path = url.path + EMBEDDINGS
        self._headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        if target.key:
            self._headers["Authorization"] = f"Bearer {target.key}"

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, body: bytes) -> tuple[str, bytes]:
        """Send a form; return the outcome, and the body of the answer.

        The outcome is `OK`, `NO_FACE`, or a status with the code of the error, such as "401 unauthorized".
        """
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next call opens it again
            return type(error).__name__, b""
        if answer.status == http.HTTPStatus.OK:
            return OK, content
        code = ""
        with suppress(ValueError, KeyError, TypeError):  # a proxy answers as it likes
            code = str(json.loads(content)["error"]["code"])
        return (NO_FACE if code == NO_FACE else f"{answer.status} {code or answer.reason}"), content
