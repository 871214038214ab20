"""GalleryService: galleries of enrolled subjects, and 1:N search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_core.errors import InvalidTopK, MissingField
from fr_core.gallery.checks import require_display_name, require_metadata, require_subject_id
from fr_core.gallery.values import Deleted, Enrolled, Enrolment, Found, GalleryInfo, NewTemplate, Page, Subject
from fr_core.quality.assess import QualityLimits, require_enrollable
from fr_core.types import Embedding, ModelId
from fr_server.convert.common import face_policy, sent_threshold
from fr_server.convert.gallery import (
    SearchedFace,
    enrol_response,
    gallery_message,
    page_size,
    search_response,
    subject_message,
    top_k,
)
from fr_server.services.items import answer_items
from fr_server.services.probes import ProbeFace, Probes
from fr_server.work import Work

Context = grpc.aio.ServicerContext[Any, Any]

# Candidates of all faces of one answer, so that its size stays within what clients and memory hold.
MAX_CANDIDATES = 10_000


class GalleryCalls(Protocol):
    """What this service asks of galleries: of `fr_core.gallery.galleries.Galleries`, in this process or another."""

    def create(self, gallery_id: str, display_name: str, model: ModelId, embedding_size: int) -> GalleryInfo:
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

    def search(self, gallery_id: str, probe: Embedding, k: int, threshold: float, only_above_threshold: bool) -> Found:
        """Find the k subjects most similar to a probe."""
        ...

    def subject(self, gallery_id: str, subject_id: str) -> Subject:
        """Describe a subject and its templates."""
        ...

    def subjects(self, gallery_id: str, page_size: int, page_token: str) -> Page[Subject]:
        """List the subjects of a gallery in the order of their ids."""
        ...

    def delete_subject(self, gallery_id: str, subject_id: str) -> Deleted:
        """Delete a subject with its templates."""
        ...

    def delete_template(self, gallery_id: str, template_id: int) -> Deleted:
        """Delete one template."""
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

    async def CreateGallery(  # noqa: N802
        self, request: gallery_pb2.CreateGalleryRequest, context: Context
    ) -> gallery_pb2.CreateGalleryResponse:
        """Create an empty gallery for the model of this server."""
        pipeline = self._probes.pipeline
        info = await self._work.storage(
            self._galleries.create, request.gallery_id, request.display_name, pipeline.model, pipeline.embedding_size
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

    async def DeleteSubject(  # noqa: N802
        self, request: gallery_pb2.DeleteSubjectRequest, context: Context
    ) -> gallery_pb2.DeleteSubjectResponse:
        """Delete a subject with its templates."""
        deleted = await self._work.storage(self._galleries.delete_subject, request.gallery_id, request.subject_id)
        return gallery_pb2.DeleteSubjectResponse(
            deleted_templates=deleted.templates, gallery_version=deleted.gallery_version
        )

    async def DeleteTemplate(  # noqa: N802
        self, request: gallery_pb2.DeleteTemplateRequest, context: Context
    ) -> gallery_pb2.DeleteTemplateResponse:
        """Delete one template."""
        deleted = await self._work.storage(self._galleries.delete_template, request.gallery_id, request.template_id)
        return gallery_pb2.DeleteTemplateResponse(gallery_version=deleted.gallery_version)

    async def _enrol(self, request: gallery_pb2.EnrolRequest) -> gallery_pb2.EnrolResponse:
        policy = face_policy(request.several_faces, allow_all=False)
        # Before the work on the photo rather than after it.
        require_subject_id(request.subject_id)
        require_display_name(request.display_name)
        require_metadata(request.metadata)
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        (face,) = await self._probes.read(request.face, "face", policy, info.model, info.embedding_size)
        quality: float | None = None
        if face.face is not None:
            require_enrollable(face.face.quality, self._quality_limits)
            quality = face.face.quality.score
        enrolment = Enrolment(
            subject_id=request.subject_id,
            template=NewTemplate(face.embedding, face.image_sha256, quality),
            display_name=request.display_name,
            metadata=dict(request.metadata),
        )
        enrolled = await self._work.storage(self._galleries.enrol, request.gallery_id, enrolment)
        return enrol_response(enrolled, face.face)

    def _default_threshold_for(self, info: GalleryInfo) -> float:
        if info.model != self._probes.pipeline.model:
            raise MissingField(
                "The gallery is of another model than this server's, so there is no default threshold for it.",
                field="threshold",
            )
        return self._default_threshold

    async def _search(self, request: gallery_pb2.SearchRequest) -> gallery_pb2.SearchResponse:
        policy = face_policy(request.several_faces, allow_all=True)
        k = top_k(request)
        sent = sent_threshold(request)
        info = await self._work.storage(self._galleries.get, request.gallery_id)
        threshold = self._default_threshold_for(info) if sent is None else sent
        faces = await self._probes.read(request.probe, "probe", policy, info.model, info.embedding_size)
        if len(faces) * k > MAX_CANDIDATES:
            raise InvalidTopK(
                f"{len(faces)} faces with top_k {k} make more than {MAX_CANDIDATES} candidates in one answer.",
                limit=str(MAX_CANDIDATES),
            )

        def search(face: ProbeFace) -> SearchedFace:
            found = self._galleries.search(
                request.gallery_id, face.embedding, k, threshold, request.only_above_threshold
            )
            return SearchedFace(face.face, found)

        searched = [await self._work.storage(search, face) for face in faces]
        return await self._work.storage(search_response, searched)
