"""ServerService: what this server is and what it accepts."""

from __future__ import annotations

from typing import Any

import grpc

from fr_api.v1 import server_pb2 as pb
from fr_api.v1 import server_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ServerService(server_pb2_grpc.ServerServiceServicer):
    """Tells what does not change while the server runs."""

    def __init__(self, info: pb.GetServerInfoResponse) -> None:
        self._info = info

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        return self._info
