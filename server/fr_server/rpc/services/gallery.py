"""GalleryService: galleries of enrolled subjects, and 1:N search."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_core.errors import MissingField
from fr_core.gallery.values import GalleryUse
from fr_core.quality.assess import QualityLimits
from fr_server.authz.callers import galleries_seen, sees_gallery
from fr_server.authz.record import note
from fr_server.pools import Work
from fr_server.rpc.convert.gallery import (
    erase_response,
    expiry,
    gallery_message,
    gallery_use,
    page_size,
    purge_response,
    retention,
    subject_message,
    template_response,
)
from fr_server.rpc.convert.gallery_updates import gallery_update, subject_update
from fr_server.rpc.services.calibrations import Calibrations
from fr_server.rpc.services.decisions import Decisions
from fr_server.rpc.services.gallery_faces import GalleryFaces
from fr_server.rpc.services.items import answer_items
from fr_server.rpc.services.probes import Probes
from fr_server.rpc.services.scans import Scans
from fr_server.storage.gallery_calls import GalleryCalls

Context = grpc.aio.ServicerContext[Any, Any]

# Requests of a stream of embeddings in work at once; the next is there when one is answered, since clients send ahead.
# Parsing one while another is written takes the interpreter from the thread that writes: with 2 at once, 100 rows take
# the time of 160, and transactions grow, for which others wait.
_EMBEDDINGS_WINDOW = 1


class GalleryService(gallery_pb2_grpc.GalleryServiceServicer):
    """Keeps galleries and searches them.

    Attributes:
        faces: enrols and searches; casework searches with it too.
    """

    def __init__(
        self,
        galleries: GalleryCalls,
        probes: Probes,
        work: Work,
        quality_limits: QualityLimits,
        decisions: Decisions,
        stream_window: int,
        unspecified_use: GalleryUse = GalleryUse.TEST,
    ) -> None:
        self._galleries = galleries
        self._pipeline = probes.pipeline
        self._work = work
        self._calibrations = Calibrations(galleries, work, decisions)
        self.faces = GalleryFaces(galleries, probes, work, quality_limits, decisions, self._calibrations)
        self._stream_window = stream_window
        self._unspecified_use = unspecified_use
        self._scans = Scans(work)

    async def CreateGallery(  # noqa: N802
        self, request: gallery_pb2.CreateGalleryRequest, context: Context
    ) -> gallery_pb2.CreateGalleryResponse:
        """Create an empty gallery for the model of this server."""
        info = await self._work.storage(
            self._galleries.create,
            request.gallery_id,
            request.display_name,
            self._pipeline.model,
            self._pipeline.embedding_size,
            expiry(request),
            retention(request),
            request.keeps_photos,
            gallery_use(request, self._unspecified_use),
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
        page = await self._work.storage(galleries_seen, self._galleries.list, page_size(request), request.page_token)
        return gallery_pb2.ListGalleriesResponse(
            galleries=[gallery_message(info) for info in page.items], next_page_token=page.next_page_token
        )

    async def UpdateGallery(  # noqa: N802
        self, request: gallery_pb2.UpdateGalleryRequest, context: Context
    ) -> gallery_pb2.UpdateGalleryResponse:
        """Change what can change of a gallery."""
        info = await self._work.storage(self._galleries.update, request.gallery_id, gallery_update(request))
        return gallery_pb2.UpdateGalleryResponse(gallery=gallery_message(info))

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
        return await self.faces.enrol(request)

    def StreamEnrol(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamEnrolRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamEnrolResponse]:
        """Enrol many faces."""

        async def fill(request: gallery_pb2.StreamEnrolRequest, response: gallery_pb2.StreamEnrolResponse) -> None:
            if not request.HasField("enrol"):
                raise MissingField("`enrol` is not set.", field="enrol")
            response.stored.CopyFrom(await self.faces.enrol(request.enrol))

        return answer_items(request_iterator, gallery_pb2.StreamEnrolResponse, fill, self._stream_window, self._work)

    def StreamEnrolEmbeddings(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamEnrolEmbeddingsRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamEnrolEmbeddingsResponse]:
        """Enrol many embeddings."""

        async def fill(
            request: gallery_pb2.StreamEnrolEmbeddingsRequest, response: gallery_pb2.StreamEnrolEmbeddingsResponse
        ) -> None:
            if not request.HasField("enrol"):
                raise MissingField("`enrol` is not set.", field="enrol")
            response.enrolled.CopyFrom(await self.faces.enrol_embeddings(request.enrol))

        return answer_items(
            request_iterator, gallery_pb2.StreamEnrolEmbeddingsResponse, fill, _EMBEDDINGS_WINDOW, self._work
        )

    async def Search(  # noqa: N802
        self, request: gallery_pb2.SearchRequest, context: Context
    ) -> gallery_pb2.SearchResponse:
        """Search a gallery for the subjects most similar to a face."""
        return await self.faces.search(request)

    def StreamSearch(  # noqa: N802
        self, request_iterator: AsyncIterator[gallery_pb2.StreamSearchRequest], context: Context
    ) -> AsyncIterator[gallery_pb2.StreamSearchResponse]:
        """Search for many faces."""

        async def fill(request: gallery_pb2.StreamSearchRequest, response: gallery_pb2.StreamSearchResponse) -> None:
            if not request.HasField("search"):
                raise MissingField("`search` is not set.", field="search")
            response.found.CopyFrom(await self.faces.search(request.search))

        return answer_items(request_iterator, gallery_pb2.StreamSearchResponse, fill, self._stream_window, self._work)

    async def GetSubject(  # noqa: N802
        self, request: gallery_pb2.GetSubjectRequest, context: Context
    ) -> gallery_pb2.GetSubjectResponse:
        """Describe a subject and its templates."""
        info = await self.faces.enter(request)
        subject = await self._work.storage(self._galleries.subject, info, request.subject_id)
        return gallery_pb2.GetSubjectResponse(subject=subject_message(subject))

    async def ListSubjects(  # noqa: N802
        self, request: gallery_pb2.ListSubjectsRequest, context: Context
    ) -> gallery_pb2.ListSubjectsResponse:
        """List a page of the subjects of a gallery."""
        size, info = page_size(request), await self.faces.enter(request)
        page = await self._work.storage(self._galleries.subjects, info, size, request.page_token)
        return gallery_pb2.ListSubjectsResponse(
            subjects=[subject_message(subject) for subject in page.items], next_page_token=page.next_page_token
        )

    async def GetTemplate(  # noqa: N802
        self, request: gallery_pb2.GetTemplateRequest, context: Context
    ) -> gallery_pb2.GetTemplateResponse:
        """Read a template."""
        info = await self.faces.enter(request)
        template = await self._work.storage(self._galleries.template, info, request.template_id)
        note(model=info.model)
        return template_response(template, request)

    async def UpdateSubject(  # noqa: N802
        self, request: gallery_pb2.UpdateSubjectRequest, context: Context
    ) -> gallery_pb2.UpdateSubjectResponse:
        """Change what can change of a subject."""
        update, info = subject_update(request), await self.faces.enter(request)
        updated = await self._work.storage(self._galleries.update_subject, info, request.subject_id, update)
        return gallery_pb2.UpdateSubjectResponse(
            subject=subject_message(updated.subject), gallery_version=updated.gallery_version
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

    async def SetCalibration(  # noqa: N802
        self, request: gallery_pb2.SetCalibrationRequest, context: Context
    ) -> gallery_pb2.SetCalibrationResponse:
        """Say what similarities in a gallery mean."""
        return await self._calibrations.set(request)

    async def DeleteCalibration(  # noqa: N802
        self, request: gallery_pb2.DeleteCalibrationRequest, context: Context
    ) -> gallery_pb2.DeleteCalibrationResponse:
        """Go back to what similarities mean by the pack."""
        return await self._calibrations.delete(request)

    async def GetCalibration(  # noqa: N802
        self, request: gallery_pb2.GetCalibrationRequest, context: Context
    ) -> gallery_pb2.GetCalibrationResponse:
        """Read what similarities in a gallery mean."""
        return await self._calibrations.get(request)

    async def PurgeExpired(  # noqa: N802
        self, request: gallery_pb2.PurgeExpiredRequest, context: Context
    ) -> gallery_pb2.PurgeExpiredResponse:
        """Delete what has expired, and tell of the galleries that the caller sees."""
        purged = await self._work.storage(self._galleries.purge, request.dry_run)
        return purge_response([one for one in purged if sees_gallery(one.gallery_id)])

    async def FindDuplicates(  # noqa: N802
        self, request: gallery_pb2.FindDuplicatesRequest, context: Context
    ) -> AsyncIterator[gallery_pb2.FindDuplicatesResponse]:
        """Find templates of different subjects that may be of one person."""
        info = await self.faces.enter(request)
        threshold = self.faces.threshold(request, info)
        async for response in self._scans.duplicates(self._galleries, info, threshold):
            yield response

    async def ClusterGallery(  # noqa: N802
        self, request: gallery_pb2.ClusterGalleryRequest, context: Context
    ) -> AsyncIterator[gallery_pb2.ClusterGalleryResponse]:
        """Group the templates of a gallery by likeness."""
        info = await self.faces.enter(request)
        threshold = self.faces.threshold(request, info)
        async for response in self._scans.clusters(self._galleries, info, threshold):
            yield response


def unspecified_use(asks: bool) -> GalleryUse:
    """Return what a gallery is for where its maker does not say.

    Args:
        asks: whether the server asks who calls: then decisions about people may well follow from what it keeps.
    """
    return GalleryUse.OPERATIONAL if asks else GalleryUse.TEST
