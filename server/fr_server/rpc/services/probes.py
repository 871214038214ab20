"""Reads the faces to compare, enrol or search for from the photo or embedding that a call sent."""

from dataclasses import dataclass

from fr_api.v1 import recognition_pb2
from fr_core.errors import MissingField, message
from fr_core.pipeline import FacePolicy, Pipeline, Selected, select
from fr_core.types import Embedding, Face, ModelId
from fr_server.pools import Work
from fr_server.rpc.convert.common import embedding_from, image_data


@dataclass(frozen=True, slots=True, eq=False)
class ProbeFace:
    """A face to compare; its choice and the sha256 of its photo are None if the caller sent an embedding."""

    embedding: Embedding
    choice: Selected | None
    image_sha256: str | None

    @property
    def face(self) -> Face | None:
        """Return the face in its photo; None if the caller sent an embedding."""
        return None if self.choice is None else self.choice.face.face


class Probes:
    """Reads the probes of calls: finds and embeds the faces of photos with a pipeline."""

    def __init__(self, pipeline: Pipeline, work: Work) -> None:
        self.pipeline = pipeline
        self._work = work

    async def read(
        self, probe: recognition_pb2.Probe, field: str, policy: FacePolicy, model: ModelId, size: int
    ) -> tuple[ProbeFace, ...]:
        """Return the faces of a probe by `policy`, each with an embedding of `model`.

        Raises `MissingField`, `ModelMismatch`, `NoFaceFound`, `SeveralFaces`, and as decoding and embeddings do.
        """
        if probe.WhichOneof("source") != "image":
            return (self.sent(probe, field, model, size),)
        model.require_same(self.pipeline.model)
        photo = await self._work.photo(self.pipeline.analyze, image_data(probe.image, f"{field}.image"))
        return tuple(ProbeFace(one.face.embedding, one, photo.image.sha256) for one in select(photo, policy))

    @staticmethod
    def sent(probe: recognition_pb2.Probe, field: str, model: ModelId, size: int) -> ProbeFace:
        """Return the embedding of a probe without a photo; raises `MissingField`, and as `embedding_from`."""
        if probe.WhichOneof("source") is None:
            raise MissingField(message("error.rpc.holds_neither_photo_nor", field=field), field=field)
        return ProbeFace(embedding_from(probe.embedding, model, size), None, None)
