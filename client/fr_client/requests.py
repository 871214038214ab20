"""From Python's values to the API's request messages: shared by both clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2

# An encoded photo: its bytes, or the path of its file.
Photo = bytes | Path
# A face to compare, enrol or search for: a photo, or an embedding that the server's model made.
FaceSource = Photo | common_pb2.Embedding
# What to do with a photo that holds more than one face.
OneFace = Literal["error", "largest"]
SeveralFaces = Literal["error", "largest", "all"]

_POLICIES: dict[str, common_pb2.SeveralFacesPolicy.ValueType] = {
    "error": common_pb2.SEVERAL_FACES_POLICY_ERROR,
    "largest": common_pb2.SEVERAL_FACES_POLICY_LARGEST,
    "all": common_pb2.SEVERAL_FACES_POLICY_ALL,
}


@dataclass(frozen=True, slots=True)
class EnrolItem:
    """One face of `enrol_many`.

    Attributes:
        subject_id: the caller's own id of the subject; created where it is new.
        face: a photo, or an embedding made by the gallery's model.
        item_id: the caller's own name for the item, given back with its answer; never sent.
        display_name: a name for people; where empty, an existing subject keeps its own.
        metadata: the caller's own data; where empty, an existing subject keeps its own.
        several_faces: what to do with a photo of several faces.
    """

    subject_id: str
    face: FaceSource
    item_id: str = ""
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    several_faces: OneFace = "error"


@dataclass(frozen=True, slots=True)
class SearchItem:
    """One face of `search_many`; the fields are those of `Client.search`, `item_id` that of `EnrolItem`."""

    probe: FaceSource
    item_id: str = ""
    top_k: int | None = None
    threshold: float | None = None
    only_above_threshold: bool = False
    several_faces: SeveralFaces = "error"


@dataclass(frozen=True, slots=True)
class EmbedItem:
    """One photo of `embed_many`; `item_id` is that of `EnrolItem`."""

    photo: Photo
    item_id: str = ""


def image(photo: Photo) -> common_pb2.Image:
    """Return the message for a photo; raises `OSError` where its file cannot be read."""
    if isinstance(photo, str):
        raise TypeError("A photo is its bytes, or the Path of a file: Path('probe.jpg') rather than 'probe.jpg'.")
    return common_pb2.Image(data=photo.read_bytes() if isinstance(photo, Path) else photo)


def probe(face: FaceSource) -> recognition_pb2.Probe:
    """Return the message for a face; raises `OSError` where its file cannot be read."""
    if isinstance(face, common_pb2.Embedding):
        return recognition_pb2.Probe(embedding=face)
    return recognition_pb2.Probe(image=image(face))


def policy(name: SeveralFaces) -> common_pb2.SeveralFacesPolicy.ValueType:
    """Return the API's value of a policy; raises `ValueError` for any other word."""
    if name not in _POLICIES:
        raise ValueError(f"several_faces is {name!r}; it can be 'error', 'largest' or, in a search, 'all'.")
    return _POLICIES[name]


def compare(
    a: FaceSource, b: FaceSource, several_faces: OneFace, threshold: float | None
) -> recognition_pb2.CompareRequest:
    """Return the request of a comparison."""
    return recognition_pb2.CompareRequest(
        a=probe(a), b=probe(b), several_faces=policy(several_faces), threshold=threshold
    )


def enrol(gallery_id: str, item: EnrolItem) -> gallery_pb2.EnrolRequest:
    """Return the request that enrols one face."""
    return gallery_pb2.EnrolRequest(
        gallery_id=gallery_id,
        subject_id=item.subject_id,
        display_name=item.display_name,
        metadata=dict(item.metadata),
        face=probe(item.face),
        several_faces=policy(item.several_faces),
    )


def search(gallery_id: str, item: SearchItem) -> gallery_pb2.SearchRequest:
    """Return the request of a search."""
    return gallery_pb2.SearchRequest(
        gallery_id=gallery_id,
        probe=probe(item.probe),
        top_k=item.top_k,
        threshold=item.threshold,
        only_above_threshold=item.only_above_threshold,
        several_faces=policy(item.several_faces),
    )
