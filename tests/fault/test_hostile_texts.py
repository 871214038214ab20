"""Each hostile text is read or refused within a second and 100 MB, and the server still answers other callers.

Run as a script, this file sends texts to a server until it is killed:
`python tests/fault/test_hostile_texts.py ADDRESS TOKEN CA COUNT`.
"""

import errno
import io
import math
import random
import signal
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import grpc
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2, training_pb2, training_pb2_grpc
from fr_bench.speed.stats import percentile
from fr_client.cli.gallery.photo_sources import read_manifest
from fr_client.cli.state import Unusable
from fr_client.connection import read_connection
from fr_core.errors import FrError, TlsUnusable
from fr_core.scoring.calibration_json import to_json
from fr_core.storage.audit.checkpoints import parse_checkpoint
from fr_datasets.archives import unpack
from fr_datasets.labels import read_labels
from fr_datasets.links import read_links
from fr_evaluation.recorded import read_recorded, read_scores
from fr_server.authz.jwks import parse_keys
from fr_server.config import load_config
from fr_server.gateway.pem import read_revocations
from fr_server.rpc.convert.calibration import calibration_from
from fr_training.plan_reading import read_plan
from fr_training.shipped_plans import plan_names, plan_text
from fr_trust.evidence.documents import parsed, read_findings, read_search
from fr_trust.evidence.verify import verify_bundle
from support.cases import filed
from support.commands import script
from support.counts import SLOWER, count
from support.engines import calibration
from support.secured import HOST, SOON_S, Made, figure, made, secure_channel, started_secured
from support.servers import photo

COUNT = count("HOSTILE_TEXTS")
SEED = count("HOSTILE_SEED")
MOST_S, MOST_BYTES = 1.0, 100_000_000
LEAST_WINDOWS, MOST_WINDOWS, WINDOW_S, RUN_S = 3, 10, 1.5, 0.02
ENROLLED = 20

Read = Callable[[bytes, Path], object]


