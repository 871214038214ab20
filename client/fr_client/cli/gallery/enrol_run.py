"""Runs one `fr enrol`: sends the photos, and counts the results."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.channel import DEFAULT_MAX_IN_FLIGHT
from fr_client.cli.files import read_photo
from fr_client.cli.gallery.enrol_log import EnrolLog, FileState, Noted
from fr_client.cli.gallery.photo_sources import PhotoFile
from fr_client.cli.show import shown
from fr_client.cli.state import Unusable
from fr_client.errors import FrApiError, reason_of
from fr_client.photos import TOO_LARGE
from fr_client.requests import EnrolItem, is_operational
from fr_client.sync.client import Client
from fr_client.words import OneFace, ReadingPurpose

# Subjects whose photos in the gallery are cached: the photos of a subject come one after the other.
_HELD_SUBJECTS = 1000
# Refusals that say nothing about the photo: a later run sends it again.
PASSING = frozenset(
    {
        "CALL_TOO_LONG",
        "OVERLOADED",
        "READER_TOO_SLOW",
        "RATE_LIMITED",
        "NOT_READY",
        "SHUTTING_DOWN",
        "STORE_CORRUPT",
        "STORE_FAILED",
        "STORAGE_LOW",
        "INDEX_UNAVAILABLE",
        "INTERNAL",
        "DEVICE_LOST",
        "CALL_ENDED",
        "GALLERY_REPLACED",
        "REPLICA_BEHIND",
        "ERASURE_UNCONFIRMED",
        "FILE_UNREADABLE",
    }
)


@dataclass(frozen=True, slots=True)
class RefusedPhoto:
    """A photo that is not in the gallery, and the reason."""

    photo: PhotoFile
    reason: str
    message: str


Result: TypeAlias = gallery_pb2.EnrolResponse | RefusedPhoto | None


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a run, from the options of `fr enrol`; `one_photo_each` refuses a second photo under the same id."""

    several_faces: OneFace = "prominent"
    one_photo_each: bool = False
    report_similar: bool = False
    retry_refused: bool = False
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    purpose: ReadingPurpose | None = None
    case_reference: str = ""


@dataclass(slots=True)
class Tally:
    """Counts the results so far."""

    stored: int = 0
    already: int = 0  # photos that the gallery already held for the same subject
    new_subjects: int = 0
    refused: list[RefusedPhoto] = field(default_factory=list)
    # Pairs of similar subjects, with the highest similarity of their faces.
    similar: dict[tuple[str, str], float] = field(default_factory=dict)
    with_others: int = 0  # stored photos that also show other faces, which were passed over
    similar_unknown: int = 0  # photos newly in the gallery whose search for similar subjects failed
    scaled_down: int = 0  # photos over the server's limits, which were made smaller

    @property
    def done(self) -> int:
        """Photos with a result."""
        return self.stored + self.already + len(self.refused)


@dataclass(frozen=True, slots=True)
class _Sent:
    photo: PhotoFile
    state: FileState | None
    sha256: str


