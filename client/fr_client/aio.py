"""The asynchronous client of the API."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from fr_api.v1 import (
    common_pb2,
    evaluation_pb2,
    evaluation_pb2_grpc,
    gallery_pb2,
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
)
from fr_client import aio_stream, requests, unpack
from fr_client.aio_access import AsyncAccess
from fr_client.aio_audit import AsyncAudit
from fr_client.aio_review import AsyncReview
from fr_client.aio_training import AsyncTraining
from fr_client.answers import Answers
from fr_client.channel import (
    DEFAULT_BATCHES_IN_FLIGHT,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT_S,
    RetryPolicy,
    channel_options,
    require_fits,
)
from fr_client.errors import from_rpc_error, without_report
from fr_client.export import Exported, write_export
from fr_client.handshake import Endpoint
from fr_client.identity import Identity, TlsCredentials, open_aio_channel, open_channel
from fr_client.report_file import FileOfReport, whole_file
from fr_client.requests import (
    KEEP,
    EmbeddingBatch,
    EmbedItem,
    EnrolItem,
    FaceSource,
    Fusion,
    Keep,
    OneFace,
    OnProgress,
    Photo,
    Purpose,
    ReadingPurpose,
    ReportFile,
    SearchItem,
    SeveralFaces,
    Use,
)
from fr_client.window import STORES_EMBEDDINGS, STORES_FACES, STORES_NOTHING, Advice, StreamSettings

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT", EmbedItem, EnrolItem, EmbeddingBatch, SearchItem)


class AsyncClient:
    """A connection to an FR Core server for asyncio; use it as an async context manager, or `close` it.

    The arguments and the methods are those of `fr_client.Client`, and so are the errors. It belongs to the event loop
    in which it was made. Files of photos are read in a thread of their own.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | TlsCredentials | None = None,
        token: str = "",
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.target = target
        self._endpoint = Endpoint(target, credentials)
        self._timeout_s = timeout_s
        self._max_message_bytes = max_message_bytes
        self._retry = retry or RetryPolicy()
        options = channel_options(target, max_message_bytes)
        identity = Identity(token, credentials)
        self._channel = open_aio_channel(target, identity, options)
        self._streams = open_channel(target, identity, options)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(self._channel)
        self._gallery = gallery_pb2_grpc.GalleryServiceStub(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)
        self._evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self._channel)
        # `aio_stream` says why streams have a channel of the synchronous API.
        self._recognition_streams = recognition_pb2_grpc.RecognitionServiceStub(self._streams)
        self._gallery_streams = gallery_pb2_grpc.GalleryServiceStub(self._streams)
        self._evaluation_streams = evaluation_pb2_grpc.EvaluationServiceStub(self._streams)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        await self._channel.close()
        await asyncio.to_thread(self._streams.close)

    async def server_info(self) -> server_pb2.GetServerInfoResponse:
        """See `Client.server_info`."""
        return await self._call(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())

    @cached_property
    def training(self) -> AsyncTraining:
        """See `Client.training`."""
        return AsyncTraining(self._channel, self._streams, self._call, self._answers, self._endpoint, self._timeout_s)

    @cached_property
    def access(self) -> AsyncAccess:
        """See `Client.access`."""
        return AsyncAccess(self._channel, self._call)

    @cached_property
    def audit(self) -> AsyncAudit:
        """See `Client.audit`."""
        return AsyncAudit(self._channel, self._streams, self._call, self._answers, self._timeout_s)

    @cached_property
    def review(self) -> AsyncReview:
        """See `Client.review`."""
        return AsyncReview(self._channel, self._streams, self._call, self._answers, self._timeout_s)

    # --- without a gallery ----------------------------------------------------------------------------------

    async def detect(self, photo: Photo) -> recognition_pb2.DetectResponse:
        """See `Client.detect`."""
        image = await asyncio.to_thread(requests.image, photo)
        return await self._call(self._recognition.Detect, recognition_pb2.DetectRequest(image=image))

    async def embed(self, photo: Photo) -> recognition_pb2.EmbedResponse:
        """See `Client.embed`."""
        image = await asyncio.to_thread(requests.image, photo)
        return await self._call(self._recognition.Embed, recognition_pb2.EmbedRequest(image=image))

    async def compare(
        self,
        a: FaceSource,
        b: FaceSource,
        *,
        several_faces: OneFace = "error",
        threshold: float | None = None,
        target_fmr: float | None = None,
    ) -> recognition_pb2.CompareResponse:
        """See `Client.compare`."""
        request = await asyncio.to_thread(requests.compare, a, b, several_faces, threshold, target_fmr)
        return await self._call(self._recognition.Compare, request)

    def embed_many(
        self,
        photos: Iterable[EmbedItem] | AsyncIterable[EmbedItem],
        *,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> AsyncIterator[tuple[str, recognition_pb2.EmbedResponse | common_pb2.Refusal]]:
        """See `Client.embed_many`."""
        items, settings = _built(photos, requests.stream_embed), self._stream(max_in_flight, STORES_NOTHING)
        return aio_stream.exchange(self._recognition_streams.StreamEmbed, items, unpack.embedded, settings)

    # --- galleries ------------------------------------------------------------------------------------------

    async def create_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str = "",
        expires: datetime | None = None,
        retention: timedelta | None = None,
        keeps_photos: bool = False,
        use: Use | None = None,
    ) -> gallery_pb2.Gallery:
        """See `Client.create_gallery`."""
        request = requests.create_gallery(gallery_id, display_name, expires, retention, keeps_photos, use)
        return (await self._call(self._gallery.CreateGallery, request)).gallery

    async def get_gallery(self, gallery_id: str) -> gallery_pb2.Gallery:
        """See `Client.get_gallery`."""
        request = gallery_pb2.GetGalleryRequest(gallery_id=gallery_id)
        return (await self._call(self._gallery.GetGallery, request)).gallery

    async def list_galleries(self, *, page_size: int | None = None) -> AsyncIterator[gallery_pb2.Gallery]:
        """See `Client.list_galleries`."""
        token = ""
        while True:
            request = gallery_pb2.ListGalleriesRequest(page_size=page_size, page_token=token)
            page = await self._call(self._gallery.ListGalleries, request)
            for gallery in page.galleries:
                yield gallery
            token = page.next_page_token
            if not token:
                return

    async def update_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str | Keep = KEEP,
        expires: datetime | Keep | None = KEEP,
        retention: timedelta | Keep | None = KEEP,
    ) -> gallery_pb2.Gallery:
        """See `Client.update_gallery`."""
        request = requests.update_gallery(gallery_id, display_name, expires, retention)
        return (await self._call(self._gallery.UpdateGallery, request)).gallery

    async def delete_gallery(self, gallery_id: str) -> gallery_pb2.DeleteGalleryResponse:
        """See `Client.delete_gallery`."""
        request = gallery_pb2.DeleteGalleryRequest(gallery_id=gallery_id)
        return await self._call(self._gallery.DeleteGallery, request)

    async def set_calibration(self, gallery_id: str, source: str | Path) -> gallery_pb2.SetCalibrationResponse:
        """See `Client.set_calibration`."""
        text = await asyncio.to_thread(requests.calibration_text, source)
        request = gallery_pb2.SetCalibrationRequest(gallery_id=gallery_id, calibration_json=text)
        return await self._call(self._gallery.SetCalibration, request)

    async def delete_calibration(self, gallery_id: str) -> gallery_pb2.DeleteCalibrationResponse:
        """See `Client.delete_calibration`."""
        request = gallery_pb2.DeleteCalibrationRequest(gallery_id=gallery_id)
        return await self._call(self._gallery.DeleteCalibration, request)

    async def calibration(self, gallery_id: str) -> gallery_pb2.GetCalibrationResponse:
        """See `Client.calibration`."""
        request = gallery_pb2.GetCalibrationRequest(gallery_id=gallery_id)
        return await self._call(self._gallery.GetCalibration, request)

    # --- enrolment and search -------------------------------------------------------------------------------

    async def enrol(
        self,
        gallery_id: str,
        subject_id: str,
        face: FaceSource,
        *,
        display_name: str = "",
        metadata: Mapping[str, str] | None = None,
        several_faces: OneFace = "error",
        report_similar: bool = False,
        similar_threshold: float | None = None,
    ) -> gallery_pb2.EnrolResponse:
        """See `Client.enrol`."""
        item = EnrolItem(
            subject_id, face, "", display_name, metadata or {}, several_faces, report_similar, similar_threshold
        )
        return await self._call(self._gallery.Enrol, await asyncio.to_thread(requests.enrol, gallery_id, item))

    def enrol_many(
        self,
        gallery_id: str,
        faces: Iterable[EnrolItem] | AsyncIterable[EnrolItem],
        *,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> AsyncIterator[tuple[str, gallery_pb2.EnrolResponse | common_pb2.Refusal]]:
        """See `Client.enrol_many`."""
        items = _built(faces, lambda item: requests.stream_enrol(gallery_id, item))
        settings = self._stream(max_in_flight, STORES_FACES)
        return aio_stream.exchange(self._gallery_streams.StreamEnrol, items, unpack.stored, settings)

    def enrol_embeddings(
        self,
        gallery_id: str,
        model: common_pb2.ModelId,
        batches: Iterable[EmbeddingBatch] | AsyncIterable[EmbeddingBatch],
        *,
        max_in_flight: int = DEFAULT_BATCHES_IN_FLIGHT,
    ) -> AsyncIterator[tuple[str, gallery_pb2.EnrolEmbeddingsResponse | common_pb2.Refusal]]:
        """See `Client.enrol_embeddings`."""
        items = _built(batches, lambda one: requests.stream_enrol_embeddings(gallery_id, model, one))
        settings = self._stream(max_in_flight, STORES_EMBEDDINGS)
        return aio_stream.exchange(self._gallery_streams.StreamEnrolEmbeddings, items, unpack.enrolled, settings)

    async def search(
        self,
        gallery_id: str,
        probe: FaceSource,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
        several_faces: SeveralFaces = "error",
        fusion: Fusion = "max",
        metadata: Mapping[str, str] | None = None,
        subject_ids: Sequence[str] | None = None,
        target_fmr: float | None = None,
        target_fpir: float | None = None,
        purpose: Purpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.SearchResponse:
        """See `Client.search`."""
        item = SearchItem(
            probe,
            top_k=top_k,
            threshold=threshold,
            only_above_threshold=only_above_threshold,
            several_faces=several_faces,
            fusion=fusion,
            metadata=metadata or {},
            subject_ids=subject_ids,
            target_fmr=target_fmr,
            target_fpir=target_fpir,
            purpose=purpose,
            case_reference=case_reference,
        )
        return await self._call(self._gallery.Search, await asyncio.to_thread(requests.search, gallery_id, item))

    def search_many(
        self,
        gallery_id: str,
        probes: Iterable[SearchItem] | AsyncIterable[SearchItem],
        *,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> AsyncIterator[tuple[str, gallery_pb2.SearchResponse | common_pb2.Refusal]]:
        """See `Client.search_many`."""
        items = _built(probes, lambda item: requests.stream_search(gallery_id, item))
        settings = self._stream(max_in_flight, STORES_NOTHING)
        return aio_stream.exchange(self._gallery_streams.StreamSearch, items, unpack.found, settings)

    # --- whole galleries ------------------------------------------------------------------------------------

    def find_duplicates(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> AsyncIterator[gallery_pb2.FindDuplicatesResponse]:
        """See `Client.find_duplicates`."""
        request = requests.find_duplicates(gallery_id, threshold, purpose, case_reference)
        return self._answers(lambda: self._gallery_streams.FindDuplicates(request), self._timeout_s)

    def cluster_gallery(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> AsyncIterator[gallery_pb2.ClusterGalleryResponse]:
        """See `Client.cluster_gallery`."""
        request = requests.cluster_gallery(gallery_id, threshold, purpose, case_reference)
        return self._answers(lambda: self._gallery_streams.ClusterGallery(request), self._timeout_s)

    # --- subjects and templates -----------------------------------------------------------------------------

    async def get_subject(
        self,
        gallery_id: str,
        subject_id: str,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.Subject:
        """See `Client.get_subject`."""
        request = requests.get_subject(gallery_id, subject_id, purpose, case_reference)
        return (await self._call(self._gallery.GetSubject, request)).subject

    async def list_subjects(
        self,
        gallery_id: str,
        *,
        page_size: int | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> AsyncIterator[gallery_pb2.Subject]:
        """See `Client.list_subjects`."""
        token = ""
        while True:
            request = requests.list_subjects(gallery_id, page_size, token, purpose, case_reference)
            page = await self._call(self._gallery.ListSubjects, request)
            for subject in page.subjects:
                yield subject
            token = page.next_page_token
            if not token:
                return

    async def update_subject(
        self,
        gallery_id: str,
        subject_id: str,
        *,
        display_name: str | Keep = KEEP,
        metadata: Mapping[str, str] | Keep = KEEP,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.Subject:
        """See `Client.update_subject`."""
        request = requests.update_subject(gallery_id, subject_id, display_name, metadata, purpose, case_reference)
        return (await self._call(self._gallery.UpdateSubject, request)).subject

    async def export_subject(
        self,
        gallery_id: str,
        subject_id: str,
        target: Path,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Exported:
        """See `Client.export_subject`; the file is written in a thread."""
        loop, cancelled = asyncio.get_running_loop(), threading.Event()

        def template(template_id: int) -> gallery_pb2.GetTemplateResponse:
            if cancelled.is_set():
                raise asyncio.CancelledError
            reading = self.get_template(
                gallery_id,
                template_id,
                embedding=embedding,
                photo=True,
                purpose=purpose,
                case_reference=case_reference,
            )
            return asyncio.run_coroutine_threadsafe(reading, loop).result()

        embedding = not requests.is_operational(await self.get_gallery(gallery_id))
        subject = await self.get_subject(gallery_id, subject_id, purpose=purpose, case_reference=case_reference)
        try:
            return await asyncio.to_thread(write_export, subject, template, target)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def delete_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.DeleteSubjectResponse:
        """See `Client.delete_subject`."""
        request = gallery_pb2.DeleteSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return await self._call(self._gallery.DeleteSubject, request)

    async def get_template(
        self,
        gallery_id: str,
        template_id: int,
        *,
        embedding: bool = False,
        photo: bool = False,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.GetTemplateResponse:
        """See `Client.get_template`."""
        request = requests.get_template(
            gallery_id, template_id, purpose, case_reference, embedding=embedding, photo=photo
        )
        return await self._call(self._gallery.GetTemplate, request)

    async def erase_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.EraseSubjectResponse:
        """See `Client.erase_subject`."""
        request = gallery_pb2.EraseSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return await self._call(self._gallery.EraseSubject, request)

    async def purge_expired(self, *, dry_run: bool = False) -> gallery_pb2.PurgeExpiredResponse:
        """See `Client.purge_expired`."""
        return await self._call(self._gallery.PurgeExpired, gallery_pb2.PurgeExpiredRequest(dry_run=dry_run))

    async def delete_template(self, gallery_id: str, template_id: int) -> gallery_pb2.DeleteTemplateResponse:
        """See `Client.delete_template`."""
        request = gallery_pb2.DeleteTemplateRequest(gallery_id=gallery_id, template_id=template_id)
        return await self._call(self._gallery.DeleteTemplate, request)

    # --- evaluation -----------------------------------------------------------------------------------------

    async def datasets(self) -> Sequence[evaluation_pb2.Dataset]:
        """See `Client.datasets`."""
        return (await self._call(self._evaluation.ListDatasets, evaluation_pb2.ListDatasetsRequest())).datasets

    async def run_verification(
        self, dataset: str, *, seed: int | None = None, on_progress: OnProgress | None = None
    ) -> evaluation_pb2.ReportSummary:
        """See `Client.run_verification`; a task that is cancelled ends the evaluation."""
        request = evaluation_pb2.RunVerificationRequest(dataset=dataset, seed=seed)
        return await self._measured(lambda: self._evaluation_streams.RunVerification(request), on_progress)

    async def run_identification(
        self,
        dataset: str,
        *,
        seed: int | None = None,
        gallery_sizes: Sequence[int] = (),
        on_progress: OnProgress | None = None,
    ) -> evaluation_pb2.ReportSummary:
        """See `Client.run_identification`; a task that is cancelled ends the evaluation."""
        request = evaluation_pb2.RunIdentificationRequest(dataset=dataset, seed=seed, gallery_sizes=gallery_sizes)
        return await self._measured(lambda: self._evaluation_streams.RunIdentification(request), on_progress)

    async def reports(self, *, page_size: int | None = None) -> AsyncIterator[evaluation_pb2.ReportSummary]:
        """See `Client.reports`."""
        token = ""
        while True:
            request = evaluation_pb2.ListReportsRequest(page_size=page_size, page_token=token)
            page = await self._call(self._evaluation.ListReports, request)
            for one in page.reports:
                yield one
            token = page.next_page_token
            if not token:
                return

    async def report(self, report_id: str, file: ReportFile = "json") -> FileOfReport:
        """See `Client.report`."""
        async with aclosing(self.report_parts(report_id, file)) as parts:
            return whole_file([part async for part in parts])

    def report_parts(
        self, report_id: str, file: ReportFile = "json"
    ) -> AsyncGenerator[evaluation_pb2.GetReportResponse]:
        """See `Client.report_parts`."""
        request = requests.get_report(report_id, file)
        return self._answers(lambda: self._evaluation_streams.GetReport(request), self._timeout_s)

    async def delete_report(self, report_id: str) -> None:
        """See `Client.delete_report`."""
        await self._call(self._evaluation.DeleteReport, evaluation_pb2.DeleteReportRequest(report_id=report_id))

    # --- how calls are made ---------------------------------------------------------------------------------

    async def _measured(self, start: Callable[[], Any], on_progress: OnProgress | None) -> evaluation_pb2.ReportSummary:
        """Wait for the report; the evaluation ends with the wait."""
        async with aclosing(self._answers(start, None)) as answers:
            async for answer in answers:
                report = unpack.finished(answer, on_progress)
                if report is not None:
                    return report
        raise without_report(self._endpoint)

    async def _answers(self, start: Callable[[], Any], timeout_s: float | None) -> AsyncGenerator[Any]:
        """Yield the answers to one request; the call ends with the iteration."""
        # Not in a thread: a task that is cancelled meanwhile would leave a call that nobody ends.
        answers: Answers[Any] = Answers(start, self._endpoint, timeout_s, self._retry)
        try:
            while some := await asyncio.to_thread(answers.take):
                for one in some:
                    yield one
        finally:
            await asyncio.to_thread(answers.close)

    def _stream(self, max_in_flight: int, advice: Advice) -> StreamSettings:
        return StreamSettings(
            self._endpoint, max_in_flight, self._timeout_s, self._max_message_bytes, self._retry, advice
        )

    async def _call(self, method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call until there is an answer, an error that a repetition would not mend, or no time left."""
        require_fits(request.ByteSize(), self._max_message_bytes)
        clock = asyncio.get_running_loop().time
        deadline = None if self._timeout_s is None else clock() + self._timeout_s
        for attempt in itertools.count(1):
            left = None if deadline is None else max(deadline - clock(), 0.0)
            try:
                return await method(request, timeout=left)
            except grpc.RpcError as rpc_error:
                error = await asyncio.to_thread(from_rpc_error, rpc_error, self._endpoint, self._timeout_s)
                delay_s = self._retry.delay_s(error, attempt, random.random())
                if delay_s is None or (deadline is not None and clock() + delay_s >= deadline):
                    raise error from rpc_error
            await asyncio.sleep(delay_s)
        raise AssertionError("itertools.count ends never")


async def _built(
    items: Iterable[ItemT] | AsyncIterable[ItemT], build: Callable[[ItemT], Any]
) -> AsyncIterator[tuple[str, Any]]:
    """Yield the id and the request of each item."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item.item_id, await asyncio.to_thread(build, item)
    else:
        for item in items:
            yield item.item_id, await asyncio.to_thread(build, item)
