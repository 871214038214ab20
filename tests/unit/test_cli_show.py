"""The command line shows answers as JSON, as harmless text and as pictures, and explains error rates."""

import io
import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client.cli.drawing import open_photo
from fr_client.cli.files import require_drawing, write_picture
from fr_client.cli.gallery.calibrations import print_calibration
from fr_client.cli.gallery.error_rates import answer_keys, evidence_text, rates_text
from fr_client.cli.gallery.pictures import (
    GOOD,
    GREY,
    MARGIN,
    MAX_CANDIDATES,
    MAX_SIDE,
    POOR,
    PROBE,
    SMALL,
    TILE,
    face_crop,
    faces_picture,
    find_photos,
    search_picture,
)
from fr_client.cli.show import number, plain, print_json, shown, table, waiting
from fr_client.cli.state import Unusable
from fr_core.scoring.intervals import rate as counted
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_trust.evidence.values import Bound, Figures
from fr_trust.evidence.words import of_both
from support.faults import until


def test_json_is_ascii_and_text_from_outside_commands_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Zoë 田"})
    out = capsys.readouterr().out
    assert (out.isascii(), json.loads(out)) == (True, {"name": "Zoë 田"})
    rows = table("Subject")
    rows.add_row(plain("[red]x[/red] \x1b[31mred\x07\n田"))
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(rows)
    text = console.export_text()
    assert "[red]x[/red] \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}田" in text
    assert "\x1b" not in text
    odd = shown(Path(os.fsdecode(b"a\xff.jpg")))
    assert (odd, odd.encode()) == ("a\N{REPLACEMENT CHARACTER}.jpg", b"a\xef\xbf\xbd.jpg")


def rate(value: float, low: float, high: float, **more: Any) -> common_pb2.ErrorRate:
    return common_pb2.ErrorRate(value=value, low=low, high=high, confidence=0.95, **more)


def rates(fmr: common_pb2.ErrorRate, fnmr: common_pb2.ErrorRate, **more: Any) -> common_pb2.ErrorRates:
    calibration = common_pb2.Calibration(source=common_pb2.CALIBRATION_SOURCE_PACK, dataset="lfw", people=844)
    return common_pb2.ErrorRates(fmr=fmr, fnmr=fnmr, calibration=calibration, **more)


def words(found: common_pb2.ErrorRates) -> list[str]:
    return list(rates_text(recognition_pb2.CompareResponse(error_rates=found)))


def test_no_number_for_people_has_an_exponent_or_a_sign_before_nothing() -> None:
    shown = {
        (1e6, "g"): "1000000",
        (12345678.0, "g"): "12345700",
        (1e-7, ".2g"): "0.0000001",
        (-0.00001, ".4f"): "0.0000",
        (-0.2, "+.0f"): "0",
        (0.2, "+.0f"): "0",
        (-3.0, "+.0f"): "-3",
        (-0.25, ".4f"): "-0.2500",
        (float("-inf"), "g"): "-inf",
    }
    assert {asked: number(*asked) for asked in shown} == shown
    limits = message("error.config.range", key="k", number=message("error.config.whole"), low=1, high=10**7)
    assert render(limits).endswith("from 1 to 10000000.")
    small = message("error.config.range", key="k", number=message("error.config.whole"), low=3.9e-5, high=1)
    assert render(small).endswith("from 0.000039 to 1.")
    assert render(
        message("error.config.range", key="k", number=message("error.config.whole"), low=-0.0, high=2.5e6)
    ) == ("`k` is a whole number from 0 to 2500000.")


