"""`fr bench serve`: a server under load over gRPC, in turn with the same engine in process and with the peer."""

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import cast

from fr_bench.speed import values
from fr_bench.speed.batch_metrics import batches_between, read_metrics
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.conditions import conditions
from fr_bench.speed.engine import opened_engine, server_options, workers_for
from fr_bench.speed.generator import OK, Call, Closed, Generators, Sent, Target
from fr_bench.speed.peer import OpenPeer, agreement, opened_peer, peer_rate, rate_of
from fr_bench.speed.pipeline import PipelineSubject
from fr_bench.speed.report import BenchReport
from fr_bench.speed.requests import PATHS, Answer, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.rest_peer import RestOrder, RestPeer, opened_rest_peer
from fr_bench.speed.rounds import OnRound, OtherLoad, Subject, alternate, other_loads, require_quiet
from fr_bench.speed.secured_server import secured_server
from fr_bench.speed.server_process import ServerProcess, Watch, free_port, started_server
from fr_bench.speed.stats import latency, percentile, poisson_arrivals, rates
from fr_bench.speed.workload import PhotoList
from fr_bench.values import Bar
from fr_core.runtime.devices import ActiveDevice, Precision
from fr_locales.messages import message

# In-process throughput that the server must keep.
SERVER_TO_PIPELINE_BAR = Bar(0.85, at_least=True)

# Photos of one call where a call has many.
BATCH = 16

# A closed loop waits for its answers: the deadline only ends a measurement of a server that hangs.
CLOSED_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class ServeOrder:
    """The settings of a measurement of a server."""

    engine: values.EngineSettings
    load: values.LoadSettings
    address: str | None  # of a running server; None to start one with `engine`
    repeat: int
    peer: str | None
    with_pipeline: bool  # measure the pipeline in process in the same run
    sweep: tuple[float, ...] = ()  # loads for one point each after the rounds
    overload: float | None = None  # how many times the peak an open loop after them has
    with_batches: bool = False  # read the sizes of batches from the metrics of our server
    metrics_url: str | None = None  # or of another
    bar: Bar | None = None
    server_pid: int | None = None  # the first process of a running server on this machine
    rest: RestOrder | None = None  # measure InsightFace Server too, over HTTP
    allow_busy: bool = False  # report ratios even where other processes are busy

    @property
    def has_ratio(self) -> bool:
        """Return whether the report has a ratio of two measurements."""
        return any((self.peer, self.rest, self.with_pipeline, self.overload))


@dataclass(slots=True, eq=False)
class ServerSubject:
    """The server under its load; remembers each round as a point."""

    generators: Generators
    address: str
    server: ServerProcess | None
    pid: int | None  # of the server's first process; None where it is unknown
    load: values.LoadSettings
    order: tuple[int, ...]
    faces: tuple[int, ...]
    points: list[values.LoadPoint] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def run(self, turn: int) -> values.Round:
        """As `Subject.run`."""
        load = self.load.concurrency if self.load.rate is None else self.load.rate
        point, sent = self.measure(self.load.mode, load, turn)
        self.points.append(point)
        good = [call for call in sent.calls if call.outcome == OK]
        self.latencies += [call.ended - call.due for call in good]
        answered = round(point.photos_per_s * point.seconds)
        if not answered and self.load.mode == "closed":  # of an open loop, no goodput at all is a finding
            reasons = ", ".join(f"{item.calls} {item.reason}" for item in point.outcomes)
            raise BenchFailed(message("error.bench.server_answered_no_call", reasons=reasons))
        return values.round_of(values.SERVER, answered, round(point.faces_per_s * point.seconds), point.seconds)

    def measure(self, mode: str, load: float, turn: int) -> tuple[values.LoadPoint, Sent]:
        """Put the server under a load: calls at once, or arrivals per second."""
        with Watch(self.address, self.server) as watch:
            if mode == "closed":
                sent = self.generators.closed(self.order, max(1, round(load)), CLOSED_DEADLINE_S)
            else:
                arrivals = poisson_arrivals(load, self.load.seconds, self.load.seed + turn).tolist()
                order = tuple(itertools.islice(itertools.cycle(self.order), len(arrivals)))
                if not arrivals:
                    raise BenchFailed(message("error.bench.no_call_arrives_rate"))
                sent = self.generators.open(order, arrivals, self.load.deadline_s)
        if self.server is not None:
            self.server.require_running()
        point = point_of(mode, load, sent, self.faces, self.load)
        return replace(point, health=watch.health, memory=watch.memory), sent


