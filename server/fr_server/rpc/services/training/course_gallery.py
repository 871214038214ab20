"""Searches the gallery of a course, the people whom own probes may find, with the real matcher."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from fr_core.errors import FrError, UnknownGallery, message
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.values import Enrolment, GalleryInfo, GalleryUpdate, GalleryUse, NewTemplate
from fr_core.types import Embedding, ModelId
from fr_server.authz.scope import gallery_id_of
from fr_server.storage.calls import GalleryCalls
from fr_training.bank.lists import Ranked
from fr_training.bank.pool import PoolPhoto

# A course is made within minutes. What a process leaves that dies meanwhile expires by itself.
_UNFINISHED = timedelta(days=1)
# Below every similarity.
_ANY = -1.0


class CourseGallery:
    """The gallery of one course; a `fr_training.bank.lists.Matcher`."""

    def __init__(self, galleries: GalleryCalls, course_id: str, model: ModelId, size: int) -> None:
        self._galleries = galleries
        self._model = model
        self._size = size
        self.gallery_id = gallery_id_of(course_id)
        self._made: GalleryInfo | None = None

    @property
    def enrolled(self) -> bool:
        """Return whether the gallery was made."""
        return self._made is not None

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        """Make the gallery, and enrol people with a photo each; raises `FrError`: what creating and enrolling raise."""
        expires = datetime.now(UTC) + _UNFINISHED
        self._made = self._galleries.create(
            self.gallery_id,
            "People of a training course",
            self._model,
            self._size,
            expires,
            None,
            False,
            GalleryUse.TRAINING,
        )
        enrolments = [
            Enrolment(subject_of(person), NewTemplate(Embedding(photo.embedding, self._model), photo.sha256))
            for person, photo in people
        ]
        for outcome in self._galleries.enrol_many(self._made, enrolments):
            if isinstance(outcome, FrError):
                raise outcome

    def keep(self) -> None:
        """Let the gallery stay as long as its course."""
        if self._made is not None:
            self._galleries.update(self._made, GalleryUpdate(expires=None))

    def drop(self) -> None:
        """Delete the gallery, where it was made."""
        if self._made is not None:
            self._galleries.delete(self._made)


def subject_of(person: int) -> str:
    """The id under which a person of a course is enrolled."""
    return f"person-{person}"


def gallery_of_course(galleries: GalleryCalls, gallery_id: str) -> GalleryInfo:
    """Return the gallery of a course; raises `UnknownGallery`, also if a gallery of another use has its id."""
    info = galleries.get(gallery_id)
    if info.use is not GalleryUse.TRAINING:
        raise UnknownGallery(message("error.rpc.gallery_course_deleted_another"))
    return info


def search_people(galleries: GalleryCalls, gallery_id: str, probe: Embedding, k: int) -> list[Ranked]:
    """The k people of a course's gallery most similar to a probe, best first; raises what searching raises."""
    found = galleries.search(gallery_of_course(galleries, gallery_id), probe, k, _ANY, False, ScoreFusion.MAX, None)
    return [
        Ranked(int(one.subject_id.removeprefix("person-")), one.similarity) for one in found.identification.candidates
    ]