def in_file(read: Callable[[Path], object], name: str = "file") -> Read:
    def written(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return written


def texted(read: Callable[[str], object]) -> Read:
    return lambda data, _: read(data.decode(errors="replace"))


READERS: Mapping[str, Mapping[str, Read]] = {
    "toml": {
        "a plan": texted(read_plan),
        "a connection file": in_file(read_connection),
        "a configuration": in_file(load_config),
        "links of data sets": in_file(lambda path: read_links(path.parent), "links.toml"),
    },
    "json": {
        "a calibration": texted(calibration_from),
        "keys of an issuer": lambda data, _: parse_keys(data, ("RS256", "EdDSA")),
        "a checkpoint": lambda data, _: parse_checkpoint(data),
        "a search of a bundle": lambda data, _: parsed("search.json", data, read_search),
        "findings of a bundle": lambda data, _: parsed("findings.json", data, read_findings),
        "a report": in_file(read_recorded, "report.json"),
    },
    "csv": {
        "a manifest": in_file(read_manifest),
        "labels": in_file(partial(read_labels, key="person")),
        "scores": lambda data, _: read_scores(io.StringIO(data.decode(errors="replace")), "verification"),
    },
    "zip": {
        "a bundle": in_file(verify_bundle),
        "an archive": in_file(lambda path: unpack(path, Path(mkdtemp(dir=path.parent)), "top", max_bytes=10_000_000)),
    },
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    return {
        "toml": plan_text(plan_names()[0]).encode(),
        "json": to_json(calibration()).encode(),
        "csv": b"subject_id,path,display_name\na,a.jpg,Ada\n" * 100,
        "zip": filed(tmp_path_factory.mktemp("kept") / "cases").bundle(),
    }


def costs(read: Callable[[], object]) -> tuple[float, int]:
    said: list[str] = []

    def ended() -> None:
        try:
            read()
        except (FrError, ValueError, Unusable) as error:
            said.append(str(error))
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise

    seconds = math.inf
    for _ in range(3):  # others may use this machine, and make a reading slower, never faster
        begun = time.thread_time()
        ended()
        seconds = min(seconds, time.thread_time() - begun)
        if seconds <= MOST_S:
            break
    tracemalloc.start()
    ended()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(len(one) < 4_000 for one in said), "an error repeats the text"
    return seconds, most


@pytest.mark.parametrize("kind", READERS)
def test_no_text_costs_much(kind: str, honest: Mapping[str, bytes], tmp_path: Path) -> None:
    slowest, largest = (0.0, ""), (0, "")
    for number, (what, text) in enumerate(texts(kind, COUNT, SEED, honest[kind])):
        for name, read in READERS[kind].items():
            folder = tmp_path / f"{name} {number}"
            folder.mkdir()
            seconds, most = costs(partial(read, text, folder))
            slowest, largest = max(slowest, (seconds, f"{name}: {what}")), max(largest, (most, f"{name}: {what}"))
            assert seconds <= MOST_S, f"{name} takes {seconds:.1f} s of {what}"
            assert most <= MOST_BYTES, f"{name} takes {most:,} bytes of {what}"
    figure(f"the slowest of {COUNT} texts of {kind}", f"{1000 * slowest[0]:.0f} ms ({slowest[1]})")
    figure(f"the largest of {COUNT} texts of {kind}", f"{largest[0] / 1e6:.0f} MB ({largest[1]})")


def test_what_people_write_is_read(honest: Mapping[str, bytes], tmp_path: Path) -> None:
    for kind, name in (("toml", "a plan"), ("json", "a calibration"), ("csv", "a manifest"), ("zip", "a bundle")):
        READERS[kind][name](honest[kind], tmp_path)


def test_a_list_of_revoked_certificates_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "revoked.pem"
    path.write_bytes(b"-----BEGIN X509 CRL-----\n" * 150_000)
    begun = time.thread_time()
    with pytest.raises(TlsUnusable):
        read_revocations(path, ())
    assert time.thread_time() - begun <= MOST_S


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("text", "limit", "dies_of"),
    [
        ("'.'.join('a' * 30_000) + '=1'", "resource.RLIMIT_AS, (2**28,) * 2", "MemoryError"),
        (
            "'[' + '.'.join('h' * 15_000) + ']\\n' + ''.join(f'k{n}=1\\n' for n in range(15_000))",
            "resource.RLIMIT_CPU, (1, 2)",
            "SIGXCPU",
        ),
    ],
)
def test_control_python_reads_the_same_without_an_end(text: str, limit: str, dies_of: str) -> None:
    program = f"import resource, tomllib; resource.setrlimit({limit}); tomllib.loads({text})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if "parts" in ended.stderr:
        pytest.skip("this Python limits the parts of a key itself")
    died = signal.Signals(-ended.returncode).name if ended.returncode < 0 else ended.stderr
    assert dies_of in died


def main(address: str, token: str, ca: str, count: str) -> None:
    sent = {
        kind: [text.decode(errors="replace") for _, text in texts(kind, int(count), SEED)] for kind in ("toml", "json")
    }
    with secure_channel(address, Path(ca).read_bytes(), token) as channel:
        training = training_pb2_grpc.TrainingServiceStub(channel)
        galleries = gallery_pb2_grpc.GalleryServiceStub(channel)
        requests: list[Callable[[], object]] = []
        for plan, calibrated in zip(sent["toml"], sent["json"], strict=True):
            source = training_pb2.PlanSource(toml=plan)
            check = training_pb2.CheckPlanRequest(plan=source)
            change = gallery_pb2.SetCalibrationRequest(gallery_id="g", calibration_json=calibrated)
            requests += [
                partial(training.CheckPlan, check, timeout=SOON_S),
                partial(galleries.SetCalibration, change, timeout=SOON_S),
            ]
        while True:
            for request in requests:
                try:
                    request()
                except grpc.RpcError as error:
                    refused = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
                    told = error.code()
                    print("refused" if told in refused else told, flush=True)  # noqa: T201 - the answer
                else:
                    print("taken", flush=True)  # noqa: T201 - the answer


class Searcher:
    def __init__(self, channel: grpc.Channel) -> None:
        self._galleries = gallery_pb2_grpc.GalleryServiceStub(channel)
        use = gallery_pb2.GALLERY_USE_TEST
        self._galleries.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="people", use=use))
        for number in range(1, ENROLLED + 1):
            face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(number)))
            request = gallery_pb2.EnrolRequest(gallery_id="people", subject_id=str(number), face=face)
            self._galleries.Enrol(request, timeout=SOON_S)
        self._search = gallery_pb2.SearchRequest(gallery_id="people", probe=face, top_k=3)

    def p99_ms(self, seconds: float) -> float:
        end, took = time.perf_counter() + seconds, []
        while (begun := time.perf_counter()) < end:
            found = self._galleries.Search(self._search, timeout=SOON_S)
            took.append(1000 * (time.perf_counter() - begun))
            assert found.results[0].candidates[0].subject_id == str(ENROLLED)
        return percentile(took, 0.99)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("texts") / "srv")


