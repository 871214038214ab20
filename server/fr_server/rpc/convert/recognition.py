"""Messages of RecognitionService, from values."""

from __future__ import annotations

from fr_api.v1 import recognition_pb2 as pb
from fr_core.pipeline import AnalyzedPhoto, DetectedPhoto
from fr_core.types import EmbeddedFace, Embedding, Face
from fr_server.rpc.convert.calibration import InForce, error_rates, likelihood_ratio
from fr_server.rpc.convert.common import NOTICE, embedding_message, face_message, model_message


def detect_response(photo: DetectedPhoto) -> pb.DetectResponse:
    """Build the answer of Detect."""
    return pb.DetectResponse(
        faces=[face_message(face) for face in photo.faces],
        image_width=photo.image.width,
        image_height=photo.image.height,
    )


def embed_response(photo: AnalyzedPhoto) -> pb.EmbedResponse:
    """Build the answer of Embed."""
    return pb.EmbedResponse(
        faces=[_embedded_face(face) for face in photo.faces],
        image_width=photo.image.width,
        image_height=photo.image.height,
    )


def compare_response(
    a: Embedding,
    b: Embedding,
    face_a: Face | None,
    face_b: Face | None,
    threshold: float,
    in_force: InForce | None = None,
) -> pb.CompareResponse:
    """Build the answer of Compare; a face is None where an embedding was sent, `in_force` without a calibration."""
    similarity = a.similarity(b)
    return pb.CompareResponse(
        similarity=similarity,
        threshold=threshold,
        above_threshold=similarity >= threshold,
        face_a=None if face_a is None else face_message(face_a),
        face_b=None if face_b is None else face_message(face_b),
        model=model_message(a.model),
        notice=NOTICE,
        error_rates=None if in_force is None else error_rates(in_force, threshold),
        likelihood_ratio=None if in_force is None else likelihood_ratio(in_force.calibration, similarity),
    )


def _embedded_face(face: EmbeddedFace) -> pb.EmbeddedFace:
    return pb.EmbeddedFace(face=face_message(face.face), embedding=embedding_message(face.embedding))
