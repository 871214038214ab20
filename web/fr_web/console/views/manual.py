"""The manual of good practice, for everybody who is signed in; and its style, which is also that of the file."""

from starlette.responses import Response

from fr_api.v1 import training_pb2
from fr_web.console.lessons import manual_html
from fr_web.console.visit import Screen, Visit


async def manual(visit: Visit) -> Response:
    """Show the manual, whose addresses of chapters and parts stay, such as /manual#records."""
    found = await _found(visit)
    return visit.page("manual.html", tongue=found.language, text=manual_html(found.html))


async def style(visit: Visit) -> Response:
    """Send the style, with the version for the foot of each printed sheet."""
    text = (await _found(visit)).html.partition("<style>")[2].partition("</style>")[0]
    return Response(text, media_type="text/css")


async def _found(visit: Visit) -> training_pb2.GetManualResponse:
    request = training_pb2.GetManualRequest(language=visit.language)
    return await visit.ask(request, training_pb2.GetManualResponse)


SCREENS = (
    Screen("/manual", manual),
    Screen("/manual/style", style),
)
