"""The sandbox of the decoder: same pixels and refusals as without it, walls that stand, answers that are checked."""

import json
import os
import re
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.errors import ConfigInvalid, FrError, ImageTooCostly, ShuttingDown, Undecodable
from fr_core.imaging import KNOWN_FORMATS, Decoder, ImageLimits, PlainDecoder, confine, decode, sandbox
from fr_core.imaging.confine import filter_program
from fr_core.imaging.sandbox import SandboxedDecoder, needed_mib
from fr_core.imaging.sandbox_messages import Nonsense, pack_pixels, read_answer
from fr_core.imaging.sandbox_process import SandboxProcess
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.types import U8, Image
from fr_server.config import config_from
from fr_server.engine import open_decoder
from photo_mutants import saved
from support.faults import until

LIMITS = ImageLimits(max_bytes=16 * 2**20, max_pixels=30_000_000, formats=tuple(sorted(KNOWN_FORMATS)))


def decoder_of(workers: int = 1, memory_mib: int = 1024, time_ms: int = 60_000) -> closing[SandboxedDecoder]:
    return closing(SandboxedDecoder(workers, memory_mib, time_ms))


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    with decoder_of(workers=2) as made:
        yield made


def photo(name: str = "PNG", side: int = 64, shade: int = 0, **options: object) -> bytes:
    y, x = np.mgrid[:side, : side * 2]
    picture = PIL.Image.fromarray(np.stack([x % 256, y % 256, (x + y + shade) % 256], -1).astype(np.uint8))
    return saved(picture, name, **options)


def said(data: bytes, decoder: Decoder, limits: ImageLimits = LIMITS) -> tuple[object, ...]:
    """All that comes of a photo, so that it can be compared."""
    try:
        image = decoder.decode(data, limits)
    except FrError as refused:
        return type(refused), refused.message, refused.metadata
    assert not image.pixels.flags.writeable
    return image.pixels.shape, image.pixels.dtype, image.pixels.tobytes(), image.sha256


@pytest.mark.parametrize("name", sorted(KNOWN_FORMATS))
def test_each_format_comes_out_of_the_sandbox_as_it_does_without(name: str, decoder: SandboxedDecoder) -> None:
    assert said(photo(name), decoder) == said(photo(name), PlainDecoder())
    assert len(said(photo(name), decoder)) == 4
    if name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"):
        tags = PIL.Image.Exif()
        tags[0x0112] = 6
        profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
        data = photo(name, exif=tags.tobytes(), icc_profile=profile)
        outcome = said(data, decoder)
        assert outcome == said(data, PlainDecoder())
        assert outcome[0] == (128, 64, 3)  # turned


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"", LIMITS),
        (b"no photo", LIMITS),
        (photo()[:-30], LIMITS),
        (photo("JPEG")[:200], LIMITS),
        (photo("GIF"), ImageLimits()),
        (photo(side=600), ImageLimits(max_pixels=1000)),
        (photo(side=600), ImageLimits(max_bytes=1000)),
        (photo("GIF", save_all=True, append_images=[PIL.Image.new("RGB", (128, 64), "red")]), LIMITS),
    ],
)
def test_refusals_come_out_with_their_words_and_numbers(
    data: bytes, limits: ImageLimits, decoder: SandboxedDecoder
) -> None:
    outcome = said(data, decoder, limits)
    assert outcome == said(data, PlainDecoder(), limits)
    assert len(outcome) == 3


def test_many_threads_each_get_their_own_photo(decoder: SandboxedDecoder) -> None:
    photos = [photo(shade=shade) for shade in range(24)]
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda data: said(data, decoder), photos * 3))
    assert outcomes == [said(data, PlainDecoder()) for data in photos] * 3


