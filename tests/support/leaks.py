"""Looks for leaks of answer keys: received bytes, and classifiers that look for more."""

import asyncio
import hashlib
import io
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
from PIL import Image

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_server.rpc.services.training.resources import TrainingResources
from fr_server.rpc.services.training.sessions import with_pictures
from fr_training.answers import Usability
from fr_training.build.pictures import SIDE
from fr_training.courses import Course, Item
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.sessions.views import ShowTrial, key_of
from fr_training.trials import Trial as Kept
from support.counts import count
from support.courses import store_of
from support.servers import Running, photo

# Of a JPEG file (ITU-T T.81): start, comment, beginning of the scan, end.
_SOI, _COM, _SOS, _EOI = b"\xff\xd8", 0xFE, 0xDA, b"\xff\xd9"
_JFIF, _TABLES_AND_FRAME = 0xE0, {0xDB, 0xC0, 0xC4}
_BARE_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"  # no density, no thumbnail

PROBE = photo(6)

PERMUTATIONS = count("PERMUTATIONS")
LEAK = 1e-3  # a chance below that is none


@dataclass(frozen=True)
class Heard:
    """All that came back from one call: the response before it was read (b"" where the call was refused), and headers,
    trailers and status around it."""

    call: str
    message: bytes
    around: bytes
    took_s: float
    status: grpc.StatusCode


