"""A search with a photo: leads for a human examiner, beside the probe."""

from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, gallery_pb2, recognition_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.views.galleries import list_galleries, must_state, name_of, read_gallery
from fr_web.console.visit import Screen, Visit, embedded

_SEARCHES = frozenset({access_pb2.ROLE_OPERATOR})


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
            raise visit.invalid(message("console.search.no_photo"), "photo")
        kept = await read_gallery(visit, form.gallery)
        request = gallery_pb2.SearchRequest(
            gallery_id=form.gallery,
            probe=recognition_pb2.Probe(image=common_pb2.Image(data=form.photo)),
            top_k=max(form.candidates, 0),
            **visit.stated_purpose,
        )
        found = await visit.ask(request, gallery_pb2.SearchResponse)
    except FrApiError as error:
        return await _form(visit, form, error)
    return visit.page(
        "leads.html",
        gallery=kept,
        found=found,
        probe=embedded(form.photo),
        potential=gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES,
    )


async def _form(visit: Visit, form: Wanted, error: FrApiError | None = None) -> Response:
    kept = await list_galleries(visit)
    galleries = {one.gallery_id: name_of(one) for one in kept}
    return visit.page("search.html", error, form=form, galleries=galleries, must_say=must_state(visit, *kept))


SCREENS = (
    Screen(
        "/search", search, roles=_SEARCHES, nav=message("console.nav.search"), about=message("console.about.search")
    ),
    Screen("/search", run, method="POST", roles=_SEARCHES, takes_file=True),
)
