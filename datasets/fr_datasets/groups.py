"""Group photos whose file names say how many faces they show: compreface_NNN_FACES.jpg."""

import re
from pathlib import Path

from fr_datasets.errors import DatasetError, DatasetMissing, require_folder, require_inside, require_text
from fr_datasets.manifests import load_manifest
from fr_datasets.values import CountedPhoto, CountedSet
from fr_locales.messages import message

NAME = re.compile(r"compreface_\d+_(\d+)\.jpg")


def photos(root: Path) -> CountedSet:
    """The photos `root`/compreface_*.jpg in the order of their names, each of which holds a count; others are not
    counted.
    """
    found = []
    for path in map(require_text, sorted(require_folder(root).glob("compreface_*.jpg"))):
        require_inside(path, root)
        match = NAME.fullmatch(path.name)
        if match is None:
            raise DatasetError(message("error.dataset.name_must_compreface_number_faces_jpg", path=path))
        found.append(CountedPhoto(path, (int(match[1]),)))
    if not found:
        raise DatasetMissing(message("error.dataset.folder_holds_no_photo", root=root))
    return CountedSet("groups", load_manifest("groups").terms, tuple(found))
