"""Rates asked for over the wire, and the error rates that answers carry: by the calibration of a pack or a gallery."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import CalibrationInvalid
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import GalleryCalibration
from fr_core.scoring.calibration import Calibration, ModelledRate, WorstFaces
from fr_core.scoring.calibration_json import to_json
from fr_core.types import ModelId
from fr_server.rpc.convert.calibration import calibration_from
from support.engines import NONMATED, calibration
from support.servers import NULL_QUALITY, Running, null_engine, photo, refusal_of, running, scene

OF_PACK, OWN = calibration(), calibration(seed=8, nonmated=400)
OTHER = ModelId("other", "1", "f" * 64)
PACK, GALLERY = common_pb2.CALIBRATION_SOURCE_PACK, common_pb2.CALIBRATION_SOURCE_GALLERY


def probe(*blues: int) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=photo(*blues)))


def compare(server: Running, **criterion: float) -> recognition_pb2.CompareResponse:
    return server.recognition.Compare(recognition_pb2.CompareRequest(a=probe(1), b=probe(2), **criterion))  # type: ignore[arg-type]


def search(server: Running, gallery_id: str = "staff", **fields: Any) -> gallery_pb2.SearchResponse:
    request = {"probe": probe(1), **fields}
    return server.gallery.Search(gallery_pb2.SearchRequest(gallery_id=gallery_id, **request))


def set_calibration(server: Running, text: str, gallery_id: str = "staff") -> common_pb2.Calibration:
    request = gallery_pb2.SetCalibrationRequest(gallery_id=gallery_id, calibration_json=text)
    return server.gallery.SetCalibration(request).calibration


def delete_calibration(server: Running, gallery_id: str = "staff") -> gallery_pb2.DeleteCalibrationResponse:
    return server.gallery.DeleteCalibration(gallery_pb2.DeleteCalibrationRequest(gallery_id=gallery_id))


def get_gallery(server: Running) -> gallery_pb2.Gallery:
    return server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="staff")).gallery


def get_calibration(server: Running, gallery_id: str = "staff") -> gallery_pb2.GetCalibrationResponse:
    return server.gallery.GetCalibration(gallery_pb2.GetCalibrationRequest(gallery_id=gallery_id))


def refused(call: Callable[[], object], code: grpc.StatusCode, reason: str) -> dict[str, str]:
    told = refusal_of(call)
    assert (told.code, told.info.reason) == (code, reason)
    return dict(told.info.metadata)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose pack has a calibration: 12 templates in `staff`, none in `empty` and in `foreign`."""
    folder = tmp_path_factory.mktemp("calibrated")
    with running(folder, engine=lambda config: replace(null_engine(config), calibration=OF_PACK)) as server:
        for gallery_id in ("staff", "empty"):
            server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id))
        galleries = server.app.galleries
        assert isinstance(galleries, Galleries)
        galleries.create("foreign", "", OTHER, 64)
        for blue in range(12):
            server.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="staff", subject_id=f"s{blue}", face=probe(blue)))
        yield server


@pytest.fixture
def server(shared: Running) -> Iterator[Running]:
    """The same, the calibrations of whose galleries are taken away afterwards."""
    yield shared
    for gallery_id in ("staff", "empty", "foreign"):
        delete_calibration(shared, gallery_id)


def test_a_comparison_holds_the_rate_that_is_asked_for(server: Running) -> None:
    answer = compare(server, target_fmr=0.01)
    assert answer.threshold == OF_PACK.threshold_at_fmr(0.01)
    assert answer.above_threshold == (answer.similarity >= answer.threshold)
    rates = answer.error_rates
    assert (rates.fmr.value, rates.fmr.total) == (OF_PACK.fmr_at(answer.threshold).value, NONMATED)
    assert rates.fmr.value <= 0.01
    assert (rates.calibration.source, rates.calibration.dataset) == (PACK, "made-up")
    assert not rates.HasField("fpir")
    assert answer.likelihood_ratio.log10_lr == OF_PACK.log10_lr(answer.similarity).log10_lr
    plain = compare(server)
    assert plain.threshold == 0.5
    assert plain.error_rates.fmr.value == OF_PACK.fmr_at(0.5).value
    assert compare(server, threshold=-1.0).error_rates.fmr.value == 1.0


