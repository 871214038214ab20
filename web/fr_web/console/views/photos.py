"""Photos without a gallery: two of them compared, and the faces of one with their quality."""

from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, recognition_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.addresses import embedded
from fr_web.console.visit import Screen, Visit

_COMPARES = frozenset({access_pb2.ROLE_OPERATOR})
_DETECTS = frozenset({access_pb2.ROLE_OPERATOR, access_pb2.ROLE_EXAMINER})


@dataclass(frozen=True, slots=True)
class Two:
    """Two photos to compare."""

    a: bytes = b""
    b: bytes = b""


@dataclass(frozen=True, slots=True)
class One:
    """A photo."""

    photo: bytes = b""


async def compare(visit: Visit) -> Response:
    """Show the form of a comparison."""
    return visit.page("compare.html")


async def compared(visit: Visit) -> Response:
    """Compare two photos; nothing of them stays here."""
    try:
        form = visit.form(Two)
        if not (form.a and form.b):
            raise visit.invalid(message("console.compare.no_photo"), "a" if not form.a else "b")
        request = recognition_pb2.CompareRequest(a=_probe(form.a), b=_probe(form.b))
        found = await visit.ask(request, recognition_pb2.CompareResponse)
    except FrApiError as error:
        return visit.page("compare.html", error)
    sides = (
        (embedded(form.a), found.face_a, found.choice_a),
        (embedded(form.b), found.face_b, found.choice_b),
    )
    return visit.page("compared.html", found=found, sides=sides)


async def detect(visit: Visit) -> Response:
    """Show the form of a detection."""
    return visit.page("detect.html", found=None)


async def detected(visit: Visit) -> Response:
    """Show the faces of a photo, numbered; nothing of it stays here."""
    try:
        form = visit.form(One)
        if not form.photo:
            raise visit.invalid(message("console.search.no_photo"), "photo")
        request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=form.photo))
        found = await visit.ask(request, recognition_pb2.DetectResponse)
    except FrApiError as error:
        return visit.page("detect.html", error, found=None)
    return visit.page("detect.html", found=found, photo=embedded(form.photo))


def _probe(photo: bytes) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=photo))


SCREENS = (
    Screen(
        "/compare",
        compare,
        roles=_COMPARES,
        nav=message("console.nav.compare"),
        about=message("console.about.compare"),
    ),
    Screen("/compare", compared, method="POST", roles=_COMPARES, takes_file=True),
    Screen("/detect", detect, roles=_DETECTS, nav=message("console.nav.detect"), about=message("console.about.detect")),
    Screen("/detect", detected, method="POST", roles=_DETECTS, takes_file=True),
)
