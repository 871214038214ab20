"""Messages of RecognitionService, from values."""

from fr_api.v1 import recognition_pb2 as pb
from fr_core.pipeline import AnalyzedPhoto, DetectedPhoto, Selected
from fr_core.quality.prominent import prominent
from fr_core.types import EmbeddedFace, Embedding
from fr_locales.rendering import render
from fr_server.rpc.convert.calibration import InForce, ProbeName, error_rates, likelihood_ratio, withheld_from
from fr_server.rpc.convert.common import NOTICE, choice_message, embedding_message, face_message, model_message


def detect_response(photo: DetectedPhoto) -> pb.DetectResponse:
    """Build the answer of Detect."""
    chosen = prominent(photo.faces, (photo.image.width, photo.image.height))
    return pb.DetectResponse(
        prominent=0 if chosen is None else chosen[0] + 1,
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
    choice_a: Selected | None,
    choice_b: Selected | None,
    threshold: float,
    in_force: InForce | None = None,
) -> pb.CompareResponse:
    """Build the answer of Compare; a choice is None for an embedding, and `in_force` is None without a calibration."""
    similarity = a.similarity(b)
    chosen: dict[ProbeName, Selected | None] = {"a": choice_a, "b": choice_b}
    faces = {side: choice.face.face for side, choice in chosen.items() if choice is not None}
    withheld = None if in_force is None else withheld_from(in_force, faces)
    told = in_force if withheld is None else None
    return pb.CompareResponse(
        similarity=similarity,
        threshold=threshold,
        above_threshold=similarity >= threshold,
        face_a=face_message(faces["a"]) if "a" in faces else None,
        face_b=face_message(faces["b"]) if "b" in faces else None,
        model=model_message(a.model),
        notice=render(NOTICE),
        error_rates=None if told is None else error_rates(told, threshold),
        likelihood_ratio=None if told is None else likelihood_ratio(told.calibration, similarity),
        choice_a=choice_message(choice_a),
        choice_b=choice_message(choice_b),
        rates_withheld=withheld,
    )


def _embedded_face(face: EmbeddedFace) -> pb.EmbeddedFace:
    return pb.EmbeddedFace(face=face_message(face.face), embedding=embedding_message(face.embedding))
