"""The commands of docs/http.md run as they are written."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from support.callers import Staffed
from support.commands import blocks, commands, page, require_understood, shell
from support.gateways import Papers
from support.servers import photo, running
from support.web import web

PAGE = page("docs/http.md")
LINES = commands(PAGE)
SECRET = "k3j9x2m4p7q8r1s5.secret"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_the_commands_of_fr_are_understood() -> None:
    for line in LINES:
        if line.startswith("fr "):
            require_understood(line.replace("fr --ca ca.pem ", "fr "))


def test_the_examples_answer(tmp_path: Path) -> None:
    lines = [line for line in LINES if "http://localhost:8080" in line]
    assert len(lines) == 5
    (tmp_path / "enrolled.jpg").write_bytes(photo(10))
    (tmp_path / "probe.jpg").write_bytes(photo(12))
    with running(tmp_path / "data") as server, web(server.address) as site:
        told = [
            json.loads(shell(line.replace("curl", "curl -sS").replace("8080", str(site.port)), tmp_path))
            for line in lines
        ]
    info, gallery, enrolled, found, detected = told
    assert info["version"]
    assert gallery["gallery"]["galleryId"] == "web"
    assert enrolled["templateId"]
    assert found["results"][0]["candidates"][0]["subjectId"] == "s1"
    assert found["notice"]
    assert len(detected["faces"]) == 1


def test_the_example_with_a_key_answers(at: Staffed, everybody: str, tmp_path: Path) -> None:
    (script,) = (block for block in blocks(PAGE, "sh") if "> header" in block)
    papers = Papers(tmp_path)
    (tmp_path / "key").write_text(f"{everybody}\n")
    with web(at.server.address, tls=papers.server()) as site:
        told = json.loads(shell(script.replace("faces.example.org:8080", f"localhost:{site.port}"), tmp_path))
    assert told["principalId"] == f"key:{everybody.partition('.')[0]}"
    assert stat.S_IMODE((tmp_path / "header").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "two words", f'server = "a:1"\nkey = "{SECRET}"\n'])
def test_a_file_with_more_than_a_key_makes_no_header(text: str, tmp_path: Path) -> None:
    (script,) = (block.partition("curl ")[0] for block in blocks(PAGE, "sh") if "> header" in block)
    (tmp_path / "key").write_text(text)
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert SECRET not in done.stderr
    assert not (tmp_path / "header").exists()


def test_the_query_of_the_page_gets_the_info_of_the_server(tmp_path: Path) -> None:
    (query,) = re.findall(r"`(\?encoding=[^`]*)`", PAGE)
    with running(tmp_path / "data") as server, web(server.address) as site:
        assert site.ask("GET", f"/fr_api.v1.ServerService/GetServerInfo{query}").json["version"]


def test_the_refusal_has_the_shape_that_is_shown() -> None:
    (shown,) = (json.loads(block) for block in blocks(PAGE, "json"))
    assert set(shown) == {"code", "message", "details"}
