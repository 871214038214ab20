"""Requires a purpose and a case from calls that give out information about people in an operational gallery."""

from __future__ import annotations

from google.protobuf.message import Message

from fr_api.v1 import common_pb2
from fr_core.errors import InvalidField
from fr_core.gallery.values import GalleryInfo, GalleryUse
from fr_server.authz.callers import current_rule
from fr_server.authz.rules import Stated
from fr_server.authz.score_rounding import value_at
from fr_trust.casework.rules import require_reference
from fr_trust.errors import NotPermitted, PurposeRequired


def require_stated(request: Message, info: GalleryInfo) -> None:
    """Check that a request states the purpose and the case that its rule and its gallery require.

    Args:
        request: of the current call, or the part of it that names the gallery.
        info: the gallery. The call must go on with this one: another gallery may have its id later.

    Raises:
        PurposeRequired: the gallery is operational, and the purpose or the reference of the case is missing.
        InvalidField: the purpose is unknown or not allowed for the call, or the reference is not a valid one.
        NotPermitted: the request asks for an embedding of an operational gallery.
    """
    rule = current_rule()
    operational = info.use is GalleryUse.OPERATIONAL
    if operational and rule.search_if and value_at(request, rule.search_if.rpartition(".")[2]):
        raise PurposeRequired("To find similar subjects in an operational gallery, use a search, not an enrolment.")
    if rule.stated is Stated.NOTHING:
        return
    purpose, reference = value_at(request, "purpose"), value_at(request, "case_reference")
    if purpose not in common_pb2.Purpose.values():
        raise InvalidField("`purpose` is not a value of Purpose.", field="purpose")
    if purpose == common_pb2.PURPOSE_GALLERY_MAINTENANCE and rule.stated is not Stated.PURPOSE:
        raise InvalidField("A search with probes cannot have the purpose of gallery maintenance.", field="purpose")
    if reference:
        require_reference(reference)
    if operational and not (purpose and reference):
        raise PurposeRequired("The gallery is operational.")
    if operational and value_at(request, "include_embedding"):
        raise NotPermitted("Embeddings of an operational gallery never leave the server.", field="include_embedding")
