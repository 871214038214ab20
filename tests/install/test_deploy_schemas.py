"""deploy/ by the tools of those who run it: Helm's own engine renders the chart, and schemas check what comes of it."""

import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import REPOSITORY, page

DEPLOY = REPOSITORY / "deploy"
COMPOSED = (
    "compose.yaml",
    "compose.gpu.yaml",
    "compose.key.yaml",
    "compose.milvus.yaml",
    "compose.servers.yaml",
    "compose.servers.milvus.yaml",
)
# The oldest of Chart.yaml, and the newest that the tools know.
KUBERNETES = ("1.27", "1.37")

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.nightly]

# Runs with the tools, whose packages are not those of the tests: values -> [errors of the linter, documents, notes, the
# text of the documents].
RENDER = r"""
import json, sys, yaml
from helm_python import Chart, lint
chart, values = sys.argv[1], json.load(sys.stdin)
report = lint(chart, values, strict=True)
with Chart.load(chart) as loaded:
    loaded.validate_schema(values)
    files = loaded.render(values, name="faces", namespace="people", is_install=True)
notes = next(text for name, text in files.items() if name.endswith("NOTES.txt"))
texts = [text.strip() for name, text in files.items() if name.endswith(".yaml") and text.strip()]
documents = [yaml.safe_load(text) for text in texts]
wrong = [one for one in report["messages"] if one["severity"] > 1] + report["errors"]
print(json.dumps([wrong, documents, notes, "\n---\n".join(texts) + "\n"]))
"""
VALIDATE = """
import json, sys, kubernetes_validate
for document in json.load(sys.stdin):
    for version in sys.argv[1:]:
        kubernetes_validate.validate(document, version, strict=True)
"""

# As much of the chart as one installation can have.
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.org/fr-core", "pullSecrets": [{"name": "registry"}]},
    "names": ["faces.example.org"],
    "settings": {"model.device": "cuda"},
    "env": [{"name": "PIP_INDEX_URL", "value": "https://mirror.example.org/simple"}],
    "key": {"secret": "fr-core-key"},
    "volume": {"size": "1Ti", "storageClass": "fast"},
    "gpus": 1,
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "http": {"enabled": True},
    "metrics": {"enabled": True},
    "networkPolicy": {
        "from": [{"podSelector": {}}],
        "metricsFrom": [{"namespaceSelector": {}}],
        "egress": [{"ports": [{"port": 636}]}],
    },
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "gpu"}],
    "affinity": {"nodeAffinity": {}},
}

