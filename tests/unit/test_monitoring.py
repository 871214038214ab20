"""Rules, a dashboard and runbooks against the metrics of a running server, the commands, and Prometheus' promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fr_api.v1 import common_pb2, recognition_pb2
from fr_client import Client
from fr_server.app import SERVICES
from fr_server.errors import all_errors
from fr_server.storage.audits import CHAINS
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.listener import CANCELLED, OK
from fr_server.telemetry.metrics import UNKNOWN, PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry
from support.commands import require_understood
from support.servers import photo, running

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
MONITORING, RUNBOOKS = DOCS / "monitoring", DOCS / "runbooks"
ALERTS = MONITORING / "alerts.yaml"

# Prometheus adds these to whatever it scrapes.
ADDED = {"job", "instance"}
HEADINGS = ("Meaning", "Impact", "Check", "Steps", "Done when", "Warning")
WORDS = {"and", "or", "unless", "bool", "offset"}


@dataclass
class Asked:
    """What a PromQL expression asks for: labels of each metric, the values matched, and the labels it groups by."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    values: list[tuple[str, str]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)


def asked(expression: str) -> Asked:
    """Read the names out of an expression; enough of PromQL for what stands in the two files."""
    found = Asked()
    plain = expression.replace("$__rate_interval", "5m").replace("$job", "fr-core").replace("$instance", "a")
    plain = re.sub(r"\[[^\]]*\]", "", plain)
    for group in re.finditer(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", plain):
        found.grouped |= {label.strip() for label in group[1].split(",")}
    plain = re.sub(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)", "", plain)
    matchers = re.findall(r"\{([^}]*)\}", plain)
    number = iter(range(len(matchers)))
    plain = re.sub(
        r"\{[^}]*\}", lambda _: f"{{{next(number)}}}", plain
    )  # so that no word in them is taken for a metric
    for name, at in re.findall(r"([a-z_][a-z0-9_]*)\b(?!\s*\()\s*(?:\{([^}]*)\})?", plain):
        if name in WORDS:
            continue
        labels = found.metrics.setdefault(name, set())
        for label, text in re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers[int(at)] if at else ""):
            labels.add(label)
            if label not in ADDED and ".*" not in text:
                found.values += [(label, value) for value in text.split("|")]
    return found


def rules() -> dict[str, dict[str, str]]:
    """The alerts by name: expr, for, severity, summary, runbook_url. The file has one shape, and is read by it."""
    found: dict[str, dict[str, str]] = {}
    for text in ALERTS.read_text().split("- alert: ")[1:]:
        name, rest = text.split("\n", 1)
        expression = re.search(r"expr: \|-\n((?: {10}.*\n)+)", rest)
        assert expression, name
        keys = dict(
            re.findall(r"^ {8,10}(for|severity|summary|description|runbook_url): \"?(.*?)\"?$", rest, re.MULTILINE)
        )
        found[name] = {"expr": expression[1], **keys}
    return found


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    return read


def expressions() -> list[tuple[str, str]]:
    """Every expression of both files, with where it stands."""
    panels = [
        (str(panel["title"]), str(target["expr"]))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]
    return [(name, rule["expr"]) for name, rule in rules().items()] + panels


