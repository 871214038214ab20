"""Measures photos per second over HTTP, beside the same calls over gRPC, in turn on one server.

Run it with `make bench-http`. The same generator process sends both, 8 calls at a time, each on a connection of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from google.protobuf import json_format

from fr_api.v1 import gallery_pb2, recognition_pb2
from fr_bench.speed.child import BenchFailed, Child, answer_requests
from fr_bench.speed.generator import Generators, Target
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.server_process import free_port, started_server
from fr_bench.speed.workload import read_photos
from fr_locales.messages import message

BAR = 0.85  # of gRPC's photos per second
_DEADLINE_S = 120.0
_KINDS = {"json": "application/json", "proto": "application/proto"}
_REQUESTS: dict[Method, Any] = {
    Method.EMBED: recognition_pb2.EmbedRequest,
    Method.DETECT: recognition_pb2.DetectRequest,
    Method.SEARCH: gallery_pb2.SearchRequest,
}


@dataclass(frozen=True, slots=True)
class _HttpTarget:
    """A port of this machine, and whole requests, head and body."""

    port: int
    requests: tuple[bytes, ...]


def main() -> None:
    """Measure and print; JSON with --json. Exit status 1 if both kinds of bodies miss the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", default="lfw", help="lfw, t1, or a folder")
    parser.add_argument("--number", type=int, default=200, help="photos of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--method", choices=[one.value for one in Method], default=Method.SEARCH.value)
    parser.add_argument("--json", action="store_true")
    order = parser.parse_args()
    report = _measured(order)
    told = json.dumps(report, indent=2) if order.json else _told(report)
    sys.stdout.write(told + "\n")
    raise SystemExit(0 if max(report["ratio"].values()) >= BAR else 1)


def _measured(order: argparse.Namespace) -> dict[str, Any]:
    listed, port, method = read_photos([order.photos], order.number, None), free_port(), Method(order.method)
    with ExitStack() as stack:
        server = stack.enter_context(started_server(["--web", str(port)]))
        channel, info = stack.enter_context(connected(server.address))
        gallery = stack.enter_context(temporary_gallery(channel, info, 1000, 1)) if method is Method.SEARCH else ""
        requests = serialised(method, listed.photos, gallery)
        first_answers(channel, method, requests)
        grpc_side = stack.enter_context(Generators(Target(server.address, PATHS[method], requests, 1), 1))
        sides = {
            name: stack.enter_context(Child("the load generator", _run, _HttpTarget(port, _heads(method, kind, requests))))
            for name, kind in _KINDS.items()
        }
        rates: dict[str, list[float]] = {"grpc": [], **{name: [] for name in sides}}
        for turn in range(order.rounds + 1):
            sent = grpc_side.closed(listed.order, order.concurrency, _DEADLINE_S)
            took = {"grpc": sent.seconds}
            for name, child in sides.items():
                took[name] = child.ask((listed.order, order.concurrency))
            if turn:  # the first round warms up
                for name, seconds in took.items():
                    rates[name].append(len(listed.order) / seconds)
    found = {name: median(measured) for name, measured in rates.items()}
    ratio = {name: median(a / b for a, b in zip(rates[name], rates["grpc"], strict=True)) for name in _KINDS}
    return {"method": method.value, "photos_per_s": found, "ratio": ratio}


def _heads(method: Method, kind: str, requests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    made = []
    for request in requests:
        body = request
        if kind == _KINDS["json"]:
            body = json.dumps(json_format.MessageToDict(_REQUESTS[method].FromString(request))).encode()
        head = (
            f"POST {PATHS[method]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return tuple(made)


def _run(connection: Connection, target: _HttpTarget) -> None:
    """The process of a generator."""
    with asyncio.Runner() as runner:
        answer_requests(connection, lambda order: runner.run(_round(target, *order)))


async def _round(target: _HttpTarget, order: tuple[int, ...], concurrency: int) -> float:
    """Send the requests at these places; return the seconds from the first to the last answer."""
    places = iter(order)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        for place in places:
            writer.write(target.requests[place])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"http/1.1 200"):
                raise BenchFailed(message("error.bench.server_refuses_photo_workload", outcome_of=_code(body)))
        writer.close()

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return time.monotonic() - begun


def _code(body: bytes) -> str:
    return str(json.loads(body).get("code", ""))


def _told(report: dict[str, Any]) -> str:
    lines = [f"{name:6} {rate:8.2f} photos/s" for name, rate in report["photos_per_s"].items()]
    lines += [f"HTTP with {name}: {ratio:.3f} of gRPC's" for name, ratio in report["ratio"].items()]
    return "\n".join([report["method"], *lines])


if __name__ == "__main__":
    main()
