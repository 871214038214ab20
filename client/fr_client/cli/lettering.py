"""Text in pictures: a font that is there everywhere, letters that it has, and lines that fit."""

from __future__ import annotations

import unicodedata
from functools import cached_property

from PIL import ImageFont


class Lettering:
    """A font of one size.

    Args:
        size: height of the letters in pixels.
    """

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
        """Return the text with what the font cannot draw replaced: the letter without its accents, or `?`."""
        return "".join(self._drawable(letter) for letter in text)

    def fitted(self, text: str, width: float) -> str:
        """Return a text that can be drawn within `width` pixels, shortened with `...` where it must be."""
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
    """Return DejaVu Sans, which knows most alphabets, or else the font that comes with Pillow."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        made = ImageFont.load_default(size)
        assert isinstance(made, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
        return made
