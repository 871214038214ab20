"""Photos per second over HTTP are .85 of gRPC's or more: LFW photos, 8 calls at a time, in turn on one server."""

import asyncio
import json
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from google.protobuf import json_format

from fr_api.v1 import gallery_pb2, recognition_pb2
from fr_bench.speed.child import Child, answer_requests
from fr_bench.speed.generator import Generators, Target
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.server_process import free_port, started_server
from fr_bench.speed.workload import read_photos
from support.secured import figure

pytestmark = [pytest.mark.nightly, pytest.mark.models, pytest.mark.alone, pytest.mark.slow]

BAR = 0.85
AT_ONCE, PHOTOS, ROUNDS = 8, 200, 7
KINDS = {"protobuf": "application/proto", "JSON": "application/json"}
REQUESTS: dict[Method, Any] = {Method.EMBED: recognition_pb2.EmbedRequest, Method.SEARCH: gallery_pb2.SearchRequest}


def over_http(method: Method, kind: str, requests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Whole requests of HTTP for encoded ones."""
    made = []
    for body in requests:
        if kind == KINDS["JSON"]:
            body = json_format.MessageToJson(REQUESTS[method].FromString(body), indent=None).encode()
        head = (
            f"POST {PATHS[method]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        )
        made.append(f"{head}\r\n\r\n".encode() + body)
    return tuple(made)


def generate(connection: Connection, port: int, requests: tuple[bytes, ...]) -> None:
    """A process that sends requests at the places that it is told, and tells the seconds that they took."""
    with asyncio.Runner() as runner:
        answer_requests(connection, lambda order: runner.run(sent(port, requests, order)))


async def sent(port: int, requests: tuple[bytes, ...], order: tuple[int, ...]) -> float:
    places = iter(order)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place in places:
            writer.write(requests[place])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            assert head.startswith(b"http/1.1 200"), json.loads(body)
        writer.close()

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return time.monotonic() - begun


@pytest.mark.parametrize("method", [Method.SEARCH, Method.EMBED])
def test_http_keeps_the_pace_of_grpc(method: Method, testdata: Path, pack_cache: object) -> None:
    listed, port = read_photos(["lfw"], PHOTOS, testdata), free_port()
    with (
        started_server(["--web", str(port)]) as server,
        connected(server.address) as (channel, info),
        temporary_gallery(channel, info, 1000, 1) as gallery,
    ):
        requests = serialised(method, listed.photos, gallery)
        first_answers(channel, method, requests)
        rates = measured(method, server.address, port, requests, listed.order)
    ratios = {name: median(a / b for a, b in zip(rates[name], rates["gRPC"], strict=True)) for name in KINDS}
    figure(f"photos/s of {method.value}", {name: round(median(rate), 1) for name, rate in rates.items()})
    figure(f"HTTP to gRPC, {method.value}", {name: round(ratio, 3) for name, ratio in ratios.items()})
    assert min(ratios.values()) >= BAR


def measured(
    method: Method, address: str, port: int, requests: tuple[bytes, ...], order: tuple[int, ...]
) -> dict[str, list[float]]:
    """Photos per second in each round, by way."""
    rates: dict[str, list[float]] = {"gRPC": [], **{name: [] for name in KINDS}}
    bodies = {name: over_http(method, kind, requests) for name, kind in KINDS.items()}
    with (
        Generators(Target(address, PATHS[method], requests, 1), 1) as grpc_side,
        Child("a generator", generate, port, bodies["protobuf"]) as binary,
        Child("a generator", generate, port, bodies["JSON"]) as text,
    ):
        for turn in range(ROUNDS + 1):
            took = {
                "gRPC": grpc_side.closed(order, AT_ONCE, 120.0).seconds,
                "protobuf": binary.ask(order),
                "JSON": text.ask(order),
            }
            if turn:  # the first round warms up
                for name, seconds in took.items():
                    rates[name].append(len(order) / seconds)
    return rates
