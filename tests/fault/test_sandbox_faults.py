"""Photos that take over their decoder: each costs its own call, and nothing else; without the sandbox it costs more."""

import contextlib
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import PIL.Image
import pytest

from fr_api.v1 import common_pb2, recognition_pb2
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.engine import Engine, available_cores, build_pipeline
from fr_core.errors import FrError, ImageTooCostly, InternalError, ShuttingDown, Undecodable
from fr_core.imaging import ImageLimits, decode
from fr_core.imaging.sandbox import SandboxedDecoder
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import Pipeline
from fr_core.types import F32, AlignedFace
from fr_server.config import Config, config_from
from fr_server.engine import engine_options, open_decoder
from support.faults import children_of, cpu_s, until
from support.servers import ended, null_engine, running
from support.servers import photo as null_photo

REPOSITORY = Path(__file__).resolve().parent.parent.parent
LIMITS = ImageLimits(max_pixels=1_000_000)
MEMORY_MIB = 150
TIME_MS = 3000  # long enough for a small photo on a busy machine; only what must run into the limit waits for it
LONG_MS = 60_000

# What a photo that ends in "#name" makes of its decoder. It stands in for a fault of a decoding library that lets a
# photo run code of its own, which nobody can plan.
HARMS = """
import ctypes, os, socket, sys, threading, time

def crash():
    ctypes.string_at(0)

def spin():
    while True:
        pass

def sleep():
    time.sleep(1e6)

def eat():
    eaten = [b"x" * 2**20 for _ in range(400)]

def end():
    os._exit(7)

def read_a_file():
    open("/proc/self/status").read()

def write_a_file():
    open(f"/tmp/written-by-{os.getpid()}", "w").close()

def connect():
    socket.socket()

def connect_from_a_thread():
    thread = threading.Thread(target=socket.socket)
    thread.start()
    thread.join()

def execute():
    os.execv("/bin/true", ["/bin/true"])

def fork():
    os.fork()

def kill_the_parent():
    os.kill(os.getppid(), 0)

def trace_the_parent():
    ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)

def run_what_it_wrote():
    import mmap
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def raise_its_limits():
    import resource
    resource.prlimit(os.getppid(), resource.RLIMIT_CPU)

def meet(photo):
    name = photo.rpartition(b"#")[2].decode("latin-1")
    if name in globals():
        globals()[name]()
"""

# A worker that is honest but for photos that end in a harm, or in an answer of their own.
PLANTED = (
    HARMS
    + """
sys.path += sys.argv.pop(1).split(chr(10))
import fr_core.imaging.sandbox_worker as worker

honest, link = worker.answer, int(sys.argv[1])

def answer(message, memory, photo_at):
    size, _ = worker.sandbox_messages.unpack_request(message)
    photo = memory[photo_at : photo_at + size]
    if b"#says:" in photo:
        return photo.rpartition(b"#says:")[2]
    if photo.endswith(b"#twice"):
        os.write(link, honest(message, memory, photo_at))
    if photo.endswith(b"#hang_up"):
        os.close(link)
        spin()
    return honest(message, memory, photo_at)

def decode_pixels(data, limits, honest=worker.decode_pixels):
    meet(data)
    return honest(data, limits)

worker.answer, worker.decode_pixels = answer, decode_pixels
worker.main()
"""
)


