"""Messages of StreamEnrolEmbeddings, to and from values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_api.v1 import common_pb2
from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import EmbeddingWrongSize, FrError, InvalidField, MissingField
from fr_core.gallery.values import Enrolled, Enrolment, GalleryInfo, NewTemplate
from fr_core.types import Embedding
from fr_server.rpc.convert.common import model_from, refusal

# Of one request.
MAX_EMBEDDINGS = 1000


def enrolments(request: pb.EnrolEmbeddingsRequest, info: GalleryInfo) -> list[Enrolment]:
    """Return what is to be enrolled into a gallery, which checks the values of the embeddings itself.

    Raises:
        MissingField, InvalidField: no embedding or too many, or no model.
        ModelMismatch: they are of another model.
        EmbeddingWrongSize: the vectors are not one of the gallery's size for each subject.
    """
    count, size, sent = len(request.subjects), info.embedding_size, request.model
    if not count:
        raise MissingField("`subjects` is empty.", field="subjects")
    if count > MAX_EMBEDDINGS:
        raise InvalidField(
            f"There are {count} embeddings; {MAX_EMBEDDINGS} are allowed.", field="subjects", limit=str(MAX_EMBEDDINGS)
        )
    if not (sent.pack and sent.version and sent.sha256):
        raise MissingField("`model` does not name a model.", field="model")
    info.model.require_same(model_from(common_pb2.Embedding(model=sent)))
    packed = request.vectors
    if len(packed) != 4 * count * size:
        raise EmbeddingWrongSize(
            f"The vectors have {len(packed)} bytes; {count} embeddings of {size} values have {4 * count * size}.",
            expected=str(4 * count * size),
            found=str(len(packed)),
        )
    vectors = np.frombuffer(packed, dtype="<f4").astype(np.float32, copy=False).reshape(count, size)
    return [
        Enrolment(
            subject.subject_id, NewTemplate(Embedding(vector, info.model)), subject.display_name, dict(subject.metadata)
        )
        for subject, vector in zip(request.subjects, vectors, strict=True)
    ]


def embeddings_response(outcomes: Sequence[Enrolled | FrError]) -> pb.EnrolEmbeddingsResponse:
    """Build the answer of one request of StreamEnrolEmbeddings."""
    stored = [outcome for outcome in outcomes if isinstance(outcome, Enrolled)]
    return pb.EnrolEmbeddingsResponse(
        template_ids=[0 if isinstance(outcome, FrError) else outcome.template_id for outcome in outcomes],
        refusals=[
            pb.RefusedEmbedding(row=row, refusal=refusal(outcome))
            for row, outcome in enumerate(outcomes)
            if isinstance(outcome, FrError)
        ],
        created_subjects=sum(outcome.subject_created for outcome in stored),
        gallery_version=stored[0].gallery_version if stored else None,
    )
