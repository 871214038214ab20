"""The faces of a call: read, then enrolled into a gallery or searched for in it."""

from __future__ import annotations

from typing import Any

from fr_api.v1 import gallery_pb2
from fr_core.errors import FrError, InvalidTopK
from fr_core.gallery.checks import require_display_name, require_metadata, require_subject_id
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.search.filters import names_many
from fr_core.gallery.values import Enrolled, Enrolment, GalleryInfo, NewTemplate
from fr_core.quality.assess import QualityLimits, require_enrollable
from fr_server.authz.purpose import require_stated
from fr_server.pools import Work
from fr_server.rpc.convert.calibration import criterion
from fr_server.rpc.convert.common import face_policy, sent_threshold
from fr_server.rpc.convert.embeddings import embeddings_response, enrolments
from fr_server.rpc.convert.gallery import (
    MAX_SIMILAR,
    SearchedFace,
    enrol_response,
    fusion,
    search_response,
    similar_threshold,
    subject_filter,
    top_k,
)
from fr_server.rpc.interceptors.boundary import as_item_error, count_refusal
from fr_server.rpc.services.calibrations import Calibrations
from fr_server.rpc.services.decisions import Decisions
from fr_server.rpc.services.gallery_calls import GalleryCalls
from fr_server.rpc.services.probes import ProbeFace, Probes

# Candidates of all faces of one answer, so that its size stays within what clients and memory hold.
MAX_CANDIDATES = 10_000


class GalleryFaces:
    """Enrols faces into galleries, and searches for them.

    Args:
        galleries: hold the templates.
        probes: make templates of photos.
        work: runs what blocks.
        quality_limits: of faces that are enrolled.
        decisions: for the model of `probes`.
        calibrations: of the galleries.
    """

    def __init__(
        self,
        galleries: GalleryCalls,
        probes: Probes,
        work: Work,
        quality_limits: QualityLimits,
        decisions: Decisions,
        calibrations: Calibrations,
    ) -> None:
        self._galleries = galleries
        self._probes = probes
        self._work = work
        self._quality_limits = quality_limits
        self._decisions = decisions
        self._calibrations = calibrations

    async def enter(self, request: Any) -> GalleryInfo:
        """Return the gallery that a request names, if the request states what its rule requires.

        The call must use the returned value as the gallery from then on: so it acts on this gallery or is refused.

        Args:
            request: of the current call, or the part of it with the `gallery_id`.

        Raises:
            UnknownGallery: there is no gallery of that id.
            PurposeRequired, InvalidField, NotPermitted: as `require_stated`.
        """

        def entered() -> GalleryInfo:
            info = self._galleries.get(request.gallery_id)
            require_stated(request, info)
            return info

        return await self._work.storage(entered)

    def threshold(
        self, request: gallery_pb2.FindDuplicatesRequest | gallery_pb2.ClusterGalleryRequest, info: GalleryInfo
    ) -> float:
        """Return the threshold of a request, or the default of the gallery if it has none.

        Raises:
            InvalidThreshold: it is out of range.
            MissingField: the gallery has no default.
        """
        sent = sent_threshold(request)
        if sent is not None:
            return sent
        return self._decisions.default_for(info.model, "threshold")

    async def enrol(self, request: gallery_pb2.EnrolRequest) -> gallery_pb2.EnrolResponse:
        """Enrol one face; raises what `Probes.read` and `Galleries.enrol` raise, and refuses what no gallery holds."""
        policy = face_policy(request.several_faces, allow_all=False)
        # Before the work on the photo rather than after it.
        require_subject_id(request.subject_id)
        require_display_name(request.display_name)
        require_metadata(request.metadata)
        sent = similar_threshold(request)
        info = await self.enter(request)
        similar_from: float | None = None
        if request.report_similar:
            similar_from = self._decisions.default_for(info.model, "similar_threshold") if sent is None else sent
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
        enrolled = await self._work.storage(self._galleries.enrol, info, enrolment)
        if similar_from is None:
            return enrol_response(enrolled, face.face)
        # Afterwards: of two that are enrolled at the same time, one at least finds the other. One more is asked for,
        # since the subject is found too.
        arguments = (info, face.embedding, MAX_SIMILAR + 1, similar_from, True, ScoreFusion.MAX, None)
        try:
            return enrol_response(enrolled, face.face, await self._work.storage(self._galleries.search, *arguments))
        except Exception as error:  # noqa: BLE001 - the face is stored: an error would have it sent, and stored, again
            count_refusal(as_item_error(error))
            response = enrol_response(enrolled, face.face)
            response.similar_unknown = True
            return response

    async def enrol_embeddings(
        self, request: gallery_pb2.EnrolEmbeddingsRequest
    ) -> gallery_pb2.EnrolEmbeddingsResponse:
        """Enrol embeddings, each kept or refused by itself; raises what `Galleries.enrol_many` raises."""
        info = await self.enter(request)

        def enrol() -> tuple[Enrolled | FrError, ...]:
            return self._galleries.enrol_many(info, enrolments(request, info))

        outcomes = await self._work.storage(enrol)
        for outcome in outcomes:
            if isinstance(outcome, FrError):
                count_refusal(outcome)
        return embeddings_response(outcomes)

    async def search(self, request: gallery_pb2.SearchRequest) -> gallery_pb2.SearchResponse:
        """Search for every face of a probe; raises what `enter` and `search_in` raise."""
        return await self.search_in(await self.enter(request), request)

    async def search_in(self, info: GalleryInfo, request: gallery_pb2.SearchRequest) -> gallery_pb2.SearchResponse:
        """Search an entered gallery for every face of a probe.

        Raises what `Probes.read`, `Galleries.search`, `Calibrations.in_force` and `Decisions` raise.
        """
        policy = face_policy(request.several_faces, allow_all=True)
        k = top_k(request)
        asked = criterion(request)
        fused_by, among = fusion(request), subject_filter(request)
        # Fused similarities are not those of single comparisons, which error rates are of.
        in_force = await self._calibrations.in_force(info, asked) if fused_by is ScoreFusion.MAX else None
        threshold = self._decisions.threshold(asked, info.model, in_force, info.template_count)
        faces = await self._probes.read(request.probe, "probe", policy, info.model, info.embedding_size)
        if len(faces) * k > MAX_CANDIDATES:
            raise InvalidTopK(
                f"{len(faces)} faces with top_k {k} make more than {MAX_CANDIDATES} candidates in one answer.",
                limit=str(MAX_CANDIDATES),
            )

        def search(face: ProbeFace) -> SearchedFace:
            found = self._galleries.search(
                info, face.embedding, k, threshold, request.only_above_threshold, fused_by, among
            )
            return SearchedFace(face.face, found)

        run = self._work.wide_search if among is not None and names_many(among) else self._work.storage
        searched = [await run(search, face) for face in faces]
        return await self._work.storage(search_response, searched, in_force)
