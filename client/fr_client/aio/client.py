"""The asynchronous client of the API."""

from functools import cached_property
from pathlib import Path
from typing import Self

import grpc

from fr_api.v1 import server_pb2
from fr_client.aio.access import AsyncAccess
from fr_client.aio.audit import AsyncAudit
from fr_client.aio.calls import AsyncCalls
from fr_client.aio.evaluation import AsyncEvaluation
from fr_client.aio.recognition import AsyncRecognition
from fr_client.aio.review import AsyncReview
from fr_client.aio.subjects import AsyncSubjects
from fr_client.aio.training import AsyncTraining
from fr_client.aio.video import AsyncVideo
from fr_client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, RetryPolicy
from fr_client.connection import read_connection
from fr_client.identity import TlsCredentials
from fr_client.requests import Photo, photo_bytes
from fr_client.tasks import run


class AsyncClient(AsyncRecognition, AsyncSubjects, AsyncEvaluation):
    """A connection to an FR Core server; use it as a context manager, or `close` it.

    Give photos as encoded bytes or as a `Path`; answers are the messages of `fr_api.v1`.
    It belongs to the event loop that made it, and reads files in threads of their own.

    Args:
        target: the server's address, HOST:PORT.
        timeout_s: seconds that a call may take, with its repetitions; for a stream, the longest wait for the next
            answer. None for no limit.
        credentials: `tls_credentials`, or gRPC's own, with which errors do not say what is wrong; None for no
            encryption.
        token: an API key or a token of the identity provider; "" if the server does not check callers. Without
            encryption it is sent only to this machine.
        downscale: whether to scale down photos over the server's limits; this needs Pillow (see `fit_photo`).
        retry: when to call again if the server refused to begin.

    Every method raises `FrApiError` if the server refuses the call or the call fails, and `OSError` if the file of a
    photo cannot be read.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | TlsCredentials | None = None,
        token: str = "",
        downscale: bool = True,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.target = target
        super().__init__(AsyncCalls(target, timeout_s, credentials, token, downscale, retry))

    @classmethod
    def from_connection(
        cls,
        path: str | Path,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        certificate: Path | None = None,
        certificate_key: Path | None = None,
        downscale: bool = True,
        retry: RetryPolicy | None = None,
    ) -> Self:
        """Return a client for the server of a connection file, with the authority and the key of the file.

        `certificate` and `certificate_key` are PEM files of the client's own certificate, for a server that asks for
        one. The other arguments are those of the class.

        Raises `OSError` if a file cannot be read, or if other users of this machine can read the key. Raises
        `ValueError` if the file is not a connection file, or if the key would be sent without encryption.
        """
        path = Path(path)
        place = read_connection(path)
        return cls(
            place.server,
            timeout_s=timeout_s,
            credentials=place.credentials(path, certificate, certificate_key),
            token=place.key,
            downscale=downscale,
            retry=retry,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        await self._calls.close()

    async def server_info(self) -> server_pb2.GetServerInfoResponse:
        """Return the server's version, model, device and limits."""
        return await self._calls.server_info()

    async def server_status(self) -> server_pb2.GetServerStatusResponse:
        """Return how the server is doing: calls, photos, stores and model packs; for administrators and auditors."""
        return await self._calls.server_status()

    async def fit_photo(self, photo: Photo) -> bytes:
        """Return a photo as every method sends it: unchanged, or as a smaller JPEG if it is over the server's limits.

        Boxes in answers are in pixels of the photo that was sent; the server stores the sha256 of that photo. Raises
        `FrApiError` (IMAGE_TOO_MANY_BYTES) if the photo is too large and cannot be scaled, or `downscale` is False.
        """
        return await run(photo_bytes, photo, await self._calls.fit())

    @cached_property
    def training(self) -> AsyncTraining:
        """Training in the comparison of faces: courses, cohorts, sittings and results."""
        return AsyncTraining(self._calls)

    @cached_property
    def access(self) -> AsyncAccess:
        """The caller's identity, and the API keys."""
        return AsyncAccess(self._calls)

    @cached_property
    def audit(self) -> AsyncAudit:
        """The calls of the audit: who did what, when and why, and whether the records are unchanged."""
        return AsyncAudit(self._calls)

    @cached_property
    def review(self) -> AsyncReview:
        """Human examination of the leads of searches: cases, examinations, findings and evidence."""
        return AsyncReview(self._calls)

    @cached_property
    def video(self) -> AsyncVideo:
        """Footage: video files, the faces that the server follows through them, and searches for these."""
        return AsyncVideo(self._calls)
