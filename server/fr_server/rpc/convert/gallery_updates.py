"""Converts messages that change galleries to values: masks that name what changes, and embeddings to enrol."""

from collections.abc import Sequence

import numpy as np
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import common_pb2
from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import EmbeddingWrongSize, FrError, InvalidField, MissingField, message
from fr_core.gallery.checks import require_metadata
from fr_core.gallery.values import KEEP, Enrolled, Enrolment, GalleryInfo, GalleryUpdate, NewTemplate, SubjectUpdate
from fr_core.types import Embedding
from fr_server.rpc.convert.common import model_from, refusal
from fr_server.rpc.convert.gallery import expiry, retention, token_of

# Of one request.
MAX_EMBEDDINGS = 1000


def enrolments(request: pb.EnrolEmbeddingsRequest, info: GalleryInfo) -> list[Enrolment]:
    """Return what is to be enrolled into a gallery, which checks the values of the embeddings itself.

    Raises `MissingField` or `InvalidField` for no model, no embedding or too many; `ModelMismatch` for another model;
    and `EmbeddingWrongSize` unless there is a vector of the gallery's size for each subject.
    """
    count, size, sent = len(request.subjects), info.embedding_size, request.model
    if not count:
        raise MissingField(message("error.rpc.subjects_empty"), field="subjects")
    if count > MAX_EMBEDDINGS:
        raise InvalidField(
            message("error.rpc.embeddings_allowed", number=count, most=MAX_EMBEDDINGS),
            field="subjects",
            limit=str(MAX_EMBEDDINGS),
        )
    if not (sent.pack and sent.version and sent.sha256):
        raise MissingField(message("error.rpc.model_does_not_name"), field="model")
    info.model.require_same(model_from(common_pb2.Embedding(model=sent)))
    packed = request.vectors
    if len(packed) != 4 * count * size:
        raise EmbeddingWrongSize(
            message("error.rpc.vectors_size", length=len(packed), number=count, size=size, needed=4 * count * size),
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
        version_token=token_of(stored[0]) if stored else "",
    )


_GALLERY_FIELDS = ("display_name", "expire_time", "retention")
_SUBJECT_FIELDS = ("display_name", "metadata")


def gallery_update(request: pb.UpdateGalleryRequest) -> GalleryUpdate:
    """Return what is to change of a gallery; raises `InvalidField` for a mask or a time that is none."""
    named = _named(request.update_mask, _GALLERY_FIELDS)
    return GalleryUpdate(
        request.display_name if "display_name" in named else KEEP,
        expiry(request) if "expire_time" in named else KEEP,
        retention(request) if "retention" in named else KEEP,
    )


def subject_update(request: pb.UpdateSubjectRequest) -> SubjectUpdate:
    """Return what is to change of a subject; raises `InvalidField` for a mask or metadata that are none."""
    named = _named(request.update_mask, _SUBJECT_FIELDS)
    return SubjectUpdate(
        request.display_name if "display_name" in named else KEEP, _metadata(request) if "metadata" in named else KEEP
    )


def _metadata(request: pb.UpdateSubjectRequest) -> dict[str, str]:
    require_metadata(request.metadata)  # before they are copied
    return dict(request.metadata)


def _named(mask: FieldMask, fields: tuple[str, ...]) -> frozenset[str]:
    """Return the fields that a mask names; raises `InvalidField` for none, and for one that cannot change."""
    named = frozenset(mask.paths)
    if not named or not named.issubset(fields):
        *others, last = fields
        can = ", ".join(f"`{name}`" for name in others)
        if named:
            raise InvalidField(message("error.rpc.mask_names_other", others=can, last=last), field="update_mask")
        raise InvalidField(message("error.rpc.mask_names_none", others=can, last=last), field="update_mask")
    return named
