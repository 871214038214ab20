"""Texts and files from other people are read within limits that nothing evades; ids have one form."""

from __future__ import annotations

import csv
import json
import os
import tomllib
import unicodedata
from pathlib import Path

import pytest

from fr_core.id_forms import MAX_COMPOSED, composed, forms_of
from fr_core.reading import (
    MAX_DEPTH,
    MAX_KEY_PARTS,
    MAX_LINE,
    MAX_MARKS,
    MAX_WORD,
    TextRefused,
    bounded_lines,
    open_regular,
    open_rows,
    read_json,
    read_toml,
    read_whole,
)

MOST = 100_000
DOTTED = ".".join("k" * (MAX_KEY_PARTS + 1)) + " = 1"

# Ways to write what the bounds are not about, after which a dotted key that is too long must still be seen.
BEFORE = (
    's = "a.b.c.d.e.f.g.h.i # [[[["',
    "s = 'a.b.c.d.e.f.g.h.i'",
    's = """a.b.c.d.e.f.g.h.i\n"quoted" ""twice"" \\""" \\\\"""',
    's = """ends with one"""" # and a comment',
    's = """ends with two"""""',
    "s = '''a.b.c.d.e.f.g.h.i\n'one' ''two'''''",
    "s = ''''one'''",
    's = "\\"" # "',
    's = "\\\\"',
    '# \'\'\' """ "',
    '"a.b.c.d.e.f.g.h.i" = 1',
    "'a.b.c.d.e.f.g.h.i' = 1",
    '"" = 1',
    "'' = 1",
    's = ["""a""", \'b\', "c"]',
    's = {a = "}", b = 1}',
    "d = 1979-05-27T07:32:00.5-07:00",
)


@pytest.mark.parametrize("before", BEFORE)
def test_no_dotted_key_hides_behind_a_string_or_a_comment(before: str) -> None:
    assert read_toml(before, MOST) == tomllib.loads(before)
    tomllib.loads(f"{before}\n{DOTTED}")
    with pytest.raises(TextRefused, match=f"a key has more than {MAX_KEY_PARTS} parts"):
        read_toml(f"{before}\n{DOTTED}", MOST)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DOTTED, "a key has more than"),
        (DOTTED.replace(".", " . "), "a key has more than"),
        (DOTTED.replace("k", '"k"'), "a key has more than"),
        (f"[{DOTTED[:-4]}]", "a key has more than"),
        (f"[[{DOTTED[:-4]}]]", "a key has more than"),
        (f"a = {{{DOTTED}}}", "a key has more than"),
        ("a = " + "[" * (MAX_DEPTH + 1), "nested deeper"),
        ("a = " + "{b = " * (MAX_DEPTH + 1), "nested deeper"),
        ("a = 0x" + "f" * MAX_WORD, "more than 200 characters"),
        ("a" * (MAX_WORD + 1) + " = 1", "more than 200 characters"),
        ("a = [" + "1, " * MAX_MARKS + "]", "more than 10,000 keys and values"),
        ("[a]\n" * MAX_MARKS + "b = 1", "more than 10,000 keys and values"),
        ("#" * (MOST + 1), "it has more than 100,000 bytes"),
        ("é" * (MOST // 2 + 1), "it has more than 100,000 bytes"),
        ("a = ", "Invalid value"),
        ("'" + "a" * 50_000 + "' = 1\n" + "'" + "a" * 49_000 + "' = ", "Invalid value|more than"),
    ],
)
def test_toml_beyond_the_bounds_is_refused(text: str, says: str) -> None:
    with pytest.raises(TextRefused, match=says) as refused:
        read_toml(text, MOST)
    assert len(str(refused.value)) <= 200


def test_toml_of_the_repository_is_read_as_python_reads_it() -> None:
    found = [path for path in Path(__file__).resolve().parents[2].rglob("*.toml") if ".venv" not in path.parts]
    assert len(found) > 20
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert read_toml(text, MOST) == tomllib.loads(text), path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * (MAX_DEPTH + 1), "nested deeper"),
        (b'["\\"", "]", ' + b"[" * MAX_DEPTH, "nested deeper"),
        (b" " * (MOST + 1), "it has more than 100,000 bytes"),
        (b"[1,1,1,1]", "more than 3 values"),
    ],
)
def test_json_is_bounded_before_it_is_parsed(text: bytes, says: str) -> None:
    with pytest.raises(TextRefused, match=says):
        read_json(text, MOST, most_values=3 if "values" in says else 1_000)
    for within in (b'{"a":[1,2]}', b'["[[[[[[[,,,,,,,{{{{"]'):
        assert read_json(within, MOST, most_values=3) == json.loads(within)


def test_json_that_is_none_is_told_as_python_tells_it() -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(b"{", MOST)
    with pytest.raises(UnicodeDecodeError):
        read_json(b"\xff", MOST)
    with pytest.raises(ValueError, match="hook"):
        read_json(b"[NaN]", MOST, parse_constant=lambda name: (_ for _ in ()).throw(ValueError("hook")))


def test_only_regular_files_are_opened_and_no_more_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(odd)
    with open_regular(link) as opened:
        assert opened.read() == b"12345"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(link, follow=False)
    assert read_whole(file, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_whole(file, 4)
    monkeypatch.delattr(os, "O_NONBLOCK")  # as on systems with fewer flags
    monkeypatch.delattr(os, "O_CLOEXEC")
    assert read_whole(file, 5) == b"12345"


def test_a_line_of_csv_without_an_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("a,b\r\n1,2\r\n", encoding="utf-8-sig")
    with open_rows(file) as rows:
        assert list(rows) == [["a", "b"], ["1", "2"]]
    file.write_text("a\n" + "b" * (MAX_LINE + 1))
    with file.open() as lines, pytest.raises(csv.Error, match="a line has more than"):
        list(bounded_lines(lines))


def test_an_id_has_one_form() -> None:
    nfc, nfd = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    assert composed(nfd) == composed(nfc) == nfc != nfd
    assert (forms_of(nfd), forms_of(nfc), forms_of("Ann")) == ((nfd, nfc), (nfc, nfd), ("Ann",))
    for endless in ("a" + "\u0323\u0301" * MAX_COMPOSED, "a" + "\u0301\u0323" * 16):
        assert (composed(endless), forms_of(endless)) == (endless, (endless,))
