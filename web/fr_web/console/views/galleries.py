"""Galleries: the list, a new one, and one of them with its subjects page by page."""

from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import access_pb2, gallery_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.forms import duration_of
from fr_web.console.visit import MOST_LISTED, ON_A_PAGE, Screen, Visit
from fr_web.console.words import USES

SEES = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR})
MAKES = frozenset({access_pb2.ROLE_ADMIN})
READS = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_ADMIN})


@dataclass(frozen=True, slots=True)
class NewGallery:
    """A gallery to make; `retention_days` is 0 for no limit."""

    gallery_id: str = ""
    display_name: str = ""
    use: int = gallery_pb2.GALLERY_USE_OPERATIONAL
    retention_days: int = 0
    keeps_photos: bool = False


async def read_gallery(visit: Visit, gallery_id: str | None = None) -> gallery_pb2.Gallery:
    """Return the gallery that the path names, or another one; raises `FrApiError`."""
    gallery_id = visit.path["gallery"] if gallery_id is None else gallery_id
    request = gallery_pb2.GetGalleryRequest(gallery_id=gallery_id)
    return (await visit.ask(request, gallery_pb2.GetGalleryResponse)).gallery


async def list_galleries(visit: Visit) -> list[gallery_pb2.Gallery]:
    """Return all galleries that the key of the visitor reaches; raises `FrApiError`."""
    galleries: list[gallery_pb2.Gallery] = []
    request = gallery_pb2.ListGalleriesRequest(page_size=MOST_LISTED)
    while True:
        found = await visit.ask(request, gallery_pb2.ListGalleriesResponse)
        galleries += found.galleries
        if not found.next_page_token:
            return galleries
        request.page_token = found.next_page_token


def name_of(gallery: gallery_pb2.Gallery) -> str:
    """Return what a gallery is called."""
    return gallery.display_name or gallery.gallery_id


def must_state(visit: Visit, *galleries: gallery_pb2.Gallery) -> bool:
    """Return whether the visitor has to state a purpose before they read one of these."""
    return not visit.who.inquiry and any(one.use == gallery_pb2.GALLERY_USE_OPERATIONAL for one in galleries)


async def galleries(visit: Visit) -> Response:
    """List the galleries that the visitor may see."""
    request = gallery_pb2.ListGalleriesRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, gallery_pb2.ListGalleriesResponse)
    may_make = bool(visit.who.roles & MAKES)
    return visit.page("galleries.html", found=found, may_make=may_make)


async def new_gallery(visit: Visit) -> Response:
    """Show the form of a new gallery."""
    return visit.page("gallery_new.html", form=NewGallery())


async def make_gallery(visit: Visit) -> Response:
    """Make a gallery."""
    form = visit.form(NewGallery)
    try:
        if form.use not in USES:
            raise visit.invalid(message("console.use.unknown"), "use")
        request = gallery_pb2.CreateGalleryRequest(
            gallery_id=form.gallery_id,
            display_name=form.display_name,
            keeps_photos=form.keeps_photos,
            use=gallery_pb2.GalleryUse.ValueType(form.use),
            retention=duration_of(form.retention_days),
        )
        await visit.ask(request, gallery_pb2.CreateGalleryResponse)
    except FrApiError as error:
        return visit.page("gallery_new.html", error, form=form)
    return visit.go(f"/galleries/{form.gallery_id}")


async def gallery(visit: Visit) -> Response:
    """Show a gallery, and a page of its subjects to those who may read them and have said why."""
    kept = await read_gallery(visit)
    may_read = bool(visit.who.roles & READS)
    must_say = must_state(visit, kept)
    listed = gallery_pb2.ListSubjectsResponse()
    if may_read and not must_say:
        request = gallery_pb2.ListSubjectsRequest(
            gallery_id=kept.gallery_id, page_size=ON_A_PAGE, page_token=visit.query("page"), **visit.stated_purpose
        )
        listed = await visit.ask(request, gallery_pb2.ListSubjectsResponse)
    return visit.page(
        "gallery.html",
        gallery=kept,
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
