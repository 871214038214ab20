"""A search with a photo: leads for a human examiner, beside the probe."""

from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, gallery_pb2, recognition_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.visit import Screen, Visit, embedded, inquiry_of
from fr_web.console.words import PURPOSES, QUALITY
from fr_web.room import invalid

_SEARCHES = frozenset({access_pb2.ROLE_OPERATOR})
_MOST_GALLERIES = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search: the gallery, the photo of the probe, and the length of the list."""

    gallery: str = ""
    photo: bytes = b""
    candidates: int = 10


async def search(visit: Visit) -> Response:
    """Show the form of a search."""
    return await _form(visit, Wanted(gallery=visit.query("gallery")))


async def run(visit: Visit) -> Response:
    """Search, and show the leads; nothing of the photo stays here."""
    form = Wanted()
    try:
        form = visit.form(Wanted)
        if not form.photo:
            raise invalid(visit.text(message("console.search.no_photo")), "photo")
        kept = await visit.ask(gallery_pb2.GetGalleryRequest(gallery_id=form.gallery), gallery_pb2.GetGalleryResponse)
        request = gallery_pb2.SearchRequest(
            gallery_id=form.gallery,
            probe=recognition_pb2.Probe(image=common_pb2.Image(data=form.photo)),
            top_k=max(form.candidates, 0),
            **inquiry_of(visit.who),
        )
        found = await visit.ask(request, gallery_pb2.SearchResponse)
    except FrApiError as error:
        return await _form(visit, form, error)
    return visit.page(
        "leads.html",
        gallery=kept.gallery,
        found=found,
        probe=embedded(form.photo),
        quality=QUALITY,
        potential=gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES,
    )


async def _form(visit: Visit, form: Wanted, error: FrApiError | None = None) -> Response:
    request = gallery_pb2.ListGalleriesRequest(page_size=_MOST_GALLERIES)
    found = await visit.ask(request, gallery_pb2.ListGalleriesResponse)
    operational = any(one.use == gallery_pb2.GALLERY_USE_OPERATIONAL for one in found.galleries)
    must_say = operational and not visit.who.inquiry
    return visit.page("search.html", error, form=form, galleries=found.galleries, must_say=must_say, purposes=PURPOSES)


SCREENS = (
    Screen(
        "/search", search, roles=_SEARCHES, nav=message("console.nav.search"), about=message("console.about.search")
    ),
    Screen("/search", run, method="POST", roles=_SEARCHES, takes_file=True),
)
