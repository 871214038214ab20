"""Defines the frozen values of a model pack's manifest, and reads its TOML strictly."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import PurePosixPath
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from fr_core.errors import PackInvalid, UnknownPack
from fr_core.packs.table import Table, Triple
from fr_core.types import ModelId

DEFAULT_PACK = "buffalo_s"

DetectorFamily = Literal["scrfd", "yunet"]
EmbedderFamily = Literal["arcface", "sface"]
Colour = Literal["RGB", "BGR"]
ArchiveKind = Literal["wheel", "sdist"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PACK_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.]*")  # no "+": ModelId appends "+flip"
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PACKAGE_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+-]*")


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """A member of an archive that the configured package registry serves.

    Attributes:
        package: name of the package.
        version: the one version to take.
        archive: which of the version's archives holds the member.
        archive_sha256: of the whole archive, 64 hexadecimal digits.
        member: path of the file inside the archive, an sdist's top folder included.
    """

    package: str
    version: str
    archive: ArchiveKind
    archive_sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class ZipSource:
    """A member of a zip archive on the web.

    Attributes:
        url: https only.
        member: path of the file inside the archive, folders included.
        archive_sha256: of the whole archive, 64 hexadecimal digits; None where only the member's own is known.
    """

    url: str
    member: str
    archive_sha256: str | None


Source = RegistrySource | ZipSource


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file, by its content, and where to get it.

    Attributes:
        name: the file's own name, without a folder.
        sha256: of its content, 64 hexadecimal digits.
        size: in bytes; None where it is not known.
        sources: tried in this order.
    """

    name: str
    sha256: str
    size: int | None
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A face detector.

    Attributes:
        family: which decoder reads its outputs.
        file: the ONNX file.
        licence: plain text.
        colour: channel order of the input.
        mean: per channel, in the input's order, subtracted from pixel values 0 to 255.
        std: per channel, what the difference is divided by.
        score_threshold: detections below it are dropped, in [0, 1].
        nms_threshold: intersection over union above which the weaker of two boxes is dropped, in [0, 1].
        input_size: side of the fixed square input in pixels; None = any multiple of 32.
    """

    family: DetectorFamily
    file: FileSpec
    licence: str
    colour: Colour
    mean: Triple
    std: Triple
    score_threshold: float
    nms_threshold: float
    input_size: int | None


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A face embedder.

    Attributes:
        family: which code reads its outputs.
        file: the ONNX file.
        licence: plain text.
        colour: channel order of the input.
        mean: per channel, in the input's order, subtracted from pixel values 0 to 255.
        std: per channel, what the difference is divided by.
        input_size: side of the aligned square crop in pixels.
        embedding_size: number of values of an embedding.
        max_batch: most faces of one run; None = any number.
        min_embedding_norm: length before normalisation below which a face is a weak one; None = not used.
    """

    family: EmbedderFamily
    file: FileSpec
    licence: str
    colour: Colour
    mean: Triple
    std: Triple
    input_size: int
    embedding_size: int
    max_batch: int | None
    min_embedding_norm: float | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The pack's default operating point.

    Attributes:
        similarity: cosine similarity in [-1, 1]; accepted iff similarity >= this.
        source: where the number comes from.
        fmr: false match rate at this threshold in [0, 1]; None where it was not measured.
    """

    similarity: float
    source: str
    fmr: float | None


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that belong together.

    Attributes:
        name: as in `fr serve --pack NAME`.
        version: changes with anything that changes embeddings.
        summary: one line for people.
        detector: finds faces.
        embedder: turns an aligned face into an embedding.
        thresholds: the default operating point.
    """

    name: str
    version: str
    summary: str
    detector: DetectorSpec
    embedder: EmbedderSpec
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

    Raises:
        UnknownPack: there is none of that name.
        PackInvalid: its manifest breaks the rules, or names another pack.
    """
    names = pack_names()
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise UnknownPack(f"There is no pack `{name}`.{hint}", packs=",".join(names))
    pack = parse_pack((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    if pack.name != name:
        raise PackInvalid(f"The manifest {name}.toml calls its pack `{pack.name}`.")
    return pack


def parse_pack(text: str) -> Pack:
    """Read a manifest; docs/packs.md describes each key.

    Raises:
        PackInvalid: not TOML, a key that does not exist or is missing, or a value that is out of range.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackInvalid(f"The manifest is no TOML: {error}.") from error
    top = Table(content, "")
    pack = Pack(
        name=top.matching("name", _PACK_NAME),
        version=top.matching("version", _VERSION),
        summary=top.text("summary"),
        detector=_detector(top.table("detector")),
        embedder=_embedder(top.table("embedder")),
        thresholds=_thresholds(top.table("thresholds")),
    )
    top.finish()
    return pack


