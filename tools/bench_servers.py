"""Measures how many searches a second 1, 2 and 3 secured servers answer that share one PostgreSQL, on one machine.

`make bench-servers`. Each server asks for an API key, speaks TLS and writes the audit. All three run all the time, and
rounds with one, two and three of them alternate, so that they meet the same machine. The same number of clients calls
in each round, spread over the servers that take part. Clients and PostgreSQL run on the same processors: the figures
tell what a search costs, and where servers get into one another's way, not what three machines would answer.

Beside them, one client that calls on its own compares a server on PostgreSQL with a server whose galleries lie in a
folder.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_bench.speed.call_cost import Loads
from fr_bench.speed.generator import OK, Generators, Sent, Target
from fr_bench.speed.requests import PATHS, PURPOSE, Method, connected, temporary_gallery
from fr_bench.speed.search_gallery import unit_vectors
from fr_bench.speed.secured_server import secured_servers
from fr_bench.speed.server_process import processor_s
from fr_core.errors import FrError
from fr_core.types import F32
from support.postgres import Cluster, cluster

MOST = 3
_PROBES = 200
_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of some servers: medians over the rounds; times of a search in milliseconds."""

    servers: int
    searches_per_s: float
    p50_ms: float
    p95_ms: float
    servers_cpu_ms: float  # processor time of the servers for each search, and so on
    postgres_cpu_ms: float
    clients_cpu_ms: float
    cores: float  # processors that all of them used


@dataclass(frozen=True, slots=True)
class Figures:
    """The load of one, two and three servers, and the p50 of a search if one client calls one server."""

    servers: list[Measured]
    postgresql_p50_ms: float
    folder_p50_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print, JSON with --json; return the exit status, 2 where nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=3_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clients", type=int, default=24, help="that call at once, in all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-busy", action="store_true", help="measure beside other work: figures are worthless")
    order = parser.parse_args(arguments)
    try:
        found = measure(order.subjects, order.calls, order.rounds, order.clients, allow_busy=order.allow_busy)
    except FrError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    report = {"processors": len(os.sched_getaffinity(0)), **asdict(found)}
    sys.stdout.write(f"{json.dumps(report, indent=2) if order.json else told(found)}\n")
    return 0


