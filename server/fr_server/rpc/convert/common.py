"""Messages that the services share, to and from values: parsed once, here at the edge."""

import re
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from google.protobuf import duration_pb2, timestamp_pb2

from fr_api.v1 import common_pb2 as pb
from fr_api.v1 import gallery_pb2
from fr_core.errors import EmbeddingWrongSize, FrError, InvalidField, MissingField, message
from fr_core.gallery.checks import require_threshold
from fr_core.pipeline import FacePolicy, Selected
from fr_core.types import Embedding, Face, ModelId, Quality, checked_embedding
from fr_server.errors import reason_value

NOTICE = message("notice.leads")


E = TypeVar("E", bound=Enum)

MAX_ITEM_ID = 128
MAX_BATCH = 64
NANOS_PER_S = 1_000_000_000
# What the parts of a model id are made of; a mismatch repeats them in its message.
_MODEL_WORD = re.compile(r"[A-Za-z0-9._+-]{1,64}")


def by_name(kind: type[E], enum: Any, prefix: str) -> dict[E, Any]:
    """Return each member of an enumeration with the value of the message's enumeration that has its name."""
    return {member: enum.Value(f"{prefix}_{member.name}") for member in kind}


def image_data(image: pb.Image, field: str) -> bytes:
    """Return the bytes of a photo; raises `MissingField` where there are none."""
    data = image.data  # a copy, each time
    if not data:
        raise MissingField(message("error.rpc.data_holds_no_photo", field=field), field=f"{field}.data")
    return data


def require_item_id(text: str) -> None:
    """Raise `InvalidField` where the id of a stream's item is too long."""
    if len(text) > MAX_ITEM_ID:
        raise InvalidField(message("error.rpc.item_id", length=len(text), most=MAX_ITEM_ID), field="item_id")


def require_batch(number: int, field: str) -> None:
    """Raise `InvalidField` unless a batch has 1 to `MAX_BATCH` items."""
    if not 1 <= number <= MAX_BATCH:
        raise InvalidField(message("error.rpc.batch", field=field, number=number, most=MAX_BATCH), field=field)


def sent_threshold(request: gallery_pb2.FindDuplicatesRequest | gallery_pb2.ClusterGalleryRequest) -> float | None:
    """Return the threshold that was sent, None where none was; raises `InvalidThreshold` outside [-1, 1]."""
    if not request.HasField("threshold"):
        return None
    require_threshold(request.threshold)
    return request.threshold


def face_policy(value: pb.SeveralFacesPolicy.ValueType, allow_all: bool) -> FacePolicy:
    """Return the policy for several faces, PROMINENT if unset; raises `InvalidField` for one not allowed here."""
    known = {
        pb.SEVERAL_FACES_POLICY_UNSPECIFIED: FacePolicy.PROMINENT,
        pb.SEVERAL_FACES_POLICY_PROMINENT: FacePolicy.PROMINENT,
        pb.SEVERAL_FACES_POLICY_ERROR: FacePolicy.ERROR,
        pb.SEVERAL_FACES_POLICY_LARGEST: FacePolicy.LARGEST,
    }
    if allow_all:
        known[pb.SEVERAL_FACES_POLICY_ALL] = FacePolicy.ALL
    if value not in known:
        raise InvalidField(message("error.rpc.several_faces_value_call_does"), field="several_faces")
    return known[value]


def model_from(sent: pb.Embedding) -> ModelId:
    """Return the model that an embedding says it comes from; raises `MissingField` where it says none."""
    model = sent.model
    for name in ("pack", "version", "sha256"):
        value = getattr(model, name)
        if not value:
            raise MissingField(message("error.rpc.embedding_model_not_set", name=name), field=f"embedding.model.{name}")
        if not _MODEL_WORD.fullmatch(value):
            raise InvalidField(message("error.rpc.embedding_model_unfit", name=name), field=f"embedding.model.{name}")
    return ModelId(model.pack, model.version, model.sha256)


def embedding_from(sent: pb.Embedding, model: ModelId, size: int) -> Embedding:
    """Return an embedding to be compared with those of `model`; raises `MissingField`, or what is wrong with it."""
    own = model_from(sent)
    model.require_same(own)
    found = len(sent.vector)
    if found != size:  # before a long vector is converted
        raise EmbeddingWrongSize(
            message("error.types.embedding_size", found=found, size=size), expected=str(size), found=str(found)
        )
    return checked_embedding(np.array(sent.vector, dtype=np.float64), own, size)


def model_message(model: ModelId) -> pb.ModelId:
    """Build the message of a model id."""
    return pb.ModelId(pack=model.pack, version=model.version, sha256=model.sha256)


def embedding_message(embedding: Embedding) -> pb.Embedding:
    """Build the message of an embedding."""
    return pb.Embedding(vector=embedding.vector.tolist(), model=model_message(embedding.model))


def face_message(face: Face) -> pb.Face:
    """Build the message of a face."""
    points = [pb.Point(x=x, y=y) for x, y in face.detection.landmarks.tolist()]
    return pb.Face(
        box=_box_message(face),
        landmarks=pb.Landmarks(
            left_eye=points[0], right_eye=points[1], nose=points[2], mouth_left=points[3], mouth_right=points[4]
        ),
        score=face.detection.score,
        quality=quality_message(face.quality),
    )


def choice_message(choice: Selected | None) -> pb.FaceChoice | None:
    """Build the message of the choice of a face; None stays None."""
    if choice is None:
        return None
    passed = [
        pb.PassedOverFace(box=_box_message(face), reason=pb.PassedOverReason.Value(f"PASSED_OVER_REASON_{why}"))
        for face, why in choice.passed_over
    ]
    return pb.FaceChoice(number=choice.number, faces=choice.faces, passed_over=passed)


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """Build the message of a moment."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def timestamp_ms(at_ms: int) -> timestamp_pb2.Timestamp:
    """Build the message of a moment, given as milliseconds since 1970, UTC."""
    message = timestamp_pb2.Timestamp()
    message.FromMilliseconds(at_ms)
    return message


def duration(length: timedelta) -> duration_pb2.Duration:
    """Build the message of a duration."""
    message = duration_pb2.Duration()
    message.FromTimedelta(length)
    return message


def refusal(error: FrError) -> pb.Refusal:
    """Build the refusal of one item of a stream."""
    return pb.Refusal(reason=reason_value(error), message=error.told, metadata=error.metadata)


def _box_message(face: Face) -> pb.BoundingBox:
    left, top, right, bottom = face.detection.box.tolist()
    return pb.BoundingBox(left=left, top=top, right=right, bottom=bottom)


def quality_message(quality: Quality) -> pb.Quality:
    """Build the message of a quality."""
    return pb.Quality(
        score=quality.score,
        reasons=[pb.QualityReason.Value(f"QUALITY_REASON_{reason}") for reason in quality.reasons],
        inter_eye_px=quality.inter_eye_px,
        sharpness=quality.sharpness,
        brightness=quality.brightness,
        yaw=quality.yaw,
        pitch=quality.pitch,
        roll=quality.roll,
        detector_score=quality.detector_score,
        embedding_norm=quality.embedding_norm,
    )
