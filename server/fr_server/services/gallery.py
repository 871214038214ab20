"""GalleryService: galleries of enrolled subjects, and 1:N search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_core.errors import FrError, InvalidTopK, MissingField
from fr_core.gallery.checks import require_display_name, require_metadata, require_subject_id
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.scan.blocks import Cursor
from fr_core.gallery.scan.clusters import Cluster, Neighbours, Part
from fr_core.gallery.scan.duplicates import Duplicates
from fr_core.gallery.values import (
    Deleted,
    Enrolled,
    Enrolment,
    Erased,
    Found,
    GalleryInfo,
    KeptTemplate,
    NewTemplate,
    Page,
    Purged,
    Subject,
)
from fr_core.quality.assess import QualityLimits, require_enrollable
from fr_core.types import Embedding, ModelId
from fr_server.convert.common import face_policy, sent_threshold
from fr_server.convert.embeddings import embeddings_response, enrolments
from fr_server.convert.gallery import (
    MAX_SIMILAR,
    SearchedFace,
    enrol_response,
    erase_response,
    expiry,
    fusion,
    gallery_message,
    page_size,
    purge_response,
    retention,
    search_response,
    similar_threshold,
    subject_filter,
    subject_message,
    template_response,
    top_k,
)
from fr_server.interceptors.boundary import as_item_error
from fr_server.services.items import answer_items
from fr_server.services.probes import ProbeFace, Probes
from fr_server.services.scans import Scans
from fr_server.work import Work

Context = grpc.aio.ServicerContext[Any, Any]

# Candidates of all faces of one answer, so that its size stays within what clients and memory hold.
MAX_CANDIDATES = 10_000
# Requests of a stream of embeddings in work at once; the next is there when one is answered, since clients send ahead.
# Parsing one while another is written takes the interpreter from the thread that writes: with 2 at once, 100 rows take
# the time of 160, and transactions grow, for which others wait.
_EMBEDDINGS_WINDOW = 1


class GalleryCalls(Protocol):
    """What this service asks of galleries: of `fr_core.gallery.galleries.Galleries`, in this process or another."""

    def create(
        self,
        gallery_id: str,
        display_name: str,
        model: ModelId,
        embedding_size: int,
        expires: datetime | None,
        retention: timedelta | None,
        keeps_photos: bool,
    ) -> GalleryInfo:
        """Create an empty gallery that is bound to a model."""
        ...

    def get(self, gallery_id: str) -> GalleryInfo:
        """Describe a gallery."""
        ...

    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
        """List the galleries in the order of their ids."""
        ...

    def delete(self, gallery_id: str) -> Deleted:
        """Delete a gallery with everything in it."""
        ...

    def enrol(self, gallery_id: str, enrolment: Enrolment) -> Enrolled:
        """Add a template to a subject, which is created where it is new."""
        ...

    def enrol_many(self, gallery_id: str, enrolments: Sequence[Enrolment]) -> tuple[Enrolled | FrError, ...]:
        """Add many templates in one change, each kept or refused by itself."""
        ...

    def search(
        self,
        gallery_id: str,
        probe: Embedding,
        k: int,
        threshold: float,
        only_above_threshold: bool,
        fusion: ScoreFusion,
        among: SubjectFilter | None,
    ) -> Found:
        """Find the k subjects most similar to a probe."""
        ...

    def subject(self, gallery_id: str, subject_id: str) -> Subject:
        """Describe a subject and its templates."""
        ...

    def subjects(self, gallery_id: str, page_size: int, page_token: str) -> Page[Subject]:
        """List the subjects of a gallery in the order of their ids."""
        ...

    def template(self, gallery_id: str, template_id: int) -> KeptTemplate:
        """Read a template with everything that is kept of it."""
        ...

    def delete_subject(self, gallery_id: str, subject_id: str) -> Deleted:
        """Delete a subject with its templates."""
        ...

    def erase_subject(self, gallery_id: str, subject_id: str) -> Erased:
        """Delete a subject, and wait until no byte of it is left."""
        ...

    def delete_template(self, gallery_id: str, template_id: int) -> Deleted:
        """Delete one template."""
        ...

    def purge(self, dry_run: bool) -> tuple[Purged, ...]:
        """Delete the templates whose time has passed, with the subjects that have none left."""
        ...

    def duplicates_after(self, gallery_id: str, threshold: float, cursor: Cursor | None) -> Duplicates:
        """Find the duplicates of the next block of templates."""
        ...

    def neighbours_after(self, gallery_id: str, threshold: float, cursor: Cursor | None) -> Neighbours:
        """Find the neighbours of the next block of templates."""
        ...

    def clusters_of(self, gallery_id: str, threshold: float, part: Part) -> tuple[Cluster, ...]:
        """Group some of the templates."""
        ...

    def close(self) -> None:
        """Finish the changes that wait."""
        ...


class GalleryService(gallery_pb2_grpc.GalleryServiceServicer):
    """Keeps galleries and searches them."""

    def __init__(
        self,
        galleries: GalleryCalls,
        probes: Probes,
        work: Work,
        quality_limits: QualityLimits,
        default_threshold: float,
        stream_window: int,
    ) -> None:
        self._galleries = galleries
        self._probes = probes
        self._work = work
        self._quality_limits = quality_limits
        self._default_threshold = default_threshold
        self._stream_window = stream_window
        self._scans = Scans(work)

    async def CreateGallery(  # noqa: N802
        self, request: gallery_pb2.CreateGalleryRequest, context: Context
    ) -> gallery_pb2.CreateGalleryResponse:
        """Create an empty gallery for the model of this server."""
        pipeline = self._probes.pipeline
        info = await self._work.storage(
            self._galleries.create,
            request.gallery_id,
            request.display_name,
            pipeline.model,
            pipeline.embedding_size,
            expiry(request),
            retention(request),
            request.keeps_photos,
        )
        return gallery_pb2.CreateGalleryResponse(gallery=gallery_message(info))

    async def GetGallery(  # noqa: N802
        self, request: gallery_pb2.GetGalleryRequest, context: Context
    ) -> gallery_pb2.GetGalleryResponse:
        """Describe a gallery."""
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        return gallery_pb2.GetGalleryResponse(gallery=gallery_message(info))

    async def ListGalleries(  # noqa: N802
        self, request: gallery_pb2.ListGalleriesRequest, context: Context
    ) -> gallery_pb2.ListGalleriesResponse:
        """List a page of galleries."""
        page = await self._work.storage(self._galleries.list, page_size(request), request.page_token)
        return gallery_pb2.ListGalleriesResponse(
            galleries=[gallery_message(info) for info in page.items], next_page_token=page.next_page_token
        )

    async def DeleteGallery(  # noqa: N802
        self, request: gallery_pb2.DeleteGalleryRequest, context: Context
    ) -> gallery_pb2.DeleteGalleryResponse:
        """Delete a gallery with all it holds."""
        deleted = await self._work.storage(self._galleries.delete, request.gallery_id)
        return gallery_pb2.DeleteGalleryResponse(deleted_subjects=deleted.subjects, deleted_templates=deleted.templates)

    async def Enrol(  # noqa: N802
        self, request: gallery_pb2.EnrolRequest, context: Context
    ) -> gallery_pb2.EnrolResponse:
        """Enrol one face."""
        return await self._enrol(request)

    async def StreamEnrol(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamEnrolRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamEnrolResponse]:
        """Enrol many faces."""

        async def fill(request: gallery_pb2.StreamEnrolRequest, response: gallery_pb2.StreamEnrolResponse) -> None:
            if not request.HasField("enrol"):
                raise MissingField("`enrol` is not set.", field="enrol")
            response.stored.CopyFrom(await self._enrol(request.enrol))

        answers = answer_items(request_iterator, gallery_pb2.StreamEnrolResponse, fill, self._stream_window, self._work)
        async for response in answers:
            yield response

    async def StreamEnrolEmbeddings(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamEnrolEmbeddingsRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamEnrolEmbeddingsResponse]:
        """Enrol many embeddings."""

        async def fill(
            request: gallery_pb2.StreamEnrolEmbeddingsRequest, response: gallery_pb2.StreamEnrolEmbeddingsResponse
        ) -> None:
            if not request.HasField("enrol"):
                raise MissingField("`enrol` is not set.", field="enrol")
            response.enrolled.CopyFrom(await self._enrol_embeddings(request.enrol))

        answers = answer_items(
            request_iterator, gallery_pb2.StreamEnrolEmbeddingsResponse, fill, _EMBEDDINGS_WINDOW, self._work
        )
        async for response in answers:
            yield response

    async def Search(  # noqa: N802
        self, request: gallery_pb2.SearchRequest, context: Context
    ) -> gallery_pb2.SearchResponse:
        """Search a gallery for the subjects most similar to a face."""
        return await self._search(request)

    async def StreamSearch(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamSearchRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamSearchResponse]:
        """Search for many faces."""

        async def fill(request: gallery_pb2.StreamSearchRequest, response: gallery_pb2.StreamSearchResponse) -> None:
            if not request.HasField("search"):
                raise MissingField("`search` is not set.", field="search")
            response.found.CopyFrom(await self._search(request.search))

        answers = answer_items(
            request_iterator, gallery_pb2.StreamSearchResponse, fill, self._stream_window, self._work
        )
        async for response in answers:
            yield response

    async def GetSubject(  # noqa: N802
        self, request: gallery_pb2.GetSubjectRequest, context: Context
    ) -> gallery_pb2.GetSubjectResponse:
        """Describe a subject and its templates."""
        subject = await self._work.storage(self._galleries.subject, request.gallery_id, request.subject_id)
        return gallery_pb2.GetSubjectResponse(subject=subject_message(subject))

    async def ListSubjects(  # noqa: N802
        self, request: gallery_pb2.ListSubjectsRequest, context: Context
    ) -> gallery_pb2.ListSubjectsResponse:
        """List a page of the subjects of a gallery."""
        page = await self._work.storage(
            self._galleries.subjects, request.gallery_id, page_size(request), request.page_token
        )
        return gallery_pb2.ListSubjectsResponse(
            subjects=[subject_message(subject) for subject in page.items], next_page_token=page.next_page_token
        )

    async def GetTemplate(  # noqa: N802
        self, request: gallery_pb2.GetTemplateRequest, context: Context
    ) -> gallery_pb2.GetTemplateResponse:
        """Read a template with everything that is kept of it."""
        return template_response(
            await self._work.storage(self._galleries.template, request.gallery_id, request.template_id)
        )

    async def DeleteSubject(  # noqa: N802
        self, request: gallery_pb2.DeleteSubjectRequest, context: Context
    ) -> gallery_pb2.DeleteSubjectResponse:
        """Delete a subject with its templates."""
        deleted = await self._work.storage(self._galleries.delete_subject, request.gallery_id, request.subject_id)
        return gallery_pb2.DeleteSubjectResponse(
            deleted_templates=deleted.templates, gallery_version=deleted.gallery_version
        )

    async def EraseSubject(  # noqa: N802
        self, request: gallery_pb2.EraseSubjectRequest, context: Context
    ) -> gallery_pb2.EraseSubjectResponse:
        """Erase a subject."""
        return erase_response(
            await self._work.storage(self._galleries.erase_subject, request.gallery_id, request.subject_id)
        )

    async def DeleteTemplate(  # noqa: N802
        self, request: gallery_pb2.DeleteTemplateRequest, context: Context
    ) -> gallery_pb2.DeleteTemplateResponse:
        """Delete one template."""
        deleted = await self._work.storage(self._galleries.delete_template, request.gallery_id, request.template_id)
        return gallery_pb2.DeleteTemplateResponse(gallery_version=deleted.gallery_version)

    async def PurgeExpired(  # noqa: N802
        self, request: gallery_pb2.PurgeExpiredRequest, context: Context
    ) -> gallery_pb2.PurgeExpiredResponse:
        """Delete what has expired."""
        return purge_response(await self._work.storage(self._galleries.purge, request.dry_run))

    async def FindDuplicates(  # noqa: N802
        self, request: gallery_pb2.FindDuplicatesRequest, context: Context
    ) -> AsyncIterator[gallery_pb2.FindDuplicatesResponse]:
        """Find templates of different subjects that may be of one person."""
        threshold = await self._threshold(request)
        async for response in self._scans.duplicates(self._galleries, request.gallery_id, threshold):
            yield response

    async def ClusterGallery(  # noqa: N802
        self, request: gallery_pb2.ClusterGalleryRequest, context: Context
    ) -> AsyncIterator[gallery_pb2.ClusterGalleryResponse]:
        """Group the templates of a gallery by likeness."""
        threshold = await self._threshold(request)
        async for response in self._scans.clusters(self._galleries, request.gallery_id, threshold):
            yield response

    async def _threshold(self, request: gallery_pb2.FindDuplicatesRequest | gallery_pb2.ClusterGalleryRequest) -> float:
        sent = sent_threshold(request)
        if sent is not None:
            return sent
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        return self._default_threshold_for(info, "threshold")

    async def _enrol(self, request: gallery_pb2.EnrolRequest) -> gallery_pb2.EnrolResponse:
        policy = face_policy(request.several_faces, allow_all=False)
        # Before the work on the photo rather than after it.
        require_subject_id(request.subject_id)
        require_display_name(request.display_name)
        require_metadata(request.metadata)
        threshold = similar_threshold(request)
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        if request.report_similar and threshold is None:
            threshold = self._default_threshold_for(info, "similar_threshold")
        (face,) = await self._probes.read(request.face, "face", policy, info.model, info.embedding_size)
        quality: float | None = None
        if face.face is not None:
            require_enrollable(face.face.quality, self._quality_limits)
            quality = face.face.quality.score
        photo = request.face.image.data if info.keeps_photos and face.face is not None else None
        enrolment = Enrolment(
            subject_id=request.subject_id,
            template=NewTemplate(face.embedding, face.image_sha256, quality, photo),
            display_name=request.display_name,
            metadata=dict(request.metadata),
        )
        enrolled = await self._work.storage(self._galleries.enrol, request.gallery_id, enrolment)
        if not request.report_similar or threshold is None:
            return enrol_response(enrolled, face.face)
        # Afterwards: of two that are enrolled at the same time, one at least finds the other. One more is asked for,
        # since the subject is found too.
        arguments = (request.gallery_id, face.embedding, MAX_SIMILAR + 1, threshold, True, ScoreFusion.MAX, None)
        try:
            return enrol_response(enrolled, face.face, await self._work.storage(self._galleries.search, *arguments))
        except Exception as error:  # noqa: BLE001 - the face is stored: an error would have it sent, and stored, again
            as_item_error(error)  # counts it, and logs a defect
            response = enrol_response(enrolled, face.face)
            response.similar_unknown = True
            return response

    async def _enrol_embeddings(
        self, request: gallery_pb2.EnrolEmbeddingsRequest
    ) -> gallery_pb2.EnrolEmbeddingsResponse:
        info = await self._work.storage(self._galleries.get, request.gallery_id)

        def enrol() -> tuple[Enrolled | FrError, ...]:
            return self._galleries.enrol_many(request.gallery_id, enrolments(request, info))

        outcomes = await self._work.storage(enrol)
        for outcome in outcomes:
            if isinstance(outcome, FrError):
                as_item_error(outcome)  # counts it
        return embeddings_response(outcomes)

    def _default_threshold_for(self, info: GalleryInfo, field: str) -> float:
        if info.model != self._probes.pipeline.model:
            raise MissingField(
                "The gallery is of another model than this server's, so there is no default threshold for it.",
                field=field,
            )
        return self._default_threshold

    async def _search(self, request: gallery_pb2.SearchRequest) -> gallery_pb2.SearchResponse:
        policy = face_policy(request.several_faces, allow_all=True)
        k = top_k(request)
        sent = sent_threshold(request)
        fused_by, among = fusion(request), subject_filter(request)
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        threshold = self._default_threshold_for(info, "threshold") if sent is None else sent
        faces = await self._probes.read(request.probe, "probe", policy, info.model, info.embedding_size)
        if len(faces) * k > MAX_CANDIDATES:
            raise InvalidTopK(
                f"{len(faces)} faces with top_k {k} make more than {MAX_CANDIDATES} candidates in one answer.",
                limit=str(MAX_CANDIDATES),
            )

        def search(face: ProbeFace) -> SearchedFace:
            found = self._galleries.search(
                request.gallery_id, face.embedding, k, threshold, request.only_above_threshold, fused_by, among
            )
            return SearchedFace(face.face, found)

        searched = [await self._work.storage(search, face) for face in faces]
        return await self._work.storage(search_response, searched)
