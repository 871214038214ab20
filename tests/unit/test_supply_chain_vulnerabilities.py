"""Known vulnerabilities: found where a service or a file tells them, and silence is never taken for "none"."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from check_vulnerabilities import CANARY, Service, ServiceSilent, answers, ask, locked, main, one_of_each, report
from osv_archive import ArchiveUnusable, affects, known_in_archive

OLD, NEW = ("pillow", "9.0.0"), ("pillow", "13.0.0")


def record(number: int, package: str, **affected: Any) -> dict[str, Any]:
    entry = {"package": {"name": package, "ecosystem": "PyPI"}, **affected}
    return {"id": f"TEST-{number}", "modified": f"2026-01-0{number}T00:00:00Z", "affected": [entry]}


ABOUT_CANARY = record(1, "requests", versions=["2.18.4", "2.19.0"])
ABOUT_PILLOW = record(2, "Pillow", ranges=[{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0.1"}]}])


class OsvService:
    """A service on the loopback address that answers as OSV's does, from records."""

    def __init__(self, *records: dict[str, Any]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                found = [
                    each
                    for each in records
                    for entry in each["affected"]
                    if entry["package"]["name"].lower() == asked["package"]["name"] and affects(entry, asked["version"])
                ]
                body = json.dumps({"vulns": found} if found else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.service = Service("osv", f"http://127.0.0.1:{self.http.server_port}/v1/query")
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def osv() -> Iterator[Service]:
    made = OsvService(ABOUT_CANARY, ABOUT_PILLOW)
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
    monkeypatch.delenv("FR_ADVISORIES", raising=False)


def test_what_a_service_knows_is_found(osv: Service) -> None:
    assert ask([osv], [OLD, NEW]) == ("osv", {OLD: ["TEST-2"]})


def test_a_service_that_knows_nothing_has_not_answered(mute: Service) -> None:
    assert mute.known([OLD], 20) == {}  # so `pip-audit` alone would say that there are none
    with pytest.raises(ServiceSilent, match=r"does not report the known vulnerabilities of requests==2\.19\.0"):
        ask([mute], [OLD])


def test_a_release_that_was_skipped_is_not_free_of_vulnerabilities() -> None:
    # As pip-audit 2.10 prints it, with exit status 0 and the words "No known vulnerabilities found".
    skipped = '{"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}'
    known = '{"name": "requests", "version": "2.19.0", "vulns": [{"id": "TEST-1"}]}'
    assert answers("pypi", f'{{"dependencies": [{known}]}}', [CANARY]) == {CANARY: ["TEST-1"]}
    with pytest.raises(ServiceSilent, match="pypi does not know 1 of 2 releases"):
        answers("pypi", f'{{"dependencies": [{known}, {skipped}]}}', [CANARY, OLD])


def test_the_next_service_is_asked(mute: Service, osv: Service) -> None:
    assert ask([mute, osv], [OLD])[1] == {OLD: ["TEST-2"]}


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


def archive(path: Path, *records: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for each in records:
            file.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def test_advisories_of_a_file(tmp_path: Path) -> None:
    withdrawn = {**record(3, "pillow", versions=["13.0.0"]), "withdrawn": "2026-01-03T00:00:00Z"}
    path = archive(tmp_path / "all.zip", ABOUT_CANARY, ABOUT_PILLOW, withdrawn)
    source, found = known_in_archive(path, [OLD, NEW], CANARY)
    assert found == {OLD: ["TEST-2"]}
    assert source == "all.zip, whose newest record is of 2026-01-03"


def test_a_file_of_other_records_is_not_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArchiveUnusable, match="does not have the known vulnerabilities"):
        known_in_archive(archive(tmp_path / "few.zip", ABOUT_PILLOW), [OLD], CANARY)
    (tmp_path / "no.zip").write_bytes(b"no zip")
    assert main(["--advisories", str(tmp_path / "no.zip"), "--required"]) == 2
    assert "NOT CHECKED" in capsys.readouterr().err


def test_a_file_decides_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, version = locked()[0]
    good = archive(tmp_path / "good.zip", ABOUT_CANARY)
    assert main(["--advisories", str(good), "--required"]) == 0
    assert "Known vulnerabilities: none of" in capsys.readouterr().out
    bad = archive(tmp_path / "bad.zip", ABOUT_CANARY, record(4, name, versions=[version]))
    assert main(["--advisories", str(bad)]) == 1
    assert f"{name} {version}: TEST-4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("events", "covered"),
    [
        ([{"introduced": "0"}], True),
        ([{"introduced": "0"}, {"fixed": "2.0"}], False),
        ([{"introduced": "0"}, {"fixed": "2.0.1"}], True),
        ([{"introduced": "0"}, {"last_affected": "2.0"}], True),
        ([{"introduced": "0"}, {"last_affected": "1.9"}], False),
        ([{"fixed": "3.0"}, {"introduced": "2.0"}, {"fixed": "1.5"}, {"introduced": "1.0"}], True),
        ([{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.1"}], False),
        ([{"introduced": "0"}, {"fixed": "no version"}], True),
    ],
)
def test_ranges(events: list[dict[str, str]], covered: bool) -> None:
    assert affects({"ranges": [{"type": "ECOSYSTEM", "events": events}]}, "2.0") is covered


def test_a_range_of_commits_says_nothing_of_a_release() -> None:
    assert not affects({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, "2.0")


def test_lists_of_versions_may_hold_ancient_names() -> None:
    assert affects({"versions": ["old-alpha-version", "2.0.0"]}, "2.0")
    assert not affects({"versions": ["old-alpha-version"]}, "2.0")


def test_report_tells_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert report("osv", {OLD: ["TEST-2"]}, 2) == 1
    assert report("osv", {}, 2) == 0
    assert capsys.readouterr().out == "Known vulnerabilities: none of 2 releases, by osv.\n"
