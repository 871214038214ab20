"""`fr dataset`: what it prints, where, and with which exit status; its manifests; and each command of its guide."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_datasets.catalogue import READERS
from fr_datasets.cli import dataset
from fr_datasets.errors import DatasetError, DatasetUnknown
from fr_datasets.exit_status import printable
from fr_datasets.links import MAX_BYTES, Link, datasets_folder, find_link, read_links, write_link
from fr_datasets.manifests import RemoteFile, load_manifest, manifest_names, parse_manifest
from support.evaluations import lay_out

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"
CLOSED = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Away from the user's own links, and from the network."""
    monkeypatch.setenv("FR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("http_proxy", CLOSED)
    monkeypatch.setenv("https_proxy", CLOSED)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dataset, list(arguments))


# People, pairs and a part of LFW, where the guide has them.
HERE = {
    **dict.fromkeys(("people/Ada/1.jpg", "people/Bo/1.jpg", "mine/a.jpg", "mine/b.jpg"), ""),
    **dict.fromkeys((f"lfw/images/{name}.jpg" for name in ("Ada/Ada_0001", "Ada/Ada_0002", "Bo/Bo_0001")), ""),
    "mine/pairs.csv": "a,b,mated\na.jpg,b.jpg,0\n",
    "lfw/pairs.txt": "1\t1\nAda\t1\t2\nAda\t1\tBo\t1\n",
}


@pytest.mark.parametrize("folder", ["/data/" + "x" * 150, "/data/a[/b]", "/data/\x1b[2J\x9b1m\n"])
def test_the_list_shows_whole_names_when_narrow(home: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    write_link("lfw", Link(Path(folder)), home / "datasets")
    shown = run("list")
    assert shown.exit_code == 0, shown.exception
    rows = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in shown.stdout.splitlines()]
    rows = [row for row in rows if len(row) == 4]
    assert set(manifest_names()) <= {row[0] for row in rows}
    assert "".join(row[3] for row in rows) == printable(folder)
    assert f"root: {printable(folder)}\n" in run("show", "lfw").stdout


def test_list_and_info_tell_terms_counts_files_and_the_folder() -> None:
    rows = json.loads(run("list", "--json").stdout)["datasets"]
    assert [row["dataset"] for row in rows] == list(manifest_names()) == list(READERS)
    assert all(row["terms"] and row["licence"] and row["root"] is None for row in rows)
    assert {row["dataset"] for row in rows if row["fetchable"]} == {"lfw", "lfw_funneled", "lfw_original"}
    shown = run("show", "lfw").stdout
    for word in ("commercial", "Huang", "6,000 pairs", "13,233 photos", "md5:68331da3", "by hand", "pairsDevTrain.txt"):
        assert word in shown
    row = json.loads(run("show", "cfp", "--json").stdout)
    assert (row["dataset"], row["files"], row["counts"]["mated"]) == ("cfp", [], 3500)
    assert "files: none" in run("show", "cfp").stdout


def test_a_linked_set_is_remembered_and_verified(tmp_path: Path) -> None:
    result = run("verify", "people_folder")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("DATASET_NOT_LINKED: ")
    assert "fr dataset link people_folder --root DIR" in result.stderr
    lay_out(tmp_path, HERE)
    linked = run("link", "people_folder", "--root", "people", "--json")
    expected = {"dataset": "people_folder", "root": str(tmp_path / "people"), "counts": {"people": 2, "photos": 2}}
    assert json.loads(linked.stdout) == expected
    assert json.loads(run("verify", "people_folder", "--json").stdout) == expected
    assert run("verify", "people_folder").stdout == f"people_folder: 2 people, 2 photos in {tmp_path / 'people'}\n"
    rows = json.loads(run("list", "--json").stdout)["datasets"]
    assert [row["root"] for row in rows if row["root"]] == [str(tmp_path / "people")]


def test_a_part_of_a_set_is_linked_only_as_a_part(tmp_path: Path) -> None:
    lay_out(tmp_path, HERE)
    refused = run("link", "lfw", "--root", "lfw")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "CHECKSUM_MISMATCH")
    assert "--partial" in refused.stderr
    assert read_links(datasets_folder()) == {}
    assert run("link", "lfw", "--root", "lfw", "--partial").exit_code == 0
    assert find_link("lfw", datasets_folder()) == Link(tmp_path / "lfw", partial=True)
    assert run("verify", "lfw").exit_code == 0


def test_a_root_one_folder_too_high_names_the_right_one(tmp_path: Path) -> None:
    lay_out(tmp_path, HERE)
    for name, folder in (("lfw", "lfw"), ("pairs_csv", "mine")):
        told = run("link", name, "--root", ".").stderr
        assert told.startswith("DATASET_MISSING: ")
        assert f"Did you mean the folder {tmp_path / folder}?" in told
        assert f"`fr dataset show {name}` shows how its folder must look" in told


def test_a_count_at_odds_with_the_manifest_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a.jpg": "", "b.jpg": "", "agedb_30_pair.txt": "a.jpg b.jpg 1\n"})
    result = run("verify", "agedb30", "--root", ".")
    assert (result.exit_code, result.stderr.partition(":")[0]) == (1, "DATASET_INCOMPLETE")
    assert "1 pairs of 6000, 1 mated of 3000" in result.stderr


