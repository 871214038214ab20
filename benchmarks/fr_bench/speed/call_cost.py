"""Measures what one Search call costs a secured server, apart from the search in the index.

Run it with `make bench-call`; `AGAINST=/path/to/other/python` measures another checkout in turn with this one.

The server asks for an API key, speaks TLS and writes the audit. It holds a gallery of random unit vectors. One client
searches by embedding, one call at a time. The cost is processor time of the server's processes, so that other work on
the machine disturbs it less than a clock would. A control searches an index of the same vectors in this process; its
processor time is subtracted. Beside other work it prints nothing (ADR 63), because such work empties the caches, and
so costs time, too.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, server_pb2, server_pb2_grpc
from fr_bench.speed.connection import open_channel
from fr_bench.speed.requests import PATHS, PURPOSE, Method, enrol_all
from fr_bench.speed.rounds import OtherLoad, require_quiet
from fr_bench.speed.search_gallery import unit_vectors
from fr_bench.speed.secured_server import secured_server
from fr_bench.speed.server_process import processor_s, started_server
from fr_core.errors import FrError
from fr_core.gallery.index.register import new_index
from fr_core.types import F32

GALLERY = "bench-call"
TOP_K = 20
# A search asks the index for more templates than candidates, since a subject may have several; see
# `GalleryMemory.best_subjects`.
_ASKED = TOP_K + 3 * TOP_K
_WARM_UP = 50
# As long as a server waits between two searches of one client: what else runs on the machine empties the caches then.
_PAUSE_S = 0.008
_CALLS = 80  # of a round of photos


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a call to a server; medians over rounds."""

    name: str
    cpu_ms: float  # processor time of its processes for each call
    index_ms: float  # that of the search in the index alone
    outside_ms: float  # the difference
    p50_ms: float  # the latency that the client sees


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and a channel that carries its key; `pid` is its first process."""

    name: str
    pid: int
    channel: grpc.Channel


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, JSON with --json; return the exit status, 2 where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="the Python of another checkout's environment, measured in turn")
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=100, help="of each round")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--photos", action="store_true", help="also photos/s over Embed, secured against open")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-busy", action="store_true", help="measure beside other work: figures are worthless")
    order = parser.parse_args(arguments)
    try:
        report = _report(order)
    except FrError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    sys.stdout.write((json.dumps(report, indent=2) if order.json else _told(report)) + "\n")
    return 0


def _report(order: argparse.Namespace) -> dict[str, Any]:
    loads = Loads()
    with ExitStack() as stack:
        report: dict[str, Any] = {"search": [asdict(cost) for cost in _search_costs(stack, order, loads)]}
    loads.require_quiet(allow_busy=order.allow_busy)
    if order.photos:
        with ExitStack() as stack:
            report["photos_per_s"] = _photo_rates(stack, order.rounds, loads)
        loads.require_quiet(allow_busy=order.allow_busy)
    return report


class Loads:
    """Notes the load of other processes in each round, under the name of what the round measured."""

    def __init__(self) -> None:
        self._found: list[tuple[str, float | None]] = []

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Measure the load within the block as a round."""
        load = OtherLoad()
        yield
        self._found.append((name, load.share()))

    def require_quiet(self, *, allow_busy: bool) -> None:
        """Raise `BenchFailed` as `rounds.require_quiet`, for the rounds so far."""
        require_quiet(self._found, allow_busy=allow_busy)


def _search_costs(stack: ExitStack, order: argparse.Namespace, loads: Loads) -> list[Cost]:
    targets = [stack.enter_context(_secured("this", sys.executable))]
    if order.against:
        targets.append(stack.enter_context(_secured("against", order.against)))
    model = _info(targets[0].channel).model
    vectors = unit_vectors(np.random.default_rng(1), order.subjects, model.embedding_size)
    probes = unit_vectors(np.random.default_rng(2), order.calls, model.embedding_size)
    for target in targets:
        _fill(target.channel, _info(target.channel).model.id, vectors)
    requests = {target.name: _requests(_info(target.channel).model.id, probes) for target in targets}
    index = new_index("auto", model.embedding_size)
    index.add(np.arange(1, len(vectors) + 1, dtype=np.int64), vectors)
    while (work := index.upkeep()) is not None:
        work.prepare()
        work.finish()

    def searched() -> float:
        used = 0.0
        for probe in probes:
            time.sleep(_PAUSE_S)
            begun = time.process_time()
            index.search(probe[None, :], _ASKED)
            used += time.process_time() - begun
        return used / len(probes) * 1e3

    rounds: dict[str, list[tuple[float, float]]] = {target.name: [] for target in targets}
    control: list[float] = []
    for target in targets:
        _round(target, requests[target.name][:_WARM_UP])
    for _ in range(order.rounds):
        for target in targets:
            with loads.noted(target.name):
                rounds[target.name].append(_round(target, requests[target.name]))
        with loads.noted("index"):
            control.append(searched())
    index_ms = median(control)
    return [_cost(name, found, index_ms) for name, found in rounds.items()]


