"""The repository keeps its shape; documents, catalogues, alerts, the dashboard and runbooks name what exists."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polib
import pytest
from catalogues import update
from check_messages import CATALOGUES, disagreements
from lock_file import LOCKS
from prometheus_client.parser import text_string_to_metric_families

import fr_core
from fr_api.v1 import common_pb2, recognition_pb2
from fr_client import Client
from fr_locales.messages import Audience, Written, message
from fr_locales.rendering import languages, moment, name_of, number, render, speaking
from fr_server.app import SERVICES
from fr_server.config import KEYS
from fr_server.errors import all_errors
from fr_server.storage.audits import CHAINS
from fr_server.telemetry.exposition import MetricsServer
from fr_server.telemetry.int8_metrics import INT8_DOUBTED
from fr_server.telemetry.listener import CANCELLED, OK
from fr_server.telemetry.metrics import UNKNOWN, PrometheusObserver, methods_of
from fr_server.telemetry.milvus_metrics import MILVUS_SPECS
from fr_server.telemetry.open import Telemetry
from fr_server.telemetry.shared import BUDGETS
from fr_server.telemetry.shared_metrics import SHARED_SPECS
from support.commands import require_understood
from support.servers import photo, running

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOTS = (
    "server",
    "client",
    "datasets",
    "evaluation",
    "locales",
    "training",
    "trust",
    "video",
    "web",
    "benchmarks",
    "proto",
)
PAGES = [
    path
    for folder in (".", "docs", "deploy", "client", "benchmarks")
    for path in sorted((REPOSITORY / folder).glob("*.md" if folder == "." else "**/*.md"))
]


def without_code(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Those that GitHub makes of the headings of a page."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", without_code(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.append(re.sub(r"[^\w -]", "", text.strip().lower()).replace(" ", "-"))
    return {f"{one}-{n}" if (n := found[:at].count(one)) else one for at, one in enumerate(found)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_of_the_docs_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)(?!`)", without_code(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


def test_no_photo_lies_in_the_repository_and_source_roots_are_no_packages() -> None:
    assert [root for root in (*ROOTS, "proto/gen") if (REPOSITORY / root / "__init__.py").exists()] == []
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {fr_core.__version__}" in changelog
    kinds = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".onnx", ".npy"}
    found = [
        path
        for root in ("fr_core", *ROOTS, "tests", "docs", "examples", "tools")
        for path in (REPOSITORY / root).rglob("*")
        if path.suffix.lower() in kinds and "node_modules" not in path.parts
    ]
    # Only drawn faces, which `test_screenshots.py` knows by name.
    assert [path for path in found if path.parent.name != "images" or not path.name.startswith("console-")] == []


def test_docstrings_open_with_what_a_thing_is_or_does() -> None:
    opening = re.compile(r'"""(?:What|Whether|How|Who|Whose|Whom|Whoever|Nobody)\b')
    found = [
        f"{path.relative_to(REPOSITORY)}: {found[0]}"
        for root in ("fr_core", *ROOTS[:-1], "tests", "examples", "tools")
        for path in (REPOSITORY / root).rglob("*.py")
        if "node_modules" not in path.parts and (found := opening.findall(path.read_text("utf-8")))
    ]
    assert found == []


ON_SECURITY = (
    "SECURITY.md",
    "docs/threat-model.md",
    "docs/policy.md",
    "docs/containers.md",
    "docs/templates/dpia.md",
)
MODEL = (REPOSITORY / "docs/threat-model.md").read_text()


