"""ServerService: what this server is and what it accepts, and how it does."""

from fr_api.v1 import server_pb2 as pb
from fr_api.v1 import server_pb2_grpc
from fr_core import __version__
from fr_core.engine import Engine
from fr_core.gallery.values import MAX_PAGE_SIZE, MAX_TOP_K
from fr_server.config import Config
from fr_server.rpc.convert.common import NOTICE, model_message, timestamp_ms
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.telemetry.listener import Tally


def server_info(config: Config, engine: Engine) -> pb.GetServerInfoResponse:
    """Build the description of a server."""
    return pb.GetServerInfoResponse(
        version=__version__,
        model=pb.ModelInfo(
            id=model_message(engine.pipeline.model),
            embedding_size=engine.pipeline.embedding_size,
            detector_licence=engine.pack.detector.licence,
            embedder_licence=engine.pack.embedder.licence,
            default_threshold=engine.pack.thresholds.similarity,
            threshold_source=engine.pack.thresholds.source,
        ),
        device=pb.DeviceInfo(
            requested=engine.device.requested,
            active=engine.device.active,
            runtime=engine.device.runtime,
            precision=engine.device.precision,
            detection=engine.detection,
        ),
        limits=pb.Limits(
            max_image_bytes=config.images.max_bytes,
            max_image_pixels=config.images.max_pixels,
            image_formats=config.images.formats,
            max_top_k=MAX_TOP_K,
            max_page_size=MAX_PAGE_SIZE,
            max_in_flight=config.server.max_in_flight,
        ),
        notice=NOTICE,
    )


class ServerService(server_pb2_grpc.ServerServiceServicer):
    """Tells what never changes while the server runs, and the counts of `tally`, for one of the `frontends`."""

    def __init__(self, info: pb.GetServerInfoResponse, tally: Tally, frontends: int) -> None:
        self._info = info
        self._tally = tally
        self._frontends = frontends

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        return self._info

    async def GetServerStatus(self, request: pb.GetServerStatusRequest, context: Context) -> pb.GetServerStatusResponse:
        tally = self._tally
        return pb.GetServerStatusResponse(
            start_time=timestamp_ms(tally.since_ms),
            calls_in_progress=tally.in_progress,
            ended=[pb.EndedCalls(outcome=outcome, count=count) for outcome, count in sorted(tally.ended.items())],
            failed=[
                pb.FailedCall(
                    end_time=timestamp_ms(one.at_ms), method=one.method, reason=one.reason, request_id=one.request_id
                )
                for one in tally.newest
            ],
            frontends=self._frontends,
        )