def point_of(
    mode: str, load: float, sent: Sent, faces: Sequence[int], settings: values.LoadSettings
) -> values.LoadPoint:
    """Sum up the calls of one load; `faces` are those of each photo.

    An open loop lasts from its start to the end of its arrivals, or to the last good answer where that is later. An
    answer is good that has no error and comes within the deadline, counted from the arrival.
    """
    is_open = mode == "open"
    good = [c for c in sent.calls if c.outcome == OK and (not is_open or c.ended - c.due <= settings.deadline_s)]
    last = max((call.ended for call in good), default=sent.start)
    seconds = max(settings.seconds, last - sent.start) if is_open else sent.seconds
    return values.LoadPoint(
        mode,
        load,
        seconds,
        len(sent.calls),
        len(good) / seconds,
        sum(faces[call.place] for call in good) / seconds,
        _latency([call for call in sent.calls if call.outcome == OK]),
        outcomes(sent.calls),
        percentile([call.sent - call.due for call in sent.calls], 0.99) * 1e3 if is_open else None,
        sent.cpu,
    )


def outcomes(calls: Sequence[Call]) -> tuple[values.OutcomeCount, ...]:
    """The ways in which calls ended: OK first, the others by name."""
    reasons = sorted({call.outcome for call in calls}, key=lambda reason: (reason != OK, reason))
    grouped = [(reason, [call for call in calls if call.outcome == reason]) for reason in reasons]
    return tuple(
        values.OutcomeCount(reason, len(own), sum(call.retry_info for call in own), _latency(own))
        for reason, own in grouped
    )