class Listening:
    """A channel that writes down every byte of the responses to unary calls."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.heard: list[Heard] = []
        self._channel = channel

    @property
    def training(self) -> training_pb2_grpc.TrainingServiceStub:
        channel: Any = self
        stub: training_pb2_grpc.TrainingServiceStub = training_pb2_grpc.TrainingServiceStub(channel)
        return stub

    def unary_unary(
        self, method: str, request_serializer: Any, response_deserializer: Any, _registered_method: bool = False
    ) -> Callable[[Any], Any]:
        raw: Any = self._channel.unary_unary(method, request_serializer, None)
        name = method.rpartition("/")[2]

        def call(request: Any) -> Any:
            began = time.perf_counter()
            try:
                message, done = raw.with_call(request)
            except grpc.RpcError as error:
                self._write(name, b"", error, time.perf_counter() - began)
                raise
            self._write(name, message, done, time.perf_counter() - began)
            return response_deserializer(message)

        return call

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("_registered_method")
        return self._channel.unary_stream(method, *args, **kwargs)

    def _write(self, name: str, message: bytes, end: Any, took_s: float) -> None:
        parts = [end.code().name, end.details() or ""]
        for key, value in (*(end.initial_metadata() or ()), *(end.trailing_metadata() or ())):
            parts += [key, value]
        around = b"\n".join(part if isinstance(part, bytes) else part.encode() for part in parts)
        self.heard.append(Heard(name, message, around, took_s, end.code()))


@contextmanager
def drawn_secrets(seed: str) -> Iterator[None]:
    """Give the sessions that are begun secrets that follow from a seed; their ids stay what they are."""
    number = iter(range(2**31))

    def token_bytes(size: int) -> bytes:
        return hashlib.shake_256(f"{seed} {next(number)}".encode()).digest(size)

    drawing = SimpleNamespace(token_hex=secrets.token_hex, token_bytes=token_bytes)
    with patch("fr_server.rpc.services.training.sessions.secrets", drawing):
        yield


def forbidden(course: Course, photos: Sequence[str], names: Sequence[str]) -> tuple[bytes, ...]:
    """Byte strings that must not arrive before an answer: of a course, of the sha256 of its photos, and of names."""
    blocks = {block.block_id for block in course.plan.blocks}
    hashes = [*photos, course.manifest_sha256, *(form.manifest_sha256 for form in course.forms.values())]
    items = [item for form in course.forms.values() for item in form.items]
    digits = [*hashes, *(item.item_id for item in items), course.course_id]
    reasons = [one for item in items if isinstance(item.key, LessonKey) for one in item.key.reasons]
    words = [*names, *reasons, *digits, *(name for name in course.forms if name not in blocks)]
    numbers = {number for item in items for number in (*_numbers(item.key), item.b or 0.0)}
    return (
        *(word.encode() for word in words),
        *(bytes.fromhex(one) for one in digits),
        *(packed for number in numbers for packed in _packed(number)),
    )


def opposed(key: AnswerKey | None) -> AnswerKey | None:
    """Another truth about the same photos; the advice stays."""
    match key:
        case PairKey():
            return replace(key, mated=not key.mated, similarity=-key.similarity - 0.25, log10_lr=3.0)
        case TriadKey():
            return TriadKey((key.odd + 1) % 3, (key.machine_odd + 2) % 3, key.margin - 1.0)
        case ListKey():
            return ListKey(0 if key.mate is None else None, tuple(-one for one in key.similarities))
        case TriageKey():
            other = Usability.REJECT if key.usability is Usability.USABLE else Usability.USABLE
            return TriageKey(other, None, 0.5)
        case LabKey():
            return replace(key, right=0 if key.right else 1, measured=key.measured / 2.0 + 25.0)
        case EvidenceKey():
            return EvidenceKey(key.crop, key.original, 0 if key.broken else 1)
        case LessonKey():
            return replace(key, right=(key.right + 1) % len(key.reasons), reasons=key.reasons[::-1])
    return None


def with_keys(server: Running, course: Course, change: Callable[[AnswerKey | None], AnswerKey | None]) -> Course:
    """Store a course of the same pictures with other keys."""
    store = store_of(server)
    gallery = store.gallery(course.course_id)
    items = [item for form in course.forms.values() for item in form.items]
    pictures = 1 + max(*gallery.values(), *(number for item in items for number in item.photos))

    def changed(item: Item) -> Item:
        return replace(item, key=change(item.key), b=None if item.b is None else -item.b)

    forms = {form.name: replace(form, items=tuple(map(changed, form.items))) for form in course.forms.values()}
    course_id = hashlib.sha256(f"{course.course_id} {change.__name__}".encode()).hexdigest()[:16]
    other = replace(course, course_id=course_id, forms=forms)
    sent = {hashlib.sha256(PROBE).hexdigest(): min(gallery)}
    store.add_course(other, [store.picture(course.course_id, n) for n in range(pictures)], gallery, sent, {})
    return other


def _numbers(key: AnswerKey | None) -> list[float]:
    values = [] if key is None else astuple(key)
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in flat if isinstance(one, float)]


def _packed(number: float) -> list[bytes]:
    """A number as it may be sent; 0 is sent as nothing, and short texts are in many a sentence."""
    if number == 0.0:
        return []
    texts = [text.encode() for text in (repr(number), f"{number:.4f}", f"{number:.3f}") if len(text) > 4]
    return [*texts, *(struct.pack(form, number) for form in ("<d", ">d", "<f", ">f"))]


def bare(picture: bytes) -> bytes:
    """The JPEG without its filling, which follows from the rest; every segment is what pixels need."""
    assert picture.startswith(_SOI)
    kept, filling, at, marker = [_SOI], b"", 2, 0
    while marker != _SOS:
        assert picture[at] == 0xFF
        marker, size = picture[at + 1], int.from_bytes(picture[at + 2 : at + 4], "big")
        segment = picture[at : at + 2 + size]
        at += len(segment)
        if marker == _COM:
            filling += segment[4:]
            continue
        assert marker in (_JFIF, _SOS, *_TABLES_AND_FRAME)
        assert marker != _JFIF or segment[4:] == _BARE_JFIF
        kept.append(segment)
    scan = picture[at:]
    assert scan.find(_EOI) == len(scan) - len(_EOI)
    bare = b"".join((*kept, scan))
    assert filling == hashlib.shake_256(bare).digest(len(filling))
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        assert (image.size, image.mode, dict(image.getexif())) == ((SIDE, SIDE), "RGB", {})
    return bare


@dataclass(frozen=True)
class Row:
    """A trial as seen by its sizes, times and numbers alone; in a stratum, chance deals what is right."""

    stratum: int
    features: tuple[float, ...]
    label: int


def chance(rows: Sequence[Row]) -> float:
    """The probability that chance lets a classifier find the right answers as well as it does.

    A logistic regression and a forest learn from one half of the rows, and are asked about the other, both ways round.
    Their balanced accuracy is compared with what it is when labels change places within each stratum: that is exact,
    whatever the features are, where the labels of a stratum are dealt by chance. The least of the four is told, times
    four (Bonferroni); what is below `LEAK` is a leak.
    """
    forest = import_module("sklearn.ensemble").RandomForestClassifier
    regression = import_module("sklearn.linear_model").LogisticRegression
    scaled = import_module("sklearn.preprocessing").StandardScaler
    chained = import_module("sklearn.pipeline").make_pipeline

    rng = np.random.default_rng(0)
    x = np.array([row.features for row in rows], dtype=np.float64)
    y = np.array([row.label for row in rows])
    strata = np.array([row.stratum for row in rows])
    half = _halves(strata, y, rng)
    found = []
    for learnt in (0, 1):
        train, test = half == learnt, half != learnt
        for model in (
            chained(scaled(), regression(max_iter=1_000, class_weight="balanced")),
            forest(60, min_samples_leaf=3, class_weight="balanced", random_state=0),
        ):
            said = model.fit(x[train], y[train]).predict(x[test])
            found.append(_chance(said, y[test], strata[test], rng))
    return min(1.0, len(found) * min(found))


def standing_out(rows: Sequence[Row]) -> float:
    """As `chance`, of the one feature that tells most: it finds in a few dozen rows what no classifier learns.

    Its distance between the labels, in standard deviations within the strata, is compared with that of the feature that
    tells most when labels change places.
    """
    rng = np.random.default_rng(0)
    x = np.array([row.features for row in rows], dtype=np.float64)
    y = np.array([row.label for row in rows], dtype=np.float64)
    strata = np.array([row.stratum for row in rows])
    for stratum in np.unique(strata):
        x[strata == stratum] -= x[strata == stratum].mean(axis=0)
    spread = x.std(axis=0)
    x = x[:, spread > 1e-9] / spread[spread > 1e-9]
    found = np.abs(_dealt(y, strata, rng) @ x).max(axis=1) >= np.abs(y @ x).max() - 1e-9
    return float((1 + found.sum()) / (1 + PERMUTATIONS))


def _halves(strata: Any, labels: Any, rng: np.random.Generator) -> Any:
    """0 or 1 for each row: whole strata where there are several, else as many of each label as of the other half."""
    if len(set(strata.tolist())) > 1:
        return np.searchsorted(np.unique(strata), strata) % 2
    half = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        half[rng.permutation(np.flatnonzero(labels == label))[::2]] = 1
    return half


def _chance(said: Any, labels: Any, strata: Any, rng: np.random.Generator) -> float:
    better = _balanced(said, _dealt(labels, strata, rng)) >= _balanced(said, labels[None, :])[0] - 1e-12
    return float((1 + better.sum()) / (1 + PERMUTATIONS))


def _dealt(labels: Any, strata: Any, rng: np.random.Generator) -> Any:
    """The labels, dealt anew within each stratum: a row for each time."""
    dealt = np.repeat(labels[None, :], PERMUTATIONS, axis=0)
    for stratum in np.unique(strata):
        columns = np.flatnonzero(strata == stratum)
        dealt[:, columns] = rng.permuted(dealt[:, columns], axis=1)
    return dealt


def _balanced(said: Any, dealt: Any) -> Any:
    """Balanced accuracy for each row of labels: the mean, over the labels, of the share that is said rightly."""
    right = dealt == said[None, :]
    shares = [(right & (dealt == label)).sum(axis=1) / (dealt == label).sum(axis=1) for label in np.unique(dealt[0])]
    return np.mean(shares, axis=0)


def truth_of(course: Course, trial: Kept) -> tuple[int, int | None, int]:
    """The right answer of a trial: the place of the choice, and the number of choices."""
    match key_of(course, trial):
        case PairKey() as pair:
            return int(pair.mated), None, 0
        case TriageKey() as triage:
            return int(triage.usability is Usability.USABLE), None, 0
        case TriadKey() as triad:
            place = trial.order.index(triad.odd)
            return place, place, 3
        case ListKey() as many:
            mate = None if many.mate is None else trial.order.index(1 + many.mate) - 1
            return int(mate is not None), mate, len(many.similarities)
    raise AssertionError("an own probe is not measured")


def planted(same: Callable[[training_pb2.Trial], None], wait_s: float) -> Any:
    """A server that waits for a while, or changes a trial, where one person is shown."""

    async def showing(
        desk: TrainingResources, course_id: str, shown: ShowTrial, language: str = ""
    ) -> training_pb2.Trial:
        trial = await with_pictures(desk, course_id, shown, language)
        if truth_of(desk.store.course(course_id), shown.trial)[0] == 1:
            same(trial)
            await asyncio.sleep(wait_s)
        return trial

    return patch("fr_server.rpc.services.training.sessions.with_pictures", showing)
