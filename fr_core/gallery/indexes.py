"""The register of indexes: a new one is one file beside this one, and one line here."""

from __future__ import annotations

from fr_core.errors import ConfigInvalid
from fr_core.gallery.flat import FlatIndex
from fr_core.gallery.index import VectorIndex

INDEX_NAMES = ("faiss-flat", "flat")


def new_index(name: str, dimension: int) -> VectorIndex:
    """Return an empty index.

    Args:
        name: one of `INDEX_NAMES`.
        dimension: values per vector.

    Raises:
        ConfigInvalid: there is no index of that name.
    """
    if name == "flat":
        return FlatIndex(dimension)
    if name == "faiss-flat":
        # Imported here, so that the exact NumPy index works where FAISS is not installed.
        from fr_core.gallery.faiss_flat import FaissFlatIndex

        return FaissFlatIndex(dimension)
    raise ConfigInvalid(f"There is no index named {name!r}; there are: {', '.join(INDEX_NAMES)}.", key="index")
