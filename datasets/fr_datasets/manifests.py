"""The manifest of each data set: its title, its terms, and the work to cite."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib import resources


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is to be known of a data set before it is used.

    Attributes:
        name: the set's name, as in `fr evaluate --only NAME`.
        title: its full name.
        terms: on which its photos may be used, in one sentence.
        citation: the publication or the project to name with any result.
    """

    name: str
    title: str
    terms: str
    citation: str


def manifest_names() -> tuple[str, ...]:
    """The names of all sets that have a manifest, sorted."""
    folder = resources.files("fr_datasets") / "manifests"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load_manifest(name: str) -> Manifest:
    """Read the manifest of the set `name`; raises `ValueError` where a key is missing, unknown, or no text."""
    text = (resources.files("fr_datasets") / "manifests" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_manifest(text)


def parse_manifest(text: str) -> Manifest:
    """Parse the TOML text of a manifest; raises `ValueError` where a key is missing, unknown, or no text."""
    table = tomllib.loads(text)
    expected = {field.name for field in fields(Manifest)}
    if set(table) != expected:
        wrong = ", ".join(sorted(set(table) ^ expected))
        raise ValueError(f"The manifest lacks a key, or has one too many: {wrong}.")
    if not all(isinstance(value, str) and value.strip() for value in table.values()):
        raise ValueError("Each value of a manifest is text, and none is empty.")
    return Manifest(**table)
