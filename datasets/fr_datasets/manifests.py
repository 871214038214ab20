"""The manifest of each data set: its terms, the work to cite, where it comes from, and how its folder must look."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import ConfigDict, Field, Strict, StringConstraints, TypeAdapter, with_config

from fr_datasets.errors import DatasetUnknown

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
_Checksum = Annotated[str, Field(strict=True, pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")]
_Address = Annotated[str, Field(strict=True, pattern=r"^https?://[^/]")]
_PlainName = Annotated[str, Field(strict=True, pattern=r"^[\w-][\w.-]*$")]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a data set that can be fetched from one of `sources`, tried in this order.

    `path` is where it lies in the set's folder; of an archive (.tgz, .tar or .zip), the folder that it unpacks to.
    `checksum` is "sha256:HEX", or "md5:HEX" where its authors published no other.
    """

    path: _PlainName
    sources: Annotated[tuple[_Address, ...], Field(min_length=1)]
    checksum: _Checksum
    archive: Annotated[bool, Strict()] = False


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Manifest:
    """The terms, counts and checks of a data set.

    `terms` say in one sentence how its photos may be used, `citation` what to name with any result, `layout` how its
    folder must look, `by_hand` where to get it and how to place it. `counts` have the names that its reader counts;
    empty = not known. `files` are those that can be fetched, `sha256` is of the text that it was read from.
    `shows_photos` says whether the terms let a report show some of its photos to the readers of the report.
    """

    name: _Text
    title: _Text
    licence: _Text
    terms: _Text
    citation: _Text
    layout: _Text
    by_hand: _Text
    counts: Annotated[Mapping[str, Annotated[int, Field(strict=True, ge=1)]], Field(default_factory=dict)]
    files: tuple[RemoteFile, ...] = ()
    sha256: str = ""
    shows_photos: Annotated[bool, Strict()] = False


def manifest_names() -> tuple[str, ...]:
    """The names of all sets that have a manifest, sorted."""
    folder = resources.files("fr_datasets") / "manifests"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load_manifest(name: str) -> Manifest:
    """Read the manifest of the set `name`; raises `DatasetUnknown`, and what `parse_manifest` raises."""
    if name not in manifest_names():
        raise DatasetUnknown.among(name, manifest_names())
    text = (resources.files("fr_datasets") / "manifests" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_manifest(text)


def parse_manifest(text: str) -> Manifest:
    """Parse the TOML text of a manifest; raises `ValueError` where a key is missing, unknown, or of another form."""
    manifest = _reader().validate_python(tomllib.loads(text))
    return replace(manifest, sha256=hashlib.sha256(text.encode()).hexdigest())


@cache
def _reader() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def translated(words: str, language: str) -> str:
    """The title, licence or terms of a set in a language such as "fr"; as they are where there is no translation."""
    return _translations().get(language, {}).get(words, words)


@cache
def _translations() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((resources.files("fr_datasets") / "translations.toml").read_text(encoding="utf-8"))
