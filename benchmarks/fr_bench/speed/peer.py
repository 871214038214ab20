"""The peer: InsightFace's own pipeline on the same model files, in a process of its own on the same cores."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

import fr_core.runtime  # noqa: F401 - keeps the ONNX Runtime silent that InsightFace loads
from fr_bench.speed.child import BenchFailed, Child, answer_requests
from fr_bench.speed.stats import rates
from fr_bench.speed.values import PEER, Agreement, EngineSettings, Rate, Round, round_of
from fr_bench.speed.workload import PhotoList
from fr_core.detect.nms import iou
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import Pack, load_pack
from fr_core.types import F32
from fr_locales.messages import message

# Callers at once that the peer is tried with. One is how its makers use it: its threads take every core then. Two keep
# the cores busier, since the peer does all but inference in the caller's thread.
PEER_CALLERS = (1, 2)

# Sides of the pictures that its detector sees: those of InsightFace's own examples, and of InsightFace Server's
# server/config/server.toml (0.2.0), where it merges what it finds at both.
SERVER_SIZES = (96, 512)
PEERS = {"insightface": (640,), "insightface-96+512": SERVER_SIZES}


@dataclass(frozen=True, slots=True)
class PeerSubject:
    """The peer with some callers at once."""

    peer: Peer
    order: tuple[int, ...]
    callers: int

    @property
    def pid(self) -> int:
        """As `Subject.pid`."""
        return self.peer.pid

    def run(self, turn: int) -> Round:
        """As `Subject.run`."""
        return self.peer.round(self.order, self.callers)


@dataclass(frozen=True, slots=True, eq=False)
class OpenPeer:
    """The peer of a measurement: its subjects, and what it finds in each distinct photo."""

    subjects: tuple[PeerSubject, ...]
    faces: tuple[FoundFaces, ...]


@contextmanager
def opened_peer(
    name: str | None, settings: EngineSettings, listed: PhotoList, *, embeds: bool = True
) -> Iterator[OpenPeer | None]:
    """Run the peer's process for as long as the block lasts; None where no peer is asked for.

    `name` is one of `PEERS`. A peer that does not embed only detects.
    """
    if name is None:
        yield None
        return
    with Peer(load_pack(settings.pack), listed.photos, PEERS[name], embeds=embeds) as peer:
        faces = peer.faces()  # every distinct photo once: the warm-up too
        yield OpenPeer(tuple(PeerSubject(peer, listed.order, callers) for callers in PEER_CALLERS), faces)


def peer_rate(rounds: Sequence[Round]) -> Rate | None:
    """The medians of the peer over REST, else of the one in process with one caller; None where no peer ran."""
    return next((rate for rate in rates(rounds) if rate.subject.startswith(PEER)), None)


def rate_of(rounds: Sequence[Round], subject: str) -> Rate:
    """The medians of one subject; KeyError where it did not run."""
    return {rate.subject: rate for rate in rates(rounds)}[subject]


# Two boxes are one face from here on; the usual value of detection benchmarks (Everingham et al., IJCV 88, 2010).
SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class FoundFaces:
    """The faces of a photo: boxes f32[n, 4] (left, top, right, bottom) in pixels, unit embeddings f32[n, D] or None."""

    boxes: F32
    embeddings: F32 | None


class Peer:
    """`insightface.app.FaceAnalysis` on the processor with its own default threads; raises as `model_files`."""

    def __init__(self, pack: Pack, photos: tuple[bytes, ...], sizes: tuple[int, ...], *, embeds: bool = True) -> None:
        self._child = Child("the peer", run_peer, pack.name, model_files(pack), photos, sizes, embeds)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._child.pid

    def faces(self) -> tuple[FoundFaces, ...]:
        """Return what the peer finds in each photo."""
        return tuple(self._child.ask("faces"))

    def round(self, order: tuple[int, ...], callers: int) -> Round:
        """Go over the photos; the time includes decoding them from their bytes with OpenCV."""
        seconds, faces = self._child.ask((order, callers))
        return round_of(f"{PEER} ({callers} caller{'s' * (callers > 1)})", len(order), faces, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()


def model_files(pack: Pack) -> tuple[Path, ...]:
    """Return the files of a pack for InsightFace.

    Raises `BenchFailed` if InsightFace is not installed, or cannot run the pack, and as `ModelCache.read_verified`.
    """
    if importlib.util.find_spec("insightface") is None:
        raise BenchFailed(message("error.bench.peer_insightface_not_installed"))
    if (pack.detector.family, pack.embedder.family) != ("scrfd", "arcface"):
        raise BenchFailed(message("error.bench.peer_runs_scrfd_arcface", pack=pack.name))
    cache = ModelCache(cache_folder())
    for file in pack.files:
        cache.read_verified(file)
    return tuple(cache.path(file) for file in pack.files)


@contextmanager
def face_analysis(name: str, files: tuple[Path, ...], sizes: tuple[int, ...], *, embeds: bool = True) -> Iterator[Any]:
    """Open `FaceAnalysis` in this process, which prints nothing meanwhile.

    Its detector sees pictures of these sides, in pixels.
    """
    # InsightFace and what it imports warn about themselves and print; neither belongs among our results.
    warnings.simplefilter("ignore")
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        tempfile.TemporaryDirectory() as root,
    ):
        folder = Path(root) / "models" / name
        folder.mkdir(parents=True)
        for file in files:
            (folder / file.name).symlink_to(file)
        from insightface.app import FaceAnalysis

        modules = ["detection", "recognition"] if embeds else ["detection"]
        app = FaceAnalysis(name=name, root=root, providers=["CPUExecutionProvider"], allowed_modules=modules)
        app.prepare(ctx_id=-1, det_size=[(size, size) for size in sizes] if len(sizes) > 1 else (sizes[0],) * 2)
        yield app


def run_peer(
    connection: Connection,
    name: str,
    files: tuple[Path, ...],
    photos: tuple[bytes, ...],
    sizes: tuple[int, ...],
    embeds: bool,
) -> None:
    """The peer's process."""
    with face_analysis(name, files, sizes, embeds=embeds) as app:

        def analyze(photo: bytes) -> list[Any]:
            pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
            faces: list[Any] = app.get(pixels)
            return faces

        def answer(request: Any) -> object:
            if request == "faces":
                return [_found(analyze(photo)) for photo in photos]
            order, callers = request
            with ThreadPoolExecutor(callers) as pool:
                start = time.perf_counter()
                faces = sum(pool.map(lambda place: len(analyze(photos[place])), order))
                return time.perf_counter() - start, faces

        answer_requests(connection, answer)