def measure(subjects: int, calls: int, rounds: int, clients: int, *, allow_busy: bool) -> Figures:
    """Return the figures of one server, two, and three, and of one in a folder; raises `BenchFailed`."""
    loads = Loads()
    with ExitStack() as stack:
        folder = Started(stack, 1, subjects)
        running = stack.enter_context(cluster("shared_buffers=256MB"))
        os.environ["FR__STORAGE__URL"] = running.database().url
        stack.callback(os.environ.pop, "FR__STORAGE__URL")
        several = Started(stack, MOST, subjects)
        pid = postmaster(running)
        for started in (folder, several):
            run_round(started, len(started.servers), pid, calls // 10, clients)  # the first searches read more
        found: list[list[Measured]] = [[] for _ in range(MOST)]
        alone: tuple[list[Measured], list[Measured]] = ([], [])
        for _ in range(rounds):
            for number in range(1, MOST + 1):
                with loads.noted(f"{number} servers"):
                    found[number - 1].append(run_round(several, number, pid, calls, clients))
            for started, into in zip((several, folder), alone, strict=True):
                with loads.noted("one client"):
                    into.append(run_round(started, 1, pid, calls // 3, 1))
    loads.require_quiet(allow_busy=allow_busy)
    postgresql_ms, folder_ms = (median(one.p50_ms for one in of_one) for of_one in alone)
    return Figures([middle(place + 1, several) for place, several in enumerate(found)], postgresql_ms, folder_ms)


def middle(servers: int, rounds: Sequence[Measured]) -> Measured:
    """Return the median of each figure over rounds with so many servers."""
    names = [name for name in Measured.__slots__ if name != "servers"]
    return Measured(servers, **{name: median(getattr(one, name) for one in rounds) for name in names})


class Started:
    """Servers of one configuration with a gallery, and the clients of each."""

    def __init__(self, stack: ExitStack, number: int, subjects: int) -> None:
        self.servers = stack.enter_context(secured_servers(number, ()))
        channel, info = stack.enter_context(connected(self.servers[0].address, self.servers[0].access))
        gallery = stack.enter_context(temporary_gallery(channel, info, subjects, 1))
        requests = searches(gallery, info.model.id, unit_vectors(np.random.default_rng(2), _PROBES, 512))
        self.load = [
            stack.enter_context(Generators(Target(one.address, PATHS[Method.SEARCH], requests, 2, one.access), 1))
            for one in self.servers
        ]


def searches(gallery: str, model: common_pb2.ModelId, probes: F32) -> tuple[bytes, ...]:
    """Return requests to search for probes f32[n, D] in a gallery."""
    return tuple(
        gallery_pb2.SearchRequest(
            gallery_id=gallery,
            probe=recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=probe.tolist(), model=model)),
            top_k=20,
            **PURPOSE,
        ).SerializeToString()
        for probe in probes
    )


def postmaster(running: Cluster) -> int:
    """Return the number of the first process of a PostgreSQL server."""
    return int((running.data / "postmaster.pid").read_text().split()[0])


def run_round(started: Started, number: int, postgres: int, calls: int, clients: int) -> Measured:
    """Let clients send so many searches in all to the first `number` servers; count all processor time."""
    load = started.load[:number]
    order = [place % _PROBES for place in range(calls // number)]

    def used() -> tuple[float, float, float]:
        of_servers, of_postgres = processor_s(*(one.pid for one in started.servers)), processor_s(postgres)
        return of_servers, of_postgres, processor_s(os.getpid()) - of_servers - of_postgres

    before = used()
    with ThreadPoolExecutor(number) as pool:
        sent: list[Sent] = list(pool.map(lambda one: one.closed(order, clients // number, _DEADLINE_S), load))
    cpu_s = [now - then for now, then in zip(used(), before, strict=True)]
    ended = [call for one in sent for call in one.calls]
    refused = {call.outcome for call in ended} - {OK}
    if refused:
        raise SystemExit(f"searches were refused: {', '.join(sorted(refused))}")
    took = np.array([call.ended - call.sent for call in ended]) * 1e3
    wall_s = max(one.end for one in sent) - min(one.start for one in sent)
    p50, p95 = np.quantile(took, [0.5, 0.95]).tolist()
    of_servers, of_postgres, of_clients = (1e3 * one / len(ended) for one in cpu_s)
    return Measured(number, len(ended) / wall_s, p50, p95, of_servers, of_postgres, of_clients, sum(cpu_s) / wall_s)


def told(figures: Figures) -> str:
    """Return the figures as a table, with what they say about the limit."""
    found = figures.servers
    lines = [
        "| servers | searches/s | of one | p50 | p95 | CPU of a search: servers | PostgreSQL | clients | cores used |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.servers} | {one.searches_per_s:.0f} | {one.searches_per_s / found[0].searches_per_s:.2f} "
        f"| {one.p50_ms:.1f} ms | {one.p95_ms:.1f} ms | {one.servers_cpu_ms:.2f} ms | {one.postgres_cpu_ms:.2f} ms "
        f"| {one.clients_cpu_ms:.2f} ms | {one.cores:.2f} |"
        for one in found
    ]
    all_ms = found[-1].servers_cpu_ms + found[-1].postgres_cpu_ms + found[-1].clients_cpu_ms
    processors = len(os.sched_getaffinity(0))
    lines.append(
        f"With {MOST} servers, {processors} processors allow {processors * 1e3 / all_ms:.0f} searches/s at most."
    )
    postgresql_ms, folder_ms = figures.postgresql_p50_ms, figures.folder_p50_ms
    lines.append(
        f"One client of one server: p50 {postgresql_ms:.2f} ms on PostgreSQL, {folder_ms:.2f} ms in a folder, "
        f"{postgresql_ms / folder_ms:.2f} times (bar 1.2)."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
