"""Recognition without a gallery, for the asynchronous client."""

from collections.abc import AsyncIterator, Sequence

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_client import requests, unpack
from fr_client.aio.calls import AsyncCalls, AsyncPart
from fr_client.channel import DEFAULT_MAX_IN_FLIGHT
from fr_client.requests import EmbedItem, FaceSource, Photo
from fr_client.streams import STORES_NOTHING
from fr_client.tasks import Items, run
from fr_client.words import OneFace


class AsyncRecognition(AsyncPart):
    """Finds, embeds and compares faces: a part of `AsyncClient`."""

    def __init__(self, calls: AsyncCalls) -> None:
        super().__init__(calls)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(calls.unary)
        self._recognition_streams = recognition_pb2_grpc.RecognitionServiceStub(calls.streams)

    async def detect(self, photo: Photo) -> recognition_pb2.DetectResponse:
        """Find every face of a photo, the largest first; a photo without a face is not an error."""
        request = recognition_pb2.DetectRequest(image=await run(requests.image, photo, await self._calls.fit()))
        return await self._calls.call(self._recognition.Detect, request)

    async def embed(self, photo: Photo) -> recognition_pb2.EmbedResponse:
        """Find and embed every face of a photo, the largest first; a photo without a face is not an error."""
        request = recognition_pb2.EmbedRequest(image=await run(requests.image, photo, await self._calls.fit()))
        return await self._calls.call(self._recognition.Embed, request)

    async def embed_batch(self, photos: Sequence[Photo]) -> list[recognition_pb2.EmbedResponse | common_pb2.Refusal]:
        """Embed 1 to 64 photos in one call, which costs less than a call for each; return an answer for each in order.

        A refused photo does not affect the others. Their total size is limited to that of a message: four of the
        largest photos that the server takes.
        """
        request = await run(requests.batch_embed, photos, await self._calls.fit())
        response = await self._calls.call(self._recognition.BatchEmbed, request)
        return list(map(unpack.result("embedded"), response.results))

    async def compare(
        self,
        a: FaceSource,
        b: FaceSource,
        *,
        several_faces: OneFace = "prominent",
        threshold: float | None = None,
        target_fmr: float | None = None,
    ) -> recognition_pb2.CompareResponse:
        """Compare two faces.

        Args:
            several_faces: what to do with a photo of several faces; "prominent" takes the face that is clearly the
                subject, and refuses the photo if no face is.
            threshold: similarity that the answer compares with, from -1 to 1; None for the model's default.
            target_fmr: in place of a threshold, the false match rate to hold, above 0 and at most 1.
        """
        fit = await self._calls.fit()
        request = await run(requests.compare, a, b, fit, several_faces, threshold, target_fmr)
        return await self._calls.call(self._recognition.Compare, request)

    def embed_many(
        self, photos: Items[EmbedItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> AsyncIterator[tuple[str, recognition_pb2.EmbedResponse | common_pb2.Refusal]]:
        """Embed many photos; see `enrol_many` for the order and the limits."""
        start = self._recognition_streams.StreamEmbed
        return self._calls.exchange(
            start, photos, requests.stream_embed, unpack.result("embedded"), max_in_flight, STORES_NOTHING
        )
