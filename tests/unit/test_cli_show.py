"""How the command line shows things: JSON with every key, and text that cannot do harm to a terminal."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.gallery.search import print_search
from fr_client.cli.show import face_table, plain, print_json, shown, table


def printed(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(renderable)
    return out.getvalue()


def test_json_is_ascii_and_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Zoë 田"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"name": "Zoë 田"}


def test_text_from_outside_is_neither_markup_nor_a_command_to_the_terminal() -> None:
    rows = table("Subject")
    rows.add_row(plain("[red]x[/red] \x1b[31mred\x07\n田"))
    text = printed(rows)
    assert "[red]x[/red] \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}田" in text
    assert "\x1b" not in text


def test_a_path_that_is_no_utf8_can_be_shown() -> None:
    text = shown(Path(os.fsdecode(b"a\xff.jpg")))
    assert text == "a\N{REPLACEMENT CHARACTER}.jpg"
    text.encode()


def test_long_text_is_folded_rather_than_cut() -> None:
    rows = table("Why")
    rows.add_row(plain("x" * 500))
    assert printed(rows).count("x") == 500


def test_the_faces_of_a_photo_are_numbered_with_their_size_and_notes() -> None:
    face = common_pb2.Face(
        box=common_pb2.BoundingBox(left=10.4, top=20, right=70.4, bottom=100),
        score=0.876,
        quality=common_pb2.Quality(
            score=0.5,
            yaw=-31.2,
            reasons=[common_pb2.QUALITY_REASON_NOT_FRONTAL, common_pb2.QUALITY_REASON_TOO_SMALL],
        ),
    )
    last = printed(face_table([common_pb2.Face(), face])).splitlines()[-2].split()
    assert last[:7] == ["2", "10", "20", "60", "80", "0.88", "0.50"]
    assert "-31°" in last
    assert " ".join(last).endswith("not frontal, too small")


def test_a_search_is_printed_with_ranks_marks_and_the_notice(capsys: pytest.CaptureFixture[str]) -> None:
    near = gallery_pb2.Candidate(rank=1, subject_id="[x]", similarity=0.5, above_threshold=True, template_id=3)
    far = gallery_pb2.Candidate(rank=2, subject_id="y", similarity=0.25, template_id=4)
    answer = gallery_pb2.SearchResponse(
        results=[
            gallery_pb2.SearchResult(candidates=[near, far], decision=gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES),
            gallery_pb2.SearchResult(decision=gallery_pb2.SEARCH_DECISION_NO_CANDIDATE),
        ],
        threshold=0.5,
        notice="Leads, not identities.",
    )
    print_search("team", answer)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert " ".join(lines[0]) == "Face 1 of 2: 1 of 2 candidates is a lead at threshold 0.5000 in gallery team"
    assert ["1", "0.5000", "lead", "[x]", "3"] in lines
    assert ["2", "0.2500", "no", "lead", "y", "4"] in lines
    assert ["Face", "2", "of", "2:", "no", "lead", "at", "threshold", "0.5000", "in", "gallery", "team"] in lines
    assert lines[-1] == ["Leads,", "not", "identities."]


def test_a_fusion_that_only_a_newer_server_knows_is_told_in_a_plain_word(capsys: pytest.CaptureFixture[str]) -> None:
    print_search("team", gallery_pb2.SearchResponse(fusion=99, searched_templates=7))  # type: ignore[arg-type]
    out = " ".join(capsys.readouterr().out.split())
    assert "7 templates searched, those that a first scan picked compared exactly; " in out
    assert "the server fused those of a subject in a way that is newer than this command." in out