@pytest.mark.nightly
@pytest.mark.alone
def test_searches_are_as_quick_as_before(at: Made, tmp_path: Path) -> None:
    token = at.key()
    quiet: list[float] = []
    beside: list[float] = []
    with started_secured(tmp_path, at, run_s=RUN_S) as server:
        address = server.address.replace("0.0.0.0", HOST)
        with at.channel(address, token) as channel:
            searcher = Searcher(channel)
            searcher.p99_ms(0.5)
            # A single quiet window, disturbed by others on this machine, would set too high a bar.
            while len(beside) < LEAST_WINDOWS or (min(beside) > SLOWER * min(quiet) and len(beside) < MOST_WINDOWS):
                quiet.append(searcher.p99_ms(WINDOW_S))
                with script(__file__, address, token, at.folder / "ca.pem", COUNT) as hostile:
                    told = [hostile.line()]
                    beside.append(searcher.p99_ms(WINDOW_S))
                    hostile.kill()
                    told += hostile.lines()
                assert set(told) <= {"refused", "taken"}
                assert len(told) > 5
    quiet_ms, beside_ms = min(quiet), min(beside)  # others may use this machine, and make a window worse, never better
    figure("p99 of a search, quiet and beside hostile texts", f"{quiet_ms:.1f} ms, {beside_ms:.1f} ms")
    assert beside_ms <= SLOWER * quiet_ms


Shape = Callable[[int], bytes]  # makes a text of about so many bytes

SIZES = (240_000, 1_000, 60_000, 16_000)


def _texts(makers: Mapping[str, Callable[[int], str]]) -> Mapping[str, Shape]:
    def encoded(make: Callable[[int], str]) -> Shape:
        return lambda size: make(size).encode()

    return {name: encoded(make) for name, make in makers.items()}


