"""Decodes photos to draw on, and fits text into pictures."""

import unicodedata
from functools import cached_property
from typing import TypeAlias

from PIL import Image, ImageFont

from fr_client.cli.state import Unusable
from fr_client.photos import DAMAGE, open_picture, rgb_of, upright

Photo: TypeAlias = Image.Image


def open_photo(data: bytes) -> Photo:
    """Decode a photo as the server sees it: upright by its EXIF orientation, on white if transparent."""
    try:
        with open_picture(data) as opened:
            return upright(rgb_of(opened).copy(), opened.info.get("exif", b""))
    except DAMAGE as error:
        raise Unusable("UNDECODABLE", "Pillow cannot decode the photo, so it cannot be drawn.") from error


class Font:
    """A font of one size, in pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.font = _font(size)

    @property
    def line_height(self) -> int:
        """Distance between two lines in pixels."""
        return round(self.size * 1.35)

    def width(self, text: str) -> float:
        """Width of a text in pixels."""
        return self.font.getlength(self.drawable(text))

    def drawable(self, text: str) -> str:
        """Return the text with missing letters of the font replaced: without their accents, or by `?`."""
        return "".join(self._drawable(letter) for letter in text)

    def fitted(self, text: str, width: float) -> str:
        """Return a text that fits `width` pixels, shortened with `...` if necessary."""
        text = self.drawable(text)
        if self.font.getlength(text) <= width:
            return text
        while text and self.font.getlength(text + "...") > width:
            text = text[:-1]
        return text + "..."

    def wrapped(self, text: str, width: float) -> list[str]:
        """Return a text as lines within `width` pixels, broken between words."""
        lines: list[str] = []
        for word in self.drawable(text).split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _drawable(self, letter: str) -> str:
        if not letter.isprintable():
            return "?"
        if letter.isascii() or not self._is_missing(letter):
            return letter
        bare = unicodedata.normalize("NFKD", letter)[0]
        return bare if bare.isascii() and bare.isprintable() else "?"

    def _is_missing(self, letter: str) -> bool:
        return not letter.isspace() and bytes(self.font.getmask(letter)) == self._missing_glyph

    @cached_property
    def _missing_glyph(self) -> bytes:
        # A noncharacter: no font has a letter for it.
        return bytes(self.font.getmask("\uffff"))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which has most alphabets, or else Pillow's own font."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        made = ImageFont.load_default(size)
        assert isinstance(made, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
        return made
