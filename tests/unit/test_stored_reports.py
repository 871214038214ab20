"""Reports that are kept: whole or not at all, the newest first; and the photos inside their pages."""

import base64
import errno
import fcntl
import io
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

import fr_evaluation.stored
from fr_bench.cli import evaluate
from fr_core.errors import CallEnded, StorageLow, StoreCorrupt, StoreFailed, UnknownReport
from fr_core.imaging import ImageLimits
from fr_core.types import ModelId
from fr_datasets.manifests import load_manifest, parse_manifest
from fr_evaluation.files import NAMES
from fr_evaluation.hardest import BOX, thumbnail
from fr_evaluation.stored import SUMMARY_NAME, KeptReport, Reports, Summary
from fr_evaluation.verification.page import page
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.write import write_report
from support.evaluations import cancelled_call, verified_set
from support.photos import engine, face

MODEL = ModelId("null", "1", "0" * 64)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
FILES = {"report.json": b"{}", "scores.csv": b"a\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "reports"


@pytest.fixture
def reports(folder: Path) -> Reports:
    return Reports(folder)


def kept(reports: Reports, later_s: float = 0.0, dataset: str = "lfw_funneled") -> KeptReport:
    moment = NOW + timedelta(seconds=later_s)
    return reports.keep(Summary("verification", dataset, MODEL, moment, "1.0", "All is well."), FILES)


def read(reports: Reports, report_id: str, name: str) -> tuple[KeptReport, bytes]:
    report, file = reports.open(report_id, name)
    with file:
        return report, file.read()


def test_a_report_is_read_as_it_was_kept_by_its_owner_alone(reports: Reports, folder: Path) -> None:
    report = kept(reports)
    assert report.report_id.startswith("20260102-030405-678-verification-lfw-funneled-")
    assert read(reports, report.report_id, "scores.csv") == (report, b"a\n")
    modes = {path: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_lists_go_from_the_newest_to_the_oldest_and_leave_damaged_ones_out(reports: Reports, folder: Path) -> None:
    assert reports.page("", 10).reports == ()
    first, second, third = (kept(reports, seconds) for seconds in (0.0, 0.5, 3600.0))
    page = reports.page("", 2)
    assert (page.reports, page.more) == ((third, second), True)
    assert reports.page(second.report_id, 2).reports == (first,)
    (folder / second.report_id / SUMMARY_NAME).write_text('{"format": 1}')
    page = reports.page("", 2)
    assert (page.reports, page.more, page.damaged) == ((third, first), False, 1)


def test_a_report_is_deleted_even_if_damaged_while_others_read_it(reports: Reports, folder: Path) -> None:
    first, second = kept(reports), kept(reports, 1.0)
    _, file = reports.open(first.report_id, "scores.csv")
    reports.delete(first.report_id)
    with file:
        assert file.read() == b"a\n"
    lose(folder / second.report_id / SUMMARY_NAME)
    reports.delete(second.report_id)
    assert list(folder.iterdir()) == []
    for report_id in (first.report_id, "../secret", ""):
        with pytest.raises(UnknownReport):
            reports.delete(report_id)


def test_undeleted_reports_are_removed_later(reports: Reports, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "no")

    report = kept(reports)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", refuse)
        with pytest.raises(StoreFailed):
            reports.delete(report.report_id)
    assert reports.page("", 10).reports == ()
    reports.remove_leftovers()
    assert list(folder.iterdir()) == []


def test_a_report_deleted_while_it_is_opened_is_unknown(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    report = kept(reports)
    opened = os.open

    def deleted(path: Any, *how: Any, **more: Any) -> int:
        number = opened(path, *how, **more)
        if Path(path).name == SUMMARY_NAME:
            reports.delete(report.report_id)
        return number

    monkeypatch.setattr(os, "open", deleted)
    with pytest.raises(UnknownReport):
        reports.open(report.report_id, "report.json")


def test_a_report_without_room_is_not_kept(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(folder, reserve_bytes=2**20)
    full = {"f_bavail": 2**20 + 1, "f_frsize": 1, "f_blocks": 2**40}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**full))
    reports.require_room()
    with pytest.raises(StorageLow, match="nearly full"):
        kept(reports)
    assert not (tmp_path / "data").exists()
    full["f_bavail"] -= 1
    with pytest.raises(StorageLow):
        reports.require_room()
    full["f_blocks"] = 8  # a small disk keeps an eighth of itself
    reports.require_room()


def lose(path: Path) -> None:
    path.unlink()


def change(path: Path) -> None:
    path.write_bytes(b"[1]")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def inside_out(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.timeout(20)  # a pipe would be waited for
@pytest.mark.parametrize("name", [SUMMARY_NAME, "report.json"])
@pytest.mark.parametrize("damage", [lose, change, pipe, link, inside_out])
def test_damage_is_told(reports: Reports, folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    report = kept(reports)
    damage(folder / report.report_id / name)
    with pytest.raises(StoreCorrupt):
        reports.open(report.report_id, "report.json")
    page = reports.page("", 10)
    assert len(page.reports) + page.damaged == 1
    reports.delete(report.report_id)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ('"format": 1', '"format": ' + "[" * 20_000),
        ('"format": 1', '"format": 1' + " " * 2**16),
        ('"format": 1', '"format": ' + "1" * 5_000),
        ("2026-01-02T03:04:06.678000+00:00", "0001-01-01T00:00:00+14:00"),
        ("2026-01-02T03:04:06.678000+00:00", "2026-01-02T03:04:05"),
        ("All is well.", "\\ud800"),
        ("lfw_funneled", "\\udcff"),
        ("scores.csv", "../secret"),
        ('"scores.csv": "', '"scores.csv": "x'),
    ],
)
def test_a_false_summary_leaves_the_others_listed(reports: Reports, folder: Path, this: str, that: str) -> None:
    whole, damaged = kept(reports), kept(reports, 1.0)
    path = folder / damaged.report_id / SUMMARY_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(this, that), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    page = reports.page("", 10)
    assert (page.reports, page.damaged) == ((whole,), 1)
    with pytest.raises(StoreCorrupt, match="Delete a damaged report"):
        reports.open(damaged.report_id, "report.json")


@pytest.mark.timeout(20)
def test_what_is_no_folder_is_deleted_and_not_waited_for(reports: Reports, folder: Path) -> None:
    report_id = kept(reports).report_id
    shutil.rmtree(folder / report_id)
    os.mkfifo(folder / report_id)
    os.mkfifo(folder / ".new-0")
    reports.remove_leftovers()
    assert reports.page("", 10).damaged == 1
    reports.delete(report_id)
    assert [path.name for path in folder.iterdir()] == [".new-0"]


@pytest.mark.parametrize(
    "report_id", ["", "..", "../secret", "20260102-030405-678-verification-lfw-0123456", "/etc", "a\0b", "."]
)
def test_what_is_no_id_never_becomes_a_path(reports: Reports, tmp_path: Path, report_id: str) -> None:
    kept(reports)
    (tmp_path / "data" / "secret").mkdir()
    with pytest.raises(UnknownReport, match="form"):
        reports.open(report_id, "report.json")


def test_a_report_or_a_file_that_is_not_there_is_unknown(reports: Reports) -> None:
    report = kept(reports)
    for report_id, name in (
        (report.report_id, "report.html"),
        (report.report_id, SUMMARY_NAME),
        (report.report_id, "../secret"),
        ("20260102-030405-678-verification-lfw-01234567", "report.json"),
    ):
        with pytest.raises(UnknownReport):
            reports.open(report_id, name)


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StorageLow), (errno.EIO, StoreFailed)])
def test_a_report_that_cannot_be_written_leaves_nothing(
    reports: Reports, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, "no")

    folder.mkdir(parents=True)
    monkeypatch.setattr(fr_evaluation.stored, "sync", refuse)
    with pytest.raises(error):
        kept(reports)
    assert list(folder.iterdir()) == []


