"""Known vulnerabilities: found where a service tells them, and silence is never taken for "none"."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from check_vulnerabilities import CANARY, Service, ServiceSilent, answers, ask, known, locked, main, one_of_each

OLD, NEW = ("pillow", "9.0.0"), ("pillow", "13.0.0")


class OsvService:
    """A service on the loopback address that answers as OSV's does, from a table of vulnerable releases."""

    def __init__(self, **known_ids: dict[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = asked["package"]["name"]
                advisory = known_ids.get(name, {}).get(asked["version"])
                package = {"package": {"name": name, "ecosystem": "PyPI"}, "versions": [asked["version"]]}
                record = {"id": advisory, "modified": "2026-01-02T00:00:00Z", "affected": [package]}
                body = json.dumps({"vulns": [record]} if advisory else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self.http.server_port}/v1/query"
        self.service = ["--osv-url", url, "--vulnerability-service", "osv"]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def osv() -> Iterator[Service]:
    made = OsvService(requests={"2.19.0": "TEST-1"}, pillow={"9.0.0": "TEST-2"})
    yield made.service
    made.close()


@pytest.fixture(scope="module")
def mute() -> Iterator[Service]:
    """A mirror: it answers everybody, and knows of no vulnerability at all."""
    made = OsvService()
    yield made.service
    made.close()


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_what_the_first_service_that_answers_knows_is_found(mute: Service, osv: Service) -> None:
    assert ask([mute, osv], [OLD, NEW]) == ("osv", {OLD: ["TEST-2"]})


def test_a_service_that_knows_nothing_has_not_answered(mute: Service) -> None:
    assert known(mute, [OLD], 20) == {}  # so `pip-audit` alone would say that there are none
    with pytest.raises(ServiceSilent, match=r"does not report the known vulnerabilities of requests==2\.19\.0"):
        ask([mute], [OLD])


def test_a_release_that_was_skipped_is_not_free_of_vulnerabilities() -> None:
    # As pip-audit 2.10 prints it, with exit status 0 and the words "No known vulnerabilities found".
    skipped = '{"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}'
    known = '{"name": "requests", "version": "2.19.0", "vulns": [{"id": "TEST-1"}]}'
    assert answers("pypi", f'{{"dependencies": [{known}]}}', [CANARY]) == {CANARY: ["TEST-1"]}
    with pytest.raises(ServiceSilent, match="pypi does not know 1 of 2 releases"):
        answers("pypi", f'{{"dependencies": [{known}, {skipped}]}}', [CANARY, OLD])


def test_nobody_there_is_said_aloud_and_is_no_all_clear(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ["--osv-url", "http://127.0.0.1:9/v1/query"]
    assert main(nowhere) == 0
    told = capsys.readouterr()
    assert "NOT CHECKED" in told.err
    assert "osv cannot be reached" in told.err
    assert "none of" not in told.out + told.err
    assert main([*nowhere, "--required"]) == 2


def test_every_locked_release_is_asked_about() -> None:
    releases = locked()
    names = [name for name, _ in releases]
    assert {"numpy", "grpcio", "hatchling", "pip", "onnxruntime-gpu", "nvidia-cudnn-cu12"} <= set(names)
    assert names.count("numpy") == 2  # of two versions of Python
    lists = one_of_each(releases)
    assert sorted(release for each in lists for release in each) == releases
    assert all(len({name for name, _ in each}) == len(each) for each in lists)


def test_a_vulnerability_decides_the_exit_status(osv: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*osv[:2], "--required"]) == 0
    assert "Known vulnerabilities: none of" in capsys.readouterr().out
    name, version = locked()[0]
    bad = OsvService(**{"requests": {"2.19.0": "TEST-1"}, name: {version: "TEST-3"}})
    assert main(bad.service[:2]) == 1
    bad.close()
    assert f"{name} {version}: TEST-3" in capsys.readouterr().err
