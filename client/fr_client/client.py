"""The synchronous client of the API."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

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
from fr_client import requests, stream, unpack
from fr_client.access import Access
from fr_client.answers import each
from fr_client.audit import Audit
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
from fr_client.identity import Identity, TlsCredentials, open_channel
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
from fr_client.review import Review
from fr_client.training import Training
from fr_client.window import STORES_EMBEDDINGS, STORES_FACES, STORES_NOTHING, Advice, StreamSettings

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT")


class Client:
    """A connection to an FR Core server; use it as a context manager, or `close` it.

    Photos are given as encoded bytes or as a `Path`; answers are the messages of `fr_api.v1`. It may be used from
    several threads at once.

    Args:
        target: the server's address, HOST:PORT.
        timeout_s: seconds that a call may take, its repetitions included; of a stream, the longest wait for the next
            answer. None for no limit.
        credentials: of a TLS channel: `tls_credentials`, or those of gRPC, of which errors cannot say what is wrong;
            None for one without encryption.
        token: an API key or a token of the identity provider; "" where the server asks nobody. Without encryption it is
            sent to this very machine alone.
        max_message_bytes: the largest request in bytes.
        retry: when a call that the server refused to begin is made again.

    Every method raises `FrApiError` when the call is refused or fails, and `OSError` when the file of a photo cannot be
    read.
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
        self._channel = open_channel(target, Identity(token, credentials), options)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(self._channel)
        self._gallery = gallery_pb2_grpc.GalleryServiceStub(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)
        self._evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls that still run are cancelled."""
        self._channel.close()

    def server_info(self) -> server_pb2.GetServerInfoResponse:
        """Return the server's version, model, device and limits."""
        return self._call(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())

    @cached_property
    def training(self) -> Training:
        """Training in the comparison of faces: courses, cohorts, sittings and results."""
        return Training(self._channel, self._call, self._endpoint, self._timeout_s, self._retry)

    @cached_property
    def access(self) -> Access:
        """Who calls, and the API keys."""
        return Access(self._channel, self._call)

    @cached_property
    def audit(self) -> Audit:
        """What was done, by whom and why, and whether the record of it is as it was written."""
        return Audit(self._channel, self._call, self._endpoint, self._timeout_s, self._retry)

    @cached_property
    def review(self) -> Review:
        """Human examination of the leads of searches: cases, examinations, findings and evidence."""
        return Review(self._channel, self._call, self._endpoint, self._timeout_s, self._retry)

    # --- without a gallery ----------------------------------------------------------------------------------

    def detect(self, photo: Photo) -> recognition_pb2.DetectResponse:
        """Find every face of a photo, the largest first; none is no error."""
        return self._call(self._recognition.Detect, recognition_pb2.DetectRequest(image=requests.image(photo)))

    def embed(self, photo: Photo) -> recognition_pb2.EmbedResponse:
        """Find and embed every face of a photo, the largest first; none is no error."""
        return self._call(self._recognition.Embed, recognition_pb2.EmbedRequest(image=requests.image(photo)))

    def compare(
        self,
        a: FaceSource,
        b: FaceSource,
        *,
        several_faces: OneFace = "error",
        threshold: float | None = None,
        target_fmr: float | None = None,
    ) -> recognition_pb2.CompareResponse:
        """Compare two faces.

        Args:
            a: the first face.
            b: the second face.
            several_faces: what to do with a photo of several faces.
            threshold: similarity at or above which the answer says so, from -1 to 1; None for the model's default.
            target_fmr: in place of a threshold, the false match rate to hold, above 0 and at most 1.
        """
        return self._call(self._recognition.Compare, requests.compare(a, b, several_faces, threshold, target_fmr))

    def embed_many(
        self, photos: Iterable[EmbedItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> Iterator[tuple[str, recognition_pb2.EmbedResponse | common_pb2.Refusal]]:
        """Embed many photos; see `enrol_many` for the order and the limits."""
        items = ((item.item_id, requests.stream_embed(item)) for item in photos)
        settings = self._stream(max_in_flight, STORES_NOTHING)
        return stream.exchange(self._recognition.StreamEmbed, items, unpack.embedded, settings)

    # --- galleries ------------------------------------------------------------------------------------------

    def create_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str = "",
        expires: datetime | None = None,
        retention: timedelta | None = None,
        keeps_photos: bool = False,
        use: Use | None = None,
    ) -> gallery_pb2.Gallery:
        """Create an empty gallery, bound to the server's model.

        Args:
            gallery_id: 1 to 128 characters of a-z, 0-9, - and _.
            display_name: a name for people.
            expires: when the gallery is closed, with a time zone; None for never.
            retention: how long after its enrolment a template is deleted; None for never.
            keeps_photos: whether the photos of enrolled faces are kept, encrypted.
            use: what it is for, for ever: an "operational" one is searched only for a purpose and under the reference
                of a case. None for "operational" where the server asks who calls, else for "test".
        """
        request = requests.create_gallery(gallery_id, display_name, expires, retention, keeps_photos, use)
        return self._call(self._gallery.CreateGallery, request).gallery

    def get_gallery(self, gallery_id: str) -> gallery_pb2.Gallery:
        """Describe a gallery."""
        return self._call(self._gallery.GetGallery, gallery_pb2.GetGalleryRequest(gallery_id=gallery_id)).gallery

    def list_galleries(self, *, page_size: int | None = None) -> Iterator[gallery_pb2.Gallery]:
        """Yield every gallery in the order of the ids, page by page; None for the server's size of a page."""
        token = ""
        while True:
            request = gallery_pb2.ListGalleriesRequest(page_size=page_size, page_token=token)
            page = self._call(self._gallery.ListGalleries, request)
            yield from page.galleries
            token = page.next_page_token
            if not token:
                return

    def update_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str | Keep = KEEP,
        expires: datetime | Keep | None = KEEP,
        retention: timedelta | Keep | None = KEEP,
    ) -> gallery_pb2.Gallery:
        """Change a gallery, and return it; what is not given stays as it is.

        Args:
            gallery_id: the gallery; one that has expired is open again with a later end, or with none.
            display_name: a name for people.
            expires: when the gallery is closed, a time to come with a time zone; None for never.
            retention: how long after its enrolment a template is deleted, those that are there already too; None for
                never.
        """
        request = requests.update_gallery(gallery_id, display_name, expires, retention)
        return self._call(self._gallery.UpdateGallery, request).gallery

    def delete_gallery(self, gallery_id: str) -> gallery_pb2.DeleteGalleryResponse:
        """Delete a gallery with its subjects and templates."""
        return self._call(self._gallery.DeleteGallery, gallery_pb2.DeleteGalleryRequest(gallery_id=gallery_id))

    def set_calibration(self, gallery_id: str, source: str | Path) -> gallery_pb2.SetCalibrationResponse:
        """Set what similarities in a gallery mean: searches answer with its error rates from now on.

        Args:
            gallery_id: the gallery.
            source: the text of the calibration.json of a verification with the gallery's model, or the file's path.

        Raises:
            OSError: the file cannot be read.
            UnicodeDecodeError: it is no text in UTF-8.
        """
        text = requests.calibration_text(source)
        request = gallery_pb2.SetCalibrationRequest(gallery_id=gallery_id, calibration_json=text)
        return self._call(self._gallery.SetCalibration, request)

    def delete_calibration(self, gallery_id: str) -> gallery_pb2.DeleteCalibrationResponse:
        """Take the calibration of a gallery away: searches answer with that of the model pack, if it has one."""
        return self._call(self._gallery.DeleteCalibration, gallery_pb2.DeleteCalibrationRequest(gallery_id=gallery_id))

    def calibration(self, gallery_id: str) -> gallery_pb2.GetCalibrationResponse:
        """Read the calibration that searches of a gallery answer with: its own, else that of the model pack, if any."""
        return self._call(self._gallery.GetCalibration, gallery_pb2.GetCalibrationRequest(gallery_id=gallery_id))

    # --- enrolment ------------------------------------------------------------------------------------------

    def enrol(
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
        """Enrol one face; it is stored durably when this returns.

        Args:
            gallery_id: the gallery.
            subject_id: the caller's own id of the subject; created where it is new.
            face: a photo, or an embedding made by the gallery's model.
            display_name: a name for people; where empty, an existing subject keeps its own.
            metadata: the caller's own data; where empty, an existing subject keeps its own, else it replaces it.
            several_faces: what to do with a photo of several faces.
            report_similar: whether to report other subjects that are similar to the face: leads for a human examiner.
                Where that search fails, the face is stored, and the answer has `similar_unknown`.
            similar_threshold: similarity at or above which they are reported; None for the model's default.
        """
        item = EnrolItem(
            subject_id, face, "", display_name, metadata or {}, several_faces, report_similar, similar_threshold
        )
        return self._call(self._gallery.Enrol, requests.enrol(gallery_id, item))

    def enrol_many(
        self, gallery_id: str, faces: Iterable[EnrolItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> Iterator[tuple[str, gallery_pb2.EnrolResponse | common_pb2.Refusal]]:
        """Enrol many faces through one stream.

        Yields the `item_id` of each item with what was stored, or with why nothing was, in the order in which the
        answers come. `faces` is read as the answers come: at most `max_in_flight` items are on their way at once.
        When the stream as a whole fails, `FrApiError` is raised; it is safe to send photos again, since those that were
        stored are then refused as DUPLICATE_IMAGE. An embedding that is sent twice is stored twice.
        """
        items = ((item.item_id, requests.stream_enrol(gallery_id, item)) for item in faces)
        settings = self._stream(max_in_flight, STORES_FACES)
        return stream.exchange(self._gallery.StreamEnrol, items, unpack.stored, settings)

    def enrol_embeddings(
        self,
        gallery_id: str,
        model: common_pb2.ModelId,
        batches: Iterable[EmbeddingBatch],
        *,
        max_in_flight: int = DEFAULT_BATCHES_IN_FLIGHT,
    ) -> Iterator[tuple[str, gallery_pb2.EnrolEmbeddingsResponse | common_pb2.Refusal]]:
        """Enrol many embeddings that were made before; see `enrol_many` for the order and the limits.

        Each embedding is stored or refused by itself, as the answer to its batch says. An embedding that is sent twice
        is stored twice: after an error, send the batches without an answer again only where they are not stored.

        Args:
            gallery_id: the gallery.
            model: that made the embeddings; must be the gallery's.
            batches: are read as the answers come.
            max_in_flight: batches that are on their way at once.
        """
        items = ((one.item_id, requests.stream_enrol_embeddings(gallery_id, model, one)) for one in batches)
        settings = self._stream(max_in_flight, STORES_EMBEDDINGS)
        return stream.exchange(self._gallery.StreamEnrolEmbeddings, items, unpack.enrolled, settings)

    # --- search ---------------------------------------------------------------------------------------------

    def search(
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
        """Search a gallery for the subjects most similar to a face: leads for a human examiner, never an identity.

        Args:
            gallery_id: the gallery.
            probe: a photo, or an embedding made by the gallery's model.
            top_k: candidates at most; None for the server's default.
            threshold: similarity at or above which a candidate counts as a lead; None for the model's default.
            only_above_threshold: leave out the candidates below the threshold.
            several_faces: what to do with a photo of several faces; "all" gives one result for each.
            fusion: how the similarities of a subject's templates become one; error rates are known of "max" only.
            metadata: search only subjects whose metadata hold these pairs.
            subject_ids: search only these subjects; None for all.
            target_fmr: in place of a threshold, the false match rate to hold, above 0 and at most 1.
            target_fpir: likewise the false positive identification rate, between 0 and 1, at the size of the gallery.
            purpose: what the search is for; an operational gallery is not searched without.
            case_reference: of the case that it is for, likewise.
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
        )
        return self._call(self._gallery.Search, requests.search(gallery_id, item))

    def search_many(
        self, gallery_id: str, probes: Iterable[SearchItem], *, max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    ) -> Iterator[tuple[str, gallery_pb2.SearchResponse | common_pb2.Refusal]]:
        """Search for many faces; see `enrol_many` for the order and the limits."""
        items = ((item.item_id, requests.stream_search(gallery_id, item)) for item in probes)
        settings = self._stream(max_in_flight, STORES_NOTHING)
        return stream.exchange(self._gallery.StreamSearch, items, unpack.found, settings)

    # --- whole galleries ------------------------------------------------------------------------------------

    def find_duplicates(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Iterator[gallery_pb2.FindDuplicatesResponse]:
        """Yield the templates of different subjects that may be of one person, and how far the search has come.

        The search begins with the first step of the iterator, and closing that ends it. Pairs come while the gallery is
        searched. `timeout_s` is the longest wait for the next answer.

        Args:
            gallery_id: the gallery.
            threshold: similarity at or above which two templates are a pair; None for the model's default.
            purpose: what it is for; an operational gallery is not looked through without.
            case_reference: of the case that it is for, likewise.
        """
        request = requests.find_duplicates(gallery_id, threshold, purpose, case_reference)
        return self._answers(lambda: self._gallery.FindDuplicates(request))

    def cluster_gallery(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Iterator[gallery_pb2.ClusterGalleryResponse]:
        """Yield how far the search has come, then the templates of a gallery in clusters: leads, not identities.

        Args:
            gallery_id: the gallery.
            threshold: mean similarity that the templates of two clusters must reach to become one, from 0 to 1; None
                for the model's default threshold.
            purpose: what it is for; an operational gallery is not looked through without.
            case_reference: of the case that it is for, likewise.
        """
        request = requests.cluster_gallery(gallery_id, threshold, purpose, case_reference)
        return self._answers(lambda: self._gallery.ClusterGallery(request))

    # --- subjects and templates -----------------------------------------------------------------------------

    def get_subject(
        self,
        gallery_id: str,
        subject_id: str,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.Subject:
        """Describe a subject and its templates.

        Args:
            gallery_id: the gallery.
            subject_id: the subject.
            purpose: why the caller reads; required for an operational gallery.
            case_reference: of the case or request; required for an operational gallery.
        """
        request = requests.get_subject(gallery_id, subject_id, purpose, case_reference)
        return self._call(self._gallery.GetSubject, request).subject

    def list_subjects(
        self,
        gallery_id: str,
        *,
        page_size: int | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Iterator[gallery_pb2.Subject]:
        """Yield every subject of a gallery in the order of the ids, page by page; see `get_subject`."""
        token = ""
        while True:
            request = requests.list_subjects(gallery_id, page_size, token, purpose, case_reference)
            page = self._call(self._gallery.ListSubjects, request)
            yield from page.subjects
            token = page.next_page_token
            if not token:
                return

    def update_subject(
        self,
        gallery_id: str,
        subject_id: str,
        *,
        display_name: str | Keep = KEEP,
        metadata: Mapping[str, str] | Keep = KEEP,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.Subject:
        """Change a subject, and return it; what is not given stays as it is.

        Args:
            gallery_id: the gallery.
            subject_id: the subject.
            display_name: a name for people.
            metadata: the caller's own data, in the place of all that the subject had.
            purpose: why the caller reads; required for an operational gallery.
            case_reference: of the case or request; required for an operational gallery.
        """
        request = requests.update_subject(gallery_id, subject_id, display_name, metadata, purpose, case_reference)
        return self._call(self._gallery.UpdateSubject, request).subject

    def export_subject(
        self,
        gallery_id: str,
        subject_id: str,
        target: Path,
        *,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> Exported:
        """Write all data of a subject into a zip archive, for the person who asks for it.

        The archive holds no embeddings of an operational gallery: they never leave the server. Only its owner can read
        the file (mode 0600); the file is complete or absent.

        Args:
            gallery_id: the gallery.
            subject_id: the subject.
            target: the file, which must not be there; else, or where it cannot be written, an `OSError` is raised.
            purpose: why the caller reads; required for an operational gallery.
            case_reference: of the case or request; required for an operational gallery.
        """
        embedding = not requests.is_operational(self.get_gallery(gallery_id))
        subject = self.get_subject(gallery_id, subject_id, purpose=purpose, case_reference=case_reference)

        def template(template_id: int) -> gallery_pb2.GetTemplateResponse:
            return self.get_template(
                gallery_id,
                template_id,
                embedding=embedding,
                photo=True,
                purpose=purpose,
                case_reference=case_reference,
            )

        return write_export(subject, template, target)

    def delete_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.DeleteSubjectResponse:
        """Delete a subject with its templates."""
        request = gallery_pb2.DeleteSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return self._call(self._gallery.DeleteSubject, request)

    def get_template(
        self,
        gallery_id: str,
        template_id: int,
        *,
        embedding: bool = False,
        photo: bool = False,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
    ) -> gallery_pb2.GetTemplateResponse:
        """Read a template.

        Args:
            gallery_id: the gallery.
            template_id: the template.
            embedding: also read its embedding; an operational gallery refuses this.
            photo: also read its photo, if the gallery keeps photos.
            purpose: why the caller reads; required for an operational gallery.
            case_reference: of the case or request; required for an operational gallery.
        """
        request = requests.get_template(
            gallery_id, template_id, purpose, case_reference, embedding=embedding, photo=photo
        )
        return self._call(self._gallery.GetTemplate, request)

    def erase_subject(self, gallery_id: str, subject_id: str) -> gallery_pb2.EraseSubjectResponse:
        """Delete a subject with its templates, photos and key; when this returns no byte of it is left in the store."""
        request = gallery_pb2.EraseSubjectRequest(gallery_id=gallery_id, subject_id=subject_id)
        return self._call(self._gallery.EraseSubject, request)

    def purge_expired(self, *, dry_run: bool = False) -> gallery_pb2.PurgeExpiredResponse:
        """Delete, or only count, the templates whose time has passed, and the subjects that have none left."""
        return self._call(self._gallery.PurgeExpired, gallery_pb2.PurgeExpiredRequest(dry_run=dry_run))

    def delete_template(self, gallery_id: str, template_id: int) -> gallery_pb2.DeleteTemplateResponse:
        """Delete one template; a subject without templates stays until it is deleted."""
        request = gallery_pb2.DeleteTemplateRequest(gallery_id=gallery_id, template_id=template_id)
        return self._call(self._gallery.DeleteTemplate, request)

    # --- evaluation -----------------------------------------------------------------------------------------

    def datasets(self) -> Sequence[evaluation_pb2.Dataset]:
        """Return the data sets that something can be measured on, and which of them lie on the server."""
        return self._call(self._evaluation.ListDatasets, evaluation_pb2.ListDatasetsRequest()).datasets

    def run_verification(
        self, dataset: str, *, seed: int | None = None, on_progress: OnProgress | None = None
    ) -> evaluation_pb2.ReportSummary:
        """Compare the pairs of a data set on the server; return what was found and the id of the report.

        It may take minutes or hours: `timeout_s` does not end it. What ends the wait, such as Ctrl-C, ends the
        evaluation too, and leaves no report.

        Args:
            dataset: its name, as `datasets` has it.
            seed: of the draws behind the intervals by people; None for the server's.
            on_progress: is told how many photos are done, and how many there are.
        """
        request = evaluation_pb2.RunVerificationRequest(dataset=dataset, seed=seed)
        return self._measured(lambda: self._evaluation.RunVerification(request), on_progress)

    def run_identification(
        self,
        dataset: str,
        *,
        seed: int | None = None,
        gallery_sizes: Sequence[int] = (),
        on_progress: OnProgress | None = None,
    ) -> evaluation_pb2.ReportSummary:
        """Enrol half of a data set's people, search for all others, and return what was found; no gallery is touched.

        Args:
            dataset: its name, as `datasets` has it.
            seed: of who is enrolled and of the strangers; None for the server's.
            gallery_sizes: sizes of galleries to fill up with drawn strangers.
            on_progress: is told how many photos are done, and how many there are.

        See `run_verification` for how long it may take, and how it ends.
        """
        request = evaluation_pb2.RunIdentificationRequest(dataset=dataset, seed=seed, gallery_sizes=gallery_sizes)
        return self._measured(lambda: self._evaluation.RunIdentification(request), on_progress)

    def reports(self, *, page_size: int | None = None) -> Iterator[evaluation_pb2.ReportSummary]:
        """Yield every report that the server keeps, the newest first, page by page; None for its size of a page."""
        token = ""
        while True:
            request = evaluation_pb2.ListReportsRequest(page_size=page_size, page_token=token)
            page = self._call(self._evaluation.ListReports, request)
            yield from page.reports
            token = page.next_page_token
            if not token:
                return

    def report(self, report_id: str, file: ReportFile = "json") -> FileOfReport:
        """Read a file of a report; raises `FrApiError` (UNKNOWN_REPORT) where there is none.

        Args:
            report_id: the report.
            file: "json" has every figure, "html" is a page for people; a verification has the "scores" of its pairs and
                a "calibration" for `set_calibration` too.
        """
        with closing(self.report_parts(report_id, file)) as parts:
            return whole_file(parts)

    def report_parts(self, report_id: str, file: ReportFile = "json") -> Generator[evaluation_pb2.GetReportResponse]:
        """Yield what the report is, then the file piece by piece; arguments and errors are those of `report`."""
        request = requests.get_report(report_id, file)
        return each(lambda: self._evaluation.GetReport(request), self._endpoint, self._timeout_s, self._retry)

    def delete_report(self, report_id: str) -> None:
        """Delete a report with all its files; raises `FrApiError` (UNKNOWN_REPORT) where there is none."""
        self._call(self._evaluation.DeleteReport, evaluation_pb2.DeleteReportRequest(report_id=report_id))

    # --- how calls are made ---------------------------------------------------------------------------------

    def _answers(self, start: Callable[[], Iterable[ResponseT]]) -> Iterator[ResponseT]:
        return each(start, self._endpoint, self._timeout_s, self._retry)

    def _measured(
        self,
        start: Callable[
            [], Iterable[evaluation_pb2.RunVerificationResponse | evaluation_pb2.RunIdentificationResponse]
        ],
        on_progress: OnProgress | None,
    ) -> evaluation_pb2.ReportSummary:
        """Wait for the report; the evaluation ends with the wait."""
        # Without a limit: after its photos, an evaluation computes for as long as it takes.
        with closing(each(start, self._endpoint, None, self._retry)) as answers:
            for answer in answers:
                report = unpack.finished(answer, on_progress)
                if report is not None:
                    return report
        raise without_report(self._endpoint)

    def _stream(self, max_in_flight: int, advice: Advice) -> StreamSettings:
        return StreamSettings(
            self._endpoint, max_in_flight, self._timeout_s, self._max_message_bytes, self._retry, advice
        )

    def _call(self, method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Call until there is an answer, an error that a repetition would not mend, or no time left."""
        require_fits(request.ByteSize(), self._max_message_bytes)
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        for attempt in itertools.count(1):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                return method(request, timeout=left)
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error, self._endpoint, self._timeout_s)
                delay_s = self._retry.delay_s(error, attempt, random.random())
                if delay_s is None or (deadline is not None and time.monotonic() + delay_s >= deadline):
                    raise error from rpc_error
            time.sleep(delay_s)
        raise AssertionError("itertools.count ends never")
