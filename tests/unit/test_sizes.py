"""Batch sizes: what is read, and what suits a device and a model."""

from __future__ import annotations

import pytest

from fr_core.errors import ConfigInvalid
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.sizes import ACCELERATOR_SIZES, allowed_sizes, parse_sizes
from support.engines import HandmadeSession

KEY = "batching.embedder_sizes"
SUIT = (1, 2, 3, 8)


def session(active: str = "cpu", batch: int | None = None) -> HandmadeSession:
    made = HandmadeSession([], (batch, 112, 112, 3))
    made.device = ActiveDevice("auto", active, "handmade 1")
    return made


def test_batch_sizes_are_read_sorted_and_once() -> None:
    assert parse_sizes("4, 1,2,2", KEY) == (1, 2, 4)
    assert parse_sizes("auto", KEY) is None


@pytest.mark.parametrize("text", ["", ",", "1;2", "2,4", "0,1", "-1,1", "1,x", "1,99999", "١"])
def test_batch_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"batching\.embedder_sizes") as refused:
        parse_sizes(text, KEY)
    assert refused.value.metadata == {"key": KEY}


def test_sizes_suit_the_device_and_the_model() -> None:
    def allowed(active: str, batch: int | None = None, limit: int | None = None) -> tuple[int, ...]:
        return allowed_sizes(None, SUIT, session(active, batch), limit, KEY)

    assert allowed("cpu") == allowed("openvino") == SUIT
    assert allowed("cuda:0") == allowed("tensorrt:1") == ACCELERATOR_SIZES
    assert allowed("cuda:0", limit=4) == (1, 2, 4)
    assert allowed("cuda:0", batch=1) == (1,)


def test_sizes_that_were_asked_for_are_taken_or_refused_never_cut() -> None:
    assert allowed_sizes((1, 64), SUIT, session(), None, KEY) == (1, 64)
    with pytest.raises(ConfigInvalid, match="batches of 8 at most"):
        allowed_sizes((1, 64), SUIT, session(), 8, KEY)
    with pytest.raises(ConfigInvalid, match="batches of 1 at most"):
        allowed_sizes((1, 2), SUIT, session(batch=1), None, KEY)
