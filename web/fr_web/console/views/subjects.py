"""A subject of a gallery: its templates and photos, and its erasure with a receipt."""

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, gallery_pb2
from fr_locales.messages import message
from fr_web.console.addresses import kind_of_photo
from fr_web.console.views.galleries import READS, must_state, read_gallery
from fr_web.console.visit import Screen, Visit
from fr_web.errors import refused


async def subject(visit: Visit) -> Response:
    """Show a subject, or ask for the purpose first."""
    gallery, subject_id = await read_gallery(visit), visit.query("id")
    unstated = must_state(visit, gallery)
    found = gallery_pb2.GetSubjectResponse()
    if not unstated:
        request = gallery_pb2.GetSubjectRequest(
            gallery_id=gallery.gallery_id, subject_id=subject_id, **visit.stated_purpose
        )
        found = await visit.ask(request, gallery_pb2.GetSubjectResponse)
    may_enrol = access_pb2.ROLE_OPERATOR in visit.who.roles
    return visit.page(
        "subject.html",
        gallery=gallery,
        subject=found.subject,
        subject_id=subject_id,
        must_state=unstated,
        may_enrol=may_enrol,
        sees_photos=gallery.keeps_photos and may_enrol,
    )


async def erase(visit: Visit) -> Response:
    """Erase a subject, and show the receipt, which is to be printed or kept."""
    visit.require_sure()
    request = gallery_pb2.EraseSubjectRequest(gallery_id=visit.path["gallery"], subject_id=visit.query("id"))
    receipt = await visit.ask(request, gallery_pb2.EraseSubjectResponse)
    return visit.page("receipt.html", gallery_id=visit.path["gallery"], receipt=receipt)


async def photo(visit: Visit) -> Response:
    """Send the photo of a template, which only browsers of this site get and none keeps."""
    number = visit.query("template")
    if not (number.isdecimal() and len(number) < 19):
        raise visit.invalid(message("web.no_template"), "template")
    request = gallery_pb2.GetTemplateRequest(
        gallery_id=visit.path["gallery"], template_id=int(number), include_photo=True, **visit.stated_purpose
    )
    data = (await visit.ask(request, gallery_pb2.GetTemplateResponse)).photo.data
    kind = kind_of_photo(data)
    if not kind:
        raise refused(grpc.StatusCode.NOT_FOUND, "", message("web.no_photo"))
    return Response(data, media_type=kind, headers={"content-security-policy": "default-src 'none'; sandbox"})


SCREENS = (
    Screen("/galleries/{gallery}/subject", subject, roles=READS),
    Screen("/galleries/{gallery}/subject", erase, method="POST", roles=READS),
    Screen("/galleries/{gallery}/photo", photo, roles=frozenset({access_pb2.ROLE_OPERATOR})),
)