class Enrolment:
    """One run of `fr enrol`.

    `on_result` is called with each photo and its result: the answer of the server, the refusal, or None if the gallery
    already held the photo.
    """

    def __init__(
        self,
        client: Client,
        gallery: gallery_pb2.Gallery,
        options: Options,
        log: EnrolLog | None = None,
        on_result: Callable[[PhotoFile, Result], None] = lambda photo, result: None,
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._gallery = gallery
        self._options = options
        self._log = log
        self._on_result = on_result
        # With a log, or an empty gallery, no lookup is needed before sending.
        self._asks_first = bool(gallery.template_count) and not log
        self._sent: dict[str, _Sent] = {}
        self._held: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._first: dict[bytes, PhotoFile] = {}
        self._photo_of: dict[str, str] = {}

    def left(self, photos: Sequence[PhotoFile]) -> list[PhotoFile]:
        """Return the photos to look at; the tally counts those that the log knows."""
        return [photo for photo in photos if not self._known(photo)]

    def run(self, photos: Sequence[PhotoFile], advance: Callable[[Tally], None] = lambda _: None) -> None:
        """Enrol the photos that `left` returned; `tally` has the results, also after `FrApiError` or `Unusable`.

        Calls `advance` after every change of the tally.
        """
        answers = self._client.enrol_many(
            self._gallery.gallery_id, self._items(photos, advance), max_in_flight=self._options.max_in_flight
        )
        for item_id, answer in answers:
            sent = self._sent.pop(item_id)
            if isinstance(answer, gallery_pb2.EnrolResponse):
                self.tally.stored += 1
                self.tally.new_subjects += answer.subject_created
                self.tally.with_others += bool(answer.choice.passed_over)
                self._note_similar(answer)
                self._note(sent.photo, sent.state)
                self._on_result(sent.photo, answer)
            else:
                self._answered_no(sent, answer)
            advance(self.tally)

    def _items(self, photos: Sequence[PhotoFile], advance: Callable[[Tally], None]) -> Iterator[EnrolItem]:
        for number, photo in enumerate(photos):
            state = FileState.of(photo.path)  # before it is read, so that the next run notices later changes
            try:
                data = self._read(photo)
                sha256 = hashlib.sha256(data).hexdigest()
                asks = self._asks_first and self._may_look_up()
                if asks and sha256 in self._photos_of(photo.subject_id):
                    self._already(photo, state)
                    advance(self.tally)
                    continue
                self._require_one_subject(photo, sha256)
                if self._options.one_photo_each:
                    self._require_one_photo(photo, sha256)
            except (FrApiError, Unusable) as error:
                if isinstance(error, FrApiError) and error.reason not in TOO_LARGE:
                    raise
                self._refused(photo, state, error.reason, error.message)
                advance(self.tally)
                continue
            self._sent[str(number)] = _Sent(photo, state, sha256)
            yield EnrolItem(
                photo.subject_id,
                data,
                str(number),
                photo.display_name,
                photo.metadata,
                self._options.several_faces,
                self._options.report_similar,
            )

    def _read(self, photo: PhotoFile) -> bytes:
        """Return the bytes to send; raises `Unusable`, or `FrApiError`, if the server could only refuse the photo."""
        try:
            photo.subject_id.encode()
        except UnicodeEncodeError as error:
            words = "The name of the file or its folder is not text in UTF-8, so it cannot be an id."
            raise Unusable("INVALID_IDENTIFIER", words) from error
        data = read_photo(photo.path)
        sent = self._client.fit_photo(data)
        self.tally.scaled_down += sent != data
        return sent

    def _known(self, photo: PhotoFile) -> bool:
        """Count a photo if the log has its result, and return whether it has."""
        noted = None if self._log is None else self._log.noted(photo, FileState.of(photo.path))
        if noted is None or (noted.reason and self._options.retry_refused):
            return False
        if noted.reason:
            self._tell_refused(RefusedPhoto(photo, noted.reason, noted.message))
        else:
            self.tally.already += 1
            self._on_result(photo, None)
        return True

    def _already(self, photo: PhotoFile, state: FileState | None) -> None:
        self.tally.already += 1
        self._note(photo, state)
        self._on_result(photo, None)

    def _require_one_subject(self, photo: PhotoFile, sha256: str) -> None:
        """Raise `Unusable` if this run has sent the same photo for another subject."""
        first = self._first.setdefault(bytes.fromhex(sha256), photo)
        if first.subject_id != photo.subject_id:
            raise Unusable(
                "DUPLICATE_IMAGE", f"This is the same photo as {shown(first.path)}, which belongs to another subject."
            )

    def _require_one_photo(self, photo: PhotoFile, sha256: str) -> None:
        """Raise `Unusable` if this run has sent another photo of the subject, or the gallery holds one."""
        first = self._photo_of.setdefault(photo.subject_id, sha256)
        held = self._photos_of(photo.subject_id) if self._gallery.template_count else frozenset()
        if first != sha256 or (held and sha256 not in held):
            raise Unusable(
                "SUBJECT_EXISTS",
                "Another photo is enrolled under this path. Rename the file, or use a gallery of its own.",
            )

    def _photos_of(self, subject_id: str) -> frozenset[str]:
        """Return the sha256 of a subject's photos in the gallery, as of the first lookup."""
        if subject_id not in self._held:
            try:
                self._held[subject_id] = self._photos_now(subject_id)
            except FrApiError as error:
                if error.reason == "PURPOSE_REQUIRED":
                    raise
                return frozenset()  # the answer to the photo, or the end of the stream, says what is wrong
            if len(self._held) > _HELD_SUBJECTS:
                self._held.popitem(last=False)
        return self._held[subject_id]

    def _photos_now(self, subject_id: str) -> frozenset[str]:
        try:
            subject = self._client.get_subject(
                self._gallery.gallery_id,
                subject_id,
                purpose=self._options.purpose,
                case_reference=self._options.case_reference,
            )
        except FrApiError as error:
            if error.reason == "UNKNOWN_SUBJECT":
                return frozenset()
            raise
        return frozenset(template.image_sha256 for template in subject.templates)

    def _may_look_up(self) -> bool:
        """Return whether the command may look up subjects: the gallery needs no purpose, or the user gave one."""
        said = self._options.purpose is not None and self._options.case_reference
        return bool(said) or not is_operational(self._gallery)

    def _answered_no(self, sent: _Sent, refusal: common_pb2.Refusal) -> None:
        reason, message = reason_of(refusal), refusal.message
        if reason == "DUPLICATE_IMAGE" and self._may_look_up():
            if sent.sha256 in self._photos_now(sent.photo.subject_id):
                self._already(sent.photo, sent.state)
                return
            message = "The gallery holds this very photo under another subject."
        elif reason == "DUPLICATE_IMAGE":
            message = (
                "The gallery already holds this photo. With --purpose gallery-maintenance and --case REFERENCE, fr "
                "looks up its subject."
            )
        self._refused(sent.photo, sent.state, reason, message)

    def _refused(self, photo: PhotoFile, state: FileState | None, reason: str, message: str) -> None:
        self._tell_refused(RefusedPhoto(photo, reason, message))
        if reason not in PASSING:
            self._note(photo, state, reason, message)

    def _tell_refused(self, refused: RefusedPhoto) -> None:
        self.tally.refused.append(refused)
        self._on_result(refused.photo, refused)

    def _note(self, photo: PhotoFile, state: FileState | None, reason: str = "", message: str = "") -> None:
        if self._log is not None and state is not None:
            self._log.note(photo, Noted(state, reason, message))

    def _note_similar(self, answer: gallery_pb2.EnrolResponse) -> None:
        self.tally.similar_unknown += answer.similar_unknown
        for one in answer.similar:
            low, high = sorted((answer.subject_id, one.subject_id))
            self.tally.similar[low, high] = max(one.similarity, self.tally.similar.get((low, high), -1.0))
