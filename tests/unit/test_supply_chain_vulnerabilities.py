"""Known vulnerabilities are found, and silence is never taken for none; the bill of materials has every part."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from check_vulnerabilities import CANARY, Service, ServiceSilent, answers, ask, known, locked, main, one_of_each
from lock_file import LOCKS, ROOT, read_lock
from packaging.utils import canonicalize_name
from write_sbom import SbomWrong, bill, checked, model_components

from fr_core.packs.manifest import load_pack, pack_names

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


PINS = [pin for pin in read_lock(ROOT / LOCKS[0]) if pin.applies()]
PACKS = [load_pack(name) for name in pack_names()]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return bill(PINS, PACKS)


def hashes(component: dict[str, Any]) -> set[str]:
    own = component.get("hashes", [])
    return {each["content"] for each in own} | {
        each["content"] for reference in component["externalReferences"] for each in reference.get("hashes", [])
    }


def test_every_package_of_the_lock_is_there(made: dict[str, Any]) -> None:
    libraries = [each for each in made["components"] if each["type"] == "library"]
    packages: dict[str, dict[str, Any]] = {canonicalize_name(each["name"]): each for each in libraries}
    assert set(packages) == {pin.name for pin in PINS}
    for pin in PINS:
        component = packages[pin.name]
        assert component["version"] == pin.version
        assert component["purl"].startswith("pkg:pypi/")
        assert set(pin.sha256) <= hashes(component)
        assert component["licenses"]
    assert packages["protobuf"]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]  # by a classifier alone


def test_every_model_file_is_there(made: dict[str, Any]) -> None:
    models = [each for each in made["components"] if each["type"] == "machine-learning-model"]
    files: dict[str, set[str]] = {}
    for pack in PACKS:
        for file in pack.files:
            files.setdefault(file.sha256, set()).add(file.name)
    assert {each["hashes"][0]["content"] for each in models} == set(files)
    assert len(models) == len(files)
    for each in models:
        names = files[each["hashes"][0]["content"]]  # a file may have a name of its own in each pack
        assert each["name"] in names
        told = [each["value"] for each in each["properties"] if each["name"] == "fr-core:pack"]
        assert {value.rpartition(" ")[2] for value in told} == names
        assert each["licenses"][0]["license"]["name"]


def test_a_file_that_packs_share_is_there_once_and_names_both() -> None:
    pack = PACKS[0]
    models = model_components([pack, replace(pack, name="another")])
    assert len(models) == 2
    for each in models:
        named = {each["value"].split(" ")[0] for each in each["properties"] if each["name"] == "fr-core:pack"}
        assert named == {pack.name, "another"}


def test_project_needs_all_of_it(made: dict[str, Any]) -> None:
    graph = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    refs = {each["bom-ref"] for each in made["components"]}
    root = made["metadata"]["component"]["bom-ref"]
    reached, waiting = set(), [root]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached - {root} == refs
    assert made["metadata"]["component"]["name"] == "fr-core"


def test_bill_tells_nothing_of_the_machine(made: dict[str, Any]) -> None:
    text = json.dumps(made)
    assert str(ROOT) not in text
    assert "file:" not in text
    assert "timestamp" not in made["metadata"]
    assert "serialNumber" not in made


def test_environment_and_lock_must_be_one() -> None:
    wrong = [replace(pin, version="0.0.1") if pin.name == "numpy" else pin for pin in PINS]
    with pytest.raises(SbomWrong, match=r"numpy .* is installed, and the lock does not have it"):
        bill(wrong, PACKS)
    with pytest.raises(SbomWrong, match="the lock has not-here, and the environment does not"):
        bill([*PINS, replace(PINS[0], name="not-here")], PACKS)


def test_schema_is_asked(made: dict[str, Any]) -> None:
    # A few components, since the whole takes seconds; `make sbom` checks the whole.
    some = made["components"][:2] + made["components"][-2:]
    small = {**made, "components": some, "dependencies": []}
    assert json.loads(checked(small)) == small
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[0], "type": "no such type"}]})
    with pytest.raises(SbomWrong, match="the schema refuses"):
        checked({**small, "components": [{**some[-1], "hashes": [{"alg": "SHA-256", "content": "no hash"}]}]})
