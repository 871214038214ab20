"""Photos of the hardest pairs inside the page of a report: only where they may be shown, small, and without EXIF."""

from __future__ import annotations

import base64
import errno
import io
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.imaging import ImageLimits
from fr_datasets.manifests import load_manifest, parse_manifest
from fr_evaluation.files import NAMES
from fr_evaluation.hardest import BOX, thumbnail
from fr_evaluation.verification.page import page
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.write import write_report
from support.evaluations import verified_set
from support.photos import engine, face

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


def test_a_set_that_does_not_allow_it_shows_no_photo_and_says_so(report: VerificationReport) -> None:
    text = page(report)
    assert "data:" not in text
    assert "<img" not in text
    assert "No photos are shown" in text


def test_a_set_that_allows_it_shows_both_photos_of_each_pair_without_names(report: VerificationReport) -> None:
    text = page(allowed(report))
    alts = [alt for _, alt in IMAGE.findall(text)]
    assert alts == ["first photo", "second photo"] * 5
    assert "No photos are shown" not in text
    assert len(text) < 1_000_000


def test_what_is_asked_for_goes_before_the_manifest(report: VerificationReport) -> None:
    assert IMAGE.search(page(report, thumbnails=True))
    assert "data:" not in page(allowed(report), thumbnails=False)


def test_the_command_passes_on_what_is_asked_for(
    report: VerificationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_core.engine.open_engine", lambda *arguments: engine())
    arguments = ["verification", "--dataset", "pairs_csv", "--root", str(report.dataset.root), "--out", str(tmp_path)]
    result = CliRunner().invoke(evaluate, [*arguments, "--json", "--thumbnails"])
    assert result.exit_code == 0, result.output
    assert IMAGE.search((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_a_report_takes_the_place_of_the_one_before_for_its_owner_alone(
    report: VerificationReport, tmp_path: Path
) -> None:
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


def test_a_file_that_cannot_be_written_leaves_the_one_before(
    report: VerificationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
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
