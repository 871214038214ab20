"""Whatever an index on GPUs lives through, the GPUs hold the halves of its live vectors, and of no other."""

import gc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_gpu import GpuIndex
from fr_core.gallery.index.gpu_memory import GpuOwner
from fr_core.gallery.index.protocol import Upkeep
from fr_core.types import F32
from support.counts import examples
from support.gpus import LEFT_OVER, NullGpu

DIMENSION = 16
ROW_BYTES = 2 * DIMENSION
EMPTY = {bytes(ROW_BYTES), bytes([LEFT_OVER]) * ROW_BYTES}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 900)),
        st.tuples(st.just("remove"), st.floats(0.0, 1.0)),
        st.tuples(st.sampled_from(["prepare", "finish", "search"]), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


def rows_in(gpus: list[NullGpu], owners: list[GpuOwner]) -> set[bytes]:
    """Return all rows in the memory of GPUs but zeros and what was there before, once their threads have no work."""
    for owner in owners:
        owner.submit(lambda gpu: None).result()
    contents = [block.tobytes() for gpu in gpus for block in gpu.blocks.values()]
    rows = {content[at : at + ROW_BYTES] for content in contents for at in range(0, len(content), ROW_BYTES)}
    return rows - EMPTY


@settings(max_examples=examples(60))
@given(
    steps=STEPS, gpu_count=st.integers(1, 3), block_rows=st.sampled_from([1024, 1500]), seed=st.integers(0, 2**32 - 1)
)
def test_gpus_hold_live_vectors_only(
    steps: list[tuple[str, float]], gpu_count: int, block_rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    gpus = [NullGpu() for _ in range(gpu_count)]
    owners = [GpuOwner(lambda gpu=gpu: gpu) for gpu in gpus]  # type: ignore[misc]
    index = GpuIndex(DIMENSION, owners, Workers(1), block_rows=block_rows)
    live: dict[int, bytes] = {}
    work: Upkeep | None = None
    added = 0
    for kind, amount in [*steps, ("remove", 0.5), ("prepare", 0), ("remove", 0.2), ("finish", 0)]:
        if kind == "add":
            vectors = unit_vectors(rng, int(amount))
            ids = np.arange(added, added + len(vectors))
            index.add(ids, vectors)
            added += len(vectors)
            live |= {
                int(number): vector.astype(np.float16).tobytes() for number, vector in zip(ids, vectors, strict=True)
            }
        elif kind == "remove":
            gone = [number for number in live if rng.random() < amount]
            index.remove(np.array(gone, dtype=np.int64))
            for number in gone:
                del live[number]
        elif kind == "search":
            index.search(unit_vectors(rng, 2), 3)
        elif kind == "prepare" and work is None:
            work = index.upkeep()
            if work is not None:
                work.prepare()
        elif kind == "finish" and work is not None:
            work.finish()
            work = None
        # Until an upkeep ends, what is removed meanwhile may be in its copy too.
        held = rows_in(gpus, owners)
        assert set(live.values()) <= held
        assert work is not None or held == set(live.values())
    del index
    gc.collect()
    assert rows_in(gpus, owners) == set()
    for gpu in gpus:
        assert gpu.blocks == {}
        assert not any(block.any() for block in gpu.freed)
        assert (gpu.overlaps, len(gpu.threads)) <= (0, 1)


def unit_vectors(rng: np.random.Generator, n: int) -> F32:
    vectors = rng.standard_normal((n, DIMENSION), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units
