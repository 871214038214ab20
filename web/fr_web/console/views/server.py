"""The server: its health, models, device and limits, and what the visitor's own key allows."""

from starlette.responses import Response

from fr_api.v1 import access_pb2, server_pb2
from fr_locales.messages import message
from fr_web.console.visit import Screen, Visit

_LOOKS = frozenset({access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR, access_pb2.ROLE_OPERATOR, access_pb2.ROLE_TRAINER})


async def server(visit: Visit) -> Response:
    """Describe the server that answers, and what the key of the visitor allows."""
    found = await visit.ask(server_pb2.GetServerInfoRequest(), server_pb2.GetServerInfoResponse)
    own = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    return visit.page("server.html", found=found, own=own, ready=await visit.desk.is_ready())


SCREENS = (
    Screen("/server", server, roles=_LOOKS, nav=message("console.nav.server"), about=message("console.about.server")),
)