def test_a_report_of_a_call_that_has_ended_is_not_kept(reports: Reports, folder: Path) -> None:
    with cancelled_call(), pytest.raises(CallEnded):
        kept(reports)
    assert list(folder.iterdir()) == []


def test_leftovers_of_dead_writers_are_removed(reports: Reports, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports.remove_leftovers()  # of no folder at all
    left = folder / ".new-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "report.json").write_bytes(b"{")
    synced = os.fsync
    seen: list[list[str]] = []

    def look(handle: int) -> None:
        reports.remove_leftovers()
        seen.append([path.name for path in folder.iterdir()])
        synced(handle)

    monkeypatch.setattr(os, "fsync", look)
    report = kept(reports)
    assert len(seen[0]) == 1  # that which is being written
    assert [path.name for path in folder.iterdir()] == [report.report_id]


def test_a_writer_without_its_folder_makes_one(reports: Reports, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, locked = os.open, fcntl.flock
    taken = {"open": 0, "lock": 0}

    def take(when: str) -> None:
        taken[when] += 1
        if taken[when] == 1:
            (new,) = folder.iterdir()
            new.rmdir()

    def late_open(path: Any, flags: int, *more: Any) -> int:
        if Path(path).name.startswith(".new-"):
            take("open")
        return opened(path, flags, *more)

    def late_lock(handle: int, how: int) -> None:
        take("lock")
        locked(handle, how)

    folder.mkdir(parents=True)
    monkeypatch.setattr(os, "open", late_open)
    monkeypatch.setattr(fcntl, "flock", late_lock)
    report = kept(reports)
    assert taken["lock"] == 2
    assert read(reports, report.report_id, "report.json") == (report, b"{}")


def test_a_new_folder_is_durable(reports: Reports, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(fr_evaluation.stored, "sync", synced.append)
    kept(reports)
    assert synced[:2] == [folder.parent.parent, folder.parent]
    assert synced[-1] == folder


IMAGE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)">')


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> VerificationReport:
    """Of pairs whose labels are all wrong, so that all are among the hardest."""
    root = tmp_path_factory.mktemp("mine")
    for number in range(6):
        face(root / f"Ada Lovelace {number}.png", 40 * number)
    lines = ["a,b,mated"] + [f"Ada Lovelace {n}.png,Ada Lovelace {n + 1}.png,1" for n in range(5)]
    (root / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return verified_set("pairs_csv", root)


def allowed(report: VerificationReport) -> VerificationReport:
    """The same of a set whose manifest allows that its photos are shown."""
    manifest = replace(report.dataset.manifest, shows_photos=True)
    return replace(report, dataset=replace(report.dataset, manifest=manifest))


def test_photos_of_allowed_sets(report: VerificationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (page(report), page(allowed(report), thumbnails=False)):
        assert "data:" not in text
        assert "<img" not in text
        assert "No photos are shown" in text
    for text in (page(allowed(report)), page(report, thumbnails=True)):
        assert [alt for _, alt in IMAGE.findall(text)] == ["first photo", "second photo"] * 5
        assert "No photos are shown" not in text
        assert len(text) < 1_000_000
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *arguments: engine())
    arguments = ["verification", "--dataset", "pairs_csv", "--root", str(report.dataset.root), "--out", str(tmp_path)]
    result = CliRunner().invoke(evaluate, [*arguments, "--json", "--thumbnails"])
    assert result.exit_code == 0, result.output
    assert IMAGE.search((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_a_report_replaces_the_one_before_for_its_owner_alone(report: VerificationReport, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = write_report(replace(report, calibration=None), out)
    assert {file.name for file in files} <= NAMES
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    out.chmod(0o755)
    for name in ("calibration.json", "cmc.png", "mine.txt"):
        (out / name).write_bytes(b"of an earlier report")
    (out / "report.json").chmod(0o644)
    write_report(replace(report, calibration=None), out)
    assert {path.name for path in out.iterdir()} == {file.name for file in files} | {"mine.txt"}
    assert stat.S_IMODE((out / "report.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(out.stat().st_mode) == 0o755


def test_failed_write_keeps_file(report: VerificationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.json").write_bytes(b"before")
    (tmp_path / "scores.csv").write_bytes(b"before")

    def refuse(handle: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no"):
        write_report(report, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "report.json": b"before",
        "scores.csv": b"before",
    }


def test_a_thumbnail_is_small_upright_and_has_no_exif(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    tags = PIL.Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Secret Camera"  # turned by 90 degrees; make
    noise = np.random.default_rng(1).integers(0, 256, (600, 1500, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(path, exif=tags, quality=95)
    uri = thumbnail(path, ImageLimits())
    assert uri is not None
    data = base64.b64decode(uri.partition(",")[2])
    small = PIL.Image.open(io.BytesIO(data))
    assert (small.format, small.width < small.height, small.height) == ("JPEG", True, BOX[1])
    assert not small.getexif()
    assert b"Secret" not in data
    assert len(data) < 10_000
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    assert thumbnail(tmp_path / "broken.jpg", ImageLimits()) is None
    assert thumbnail(tmp_path / "lfw.bin" / "1", ImageLimits()) is None
    assert thumbnail(tmp_path, ImageLimits()) is None  # no file
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    assert thumbnail(tmp_path / "circle.jpg", ImageLimits()) is None  # not to be opened


def test_only_photos_with_consent_are_shown_unasked() -> None:
    assert load_manifest("london").shows_photos
    assert not any(load_manifest(name).shows_photos for name in ("lfw", "deepface", "pairs_csv", "insightface_bins"))
    text = "\n".join(f'{key} = "x"' for key in ("name", "title", "licence", "terms", "citation", "layout", "by_hand"))
    assert parse_manifest(f"{text}\nshows_photos = true").shows_photos
    with pytest.raises(ValueError, match="valid boolean"):
        parse_manifest(f'{text}\nshows_photos = "yes"')
