"""The command line shows answers as JSON and as text that does no harm to a terminal, and explains error rates."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_client.cli.gallery.calibrations import print_calibration
from fr_client.cli.gallery.error_rates import answer_keys, evidence_text, rates_text
from fr_client.cli.gallery.search import print_search
from fr_client.cli.show import plain, print_json, shown, table
from fr_core.scoring.intervals import rate as counted
from fr_locales.rendering import render
from fr_trust.evidence.values import Bound, Figures
from fr_trust.evidence.words import of_both


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


def rate(value: float, low: float, high: float, **more: Any) -> common_pb2.ErrorRate:
    return common_pb2.ErrorRate(value=value, low=low, high=high, confidence=0.95, **more)


def rates(fmr: common_pb2.ErrorRate, fnmr: common_pb2.ErrorRate, **more: Any) -> common_pb2.ErrorRates:
    calibration = common_pb2.Calibration(source=common_pb2.CALIBRATION_SOURCE_PACK, dataset="lfw", people=844)
    return common_pb2.ErrorRates(fmr=fmr, fnmr=fnmr, calibration=calibration, **more)


def words(found: common_pb2.ErrorRates) -> list[str]:
    return list(rates_text(recognition_pb2.CompareResponse(error_rates=found)))


def test_a_threshold_is_told_by_whom_it_accepts_and_whom_it_misses() -> None:
    found = rates(rate(1e-4, 1 / 21_234, 1 / 5_000), rate(0.005, 0.0031, 0.0084), support="3 errors in 30,000")
    assert words(found) == [
        "At this threshold 1 in 10,000 of the comparisons of different people is accepted (95 % interval 1 in 21,200 "
        "to 1 in 5,000), as measured on lfw, 844 people (the model pack's calibration).",
        "At the same threshold 0.5 % of the comparisons of one person are missed (95 % interval 0.31 % to 0.84 %).",
        "These rates hold for people and photos like those of lfw, not for others.",
        "Of different people: 3 errors in 30,000.",
    ]


def test_whose_intervals_and_settings_they_are_is_told() -> None:
    by_people = rate(1e-4, 1 / 21_234, 1 / 5_000, interval_method=common_pb2.INTERVAL_METHOD_BY_PEOPLE)
    found = rates(by_people, rate(0.005, 0.003, 0.008), other_settings=["precision", "detection"])
    found.calibration.part = "folds 1, 2"
    found.calibration.ClearField("people")
    first, missed, _, settings = words(found)
    assert "(95 % interval 1 in 21,200 to 1 in 5,000, by resampling people), as measured on lfw (folds 1, 2) (" in first
    assert missed.endswith("are missed (95 % interval 0.3 % to 0.8 %).")
    assert settings == "That was measured with another precision and another detection than this server has."


def test_a_rate_without_an_error_is_none_up_to_a_limit_and_one_near_all_is_not_all() -> None:
    accepted, missed, _ = words(rates(rate(0.0, 0.0, 0.0112), rate(0.99999, 0.9, 1.0)))
    assert "none of the comparisons of different people are accepted (95 % interval 0 to 1.12 %)" in accepted
    assert "over 99.9 % of the comparisons of one person are missed (95 % interval 90 % to 100 %)" in missed


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (rate(1 / 1_030, 0.0, 0.00275, count=30), "1 in 1,030 * is accepted (95 % interval 0 to 1 in 364)"),
        (rate(1 / 1_030, 1 / 5_000, 0.02, count=40), "0.0971 % * are accepted (95 % interval 0.02 % to 2 %)"),
        (rate(1 / 1_372, 1e-4, 0.004, count=1), "1 in 1,370 * is accepted (on 1 error; 95 % interval 1 in 10,000 to"),
        (rate(0.02, 0.01, 0.04, count=29), "2 % * are accepted (on 29 errors; 95 % interval 1 % to 4 %)"),
        (rate(0.0, 0.0, 0.001), "none * are accepted (95 % interval 0 to 1 in 1,000)"),
    ],
)
def test_a_rate_and_its_interval_have_one_unit_and_few_errors_are_told(found: common_pb2.ErrorRate, said: str) -> None:
    assert said.replace("*", "of the comparisons of different people") in words(rates(found, rate(0.5, 0.4, 0.6)))[0]


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


def test_a_search_tells_how_many_strangers_it_answers_with_a_lead_and_what_that_rests_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = rates(rate(1e-4, 5e-5, 2e-4), rate(0.005, 0.003, 0.008), fpir=rate(0.095, 0.049, 0.18), templates=1000)
    found.calibration.source = common_pb2.CALIBRATION_SOURCE_GALLERY
    print_search("team", gallery_pb2.SearchResponse(error_rates=found, notice="Leads, not identities."))
    out = " ".join(capsys.readouterr().out.split())
    assert "844 people (the gallery's own calibration)." in out
    assert "These rates hold for people and photos like those of lfw, not for others." in out
    assert (
        "Among 1,000 templates 9.5 % of the searches for somebody who is not enrolled are answered with a lead (95 % "
        "interval 4.9 % to 18 %): computed as if comparisons were independent, which those with look-alikes are not. "
        "Leads, not identities."
    ) in out


ONE, TWO = "if both photos show one person than if they show two", "if the photos show two people than if they show one"
NEITHER = "That is not the probability that they show one person, nor that they show two."
NONE, AT_LEAST, AT_MOST = (
    common_pb2.LikelihoodRatioBound.Value(f"LIKELIHOOD_RATIO_BOUND_{name}") for name in ("NONE", "AT_LEAST", "AT_MOST")
)


def compared(
    log10_lr: float, bound: common_pb2.LikelihoodRatioBound.ValueType = NONE, *, in_range: bool = True
) -> recognition_pb2.CompareResponse:
    """A comparison by a calibration of 10,000 comparisons of different people and 1,000 of one person."""
    return recognition_pb2.CompareResponse(
        error_rates=rates(
            rate(1e-4, 5e-5, 2e-4, count=1, total=10_000), rate(0.005, 0.003, 0.008, count=5, total=1000)
        ),
        likelihood_ratio=common_pb2.LikelihoodRatio(log10_lr=log10_lr, bound=bound, in_range=in_range),
    )


def test_the_command_line_and_the_evidence_report_tell_a_likelihood_ratio_alike() -> None:
    """Neither can import the other, and nobody may be told more at one than at the other."""
    of_total = {total: counted(1, total) for total in (1_000, 10_000)}
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
            (sentence,) = evidence_text(compared(float(log10_lr), bound))
            assert sentence == f"{report} {NEITHER}"
            told.add(sentence)
    assert len(told) > 60


def test_a_calibration_that_is_not_there_is_told_from_one_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for text, said in (
        ("", "Neither gallery team nor its model has a calibration."),
        ("{", "set it again, or remove it."),
    ):
        none = gallery_pb2.GetCalibrationResponse(calibration_json=text)
        print_calibration("team", none, False, {"calibration_json": text})
        assert said in " ".join(capsys.readouterr().out.split())


def test_without_a_calibration_nothing_is_said_and_json_has_null() -> None:
    compared, found = recognition_pb2.CompareResponse(), gallery_pb2.SearchResponse()
    assert [*rates_text(compared), *evidence_text(compared), *rates_text(found)] == []
    keys = answer_keys(compared)
    assert (keys["error_rates"], keys["likelihood_ratio"]) == (None, None)
    keys = answer_keys(found)
    assert keys["error_rates"] is None
    assert "likelihood_ratio" not in keys
