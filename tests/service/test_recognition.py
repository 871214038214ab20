"""RecognitionService and ServerService over the wire, with the null models."""

from __future__ import annotations

import pytest

from fr_api.v1 import common_pb2, error_reason_pb2, recognition_pb2, server_pb2
from support.servers import Running, photo


def image(data: bytes) -> common_pb2.Image:
    return common_pb2.Image(data=data)


def probe(data: bytes) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=image(data))


def test_detect_finds_every_face_the_largest_first(server: Running) -> None:
    answer = server.recognition.Detect(recognition_pb2.DetectRequest(image=image(photo(1, 2, 3))))
    assert (answer.image_width, answer.image_height) == (400, 200)
    assert [(face.box.left, face.box.top, face.box.right, face.box.bottom) for face in answer.faces] == [
        (10, 20, 74, 84),
        (84, 20, 148, 84),
        (158, 20, 222, 84),
    ]
    face = answer.faces[0]
    assert face.box.left < face.landmarks.left_eye.x < face.landmarks.right_eye.x < face.box.right
    assert face.score == pytest.approx(0.9)
    assert not face.quality.HasField("embedding_norm")


def test_embedding_that_was_returned_is_accepted_as_a_probe(server: Running) -> None:
    embedded = server.recognition.Embed(recognition_pb2.EmbedRequest(image=image(photo(7)))).faces[0]
    assert embedded.face.quality.embedding_norm == pytest.approx(1.0)
    answer = server.recognition.Compare(
        recognition_pb2.CompareRequest(
            a=recognition_pb2.Probe(embedding=embedded.embedding), b=probe(photo(7)), threshold=0.999
        )
    )
    assert answer.similarity == pytest.approx(1.0)
    assert answer.above_threshold
    assert "examiner" in answer.notice
    assert not answer.HasField("face_a")
    assert answer.HasField("face_b")


def test_stream_embed_answers_every_item_and_goes_on_after_a_refusal(server: Running) -> None:
    items = {"good": photo(1, 2), "none": photo(), "bad": b"text", "empty": b""}
    requests = [recognition_pb2.StreamEmbedRequest(item_id=name, image=image(data)) for name, data in items.items()]
    requests.append(recognition_pb2.StreamEmbedRequest(item_id="x" * 129, image=image(photo(1))))
    answers = {answer.item_id: answer for answer in server.recognition.StreamEmbed(iter(requests))}
    assert set(answers) == {*items, "x" * 128}
    assert len(answers["good"].embedded.faces) == 2
    assert answers["none"].HasField("embedded")
    assert answers["bad"].refusal.reason == error_reason_pb2.ERROR_REASON_UNDECODABLE
    assert answers["empty"].refusal.reason == error_reason_pb2.ERROR_REASON_MISSING_FIELD
    assert answers["x" * 128].refusal.reason == error_reason_pb2.ERROR_REASON_INVALID_FIELD


def test_server_info_tells_model_device_licence_and_limits(server: Running) -> None:
    info = server.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    assert info.model.id.pack == "null"
    assert info.model.embedding_size == 64
    assert info.device.active == "cpu"
    assert info.limits.max_image_bytes == 8 * 1024 * 1024
    assert list(info.limits.image_formats) == ["JPEG", "PNG", "WEBP"]
    assert "examiner" in info.notice
