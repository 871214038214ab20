"""Reads from a verified bundle which of its probes were cut out of footage, and of which frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fr_files.reading import open_regular
from fr_trust.casework.footage import CitedFrame, cited_frame
from fr_trust.evidence.archive import read, scan
from fr_trust.evidence.verify_case import examinations

_MAX_PROBE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class FootageProbe:
    """The probe of an examination, which was cut out of footage."""

    folder: str  # of the examination in the bundle
    cited: CitedFrame
    probe: bytes = field(repr=False)  # the photo


def footage_probes(source: Path) -> Iterator[FootageProbe]:
    """Yield the probes of a bundle that come from footage; `verify_bundle` has found the bundle whole.

    Raises `OSError`: it cannot be read.
    """
    with open_regular(source) as file:
        entries = {entry.name: entry for entry in scan(file)}
        for folder, search, _ in examinations(file, entries):
            cited = cited_frame(search.searched.derivations)
            if cited is not None:
                yield FootageProbe(folder, cited, read(file, entries[f"{folder}/{search.probe}"], _MAX_PROBE_BYTES))
