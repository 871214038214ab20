"""The load of the soak: everything that a server is asked all day, by clients that come and go, at a steady pace."""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from fr_api.v1 import (
    common_pb2,
    gallery_pb2,
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
)
from support.courses import Chance, answer, next_trial
from support.secured import secure_channel

GALLERY = "soak"
SITTING = "day-1"
TIMEOUT_S = 60.0
# So many subjects of each client are kept; as many are deleted as are enrolled beyond them.
SUBJECTS_OF_HAND = 20
# An attempt that is late by more than this is given up: the pace is a rate, not a debt.
LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server, its authority in PEM, a key that may do everything, photos with a face each, and a course."""

    address: str
    ca: bytes
    token: str
    photos: Sequence[bytes]
    course_id: str


@dataclass
class Told:
    """The result of the load: calls that were answered, and why others were not."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


class Hand:
    """One client: a connection, a trainee, and subjects of its own."""

    def __init__(self, target: Target, number: int, channel: grpc.Channel) -> None:
        self._target = target
        self._number = number
        self._rng = random.Random(number)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(channel)
        self._gallery = gallery_pb2_grpc.GalleryServiceStub(channel)
        self._training = training_pb2_grpc.TrainingServiceStub(channel)
        self._subjects: deque[str] = deque()
        self._enrolled = 0
        self._cohort_id = self._session_id = ""
        self.kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "Detect": (4, self._detect),
            "Compare": (3, self._compare),
            "Search": (4, self._search),
            "Enrol": (2, self._enrol),
            "Delete": (2, self._delete),
            "Answer": (4, self._answer),
            "WatchCohort": (1, self._watch),
            "Connect": (1, self._connect),
        }

    def turn(self) -> str:
        """Do one thing; return what."""
        names = list(self.kinds)
        (name,) = self._rng.choices(names, [self.kinds[one][0] for one in names])
        self.kinds[name][1]()
        return name

    def _photo(self) -> common_pb2.Image:
        return common_pb2.Image(data=self._rng.choice(self._target.photos))

    def _probe(self) -> recognition_pb2.Probe:
        return recognition_pb2.Probe(image=self._photo())

    def _detect(self) -> None:
        self._recognition.Detect(recognition_pb2.DetectRequest(image=self._photo()), timeout=TIMEOUT_S)

    def _compare(self) -> None:
        request = recognition_pb2.CompareRequest(
            a=self._probe(), b=self._probe(), several_faces=common_pb2.SEVERAL_FACES_POLICY_LARGEST
        )
        self._recognition.Compare(request, timeout=TIMEOUT_S)

    def _search(self) -> None:
        request = gallery_pb2.SearchRequest(
            gallery_id=GALLERY,
            probe=self._probe(),
            several_faces=common_pb2.SEVERAL_FACES_POLICY_LARGEST,
            purpose=common_pb2.PURPOSE_TESTING,
        )
        self._gallery.Search(request, timeout=TIMEOUT_S)

    def _enrol(self) -> None:
        subject_id = f"hand-{self._number}-{self._enrolled}"
        self._enrolled += 1
        face = self._probe()
        face.image.data += subject_id.encode()  # after its end: another file, or it is enrolled already
        request = gallery_pb2.EnrolRequest(
            gallery_id=GALLERY,
            subject_id=subject_id,
            face=face,
            several_faces=common_pb2.SEVERAL_FACES_POLICY_LARGEST,
        )
        self._gallery.Enrol(request, timeout=TIMEOUT_S)
        self._subjects.append(subject_id)

    def _delete(self) -> None:
        if len(self._subjects) > SUBJECTS_OF_HAND:
            request = gallery_pb2.DeleteSubjectRequest(gallery_id=GALLERY, subject_id=self._subjects.popleft())
            self._gallery.DeleteSubject(request, timeout=TIMEOUT_S)

    def _answer(self) -> None:
        """Answer one step; a trainee that has finished makes room for a new one."""
        if not self._session_id:
            self._begin()
        trial = next_trial(self._training, self._session_id)
        if trial is None:
            request = training_pb2.DeleteCohortRequest(cohort_id=self._cohort_id)
            self._training.DeleteCohort(request, timeout=TIMEOUT_S)
            self._session_id = ""
        else:
            answer(self._training, self._session_id, trial, Chance(self._rng))

    def _begin(self) -> None:
        request = training_pb2.CreateCohortRequest(course_id=self._target.course_id, display_name="Soak", trainees=1)
        made = self._training.CreateCohort(request, timeout=TIMEOUT_S)
        self._cohort_id = made.cohort.cohort_id
        start = training_pb2.StartSessionRequest(code=made.enrolled[0].code, sitting=SITTING, consent=True)
        self._session_id = self._training.StartSession(start, timeout=TIMEOUT_S).session.session_id

    def _watch(self) -> None:
        if self._session_id:
            request = training_pb2.WatchCohortRequest(cohort_id=self._cohort_id)
            watching = self._training.WatchCohort(request, timeout=TIMEOUT_S)
            next(iter(watching))
            watching.cancel()

    def _connect(self) -> None:
        with secure_channel(self._target.address, self._target.ca, self._target.token) as channel:
            stub = server_pb2_grpc.ServerServiceStub(channel)
            stub.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=TIMEOUT_S)


