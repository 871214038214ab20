"""The register of indexes: a new one is one file beside this one, and one line here."""

from collections.abc import Callable

from fr_core.errors import ConfigInvalid, message
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.protocol import RemoteIndexes, VectorIndex
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.types import F32, I64

INDEX_NAMES = ("auto", "compact", "cuvs", "flat", "gpu", "int8", "numpy")


def index_maker(name: str, threads: int = 0) -> Callable[[int], VectorIndex]:
    """Return what makes empty indexes of a dimension; those that it makes share threads and devices.

    Args:
        name: one of `INDEX_NAMES`; "auto" is "gpu" where FAISS has a GPU, and "compact" elsewhere.
        threads: that search "compact", "cuvs", "gpu" and "int8"; 0 = one for each core that the process may use.

    Raises `ConfigInvalid`: there is no index of that name; `DeviceUnavailable`: there is no GPU that FAISS can use, or
    that cuVS can use for "cuvs" and "int8".
    """
    if name == "numpy":
        return NumpyIndex
    if name not in INDEX_NAMES:
        raise ConfigInvalid(message("error.gallery.no_index", name=name, names=", ".join(INDEX_NAMES)), key="index")
    # Imported here, so that the exact NumPy index works where FAISS is not installed.
    if name == "flat":
        from fr_core.gallery.index.faiss_flat import FaissFlatIndex

        return FaissFlatIndex
    from fr_core.gallery.index.faiss_codes import Workers
    from fr_core.gallery.index.faiss_compact import CompactIndex
    from fr_core.gallery.index.faiss_cuda import gpu_count
    from fr_core.gallery.index.faiss_gpu import gpu_indexes

    workers = Workers(threads)
    if name == "gpu" or (name == "auto" and gpu_count()):
        return gpu_indexes(workers)
    if name == "cuvs":
        from fr_core.gallery.index.cuvs_gpu import CuvsGpu

        return gpu_indexes(workers, CuvsGpu)
    if name == "int8":
        from fr_core.gallery.index.int8_gpu import Int8Gpu

        return gpu_indexes(workers, Int8Gpu)
    return lambda dimension: CompactIndex(dimension, workers=workers)


def remote_indexes(
    settings: MilvusSettings, derive: Callable[[str], bytes], truth: Callable[[int, I64], tuple[I64, F32]]
) -> RemoteIndexes:
    """Return the indexes of a store in a Milvus server; see `MilvusIndexes`."""
    # Imported here, because it imports pandas.
    from fr_core.gallery.index.milvus_indexes import MilvusIndexes

    return MilvusIndexes(settings, derive, truth)


def new_index(name: str, dimension: int, threads: int = 0) -> VectorIndex:
    """Return an empty index of a dimension, which shares nothing with others; see `index_maker`."""
    return index_maker(name, threads)(dimension)
