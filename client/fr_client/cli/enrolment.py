"""One run of `fr enrol`: what is sent, and what has become of each photo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client.cli.photos import read_photo
from fr_client.cli.show import shown
from fr_client.cli.sources import PhotoFile
from fr_client.cli.state import Unusable
from fr_client.client import Client
from fr_client.errors import FrApiError, reason_of
from fr_client.requests import EnrolItem, OneFace


@dataclass(frozen=True, slots=True)
class RefusedPhoto:
    """A photo that is not in the gallery, and why."""

    photo: PhotoFile
    reason: str
    message: str


@dataclass(slots=True)
class Tally:
    """What has become of the photos so far.

    Attributes:
        stored: newly in the gallery.
        already: of the same subject, and in the gallery before.
        new_subjects: subjects that did not exist before.
        refused: not in the gallery.
    """

    stored: int = 0
    already: int = 0
    new_subjects: int = 0
    refused: list[RefusedPhoto] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Photos whose fate is known."""
        return self.stored + self.already + len(self.refused)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A photo on its way."""

    photo: PhotoFile
    sha256: str


class Enrolment:
    """One run of `fr enrol`.

    Args:
        client: of the server.
        gallery_id: the gallery, which exists.
        several_faces: what to do with a photo of several faces.
        advance: called whenever `tally` has changed.
    """

    def __init__(
        self, client: Client, gallery_id: str, several_faces: OneFace, advance: Callable[[Tally], None]
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._gallery_id = gallery_id
        self._several_faces = several_faces
        self._advance = advance
        self._sent: dict[str, _Sent] = {}
        self._held: dict[str, frozenset[str]] = {}
        self._first: dict[str, PhotoFile] = {}

    def run(self, photos: tuple[PhotoFile, ...]) -> None:
        """Enrol the photos; what has become of each is in `tally`, also where this raises `FrApiError`."""
        for item_id, answer in self._client.enrol_many(self._gallery_id, self._items(photos)):
            sent = self._sent.pop(item_id)
            if isinstance(answer, gallery_pb2.EnrolResponse):
                self.tally.stored += 1
                self.tally.new_subjects += answer.subject_created
            else:
                self._refused(sent, answer)
            self._advance(self.tally)

    def _items(self, photos: tuple[PhotoFile, ...]) -> Iterator[EnrolItem]:
        max_bytes = self._client.server_info().limits.max_image_bytes
        for number, photo in enumerate(photos):
            try:
                data = _read(photo, max_bytes)
                sha256 = hashlib.sha256(data).hexdigest()
                if sha256 in self._photos_of(photo.subject_id):
                    self.tally.already += 1
                    self._advance(self.tally)
                    continue
                self._require_one_subject(photo, sha256)
            except Unusable as error:
                self.tally.refused.append(RefusedPhoto(photo, error.reason, error.message))
                self._advance(self.tally)
                continue
            self._sent[str(number)] = _Sent(photo, sha256)
            yield EnrolItem(
                photo.subject_id, data, str(number), photo.display_name, photo.metadata, self._several_faces
            )

    def _require_one_subject(self, photo: PhotoFile, sha256: str) -> None:
        """Raise `Unusable` where this run has sent the same photo for another subject."""
        first = self._first.setdefault(sha256, photo)
        if first.subject_id != photo.subject_id:
            raise Unusable(
                "DUPLICATE_IMAGE", f"This is the same photo as {shown(first.path)}, which is of another subject."
            )

    def _photos_of(self, subject_id: str) -> frozenset[str]:
        """Return the sha256 of the photos that the gallery held of a subject when it was first asked for."""
        if subject_id not in self._held:
            try:
                self._held[subject_id] = self._photos_now(subject_id)
            except FrApiError:
                return frozenset()  # the photo is sent, and its answer or the end of the stream says what is wrong
        return self._held[subject_id]

    def _photos_now(self, subject_id: str) -> frozenset[str]:
        try:
            subject = self._client.get_subject(self._gallery_id, subject_id)
        except FrApiError as error:
            if error.reason == "UNKNOWN_SUBJECT":
                return frozenset()
            raise
        return frozenset(template.image_sha256 for template in subject.templates)

    def _refused(self, sent: _Sent, refusal: common_pb2.Refusal) -> None:
        reason, message = reason_of(refusal), refusal.message
        if reason == "DUPLICATE_IMAGE":
            if sent.sha256 in self._photos_now(sent.photo.subject_id):
                self.tally.already += 1
                return
            message = "The gallery holds this very photo under another subject."
        self.tally.refused.append(RefusedPhoto(sent.photo, reason, message))


def _read(photo: PhotoFile, max_bytes: int) -> bytes:
    """Return the bytes of a photo; raises `Unusable` for one that the server could only refuse."""
    if not _is_text(photo.subject_id):
        raise Unusable("INVALID_IDENTIFIER", "The name of the folder is no text in UTF-8, so that it cannot be an id.")
    try:
        size = photo.path.stat().st_size
    except OSError:
        size = 0  # reading it says what is wrong
    if size > max_bytes:
        raise Unusable(
            "IMAGE_TOO_MANY_BYTES", f"The file has {size:,} bytes; the server takes photos of at most {max_bytes:,}."
        )
    return read_photo(photo.path)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
