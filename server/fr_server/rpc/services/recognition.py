"""RecognitionService: faces, embeddings and 1:1 comparison, without a gallery."""

from collections.abc import AsyncIterator

from fr_api.v1 import common_pb2, recognition_pb2_grpc
from fr_api.v1 import recognition_pb2 as pb
from fr_core.errors import InputRefused
from fr_core.pipeline import FacePolicy
from fr_server.pools import Work
from fr_server.rpc.convert.calibration import criterion
from fr_server.rpc.convert.common import face_policy, image_data, require_batch
from fr_server.rpc.convert.recognition import compare_response, detect_response, embed_response
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.decisions import Decisions
from fr_server.rpc.services.items import answer_items, item_refusal
from fr_server.rpc.services.probes import ProbeFace, Probes


class RecognitionService(recognition_pb2_grpc.RecognitionServiceServicer):
    """Finds, embeds and compares faces; keeps nothing."""

    def __init__(self, probes: Probes, work: Work, decisions: Decisions, stream_window: int) -> None:
        self._probes = probes
        self._work = work
        self._decisions = decisions
        self._stream_window = stream_window

    async def Detect(self, request: pb.DetectRequest, context: Context) -> pb.DetectResponse:
        return await self._work.photo(self._detected, image_data(request.image, "image"))

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        return await self._embed(request.image)

    async def BatchEmbed(self, request: pb.BatchEmbedRequest, context: Context) -> pb.BatchEmbedResponse:
        require_batch(len(request.images), "images")
        outcomes = await self._work.photos(self._batch_embedded, request.images)
        return pb.BatchEmbedResponse(results=map(_result, outcomes))

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.CompareResponse:
        policy = face_policy(request.several_faces, allow_all=False)
        model = self._probes.pipeline.model
        in_force = self._decisions.in_force(model)
        threshold = self._decisions.threshold(criterion(request), model, in_force)
        a, b = await self._side(request.a, "a", policy), await self._side(request.b, "b", policy)
        return compare_response(a.embedding, b.embedding, a.choice, b.choice, threshold, in_force)

    def StreamEmbed(
        self, request_iterator: AsyncIterator[pb.StreamEmbedRequest], context: Context
    ) -> AsyncIterator[pb.StreamEmbedResponse]:
        async def fill(request: pb.StreamEmbedRequest, response: pb.StreamEmbedResponse) -> None:
            response.embedded.CopyFrom(await self._embed(request.image))

        return answer_items(request_iterator, pb.StreamEmbedResponse, fill, self._stream_window, self._work)

    async def _embed(self, image: common_pb2.Image) -> pb.EmbedResponse:
        return await self._work.photo(self._embedded, image_data(image, "image"))

    # In the thread of the photo: all calls wait for what the event loop does.

    def _detected(self, photo: bytes) -> pb.DetectResponse:
        return detect_response(self._probes.pipeline.detect(photo))

    def _embedded(self, photo: bytes) -> pb.EmbedResponse:
        return embed_response(self._probes.pipeline.analyze(photo))

    def _batch_embedded(self, image: common_pb2.Image) -> pb.BatchEmbedResult:
        return pb.BatchEmbedResult(embedded=self._embedded(image_data(image, "images")))

    async def _side(self, probe: pb.Probe, field: str, policy: FacePolicy) -> ProbeFace:
        pipeline = self._probes.pipeline
        try:
            (side,) = await self._probes.read(probe, field, policy, pipeline.model, pipeline.embedding_size)
        except InputRefused as refusal:
            refusal.metadata.setdefault("field", f"{field}.{probe.WhichOneof('source')}")  # such as a.image
            raise
        return side


def _result(outcome: pb.BatchEmbedResult | BaseException) -> pb.BatchEmbedResult:
    if isinstance(outcome, pb.BatchEmbedResult):
        return outcome
    if not isinstance(outcome, Exception):
        raise outcome
    return pb.BatchEmbedResult(refusal=item_refusal(outcome))