def test_a_worker_stands_behind_walls() -> None:
    assert "Seccomp:\t2" not in Path("/proc/self/status").read_text()  # the control
    with closing(SandboxProcess(ImageLimits(), memory_mib=200, time_ms=1000)) as process:
        folder = Path(f"/proc/{process.pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        assert (status["Seccomp"], status["NoNewPrivs"], status["Threads"]) == ("2", "1", "1")
        # Root has them all; to anybody else they are none from the start.
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}
        limits = {line[:25].strip(): line[26:46].strip() for line in (folder / "limits").read_text().splitlines()}
        assert limits["Max file size"] == limits["Max core file size"] == "0"
        assert int(limits["Max open files"]) <= 16
        space = int(status["VmSize"].split()[0]) * 1024
        assert space + 190 * 2**20 < int(limits["Max address space"]) < space + 201 * 2**20
        assert (folder / "environ").read_bytes() == b"OPENBLAS_NUM_THREADS=1\0MALLOC_ARENA_MAX=1\0"
        held = sorted(str(link.readlink()) for link in (folder / "fd").iterdir())
        assert held[:3] == ["/dev/null"] * 3
        held = [re.sub(r"[^a-z/:]", "", link) for link in held[3:]]
        assert held in (["/memfd:photodeleted", "socket:"], ["socket:"])


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")],
)
def test_the_numbers_of_system_calls_are_those_of_the_kernel(machine: str, header: str) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"{path} is not there")
    text = path.read_text()
    # The generic list names some after their 64-bit kin.
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    column = list(confine.ARCHITECTURES).index(machine)
    kinds = confine.FREE, confine.BY_NAME, confine.WITHOUT_CODE, confine.OF_ITSELF, confine.OF_THREADS, confine.UNKNOWN
    for calls in kinds:
        for name, of_each in calls.items():
            number = numbers.get(name, numbers.get(name.replace("newfstatat", "fstatat"), confine.ABSENT))
            assert of_each[column] == number, name


@pytest.mark.parametrize("machine", sorted(confine.ARCHITECTURES))
def test_the_filter_kills_whatever_is_not_named(machine: str) -> None:
    """The program is run here, step by step, for every call."""
    program = filter_program(machine)
    column = list(confine.ARCHITECTURES).index(machine)

    def run(number: int, arguments: tuple[int, ...] = (0,) * 6, architecture: int | None = None) -> int:
        architecture = confine.ARCHITECTURES[machine] if architecture is None else architecture
        data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments)
        at = value = 0
        while True:
            code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, at * 8)
            at += 1
            if code == 0x20:
                (value,) = struct.unpack_from("<I", data, operand)
            elif code == 0x06:
                return int(operand)
            else:
                taken = value == operand if code == 0x15 else bool(value & operand)
                at += if_true if taken else if_false

    kill, allow, no_access, unknown = 0x80000000, 0x7FFF0000, 0x0005000D, 0x00050026
    free = {numbers[column] for numbers in confine.FREE.values()}
    named = {numbers[column] for numbers in confine.BY_NAME.values()} - {confine.ABSENT}
    checked = {numbers[column] for numbers in (confine.WITHOUT_CODE | confine.OF_ITSELF).values()}
    for number in range(600):
        expected = allow if number in free | checked else no_access if number in named else kill
        if number in {numbers[column] for numbers in confine.UNKNOWN.values()}:
            expected = unknown
        assert run(number) == expected
        assert run(number, architecture=0x40000003) == kill  # the 32-bit calls of the same processor
        assert run(number | 0x40000000) == kill  # x32
    for numbers in confine.WITHOUT_CODE.values():
        assert run(numbers[column], (0, 0, 3, 0, 0, 0)) == allow
        assert run(numbers[column], (0, 0, 7, 0, 0, 0)) == run(numbers[column], (0, 0, 4, 0, 0, 0)) == kill
    assert run(confine.OF_ITSELF["prlimit64"][column], (1, 0, 0, 0, 0, 0)) == kill
    thread = 0x3D0F00
    clone = confine.OF_THREADS["clone"][column]
    assert run(clone, (thread, 0, 0, 0, 0, 0)) == allow
    for flags in (0x11, 0x4111, thread & ~0x10000, thread | 0x10000000, thread | 0x40000000):  # fork, vfork, namespaces
        assert run(clone, (flags, 0, 0, 0, 0, 0)) == kill


