"""Subjects of the asynchronous client: enrolment, search, and what a gallery holds of a person."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client import requests, unpack
from fr_client.aio.galleries import AsyncGalleries
from fr_client.channel import DEFAULT_BATCHES_IN_FLIGHT, DEFAULT_MAX_IN_FLIGHT
from fr_client.photos import Fit
from fr_client.requests import KEEP, EmbeddingBatch, EnrolItem, FaceSource, Keep, SearchItem
from fr_client.streams import STORES_EMBEDDINGS, STORES_FACES, STORES_NOTHING
from fr_client.tasks import Items, run, run_reading
from fr_client.unpack import Exported, write_export
from fr_client.words import Fusion, OneFace, Purpose, ReadingPurpose, SeveralFaces, purpose_value


class AsyncSubjects(AsyncGalleries):
    """Enrols, searches, describes, changes and deletes the subjects of galleries: a part of `AsyncClient`."""

    async def enrol(
        self,
        gallery_id: str,
        subject_id: str,
        face: FaceSource,
        *,
        display_name: str = "",
        metadata: Mapping[str, str] | None = None,
        several_faces: OneFace = "prominent",
        report_similar: bool = False,
        similar_threshold: float | None = None,
    ) -> gallery_pb2.EnrolResponse:
        """Enrol one face; it is durable when this returns. The arguments are those of `EnrolItem`.

        The similar subjects of `report_similar` are leads for a human examiner. If that search fails, the face is
        stored all the same, and the answer has `similar_unknown`.
        """
        item = EnrolItem(
            subject_id, face, "", display_name, metadata or {}, several_faces, report_similar, similar_threshold
        )
        request = await run(requests.enrol, gallery_id, item, await self._calls.fit())
        return await self._calls.call(self._gallery.Enrol, request)

    def enrol_many(
        self, gallery_id: str, faces: Items[EnrolItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> AsyncIterator[tuple[str, gallery_pb2.EnrolResponse | common_pb2.Refusal]]:
        """Enrol many faces through one stream.

        Yields the `item_id` of each item with its stored template or its refusal, in the order in which the answers
        come. Reads `faces` as the answers come: at most `max_in_flight` items are on their way at once. Raises
        `FrApiError` if the stream as a whole fails; it is safe to send photos again, since the server then refuses the
        stored ones as DUPLICATE_IMAGE. An embedding that you send twice is stored twice.
        """

        def build(item: EnrolItem, fit: Fit) -> gallery_pb2.StreamEnrolRequest:
            return gallery_pb2.StreamEnrolRequest(enrol=requests.enrol(gallery_id, item, fit))

        start = self._gallery_streams.StreamEnrol
        return self._calls.exchange(start, faces, build, unpack.result("stored"), max_in_flight, STORES_FACES)

    def enrol_embeddings(
        self,
        gallery_id: str,
        model: common_pb2.ModelId,
        batches: Items[EmbeddingBatch],
        *,
        max_in_flight: int = DEFAULT_BATCHES_IN_FLIGHT,
    ) -> AsyncIterator[tuple[str, gallery_pb2.EnrolEmbeddingsResponse | common_pb2.Refusal]]:
        """Enrol many embeddings of the gallery's model; see `enrol_many` for the order and the limits.

        The server stores or refuses each embedding by itself, as the answer to its batch says. An embedding that you
        send twice is stored twice: after an error, send a batch without an answer again only if it is not stored.
        """

        def build(batch: EmbeddingBatch, _: Fit) -> gallery_pb2.StreamEnrolEmbeddingsRequest:
            return requests.stream_enrol_embeddings(gallery_id, model, batch)

        start = self._gallery_streams.StreamEnrolEmbeddings
        return self._calls.exchange(start, batches, build, unpack.result("enrolled"), max_in_flight, STORES_EMBEDDINGS)

    async def search(
        self,
        gallery_id: str,
        probe: FaceSource,
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        only_above_threshold: bool = False,
        several_faces: SeveralFaces = "prominent",
        fusion: Fusion = "max",
        metadata: Mapping[str, str] | None = None,
        subject_ids: Sequence[str] | None = None,
        target_fmr: float | None = None,
        target_fpir: float | None = None,
        purpose: Purpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> gallery_pb2.SearchResponse:
        """Search a gallery for the subjects most similar to a face: leads for a human examiner, never an identity.

        Args:
            probe: a photo, or an embedding made by the gallery's model.
            top_k: candidates at most; None for the server's default.
            threshold: similarity at or above which a candidate counts as a lead; None for the model's default.
            only_above_threshold: leave out the candidates below the threshold.
            several_faces: as in `compare`; "all" gives one result for each face.
            fusion: how the similarities of a subject's templates become one; only "max" has known error rates.
            metadata: search only subjects whose metadata hold these pairs.
            subject_ids: search only these subjects; None for all.
            target_fmr: in place of a threshold, the false match rate to hold, above 0 and at most 1.
            target_fpir: likewise the false positive identification rate, between 0 and 1, at the size of the gallery.
            purpose: of the search; an operational gallery requires it, and `case_reference`.
            at_least: the `version_token` of an earlier answer; the search is of that version of the gallery or later.
        """
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
            at_least=at_least,
        )
        request = await run(requests.search, gallery_id, item, await self._calls.fit())
        return await self._calls.call(self._gallery.Search, request)

    def search_many(
        self, gallery_id: str, probes: Items[SearchItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> AsyncIterator[tuple[str, gallery_pb2.SearchResponse | common_pb2.Refusal]]:
        """Search for many faces; see `enrol_many` for the order and the limits."""

        def build(item: SearchItem, fit: Fit) -> gallery_pb2.StreamSearchRequest:
            return gallery_pb2.StreamSearchRequest(search=requests.search(gallery_id, item, fit))

        start = self._gallery_streams.StreamSearch
        return self._calls.exchange(start, probes, build, unpack.result("found"), max_in_flight, STORES_NOTHING)

    async def get_subject(
        self,
        gallery_id: str,
        subject_id: str,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> gallery_pb2.Subject:
        """Describe a subject and its templates; an operational gallery requires a purpose of reading and a case.

        `at_least` as in `search`.
        """
        request = gallery_pb2.GetSubjectRequest(
            gallery_id=gallery_id,
            subject_id=subject_id,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            at_least=at_least,
        )
        return (await self._calls.call(self._gallery.GetSubject, request)).subject

    def list_subjects(
        self,
        gallery_id: str,
        *,
        page_size: int | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> AsyncIterator[gallery_pb2.Subject]:
        """Yield every subject of a gallery in the order of the ids, page by page; see `get_subject`."""
        request = gallery_pb2.ListSubjectsRequest(
            gallery_id=gallery_id,
            page_size=page_size,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            at_least=at_least,
        )
        return self._calls.pages(self._gallery.ListSubjects, request, "subjects")

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
        """Change a subject, and return it; values that you leave out stay as they are.

        The metadata replace all that the subject had. An operational gallery requires a purpose and a case.
        """
        request = gallery_pb2.UpdateSubjectRequest(
            gallery_id=gallery_id,
            subject_id=subject_id,
            display_name="" if isinstance(display_name, Keep) else display_name,
            metadata={} if isinstance(metadata, Keep) else metadata,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
        )
        values = {"display_name": display_name, "metadata": metadata}
        request.update_mask.paths.extend(name for name, value in values.items() if value is not KEEP)
        return (await self._calls.call(self._gallery.UpdateSubject, request)).subject

    async def export_subject(
        self,
        gallery_id: str,
        subject_id: str,
        target: Path,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Exported:
        """Write all data of a subject into a zip archive, for the person who asks for it.

        The archive holds no embeddings of an operational gallery, which requires a purpose and a case: they never leave
        the server. Only its owner can read the file (mode 0600), which is complete or absent. Raises `OSError` if the
        file exists or cannot be written.
        """
        embedding = not requests.is_operational(await self.get_gallery(gallery_id))
        subject = await self.get_subject(gallery_id, subject_id, purpose=purpose, case_reference=case_reference)

        async def template(template_id: int) -> gallery_pb2.GetTemplateResponse:
            return await self.get_template(
                gallery_id, template_id, embedding=embedding, photo=True, purpose=purpose, case_reference=case_reference
            )

        return await run_reading(lambda read: write_export(subject, read, target), template)

    async def delete_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.DeleteSubjectResponse:
        """Delete a subject with its templates."""
        request = gallery_pb2.DeleteSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return await self._calls.call(self._gallery.DeleteSubject, request)

    async def get_template(
        self,
        gallery_id: str,
        template_id: int,
        *,
        embedding: bool = False,
        photo: bool = False,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> gallery_pb2.GetTemplateResponse:
        """Read a template, with its embedding, and its photo if the gallery keeps photos, if wanted.

        An operational gallery refuses its embeddings, and requires a purpose and a case.
        """
        request = gallery_pb2.GetTemplateRequest(
            gallery_id=gallery_id,
            template_id=template_id,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            include_embedding=embedding,
            include_photo=photo,
            at_least=at_least,
        )
        return await self._calls.call(self._gallery.GetTemplate, request)

    async def erase_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.EraseSubjectResponse:
        """Delete a subject with its templates, photos and key; `scrubbed` says whether its bytes are removed."""
        request = gallery_pb2.EraseSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return await self._calls.call(self._gallery.EraseSubject, request)

    async def purge_expired(self, *, dry_run: bool = False) -> gallery_pb2.PurgeExpiredResponse:
        """Delete, or only count, the templates whose retention has passed, and the subjects that have none left."""
        return await self._calls.call(self._gallery.PurgeExpired, gallery_pb2.PurgeExpiredRequest(dry_run=dry_run))

    async def delete_template(self, gallery_id: str, template_id: int) -> gallery_pb2.DeleteTemplateResponse:
        """Delete one template; a subject without templates stays until it is deleted."""
        request = gallery_pb2.DeleteTemplateRequest(gallery_id=gallery_id, template_id=template_id)
        return await self._calls.call(self._gallery.DeleteTemplate, request)
