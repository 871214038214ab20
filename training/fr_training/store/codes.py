"""Makes the secret codes and pseudonyms of trainees, in Crockford's base32, which has no I, L, O and U.

https://www.crockford.com/base32.html (2019): small letters count as capitals, O as 0, I and L as 1; hyphens count not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARACTERS = 26  # 5 bits each: 130 bits, which nobody guesses

_GROUPS = (5, 5, 5, 5, 6)
_PSEUDONYM_CHARACTERS = 8
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_LONGEST = 100


def new_code(token_bytes: Callable[[int], bytes]) -> str:
    """Draw a code of 26 characters in groups, such as "7KQ2M-9XW4T-..."; `token_bytes` returns so many random bytes."""
    characters = iter(_drawn(CODE_CHARACTERS, token_bytes))
    return "-".join("".join(islice(characters, length)) for length in _GROUPS)


def new_pseudonym(token_bytes: Callable[[int], bytes]) -> str:
    """Draw the id of a trainee, such as "T-7KQ2M9XW"; 40 bits, so that two may be alike."""
    return f"T-{_drawn(_PSEUDONYM_CHARACTERS, token_bytes)}"


def typed_code(text: str) -> str | None:
    """The 26 characters of a code, however it was typed; None where it cannot be one."""
    if len(text) > _LONGEST:
        return None
    code = "".join(text.split()).upper().translate(_MISREAD)
    return code if len(code) == CODE_CHARACTERS and set(code) <= set(ALPHABET) else None


def _drawn(length: int, token_bytes: Callable[[int], bytes]) -> str:
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in token_bytes(length))  # 256 is a multiple of 32