@pytest.mark.parametrize("long", [True, False])
def test_only_a_long_call_shows_on_a_terminal_that_it_waits(monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("Waiting for faces.example:1", after_s=0.1 if long else 60.0), waiting("never", after_s=0.0):
        until(lambda: not long or "Waiting for faces.example:1" in screen.getvalue())
    assert ("Waiting for" in screen.getvalue(), "never" in screen.getvalue()) == (long, False)


def test_a_long_call_writes_nothing_into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with waiting("Waiting", after_s=0.0):
        time.sleep(0.05)
    assert pipe.getvalue() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_threshold_is_told_by_whom_it_accepts_and_whom_it_misses() -> None:
    found = rates(rate(1e-4, 1 / 21_234, 1 / 5_000), rate(0.005, 0.0031, 0.0084), support="3 errors in 30,000")
    assert words(found) == [
        "At this threshold 1 in 10,000 of the comparisons of different people is accepted (95 % interval 1 in 21,200 "
        "to 1 in 5,000), as measured on lfw, 844 people (the model pack's calibration).",
        "At the same threshold 0.5 % of the comparisons of one person are missed (95 % interval 0.31 % to 0.84 %).",
        "These rates hold for people and photos like those of lfw, not for others.",
        "Of different people: 3 errors in 30,000.",
    ]
    by_people = rate(1e-4, 1 / 21_234, 1 / 5_000, interval_method=common_pb2.INTERVAL_METHOD_BY_PEOPLE)
    found = rates(by_people, rate(0.005, 0.003, 0.008), other_settings=["precision", "detection"])
    found.calibration.part = "folds 1, 2"
    found.calibration.ClearField("people")
    first, _, _, settings = words(found)
    assert "(95 % interval 1 in 21,200 to 1 in 5,000, by resampling people), as measured on lfw (folds 1, 2) (" in first
    assert settings == "That was measured with another precision and another detection than this server has."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (rate(1 / 1_030, 0.0, 0.00275, count=30), "1 in 1,030 * is accepted (95 % interval 0 to 1 in 364)"),
        (rate(1 / 1_030, 1 / 5_000, 0.02, count=40), "0.0971 % * are accepted (95 % interval 0.02 % to 2 %)"),
        (rate(1 / 1_372, 1e-4, 0.004, count=1), "1 in 1,370 * is accepted (on 1 error; 95 % interval 1 in 10,000 to"),
        (rate(0.02, 0.01, 0.04, count=29), "2 % * are accepted (on 29 errors; 95 % interval 1 % to 4 %)"),
        (rate(0.0, 0.0, 0.001), "none * are accepted (95 % interval 0 to 1 in 1,000)"),
        (rate(0.0, 0.0, 0.0112), "none * are accepted (95 % interval 0 to 1.12 %)"),
    ],
)
def test_a_rate_and_its_interval_have_one_unit_and_few_errors_are_told(found: common_pb2.ErrorRate, said: str) -> None:
    accepted, missed, *_ = words(rates(found, rate(0.99999, 0.9, 1.0)))
    assert said.replace("*", "of the comparisons of different people") in accepted
    assert "over 99.9 % of the comparisons of one person are missed (95 % interval 90 % to 100 %)" in missed


def test_a_calibration_of_a_few_people_is_told_to_be_too_small(capsys: pytest.CaptureFixture[str]) -> None:
    found = common_pb2.Calibration(source=common_pb2.CALIBRATION_SOURCE_GALLERY, dataset="mine", people=10, nonmated=45)
    small = "cannot even show a false match rate of 0.01, which takes 100 comparisons"
    for nonmated, supports, warned in ((45, "0.022 (45", True), (99, "0.01 (99", True), (100, "0.01 (100", False)):
        found.nonmated = nonmated
        for answer in (gallery_pb2.SetCalibrationResponse, gallery_pb2.GetCalibrationResponse):
            print_calibration("team", answer(calibration=found), False, {})
            out = " ".join(capsys.readouterr().out.split())
            supported = f"false match rates down to {supports} comparisons of different people, 10 people)"
            assert f"Supports {supported}" in out
            assert (small in out) is warned


ONE, TWO = "if both photos show one person than if they show two", "if the photos show two people than if they show one"
NEITHER = "That is not the probability that they show one person, nor that they show two."
NONE, AT_LEAST, AT_MOST = (
    common_pb2.LikelihoodRatioBound.Value(f"LIKELIHOOD_RATIO_BOUND_{name}") for name in ("NONE", "AT_LEAST", "AT_MOST")
)


def test_the_command_line_and_the_evidence_report_tell_a_likelihood_ratio_alike() -> None:
    """Neither can import the other, and nobody may be told more at one than at the other."""
    of_total = {total: counted(1, total) for total in (1_000, 10_000)}
    of_all = rates(rate(1e-4, 5e-5, 2e-4, count=1, total=10_000), rate(0.005, 0.003, 0.008, count=5, total=1000))
    told = set()
    for log10_lr in np.linspace(-6.0, 6.0, 481):
        for bound, of_report in ((NONE, Bound.EXACT), (AT_LEAST, Bound.AT_LEAST), (AT_MOST, Bound.AT_MOST)):
            figures = Figures(of_total[10_000], of_total[1_000], float(log10_lr), of_report)
            report = render(next(of_both(figures, 1))).removesuffix(" It is not the probability of Hp, nor of Hd.")
            for hypotheses, photos in (
                ("if Hp is true than if Hd is", ONE),
                ("if Hd is true than if Hp is", TWO),
                ("if Hp is true as if Hd is", "if both photos show one person as if they show two"),
            ):
                report = report.replace(hypotheses, photos)
            ratio = common_pb2.LikelihoodRatio(log10_lr=float(log10_lr), bound=bound, in_range=True)
            compared = recognition_pb2.CompareResponse(error_rates=of_all, likelihood_ratio=ratio)
            (sentence,) = evidence_text(compared)
            assert sentence == f"{report} {NEITHER}"
            told.add(sentence)
    assert len(told) > 60