def refusal(**changes: object) -> bytes:
    damaged = {"id": "error.imaging.photo_damaged", "values": {"format": "PNG"}}
    return b"R" + json.dumps({"reason": "UNDECODABLE", **damaged, "metadata": {}, **changes}).encode()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"X",
        b"P",
        b"P" + bytes(16),  # no pixels
        pack_pixels(2**63, 2),
        pack_pixels(30_000_001, 1),
        pack_pixels(2**32, 2**32),
        pack_pixels(3, 4) + b"\0",
        b"MM",
        b"R",
        b"R{",
        b"R" + b"[" * 4000,
        b"R\xff\xfe",
        b"R" + b"9" * 4000,
        b"R[]",
        refusal(reason="INTERNAL"),
        refusal(reason="IMAGE_TOO_COSTLY"),
        refusal(reason=["UNDECODABLE"]),
        refusal(id=""),
        refusal(id="error.imaging.none"),
        refusal(id="count.trainees", values={"count": 1}),
        refusal(values={}),
        refusal(values={"format": ["PNG"]}),
        refusal(values={"format": 10**301}),
        refusal(values={"format": "x" * 201}),
        refusal(values={"format": "two\nlines"}),
        refusal(values={"format": "caf\xe9"}),
        refusal(metadata=[]),
        refusal(metadata={"self": "1"}),
        refusal(metadata={"what": "1"}),
        refusal(metadata={"limit": 1}),
        refusal(metadata={"limit": "x" * 201}),
        refusal(metadata={"limit": "\x1b[31m"}),
    ],
)
def test_an_answer_that_no_honest_worker_gives_is_nonsense(message: bytes) -> None:
    with pytest.raises(Nonsense):
        read_answer(message, LIMITS, 1)
    with pytest.raises(Undecodable):  # the control
        read_answer(refusal(), LIMITS, 1)


def test_workers_get_more_room_for_wider_limits_and_cost_no_photo_when_stopped() -> None:
    small, wide = ImageLimits(max_bytes=4096, max_pixels=10_000), ImageLimits()
    with decoder_of(memory_mib=800) as made:
        assert made.decode(photo(), small).width == 128
        assert made.decode(photo(side=600), wide).width == 1200
        assert made.decode(photo(), small).width == 128
    with decoder_of(time_ms=5_000) as made:
        made.decode(photo(), LIMITS)
        (process,) = made._idle
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].startswith("T"))
        assert made.decode(photo(), LIMITS).height == 64


def test_a_worker_is_replaced_after_its_share_of_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PHOTOS_PER_PROCESS", 2)
    started = []

    class Counted(SandboxProcess):
        def __init__(self, *arguments: object) -> None:
            started.append(threading.current_thread().name)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "SandboxProcess", Counted)
    with decoder_of(memory_mib=200) as made:
        for _ in range(5):
            assert made.decode(photo(), ImageLimits()).width == 128
    assert started == ["sandbox"] * 3


def test_a_caller_leaves_a_decoder_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    caller, gate, inside = threading.local(), threading.Event(), threading.Semaphore(0)
    decode = SandboxProcess.decode

    def slow(process: SandboxProcess, data: bytes, limits: ImageLimits) -> U8:
        if caller.id == "a":
            inside.release()
            assert gate.wait(30)
        return decode(process, data, limits)

    monkeypatch.setattr(SandboxProcess, "decode", slow)
    made = SandboxedDecoder(2, 1024, 60_000, caller_of=lambda: str(caller.id))

    def decoded(who: str) -> Image:
        caller.id = who
        return made.decode(photo(), LIMITS)

    with closing(made), ThreadPoolExecutor(4) as pool:
        held = [pool.submit(decoded, "a") for _ in range(3)]
        assert inside.acquire(timeout=30)
        try:
            assert pool.submit(decoded, "b").result(30).height == 64
            assert not inside.acquire(blocking=False), "the caller has both decoders"
        finally:
            gate.set()
        assert all(one.result(30).height == 64 for one in held)


