"""The messages of the load: built before the clock runs, and the answers to the first ones read for what they hold."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import grpc
import numpy as np

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, server_pb2, server_pb2_grpc
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.connection import Access, open_channel
from fr_bench.speed.generator import outcome_of
from fr_bench.speed.peer import FoundFaces
from fr_bench.speed.search_gallery import unit_vectors
from fr_core.types import F32
from fr_locales.messages import message

_CONNECT_S = 10.0
_CALL_S = 120.0
_WARM_UP_CALLS = 4
# Embeddings of one request of a stream.
_ROWS = 1000
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Method(StrEnum):
    """An RPC to measure."""

    EMBED = "embed"
    STREAM = "stream"  # embed, over streams
    BATCH = "batch"  # embed, many photos in a call
    DETECT = "detect"
    SEARCH = "search"


# A secured server asks for them.
PURPOSE: dict[str, Any] = {"purpose": common_pb2.PURPOSE_INVESTIGATION, "case_reference": "bench/1"}

PATHS = {
    Method.EMBED: "/fr_api.v1.RecognitionService/Embed",
    Method.STREAM: "/fr_api.v1.RecognitionService/StreamEmbed",
    Method.BATCH: "/fr_api.v1.RecognitionService/BatchEmbed",
    Method.DETECT: "/fr_api.v1.RecognitionService/Detect",
    Method.SEARCH: "/fr_api.v1.GalleryService/Search",
}

_REQUESTS: dict[Method, Any] = {
    Method.EMBED: recognition_pb2.EmbedRequest,
    Method.STREAM: recognition_pb2.StreamEmbedRequest,
    Method.DETECT: recognition_pb2.DetectRequest,
}

_RESPONSES: dict[Method, Any] = {
    Method.EMBED: recognition_pb2.EmbedResponse,
    Method.DETECT: recognition_pb2.DetectResponse,
    Method.SEARCH: gallery_pb2.SearchResponse,
}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The number of faces that the server found in a photo, or searched for, and their boxes; None for a search."""

    faces: int
    found: FoundFaces | None


def serialised(method: Method, photos: Sequence[bytes], gallery_id: str) -> tuple[bytes, ...]:
    """The request for each photo: in a stream without id, of batches a batch of one.

    `gallery_id` is for searches, of the largest face.
    """
    images = [common_pb2.Image(data=photo) for photo in photos]
    if method is Method.SEARCH:
        largest = common_pb2.SEVERAL_FACES_POLICY_LARGEST
        probes = [recognition_pb2.Probe(image=image) for image in images]
        searches = [
            gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=probe, several_faces=largest, **PURPOSE)
            for probe in probes
        ]
        return tuple(search.SerializeToString() for search in searches)
    if method is Method.BATCH:
        return tuple(recognition_pb2.BatchEmbedRequest(images=[image]).SerializeToString() for image in images)
    kind = _REQUESTS[method]
    return tuple(kind(image=image).SerializeToString() for image in images)


@contextmanager
def connected(
    address: str, access: Access | None = None
) -> Iterator[tuple[grpc.Channel, server_pb2.GetServerInfoResponse]]:
    """A channel to a server, and what it tells about itself; raises `BenchFailed` where no FR Core answers."""
    with open_channel(address, access, _OPTIONS) as channel:
        ask = server_pb2_grpc.ServerServiceStub(channel).GetServerInfo
        try:
            info = ask(server_pb2.GetServerInfoRequest(), timeout=_CONNECT_S)
        except grpc.RpcError as error:
            raise BenchFailed(
                message("error.bench.no_server_fr_core", address=address, name=error.code().name)
            ) from error
        yield channel, info