def test_a_search_holds_the_rate_that_is_asked_for(server: Running) -> None:
    answer = search(server, target_fmr=0.01)
    assert answer.threshold == OF_PACK.threshold_at_fmr(0.01)
    rates = answer.error_rates
    assert rates.templates == answer.searched_templates == 12
    assert rates.fpir.value == OF_PACK.fpir_at(answer.threshold, 12).value
    answer = search(server, target_fpir=0.1)
    assert answer.threshold == OF_PACK.threshold_at_fpir(0.1, 12) > OF_PACK.threshold_at_fpir(0.1, 1)
    assert 0.0 < answer.error_rates.fpir.value <= 0.1
    every = common_pb2.SEVERAL_FACES_POLICY_ALL
    assert search(server, probe=probe(1, 2), several_faces=every, target_fpir=0.1).error_rates == answer.error_rates


def test_an_empty_gallery_is_searched_without_fpir(server: Running) -> None:
    answer = search(server, "empty", target_fpir=0.1)
    assert answer.threshold == OF_PACK.threshold_at_fpir(0.1, 1)
    assert not answer.error_rates.HasField("fpir")
    assert answer.error_rates.templates == 0
    assert answer.error_rates.fmr.value <= 0.1


def test_a_gallery_has_its_own_until_it_is_taken_away(server: Running) -> None:
    assert get_calibration(server).calibration.source == PACK
    assert get_calibration(server).calibration_json == to_json(OF_PACK)
    of_pack = search(server, target_fmr=0.01)
    for _ in range(2):
        found = set_calibration(server, to_json(OWN))
        assert (found.source, found.nonmated) == (GALLERY, 400)
        kept = gallery_pb2.GetCalibrationResponse(calibration=found, calibration_json=to_json(OWN))
        assert get_calibration(server) == kept
        answer = search(server, target_fmr=0.01)
        assert answer.threshold == OWN.threshold_at_fmr(0.01) != of_pack.threshold
        assert found.settings == {"detection": "thorough"}
        found.ClearField("settings")
        assert answer.error_rates.calibration == found
    assert search(server, "empty", target_fmr=0.01).threshold == of_pack.threshold
    another = calibration(seed=9)
    set_calibration(server, to_json(another))  # holds for the next search
    assert search(server, target_fmr=0.01).threshold == another.threshold_at_fmr(0.01)
    gallery = get_gallery(server)
    assert gallery.has_calibration
    for _ in range(2):  # done twice is the same as once
        deleted = delete_calibration(server)
        assert (deleted.calibration.source, deleted.gallery_version) == (PACK, gallery.version + 1)
    assert deleted.calibration == get_calibration(server).calibration
    assert not get_gallery(server).has_calibration
    assert search(server, target_fmr=0.01).threshold == of_pack.threshold


def test_what_a_calibration_is_called_is_the_hash_of_its_text(server: Running) -> None:
    for setting in (lambda: None, lambda: set_calibration(server, to_json(OWN) + "\n")):
        setting()
        found = get_calibration(server)
        assert found.calibration.id == hashlib.sha256(found.calibration_json.encode()).hexdigest()
        assert search(server).error_rates.calibration.id == found.calibration.id
    assert compare(server).error_rates.calibration.id == hashlib.sha256(to_json(OF_PACK).encode()).hexdigest()


def test_fused_similarities_have_no_error_rates(server: Running) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"
    for fusion in (gallery_pb2.SCORE_FUSION_MEAN_TOP_2, gallery_pb2.SCORE_FUSION_MEAN_TEMPLATE):
        assert not search(server, fusion=fusion).HasField("error_rates")
        assert not search(server, fusion=fusion, threshold=0.5).HasField("error_rates")
        for target in ("target_fmr", "target_fpir"):
            request = {"fusion": fusion, target: 0.1}
            assert refused(partial(search, server, "staff", **request), *invalid) == {"field": "fusion"}
    assert search(server, fusion=gallery_pb2.SCORE_FUSION_MAX, target_fmr=0.1).HasField("error_rates")


