"""The roots of the tree, and its three branches."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from fr_locales.messages import Message

ENGLISH = "en"  # as in `fr_locales.rendering`


class FrError(Exception):
    """The root of every error that FR Core raises on purpose.

    Args:
        finding: one sentence that says what was found, without personal data.
        metadata: numbers and names of settings that a program may act on, such as `limit="8388608"`.

    `remedy` is for errors without a reason; the catalogue holds the remedy of a reason as `remedy.REASON`. The metadata
    fill in its placeholders; `placeholders` has a word for each, in case the metadata lack it.
    """

    reason: ClassVar[str] = ""
    remedy: ClassVar[Message | None] = None
    placeholders: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls, *, reason: str = "") -> None:
        cls.reason = reason or cls.reason

    def __init__(self, finding: Message | str, **metadata: str) -> None:
        super().__init__(finding)
        self.finding = finding
        self.metadata = metadata

    @property
    def what(self) -> str:
        """Return what was found, in English."""
        return english(self.finding)

    @property
    def told(self) -> str:
        """Return what `message` does, in the language of the caller (`fr_locales.rendering.speaking`)."""
        return self._in("")

    @property
    def advice(self) -> str:
        """Return what to do about it, in English; empty if the class has no remedy."""
        return self.advice_in(ENGLISH)

    @property
    def message(self) -> str:
        """Return what was found, then what to do about it, in English."""
        return self._in(ENGLISH)

    def advice_in(self, language: str) -> str:
        """Return `advice` in a language, "" for that of the caller."""
        values = {name: self.metadata.get(name, word) for name, word in self.placeholders.items()}
        return _text(Message(f"remedy.{self.reason}", values) if self.reason else self.remedy or "", language)

    def _in(self, language: str) -> str:
        return f"{_text(self.finding, language)} {self.advice_in(language)}".strip()

    def __str__(self) -> str:
        return self.message


def english(sentence: Message | str) -> str:
    """Return a sentence of the catalogue in English; a text stays as it is."""
    return _text(sentence, ENGLISH)


def _text(sentence: Message | str, language: str) -> str:
    if isinstance(sentence, str):
        return sentence
    from fr_locales.rendering import render  # the process that decodes photos has no room for catalogues

    return render(sentence, language)


class InputRefused(FrError):
    """The caller can correct it; the same request gives the same answer."""


class Failure(FrError):
    """The server's fault, and it may pass; a later call may succeed."""


class Unrecoverable(FrError):
    """The process cannot go on, or must not start, until a person has acted."""


def for_one_caller(error: BaseException) -> BaseException:
    """Return what one of several threads is to raise; one exception would gather the traces of all of them."""
    if not isinstance(error, FrError):
        return error
    own = type(error)(error.finding, **error.metadata)
    own.__cause__ = error
    return own