def first_answers(channel: grpc.Channel, method: Method, requests: Sequence[bytes]) -> tuple[Answer, ...]:
    """Send each request once, which warms the server up, and read the answers; raises `BenchFailed` for a refusal."""
    call: Any = channel.unary_unary(PATHS[method])

    def ask(request: bytes) -> Answer:
        try:
            return _read(method, call(request, timeout=_CALL_S))
        except grpc.RpcError as error:
            raise BenchFailed(
                message("error.bench.server_refuses_photo_workload", outcome_of=outcome_of(error)[0])
            ) from error

    with ThreadPoolExecutor(_WARM_UP_CALLS) as pool:
        return tuple(pool.map(ask, requests))


@contextmanager
def temporary_gallery(
    channel: grpc.Channel, info: server_pb2.GetServerInfoResponse, size: int, seed: int
) -> Iterator[str]:
    """The id of a gallery of `size` random templates, one for each subject, which is deleted at the end."""
    stub = gallery_pb2_grpc.GalleryServiceStub(channel)
    gallery_id = f"bench-{secrets.token_hex(4)}"
    try:
        stub.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id), timeout=_CALL_S)
        try:
            vectors = unit_vectors(np.random.default_rng(seed), size, info.model.embedding_size)
            for _ in enrol_all(channel, gallery_id, info.model.id, [(0, vectors)]):
                pass
            yield gallery_id
        finally:
            stub.DeleteGallery(gallery_pb2.DeleteGalleryRequest(gallery_id=gallery_id), timeout=_CALL_S)
    except grpc.RpcError as error:
        raise BenchFailed(
            message("error.bench.gallery_searches_cannot_made", outcome_of=outcome_of(error)[0])
        ) from error


def _bare(number: int) -> gallery_pb2.EmbeddingSubject:
    return gallery_pb2.EmbeddingSubject(subject_id=str(number))


def enrol_all(
    channel: grpc.Channel,
    gallery_id: str,
    model: common_pb2.ModelId,
    loads: Iterable[tuple[int, F32]],
    subject: Callable[[int], gallery_pb2.EmbeddingSubject] = _bare,
) -> Iterator[int]:
    """Enrol vectors into a gallery that is there; yields the number of templates that are stored after each request.

    `loads` has the first number of each load, and its vectors f32[n, D]; `subject` makes that of a number. Raises
    `BenchFailed` if the server refuses one, or stores fewer.
    """
    sent = stored = 0

    def items() -> Iterator[gallery_pb2.StreamEnrolEmbeddingsRequest]:
        nonlocal sent
        for first, vectors in loads:
            for start in range(0, len(vectors), _ROWS):
                rows = vectors[start : start + _ROWS]
                request = gallery_pb2.EnrolEmbeddingsRequest(
                    gallery_id=gallery_id,
                    model=model,
                    vectors=rows.astype("<f4", copy=False).tobytes(),
                    subjects=[subject(first + start + i) for i in range(len(rows))],
                )
                sent += len(rows)
                yield gallery_pb2.StreamEnrolEmbeddingsRequest(item_id=str(first + start), enrol=request)

    for answer in gallery_pb2_grpc.GalleryServiceStub(channel).StreamEnrolEmbeddings(items()):
        if not answer.HasField("enrolled") or answer.enrolled.refusals:
            raise BenchFailed(message("error.bench.server_refused_embedding"))
        stored += len(answer.enrolled.template_ids)
        yield stored
    if stored != sent:
        raise BenchFailed(message("error.bench.server_stored_embeddings", stored=stored, sent=sent))


def _read(method: Method, answer: bytes) -> Answer:
    message = _RESPONSES[method].FromString(answer)
    if method is Method.SEARCH:
        return Answer(len(message.results), None)
    faces = [item.face if method is Method.EMBED else item for item in message.faces]
    boxes = [[face.box.left, face.box.top, face.box.right, face.box.bottom] for face in faces]
    vectors = [item.embedding.vector for item in message.faces] if method is Method.EMBED else []
    found = FoundFaces(np.array(boxes, np.float32).reshape(-1, 4), np.array(vectors, np.float32) if vectors else None)
    return Answer(len(faces), found)
