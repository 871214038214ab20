"""ServerService: what this server is and what it accepts."""

from fr_api.v1 import server_pb2 as pb
from fr_api.v1 import server_pb2_grpc
from fr_core import __version__
from fr_core.engine import Engine
from fr_core.gallery.values import MAX_PAGE_SIZE, MAX_TOP_K
from fr_server.config import Config
from fr_server.rpc.convert.common import NOTICE, model_message
from fr_server.rpc.interceptors.wrapping import Context


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
    """Tells what does not change while the server runs."""

    def __init__(self, info: pb.GetServerInfoResponse) -> None:
        self._info = info

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        return self._info
