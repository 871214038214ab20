"""A subject of a gallery: its templates and photos, and its erasure with a receipt."""

from dataclasses import dataclass

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, gallery_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.views.galleries import READS
from fr_web.console.visit import Screen, Visit, inquiry_of, kind_of_photo
from fr_web.console.words import PURPOSES
from fr_web.errors import refused
from fr_web.room import invalid


@dataclass(frozen=True, slots=True)
class Erase:
    """The word that an erasure is meant."""

    sure: bool = False


async def subject(visit: Visit) -> Response:
    """Show a subject, or ask for the purpose first."""
    return await _shown(visit, visit.query("id"))


async def erase(visit: Visit) -> Response:
    """Erase a subject, and show the receipt, which is to be printed or kept."""
    subject_id = visit.query("id")
    if not visit.form(Erase).sure:
        error = invalid(visit.text(message("console.erase.not_sure")), "sure")
        return await _shown(visit, subject_id, error)
    request = gallery_pb2.EraseSubjectRequest(gallery_id=visit.path["gallery"], subject_id=subject_id)
    receipt = await visit.ask(request, gallery_pb2.EraseSubjectResponse)
    return visit.page("receipt.html", gallery_id=visit.path["gallery"], receipt=receipt)


async def photo(visit: Visit) -> Response:
    """Send the photo of a template, which only browsers of this site get and none keeps."""
    number = visit.query("template")
    if not (number.isdecimal() and len(number) < 19):
        raise invalid("The address names no template.", "template")
    request = gallery_pb2.GetTemplateRequest(
        gallery_id=visit.path["gallery"], template_id=int(number), include_photo=True, **inquiry_of(visit.who)
    )
    data = (await visit.ask(request, gallery_pb2.GetTemplateResponse)).photo.data
    kind = kind_of_photo(data)
    if not kind:
        words = "There is no photo of this template that a browser can show."
        raise refused(grpc.StatusCode.NOT_FOUND, "", words)
    return Response(data, media_type=kind, headers={"content-security-policy": "default-src 'none'; sandbox"})


async def _shown(visit: Visit, subject_id: str, error: FrApiError | None = None) -> Response:
    gallery_id = visit.path["gallery"]
    kept = await visit.ask(gallery_pb2.GetGalleryRequest(gallery_id=gallery_id), gallery_pb2.GetGalleryResponse)
    told = inquiry_of(visit.who)
    must_say = kept.gallery.use == gallery_pb2.GALLERY_USE_OPERATIONAL and not told
    found = gallery_pb2.GetSubjectResponse()
    if not must_say:
        request = gallery_pb2.GetSubjectRequest(gallery_id=gallery_id, subject_id=subject_id, **told)
        found = await visit.ask(request, gallery_pb2.GetSubjectResponse)
    return visit.page(
        "subject.html",
        error,
        gallery=kept.gallery,
        subject=found.subject,
        subject_id=subject_id,
        must_say=must_say,
        purposes=PURPOSES,
        may_enrol=access_pb2.ROLE_OPERATOR in visit.who.roles,
        sees_photos=kept.gallery.keeps_photos and access_pb2.ROLE_OPERATOR in visit.who.roles,
    )


SCREENS = (
    Screen("/galleries/{gallery}/subject", subject, roles=READS),
    Screen("/galleries/{gallery}/subject", erase, method="POST", roles=READS),
    Screen("/galleries/{gallery}/photo", photo, roles=frozenset({access_pb2.ROLE_OPERATOR})),
)
