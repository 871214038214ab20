"""Reads the locks: which version of which package, for which Python, and the hashes of its files."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

LOCKS = ("requirements.lock", "requirements-cpu.lock", "requirements-gpu.lock", "requirements-demo.lock")
"""The locks of the environment of `make`, of the image for processors, of the image for GPUs, and of `make demo`."""

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+))?")
_HASH = re.compile(r"--hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a package by its canonical name, for some environments (None: all), with the sums of its files."""

    name: str
    version: str
    marker: str | None
    sha256: tuple[str, ...]

    def applies(self) -> bool:
        """Return whether the Python that runs this is one that the pin is for."""
        return self.marker is None or Marker(self.marker).evaluate()


def read_lock(path: Path) -> tuple[Pin, ...]:
    """Return the pins of a lock, in its order; raises `ValueError` if a line is no pin with hashes."""
    pins = []
    for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        head, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
        pin, found = _PIN.fullmatch(head.strip()), [_HASH.fullmatch(each) for each in hashes]
        sums = tuple(each["sha256"] for each in found if each is not None)
        if pin is None or not sums or len(sums) != len(hashes):
            raise ValueError(f"{path.name} has a line that is no version with hashes: {head[:80]}")
        pins.append(Pin(canonicalize_name(pin["name"]), pin["version"], pin["marker"], sums))
    return tuple(pins)
