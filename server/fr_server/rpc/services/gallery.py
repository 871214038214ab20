"""GalleryService: galleries of enrolled subjects, and 1:N search."""

from collections.abc import AsyncIterator

from fr_api.v1 import gallery_pb2 as pb
from fr_api.v1 import gallery_pb2_grpc
from fr_core.errors import MissingField, message
from fr_core.gallery.values import GalleryUse
from fr_core.quality.assess import QualityLimits
from fr_server.authz.callers import galleries_seen, sees_gallery
from fr_server.authz.record import note
from fr_server.pools import Work
from fr_server.rpc.convert import gallery
from fr_server.rpc.convert.gallery_updates import gallery_update, subject_update
from fr_server.rpc.interceptors.wrapping import Context
from fr_server.rpc.services.calibrations import Calibrations
from fr_server.rpc.services.decisions import Decisions
from fr_server.rpc.services.gallery_faces import GalleryFaces
from fr_server.rpc.services.items import answer_items
from fr_server.rpc.services.probes import Probes
from fr_server.rpc.services.scans import Scans
from fr_server.storage.calls import GalleryCalls

# Requests of a stream of embeddings in work at once; the next is there when one is answered, since clients send ahead.
# Parsing one while another is written takes the interpreter from the thread that writes: with 2 at once, 100 rows take
# the time of 160, and transactions grow, for which others wait.
_EMBEDDINGS_WINDOW = 1