def test_nothing_is_decoded_after_the_end() -> None:
    made = SandboxedDecoder(workers=1, memory_mib=200, time_ms=60_000)
    pipeline = Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits(), decoder=made)
    assert pipeline.decode(photo()).width == 128
    pipeline.close()
    with pytest.raises(ShuttingDown):
        pipeline.decode(photo())


def test_numbers_below_one_and_systems_without_walls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for numbers in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ConfigInvalid, match="at least 1"):
            SandboxedDecoder(*numbers)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ConfigInvalid, match="x86_64 or aarch64"):
        SandboxedDecoder(1, 200, 1000)


def test_the_configuration_chooses_the_decoder_and_gives_it_enough_memory() -> None:
    assert type(open_decoder(config_from({"images": {"formats": ["JPEG"]}}))) is PlainDecoder
    needed = needed_mib(ImageLimits())
    made = open_decoder(config_from({"isolation": {"decoding": "process", "memory_mib": needed}}))
    assert isinstance(made, SandboxedDecoder)
    made.close()
    with pytest.raises(ConfigInvalid, match=r"isolation\.memory_mib"):
        open_decoder(config_from({"isolation": {"decoding": "process", "memory_mib": needed - 1}}))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("PNG", {"compress_level": 1}),
        ("WEBP", {"lossless": True, "method": 0}),
        ("AVIF", {"subsampling": "4:4:4", "speed": 10}),
        ("HEIC", {"subsampling": "4:4:4", "quality": 50, "enc_params": {"preset": "ultrafast"}}),
    ],
)
def test_the_needed_memory_does(name: str, options: dict[str, object]) -> None:
    limits = ImageLimits(max_pixels=2_000_000)
    pixels = np.zeros((1000, 2000, 4), np.uint8)
    pixels[..., 0] = np.arange(2000) % 256
    pixels[..., 3] = 128
    picture = PIL.Image.fromarray(pixels)
    data = saved(picture.convert("RGB") if name == "JPEG" else picture, name, **options)
    assert decode(data, limits).width == 2000
    with decoder_of(memory_mib=needed_mib(limits)) as made:
        assert made.decode(data, limits).width == 2000


def test_a_server_does_without_the_library_of_heic_only_if_it_accepts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ConfigInvalid, match="pillow-heif"):
        open_decoder(config_from({}))
    open_decoder(config_from({"images": {"formats": ["JPEG", "AVIF"]}})).close()
    open_decoder(config_from({"images": {"formats": ["JPEG"]}})).close()


def children() -> set[str]:
    """The process ids of those that threads of this process started."""
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


@pytest.mark.parametrize("name", ["HEIC", "AVIF"])
def test_heic_and_avif_never_reach_a_decoder_in_the_process_of_a_server(name: str) -> None:
    decoder = open_decoder(config_from({"isolation": {"workers": 1}}))
    try:
        assert said(photo("JPEG"), decoder) == said(photo("JPEG"), PlainDecoder())
        before = children()
        data = photo(name)
        assert said(data, decoder) == said(data, PlainDecoder())
        assert said(data[:-9], decoder) == said(data[:-9], PlainDecoder())
        (process,) = children() - before
        assert "Seccomp:\t2" in Path(f"/proc/{process}/status").read_text()
    finally:
        decoder.close()
    assert not Path(f"/proc/{process}").exists()


def test_a_heic_whose_picture_is_larger_than_it_says_costs_no_more_than_it_may() -> None:
    """The container says 64 x 64 pixels, the coded picture 1,400 x 700."""
    data = photo("HEIC", side=700, quality=10)
    at = data.index(b"ispe") + 8
    limits = ImageLimits(max_pixels=64 * 64)
    with decoder_of(memory_mib=64) as made:
        assert said(photo("HEIC", side=32), made, limits)[0] == (32, 64, 3)  # the control
        refused = said(data[:at] + struct.pack(">LL", 64, 64) + data[at + 8 :], made, limits)
    assert refused[0] in (ImageTooCostly, Undecodable)
