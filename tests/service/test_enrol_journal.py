"""`fr enrol` with a journal, with a list of refused photos, and with a report of similar subjects."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fr_client import Client
from support.servers import Fr, Running, photo

Enrol = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def enrol(fr: Fr) -> Enrol:
    """A function that runs `fr enrol team ... --json`: exit status, what it printed, standard error."""

    def run(*words: object) -> tuple[int, Any, str]:
        status, printed, errors = fr("enrol", "team", *words, "--json")
        return status, json.loads(printed), errors

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three subjects with four photos, of which one has no face."""
    folder = tmp_path / "people"
    for name, blues in {"ada": (1, 2), "grace": (3,)}.items():
        (folder / name).mkdir(parents=True)
        for blue in blues:
            (folder / name / f"{blue}.png").write_bytes(photo(blue))
    (folder / "grace" / "empty.png").write_bytes(photo())
    return folder


@pytest.fixture
def sent(server: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    enrol_many = Client.enrol_many

    def watched(self: Client, gallery_id: str, faces: Any, **options: Any) -> Any:
        def noted() -> Iterator[Any]:
            for item in faces:
                names.append(item.subject_id)
                yield item

        return enrol_many(self, gallery_id, noted(), **options)

    monkeypatch.setattr(Client, "enrol_many", watched)
    return names


def counts(told: Any) -> tuple[int, int, int]:
    return told["stored"], told["already_enrolled"], told["refused"]


def test_a_second_run_sends_only_what_is_new_or_has_changed(
    sent: list[str], enrol: Enrol, people: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "team.journal"
    code, told, _ = enrol(people, "--create", "--journal", journal)
    assert (code, counts(told), len(sent)) == (3, (3, 0, 1), 4)
    sent.clear()
    code, again, _ = enrol(people, "--journal", journal)
    assert (code, counts(again), sent) == (3, (0, 3, 1), [])
    assert again["refusals"] == told["refusals"]

    (people / "ada" / "9.png").write_bytes(photo(9))
    (people / "ada" / "1.png").write_bytes(photo(7))
    os.utime(people / "ada" / "2.png", ns=(1, 1))
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told), sent) == (3, (2, 2, 1), ["ada", "ada", "ada"])
    sent.clear()
    assert counts(enrol(people, "--journal", journal)[1]) == (0, 4, 1)
    assert sent == []


def test_refused_photos_are_sent_again_only_where_asked_for(
    sent: list[str], enrol: Enrol, people: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "team.journal"
    enrol(people, "--create", "--journal", journal)
    sent.clear()
    code, told, _ = enrol(people, "--journal", journal, "--retry-refused")
    assert (code, counts(told), sent) == (3, (0, 3, 1), ["grace"])


def test_a_run_that_was_stopped_goes_on_where_it_was(
    sent: list[str], enrol: Enrol, server: Running, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "team.journal"
    real = server.app.galleries.enrol
    calls: list[None] = []

    def fails_later(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) > 2:
            raise RuntimeError("a defect")
        return real(*arguments)

    monkeypatch.setattr(server.app.galleries, "enrol", fails_later)
    code, told, _ = enrol(people, "--create", "--journal", journal, "--in-flight", 1)
    assert (code, counts(told)) == (3, (2, 0, 2))
    assert {one["reason"] for one in told["refusals"]} == {"INTERNAL", "NO_FACE"}
    monkeypatch.undo()
    monkeypatch.setenv("FR_SERVER", server.address)
    # A failure of the server is no finding about a photo: it is sent again, and the photo without a face is not.
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told)) == (3, (1, 2, 1))


def test_a_journal_of_a_gallery_that_was_deleted_and_made_again_is_refused(
    enrol: Enrol, server: Running, people: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "team.journal"
    enrol(people, "--create", "--journal", journal)
    with Client(server.address) as client:
        client.delete_gallery("team")
    code, told, error = enrol(people, "--create", "--journal", journal)
    assert (code, told["error"]["reason"]) == (1, "JOURNAL_OTHER")
    assert "Each gallery needs its own" in error
    with Client(server.address) as client:
        assert client.get_gallery("team").template_count == 0


def test_photos_of_a_lost_journal_are_not_enrolled_twice(
    enrol: Enrol, server: Running, people: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "team.journal"
    enrol(people, "--create", "--journal", journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]))  # what the disk had not yet when the power failed
    code, told, _ = enrol(people, "--journal", journal)
    assert (code, counts(told)) == (3, (0, 3, 1))
    with Client(server.address) as client:
        assert client.get_gallery("team").template_count == 3


def test_similar_subjects_are_listed_as_leads(enrol: Enrol, fr: Fr, people: Path) -> None:
    (people / "ada again").mkdir()
    (people / "ada again" / "1.png").write_bytes(photo(1, width=420))
    (people / "grace" / "empty.png").unlink()
    code, told, _ = enrol(people, "--create", "--report-similar")
    assert (code, counts(told)) == (0, (4, 0, 0))
    (pair,) = told["similar_subjects"]
    assert pair["subject_ids"] == ["ada", "ada again"]
    assert pair["similarity"] == pytest.approx(1.0)
    (people / "ada again" / "2.png").write_bytes(photo(1, width=430))
    shown = fr("enrol", "team", people, "--report-similar")[1]
    assert "These subjects may be the same person: leads to check (1)." in shown
    assert "ada again" in shown
    assert "similar_subjects" not in enrol(people)[1]


def test_photos_that_were_erased_since_are_told_and_not_sent_again(
    sent: list[str], enrol: Enrol, server: Running, people: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "team.journal"
    (people / "grace" / "empty.png").unlink()
    assert enrol(people, "--create", "--journal", journal)[0] == 0
    assert enrol(people, "--journal", journal)[0] == 0
    with Client(server.address) as client:
        client.erase_subject("team", "ada")
    sent.clear()
    code, told, error = enrol(people, "--journal", journal)
    assert (code, counts(told), sent) == (3, (0, 3, 0), [])
    assert (
        "2 or more photos that the journal lists as stored were deleted since; this run does not send them again."
        in error
    )