@pytest.mark.parametrize("page", ON_SECURITY)
def test_settings_and_targets_are_real(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    sections = "|".join(sorted({key.split(".")[0] for key in KEYS}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)[` ]", text))
    assert named <= KEYS.keys()
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"requirements[a-z-]*\.lock", text)) <= set(LOCKS)


def test_every_threat_has_a_mitigation_or_says_twice_that_it_has_none() -> None:
    rows = re.findall(r"^\| ([STRIDE](?:, [STRIDE])*) \| (.+?) \| (.+?) \| ?(.*?) ?\|$", MODEL, re.MULTILINE)
    assert len(rows) > 60
    assert {letter for letters, *_ in rows for letter in letters.split(", ")} == set("STRIDE")
    assert len(rows) == len(re.findall(r"^\| [STRIDE]\b", MODEL, re.MULTILINE))
    for _, threat, answer, shown in rows:
        honest = re.search(r"[Nn]ot (mitigated|prevented|found)|by design|recorded", answer)
        assert shown or honest or "`limits." in answer, f"nothing shows what stands against: {threat}"
    told = " ".join(MODEL.split("## Not mitigated")[1].split())
    for word in ("embedding", "morphs", "root", "purpose", "checkpoints", "metadata", "hill climbing"):
        assert word in told


ARABIC = (
    "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 && n%100<=99 ? 4 : 5);"
)


@pytest.fixture
def catalogues(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CATALOGUES, tmp_path / "fr_locales"))


def test_messages_are_rendered_with_values_plural_forms_audience_and_lists() -> None:
    assert render(message("rate.of", part=3, total=1200)) == "3 of 1,200"
    assert [render(message("count.trainees", count=n)) for n in (0, 1, 2)] == ["0 trainees", "1 trainee", "2 trainees"]
    assert render(message("lean.undecided", audience=Audience.TRAINEE, count=1)) == "you left 1 pair undecided"
    assert render(message("lean.undecided", audience=Audience.COHORT, count=2)) == "they left 2 pairs undecided"
    parts = (message("left_out.known", count=1), message("left_out.unanswered", count=2))
    assert render(message("left_out.trials", trials=parts)) == (
        "In no figure: 1 trial in which somebody shown is known, 2 trials without an answer."
    )


def test_what_a_catalogue_lacks_is_an_error() -> None:
    unknown = "no.such"
    with pytest.raises(LookupError, match=r"no\.such"):
        render(message(unknown))
    with pytest.raises(LookupError, match="language"):
        render(message("rate.of", part=1, total=2), "../en")
    with pytest.raises(KeyError):
        render(message("rate.of", part=1))
    with pytest.raises(TypeError, match="whole number"):
        render(message("count.trainees", count=1.0))
    assert languages() == ("ar", "en", "es", "fr")


def test_a_language_is_added_without_code_and_falls_back_to_english(catalogues: Path) -> None:
    forms = ("لا متدربين", "متدرب واحد", "متدربان", "{count} متدربين", "{count} متدربا", "{count} متدرب")
    arabic = polib.POFile()
    arabic.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Language": "ar", "Plural-Forms": ARABIC}
    arabic.append(
        polib.POEntry(msgid="count.trainees", msgid_plural="count.trainees", msgstr_plural=dict(enumerate(forms)))
    )
    (catalogues / "ar" / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
    arabic.save(str(catalogues / "ar" / "LC_MESSAGES" / "fr.po"))
    code = (
        "import sys; from fr_locales.messages import message; from fr_locales.rendering import render; "
        "told = [message('count.trainees', count=n) for n in (0, 1, 2, 5, 20, 100)] + [message('test.pre')]; "
        "sys.stdout.buffer.write('|'.join(render(one, 'ar') for one in told).encode())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(catalogues.parent)},
        check=True,
        capture_output=True,
    ).stdout.decode()
    numbers = ("", "", "", 5, 20, 100)
    trainees = [form.format(count=n) for form, n in zip(forms, numbers, strict=True)]
    assert told.split("|") == [*trainees, "the first test"]


def test_code_and_catalogues_agree_and_each_disagreement_is_found(catalogues: Path) -> None:
    assert disagreements() == []
    texts = polib.pofile(str(catalogues / "en" / "LC_MESSAGES" / "fr.po"))
    by_id = {(one.msgctxt, one.msgid): one for one in texts}
    texts.remove(by_id["cohort", "well.triads"])
    by_id[None, "rate.of"].msgstr = "{part:,} of {whole:,}"
    by_id["trainee", "advice.little"].msgstr += " {count}"
    texts.append(polib.POEntry(msgid="never.said", msgstr="Nobody says this."))
    texts.save()
    found = "\n".join(disagreements(catalogues))
    for message_id in ("well.triads", "rate.of", "advice.little", "never.said"):
        assert f"`{message_id}`" in found


def translated(catalogues: Path, language: str = "it") -> polib.POFile:
    """The catalogue of a new language, in which every text is the English one."""
    told = update(language, catalogues)
    english = polib.pofile(str(catalogues / "en" / "LC_MESSAGES" / "fr.po"))
    assert f"{len(english)} to translate" in told
    made = polib.pofile(str(catalogues / language / "LC_MESSAGES" / "fr.po"))
    for entry, model in zip(made, english, strict=True):
        last = model.msgstr_plural.get(1, "")
        entry.msgstr, entry.msgstr_plural = model.msgstr, dict.fromkeys(entry.msgstr_plural, last)
    made.save()
    return made


def test_a_catalogue_is_whole_of_the_english_of_today_and_says_who_has_read_it(catalogues: Path) -> None:
    made = translated(catalogues)

    def wrong() -> list[str]:
        return [one for one in disagreements(catalogues) if one.startswith("it: ")]

    assert wrong() == []
    by_id = {one.msgid: one for one in made}
    by_id["console.skip"].msgstr = ""
    by_id["console.language"].comment = "Tongue"
    by_id["console.choose"].flags.append("fuzzy")
    by_id["console.back"].msgstr = "{"
    by_id["console.lost"].msgstr = "{x}"
    by_id["list.separator"].msgstr = ","
    by_id["count.trainees"].msgstr_plural.pop(0)
    made.remove(by_id["console.sign_out"])
    made.metadata.pop("X-Reviewed-By")
    made.save()
    found = wrong()
    for told in (
        "it: not translated: `console.skip`, `console.sign_out`; run `make catalogues`",
        "it: translated from another English text: `console.language`; run",
        "it: fuzzy: `console.choose`; compare",
        "it: `console.back` has a brace",
        "it: `list.separator` begins or ends with another space",
        "it: `console.lost` lacks [] and has ['x']",
        "it: `count.trainees` has 2 plural forms",
        "it: the header lacks X-Reviewed-By",
    ):
        assert [one for one in found if one.startswith(told)] != [], (told, found)
    assert len(found) == 8


def test_a_catalogue_is_brought_up_to_date(catalogues: Path) -> None:
    translated(catalogues)
    english = polib.pofile(str(catalogues / "en" / "LC_MESSAGES" / "fr.po"))
    by_id = {one.msgid: one for one in english}
    by_id["console.skip"].msgstr += " Now."
    english.remove(by_id["rate.of"])
    english.insert(3, polib.POEntry(msgid="new.one", msgstr="{a} is new."))
    english.save()
    assert update("it", catalogues) == "it: 1 to translate, 1 whose English has changed (fuzzy)"
    path = catalogues / "it" / "LC_MESSAGES" / "fr.po"
    made = polib.pofile(str(path))
    assert [one.msgid for one in made] == [one.msgid for one in english]
    new, changed = made[3], next(one for one in made if one.msgid == "console.skip")
    assert (new.comment, new.msgstr) == ("{a} is new.", "")
    assert (changed.flags, changed.comment) == (["fuzzy"], by_id["console.skip"].msgstr)
    assert changed.tcomment.startswith("English was: ")
    text = path.read_text()
    assert update("it", catalogues).startswith("it: 1 to translate, 1 ")
    assert path.read_text() == text
    changed.flags.clear()
    made.save()
    assert update("it", catalogues) == "it: 1 to translate, 0 whose English has changed (fuzzy)"
    assert "English was" not in path.read_text()


WRITTEN = {
    "en": ("1,234.5", "-12.3%", "+1,000,000", "2026-03-04 15:06 UTC", "2026-03-04 15:06:07 UTC", "English"),
    "fr": (
        "1\u202f234,5",
        "-12,3\u00a0%",
        "+1\u202f000\u202f000",
        "4 mars 2026, 15:06 UTC",
        "4 mars 2026, 15:06:07 UTC",
        "Français",
    ),
    "es": ("1.234,5", "-12,3\u00a0%", "+1.000.000", "4 mar 2026, 15:06 UTC", "4 mar 2026, 15:06:07 UTC", "Español"),
    "ar": (
        "1,234.5",
        "\u200e-12.3\u200e%\u200e",
        "\u200e+1,000,000",
        "4 مارس 2026، \u206615:06 UTC\u2069",
        "4 مارس 2026، \u206615:06:07 UTC\u2069",
        "العربية",
    ),
    "en-XA": ("1,234.5", "-12.3%", "+1,000,000", "2026-03-04 15:06 UTC", "2026-03-04 15:06:07 UTC", "en-XA"),
}


@pytest.mark.parametrize("language", WRITTEN)
def test_numbers_and_times_have_the_marks_of_a_language(language: str) -> None:
    time = datetime(2026, 3, 4, 15, 6, 7, tzinfo=UTC)
    numbers = [number(one, language) for one in (f"{1234.5:,.1f}", f"{-0.123:.1%}", f"{10**6:+,}")]
    times = [moment(time, language, seconds) for seconds in (False, True)]
    assert (*numbers, *times, name_of(language)) == WRITTEN[language]


@pytest.mark.parametrize("language", ["fr", "es", "ar"])
def test_a_message_has_the_numbers_of_its_language(
    language: str, catalogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (catalogues / language).exists():
        translated(catalogues, language)
    monkeypatch.setenv("FR_CATALOGUES", str(catalogues))
    share = message("evaluation.verification.right", share=0.98765, error=0.0004)
    numbers = {"fr": "98,77\u00a0%", "es": "98,77\u00a0%", "ar": "98.77\u200e%\u200e"}
    with speaking(language):
        assert numbers[language] in render(share)
    assert "98.77%" in render(share)
    ended = {"fr": "1\u202f000,5", "es": "1.000,5", "ar": "1,000.5"}
    told = message("page.trainee", course=Written("1,000.5"))
    assert ended[language] in render(told, language)
    with speaking("en"):
        assert render(share) == render(share, "en")


DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
MONITORING, RUNBOOKS = DOCS / "monitoring", DOCS / "runbooks"
ALERTS = MONITORING / "alerts.yaml"

# Prometheus adds these to whatever it scrapes.
ADDED = {"job", "instance"}
HEADINGS = ("Meaning", "Impact", "Check", "Steps", "Done when", "Warning")
WORDS = {"and", "or", "unless", "bool", "offset"}


@dataclass
class Asked:
    """The parts of a PromQL expression: labels of each metric, the values matched, and the labels it groups by."""

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
    """The metrics of a server: the labels of each sample's name, and the values of each label."""

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
    for spec in (*SHARED_SPECS, *MILVUS_SPECS, INT8_DOUBTED):  # of servers with a shared database, Milvus, int8
        labels[spec.name] = set(spec.labels)
    values |= {"budget": set(BUDGETS), "granted": {"yes", "no"}}
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
    assert rows == ["Health", "Calls", "Photos", "Galleries", "Training", "Trust", "Processes", "Several", "Milvus"]
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
