"""The server: its health, models, device and limits, what it holds, and what the visitor's own key allows."""

from collections import Counter
from collections.abc import Mapping

from starlette.responses import Response

from fr_api.v1 import access_pb2, server_pb2
from fr_locales.messages import Message, message
from fr_web.console.views.galleries import list_galleries
from fr_web.console.visit import Screen, Visit

_COUNTS = frozenset({access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR, access_pb2.ROLE_OPERATOR})
_WATCHES = frozenset({access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR})
_LOOKS = _COUNTS | {access_pb2.ROLE_TRAINER}
_STORES: Mapping[str, Message] = {
    "galleries": message("console.server.store_galleries"),
    "training": message("console.server.store_training"),
    "cases": message("console.server.store_cases"),
    "access": message("console.server.store_access"),
}


async def server(visit: Visit) -> Response:
    """Describe the server that answers, and what the key of the visitor allows."""
    found = await visit.ask(server_pb2.GetServerInfoRequest(), server_pb2.GetServerInfoResponse)
    own = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    galleries = await list_galleries(visit) if visit.who.roles & _COUNTS else None
    calls, counts = None, Counter[str]()
    if visit.who.roles & _WATCHES:
        calls = await visit.ask(server_pb2.GetServerStatusRequest(), server_pb2.GetServerStatusResponse)
        for one in calls.ended:
            kind = "faults" if one.server_fault else "answered" if one.outcome in ("OK", "CANCELLED") else "refused"
            counts[kind] += one.count
    return visit.page(
        "server.html",
        found=found,
        own=own,
        galleries=galleries,
        calls=calls,
        counts=counts,
        stores=_STORES,
        ready=await visit.desk.is_ready(),
    )


SCREENS = (
    Screen("/server", server, roles=_LOOKS, nav=message("console.nav.server"), about=message("console.about.server")),
)
