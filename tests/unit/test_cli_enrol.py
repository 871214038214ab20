"""How `fr enrol` tells how far it has come, and what its memory is made of."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from fr_api.v1 import gallery_pb2, server_pb2
from fr_client.cli import progress as progress_module
from fr_client.cli.files import refused_file
from fr_client.cli.gallery.enrol_log import EnrolLog
from fr_client.cli.gallery.enrol_run import Enrolment, Options
from fr_client.cli.gallery.photo_sources import PhotoFile
from fr_client.cli.progress import progress
from fr_client.cli.state import INTERRUPTED, SOME_REFUSED, Ending, Unusable
from fr_client.requests import EnrolItem


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("Enrolling", "photos", 1000, clock) as advance:
        for done in range(1, 251):
            clock.now += 0.125
            advance(done, done // 80)
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "Enrolling: 80 of 1,000 photos, 8.0/s, 0:01:55 left, 1 refused",
        "Enrolling: 160 of 1,000 photos, 8.0/s, 0:01:45 left, 2 refused",
        "Enrolling: 240 of 1,000 photos, 8.0/s, 0:01:35 left, 3 refused",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, clock = io.StringIO(), Clock()
    terminal = Console(file=shown, force_terminal=True, width=120)
    monkeypatch.setattr(progress_module, "console", lambda *, stderr: terminal)
    with progress("Enrolling", "photos", 1000, clock) as advance:
        clock.now += 10.0
        advance(500, 0)
    assert "500/1000" in shown.getvalue()
    assert "50.0/s, 0:00:10 left" in shown.getvalue()


def test_refused_rows_are_in_the_file_as_soon_as_they_are_told(tmp_path: Path) -> None:
    file = tmp_path / "refused.csv"
    with refused_file(file, ("row", "reason")) as write:
        write(("1", 'a "word", and\nmore'))
        assert file.read_text() == 'row,reason\n1,"a ""word"", and\nmore"\n'
    with refused_file(None, ("row",)) as write:
        write(("1",))
    with pytest.raises(Unusable, match="cannot be written"), refused_file(tmp_path / "none" / "r.csv", ("row",)):
        pass


class Enrolling:
    """A client whose server stores every photo; it keeps the answers, so that it can be told who else does."""

    def __init__(self) -> None:
        self.answers: list[gallery_pb2.EnrolResponse] = []

    def server_info(self) -> server_pb2.GetServerInfoResponse:
        return server_pb2.GetServerInfoResponse(limits=server_pb2.Limits(max_image_bytes=1000))

    def enrol_many(self, gallery_id: str, items: Iterable[EnrolItem], *, max_in_flight: int) -> Iterator[Any]:
        for number, item in enumerate(items):
            self.answers.append(gallery_pb2.EnrolResponse(subject_id=item.subject_id, template_id=number + 1))
            yield item.item_id, self.answers[-1]


def test_a_run_holds_no_answers_and_asks_nothing_of_an_empty_gallery(tmp_path: Path) -> None:
    photos = [PhotoFile(tmp_path / f"{number}.jpg", f"s{number % 500}") for number in range(1500)]
    for number, photo in enumerate(photos):
        photo.path.write_text(str(number))
    client, gallery = Enrolling(), gallery_pb2.Gallery(gallery_id="g")
    with EnrolLog(tmp_path / "j", gallery) as journal:
        run = Enrolment(client, gallery, Options(), journal)  # type: ignore[arg-type]
        run.run(run.left(photos))
    assert run.tally.stored == 1500
    alone = sys.getrefcount(next(iter([object()])))
    assert max(sys.getrefcount(answer) for answer in client.answers) <= alone + 2  # of the list and of the loop
    assert not run._sent
    with EnrolLog(tmp_path / "j", gallery) as journal:
        again = Enrolment(client, gallery, Options(), journal)  # type: ignore[arg-type]
        assert again.left(photos) == []
    assert again.tally.already == 1500


def test_a_run_tells_of_every_change_to_the_one_who_asked(tmp_path: Path) -> None:
    photos = [PhotoFile(tmp_path / f"{number}.jpg", "s") for number in range(3)]
    photos[0].path.write_text("0")
    photos[2].path.write_text("2")
    told: list[tuple[int, int]] = []
    run = Enrolment(Enrolling(), gallery_pb2.Gallery(gallery_id="g"), Options())  # type: ignore[arg-type]
    run.run(run.left(photos), lambda tally: told.append((tally.done, len(tally.refused))))
    assert told == [(1, 0), (2, 1), (3, 1)]


@pytest.mark.parametrize(
    ("stop", "some_refused", "status"),
    [
        (None, False, None),
        (None, True, SOME_REFUSED),
        (KeyboardInterrupt(), True, INTERRUPTED),
        (Unusable("NO_PHOTOS", "There is none."), True, 1),
    ],
)
def test_a_run_ends_with_the_status_that_it_has_earned(
    stop: BaseException | None, some_refused: bool, status: int | None
) -> None:
    ending = Ending()
    with ending.noted():
        if stop is not None:
            raise stop
    assert ending.early == (stop is not None)
    if status is None:
        ending.leave(some_refused)
        return
    with pytest.raises(typer.Exit) as caught:
        ending.leave(some_refused)
    assert caught.value.exit_code == status


def test_a_defect_in_a_run_is_not_noted_as_its_end() -> None:
    with pytest.raises(RuntimeError), Ending().noted():
        raise RuntimeError("a defect")
