"""Messages that change galleries and subjects, to values: nothing changes but what their mask names."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import InvalidField
from fr_core.gallery.checks import require_metadata
from fr_core.gallery.values import KEEP, GalleryUpdate, SubjectUpdate
from fr_server.rpc.convert.gallery import expiry, retention

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
        can = f"{', '.join(f'`{name}`' for name in others)} and `{last}`"
        wrong = "names a field that cannot change" if named else "names no field"
        raise InvalidField(f"`update_mask` {wrong}; {can} can change.", field="update_mask")
    return named