def agreement(ours: tuple[FoundFaces, ...], theirs: tuple[FoundFaces, ...]) -> Agreement:
    """Compare what both found in the same photos."""
    matched, cosines = 0, []
    for own, other in zip(ours, theirs, strict=True):
        for mine, its in matches(own.boxes, other.boxes):
            matched += 1
            if own.embeddings is not None and other.embeddings is not None:
                vectors = own.embeddings[mine].astype(np.float64), other.embeddings[its].astype(np.float64)
                cosines.append(float(vectors[0] @ vectors[1]))
    return Agreement(
        len(ours),
        sum(len(faces.boxes) for faces in ours),
        sum(len(faces.boxes) for faces in theirs),
        matched,
        min(cosines) if cosines else None,
        float(np.median(cosines)) if cosines else None,
    )


def matches(ours: F32, theirs: F32) -> list[tuple[int, int]]:
    """Pairs of f32[n, 4] and f32[m, 4] boxes of one face, the greatest overlap first, each box at most once."""
    overlaps = [(float(share), i, j) for i, box in enumerate(ours) for j, share in enumerate(iou(box, theirs))]
    pairs: list[tuple[int, int]] = []
    for share, i, j in sorted(overlaps, key=lambda item: -item[0]):
        if share >= SAME_FACE_IOU and all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _found(faces: list[Any]) -> FoundFaces:
    boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
    if not faces or faces[0].embedding is None:
        return FoundFaces(boxes, None)
    return FoundFaces(boxes, np.array([face.normed_embedding for face in faces], np.float32))