def bench_serve(order: ServeOrder, listed: PhotoList, on_round: OnRound) -> BenchReport:
    """Measure; raises `FrError` if the server, the engine or a peer cannot be had, or the server does not answer.

    Also where other processes make a ratio worthless, unless that is allowed.
    """
    before = conditions()
    method = Method(order.load.method)
    load, metrics_url = _server_load(order)
    with ExitStack() as stack:
        start = secured_server if load.secured else started_server
        server = None if order.address else stack.enter_context(start(load.server))
        address, access = (server.address, server.access) if server else (order.address or "", None)
        channel, info = stack.enter_context(connected(address, access))
        device = info.device
        engine = replace(order.engine, pack=info.model.id.pack, precision=device.precision, detection=device.detection)
        gallery = (
            stack.enter_context(temporary_gallery(channel, info, load.gallery_size or 1, load.seed))
            if method is Method.SEARCH
            else ""
        )
        requests = serialised(method, listed.photos, gallery)
        asked = Method.EMBED if method in (Method.STREAM, Method.BATCH) else method
        answers = first_answers(channel, asked, serialised(asked, listed.photos, gallery))
        batch = BATCH if method is Method.BATCH else 1
        target = Target(address, PATHS[method], requests, load.channels, access, method is Method.STREAM, batch)
        subject = ServerSubject(
            stack.enter_context(Generators(target, load.generators)),
            address,
            server,
            order.server_pid if server is None else server.pid,
            load,
            listed.order,
            tuple(answer.faces for answer in answers),
        )
        subjects: list[Subject] = [subject]
        if order.with_pipeline:
            subjects.append(_pipeline(stack, engine, listed, load))
        closed = Closed(listed.order, load.concurrency, CLOSED_DEADLINE_S)
        rest = stack.enter_context(opened_rest_peer(order.rest, engine.pack, listed.photos, closed))
        peer = stack.enter_context(opened_peer(order.peer, engine, listed, embeds=method is not Method.DETECT))
        subjects += [*([rest] if rest else ()), *(peer.subjects if peer else ())]
        batches_before = read_metrics(metrics_url) if metrics_url else {}
        pids = [pid for pid in (order.server_pid, order.rest.pid if order.rest else None) if pid is not None]
        rounds = alternate(subjects, order.repeat, on_round, pids)
        loads = other_loads(rounds)
        sweep = [subject.measure(load.mode, step, order.repeat + i)[0] for i, step in enumerate(order.sweep)]
        peak = rate_of(rounds, values.SERVER)
        overload = None
        if order.overload is not None:
            other = OtherLoad(pids)
            overload, _ = subject.measure("open", order.overload * peak.photos_per_s, order.repeat + len(sweep))
            loads.append(("overload", other.share()))
        batches = batches_between(batches_before, read_metrics(metrics_url)) if metrics_url else ()
    if order.has_ratio:
        require_quiet(loads, allow_busy=order.allow_busy)
    in_process = rate_of(rounds, values.PIPELINE).photos_per_s if order.with_pipeline else None
    theirs = peer_rate(rounds)
    detail = values.ServeDetail(
        listed.workload,
        load,
        latency(subject.latencies),
        (*subject.points, *sweep),
        in_process,
        None if in_process is None else peak.photos_per_s / in_process,
        overload,
        None if overload is None else overload.photos_per_s / peak.photos_per_s,
        theirs.subject if theirs else None,
        _agreement(answers, peer or rest),
        batches,
    )
    return BenchReport(
        "serve",
        peak.photos_per_s,
        peak.faces_per_s,
        theirs.photos_per_s if theirs else None,
        peak.photos_per_s / theirs.photos_per_s if theirs else None,
        before,
        engine,
        ActiveDevice(device.requested, device.active, device.runtime, cast(Precision, device.precision)),
        rounds,
        rates(rounds),
        _held(order.bar, peak.photos_per_s, detail.server_to_pipeline),
        detail,
    )


def _server_load(order: ServeOrder) -> tuple[values.LoadSettings, str | None]:
    """The load with the options of a server to start, and the address of the metrics to read."""
    load, url = order.load, order.metrics_url
    if order.address is not None:
        return load, url
    frontends = () if load.frontends is None else ("--set", f"server.frontends={load.frontends}")
    metrics: tuple[str, ...] = ()
    if order.with_batches:
        port = free_port()
        metrics = ("--set", f"telemetry.metrics_port={port}")
        url = f"http://127.0.0.1:{port}/metrics"
    return replace(load, server=(*server_options(order.engine), *frontends, *metrics, *load.server)), url


def _pipeline(
    stack: ExitStack, engine: values.EngineSettings, listed: PhotoList, load: values.LoadSettings
) -> PipelineSubject:
    """The same engine in this process, with as many photos at once as the server has of this load, warmed up."""
    opened = stack.enter_context(opened_engine(engine))
    subject = PipelineSubject(opened.pipeline, listed, min(load.concurrency, workers_for(engine, opened.device)))
    subject.warm_up()
    return subject


def _agreement(answers: Sequence[Answer], peer: OpenPeer | RestPeer | None) -> values.Agreement | None:
    found = tuple(answer.found for answer in answers if answer.found is not None)
    return agreement(found, peer.faces) if peer and len(found) == len(answers) else None


def _held(bar: Bar | None, photos_per_s: float, server_to_pipeline: float | None) -> tuple[values.Held, ...]:
    held = [] if bar is None else [values.Held("photos_per_s", photos_per_s, bar, decides=True)]
    if server_to_pipeline is not None:
        held.append(values.Held("server_to_pipeline", server_to_pipeline, SERVER_TO_PIPELINE_BAR))
    return tuple(held)


def _latency(calls: Sequence[Call]) -> values.Latency | None:
    return latency([call.ended - call.due for call in calls])
