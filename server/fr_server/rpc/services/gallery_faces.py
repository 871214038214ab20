"""Enrols the faces of a call into a gallery, or searches for them in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import FrError, InvalidTopK, message
from fr_core.gallery.checks import require_display_name, require_metadata, require_subject_id
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.search.filters import MANY
from fr_core.gallery.search.searching import Question
from fr_core.gallery.values import Enrolled, Enrolment, GalleryInfo, NewTemplate
from fr_core.pipeline import FacePolicy
from fr_core.quality.assess import QualityLimits, require_enrollable
from fr_core.runtime.ticket import current_ticket
from fr_core.types import Embedding
from fr_server.authz.authorize import require_stated
from fr_server.pools import Work
from fr_server.rpc.convert.calibration import InForce, criterion
from fr_server.rpc.convert.common import face_policy, sent_threshold
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
from fr_server.rpc.convert.gallery_updates import embeddings_response, enrolments
from fr_server.rpc.interceptors.boundary import as_item_error, count_refusal
from fr_server.rpc.services.calibrations import Calibrations
from fr_server.rpc.services.decisions import Decisions
from fr_server.rpc.services.probes import ProbeFace, Probes
from fr_server.storage.calls import GalleryCalls

# Candidates of all faces of one answer, so that its size stays within what clients and memory hold.
MAX_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class SearchOrder:
    """The parameters of a search in an entered gallery, apart from its probe; see `Galleries.search`."""

    info: GalleryInfo
    policy: FacePolicy
    k: int
    threshold: float
    only_above_threshold: bool
    fusion: ScoreFusion
    among: SubjectFilter | None
    in_force: InForce | None  # the calibration to answer with; None = without error rates

    def question(self, probe: Embedding) -> Question:
        """Return the question for a probe."""
        return Question(probe, self.k, self.threshold, self.only_above_threshold, self.fusion, self.among)


class GalleryFaces:
    """Enrols faces into galleries, and searches for them.

    `probes` make templates of photos, and `decisions` are for their model. `quality_limits` are of faces that are
    enrolled, `calibrations` of the galleries.
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
        """Return the gallery of a request, or of its part with the `gallery_id`, if it states what its rule requires.

        The call must use the returned value as the gallery from then on: so it acts on this gallery or is refused.
        Raises as `newest` and `require_stated`.
        """

        def entered() -> GalleryInfo:
            info = self.newest(request)
            require_stated(request, info)
            return info

        return await self._work.storage(entered)

    def newest(self, request: Any) -> GalleryInfo:
        """Return the gallery of a request as it is now, not older than the request's `at_least`, where it has one.

        Raises `UnknownGallery`, and as `Galleries.require_version`. It blocks.
        """
        self._require_version(request)
        return self._galleries.get(request.gallery_id)

    def _require_version(self, request: Any) -> None:
        if at_least := getattr(request, "at_least", ""):  # requests of changes have none
            self._galleries.require_version(request.gallery_id, at_least)

    def threshold(self, request: pb.FindDuplicatesRequest | pb.ClusterGalleryRequest, info: GalleryInfo) -> float:
        """Return the threshold of a request, or the default; raises `InvalidThreshold`, or `MissingField`."""
        sent = sent_threshold(request)
        if sent is not None:
            return sent
        return self._decisions.default_for(info.model, "threshold")

    async def enrol(self, request: pb.EnrolRequest) -> pb.EnrolResponse:
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
            return enrol_response(enrolled, face.choice)
        # Afterwards: of two that are enrolled at the same time, one at least finds the other. One more is asked for,
        # since the subject is found too.
        arguments = (info, face.embedding, MAX_SIMILAR + 1, similar_from, True, ScoreFusion.MAX, None)
        try:
            return enrol_response(enrolled, face.choice, await self._work.storage(self._galleries.search, *arguments))
        except Exception as error:  # noqa: BLE001 - the face is stored: an error would have it sent, and stored, again
            count_refusal(as_item_error(error))
            response = enrol_response(enrolled, face.choice)
            response.similar_unknown = True
            return response

    async def enrol_embeddings(self, request: pb.EnrolEmbeddingsRequest) -> pb.EnrolEmbeddingsResponse:
        """Enrol embeddings, each kept or refused by itself; raises what `Galleries.enrol_many` raises."""
        info = await self.enter(request)

        def enrol() -> tuple[Enrolled | FrError, ...]:
            return self._galleries.enrol_many(info, enrolments(request, info))

        outcomes = await self._work.storage(enrol)
        for outcome in outcomes:
            if isinstance(outcome, FrError):
                count_refusal(outcome)
        return embeddings_response(outcomes)

    async def search(self, request: pb.SearchRequest) -> pb.SearchResponse:
        """Search for every face of a probe; raises what `begin_search` and `finish_search` raise."""
        if request.probe.WhichOneof("source") == "image" or _is_wide(request):
            return await self.finish_search(await self.begin_search(request), request)
        return await self._work.storage(self._search_embedding, request)

    async def begin_search(self, request: pb.SearchRequest) -> SearchOrder:
        """Enter the gallery of a search and read what is asked; nothing is done to a photo before.

        Raises as `enter`, `criterion`, `fusion`, `subject_filter`, `Calibrations.in_force` and `Decisions`.
        """
        return await self._work.storage(lambda: self._order(request, self.newest(request)))

    async def finish_search(self, order: SearchOrder, request: pb.SearchRequest) -> pb.SearchResponse:
        """Search an entered gallery for every face of the probe; raises what `Probes.read` and `search` raise."""
        info = order.info
        faces = await self._probes.read(request.probe, "probe", order.policy, info.model, info.embedding_size)
        self._require_few(len(faces), order.k)
        searched: list[SearchedFace] = []
        ticket = current_ticket()

        def search(some: Sequence[ProbeFace]) -> pb.SearchResponse:
            for face in some:
                ticket.require_wanted()
                found = self._galleries.search(info, *order.question(face.embedding).arguments)
                searched.append(SearchedFace(face.choice, found))
            return search_response(searched, order.in_force)

        if not _is_wide(request) or not faces:
            return await self._work.storage(search, faces)
        for face in faces[:-1]:  # one at a time, since others wait for their turn
            await self._work.wide_search(search, (face,))
        return await self._work.wide_search(search, faces[-1:])

    async def search_each(
        self, order: SearchOrder, request: pb.SearchRequest, probes: Sequence[Embedding]
    ) -> list[pb.SearchResponse]:
        """Search an entered gallery for templates that the server made itself: an answer to each, without error rates.

        Raises `InvalidTopK`: more candidates than an answer holds; `ModelMismatch`; and what `Galleries.search` raises.
        """
        self._require_few(len(probes), order.k)
        ticket = current_ticket()

        def search(probe: Embedding) -> pb.SearchResponse:
            ticket.require_wanted()
            order.info.model.require_same(probe.model)
            found = self._galleries.search(order.info, *order.question(probe).arguments)
            return search_response([SearchedFace(None, found)])

        run = self._work.wide_search if _is_wide(request) else self._work.storage
        return [await run(search, probe) for probe in probes]

    def _search_embedding(self, request: pb.SearchRequest) -> pb.SearchResponse:
        """Search for an embedding: the gallery is read once, and everything is done in this thread."""
        self._require_version(request)
        orders: list[SearchOrder] = []

        def ask(info: GalleryInfo) -> Question:
            orders.append(order := self._order(request, info))
            face = self._probes.sent(request.probe, "probe", info.model, info.embedding_size)
            return order.question(face.embedding)

        found = self._galleries.search_as(request.gallery_id, ask)
        return search_response([SearchedFace(None, found)], orders[-1].in_force)

    @staticmethod
    def _require_few(faces: int, k: int) -> None:
        if faces * k > MAX_CANDIDATES:
            raise InvalidTopK(
                message("error.rpc.too_many_candidates", faces=faces, k=k, most=MAX_CANDIDATES),
                limit=str(MAX_CANDIDATES),
            )

    def _order(self, request: pb.SearchRequest, info: GalleryInfo) -> SearchOrder:
        """Convert everything of a request but its probe; it may read the gallery's calibration."""
        require_stated(request, info)
        policy = face_policy(request.several_faces, allow_all=True)
        k = top_k(request)
        asked = criterion(request)
        fused_by, among = fusion(request), subject_filter(request)
        # Error rates are those of single comparisons, not of fused similarities.
        in_force = self._calibrations.in_force(info, asked) if fused_by is ScoreFusion.MAX else None
        threshold = self._decisions.threshold(asked, info.model, in_force, info.template_count)
        return SearchOrder(info, policy, k, threshold, request.only_above_threshold, fused_by, among, in_force)


def _is_wide(request: pb.SearchRequest) -> bool:
    return len(request.filter.subject_ids) > MANY