def test_an_unreadable_calibration_stops_only_rates(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    galleries = server.app.galleries
    galleries.set_calibration("staff", GalleryCalibration(str(NULL_MODEL), "of a version to come"))
    for _ in range(2):
        assert not search(server).HasField("error_rates")
        assert not search(server, threshold=0.5).HasField("error_rates")
        for criterion in ({"target_fmr": 0.1}, {"target_fpir": 0.1}):
            code = grpc.StatusCode.FAILED_PRECONDITION
            refused(partial(search, server, "staff", **criterion), code, "CALIBRATION_UNREADABLE")
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["fr_server.calibrations"]
    kept = gallery_pb2.GetCalibrationResponse(calibration_json="of a version to come")
    assert get_calibration(server) == kept
    set_calibration(server, to_json(OWN))
    assert search(server, target_fmr=0.1).error_rates.calibration.source == GALLERY


def test_a_gallery_of_another_model_has_only_its_own(server: Running) -> None:
    model = common_pb2.ModelId(pack=OTHER.pack, version=OTHER.version, sha256=OTHER.sha256)
    foreign = recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=np.eye(64)[0].tolist(), model=model))

    def ask(**criterion: float) -> gallery_pb2.SearchResponse:
        return search(server, "foreign", probe=foreign, **criterion)

    for criterion in ({"target_fmr": 0.1}, {"target_fpir": 0.1}):
        refused(partial(ask, **criterion), grpc.StatusCode.FAILED_PRECONDITION, "NO_CALIBRATION")
    assert not ask(threshold=0.5).HasField("error_rates")
    assert get_calibration(server, "foreign") == gallery_pb2.GetCalibrationResponse()
    own = calibration(OTHER)
    set_calibration(server, to_json(own), "foreign")
    assert ask(target_fmr=0.1).threshold == own.threshold_at_fmr(0.1)
    assert ask(threshold=0.5).error_rates.calibration.source == GALLERY
    refused(ask, grpc.StatusCode.INVALID_ARGUMENT, "MISSING_FIELD")


def test_a_rate_that_is_too_low_names_the_lowest(server: Running) -> None:
    code, reason = grpc.StatusCode.FAILED_PRECONDITION, "RATE_NOT_SUPPORTED"
    for ask in (compare, search):
        lowest = float(refused(partial(ask, server, target_fmr=1e-6), code, reason)["lowest"])
        assert lowest == 1 / NONMATED
        assert ask(server, target_fmr=lowest).error_rates.fmr.value <= lowest
    refused(lambda: search(server, target_fpir=5e-324), code, reason)
    lowest = float(refused(lambda: search(server, target_fpir=1e-6), code, reason)["lowest"])
    assert lowest == pytest.approx(1 - (1 - 1 / NONMATED) ** 12)
    assert search(server, target_fpir=lowest).error_rates.fpir.value <= lowest


