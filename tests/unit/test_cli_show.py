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
from fr_client.cli.show import face_table, leads_text, pairs, plain, print_json, reason_text, shown, table, when
from fr_client.unpack import message_keys


def printed(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(renderable)
    return out.getvalue()


def test_json_has_every_field_under_its_own_name() -> None:
    keys = message_keys(gallery_pb2.SearchResult(candidates=[gallery_pb2.Candidate(rank=1, template_id=7)]))
    assert keys["decision"] == "SEARCH_DECISION_UNSPECIFIED"
    (candidate,) = keys["candidates"]
    assert set(candidate) == {
        "rank",
        "subject_id",
        "display_name",
        "metadata",
        "template_id",
        "similarity",
        "above_threshold",
    }
    assert candidate["above_threshold"] is False
    assert candidate["template_id"] == "7"
    assert "face" not in keys


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


def test_times_are_utc() -> None:
    subject = gallery_pb2.Subject()
    subject.create_time.FromJsonString("2026-01-02T03:04:05.678+02:00")
    assert when(subject.create_time) == "2026-01-02T01:04:05Z"


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


def test_a_quality_reason_of_a_newer_server_is_its_number() -> None:
    assert reason_text(common_pb2.Quality(reasons=[99])) == ["99"]  # type: ignore[list-item]


def test_pairs_are_plain_text() -> None:
    assert "Name [b]x[/b]" in printed(pairs([("Name", "[b]x[/b]")])).replace("  ", " ")


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


@pytest.mark.parametrize(
    ("leads", "listed", "said"),
    [
        (0, 0, "no lead"),
        (0, 1, "0 of 1 candidates are leads"),
        (1, 1, "1 of 1 candidates is a lead"),
        (0, 8, "0 of 8 candidates are leads"),
        (1, 8, "1 of 8 candidates is a lead"),
        (8, 8, "8 of 8 candidates are leads"),
    ],
)
def test_how_many_candidates_are_leads_is_counted(leads: int, listed: int, said: str) -> None:
    candidates = [gallery_pb2.Candidate(above_threshold=rank < leads) for rank in range(listed)]
    assert leads_text(gallery_pb2.SearchResult(candidates=candidates)) == said


def test_a_fusion_that_only_a_newer_server_knows_is_told_in_a_plain_word(capsys: pytest.CaptureFixture[str]) -> None:
    print_search("team", gallery_pb2.SearchResponse(fusion=99, searched_templates=7))  # type: ignore[arg-type]
    out = " ".join(capsys.readouterr().out.split())
    assert "7 templates searched, those that a first scan picked compared exactly; " in out
    assert "the server fused those of a subject in a way that is newer than this command." in out
