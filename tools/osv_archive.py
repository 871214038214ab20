"""Advisories from a file: the archive of the ecosystem PyPI that osv.dev exports, for machines without a network."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_ECOSYSTEM = "PyPI"


class ArchiveUnusable(Exception):
    """The archive cannot be read, or cannot be one of every advisory; the text says why, in one line."""


def known_in_archive(
    path: Path, releases: Sequence[tuple[str, str]], canary: tuple[str, str]
) -> tuple[str, dict[tuple[str, str], list[str]]]:
    """What an archive knows of releases: its name with the day of its newest record, and the ids for each release.

    Args:
        path: a zip of OSV records, one JSON file each (the OSV schema, 1.x).
        releases: (canonical name, version) of each.
        canary: a release whose vulnerabilities an archive of every advisory must have.

    Raises:
        ArchiveUnusable: it cannot be read, or does not know the canary.
    """
    wanted = {name for name, _ in [*releases, canary]}
    found: dict[tuple[str, str], list[str]] = {}
    newest = ""
    for record in _records(path):
        newest = max(newest, str(record.get("modified", "")))
        if "withdrawn" in record:
            continue
        for affected in record.get("affected", ()):
            package = affected.get("package", {})
            name = canonicalize_name(package.get("name", ""))
            if package.get("ecosystem") != _ECOSYSTEM or name not in wanted:
                continue
            for release in {*releases, canary}:
                ids = found.setdefault(release, [])
                if release[0] == name and record["id"] not in ids and affects(affected, release[1]):
                    ids.append(record["id"])
    if not found.get(canary):
        raise ArchiveUnusable(f"{path.name} does not have the known vulnerabilities of {'=='.join(canary)}")
    told = {release: sorted(found[release]) for release in releases if found.get(release)}
    return f"{path.name}, whose newest record is of {newest[:10]}", told


def affects(affected: dict[str, Any], version: str) -> bool:
    """Whether one entry `affected` of an OSV record covers a version, by its list or by its ranges.

    A range's events are taken in the order of their versions; a range of commits says nothing of a release. A range
    that cannot be read covers every version, so that somebody looks at it.
    """
    release = Version(version)
    if any(_same(each, release) for each in affected.get("versions", ())):
        return True
    spans = [span.get("events", ()) for span in affected.get("ranges", ()) if span.get("type") == "ECOSYSTEM"]
    try:
        return any(_inside(events, release) for events in spans)
    except InvalidVersion:
        return True


def _inside(events: Iterable[dict[str, str]], release: Version) -> bool:
    inside = False
    for event in sorted(events, key=_place):
        kind, at = next(iter(event.items()))
        if kind == "introduced" and (at == "0" or Version(at) <= release):
            inside = True
        elif (kind == "fixed" and Version(at) <= release) or (kind == "last_affected" and Version(at) < release):
            inside = False
    return inside


def _place(event: dict[str, str]) -> tuple[Version, bool]:
    """Where an event stands in its range: what begins at a version comes after what ends there, "0" before all."""
    kind, at = next(iter(event.items()))
    return Version("0.dev0" if at == "0" else at), kind == "introduced"


def _same(told: str, release: Version) -> bool:
    try:
        return Version(told) == release
    except InvalidVersion:  # releases from before PEP 440 are listed too, and none of them is locked
        return False


def _records(path: Path) -> Iterable[dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    yield json.loads(archive.read(member))
    except (OSError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise ArchiveUnusable(f"{path.name} cannot be read as a zip of OSV records") from error