def _numbered(line: str, size: int) -> str:
    """Make lines with a number in place of #, of so many bytes in total."""
    return "".join(line.replace("#", f"{number}") + "\n" for number in range(max(1, size // (len(line) + 4))))


def _deep(header: str, size: int) -> str:
    """Make a table nested in very many others (half of the bytes), and keys in it (the other half)."""
    return "[" + ".".join(["h"] * (size // 4)) + "]\n" + _numbered(header, size // 2)


TOML = _texts(
    {
        "dotted key": lambda size: ".".join("a" * (size // 2)) + "=1",
        "quoted dotted key": lambda size: ".".join(['"a"'] * (size // 4)) + "=1",
        "spaced dotted key": lambda size: " . ".join("a" * (size // 4)) + "=1",
        "table in tables": lambda size: "[" + ".".join("a" * (size // 2)) + "]",
        "array of tables in tables": lambda size: "[[" + ".".join("a" * (size // 2)) + "]]",
        "dotted keys behind a string": lambda size: 's="""x"""""\n' + ".".join("a" * (size // 2)) + "=1",
        "dotted keys behind a comment": lambda size: "#'''\n" + ".".join("a" * (size // 2)) + "=1",
        "dotted keys, many": lambda size: _numbered(".".join("a" * 400) + ".b#=1", size),
        "tables of many parts": lambda size: _numbered("[" + ".".join("a" * 400) + ".b#]", size),
        "keys under a deep table": lambda size: _deep("k#=1", size),
        "dotted keys under a deep table": lambda size: _deep("a.b.c.k#=1", size),
        "tables": lambda size: _numbered("[a#.b.c.d.e.f.g.h]", size),
        "arrays of tables": lambda size: "[[a]]\n" * (size // 6),
        "arrays of other tables": lambda size: _numbered("[[a#]]", size),
        "arrays in arrays": lambda size: "a=" + "[" * (size // 2) + "]" * (size // 2),
        "arrays in arrays, many": lambda size: _numbered("a#=" + "[" * 300 + "]" * 300, size),
        "inline tables in each other": lambda size: "a=" + "{a=" * (size // 4),
        "inline keys": lambda size: "a={" + ",".join(f"k{n}=1" for n in range(size // 8)) + "}",
        "empty arrays": lambda size: "a=[" + "[]," * (size // 3) + "]",
        "empty inline tables": lambda size: "a=[" + "{}," * (size // 3) + "]",
        "digits": lambda size: "a=" + "9" * size,
        "hexadecimal digits": lambda size: "a=0x" + "f" * size,
        "binary digits": lambda size: "a=0b" + "1" * size,
        "digits with underscores": lambda size: "a=1" + "_1" * (size // 2),
        "digits of a fraction": lambda size: "a=1." + "9" * size,
        "digits of an exponent": lambda size: "a=1e" + "9" * size,
        "long numbers": lambda size: _numbered("a#=0x" + "f" * 4_000, size),
        "fraction of a second": lambda size: "a=1979-05-27T00:32:00." + "9" * size,
        "escapes": lambda size: 'a="' + "\\n" * (size // 2) + '"',
        "escapes without an end": lambda size: 'a="""' + '\\"""' * (size // 4),
        "lines of a string": lambda size: 'a="""\\' + "\n" * size + '"""',
        "quotation marks": lambda size: "a=" + '"' * size,
        "apostrophes": lambda size: "a=" + "'" * size,
        "comments": lambda size: "#\n" * (size // 2),
        "lines, then nonsense": lambda size: "\n" * size + "!",
        "spaces": lambda size: " " * size + "!",
        "one key": lambda size: "a" * size + "=1",
        "one quoted key": lambda size: '"' + "sittings" * (size // 8) + '"=1',
        "one key twice": lambda size: ('"' + "a" * (size // 2) + '"=1\n') * 2,
        "keys": lambda size: _numbered("k#=1", size),
        "no text": lambda size: "a='" + "\x00" * size,
    }
)

JSON = _texts(
    {
        "arrays in arrays": lambda size: "[" * (size // 2) + "]" * (size // 2),
        "objects in each other": lambda size: '{"a":' * (size // 5),
        "empty arrays": lambda size: "[" + "[]," * (size // 3) + "[]]",
        "empty objects": lambda size: "[" + "{}," * (size // 3) + "{}]",
        "objects of one key": lambda size: "[" + '{"a":1},' * (size // 8) + "1]",
        "keys": lambda size: "{" + ",".join(f'"k{n}":1' for n in range(size // 10)) + "}",
        "one key again and again": lambda size: "{" + '"format":1,' * (size // 11) + '"a":1}',
        "one long key": lambda size: '{"' + "a" * size + '":1}',
        "digits": lambda size: '{"format":' + "9" * size + "}",
        "numbers": lambda size: "[" + "1," * (size // 2) + "1]",
        "long numbers": lambda size: "[" + ("9" * 4_000 + ",") * (size // 4_001) + "1]",
        "digits of a fraction": lambda size: "[1." + "9" * size + "]",
        "great exponents": lambda size: "[" + "1e999," * (size // 6) + "1]",
        "escapes": lambda size: '["' + "\\u00e9" * (size // 6) + '"]',
        "halves of characters": lambda size: '["' + "\\ud800" * (size // 6) + '"]',
        "quotation marks": lambda size: '"' * size,
        "backslashes": lambda size: '"' + "\\" * size,
        "spaces": lambda size: " " * size + "!",
        "lines, then nonsense": lambda size: "\n" * size + "!",
        "constants": lambda size: "[" + "NaN," * (size // 4) + "1]",
    }
)

CSV = _texts(
    {
        "one field": lambda size: "a" * size,
        "one quoted field": lambda size: '"' + "a" * size,
        "quotation marks": lambda size: '"' * size,
        "commas": lambda size: "," * size,
        "lines": lambda size: "\n" * size,
        "rows": lambda size: "subject_id,path,person\n" + "a,b,c\n" * (size // 6),
        "rows of one field": lambda size: "subject_id,path\n" + "a\n" * (size // 2),
        "columns": lambda size: "subject_id,path," + ",".join(f"c{n}" for n in range(size // 7)) + "\n",
        "columns and rows": lambda size: "subject_id,path" + ",c" * 500 + "\n" + ("," * 501 + "\n") * (size // 502),
        "a long second row": lambda size: "subject_id,path\n" + '"' + "a\n" * (size // 2),
        "no text": lambda size: "subject_id,path\n" + "\x00" * size,
    }
)


def _zip(size: int, member: Callable[[int], bytes], count: int, packed: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for number in range(count):
            archive.writestr(f"top/{number}.txt", member(size))
    return out.getvalue()


def _named(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"")
    return out.getvalue()


def _ends(size: int) -> bytes:
    return struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65_535, 65_535, size, 0, 0) * (size // 22)


def _bomb(size: int) -> bytes:
    """Make a tar of zeros, a thousand times as long as its compressed form."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("top/zeros")
        entry.size = min(size * 1_000, 64_000_000)
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return out.getvalue()


ZIP: Mapping[str, Shape] = {
    "zeros, compressed": lambda size: _zip(min(size * 1_000, 64_000_000), bytes, 1, zipfile.ZIP_DEFLATED),
    "many files": lambda size: _zip(0, bytes, min(size // 100, 5_000)),
    "one file": lambda size: _zip(size, bytes, 1),
    "a long name": lambda size: _named("top/" + "n" * min(size, 60_000)),
    "ends": _ends,
    "headers": lambda size: b"PK\3\4" * (size // 4),
    "directory of nothing": lambda size: b"PK\1\2" + bytes(42) * (size // 42) + _ends(22),
    "tar of zeros": _bomb,
    "zeros": bytes,
    "gzip without an end": lambda size: b"\x1f\x8b\x08\0\0\0\0\0\0\0" + zlib.compress(bytes(size))[2:-9],
}

FORMATS: Mapping[str, Mapping[str, Shape]] = {"toml": TOML, "json": JSON, "csv": CSV, "zip": ZIP}


def texts(kind: str, count: int, seed: int, *honest: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield so many hostile texts with their names: every shape at every size, then mutations, also of honest texts."""
    shapes, drawn = FORMATS[kind], random.Random(f"{seed} {kind}")
    sizes = (*SIZES, 500_000 if kind == "csv" else 1_000_000)
    made = [(f"{name}, {size}", shape) for size in sizes for name, shape in shapes.items()]
    for number in range(count):
        size = sizes[number // len(shapes) % len(sizes)]
        if number < len(made):
            what, shape = made[number]
            yield what, shape(size)
        else:
            yield f"mutation {number}", _mutated(drawn, [*honest, drawn.choice(list(shapes.values()))(size)])


def _mutated(drawn: random.Random, among: list[bytes]) -> bytes:
    """Return a text with pieces removed, repeated, changed, or replaced by those of another."""
    text = bytearray(drawn.choice(among))
    for _ in range(drawn.randint(1, 8)):
        at, length = drawn.randrange(len(text) + 1), drawn.choice((1, 2, 8, 100, 5_000))
        piece = bytes(text[at : at + length])
        match drawn.randrange(5):
            case 0:
                del text[at : at + length]
            case 1:
                text[at:at] = piece * drawn.choice((2, 50, 500 if length < 100 else 5))
            case 2:
                text[at:at] = bytes(drawn.randrange(256) for _ in range(3))
            case 3:
                other = drawn.choice(among)
                start = drawn.randrange(len(other) + 1)
                text[at:at] = other[start : start + 20_000]
            case _:
                text[at:at] = drawn.choice((b"[", b"{", b'"', b"'''", b".", b"=", b"\n", b",", b"\\", b"\0"))
    return bytes(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