Render = Callable[..., tuple[list[dict[str, Any]], str, str]]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the tools of the lock."""
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    checked = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement"]
    subprocess.run([*pip, *checked, REPOSITORY / "deploy/tools.lock"], check=True, timeout=600)
    return folder / "bin"


def told(command: list[str | Path], given: Any = None) -> str:
    """Return the output of a tool; fail with its complaint."""
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def render(tools: Path) -> Render:
    """A function that renders the chart with values: the documents, which Kubernetes would take, notes, and text."""

    def run(chart: Path = DEPLOY / "helm/fr-core", **values: Any) -> tuple[list[dict[str, Any]], str, str]:
        wrong, documents, notes, text = json.loads(told([tools / "python", "-c", RENDER, chart], values))
        assert wrong == []
        told([tools / "python", "-c", VALIDATE, *KUBERNETES], documents)
        return documents, notes, text

    return run


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (one for one in documents if one["kind"] == kind)
    return found


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = of_kind(documents, "StatefulSet")["spec"]["template"]["spec"]
    return found


def variables(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod(documents)["containers"][0]["env"]}


def test_every_container_of_the_chart_is_confined(render: Render) -> None:
    documents, notes, _ = render(names=["faces.example.org"])
    spec = pod(documents)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    containers = [*spec["initContainers"], *spec["containers"]]
    assert [one["name"] for one in containers] == ["setup", "models", "server"]
    for one in containers:
        context = one["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert one["resources"]["limits"]
        assert {mount["mountPath"] for mount in one["volumeMounts"]} == {"/var/lib/fr-core", "/tmp"}
    names = containers[0]["command"]
    assert [names[i + 1] for i, word in enumerate(names) if word == "--name"] == [
        *("faces.example.org", "faces-fr-core", "faces-fr-core.people.svc", "faces-fr-core.people.svc.cluster.local")
    ]
    server = containers[2]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["exec"] == {"command": ["fr-health"]}
    assert "exec faces-fr-core-0 -c server -- cat server/ca.key > ca.key" in notes


def test_the_network_policy_lets_out_what_is_needed(render: Render) -> None:
    def egress(**values: Any) -> Any:
        return of_kind(render(**values)[0], "NetworkPolicy")["spec"]["egress"]

    assert egress(models={"fetch": False}) == []
    assert [port["port"] for rule in egress() for port in rule["ports"]] == [53, 53, 443]
    provider = {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"port": 443}]}
    assert egress(models={"fetch": False}, networkPolicy={"egress": [provider]})[-1] == provider
    documents = render(networkPolicy={"enabled": False})[0]
    assert {one["kind"] for one in documents} == {"StatefulSet", "Service"}


def test_every_value_does_something(render: Render) -> None:
    plain = json.dumps(render()[0])
    choices: list[dict[str, Any]] = [
        {"image": {"repository": "registry.example.org/fr-core", "digest": f"sha256:{'0' * 64}"}},
        {"image": {"repository": "fr-core", "tag": "other", "pullPolicy": "Always", "pullSecrets": [{"name": "a"}]}},
        {"settings": {"model.device": "cpu", "server.frontends": 2}},
        {"env": [{"name": "PIP_INDEX_URL", "value": "https://mirror.example.org/simple"}]},
        {"key": {"secret": "fr-core-key"}},
        {"volume": {"size": "1Ti", "storageClass": "fast"}},
        {"volume": {"size": "20Gi", "existingClaim": "mine"}},
        {"gpus": 2},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}}},
        {"http": {"enabled": True, "port": 9443}, "probes": {"kind": "http", "startPeriods": 9}},
        {
            "metrics": {"enabled": True},
            "networkPolicy": {"metricsFrom": [{"podSelector": {}}], "from": [{"podSelector": {}}]},
        },
        {"stopped": True},
        {"terminationGracePeriodSeconds": 99, "podAnnotations": {"a": "b"}, "nodeSelector": {"a": "b"}},
        {"tolerations": [{"key": "gpu"}], "affinity": {"nodeAffinity": {}}},
    ]
    rendered = [render(**values)[0] for values in choices]
    assert len({plain, *map(json.dumps, rendered)}) == len(choices) + 1
    assert variables(rendered[2]) == {
        "FR__MODEL__PACK": "buffalo_s",
        "FR__MODEL__DEVICE": "cpu",
        "FR__SERVER__FRONTENDS": "2",
    }
    (secret,) = (each["secret"] for each in pod(rendered[4])["volumes"] if each["name"] == "key")
    assert (secret["secretName"], secret["defaultMode"]) == ("fr-core-key", 0o400)
    assert variables(rendered[4])["FR__GALLERY__KEY"] == "file:/run/secrets/fr-core/data.key"
    assert pod(rendered[7])["containers"][0]["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": 2}
    probed = pod(rendered[10])["containers"][0]["livenessProbe"]["httpGet"]
    assert probed == {"scheme": "HTTPS", "port": "https", "path": "/livez"}


def test_several_servers_share_a_volume_and_a_database(render: Render) -> None:
    url = "postgresql://fr@db.example.org/faces"
    several = {"servers": 3, "volume": {"size": "20Gi", "existingClaim": "faces"}}
    documents, _, text = render(database={"url": url, "secret": "db", "port": 6432}, **several)
    spec = of_kind(documents, "StatefulSet")["spec"]
    assert spec["replicas"] == 3
    assert "volumeClaimTemplates" not in spec
    assert {"podManagementPolicy", "updateStrategy"}.isdisjoint(spec), "one after the other is the default"
    assert of_kind(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    services = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "Service"}
    assert services["faces-fr-core-each"]["clusterIP"] == "None"
    inside = spec["template"]["spec"]
    (server,) = inside["containers"]
    setup = inside["initContainers"][0]
    for container in (setup, server):
        told_of = {each["name"]: each.get("value") for each in container["env"]}
        assert told_of["FR__STORAGE__URL"] == url
        assert told_of["FR__STORAGE__PASSWORD"] == "file:/run/secrets/database/password"
        assert "/run/secrets/database" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "store migrate --to postgresql" in setup["command"][2]
    assert "faces-fr-core-each" in setup["command"]
    waits_s = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert inside["terminationGracePeriodSeconds"] > waits_s + 40
    assert {"ports": [{"port": 6432}]} in of_kind(documents, "NetworkPolicy")["spec"]["egress"]
    assert "migrate" not in render()[2]
    assert text.count("FR__SERVER__NAME") == 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"servers": 3, "volume": {"size": "20Gi", "existingClaim": "faces"}}, "database.url"),
        ({"servers": 3, "database": {"url": "postgresql:///faces"}}, "ReadWriteMany"),
        ({"database": {"url": "mysql:///faces"}}, "url"),
        ({"probes": {"kind": "http"}}, "http.enabled"),
        ({"nmaes": []}, "nmaes"),
        ({"settings": {"Model.device": "cpu"}}, "Model.device"),
        ({"volume": {"size": "20"}}, "size"),
    ],
)
def test_values_that_cannot_work_are_refused(render: Render, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        render(**values)


def test_kubernetes_schemas_are_asked(tools: Path, render: Render) -> None:
    documents = render()[0]
    of_kind(documents, "StatefulSet")["spec"]["replica"] = 1
    with pytest.raises(AssertionError, match="replica"):
        told([tools / "python", "-c", VALIDATE, *KUBERNETES], documents)


def test_the_chart_makes_what_is_stored(tmp_path: Path, render: Render) -> None:
    """A wrong indentation may still fit the schemas, and say something else."""
    stored, made = page("tests/golden/chart.yaml"), tmp_path / "chart.yaml"
    made.write_text(render(**EVERYTHING)[2], "utf-8")
    assert made.read_text("utf-8") == stored, f"If that is meant: cp {made} tests/golden/chart.yaml"
    chart = tmp_path / "fr-core"
    shutil.copytree(DEPLOY / "helm/fr-core", chart)
    policy = chart / "templates/networkpolicy.yaml"
    policy.write_text(policy.read_text("utf-8").replace("    - Egress\n", "      - Egress\n"), "utf-8")
    assert render(chart, **EVERYTHING)[2] != stored


@pytest.mark.parametrize("name", COMPOSED)
def test_compose_files_fit_the_schema_of_compose(tools: Path, tmp_path: Path, name: str) -> None:
    def check(path: Path) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [tools / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    path = DEPLOY / "compose" / name
    done = check(path)
    assert done.returncode == 0, done.stdout
    spoilt = tmp_path / name
    spoilt.write_text(
        re.sub(r"(?m)^(services:\n(?:  server-\d: .*\n|\n)*  \S+:\n)", r"\1    imgae: x\n", path.read_text("utf-8")),
        "utf-8",
    )
    assert check(spoilt).returncode == 1


def test_the_page_sets_values_that_the_chart_has(render: Render) -> None:
    text = page("docs/containers.md")
    for value in re.findall(r"--set \"?([a-zA-Z.]+)=", text) + re.findall(r"`([a-z]+(?:\.[a-zA-Z]+)?)=\w+`", text):
        values: Any = {"image": {"repository": "x"}, "names": ["x"], "key": {"secret": "x"}, "gpus": 1, "servers": 3}
        values |= {"volume": {"existingClaim": "x"}, "database": {"url": "x", "secret": "x"}}
        values |= {"stopped": True, "models": {"fetch": False}, "http": {"enabled": True}, "probes": {"kind": "http"}}
        for part in value.split("."):
            values = values[part]
    render(http={"enabled": True}, probes={"kind": "http"}, gpus=1)
