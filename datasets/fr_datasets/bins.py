"""InsightFace's .bin files: pairs of aligned faces and their labels, for LFW, CFP, AgeDB-30, CALFW and CPLFW."""

from pathlib import Path
from typing import Any

from fr_datasets.errors import BinMalformed, DatasetMissing, require_file, require_folder
from fr_datasets.manifests import load_manifest
from fr_datasets.plain_pickle import PickleRefused, load_plain
from fr_datasets.values import Counts, CropPairs, fold_of
from fr_files.reading import read_whole
from fr_locales.messages import message

# The largest known, cfp_ff.bin and cfp_fp.bin, hold 14,000 crops of some kilobytes.
MAX_BYTES = 1 << 30
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def crop_pairs(path: Path) -> CropPairs:
    """The pairs of one .bin file, a pickle of (crops, labels): crops 2i and 2i + 1 make pair i, labels are booleans.

    Nothing of the file is run. The folds are ten blocks in the file's order, as in InsightFace's own evaluation.

    Raises `DatasetMissing`: there is no such file; `BinMalformed`: larger than `MAX_BYTES`, no plain pickle, of another
    form, or a crop neither JPEG nor PNG.
    """
    require_file(path, "the command", path.parent)
    try:
        content = load_plain(read_whole(path, MAX_BYTES))
    except OSError as error:
        raise BinMalformed(message("error.evaluation.cannot_read_2", path=path, reason=str(error.strerror))) from error
    except PickleRefused as error:
        raise BinMalformed(message("error.dataset.cannot_read", path=path, error=str(error))) from error
    crops, labels = _checked(path, content)
    folds = tuple(fold_of(index, len(labels)) for index in range(len(labels)))
    return CropPairs(path.stem, load_manifest("insightface_bins").terms, crops, labels, folds)


def contents(root: Path) -> Counts:
    """Read each .bin file of the folder, and count its pairs as NAME_pairs."""
    found = sorted(require_folder(root).glob("*.bin"))
    if not found:
        raise DatasetMissing(message("error.evaluation.folder_holds_no_bin", root=root))
    return {f"{path.stem}_pairs": len(crop_pairs(path).mated) for path in found}


def _checked(path: Path, content: Any) -> tuple[tuple[bytes, ...], tuple[bool, ...]]:
    if not (
        isinstance(content, (tuple, list)) and len(content) == 2 and all(isinstance(p, (tuple, list)) for p in content)
    ):
        raise BinMalformed(message("error.dataset.must_hold_two_lists", path=path))
    crops, labels = content
    if not labels or len(crops) != 2 * len(labels):
        raise BinMalformed(message("error.dataset.crops_of_labels", path=path, crops=len(crops), labels=len(labels)))
    for number, crop in enumerate(crops, 1):
        if not (isinstance(crop, bytes) and crop.startswith((JPEG, PNG))):
            raise BinMalformed(message("error.dataset.crop_neither_jpeg_nor", number=number, path=path))
    for number, label in enumerate(labels, 1):
        if not (isinstance(label, int) and label in (0, 1)):
            raise BinMalformed(message("error.dataset.label_no_boolean", number=number, path=path))
    return tuple(crops), tuple(bool(label) for label in labels)