class GalleryService(gallery_pb2_grpc.GalleryServiceServicer):
    """Keeps galleries and searches them; `faces` enrols and searches, for casework too."""

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

    async def CreateGallery(self, request: pb.CreateGalleryRequest, context: Context) -> pb.CreateGalleryResponse:
        info = await self._work.storage(
            self._galleries.create,
            request.gallery_id,
            request.display_name,
            self._pipeline.model,
            self._pipeline.embedding_size,
            gallery.expiry(request),
            gallery.retention(request),
            request.keeps_photos,
            gallery.gallery_use(request, self._unspecified_use),
        )
        return pb.CreateGalleryResponse(gallery=gallery.gallery_message(info))

    async def GetGallery(self, request: pb.GetGalleryRequest, context: Context) -> pb.GetGalleryResponse:
        info = await self._work.storage(self.faces.newest, request)
        return pb.GetGalleryResponse(gallery=gallery.gallery_message(info))

    async def ListGalleries(self, request: pb.ListGalleriesRequest, context: Context) -> pb.ListGalleriesResponse:
        page = await self._work.storage(
            galleries_seen, self._galleries.list, gallery.page_size(request), request.page_token
        )
        return pb.ListGalleriesResponse(
            galleries=[gallery.gallery_message(info) for info in page.items], next_page_token=page.next_page_token
        )

    async def UpdateGallery(self, request: pb.UpdateGalleryRequest, context: Context) -> pb.UpdateGalleryResponse:
        info = await self._work.storage(self._galleries.update, request.gallery_id, gallery_update(request))
        return pb.UpdateGalleryResponse(gallery=gallery.gallery_message(info))

    async def DeleteGallery(self, request: pb.DeleteGalleryRequest, context: Context) -> pb.DeleteGalleryResponse:
        deleted = await self._work.storage(self._galleries.delete, request.gallery_id)
        return pb.DeleteGalleryResponse(
            deleted_subjects=deleted.subjects,
            deleted_templates=deleted.templates,
            version_token=gallery.token_of(deleted),
        )

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        return await self.faces.enrol(request)

    def StreamEnrol(
        self, request_iterator: AsyncIterator[pb.StreamEnrolRequest], context: Context
    ) -> AsyncIterator[pb.StreamEnrolResponse]:
        async def fill(request: pb.StreamEnrolRequest, response: pb.StreamEnrolResponse) -> None:
            if not request.HasField("enrol"):
                raise MissingField(message("error.rpc.enrol_not_set"), field="enrol")
            response.stored.CopyFrom(await self.faces.enrol(request.enrol))

        return answer_items(request_iterator, pb.StreamEnrolResponse, fill, self._stream_window, self._work)

    def StreamEnrolEmbeddings(
        self, request_iterator: AsyncIterator[pb.StreamEnrolEmbeddingsRequest], context: Context
    ) -> AsyncIterator[pb.StreamEnrolEmbeddingsResponse]:
        async def fill(request: pb.StreamEnrolEmbeddingsRequest, response: pb.StreamEnrolEmbeddingsResponse) -> None:
            if not request.HasField("enrol"):
                raise MissingField(message("error.rpc.enrol_not_set"), field="enrol")
            response.enrolled.CopyFrom(await self.faces.enrol_embeddings(request.enrol))

        return answer_items(request_iterator, pb.StreamEnrolEmbeddingsResponse, fill, _EMBEDDINGS_WINDOW, self._work)

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        return await self.faces.search(request)

    def StreamSearch(
        self, request_iterator: AsyncIterator[pb.StreamSearchRequest], context: Context
    ) -> AsyncIterator[pb.StreamSearchResponse]:
        async def fill(request: pb.StreamSearchRequest, response: pb.StreamSearchResponse) -> None:
            if not request.HasField("search"):
                raise MissingField(message("error.rpc.search_not_set"), field="search")
            response.found.CopyFrom(await self.faces.search(request.search))

        return answer_items(request_iterator, pb.StreamSearchResponse, fill, self._stream_window, self._work)

    async def GetSubject(self, request: pb.GetSubjectRequest, context: Context) -> pb.GetSubjectResponse:
        info = await self.faces.enter(request)
        subject = await self._work.storage(self._galleries.subject, info, request.subject_id)
        return pb.GetSubjectResponse(subject=gallery.subject_message(subject))

    async def ListSubjects(self, request: pb.ListSubjectsRequest, context: Context) -> pb.ListSubjectsResponse:
        size, info = gallery.page_size(request), await self.faces.enter(request)
        page = await self._work.storage(self._galleries.subjects, info, size, request.page_token)
        return pb.ListSubjectsResponse(
            subjects=[gallery.subject_message(subject) for subject in page.items], next_page_token=page.next_page_token
        )

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:
        info = await self.faces.enter(request)
        template = await self._work.storage(self._galleries.template, info, request.template_id)
        note(model=info.model)
        return gallery.template_response(template, request)

    async def UpdateSubject(self, request: pb.UpdateSubjectRequest, context: Context) -> pb.UpdateSubjectResponse:
        update, info = subject_update(request), await self.faces.enter(request)
        updated = await self._work.storage(self._galleries.update_subject, info, request.subject_id, update)
        return pb.UpdateSubjectResponse(
            subject=gallery.subject_message(updated.subject),
            gallery_version=updated.gallery_version,
            version_token=gallery.token_of(updated),
        )

    async def DeleteSubject(self, request: pb.DeleteSubjectRequest, context: Context) -> pb.DeleteSubjectResponse:
        deleted = await self._work.storage(self._galleries.delete_subject, request.gallery_id, request.subject_id)
        return pb.DeleteSubjectResponse(
            deleted_templates=deleted.templates,
            gallery_version=deleted.gallery_version,
            version_token=gallery.token_of(deleted),
        )

    async def EraseSubject(self, request: pb.EraseSubjectRequest, context: Context) -> pb.EraseSubjectResponse:
        return gallery.erase_response(
            await self._work.storage(self._galleries.erase_subject, request.gallery_id, request.subject_id)
        )

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Context) -> pb.DeleteTemplateResponse:
        deleted = await self._work.storage(self._galleries.delete_template, request.gallery_id, request.template_id)
        return pb.DeleteTemplateResponse(
            gallery_version=deleted.gallery_version, version_token=gallery.token_of(deleted)
        )

    async def SetCalibration(self, request: pb.SetCalibrationRequest, context: Context) -> pb.SetCalibrationResponse:
        return await self._calibrations.set(request)

    async def DeleteCalibration(
        self, request: pb.DeleteCalibrationRequest, context: Context
    ) -> pb.DeleteCalibrationResponse:
        return await self._calibrations.delete(request)

    async def GetCalibration(self, request: pb.GetCalibrationRequest, context: Context) -> pb.GetCalibrationResponse:
        return await self._calibrations.get(request)

    async def PurgeExpired(self, request: pb.PurgeExpiredRequest, context: Context) -> pb.PurgeExpiredResponse:
        purged = await self._work.storage(self._galleries.purge, request.dry_run)
        return gallery.purge_response([one for one in purged if sees_gallery(one.gallery_id)])

    async def FindDuplicates(
        self, request: pb.FindDuplicatesRequest, context: Context
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        info = await self.faces.enter(request)
        threshold = self.faces.threshold(request, info)
        async for response in self._scans.duplicates(self._galleries, info, threshold):
            yield response

    async def ClusterGallery(
        self, request: pb.ClusterGalleryRequest, context: Context
    ) -> AsyncIterator[pb.ClusterGalleryResponse]:
        info = await self.faces.enter(request)
        threshold = self.faces.threshold(request, info)
        async for response in self._scans.clusters(self._galleries, info, threshold):
            yield response


def unspecified_use(asks: bool) -> GalleryUse:
    """Return the use of a gallery whose maker does not say, by whether the server asks who calls.

    Decisions about people may well follow from a gallery of a server that asks.
    """
    return GalleryUse.OPERATIONAL if asks else GalleryUse.TEST