@dataclass(frozen=True)
class Told:
    """What a server exposes: the labels of each sample's name, and the values of each label."""

    labels: dict[str, set[str]]
    values: dict[str, set[str]]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Scraped from a server that has answered and refused."""
    folder = tmp_path_factory.mktemp("data")
    metrics = PrometheusObserver(methods_of(SERVICES))
    served = MetricsServer(metrics.registry, "127.0.0.1", 0)
    telemetry = Telemetry(metrics, metrics, served, trust=metrics.trust)
    with running(folder, observing=telemetry) as server, Client(server.address) as client:
        telemetry.trust.checkpointed("access", time.time())
        telemetry.trust.checkpoint_agrees("access", True)
        client.create_gallery("g")
        client.enrol("g", "s", photo(1))
        server.recognition.Detect(recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1, 2))))
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    labels: dict[str, set[str]] = {"up": set()}
    values: dict[str, set[str]] = {}
    samples = {}
    for sample in (sample for family in families for sample in family.samples):
        labels.setdefault(sample.name, set()).update(sample.labels)
        samples[sample.name, frozenset(sample.labels.items())] = sample.value
        for label, value in sample.labels.items():
            values.setdefault(label, set()).add(value)
    values["outcome"] |= {OK, CANCELLED, UNKNOWN, *values["reason"]}
    values["method"] |= methods_of(SERVICES)
    return Told(labels, values, samples)


def test_metrics_of_what_is_kept_are_right(told: Told) -> None:
    counted = {chain: told.value("fr_audit_records_total", chain=chain) for chain in CHAINS}
    assert counted["galleries"] == 2, "a gallery was made, and somebody enrolled"
    assert counted["access"] == 1, "a photo was looked at"
    assert [told.value(name) for name in ("fr_galleries", "fr_subjects", "fr_templates")] == [1, 1, 1]
    of = {"store": "galleries"}
    assert told.value("fr_store_bytes", part="database", **of) > 0
    assert told.value("fr_store_broken", **of) == 0
    assert 0 < told.value("fr_disk_free_bytes", **of) < told.value("fr_disk_size_bytes", **of)
    assert told.value("fr_processes") >= 1
    assert told.value("fr_threads") >= 2
    assert told.value("fr_resident_bytes") >= told.value("process_resident_memory_bytes") * 0.5
    assert 0 < told.value("fr_open_fds_ratio") < 1
    assert told.value("process_start_time_seconds") <= time.time()


def test_expressions_are_read() -> None:
    found = asked('sum by (a, le) (rate(x_total{job="j", why!="b|c"}[5m])) > 2 and on (z) time() - y_seconds < 3 * 4')
    assert found.metrics == {"x_total": {"job", "why"}, "y_seconds": set()}
    assert found.values == [("why", "b"), ("why", "c")]
    assert found.grouped == {"a", "le", "z"}


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_what_is_asked_for_is_told(told: Told, place: str, expression: str) -> None:
    found = asked(expression)
    assert found.metrics
    for name, labels in found.metrics.items():
        assert name in told.labels, "no such metric"
        assert labels <= told.labels[name] | ADDED, name
    assert found.grouped <= set().union(*(told.labels[name] for name in found.metrics)) | ADDED
    for label, value in found.values:
        assert value in told.values[label], label


def test_rules_are_whole_and_have_a_runbook() -> None:
    found = rules()
    index = (RUNBOOKS / "README.md").read_text()
    of_alerts, others = (re.findall(r"\]\(([\w-]+)\.md\)", part) for part in index.split("## Without an alert"))
    assert len(of_alerts) == len(found)
    assert {*of_alerts, *others} == runbooks().keys()
    assert len(found) == ALERTS.read_text().count("alert:") > 15
    for name, rule in found.items():
        assert rule.keys() == {"expr", "for", "severity", "summary", "description", "runbook_url"}, name
        assert re.fullmatch(r"[1-9]\d*[mh]", rule["for"]), name
        assert rule["severity"] in ("critical", "warning"), name
        runbook = rule["runbook_url"].removeprefix("docs/runbooks/")
        assert (RUNBOOKS / runbook).is_file(), name
        assert f"[{name}]({runbook}) | {rule['severity']} | {rule['summary']} |" in index
        assert f'alertname="{name}"' in (MONITORING / "alerts_test.yaml").read_text(), f"{name} is not tested"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Prometheus is not installed")
def test_alerts_fire_when_they_should() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_is_well_formed() -> None:
    board = dashboard()
    panels = board["panels"]
    assert board["schemaVersion"] >= 39
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"].split()[0] for panel in panels if panel["type"] == "row"]
    assert rows == ["Health", "Calls", "Photos", "Galleries", "Training", "Trust", "Processes"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            grouped = asked(target["expr"]).grouped
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert not grouped or label in grouped, panel["title"]
        references = [target["refId"] for target in panel.get("targets", ())]
        assert len(references) == len(set(references)), panel["title"]
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}", panel["title"]


def runbooks() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(RUNBOOKS.glob("*.md")) if path.stem != "README"}


@pytest.mark.parametrize("name", runbooks())
def test_runbook_has_its_parts_and_names_what_there_is(name: str, told: Told) -> None:
    text = runbooks()[name]
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == HEADINGS
    reasons = {error.reason for error in all_errors()}
    for word in re.findall(r"`([A-Z]+_[A-Z_]+)`", text):
        assert word in reasons | {"FR_KEY", "NOT_SERVING"}, word
    for metric in re.findall(r"\bfr_[a-z_]+[a-z]\b", text):
        assert any(known.startswith(metric) for known in told.labels), metric
    for command in re.findall(r"(?:^|`)(fr [a-z][^`\n]*)", text, re.MULTILINE):
        require_understood(command.partition(" --help")[0])