def test_what_is_no_calibration_of_the_gallery_changes_nothing(server: Running) -> None:
    own = to_json(OWN)
    before = set_calibration(server, own)
    gallery = get_gallery(server)
    invalid = grpc.StatusCode.INVALID_ARGUMENT, "CALIBRATION_INVALID"
    long_key = own.replace('"version"', f'"{"x" * 20_000}": 1, "version"')
    close_to_1 = own.replace('"confidence": 0.95', '"confidence": 0.9999999999999999')
    for text in ("{", "null", own[:-1], " " * 2**21, long_key, close_to_1):
        assert text != own
        refused(partial(set_calibration, server, text), *invalid)
    metadata = refused(lambda: set_calibration(server, to_json(calibration(OTHER))), *invalid)
    assert metadata == {"expected": str(NULL_MODEL)}
    for call in (partial(set_calibration, text=own), delete_calibration, get_calibration):
        refused(partial(call, server, gallery_id="nowhere"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_GALLERY")
    missing = refused(lambda: set_calibration(server, ""), grpc.StatusCode.INVALID_ARGUMENT, "MISSING_FIELD")
    assert missing == {"field": "calibration_json"}
    assert get_calibration(server).calibration == before
    assert get_gallery(server) == gallery


def test_a_refusal_of_a_calibration_sends_no_commands_to_a_terminal() -> None:
    with pytest.raises(CalibrationInvalid, match=r"\?\[2J is not known"):
        calibration_from(to_json(OWN).replace('"version"', '"\\u001b[2J": 1, "version"'))


def test_a_calibration_that_an_answer_would_fail_with_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(found: Calibration, threshold: float, gallery_size: int) -> ModelledRate:
        raise OverflowError

    monkeypatch.setattr(Calibration, "fpir_at", overflow)
    with pytest.raises(CalibrationInvalid, match="that an answer cannot hold"):
        calibration_from(to_json(OWN))


def test_more_galleries_than_are_kept_parsed(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_server.rpc.services.calibrations._KEPT", 1)
    set_calibration(server, to_json(OWN))
    set_calibration(server, to_json(calibration(seed=9)), "empty")
    for _ in range(2):
        assert search(server, target_fmr=0.01).threshold == OWN.threshold_at_fmr(0.01)
        assert search(server, "empty", target_fmr=0.01).threshold == calibration(seed=9).threshold_at_fmr(0.01)


def test_rates_are_withheld_from_a_face_unlike_those_of_the_calibration(server: Running) -> None:
    """A null face of 64 pixels has 20 between its eyes; the calibration of the gallery saw none below 30."""
    worst = WorstFaces(30.0, 0.0, 0.1, 0.9, 60.0, 50.0, 0.5)
    set_calibration(server, to_json(replace(OWN, faces=worst)))
    answer = search(server, target_fmr=0.1)
    assert answer.threshold == OWN.threshold_at_fmr(0.1)
    assert not answer.HasField("error_rates")
    withheld = answer.results[0].rates_withheld
    assert list(withheld.reasons) == [common_pb2.QUALITY_REASON_TOO_SMALL]
    assert withheld.sentence == (
        "Error rates are withheld: the face of the probe is too small. The faces that the calibration (made-up) was "
        "measured on are better than that."
    )
    large = recognition_pb2.Probe(image=common_pb2.Image(data=photo(1, size=128)))
    answer = search(server, probe=large)
    assert answer.error_rates.calibration.source == GALLERY
    assert not answer.results[0].HasField("rates_withheld")
    both = recognition_pb2.Probe(image=common_pb2.Image(data=scene((1, 10, 20, 128), (2, 200, 20, 64))))
    answer = search(server, probe=both, several_faces=common_pb2.SEVERAL_FACES_POLICY_ALL)
    assert [one.HasField("rates_withheld") for one in answer.results] == [False, True]
    assert answer.HasField("error_rates")
    set_calibration(server, to_json(replace(OWN, faces=replace(worst, min_inter_eye_px=20.0))))
    assert search(server).HasField("error_rates")


def test_a_calibration_without_a_record_of_its_faces_holds_for_those_within_the_limits(tmp_path: Path) -> None:
    """Of the two photos the sentence names the one that is at fault."""
    limits = {**NULL_QUALITY, "min_inter_eye_px": 30.0}
    with running(
        tmp_path, engine=lambda config: replace(null_engine(config), calibration=OF_PACK), quality=limits
    ) as server:
        large = recognition_pb2.Probe(image=common_pb2.Image(data=photo(1, size=128)))
        request = recognition_pb2.CompareRequest(a=large, b=probe(2))
        answer = server.recognition.Compare(request)
        assert not answer.HasField("error_rates")
        assert not answer.HasField("likelihood_ratio")
        assert "the face in the second photo is too small" in answer.rates_withheld.sentence
        assert "first" not in answer.rates_withheld.sentence
        answer = server.recognition.Compare(recognition_pb2.CompareRequest(a=large, b=large))
        assert answer.HasField("error_rates")
        assert answer.HasField("likelihood_ratio")
        assert not answer.HasField("rates_withheld")


def test_a_server_without_a_calibration_says_so(start_server: Callable[..., Running]) -> None:
    server = start_server()
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
    missing = grpc.StatusCode.FAILED_PRECONDITION, "NO_CALIBRATION"
    refused(lambda: compare(server, target_fmr=0.1), *missing)
    refused(lambda: search(server, target_fmr=0.1), *missing)
    answer = compare(server)
    assert answer.threshold == 0.5
    assert not answer.HasField("error_rates")
    assert not answer.HasField("likelihood_ratio")
    assert not search(server).HasField("error_rates")
    assert not delete_calibration(server).HasField("calibration")
    set_calibration(server, to_json(OWN))
    assert search(server, target_fmr=0.1).error_rates.calibration.source == GALLERY
