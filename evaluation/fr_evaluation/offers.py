"""Lists the evaluations that each data set allows, and the sets on this machine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fr_datasets.links import read_links
from fr_datasets.manifests import Manifest, load_manifest
from fr_evaluation.identification.run import PEOPLE_READERS
from fr_evaluation.report import KINDS
from fr_evaluation.verification.run import PAIR_READERS

READERS: Mapping[str, Collection[str]] = dict(zip(KINDS, (PAIR_READERS, PEOPLE_READERS), strict=True))


@dataclass(frozen=True, slots=True)
class Offer:
    """A data set that some of `KINDS` can be measured on; it is available where it lies where somebody said that it
    does.
    """

    manifest: Manifest
    kinds: tuple[str, ...]
    available: bool


def offers(folder: Path) -> tuple[Offer, ...]:
    """Every data set that something can be measured on, in the order of their names.

    `folder` has the links, as `fr_datasets.links.datasets_folder`; raises `DatasetError` where they cannot be read.
    """
    links = read_links(folder)
    return tuple(
        Offer(
            load_manifest(name),
            tuple(kind for kind, names in READERS.items() if name in names),
            name in links and links[name].root.exists(),
        )
        for name in sorted(set().union(*READERS.values()))
    )
