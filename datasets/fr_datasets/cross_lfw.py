"""Cross-Age and Cross-Pose LFW: 3,000 mated pairs with a gap of age or a difference of pose, and 3,000 others each.

The others are of one sex and race. The lists have two lines for each pair, "FILE LABEL".
"""

from dataclasses import replace
from pathlib import Path

from fr_datasets.errors import DatasetMalformed
from fr_datasets.manifests import load_manifest
from fr_datasets.tables import MAX_DIGITS, choose_folder, listed_photo, quoted, read_filled_lines
from fr_datasets.values import PairSet, VerificationPair, fold_of
from fr_locales.messages import message

FOLDERS = ("aligned images", "images")


def calfw(root: Path) -> PairSet:
    """The pairs of `root`/pairs_CALFW.txt, with photos in `root`/aligned images or `root`/images, one of the two.

    The list numbers the folds of mated pairs, and none for the others: these are dealt in its order.
    """
    found = read_two_line_pairs(root / "pairs_CALFW.txt", choose_folder(root, FOLDERS))
    return PairSet("calfw", load_manifest("calfw").terms, found)


def cplfw(root: Path) -> PairSet:
    """The pairs of `root`/pairs_CPLFW.txt, likewise."""
    found = read_two_line_pairs(root / "pairs_CPLFW.txt", choose_folder(root, FOLDERS))
    return PairSet("cplfw", load_manifest("cplfw").terms, found)


def read_two_line_pairs(path: Path, images: Path) -> tuple[VerificationPair, ...]:
    """Read a list in which lines 2i - 1 and 2i name the photos of pair i, each with the pair's label.

    Label 0 means not mated; any other number means mated, and is the fold where the list counts folds. To pairs without
    a fold of their own, folds are given by `deal_folds`.
    """
    lines = read_filled_lines(path)
    if len(lines) % 2:
        raise DatasetMalformed(path, len(lines), message("error.dataset.last_pair_only_line"))
    read = [_photo(path, number, text, images) for number, text in enumerate(lines, 1)]
    pairs = []
    for index in range(0, len(read), 2):
        (a, label), (b, other) = read[index : index + 2]
        if label != other:
            raise DatasetMalformed(path, index + 2, message("error.dataset.labels_differ", label=label, other=other))
        if a == b:
            raise DatasetMalformed(path, index + 2, message("error.dataset.pair_names_photo_twice"))
        pairs.append(VerificationPair(a, b, label > 0, label or None))
    return deal_folds(pairs)


def deal_folds(pairs: list[VerificationPair]) -> tuple[VerificationPair, ...]:
    """Give folds to the pairs of each class, mated or not, whose list names none: as many as it has elsewhere, or ten.

    A list names folds for a class if it names more than one. The others are dealt in the order of the list, in blocks
    of equal size, so that each fold holds as many of a class as any other.
    """
    highest = max(pair.fold or 0 for pair in pairs)
    folds = highest if highest > 1 else 10
    dealt = list(pairs)
    for mated in (True, False):
        places = [place for place, pair in enumerate(pairs) if pair.mated is mated]
        if len({pairs[place].fold for place in places}) > 1:
            continue
        for order, place in enumerate(places):
            dealt[place] = replace(pairs[place], fold=fold_of(order, len(places), folds))
    return tuple(dealt)


def _photo(path: Path, line: int, text: str, images: Path) -> tuple[Path, int]:
    fields = text.rsplit(maxsplit=1)
    if len(fields) != 2:
        raise DatasetMalformed(path, line, message("error.dataset.expected_file_label"))
    name, label = fields
    if not (label.isascii() and label.isdigit() and len(label) <= MAX_DIGITS):
        raise DatasetMalformed(path, line, message("error.dataset.label_must_number", quoted=quoted(label)))
    return listed_photo(images, name, path, line), int(label)
