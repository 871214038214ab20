"""Defines the frozen values of a model pack's manifest, and reads its TOML strictly, with pydantic."""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, with_config

from fr_core.errors import PackInvalid, UnknownPack, message
from fr_core.types import ModelId

DEFAULT_PACK = "buffalo_s"

DetectorFamily = Literal["scrfd", "yunet"]
EmbedderFamily = Literal["arcface", "sface"]
Colour = Literal["RGB", "BGR"]
ArchiveKind = Literal["wheel", "sdist"]

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
_Sha256 = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
_FileName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_PackName = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9][a-z0-9_]*$")]
# Without "+", because `ModelId` appends "+flip".
_Version = Annotated[str, Field(strict=True, pattern=r"^[0-9A-Za-z][0-9A-Za-z.]*$")]
_PackageVersion = Annotated[str, Field(strict=True, pattern=r"^[0-9A-Za-z][0-9A-Za-z.!+-]*$")]
_Https = Annotated[str, Field(strict=True, pattern=r"^https://[^/]")]
_Count = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Mean = Annotated[float, Field(strict=True, ge=0, le=255)]
_Std = Annotated[float, Field(strict=True, ge=1e-3, le=255)]


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """A member of an archive that the configured package registry serves."""

    package: _FileName
    version: _PackageVersion  # the one version to take
    archive: ArchiveKind  # which of the version's archives holds the member
    archive_sha256: _Sha256  # of the whole archive, 64 hexadecimal digits
    member: _Text  # path of the file inside the archive, an sdist's top folder included
    kind: Literal["registry"] = "registry"


@dataclass(frozen=True, slots=True)
class ZipSource:
    """A member of a zip archive on the web."""

    url: _Https  # https only
    member: _Text  # path of the file inside the archive, folders included
    # Of the whole archive, 64 hexadecimal digits; None where only the member's own is known.
    archive_sha256: _Sha256 | None = None
    kind: Literal["zip"] = "zip"


Source = Annotated[RegistrySource | ZipSource, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file, by its content, and where to get it."""

    name: _FileName  # the file's own name, without a folder
    sha256: _Sha256  # of its content, 64 hexadecimal digits
    # In bytes; None where it is not known.
    size: Annotated[int | None, Field(strict=True, ge=1, le=2**40, default=None)]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]  # tried in this order


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A face detector."""

    family: DetectorFamily  # which decoder reads its outputs
    file: FileSpec
    licence: _Text
    colour: Colour  # channel order of the input
    mean: tuple[_Mean, _Mean, _Mean]  # per channel, in the input's order, subtracted from pixel values 0 to 255
    std: tuple[_Std, _Std, _Std]  # per channel, what the difference is divided by
    score_threshold: _Share  # detections below it are dropped, in [0, 1]
    nms_threshold: _Share  # intersection over union above which the weaker of two boxes is dropped, in [0, 1]
    # Side of the fixed square input in pixels; None = any multiple of 32.
    input_size: Annotated[int | None, Field(strict=True, ge=32, le=4096, multiple_of=32, default=None)]


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A face embedder."""

    family: EmbedderFamily  # which code reads its outputs
    file: FileSpec
    licence: _Text
    colour: Colour  # channel order of the input
    mean: tuple[_Mean, _Mean, _Mean]  # per channel, in the input's order, subtracted from pixel values 0 to 255
    std: tuple[_Std, _Std, _Std]  # per channel, what the difference is divided by
    # Side of the aligned square crop in pixels.
    input_size: Annotated[int, Field(strict=True, ge=112, le=112)]  # the one size that fr_core.align makes
    embedding_size: _Count  # number of values of an embedding
    max_batch: Annotated[_Count | None, Field(default=None)]  # most faces of one run; None = any number
    # Length before normalisation below which a face is a weak one; None = not used.
    min_embedding_norm: Annotated[float | None, Field(strict=True, ge=0, le=1e6, default=None)]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The pack's default operating point."""

    # Cosine similarity in [-1, 1]; accepted iff similarity >= this.
    similarity: Annotated[float, Field(strict=True, ge=-1, le=1)]
    source: _Text  # where the number comes from
    # False match rate at this threshold in [0, 1]; None where it was not measured.
    fmr: Annotated[_Share | None, Field(default=None)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that belong together."""

    name: _PackName  # as in `fr serve --pack NAME`
    version: _Version  # changes with anything that changes embeddings
    summary: _Text  # one line for people
    detector: DetectorSpec
    embedder: EmbedderSpec  # turns an aligned face into an embedding
    thresholds: Thresholds

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """Every file of the pack, the detector's first."""
        return (self.detector.file, self.embedder.file)

    def model_id(self, flip: bool) -> ModelId:
        """The id that embeddings carry; `flip` = fused with the embedding of the mirrored face."""
        version = self.version + ("+flip" if flip else "")
        return ModelId(self.name, version, self.embedder.file.sha256)


def pack_names() -> tuple[str, ...]:
    """Names of the packs that come with FR Core: the default one, then the others by name."""
    folder = resources.files(__package__)
    names = {PurePosixPath(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_PACK, name)))


def load_pack(name: str) -> Pack:
    """Read the manifest of a pack that comes with FR Core.

    Raises `UnknownPack`: there is none of that name; `PackInvalid`: its manifest breaks the rules, or names another
    pack.
    """
    names = pack_names()
    if name not in names:
        close = get_close_matches(name, names, n=1)
        packs = ",".join(names)
        if close:
            raise UnknownPack(message("error.packs.no_pack_but_near", name=name, near=close[0]), packs=packs)
        raise UnknownPack(message("error.packs.no_pack", name=name), packs=packs)
    pack = parse_pack((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    if pack.name != name:
        raise PackInvalid(message("error.packs.manifest_toml_calls_pack", name=name, pack=pack.name))
    return pack


def parse_pack(text: str) -> Pack:
    """Read a manifest; docs/packs.md describes each key.

    Raises `PackInvalid`: not TOML, a key that does not exist or is missing, or a value that is out of range.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackInvalid(message("error.packs.manifest_no_toml", error=str(error))) from error
    try:
        return _reader().validate_python(content)
    except ValidationError as error:
        raise _refused(error) from error


@cache
def _reader() -> TypeAdapter[Pack]:
    return TypeAdapter(Pack)


def _refused(error: ValidationError) -> PackInvalid:
    first = error.errors(include_url=False)[0]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    key = key.replace("].registry", "]").replace("].zip", "]").removeprefix(".")  # of which kind a source is
    match first["type"]:
        case "missing":
            what = message("error.packs.is_missing")
        case "unexpected_keyword_argument":
            what = message("error.packs.is_no_key")
        case "union_tag_invalid" | "union_tag_not_found":
            key, what = f"{key}.kind", message("error.packs.must_be_a_source")
        case "dataclass_type":
            what = message("error.packs.must_be_a_table")
        case "tuple_type":
            what = message("error.packs.must_be_a_list")
        case _:
            why = f"{first['msg'][0].lower()}{first['msg'][1:]}"
            what = message("error.packs.is_wrong", why=why)
    return PackInvalid(message("error.packs.manifest", key=key, what=what), key=key)