def test_missing_and_unreadable_calibrations_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for text, said in (
        ("", "Neither gallery team nor its model has a calibration."),
        ("{", "set it again, or remove it."),
    ):
        none = gallery_pb2.GetCalibrationResponse(calibration_json=text)
        print_calibration("team", none, False, {"calibration_json": text})
        assert said in " ".join(capsys.readouterr().out.split())
    comparison, search = recognition_pb2.CompareResponse(), gallery_pb2.SearchResponse()
    assert [*rates_text(comparison), *evidence_text(comparison), *rates_text(search)] == []
    assert answer_keys(comparison).items() >= {"error_rates": None, "likelihood_ratio": None}.items()
    assert answer_keys(search)["error_rates"] is None
    assert "likelihood_ratio" not in answer_keys(search)


BLUE, RED = (0, 0, 200), (200, 0, 0)


def face(left: float, top: float, right: float, bottom: float, *, poor: bool = False) -> common_pb2.Face:
    reasons = [common_pb2.QUALITY_REASON_BLURRED] if poor else []
    nose = ((left + right) / 2, (top + bottom) / 2)
    places = ((left, top), (right, top), nose, (left, bottom), (right, bottom))
    points = [common_pb2.Point(x=x, y=y) for x, y in places]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    return common_pb2.Face(
        box=common_pb2.BoundingBox(left=left, top=top, right=right, bottom=bottom),
        landmarks=common_pb2.Landmarks(**dict(zip(names, points, strict=True))),
        quality=common_pb2.Quality(reasons=reasons),
    )