def photo(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 48), (shade, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def harmful(name: str) -> bytes:
    return photo() + b"#" + name.encode()


def test_harmful_photos_are_good_ones_to_an_honest_decoder() -> None:
    assert decode(harmful("crash"), LIMITS).width == decode(photo() + b"#says:R{}", LIMITS).width == 64


sandbox = partial(SandboxedDecoder, workers=1, memory_mib=MEMORY_MIB)


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    made = sandbox(time_ms=LONG_MS, boot=PLANTED)
    yield made
    made.close()


def workers() -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, rest = status.read_text().split(" (", 1)
            state, parent = rest.rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z" and "sandbox_worker" in _command(int(pid)):
                found.append(int(pid))
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


FORBIDDEN: tuple[str, ...] = ("sleep", "connect", "execute", "fork", "kill_the_parent", "trace_the_parent")
FORBIDDEN += ("run_what_it_wrote", "raise_its_limits", "connect_from_a_thread")


@pytest.mark.parametrize(
    ("harm", "refusal", "words", "why"),
    [
        ("crash", Undecodable, "broke its decoder", "SIGSEGV"),
        ("end", Undecodable, "broke its decoder", "code 7"),
        ("hang_up", ImageTooCostly, "killed", "killed"),
        ("eat", ImageTooCostly, f"{MEMORY_MIB} MiB", "out of memory"),
        ("read_a_file", Undecodable, "broke its decoder", "code 1"),
        ("write_a_file", Undecodable, "broke its decoder", "code 1"),
        *((harm, Undecodable, "broke its decoder", "SIGSYS") for harm in FORBIDDEN),
    ],
)
def test_a_harm_costs_one_call(
    harm: str, refusal: type[FrError], words: str, why: str, decoder: SandboxedDecoder, caplog: pytest.LogCaptureFixture
) -> None:
    costs_one_call(decoder, harm, refusal, words, why, caplog)


def test_a_photo_that_takes_too_long_costs_one_call(caplog: pytest.LogCaptureFixture) -> None:
    with closing(sandbox(time_ms=TIME_MS, boot=PLANTED)) as made:
        costs_one_call(made, "spin", ImageTooCostly, f"{TIME_MS} ms", f"{TIME_MS} ms", caplog)


def costs_one_call(
    decoder: SandboxedDecoder,
    harm: str,
    refusal: type[FrError],
    words: str,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert decoder.decode(photo(), LIMITS).width == 64
    before = len(workers())
    with pytest.raises(refusal, match=words):
        decoder.decode(harmful(harm), LIMITS)
    assert why in caplog.text
    assert decoder.decode(photo(shade=9), LIMITS).pixels[0, 0].tolist() == [9, 20, 30]
    assert len(workers()) == before


@pytest.mark.parametrize("harm", ["crash", "end", "spin", "eat", "read_a_file", "connect", "fork"])
def test_without_the_sandbox_a_harm_harms(harm: str) -> None:
    """The control: the same photo in a process that decodes itself, and then is to say what it has cost."""
    program = (
        f"{HARMS}\nphoto = sys.stdin.buffer.read()\nmeet(photo)\n"
        "print(int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) // 1024)"
    )
    limit_s = 1.5 if harm == "spin" else 60.0
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-c", program],
            input=harmful(harm),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        assert harm == "spin"
        return
    assert harm != "spin"
    if harm in ("crash", "end"):
        assert ended.returncode == {"crash": -signal.SIGSEGV, "end": 7}[harm]
        assert ended.stdout == b""  # and with it all others that it was working for
    else:
        assert ended.returncode == 0
        assert (int(ended.stdout.split()[0]) > 400) == (harm == "eat")


@pytest.mark.parametrize(
    "answer",
    [
        b"X",
        b"P",
        b"P" + b"\xff" * 16,
        b"P" + (1001).to_bytes(8, "little") + (1000).to_bytes(8, "little"),
        b"R{}",
        b"R" + b"[" * 4095,
        b"R" + b"x" * 4999,
        b'R{"reason": "INTERNAL", "what": "It is yours.", "metadata": {}}',
        b'R{"reason": "UNDECODABLE", "what": "It is yours.", "metadata": {"self": "1"}}',
    ],
)
def test_an_answer_that_makes_no_sense_costs_one_call(answer: bytes, decoder: SandboxedDecoder) -> None:
    (before,) = workers() or [0]
    with pytest.raises(Undecodable, match="broke its decoder"):
        decoder.decode(photo() + b"#says:" + answer, LIMITS)
    assert decoder.decode(photo(), LIMITS).width == 64
    assert workers() != [before]


def test_a_second_answer_is_not_taken_for_that_to_the_next_photo(decoder: SandboxedDecoder) -> None:
    assert decoder.decode(harmful("twice"), LIMITS).width == 64
    (before,) = workers()
    assert decoder.decode(photo(shade=5), LIMITS).pixels[0, 0].tolist() == [5, 20, 30]
    assert workers() != [before]


def test_pixels_are_out_of_reach_of_the_worker_once_they_are_answered(decoder: SandboxedDecoder) -> None:
    first = decoder.decode(photo(shade=1), LIMITS)
    decoder.decode(photo(shade=2), LIMITS)
    assert first.pixels[0, 0].tolist() == [1, 20, 30]


def test_a_worker_that_is_killed_in_the_midst_costs_one_call() -> None:
    with closing(sandbox(time_ms=LONG_MS, boot=PLANTED)) as made:
        made.decode(photo(), LIMITS)
        (pid,) = workers_of(made)
        begun = cpu_s(pid)
        outcomes, asking = asked(made, harmful("spin"))
        until(lambda: cpu_s(pid) > begun + 0.02)  # it is in the midst
        os.kill(pid, signal.SIGKILL)
        asking.join(20)
        assert outcomes == [ImageTooCostly]
        assert made.decode(photo(), LIMITS).width == 64


def asked(decoder: SandboxedDecoder, data: bytes) -> tuple[list[object], threading.Thread]:
    """Have a photo decoded in a thread, which appends its width or how it was refused."""
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(decoder.decode(data, LIMITS).width)
        except FrError as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    return outcomes, thread


def workers_of(decoder: SandboxedDecoder) -> list[int]:
    return [process.pid for process in decoder._idle]


def test_a_worker_that_is_killed_while_it_waits_costs_no_call_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    replaced: list[bool] = []
    with closing(sandbox(time_ms=LONG_MS, on_replaced=replaced.append)) as made:
        made.decode(photo(), LIMITS)
        (pid,) = workers_of(made)
        made.decode(photo(), LIMITS)
        assert replaced == []  # the control
        os.kill(pid, signal.SIGKILL)
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert made.decode(photo(), LIMITS).width == 64
        assert workers_of(made) != [pid]
        assert replaced == [False]
        assert "A decoder of photos is replaced: ended with SIGKILL while it waited" in caplog.text


def test_a_worker_leaves_it_to_its_parent_when_to_end() -> None:
    with closing(sandbox(time_ms=LONG_MS)) as made:
        made.decode(photo(), LIMITS)
        before = workers_of(made)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(before[0], number)
        assert made.decode(photo(), LIMITS).width == 64
        assert workers_of(made) == before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_does_so_from_its_first_step(number: signal.Signals) -> None:
    """With a control: of SIGQUIT nothing is said."""
    made = sandbox(time_ms=LONG_MS)
    others, sent = children_of(os.getpid()), set[int]()
    outcomes, asking = asked(made, photo())
    try:
        while asking.is_alive():
            for child in set(children_of(os.getpid())) - set(others):
                with contextlib.suppress(ProcessLookupError):  # it may have ended of the one before
                    os.kill(child, number)
                sent.add(child)
            time.sleep(0.001)
        assert len(sent) == 1
        assert outcomes == [InternalError if number == signal.SIGQUIT else 64]
    finally:
        made.close()


def test_others_are_served_while_one_photo_spins() -> None:
    with closing(sandbox(workers=2, time_ms=LONG_MS, boot=PLANTED)) as made:
        made.decode(photo(), LIMITS)
        (pid,) = workers_of(made)
        outcomes, spinning = asked(made, harmful("spin"))
        until(lambda: not workers_of(made))
        for _ in range(10):
            made.decode(photo(), LIMITS)
        assert spinning.is_alive()
        os.kill(pid, signal.SIGKILL)
        spinning.join(20)
        assert outcomes == [ImageTooCostly]


@pytest.mark.parametrize("boot", ["import sys; sys.exit(3)", PLANTED.replace("worker.main()", "NotImplemented()")])
def test_a_worker_that_does_not_start_is_our_failure_each_time(boot: str) -> None:
    with closing(sandbox(time_ms=LONG_MS, boot=boot)) as made:
        for _ in range(2):
            with pytest.raises(InternalError, match="shut itself in"):
                made.decode(photo(), LIMITS)


def test_a_worker_with_a_thread_does_not_start() -> None:
    """The filter of system calls would not bind the thread."""
    threaded = PLANTED.replace(
        "worker.main()",
        "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); worker.main()",
    )
    with closing(sandbox(time_ms=LONG_MS, boot=threaded)) as made:
        with pytest.raises(InternalError) as failed:
            made.decode(photo(), LIMITS)
        assert "a thread runs already" in repr(failed.value.__cause__.__cause__)  # type: ignore[union-attr]


def test_no_descriptor_is_left_by_workers_that_come_and_go(decoder: SandboxedDecoder) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    decoder.decode(photo(), LIMITS)
    before = held()
    for _ in range(4):
        with pytest.raises(Undecodable):
            decoder.decode(harmful("end"), LIMITS)
        decoder.decode(photo(), LIMITS)
    until(lambda: held() <= before)  # what tests before this one still held may go meanwhile


def test_calls_that_wait_end_when_the_decoder_is_closed() -> None:
    made = sandbox(time_ms=TIME_MS, boot=PLANTED)
    made.decode(photo(), LIMITS)
    calls = [asked(made, harmful("spin"))]
    until(lambda: not workers_of(made))
    calls += [asked(made, photo()) for _ in range(3)]
    until(lambda: made._places.waiting == 3)
    made.close()
    for _, thread in calls:
        thread.join(20)
    assert [outcome for outcome, _ in calls] == [[ImageTooCostly]] + [[ShuttingDown]] * 3
    until(lambda: not workers_of(made))


def test_workers_die_with_their_parent_even_in_the_midst(tmp_path: Path) -> None:
    program = f"""
import sys, threading
sys.path.insert(0, {str(REPOSITORY)!r})
from fr_core.imaging import ImageLimits
from fr_core.imaging.sandbox import SandboxedDecoder
made = SandboxedDecoder(1, {MEMORY_MIB}, 600_000, {PLANTED!r})
made.decode({photo()!r}, ImageLimits())
print(made._idle[0].pid, flush=True)
made.decode({harmful("spin")!r}, ImageLimits())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        begun = cpu_s(pid)
        until(lambda: cpu_s(pid) > begun + 0.02)
        parent.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or "sandbox_worker" not in _command(pid))


def many_codes() -> bytes:
    """A lossless WebP of 1024 x 1024 pixels, each 4 x 4 of which have Huffman codes of their own (RFC 9649, 3.7)."""
    bits: list[str] = []

    def put(value: int, width: int) -> None:
        bits.append(format(value, f"0{width}b")[::-1])

    def all_bytes(alphabet: int) -> None:
        """A code of eight bits for each of the first 256 symbols, and none for the others."""
        bits.append("0")
        put(8, 4)
        for length in (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8):
            put(int(length in (8, 18)), 3)
        bits.append("0" + "0" * 256)
        if alphabet > 256:
            bits.append("1")
            put(alphabet - 256 - 11, 7)

    one_symbol = "1000"
    put(1023, 14)
    put(1023, 14)
    bits.append("0000" + "00" + "1000" + "0")  # version; no transform, no cache; codes by 4 x 4 pixels; no cache there
    all_bytes(280)
    all_bytes(256)
    bits.append(one_symbol * 3)
    bits += [format(i & 255, "08b") + format(i >> 8, "08b") for i in range(65536)]
    bits.append(one_symbol * 5 * 65536)
    text = "".join(bits) + "0" * 64
    body = b"\x2f" + int(text[::-1], 2).to_bytes(len(text) // 8 + 1, "little")
    body += bytes(len(body) & 1)
    whole = b"WEBPVP8L" + len(body).to_bytes(4, "little") + body
    return b"RIFF" + len(whole).to_bytes(4, "little") + whole


def test_a_real_bomb_of_memory_costs_one_call() -> None:
    """300 KB of one megapixel, for whose codes libwebp takes 350 MiB; the container does not tell."""
    limits = ImageLimits(max_pixels=2**20)
    with closing(sandbox(time_ms=LONG_MS)) as made:
        with pytest.raises((Undecodable, ImageTooCostly)):
            made.decode(many_codes(), limits)
        assert made.decode(photo(), limits).width == 64
    program = (  # the control
        f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\nfrom fr_core.imaging import ImageLimits, decode\n"
        "print(decode(sys.stdin.buffer.read(), ImageLimits(max_pixels=2**20)).width)\n"
        "print(int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) // 1024)"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=many_codes(), capture_output=True, check=True)
    width, held_mib = map(int, ended.stdout.split())
    assert width == 1024
    assert held_mib > 300


def test_what_the_walls_forbid_is_allowed_without_them(tmp_path: Path) -> None:
    socket.socket().close()
    (tmp_path / "file").write_text("")
    assert Path("/proc/self/status").read_text()
    assert resource.prlimit(os.getppid(), resource.RLIMIT_CPU)


def test_a_crash_of_a_decoder_is_one_caller_s_refusal(tmp_path: Path) -> None:
    """The worker is one that ends itself at photos that end in "#"."""
    boot = (
        "import sys; sys.path += sys.argv.pop(1).split(chr(10))\n"
        "import os, fr_core.imaging.sandbox_worker as worker\n"
        "honest = worker.decode_pixels\n"
        "worker.decode_pixels = lambda data, limits: os._exit(1) if data.endswith(b'#') else honest(data, limits)\n"
        "worker.main()"
    )
    decoder = SandboxedDecoder(workers=1, memory_mib=1024, time_ms=LONG_MS, boot=boot)

    def engine(config: Config) -> Engine:
        pipeline = Pipeline(NullDetector(), NullEmbedder(), config.images, config.quality, decoder=decoder)
        return replace(null_engine(config), pipeline=pipeline)

    def detect(data: bytes) -> recognition_pb2.DetectResponse:
        request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=data))
        return server.recognition.Detect(request, timeout=30)

    with running(tmp_path, engine=engine) as server:
        assert len(detect(null_photo(1)).faces) == 1
        with pytest.raises(grpc.RpcError) as refused:
            detect(null_photo(1) + b"#")
        assert ended(refused.value).code is grpc.StatusCode.INVALID_ARGUMENT
        assert ended(refused.value).info.reason == "UNDECODABLE"
        assert len(detect(null_photo(1, 2)).faces) == 2
        (process,) = decoder._idle
    until(lambda: not Path(f"/proc/{process.pid}").exists())


class Unused:
    size = 512

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        raise NotImplementedError


def test_a_pipeline_as_front_ends_build_it_decodes_in_the_sandbox() -> None:
    config = config_from({"isolation": {"decoding": "process", "workers": 1}})
    decoder = open_decoder(config)
    assert isinstance(decoder, SandboxedDecoder)
    pipeline = build_pipeline(
        load_pack("buffalo_s"),
        None,  # type: ignore[arg-type]  # nothing is detected here
        Unused(),
        engine_options(config),
        config.images,
        decoder=decoder,
    )
    try:
        assert pipeline.decode(null_photo(1)).width == 400
        (process,) = decoder._idle
        with pytest.raises(Undecodable):
            pipeline.decode(null_photo(1)[:90])
    finally:
        pipeline.close()
    until(lambda: not Path(f"/proc/{process.pid}").exists())


@pytest.mark.parametrize(("frontends", "workers"), [(0, available_cores()), (2, -(-available_cores() // 2)), (64, 1)])
def test_processes_share_the_cores(frontends: int, workers: int) -> None:
    decoder = open_decoder(config_from({"server": {"frontends": frontends}, "isolation": {"decoding": "process"}}))
    assert isinstance(decoder, SandboxedDecoder)
    assert decoder._workers == workers
