"""Imaging: from the bytes of a photo to upright RGB pixels, within limits."""

from fr_core.imaging.decode import (
    DEFAULT_FORMATS,
    KNOWN_FORMATS,
    MAX_PIXELS_CEILING,
    Decoder,
    ImageLimits,
    PlainDecoder,
    decode,
)

__all__ = ["DEFAULT_FORMATS", "KNOWN_FORMATS", "MAX_PIXELS_CEILING", "Decoder", "ImageLimits", "PlainDecoder", "decode"]
