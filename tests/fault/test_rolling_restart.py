"""Two servers on one PostgreSQL, restarted in turn under load: no call of a client that knows both fails."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import gallery_pb2
from fr_bench.speed.server_process import free_port
from fr_client import Client, EnrolItem, FrApiError, RetryPolicy, SearchItem
from fr_core.errors import ShuttingDown
from support.counts import NIGHTLY
from support.faults import Started, started_faulty, until
from support.postgres import Cluster
from support.secured import figure
from support.servers import photo
from support.surfer import signed_in, words
from support.web import Balanced, Web

SLOW_S = 0.05  # of a batch
PAUSE_S = 0.0 if NIGHTLY else 0.05  # of a caller between two calls
ONCE = RetryPolicy(attempts=1)
PATIENT = RetryPolicy(attempts=7)  # twelve seconds: on a busy machine, a restarted server is found late


@dataclass
class Pair:
    """Two servers of one database, each with a port that it keeps over its restarts."""

    folder: Path
    sections: dict[str, Any]
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    web_ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    running: list[ExitStack] = field(default_factory=lambda: [ExitStack(), ExitStack()])
    servers: list[Started | None] = field(default_factory=lambda: [None, None])

    def start(self, number: int) -> None:
        server = {"port": self.ports[number], "name": f"server-{number}"}
        web = {"port": self.web_ports[number]}
        started = started_faulty(self.folder / str(number), SLOW_S, server=server, web=web, **self.sections)
        self.servers[number] = self.running[number].enter_context(started)

    def stop(self, number: int) -> None:
        server = self.servers[number]
        assert server is not None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        self.running[number].close()

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Any:
    folder = tmp_path_factory.mktemp("pair")
    made = Pair(folder, {"storage": {"url": postgres.database().url}})
    for number in (0, 1):
        made.start(number)
        if not number:  # both have one key
            (folder / "1").mkdir()
            shutil.copy(folder / "0" / "data.key", folder / "1")
    yield made
    for running in made.running:
        running.close()


class Caller(threading.Thread):
    def __init__(self, target: str, work: Callable[[Client, int], object], retry: RetryPolicy | None) -> None:
        super().__init__()
        self.done = 0
        self.failed: list[str] = []
        self.enough = threading.Event()
        self._target, self._work, self._retry = target, work, retry

    def run(self) -> None:
        with Client(self._target, retry=self._retry) as client:
            while not self.enough.wait(PAUSE_S):
                try:
                    self._work(client, self.done)
                except (FrApiError, AssertionError) as error:
                    self.failed.append(repr(error))
                self.done += 1


def rolled(pair: Pair, callers: list[Caller], numbers: Sequence[int] = (0, 1)) -> list[str]:
    """Restart servers in turn while callers call, and return what failed."""
    for caller in callers:
        caller.start()
    try:
        for number in numbers:
            for caller in callers:
                before = caller.done
                until(lambda caller=caller, before=before: caller.done > before + 3)  # type: ignore[misc]
            pair.stop(number)
            pair.start(number)
    finally:
        for caller in callers:
            caller.enough.set()
        for caller in callers:
            caller.join()
    return [failed for caller in callers for failed in caller.failed]


def test_no_call_fails_while_both_servers_restart_in_turn(pair: Pair) -> None:
    with Client(pair.target) as client:
        client.create_gallery("g")
        client.enrol("g", "s", photo(1))

    def search(client: Client, number: int) -> None:
        assert client.search("g", photo(1)).results[0].candidates[0].subject_id == "s"

    def enrol(client: Client, number: int) -> None:
        client.enrol("g", f"{threading.get_ident()}-{number}", photo(2 + number))

    def info(client: Client, number: int) -> None:
        client.server_info()

    def stream(client: Client, number: int) -> None:
        probes = [SearchItem(photo(1), str(item)) for item in range(20)]
        found = dict(client.search_many("g", probes))
        assert found.keys() == {str(item) for item in range(20)}
        assert all(isinstance(one, gallery_pb2.SearchResponse) for one in found.values())

    callers = [Caller(pair.target, work, PATIENT) for work in (search, enrol, stream, info)]
    assert not rolled(pair, callers)
    figure("calls over a rolling restart of two servers, and failed", f"{sum(one.done for one in callers)}, 0")
    with Client(pair.target) as client:
        found = {one.subject_id for one in client.list_subjects("g")}
        assert len(found) == 1 + callers[1].done  # none is lost, none is there twice


def test_a_stream_that_is_under_way_goes_on_at_the_other_server(pair: Pair) -> None:
    stopped: list[int] = []

    def items() -> Iterator[EnrolItem]:
        for number in range(20):
            if number == 10:
                (holding,) = (one for one, server in enumerate(pair.servers) if server and server.state()["in_flight"])
                stopped.append(holding)
                pair.stop(holding)
            yield EnrolItem(f"s{number}", photo(number + 1), f"s{number}")

    with Client(pair.target, retry=PATIENT) as client:
        client.create_gallery("streamed")
        answers = list(client.enrol_many("streamed", items(), max_in_flight=4))
        assert sorted(one for one, _ in answers) == sorted(f"s{number}" for number in range(20))
        assert all(isinstance(one, gallery_pb2.EnrolResponse) for _, one in answers)
        assert {one.subject_id for one in client.list_subjects("streamed")} == {f"s{number}" for number in range(20)}
        assert client.get_gallery("streamed").template_count == 20  # none was stored twice
        (one,) = stopped
    pair.start(one)  # for the tests that follow


@pytest.mark.nightly
def test_control_a_client_of_one_server_that_does_not_try_again_sees_the_restart(pair: Pair) -> None:
    def info(client: Client, number: int) -> None:
        client.server_info()

    failed = rolled(pair, [Caller(f"127.0.0.1:{pair.ports[0]}", info, ONCE)], (0,))
    assert any(ShuttingDown.reason in one or "UNREACHABLE" in one for one in failed), failed


def test_people_stay_signed_in_while_both_servers_restart_in_turn(pair: Pair) -> None:
    sites = tuple(Web("127.0.0.1", port) for port in pair.web_ports)
    until(lambda: all(site.answers("/readyz") for site in sites))
    balanced = Balanced("localhost", 8080, sites=sites)
    surfer = signed_in(balanced, "")
    for number in (0, 1) if NIGHTLY else (0,):
        for _ in range(4):
            assert "Sign out" in words(surfer.get("/"))
        pair.stop(number)
        balanced.sites = (sites[1 - number],)
        assert "Sign out" in words(surfer.get("/"))
        assert surfer.post("/language", {"language": "en", "next": "/"}).status == 303
        pair.start(number)
        until(lambda number=number: sites[number].answers("/readyz"))  # type: ignore[misc]
        balanced.sites = sites
