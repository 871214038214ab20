"""Fetching of data sets from a real server on this machine: cut, resumed, wrong, absent; and what archives may hold."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_core.download import ATTEMPTS
from fr_datasets import archives, manifests
from fr_datasets.archives import unpack
from fr_datasets.cli import dataset
from fr_datasets.errors import ArchiveRefused, CannotWrite, ChecksumMismatch, FetchFailed
from fr_datasets.fetch import PARTS, download, fetch
from fr_datasets.links import Link, find_link, read_links
from fr_datasets.manifests import Manifest, RemoteFile, load_manifest
from support.loopback import answering, send

BODY = bytes(range(256)) * 4096


class Told:
    """A `Progress` that remembers: how many bytes each download promised and brought."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.bytes: list[int] = []
        self.finished = 0

    def start(self, name: str, total: int | None) -> None:
        self.totals.append(total)
        self.bytes.append(0)

    def advance(self, n: int) -> None:
        self.bytes[-1] += n

    def finish(self) -> None:
        self.finished += 1


class Server:
    """Serves `files`, and misbehaves as it is told."""

    port = 0

    def __init__(self) -> None:
        self.files = {"/a": BODY}
        self.cut_after: int | None = None  # bytes of a body, after which the connection is closed
        self.ranges: bool | str = True  # "wrong": it gives another range
        self.promised: str | None = None  # the length that it tells in place of the true one
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []  # path and Range header of each request

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, asked = handler.path, handler.headers.get("Range")
        self.asked.append((path, asked))
        if path in self.redirects:
            send(handler, status=302, Location=self.redirects[path])
            return
        body = self.files.get(path)
        if body is None:
            handler.send_error(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        start = int(match[1]) if match and self.ranges else 0
        if start and start >= len(body):
            handler.send_error(416)
            return
        headers = {"Content_Length": self.promised or len(body) - start}
        if start:
            told = start + 1 if self.ranges == "wrong" else start
            headers["Content_Range"] = f"bytes {told}-{len(body) - 1}/{len(body)}"
        send(handler, body[start:][: self.cut_after], 206 if start else 200, **headers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    with answering(made.answer) as made.port:
        yield made


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def a_file(server: Server, *paths: str, body: bytes = BODY, name: str = "pairs.txt") -> RemoteFile:
    return RemoteFile(name, tuple(server.url(path) for path in paths), sha256(body))


def parts_in(folder: Path) -> list[int]:
    """The sizes of the parts that have come."""
    return [path.stat().st_size for path in folder.rglob("*.part")]


def brought(server: Server, folder: Path, *paths: str, told: Told | None = None) -> bytes:
    return download(a_file(server, *(paths or ("/a",))), folder, told or Told()).read_bytes()


def test_a_file_comes_whole_with_its_progress_and_either_checksum(server: Server, tmp_path: Path) -> None:
    told = Told()
    assert brought(server, tmp_path, told=told) == BODY
    assert (told.totals, told.bytes, told.finished) == ([len(BODY)], [len(BODY)], 1)
    assert len(list(tmp_path.iterdir())) == 1
    right = replace(a_file(server, "/a"), checksum="md5:" + hashlib.md5(BODY).hexdigest())
    assert download(right, tmp_path, Told()).read_bytes() == BODY
    with pytest.raises(ChecksumMismatch, match="md5"):
        download(replace(right, checksum="md5:" + "0" * 32), tmp_path, Told())


def test_a_connection_that_breaks_off_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    third = server.cut_after = len(BODY) // 3
    told = Told()
    assert brought(server, tmp_path, told=told) == BODY
    assert server.asked == [("/a", None), *(("/a", f"bytes={n * third}-") for n in (1, 2, 3))]
    assert told.bytes == [third, 2 * third, 3 * third, len(BODY)]


def test_what_came_before_a_failure_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cut_after = 1000
    with pytest.raises(FetchFailed, match=r"broke off after 5000 of 1048576 bytes"):
        brought(server, tmp_path)
    assert parts_in(tmp_path) == [1000 * ATTEMPTS]
    server.cut_after = None
    server.asked.clear()
    assert brought(server, tmp_path) == BODY
    assert server.asked == [("/a", "bytes=5000-")]


@pytest.mark.parametrize(("ranges", "what"), [(False, "broke off after 1000"), ("wrong", "another range")])
def test_a_server_without_ranges_gives_all_again(server: Server, tmp_path: Path, ranges: bool | str, what: str) -> None:
    server.cut_after, server.ranges = 1000, ranges
    with pytest.raises(FetchFailed, match=what):
        brought(server, tmp_path)
    assert parts_in(tmp_path) == [1000]
    server.cut_after, server.ranges = None, False
    assert brought(server, tmp_path) == BODY


def test_a_part_that_is_whole_already_is_verified(server: Server, tmp_path: Path) -> None:
    file = a_file(server, "/a")
    download(file, tmp_path, Told()).rename(tmp_path / f"pairs.txt.sha256-{file.checksum[7:23]}.part")
    assert download(file, tmp_path, Told()).read_bytes() == BODY
    assert server.asked[-1] == ("/a", f"bytes={len(BODY)}-")


def test_a_wrong_file_is_removed_and_the_next_source_is_asked(server: Server, tmp_path: Path) -> None:
    server.files |= {"/wrong": BODY + b"x", "/right": BODY}
    with pytest.raises(ChecksumMismatch, match="sha256"):
        brought(server, tmp_path, "/wrong")
    assert list(tmp_path.iterdir()) == []
    absent = a_file(server, "/absent")
    with pytest.raises(FetchFailed) as caught:
        download(replace(absent, sources=(*absent.sources, "http://127.0.0.1:1/a")), tmp_path, Told())
    assert f"[{server.url('/absent')}: the server answered 404 Not Found]" in caught.value.what
    assert "[http://127.0.0.1:1/a: the download failed: " in caught.value.what
    assert brought(server, tmp_path, "/wrong", "/absent", "/right") == BODY


def test_redirects_are_followed_and_what_is_missing_is_asked_there(server: Server, tmp_path: Path) -> None:
    server.files["/moved"], server.redirects["/a"] = BODY, "/moved"
    server.cut_after = len(BODY) // 2
    assert brought(server, tmp_path) == BODY
    assert server.asked[2:] == [("/a", f"bytes={len(BODY) // 2}-"), ("/moved", f"bytes={len(BODY) // 2}-")]


@pytest.mark.parametrize("place", ["/a", "file:///etc/passwd"])
def test_a_redirect_in_a_circle_or_to_a_file_is_refused(server: Server, tmp_path: Path, place: str) -> None:
    server.redirects["/a"] = place
    with pytest.raises(FetchFailed, match="the server answered 302"):
        brought(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("promised", [str(len(BODY) + 1), "9" * 5000, "many"])
def test_a_length_that_is_wrong_or_none_does_no_harm(server: Server, tmp_path: Path, promised: str) -> None:
    server.promised = promised
    assert brought(server, tmp_path) == BODY


def test_a_full_disk_is_told_and_no_other_source_is_asked(server: Server, tmp_path: Path) -> None:
    server.files["/b"] = BODY
    file = a_file(server, "/a", "/b")
    (tmp_path / f"pairs.txt.sha256-{file.checksum[7:23]}.part").symlink_to("/dev/full")
    with pytest.raises(CannotWrite, match=r"cannot be written: No space left on device\. What has arrived is kept"):
        download(file, tmp_path, Told())
    assert [path for path, _ in server.asked] == ["/a"]


def a_tar(*members: tuple[str, bytes | None], kind: bytes = tarfile.REGTYPE, mode: str = "w:gz") -> bytes:
    """Members are (name, body), a folder where the body is None; `kind` is that of the bodies."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if body is None else kind
            if kind == tarfile.REGTYPE and body is not None:
                info.size = len(body)
            else:
                info.linkname = "/etc/passwd"
            tar.addfile(info, io.BytesIO(body or b""))
    return packed.getvalue()


def a_zip(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for name, body in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            zipped.writestr(info, body)
    return packed.getvalue()


def put(folder: Path, body: bytes) -> Path:
    path = folder / "lfw.archive"
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    "body",
    [
        a_tar(("lfw", None), ("lfw/Bo", None), ("lfw/Bo/Bo_0001.jpg", b"photo")),
        a_tar(("./", None), ("./lfw/Bo/Bo_0001.jpg", b"photo")),
        a_tar(("lfw/Bo/Bo_0001.jpg", b"photo"), mode="w"),
        a_zip(("lfw/Bo/", b""), ("lfw/Bo/Bo_0001.jpg", b"photo")),
        a_zip(("lfw/Bo/Bo_0001.jpg", b"photo"), mode=0o100644),
    ],
)
def test_an_archive_becomes_a_folder(tmp_path: Path, body: bytes) -> None:
    unpack(put(tmp_path, body), tmp_path, "lfw")
    assert (tmp_path / "lfw/Bo/Bo_0001.jpg").read_bytes() == b"photo"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lfw", "lfw.archive"]


GOOD = ("lfw/a.jpg", b"photo")
NOISE = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(30))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (a_tar(GOOD, ("/etc/passwd", b"x")), "leads out"),
        (a_tar(GOOD, ("lfw/../../x", b"x")), "leads out"),
        (a_tar(GOOD, ("other/x", b"x")), "leads out"),
        (a_tar(GOOD, GOOD), "name twice"),
        (a_tar(GOOD, ("lfw/a.jpg/b/c.jpg", b"x")), "one below a file"),
        (a_tar(("lfw/link", b""), kind=tarfile.SYMTYPE), "neither a file nor a folder"),
        (a_tar(("lfw/link", b""), kind=tarfile.LNKTYPE), "neither a file nor a folder"),
        (a_tar(("lfw/pipe", b""), kind=tarfile.FIFOTYPE), "neither a file nor a folder"),
        (a_zip(GOOD, ("../x", b"x")), "leads out"),
        (a_zip(("lfw/link", b"/etc/passwd"), mode=0o120777), "neither a file nor a folder"),
        (a_tar(("lfw/big.jpg", b"x" * 1001)), "larger than 1000 bytes"),
        (a_tar(GOOD, ("lfw/big.jpg", b"x" * 996)), "larger than 1000 bytes"),
        (a_zip(("lfw/big.jpg", b"x" * 1001)), "larger than 1000 bytes"),
        (a_tar(("lfw/a.jpg", NOISE))[:400], "damaged"),
        (b"not an archive", "damaged"),
        (a_tar(), "no folder lfw"),
        (a_tar(("lfw", b"a file")), "no folder lfw"),
    ],
    ids=lambda value: "archive" if isinstance(value, bytes) else value,
)
def test_an_archive_that_reaches_out_is_refused_and_leaves_nothing(tmp_path: Path, body: bytes, what: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(ArchiveRefused, match=what):
        unpack(put(tmp_path, body), place, "lfw", max_bytes=1000)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["lfw.archive", "place"]


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(ArchiveRefused, match="more than 1 files"):
        unpack(put(tmp_path, a_tar(GOOD, ("lfw/b.jpg", b"x"))), tmp_path, "lfw")


ARCHIVE = a_tar(*((f"lfw/{name}.jpg", b"photo") for name in ("Ada/Ada_0001", "Ada/Ada_0002", "Bo/Bo_0001")))
PAIRS = b"1\t1\nAda\t1\t2\nAda\t1\tBo\t1\n"


@pytest.fixture
def manifest(server: Server) -> Manifest:
    server.files |= {"/lfw.tgz": ARCHIVE, "/pairs.txt": PAIRS}
    photos = replace(a_file(server, "/lfw.tgz", body=ARCHIVE, name="lfw"), archive=True)
    files = (a_file(server, "/pairs.txt", body=PAIRS), photos)
    return replace(load_manifest("lfw"), files=files, counts={"pairs": 2, "mated": 1})


def test_a_set_is_fetched_once_and_leaves_no_parts(server: Server, manifest: Manifest, tmp_path: Path) -> None:
    root = tmp_path / "sets" / "lfw"
    fetch(manifest, root, Told())
    assert (root / "lfw/Bo/Bo_0001.jpg").read_bytes() == b"photo"
    assert sorted(path.name for path in root.iterdir()) == ["lfw", "pairs.txt"]
    server.asked.clear()
    fetch(manifest, root, Told())
    assert server.asked == []


def test_a_set_that_was_cut_off_goes_on(server: Server, manifest: Manifest, tmp_path: Path) -> None:
    server.files.pop("/lfw.tgz")
    with pytest.raises(FetchFailed) as caught:
        fetch(manifest, tmp_path, Told())
    for words in ("404", manifest.by_hand, "fr dataset link lfw --root DIR", "run the command again"):
        assert words in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == [PARTS, "pairs.txt"]
    server.files["/lfw.tgz"] = ARCHIVE
    server.asked.clear()
    fetch(manifest, tmp_path, Told())
    assert server.asked == [("/lfw.tgz", None)]


def test_a_file_that_is_there_and_another_is_not_overwritten(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("mine")
    with pytest.raises(ChecksumMismatch, match=r"pairs\.txt"):
        fetch(manifest, tmp_path, Told())
    assert (tmp_path / "pairs.txt").read_text() == "mine"


def test_the_command_fetches_and_links(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(counts: dict[str, int]) -> Result:
        monkeypatch.setattr(manifests, "load_manifest", lambda name: replace(manifest, counts=counts))
        return CliRunner().invoke(dataset, ["fetch", "lfw", "--accept-terms", "--json"])

    monkeypatch.setenv("FR_HOME", str(tmp_path))
    result = run({"pairs": 3})
    assert (result.exit_code, "DATASET_INCOMPLETE: " in result.stderr) == (1, True)
    assert read_links(tmp_path / "datasets") == {}
    shutil.rmtree(tmp_path / "datasets")
    result, place = run(counts := {"pairs": 2, "mated": 1}), tmp_path / "datasets" / "lfw"
    assert json.loads(result.stdout) == {"dataset": "lfw", "root": str(place), "counts": counts}
    assert "Fetching lfw.tgz" in result.stderr
    assert find_link("lfw", tmp_path / "datasets") == Link(place)