class Pace:
    """Tells several clients when to do the next thing, `per_s` a second together; 0 for as many as can be."""

    def __init__(self, per_s: float = 0.0) -> None:
        self.per_s = per_s
        self._lock = threading.Lock()
        self._next_s = time.monotonic()
        self._quiet = threading.Condition()
        self._busy = 0
        self._resting = False

    def wait_s(self) -> float:
        """Seconds until the next thing is due; the thing is then the caller's."""
        if not self.per_s:
            return 0.0
        with self._lock:
            now_s = time.monotonic()
            self._next_s = max(self._next_s + 1 / self.per_s, now_s - LATE_S)
            return max(0.0, self._next_s - now_s)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Do one thing within the block, when nobody rests."""
        with self._quiet:
            while self._resting:
                self._quiet.wait()
            self._busy += 1
        try:
            yield
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Let nobody do anything within the block, once what was begun has ended."""
        with self._quiet:
            self._resting = True
            while self._busy:
                self._quiet.wait()
        try:
            yield
        finally:
            with self._quiet:
                self._resting = False
                self._quiet.notify_all()


@contextmanager
def loading(target: Target, hands: int, pace: Pace) -> Iterator[Told]:
    """Load a server within the block."""
    told, done = Told(), threading.Event()

    def work(number: int) -> None:
        with secure_channel(target.address, target.ca, target.token) as channel:
            hand = Hand(target, number, channel)
            while not done.wait(pace.wait_s()):
                try:
                    with pace.turn():
                        told.answered[hand.turn()] += 1
                except grpc.RpcError as error:
                    told.failed[f"{error.code().name}: {error.details()}"] += 1

    numbers = iter(range(int(time.monotonic() * 1000) * 100, 2**62))  # subjects of one load are none of another's
    with ThreadPoolExecutor(hands) as pool:
        working = [pool.submit(work, next(numbers)) for _ in range(hands)]
        try:
            yield told
        finally:
            done.set()
    for one in working:
        one.result()  # raises what no server has said


def saturating_per_s(target: Target, seconds: float, most_hands: int = 16) -> float:
    """Find how many things a second a server does at most: with twice as many clients, until that is no more."""
    best, hands = 0.0, 1
    while hands <= most_hands:
        with loading(target, hands, Pace()) as told:
            begun = time.monotonic()
            time.sleep(seconds)
            done, took_s = told.answered.total(), time.monotonic() - begun
        if done / took_s < 1.1 * best:
            return max(best, done / took_s)
        best, hands = done / took_s, 2 * hands
    return best
