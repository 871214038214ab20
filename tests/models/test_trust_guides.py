"""The commands of README.md and of the pages on servers, cases and audits run as they are written, in order."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from cryptography import x509
from typer.testing import CliRunner

from fr_bench.speed.server_process import free_port
from fr_client.cli.main import build
from fr_client.words import CHAINS, FINDINGS, ROLE_NAMES, Purpose
from fr_core.packs.cache import ModelCache
from fr_core.storage.audit.verify import Why
from fr_server.config import KEYS, config_from
from support.commands import BIN, REPOSITORY, Serving, blocks, commands, page, require_understood, rows, serving, shell
from support.faults import until
from support.servers import photo, running

pytestmark = pytest.mark.models

NAME, PORT = "faces.example.org", "50061"
ADMIN = "fr --connection faces/admin.toml"
ACTIONS = ("audit.prune", "gallery.restore", "gallery.search", "case.search", "case.finding")


RUNNING, CASEWORK, AUDIT, CLIENT, OPERATORS, INTEGRATORS = (
    page(f"docs/{name}.md")
    for name in ("running-safely", "casework", "audit", "client", "start-operators", "start-integrators")
)
PAGES = (RUNNING, CASEWORK, AUDIT, OPERATORS, INTEGRATORS)
INSTALLING = ("python3 -m venv ", "pip install ")  # what these install is what runs the tests


def first_cells(text: str, header: str) -> list[str]:
    return [word for row in rows(text, header) for word in re.findall(r"`([^`]+)`", row[0])]


class Office:
    """A folder with photos and a server, in which the commands of a page are run; words in capitals get values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words: dict[str, str] = {}
        self.server: Serving | None = None
        self.log = folder / "server.log"
        self.port = str(free_port())

    def run(self, line: str) -> str:
        if line.startswith("fr serve "):
            return self.serve(line)
        line = self.with_text(line)
        if not line.startswith("fr "):
            done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        result = CliRunner().invoke(build(), shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
        return result.stdout

    def refused(self, line: str) -> str:
        result = CliRunner().invoke(build(), shlex.split(self.with_text(line))[1:])
        assert result.exit_code == 1, f"{line}\n{result.output}"
        return result.output

    def with_text(self, line: str) -> str:
        line = line.replace(f"--name {NAME}", f"--name localhost --port {self.port}")
        line = line.replace(f"{NAME}:{PORT}", f"localhost:{self.port}")
        for word, value in self.words.items():
            line = re.sub(rf"\b{word}\b", value, line)
        return line

    def serve(self, line: str) -> str:
        self.stop()
        self.server = Serving(self.folder, shlex.split(line)[2:])
        self.words["PID"] = str(self.server.process.pid)
        return ""

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()

    def logged(self, words: str) -> None:
        until(lambda: words in self.log.read_text())

    def settle(self, toml: str) -> None:
        """Write settings into the configuration as the page says: in the sections that are there, or new ones."""
        path = self.folder / "faces" / "server.toml"
        text = path.read_text("utf-8")
        for section, keys in re.findall(r"\[(\w+)\]\n((?:\w+ = .*\n)+)", toml.replace("/srv/", f"{self.folder}/")):
            head = f"[{section}]\n"
            text = text.replace(head, head + keys) if head in text else f"{text}\n{head}{keys}"
        path.write_text(text, "utf-8")


def lay_out(folder: Path, photos: dict[str, Path], **more: str) -> None:
    for subject, key in {"obama": "obama", "biden": "biden", **more}.items():
        (folder / "photos" / subject).mkdir(parents=True)
        shutil.copy(photos[key], folder / "photos" / subject)
    shutil.copy(photos["obama2"], folder / "probe.jpg")


@pytest.fixture
def office(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> Iterator[Office]:
    lay_out(tmp_path, photos, a="person_a_1", b="person_b_1")
    (tmp_path / "notes.txt").write_text("The ears cannot be seen.\n", "utf-8")
    office = Office(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FR_") and name not in ("FR_HOME", "FR_TESTDATA")]:
            patch.delenv(name)
        patch.setenv("COLUMNS", "200")
        patch.setenv("FR__MODEL__DEVICE", "cpu")  # which starts in half the time; the README's server chooses by itself
        patch.setenv("FR__BATCHING__EMBEDDER_SIZES", "1")  # a start runs each of the sizes
        patch.chdir(tmp_path)
        try:
            yield office
        finally:
            office.stop()
        told = office.log.read_text()
        assert "SERVING" not in told
        assert [word for word in ("obama", "biden", "2026-014", "probe.jpg", "ears") if word in told] == []


def test_a_server_from_its_first_ten_minutes_to_the_lost_machine(office: Office) -> None:
    follow_the_page(office)
    the_server_refuses_what_the_page_says(office)
    revoked = x509.load_pem_x509_crl(Path("faces/revoked.pem").read_bytes())
    laptop = x509.load_pem_x509_certificate(Path("laptop.pem").read_bytes())
    assert revoked.get_revoked_certificate_by_serial_number(laptop.serial_number) is not None
    a_program_in_another_language_calls_with_a_key(office)
    office.stop()  # the machine's clock is gone by again while the server is stopped
    (line,) = (line for line in commands(RUNNING) if "clock reset" in line)
    assert "by the system clock again" in office.run(line)


def follow_the_page(office: Office) -> None:
    told: dict[str, str] = {}
    served = 0
    for line in commands(RUNNING):
        if line == "fr server seal --config faces/server.toml" and "laptop.toml" in "".join(told) and served == 1:
            office.settle(blocks(RUNNING, "toml")[0])
        if "clock reset" in line:
            continue  # when nothing needs the server any more
        office.words["KEY"] = key_id(told, "desk.toml" if " rotate KEY" in line else "nightly.key")
        office.words |= {"TEAM": key_id(told, "team.toml"), "OTHER": key_id(told, "examiner.toml")}
        served += line.startswith("fr serve ")
        told[line] = office.run(line)
        if line.startswith("kill -HUP"):
            office.logged("The certificates were read again")
    assert served == 2
    assert len(told) == len(set(commands(RUNNING))) - 1
    assert said(told, "fr --connection faces/admin.toml health") == "SERVING\n"
    assert re.search(r"Roles +operator", said(told, "fr --connection desk.toml whoami"))
    assert "obama" in said(told, "fr --connection desk.toml search")
    assert re.search(r"Roles +operator +\n", said(told, f"{ADMIN} key create --role operator --gallery archive"))
    assert "obama" in said(told, "fr --connection team.toml search")  # without a purpose
    assert re.search(r"Roles +admin", said(told, "fr --server "))
    assert "laptop 7" in said(
        told, "fr --connection faces/admin.toml key create --role operator --gallery staff --cert"
    )


def said(told: dict[str, str], beginning: str) -> str:
    return next(out for line, out in told.items() if line.startswith(beginning))


def key_id(told: dict[str, str], file: str) -> str:
    """The id of the key that was made for a file; "" as long as there is none."""
    for line, out in told.items():
        if line.endswith(file) and (found := re.search(r"Key +([a-z0-9]{16})", out)):
            return found[1]
    return ""


def the_server_refuses_what_the_page_says(office: Office) -> None:
    whoami = "fr --connection laptop.toml whoami"
    assert "FILE_TAMPERED" in office.refused("fr serve --config faces/server.toml --set tls.client_ca=photos/none.pem")
    assert "PLAINTEXT_REFUSED" in office.refused("fr serve --host 0.0.0.0")
    assert "CREDENTIAL_INVALID" in office.refused(whoami)  # without its certificate
    place = tomllib.loads(Path("faces/admin.toml").read_text())
    Path("nightly.toml").touch(0o600)
    Path("nightly.toml").write_text(
        Path("faces/admin.toml").read_text().replace(place["key"], Path("nightly.key").read_text().strip())
    )
    assert "CREDENTIAL_INVALID" in office.refused("fr --connection nightly.toml whoami")  # which was revoked
    assert "NOT_PERMITTED" in office.refused("fr --connection faces/admin.toml search staff probe.jpg")
    assert "UNKNOWN_GALLERY" in office.refused("fr --connection desk-new.toml gallery show persons")
    # A member of the small team leaves: with a copy of the old file, and without a key that the member made before.
    assert "CREDENTIAL_INVALID" in office.refused("fr --connection team.toml whoami")
    assert "CREDENTIAL_INVALID" in office.refused("fr --connection examiner.toml whoami")
    for words in ("--role operator --gallery archive", "--role admin"):
        assert "NOT_PERMITTED" in office.refused(f"fr --connection team-new.toml key create {words} --out mine.key")


def a_program_in_another_language_calls_with_a_key(office: Office) -> None:
    (script,) = (block for block in blocks(page("docs/other-languages.md"), "sh") if "https://" in block)
    (header,) = (block for block in blocks(page("docs/http.md"), "sh") if "> header" in block)
    script = header.partition("curl ")[0] + script
    shutil.copy("faces/ca.pem", "ca.pem")
    shutil.copy("new-admin.key", "key")
    Path("proto").symlink_to(REPOSITORY / "proto")
    told = office.run(f"PATH={BIN}:$PATH\n{script}")
    assert json.loads(told)["model"]["id"]["pack"] == "buffalo_s"


def test_operators_run_a_server_and_integrators_search(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = str(free_port())
    told: dict[str, str] = {}
    for line in commands(RUNNING.partition("\n## Keys\n")[0]) + commands(OPERATORS):
        if line.startswith(INSTALLING):
            continue
        line = line.replace("9464", metrics)
        told[line] = office.run(line)
        if line == "kill PID":
            assert office.server is not None
            assert office.server.process.wait(60) == 0
    assert said(told, "fr --connection faces/admin.toml health") == "SERVING\n"
    assert "obama" in said(told, "fr --connection desk.toml search")
    assert "fr_health 1.0" in said(told, "curl ")
    assert Path("faces-before/data.key").read_bytes() == Path("faces/data.key").read_bytes()
    (example,) = (block for block in blocks(INTEGRATORS, "python") if "desk.toml" in block)
    exec(compile(example, "start-integrators.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "['staff']" in printed
    assert "examiner" in printed


def test_integrators_without_keys(office: Office, photos: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/obama").joinpath(photos["obama"].name).rename("photos/obama/obama.jpg")
    for line in commands(INTEGRATORS):
        if not line.startswith(INSTALLING):
            office.run(line.replace("fr serve", f"fr serve --port {office.port}"))
    (example,) = (block for block in blocks(INTEGRATORS, "python") if "desk.toml" not in block)
    exec(compile(example.replace("50061", office.port), "start-integrators.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "1 obama" in printed
    assert "UNKNOWN_GALLERY" in printed


def test_a_case_from_its_gallery_to_its_audit(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.run(f"fr server init faces --name {NAME}")
    office.run("fr serve --config faces/server.toml")
    follow_the_case(office)
    a_changed_bundle_is_found_out(office)
    the_example_of_the_client_searches_for_a_case(office, capsys)
    the_audit_of_that_case_is_read_and_checked(office)
    a_changed_export_is_found_out(office)
    an_admin_deletes_the_case_and_its_audit_stays(office)


def follow_the_case(office: Office) -> None:
    told: dict[str, str] = {}
    for line in commands(CASEWORK):
        if line.startswith("fr evidence verify"):
            take_keys(office)
        if " case delete " in line:
            continue  # when the audit has been read
        told[line] = office.run(line)
        if " case open " in line:
            office.words["CASE"] = re.findall(r"Case +([0-9a-f]{16})", told[line])[0]
        if " case search " in line:
            office.words["EXAMINATION"] = re.findall(r"examination ([0-9a-f]{16})", told[line])[0]
        if " review show " in line and "--out" in line:
            assert "Similarity" not in told[line]
            assert len(list(Path("examination").glob("candidate-*"))) == 3
            assert "obama" not in told[line]  # whose photo it is is not for an examiner to know
            office.words["N"] = re.findall(r"candidate-(\d+)", told[line])[0]
    assert "awaits a finding" in said(told, "fr --connection examiner-2.toml review submit")
    assert "concludes: no candidate" in said(told, "fr --connection examiner-3.toml review submit")
    whole = told["fr --connection examiner-1.toml review show EXAMINATION"]
    assert "Similarity" in whole
    assert "obama" in whole
    assert all(words in whole for words in ("lobe attached", "ears cannot be seen", "potential candidate"))
    assert "The given key signed it" in said(told, "fr evidence verify")
    assert "The given key signed the audit" in said(told, "fr evidence verify")


def take_keys(office: Office) -> None:
    office.run("fr --connection faces/admin.toml key create --role auditor --label early --connection-file early.toml")
    office.run("fr --connection early.toml audit checkpoint --out checkpoints")
    shutil.move("checkpoints", "early")
    Path("checkpoints").mkdir()
    for name in ("cases.pem", "evidence.pem"):
        shutil.copy(f"early/{name}", f"checkpoints/{name}")


def a_changed_bundle_is_found_out(office: Office) -> None:
    data = bytearray(Path("case-2026-014.zip").read_bytes())
    data[len(data) // 2] ^= 1
    Path("changed.zip").write_bytes(data)
    assert "EVIDENCE" in office.refused("fr evidence verify changed.zip --public-key early/evidence.pem")
    again = "fr --connection examiner-3.toml review submit EXAMINATION --finding inconclusive"
    assert "EXAMINER_NOT_INDEPENDENT" in office.refused(again)


def the_example_of_the_client_searches_for_a_case(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("operator.toml", "desk.toml")
    (example,) = (block for block in blocks(CLIENT, "python") if "desk.toml" in block)
    exec(compile(example, "client.md", "exec"), {})
    assert "examiner" in capsys.readouterr().out
    for line in commands(CLIENT):
        if "desk.toml" in line:
            office.run(line)


def the_audit_of_that_case_is_read_and_checked(office: Office) -> None:
    shutil.rmtree("checkpoints")
    office.words |= {"COPY": "copy", "KEY": "faces/data.key"}
    told = {}
    for line in commands(AUDIT):
        if line.startswith(("openssl ", "curl ")) or " archive/" in line:
            continue  # these need a time stamping authority, or records that are old enough to be archived
        if "COPY" in line and not Path("copy").exists():
            shutil.copytree("faces/data", "copy")
        told[line] = office.run(line)
    search = "fr --connection auditor.toml audit search --chain access"
    assert "gallery.search" in told[f"{search} --action gallery.search --since 2026-01-01"]
    assert "review.search_in_case" in told[f"{search} --case 2026-014"]
    assert "No record fits" in told[f"{search} --gallery persons --subject ada"]
    assert "gallery.search" in office.run(f"{search} --gallery persons --subject obama")
    actions = [
        json.loads(one["json"])["action"]
        for one in json.loads(said(told, search.replace("access", "cases")))["records"]
    ]
    assert [actions.count(one) for one in ("case.open", "case.search", "case.finding", "case.close")] == [1, 1, 3, 1]
    assert "No checkpoint was given" in told["fr --connection auditor.toml audit verify"]
    assert "as it was written" in told["fr --connection auditor.toml audit verify --checkpoints checkpoints"]
    assert "agrees with" in told["fr audit file verify access.jsonl --checkpoints checkpoints"]
    assert said(told, "fr server verify").count("intact") == 4
    left = map(json.loads, Path("left.jsonl").read_text().splitlines())
    exported = [line["record"]["seq"] for line in left if "record" in line]
    assert exported == list(range(1, len(exported) + 1))
    assert "2026-014" not in Path("access.jsonl").read_text()
    assert "obama" not in Path("access.jsonl").read_text()


def a_changed_export_is_found_out(office: Office) -> None:
    text = Path("access.jsonl").read_text()
    Path("changed.jsonl").write_text(text.replace('"gallery.search"', '"gallery.detect"', 1))
    assert "was changed" in office.refused("fr audit file verify changed.jsonl --public-key checkpoints/access.pem")
    assert office.refused("fr audit file verify access.jsonl --public-key checkpoints/cases.pem")


def an_admin_deletes_the_case_and_its_audit_stays(office: Office) -> None:
    (line,) = (line for line in commands(CASEWORK) if " case delete " in line)
    office.run(line)
    assert "UNKNOWN_CASE" in office.refused("fr --connection operator.toml case show CASE")
    assert "case.finding" in office.run("fr --connection auditor.toml audit search --chain cases --case 2026-014")


def test_what_a_gallery_is_for_is_said_when_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/gallery.md, on a server that asks nobody."""
    (block,) = (block for block in blocks(page("docs/gallery.md"), "sh") if "--use" in block)
    monkeypatch.chdir(tmp_path)
    Path("probe.jpg").write_bytes(photo(1))
    with running(tmp_path / "data") as server:
        monkeypatch.setenv("FR_SERVER", server.address)
        for line in block.splitlines():
            result = CliRunner().invoke(build(), shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
        result = CliRunner().invoke(build(), ["search", "persons", "probe.jpg"])
        assert "PURPOSE_REQUIRED" in result.output


def test_commands_settings_and_tables_of_the_pages() -> None:
    readme = page("README.md").partition("## Who may do what")[2].partition("\n## ")[0]
    assert len(commands(readme)) == 3
    health = next(block for block in blocks(page("docs/operations.md"), "sh") if " health" in block)
    assert {*commands(readme), *health.splitlines()} <= set(commands(RUNNING))
    found = [config_from(tomllib.loads(block)) for block in blocks(RUNNING, "toml")]
    assert [one.isolation.decoding for one in found] == ["process", "none"]
    assert found[1].access.oidc_audience == "fr-core"
    assert set(first_cells(RUNNING, "role |")) == set(ROLE_NAMES.values())
    assert set(first_cells(AUDIT, "chain |")) == set(CHAINS)
    assert set(first_cells(AUDIT, "finding |")) == {why.value for why in Why}
    assert set(first_cells(CASEWORK, "finding |")) == set(FINDINGS)
    (sentence,) = re.findall(r"The purpose\s+is\s+one\s+of\s+(.*?)\.", CASEWORK, re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == set(get_args(Purpose))


@pytest.mark.parametrize("text", PAGES)
def test_every_command_reason_and_setting_is_one(text: str) -> None:
    for line in re.findall(r"`(fr [^`]+)`", text):
        require_understood(" ".join(line.split()))
    errors = page("docs/errors.md") + CLIENT
    reasons = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text)) - {"CHAIN_NUMBER"}
    assert [reason for reason in reasons if f"`{reason}`" not in errors] == []
    sections = "|".join({key.partition(".")[0] for key in KEYS})
    # A table that tests/unit/test_audit_actions.py goes through.
    text = re.sub(r"\n## What the actions are called\n.*?\n## ", "", text, flags=re.DOTALL)
    named = set(re.findall(rf"`((?:{sections})\.(?!pem|key|toml)[a-z_]+)[ `]", text)) - {*KEYS, *ACTIONS}
    assert named == set()


DEFAULT_ADDRESS = "localhost:50061"
README = page("README.md")


def test_the_readme_and_the_server_guide(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    lay_out(tmp_path, photos, person_a="person_a_1", person_b="person_b_1")
    (tmp_path / "probes").mkdir()
    named = {"a.jpg": "person_a_1", "b.jpg": "person_a_2", "ada.jpg": "impostor_2", "probes/1.jpg": "obama2"}
    for name, key in named.items():
        shutil.copy(photos[key], tmp_path / name)
    one_size = {"FR__BATCHING__EMBEDDER_SIZES": "1"}
    with serving(tmp_path, "--port", "0", "--data", tmp_path / "galleries", environment=one_size) as server:
        fetches_and_lists_the_models(tmp_path)
        finds_the_right_person(tmp_path, server.address)
        prints_the_candidates(tmp_path, server.address)
        (command,) = re.findall(r"`(buf curl [^`]*)`", page("docs/server.md"))
        assert "SERVING" in shell(command.replace("127.0.0.1:50061", server.address), tmp_path)
    assert not server.ready.exists()
    told = server.log.read_text()
    steps = ("loading the libraries", "Loading the models of buffalo_s", "Opening the galleries", " serving on ")
    assert sorted(steps, key=told.index) == list(steps)
    assert [name for name in ("obama", "person_a", "probe.jpg") if name in told] == []


def fetches_and_lists_the_models(folder: Path) -> None:
    setup = next(block for block in blocks(README, "sh") if "models fetch" in block)
    lines = [line for line in setup.splitlines() if line.startswith("fr models")]
    told = shell("\n".join(lines), folder)
    assert "buffalo_s" in told
    assert "sface" in told


def finds_the_right_person(folder: Path, address: str) -> None:
    run = partial(shell, folder=folder, FR_SERVER=address, COLUMNS="120")
    use = next(block for block in blocks(README, "sh") if "fr enrol" in block)
    told = run(use)
    assert "examiner" in told
    assert (folder / "faces.png").stat().st_size > 10_000
    assert (folder / "candidates.png").stat().st_size > 10_000
    found = json.loads(run("fr search people probe.jpg --json"))
    assert found["results"][0]["candidates"][0]["subject_id"] == "obama"
    assert found["results"][0]["candidates"][0]["above_threshold"] is True
    asked = run(next(block for block in blocks(README, "sh") if "--target-fmr" in block))
    assert "as measured on lfw" in " ".join(asked.split())


def prints_the_candidates(folder: Path, address: str) -> None:
    (snippet,) = blocks(README, "python")
    assert DEFAULT_ADDRESS in snippet
    script = snippet.replace(DEFAULT_ADDRESS, address)
    command: list[str | Path] = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 obama ")


@pytest.mark.nightly
def test_the_training_demo_writes_everything(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    command = [sys.executable, "examples/demo_training.py", "--out", str(tmp_path), "--trainees", "3"]
    quick = {"FR__BATCHING__EMBEDDER_SIZES": "1", "FR__MODEL__DETECTION": "fast"}
    ran = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | quick, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    abilities = json.loads((tmp_path / "demo" / "abilities.json").read_text())
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written >= {f"{name}.{kind}" for name in (*abilities, "cohort") for kind in ("html", "json")}
    assert written >= {"results.csv", "xapi.json", "ags.json", "badges.json"}
    assert "Macron" not in (tmp_path / "demo" / "results.csv").read_text() + (tmp_path / "server.log").read_text()
