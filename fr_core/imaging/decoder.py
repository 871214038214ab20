"""Imaging, the decoders: where photos are decoded is a choice; what comes of it is the same."""

from __future__ import annotations

from typing import Protocol

from fr_core.imaging.decode import ImageLimits, decode
from fr_core.types import Image


class Decoder(Protocol):
    """Decodes photos; for any number of threads at once."""

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """Decode one photo as `fr_core.imaging.decode` does; raises what that raises."""
        ...

    def close(self) -> None:
        """Give up what the decoder holds. Nothing is decoded after that."""
        ...


class PlainDecoder:
    """Decodes in the process and the thread that ask: quickest, and a fault of a decoding library ends the process."""

    def decode(self, data: bytes, limits: ImageLimits) -> Image:
        """As `Decoder.decode`."""
        return decode(data, limits)

    def close(self) -> None:
        """Nothing to give up."""