def _cost(name: str, rounds: Sequence[tuple[float, float]], index_ms: float) -> Cost:
    cpu_ms = median(cpu for cpu, _ in rounds)
    return Cost(name, cpu_ms, index_ms, cpu_ms - index_ms, median(p50 for _, p50 in rounds))


def _round(target: Target, requests: Sequence[bytes]) -> tuple[float, float]:
    """Send requests one after the other; return processor milliseconds for each, and the median latency in ms."""
    search: Any = target.channel.unary_unary(PATHS[Method.SEARCH])
    took = []
    begun = processor_s(target.pid)
    for request in requests:
        at = time.perf_counter()
        search(request, timeout=60)
        took.append(time.perf_counter() - at)
    return (processor_s(target.pid) - begun) / len(requests) * 1e3, median(took) * 1e3


def _requests(model: common_pb2.ModelId, probes: F32) -> list[bytes]:
    return [
        gallery_pb2.SearchRequest(
            gallery_id=GALLERY,
            probe=recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=probe.tolist(), model=model)),
            top_k=TOP_K,
            **PURPOSE,
        ).SerializeToString()
        for probe in probes
    ]


def _info(channel: grpc.Channel) -> server_pb2.GetServerInfoResponse:
    return server_pb2_grpc.ServerServiceStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=60)


def _fill(channel: grpc.Channel, model: common_pb2.ModelId, vectors: F32) -> None:
    stub = gallery_pb2_grpc.GalleryServiceStub(channel)
    stub.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=GALLERY), timeout=60)
    for _ in enrol_all(channel, GALLERY, model, [(0, vectors)], _subject):
        pass


def _subject(number: int) -> gallery_pb2.EmbeddingSubject:
    return gallery_pb2.EmbeddingSubject(
        subject_id=f"s{number:06d}", display_name=f"Subject {number}", metadata={"site": "a"}
    )


@contextmanager
def _secured(name: str, python: str) -> Iterator[Target]:
    """Start a secured server from the environment of a Python; yield it with an open channel."""
    with (
        secured_server((), str(Path(python).with_name("fr"))) as server,
        open_channel(server.address, server.access) as channel,
    ):
        yield Target(name, server.pid, channel)


def _photo_rates(stack: ExitStack, rounds: int, loads: Loads) -> dict[str, float]:
    """Return photos/s of Embed: of a secured server, of an open one, and the ratio; medians of rounds taken in turn."""
    from fr_bench.speed.workload import read_photos

    secured = stack.enter_context(_secured("secured", sys.executable))
    open_server = stack.enter_context(started_server([]))
    channel = stack.enter_context(grpc.insecure_channel(open_server.address))
    image = read_photos(["t1"], 1, None).photos[0]
    request = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=image)).SerializeToString()
    rates: dict[str, list[float]] = {"secured": [], "open": []}
    for one in range(rounds + 1):
        for name, used in (("secured", secured.channel), ("open", channel)):
            with loads.noted(name):
                rate = _rate(used.unary_unary(PATHS[Method.EMBED]), request)
            if one:
                rates[name].append(rate)
    found = {name: median(measured) for name, measured in rates.items()}
    return {**found, "ratio": median(a / b for a, b in zip(rates["secured"], rates["open"], strict=True))}


def _rate(call: Callable[..., object], request: bytes) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: call(request, timeout=120), range(_CALLS)))
    return _CALLS / (time.perf_counter() - begun)


def _told(report: dict[str, Any]) -> str:
    lines = [
        "{name:8} {cpu_ms:6.2f} ms CPU a call, {index_ms:.2f} of them in the index, {outside_ms:.2f} outside; "
        "p50 {p50_ms:.1f} ms".format(**cost)
        for cost in report["search"]
    ]
    if len(report["search"]) > 1:
        this, against = (cost["outside_ms"] for cost in report["search"])
        lines.append(f"outside the index: {this / against:.3f} of the other")
    if "photos_per_s" in report:
        lines.append(
            "photos/s: secured {secured:.2f}, open {open:.2f}, ratio {ratio:.3f}".format(**report["photos_per_s"])
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
