"""Galleries: the list, a new one, and one of them with its subjects page by page."""

from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response

from fr_api.v1 import access_pb2, gallery_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.visit import Screen, Visit, inquiry_of
from fr_web.console.words import PURPOSES, USES
from fr_web.room import invalid

SEES = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR})
MAKES = frozenset({access_pb2.ROLE_ADMIN})
READS = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_ADMIN})
_ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class NewGallery:
    """A gallery to make; `retention_days` is 0 for no limit."""

    gallery_id: str = ""
    display_name: str = ""
    use: int = gallery_pb2.GALLERY_USE_OPERATIONAL
    retention_days: int = 0
    keeps_photos: bool = False


async def galleries(visit: Visit) -> Response:
    """List the galleries that the visitor may see."""
    request = gallery_pb2.ListGalleriesRequest(page_size=_ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, gallery_pb2.ListGalleriesResponse)
    may_make = bool(visit.who.roles & MAKES)
    return visit.page("galleries.html", found=found, uses=USES, may_make=may_make)


async def new_gallery(visit: Visit) -> Response:
    """Show the form of a new gallery."""
    return visit.page("gallery_new.html", form=NewGallery(), uses=USES)


async def make_gallery(visit: Visit) -> Response:
    """Make a gallery."""
    form = visit.form(NewGallery)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=min(max(form.retention_days, 0), 36_500)))
    try:
        if form.use not in USES:
            raise invalid(visit.text(message("console.use.unknown")), "use")
        request = gallery_pb2.CreateGalleryRequest(
            gallery_id=form.gallery_id,
            display_name=form.display_name,
            keeps_photos=form.keeps_photos,
            use=next(one for one in gallery_pb2.GalleryUse.values() if one == form.use),
            retention=retention if form.retention_days else None,
        )
        await visit.ask(request, gallery_pb2.CreateGalleryResponse)
    except FrApiError as error:
        return visit.page("gallery_new.html", error, form=form, uses=USES)
    return visit.go(f"/galleries/{form.gallery_id}")


async def gallery(visit: Visit) -> Response:
    """Show a gallery, and a page of its subjects to those who may read them and have said why."""
    gallery_id = visit.path["gallery"]
    found = await visit.ask(gallery_pb2.GetGalleryRequest(gallery_id=gallery_id), gallery_pb2.GetGalleryResponse)
    told = inquiry_of(visit.who)
    may_read = bool(visit.who.roles & READS)
    must_say = found.gallery.use == gallery_pb2.GALLERY_USE_OPERATIONAL and not told
    listed = gallery_pb2.ListSubjectsResponse()
    if may_read and not must_say:
        request = gallery_pb2.ListSubjectsRequest(
            gallery_id=gallery_id, page_size=_ON_A_PAGE, page_token=visit.query("page"), **told
        )
        listed = await visit.ask(request, gallery_pb2.ListSubjectsResponse)
    return visit.page(
        "gallery.html",
        gallery=found.gallery,
        uses=USES,
        purposes=PURPOSES,
        may_read=may_read,
        must_say=must_say,
        listed=listed,
        may_search=access_pb2.ROLE_OPERATOR in visit.who.roles,
        may_make=bool(visit.who.roles & MAKES),
    )


SCREENS = (
    Screen(
        "/galleries",
        galleries,
        roles=SEES,
        nav=message("console.nav.galleries"),
        about=message("console.about.galleries"),
    ),
    Screen("/galleries", make_gallery, method="POST", roles=MAKES),
    Screen("/galleries/new", new_gallery, roles=MAKES),
    Screen("/galleries/{gallery}", gallery, roles=SEES),
)
