"""Imaging: from the bytes of a photo to upright RGB pixels, within limits."""

from fr_core.imaging.decode import KNOWN_FORMATS, MAX_PIXELS_CEILING, ImageLimits, decode
from fr_core.imaging.decoder import Decoder, PlainDecoder

__all__ = ["KNOWN_FORMATS", "MAX_PIXELS_CEILING", "Decoder", "ImageLimits", "PlainDecoder", "decode"]