def encoded(photo: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    out = io.BytesIO()
    photo.save(out, kind, **settings)
    return out.getvalue()


def colours(picture: Image.Image, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    found = picture.crop(box).getcolors(1 << 24)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}


@pytest.mark.parametrize(("size", "drawn"), [((64, 48),) * 2, ((640, 480),) * 2, ((8192, 1024), (MAX_SIDE, 512))])
def test_boxes_landmarks_and_numbers_are_drawn(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, BLUE)
    width, height = size
    scale = size[0] // drawn[0]
    box = (round(width * 0.4), round(height * 0.4), round(width * 0.6), round(height * 0.7))
    picture = faces_picture(photo, [face(*box)])
    assert picture.size == drawn
    assert photo.getpixel((box[0], box[1] + 8)) == BLUE
    left, top, right, bottom = (round(edge / scale) for edge in box)
    on_the_left = (left + (scale > 1), (top * 2 + bottom) // 3)
    assert picture.getpixel(on_the_left) == GOOD
    assert GOOD in colours(picture, (left, bottom - 2, right, bottom + 2))
    landmark = GOOD if right - left >= SMALL else BLUE  # it would cover a small face
    assert picture.getpixel(((left + right) // 2, (top + bottom) // 2)) == landmark
    assert picture.getpixel((drawn[0] - 1, drawn[1] - 1)) == BLUE
    poor = faces_picture(photo, [face(*box, poor=True)])
    assert poor.getpixel(on_the_left) == POOR
    for odd in ((-50, -40, 20, 30), (width - 9, height - 9, 2 * width, 2 * height), (-9, -9, width + 9, height + 9)):
        assert faces_picture(photo, [face(*odd), face(50, 60, 50, 60)]).size == drawn


def test_crops_end_at_the_edges_and_photos_are_upright_and_on_white() -> None:
    photo = Image.new("RGB", (1000, 800))
    inside = common_pb2.BoundingBox(left=400, top=300, right=480, bottom=400)
    assert face_crop(photo, inside, margin=0.5).size == (200, 200)
    at_the_edge = common_pb2.BoundingBox(left=-20, top=0, right=80, bottom=100)
    assert face_crop(photo, at_the_edge, margin=0.5).size == (130, 150)
    outside = common_pb2.BoundingBox(left=2000, top=0, right=2100, bottom=100)
    assert face_crop(photo, outside).size == photo.size
    turned = Image.new("RGB", (40, 20), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_photo(encoded(turned, "JPEG", exif=exif)).size == (20, 40)
    # The server reads no XMP, and takes damaged EXIF for none.
    assert open_photo(encoded(turned, "JPEG", xmp=b'tiff:Orientation="6"')).size == (40, 20)
    assert open_photo(encoded(turned, "PNG", exif=b"Exif\0\0II*\0")).size == (40, 20)
    assert open_photo(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    assert open_photo(encoded(Image.new("I;16", (4, 4), 0x8080))).getpixel((0, 0)) == (128, 128, 128)
    assert open_photo(encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG")).mode == "RGB"
    for broken in (b"", b"no photo", encoded(Image.new("RGB", (64, 64)), "PNG")[:60]):
        with pytest.raises(Unusable, match="cannot decode"):
            open_photo(broken)


def answer(*similarities: float, threshold: float = 0.5, name: str = "") -> gallery_pb2.SearchResponse:
    result = gallery_pb2.SearchResult(face=face(40, 40, 120, 140))
    for rank, similarity in enumerate(similarities, start=1):
        one = result.candidates.add(rank=rank, similarity=similarity, above_threshold=similarity >= threshold)
        one.subject_id, one.display_name, one.template_id = name or f"subject {rank}", name, rank
    return gallery_pb2.SearchResponse(results=[result], threshold=threshold, notice="Leads for an examiner. " * 8)


def test_candidates_are_framed_alike_and_the_head_counts_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, crops = Image.new("RGB", (200, 200), BLUE), {rank: Image.new("RGB", (50, 50), RED) for rank in (1, 2, 3)}
    beside = search_picture(probe, answer(*[0.1] * (MAX_CANDIDATES + 30)), crops)
    assert beside.getpixel((MARGIN + PROBE // 2, MARGIN + 40 + PROBE // 2)) == BLUE
    written: list[str] = []
    write = ImageDraw.ImageDraw.text

    def text(pen: ImageDraw.ImageDraw, place: tuple[float, float], words: str, **how: Any) -> None:
        assert pen.textbbox(place, words, font=how["font"])[2] <= pen.im.size[0]
        written.append(words)
        write(pen, place, words, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    for similarities, head in (
        ((0.7, 0.1, -0.07), "1 of 3 candidates is a lead at threshold 0.500"),
        ((0.4, 0.1), "0 of 2 candidates are leads at threshold 0.500"),
        ((), "No lead at threshold 0.500"),
    ):
        picture, y = search_picture(probe, answer(*similarities), crops), MARGIN + 40
        assert head in written
        assert not any("potential" in words.lower() for words in written)
        for rank in range(len(similarities)):
            x = MARGIN + PROBE + 32 + rank * (TILE + 16)
            assert colours(picture, (x, y + 10, x + 1, y + TILE - 10)) == {GREY}
            assert colours(picture, (x + 1, y + 10, x + TILE - 1, y + TILE - 10)) == {RED}
    assert {"1.  0.700  lead", "2.  0.100  no lead", "3.  -0.070  no lead"} <= set(written)


def test_no_candidates_and_names_in_any_script_are_drawn() -> None:
    for response in (
        gallery_pb2.SearchResponse(),
        gallery_pb2.SearchResponse(results=[gallery_pb2.SearchResult()], notice="x"),
        answer(0.5, name="Zoë Ångström 田中 🙂 \x1b[31m\n" * 9),
        answer(0.5, name="עברית العربية"),
    ):
        assert search_picture(Image.new("RGB", (50, 300), BLUE), response, {}).width > PROBE


def test_a_picture_that_could_not_be_written_or_replaces_a_photo_is_refused(tmp_path: Path) -> None:
    require_drawing(None)
    require_drawing(tmp_path / "x.PNG")
    with pytest.raises(Unusable, match="must end in"):
        require_drawing(tmp_path / "x.txt")
    with pytest.raises(Unusable, match="folder does not exist"):
        require_drawing(tmp_path / "nowhere" / "x.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(Unusable, match="cannot be written"):
        write_picture(Image.new("RGB", (1, 1)), tmp_path / "taken.png")
    (tmp_path / "photos").mkdir()
    photo, link = tmp_path / "photos" / "a.png", tmp_path / "link.png"
    photo.write_bytes(b"a photo")
    link.symlink_to(photo)
    for target, source in ((photo, photo), (link, photo), (photo, photo.parent)):
        with pytest.raises(Unusable, match="photos themselves"):
            require_drawing(target, source)
    require_drawing(photo.parent / "new.png", photo, photo.parent)
    require_drawing(None, photo)


def test_photos_are_found_by_their_content(tmp_path: Path) -> None:
    deep = tmp_path / "some" / "where" / "b.JPG"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"two")
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.txt").write_bytes(b"three")
    one, two, three = (sha256(data).hexdigest() for data in (b"one", b"two", b"three"))
    assert find_photos(tmp_path, [one, two, three], ["where"]) == {one: tmp_path / "a.png", two: deep}
    assert find_photos(tmp_path, []) == {}
    manifest = tmp_path / "people.csv"
    manifest.write_text("subject_id,path\nx,some/where/b.JPG\ny,missing.jpg\nz,a.png\n")
    assert find_photos(manifest, [one, two]) == {one: tmp_path / "a.png", two: tmp_path / "some/where/b.JPG"}
    with pytest.raises(Unusable, match="cannot be read"):
        find_photos(tmp_path / "nowhere.csv", [one])
