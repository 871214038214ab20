"""Imaging, the sandbox: photos of strangers are decoded in processes that can do nothing else, and may die of it."""

import hashlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from fr_core.errors import ConfigInvalid, FrError, ImageTooCostly, ShuttingDown, for_one_caller, message
from fr_core.imaging.confine import unavailable
from fr_core.imaging.containers import sniff
from fr_core.imaging.decode import ImageLimits, PlainDecoder, require_bytes
from fr_core.imaging.sandbox_process import BOOT, Broken, SandboxProcess
from fr_core.sharing import EVERYBODY, Places
from fr_core.types import U8, Image

_log = logging.getLogger(__name__)

# Address space, measured with 5000 x 5000 pixels: JPEG 14 to 19, PNG 19, WebP 23, lossless WebP with transparency 29;
# with 2000 x 2000 pixels and the stack of a thread: HEIC 12, with transparency 18.
_BYTES_PER_PIXEL = 30

PHOTOS_PER_PROCESS = 1_000  # A worker that a photo took over without a trace decodes no more photos of others than this


def needed_mib(limits: ImageLimits) -> int:
    """MiB that are enough for a photo of a default format within limits; with less, good photos seem damaged."""
    return -(-(limits.max_pixels * _BYTES_PER_PIXEL + limits.max_bytes * 3) // 2**20)


class SandboxedDecoder:
    """A `Decoder` whose photos are decoded in other processes, each behind the walls of `fr_core.imaging.confine`.

    A photo that crashes its decoder, that keeps it too long, or for which its memory does not do, is refused, and the
    process is replaced; other calls are not touched. What the process says of a photo is checked: at worst its pixels
    are lies. The processes start when the first photos come, and end with `close`, or with this process.

    Callers share the processes, and take turns (`fr_core.sharing`).

    Args:
        workers: processes at most, at least 1; photos beyond them wait.
        memory_mib: address space that a process may take for a photo, at least 1; `needed_mib` says what does.
        time_ms: that a photo may take, at least 1; of wall-clock time, and so of processor time.
        on_replaced: called after a process was replaced before its time: whether a photo took too much time or memory;
            else it crashed, or was killed while it waited.
        caller_of: returns the caller whose photo this thread decodes.

    Raises `ConfigInvalid`: a number is too small, or this system has no such walls.
    """

    def __init__(
        self,
        workers: int,
        memory_mib: int,
        time_ms: int,
        boot: str = BOOT,
        on_replaced: Callable[[bool], None] = lambda costly: None,
        caller_of: Callable[[], str] = lambda: EVERYBODY,
    ) -> None:
        for key, value in (("workers", workers), ("memory_mib", memory_mib), ("time_ms", time_ms)):
            if value < 1:
                raise ConfigInvalid(message("error.imaging.isolation_must_least", key=key), key=f"isolation.{key}")
        if (why := unavailable()) is not None:
            raise ConfigInvalid(message("error.imaging.no_sandbox", why=why), key="isolation.decoding")
        self._workers = workers
        self._places = Places(workers, message("error.sharing.photos"))
        self._memory_mib = memory_mib
        self._time_ms = time_ms
        self._boot = boot
        self._on_replaced = on_replaced
        self._caller_of = caller_of
        self._lock = threading.Lock()
        self._closed = False
        self._idle: list[SandboxProcess] = []
        self._waiting: deque[Future[SandboxProcess]] = deque()
        self._number = 0  # of processes that run or are ordered
        self._orders: queue.SimpleQueue[ImageLimits | None] = queue.SimpleQueue()
        self._starter: threading.Thread | None = None

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """As `Decoder.decode`.

        Raises:
            ImageTooManyBytes, ImageTooManyPixels, SeveralFrames, Undecodable, UnsupportedFormat: as
                `fr_core.imaging.decode`; Undecodable, too, where the process crashed.
            ImageTooCostly: more than `time_ms` or `memory_mib`.
            InternalError: no process could be started.
            ShuttingDown: the decoder is closed.
        """
        require_bytes(data, limits)
        caller = self._caller_of()
        self._places.wait(caller)
        try:
            pixels = self._decoded(data, limits)
        finally:
            self._places.give_back(caller)
        return Image(pixels=pixels, sha256=hashlib.sha256(data).hexdigest())

    def close(self) -> None:
        """End the processes; calls that wait for one raise `ShuttingDown`."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
            idle, self._idle = self._idle, []
            starter = self._starter
        self._orders.put(None)
        self._places.close()
        for waiter in waiting:
            waiter.set_exception(_closed())
        for process in idle:
            process.close()
        if starter is not None:
            starter.join()

    def _decoded(self, data: bytes, limits: ImageLimits) -> U8:
        process = self._take(limits)
        try:
            pixels = process.decode(data, limits)
        except Broken as broken:
            self._replace(process, limits)
            self._tell_replaced(str(broken), isinstance(broken.told, ImageTooCostly))
            raise broken.told from broken
        except FrError:
            self._give_back(process, limits)
            raise
        except BaseException:  # such as an interrupt: its answer has not come yet
            self._replace(process, limits)
            raise
        self._give_back(process, limits)
        return pixels

    def _take(self, limits: ImageLimits) -> SandboxProcess:
        while True:
            waiter: Future[SandboxProcess] = Future()
            with self._lock:
                if self._closed:
                    raise _closed()
                if self._idle:
                    waiter.set_result(self._idle.pop())
                else:
                    self._waiting.append(waiter)
                    if self._number < self._workers:
                        self._order(limits)
            process = waiter.result()
            fault = process.idle_fault()
            if fault is None and process.fits(limits):
                return process
            self._replace(process, limits)
            if fault is not None:
                self._tell_replaced(fault, costly=False)

    def _give_back(self, process: SandboxProcess, limits: ImageLimits) -> None:
        if process.photos >= PHOTOS_PER_PROCESS:
            self._replace(process, limits)
            return
        with self._lock:
            closed = self._closed
            if self._waiting:
                self._waiting.popleft().set_result(process)
            elif not closed:
                self._idle.append(process)
        if closed:
            process.close()

    def _replace(self, process: SandboxProcess, limits: ImageLimits) -> None:
        process.close()
        with self._lock:
            self._number -= 1
            if not self._closed:
                self._order(limits)

    def _tell_replaced(self, why: str, costly: bool) -> None:
        _log.warning("A decoder of photos is replaced: %s", why)
        self._on_replaced(costly)

    def _order(self, limits: ImageLimits) -> None:
        self._number += 1
        # By one thread that lives as long as the decoder: the kernel ends a process with the thread that started it.
        if self._starter is None:
            self._starter = threading.Thread(target=self._start_for_ever, name="sandbox", daemon=True)
            self._starter.start()
        self._orders.put(limits)

    def _start_for_ever(self) -> None:
        while (limits := self._orders.get()) is not None:
            try:
                process = SandboxProcess(limits, self._memory_mib, self._time_ms, self._boot)
            except Exception as error:  # noqa: BLE001 - every waiter is told
                _log.error("%s %s", error, error.__cause__ or "")
                with self._lock:
                    self._number -= 1
                    waiting, self._waiting = self._waiting, deque()
                for waiter in waiting:
                    waiter.set_exception(for_one_caller(error))
            else:
                self._give_back(process, limits)


ALWAYS_SANDBOXED = frozenset({"AVIF", "HEIC"})
"""Formats whose header may give a false size of the picture: only limits of memory and time stop such a bomb. And in
2026, HEIC photos could run code through libheif and libde265."""


class PartlySandboxed(PlainDecoder):
    """Decodes the formats `ALWAYS_SANDBOXED` in `sandboxed`, and all others in this process."""

    def __init__(self, sandboxed: SandboxedDecoder) -> None:
        self._sandboxed = sandboxed

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """As `Decoder.decode`, or as `SandboxedDecoder.decode`."""
        if sniff(data) in ALWAYS_SANDBOXED:
            return self._sandboxed.decode(data, limits)
        return super().decode(data, limits)

    def close(self) -> None:
        """End the processes."""
        self._sandboxed.close()


def _closed() -> ShuttingDown:
    return ShuttingDown(message("error.imaging.decoder_photos_closed"))