def test_links_of_any_name_come_back(home: Path) -> None:
    odd = '/a "b"\\c\n\x7f\x9b\u00e9\U0001f600'
    links = {"lfw": Link(Path(odd), True), "cfp": Link(Path("/x")), "foo bar": Link(Path("/z"))}
    for name, link in links.items():
        write_link(name, link, home)
    write_link("cfp", Link(Path("/y")), home)
    with pytest.raises(DatasetError, match="cannot be remembered"):  # its name is no text
        write_link("lfw", Link(Path("/\udcff")), home)
    assert read_links(home) == links | {"cfp": Link(Path("/y"))}
    assert [path.name for path in home.iterdir()] == ["links.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "[lfw",
        "lfw = 1",
        "[lfw]\nroot = 1\npartial = true",
        '[lfw]\nroot = "/x"',
        '[lfw]\nroot = "/x"\npartial = "no"',
        'lfw = ["/x"]',
        f"lfw = {'[' * 5000}",
        "#" * (MAX_BYTES + 1),
        "\xff",
    ],
    ids=range(9),
)
def test_broken_links_are_told_and_not_replaced(home: Path, text: str) -> None:
    home.mkdir()
    (home / "links.toml").write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match="link the data sets again"):
        write_link("cfp", Link(Path("/x")), home)
    assert (home / "links.toml").read_text(encoding="latin-1") == text


def test_without_a_terminal_the_terms_must_be_accepted_by_an_option(home: Path) -> None:
    result = run("fetch", "lfw")
    assert (result.exit_code, result.stdout, home.exists()) == (1, "", False)
    for words in ("TERMS_NOT_ACCEPTED: ", "Terms: Public research benchmark"):
        assert words in result.stderr
    told = run("fetch", "cfp")  # which cannot be fetched, and asks for no terms
    assert told.exit_code == 1
    assert told.stderr.startswith("FETCH_FAILED: cfp cannot be fetched. To place it by hand: ")


@pytest.mark.parametrize(("answer", "code"), [("n", "TERMS_NOT_ACCEPTED"), ("y", "FETCH_FAILED")])
def test_on_a_terminal_the_terms_are_asked_for(answer: str, code: str) -> None:
    ours, theirs = pty.openpty()
    program = "from fr_datasets.cli import dataset; dataset(prog_name='fr dataset')"
    command = [sys.executable, "-c", program, "fetch", "lfw"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, f"{answer}\n".encode())
        _, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, "Do you accept these terms?" in errors, f"{code}: " in errors) == (1, True, True)


MANIFEST = """
name = "x"
title = "X"
licence = "CC0"
terms = "Free."
citation = "X et al."
layout = "a.txt"
by_hand = "Ask."
[counts]
pairs = 2
[[files]]
path = "a.txt"
sources = ["https://example.org/a.txt"]
checksum = "md5:0123456789abcdef0123456789abcdef"
"""


def test_a_manifest_says_what_can_be_fetched() -> None:
    manifest = parse_manifest(MANIFEST)
    assert (manifest.title, manifest.counts) == ("X", {"pairs": 2})
    checksum = "md5:0123456789abcdef0123456789abcdef"
    assert manifest.files == (RemoteFile("a.txt", ("https://example.org/a.txt",), checksum),)
    assert [load_manifest(name).name for name in manifest_names()] == list(manifest_names())
    with pytest.raises(DatasetUnknown, match="lwf"):
        load_manifest("lwf")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "X"', 'title = "X"\nurl = "x"'),
        ("terms =", "term ="),
        ('"X"', '" "'),
        ('"CC0"', "0"),
        ("pairs = 2", "pairs = 0"),
        ("pairs = 2", "pairs = true"),
        ("md5:01", "md5:1"),
        ("md5:01", "crc:01"),
        ("https://example.org", "file://"),
        ('["https://example.org/a.txt"]', "[]"),
        ('path = "a.txt"', 'path = "../a.txt"'),
        ('path = "a.txt"', 'path = "b/a.txt"'),
        ('path = "a.txt"', 'path = "."'),
        ("checksum =", "sum ="),
    ],
)
def test_a_manifest_with_other_keys_or_values_is_refused(old: str, new: str) -> None:
    assert old in MANIFEST
    with pytest.raises(ValueError, match=r"validation errors? for Manifest"):
        parse_manifest(MANIFEST.replace(old, new))


def test_each_command_of_the_guide_runs(tmp_path: Path) -> None:
    lay_out(tmp_path, HERE)
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line]
    assert {words[2] for words in commands} == {"list", "show", "fetch", "verify", "link"}
    assert all(f"| `{name}` |" in GUIDE.read_text() for name in manifest_names())
    for words in commands:
        assert words[:2] == ["fr", "dataset"]
        result = run(*words[2:])
        if words[2] == "fetch":  # there is no network here
            assert "FETCH_FAILED: " in result.stderr, words
        else:
            assert result.exit_code == 0, (words, result.stderr)
