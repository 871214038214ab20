"""Maps each data set to its reader and its checks."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fr_datasets import (
    agedb30,
    bins,
    celeba_wild,
    cfp,
    chokepoint,
    cross_lfw,
    deepface,
    groups,
    ijb,
    lfw,
    london,
    nonface,
    odd_formats,
    pairs_csv,
    people_folder,
    youtube_faces,
)
from fr_datasets.errors import DatasetIncomplete, of_dataset, require_folder
from fr_datasets.fetch import PARTS, require_checksum
from fr_datasets.manifests import Manifest
from fr_datasets.values import Counts, VideoSet
from fr_locales.messages import message

VIDEO_READERS: Mapping[str, Callable[[Path], VideoSet]] = {
    "chokepoint": chokepoint.videos,
    "youtube_faces": youtube_faces.videos,
}

# Each reads every list of the set in a folder, makes sure of each photo that these name, and counts.
READERS: Mapping[str, Callable[[Path], Counts]] = {
    "agedb30": lambda root: agedb30.pairs(root).counts,
    "calfw": lambda root: cross_lfw.calfw(root).counts,
    "celeba_wild": lambda root: celeba_wild.pairs(root).counts,
    "cfp": cfp.contents,
    "chokepoint": lambda root: chokepoint.videos(root).counts,
    "cplfw": lambda root: cross_lfw.cplfw(root).counts,
    "deepface": lambda root: deepface.pairs(root).counts,
    "groups": lambda root: groups.photos(root).counts,
    "ijbb": lambda root: ijb.templates(root, "ijbb").counts,
    "ijbc": lambda root: ijb.templates(root, "ijbc").counts,
    "insightface_bins": bins.contents,
    "lfw": lfw.contents,
    "lfw_funneled": lfw.contents,
    "lfw_original": lfw.contents,
    "london": lambda root: london.people(root).counts,
    "nonface": nonface.contents,
    "odd_formats": lambda root: odd_formats.photos(root).counts,
    "pairs_csv": lambda root: pairs_csv.pairs(root).counts,
    "people_folder": lambda root: people_folder.people(root).counts,
    "youtube_faces": lambda root: youtube_faces.videos(root).counts,
}


def check(manifest: Manifest, root: Path, *, partial: bool = False) -> Counts:
    """Hold the folder of a set against its lists and its manifest, and return what was counted.

    Where a part of the set is meant, the manifest's counts and checksums do not apply.

    Raises `DatasetError`: a list or a photo is absent, a list breaks its format, a checksum or a count is another one,
    or a fetch into the folder has not come to its end.
    """
    with of_dataset(manifest.name):
        return _checked(manifest, root, partial)


def _checked(manifest: Manifest, root: Path, partial: bool) -> Counts:
    require_folder(root)
    if not partial and (root / PARTS).is_dir():
        raise DatasetIncomplete(message("error.dataset.fetch_into_cut_off", root=root, manifest=manifest.name))
    counts = READERS[manifest.name](root)
    if not partial:
        for file in manifest.files:
            if not file.archive and (root / file.path).is_file():
                require_checksum(root / file.path, file.checksum)
        wrong = [
            f"{counts.get(name, 0)} {name} of {expected}"
            for name, expected in manifest.counts.items()
            if counts.get(name, 0) != expected
        ]
        if wrong:
            raise DatasetIncomplete(message("error.dataset.holds", root=root, wrong=", ".join(wrong)))
    return counts