def _detector(table: Table) -> DetectorSpec:
    input_size = table.integer("input_size", 32, 4096) if table.has("input_size") else None
    if input_size is not None and input_size % 32:
        table.fail("input_size", "must be a multiple of 32")  # the coarsest stride of both families
    spec = DetectorSpec(
        family=table.choice("family", cast(tuple[DetectorFamily, ...], get_args(DetectorFamily))),
        file=_file(table.table("file")),
        licence=table.text("licence"),
        colour=table.choice("colour", cast(tuple[Colour, ...], get_args(Colour))),
        mean=table.triple("mean", 0, 255),
        std=table.triple("std", 1e-3, 255),
        score_threshold=table.number("score_threshold", 0, 1),
        nms_threshold=table.number("nms_threshold", 0, 1),
        input_size=input_size,
    )
    table.finish()
    return spec


def _embedder(table: Table) -> EmbedderSpec:
    spec = EmbedderSpec(
        family=table.choice("family", cast(tuple[EmbedderFamily, ...], get_args(EmbedderFamily))),
        file=_file(table.table("file")),
        licence=table.text("licence"),
        colour=table.choice("colour", cast(tuple[Colour, ...], get_args(Colour))),
        mean=table.triple("mean", 0, 255),
        std=table.triple("std", 1e-3, 255),
        input_size=table.integer("input_size", 112, 112),  # the one size that fr_core.align makes
        embedding_size=table.integer("embedding_size", 1, 4096),
        max_batch=table.integer("max_batch", 1, 4096) if table.has("max_batch") else None,
        min_embedding_norm=(table.number("min_embedding_norm", 0, 1e6) if table.has("min_embedding_norm") else None),
    )
    table.finish()
    return spec


def _thresholds(table: Table) -> Thresholds:
    thresholds = Thresholds(
        similarity=table.number("similarity", -1, 1),
        source=table.text("source"),
        fmr=table.number("fmr", 0, 1) if table.has("fmr") else None,
    )
    table.finish()
    return thresholds


def _file(table: Table) -> FileSpec:
    spec = FileSpec(
        name=table.matching("name", _FILE_NAME),
        sha256=table.matching("sha256", _SHA256),
        size=table.integer("size", 1, 2**40) if table.has("size") else None,
        sources=tuple(_source(source) for source in table.tables("sources")),
    )
    table.finish()
    return spec


def _source(table: Table) -> Source:
    source: Source
    match table.choice("kind", ("registry", "zip")):
        case "registry":
            source = RegistrySource(
                package=table.matching("package", _PACKAGE),
                version=table.matching("version", _PACKAGE_VERSION),
                archive=table.choice("archive", cast(tuple[ArchiveKind, ...], get_args(ArchiveKind))),
                archive_sha256=table.matching("archive_sha256", _SHA256),
                member=table.text("member"),
            )
        case _:
            source = ZipSource(
                url=table.text("url"),
                member=table.text("member"),
                archive_sha256=table.matching("archive_sha256", _SHA256) if table.has("archive_sha256") else None,
            )
            address = urlsplit(source.url)
            if address.scheme != "https" or not address.hostname:
                table.fail("url", "must begin with https://")
    table.finish()
    return source
