"""Makes texts that are expensive to parse: shapes at several sizes, and seeded mutations of them."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping

Shape = Callable[[int], bytes]
"""Makes a text of about so many bytes."""

SIZES: Mapping[str, tuple[int, ...]] = {
    "toml": (240_000, 1_000, 60_000, 16_000, 1_000_000),
    "json": (240_000, 1_000, 60_000, 16_000, 1_000_000),
    "csv": (240_000, 1_000, 60_000, 16_000, 500_000),
    "zip": (240_000, 1_000, 60_000, 16_000, 1_000_000),
}


def _text(make: Callable[[int], str]) -> Shape:
    return lambda size: make(size).encode()


def _numbered(line: str, size: int) -> str:
    """Make lines with a number in place of #, of so many bytes in total."""
    return "".join(line.replace("#", f"{number}") + "\n" for number in range(max(1, size // (len(line) + 4))))


def _deep(header: str, size: int) -> str:
    """Make a table nested in very many others (half of the bytes), and keys in it (the other half)."""
    return "[" + ".".join(["h"] * (size // 4)) + "]\n" + _numbered(header, size // 2)


TOML: Mapping[str, Shape] = {
    name: _text(make)
    for name, make in {
        "dotted key": lambda size: ".".join("a" * (size // 2)) + "=1",
        "quoted dotted key": lambda size: ".".join(['"a"'] * (size // 4)) + "=1",
        "spaced dotted key": lambda size: " . ".join("a" * (size // 4)) + "=1",
        "table in tables": lambda size: "[" + ".".join("a" * (size // 2)) + "]",
        "array of tables in tables": lambda size: "[[" + ".".join("a" * (size // 2)) + "]]",
        "dotted keys behind a string": lambda size: 's="""x"""""\n' + ".".join("a" * (size // 2)) + "=1",
        "dotted keys behind a comment": lambda size: "#'''\n" + ".".join("a" * (size // 2)) + "=1",
        "dotted keys, many": lambda size: _numbered(".".join("a" * 400) + ".b#=1", size),
        "tables of many parts": lambda size: _numbered("[" + ".".join("a" * 400) + ".b#]", size),
        "keys under a deep table": lambda size: _deep("k#=1", size),
        "dotted keys under a deep table": lambda size: _deep("a.b.c.k#=1", size),
        "tables": lambda size: _numbered("[a#.b.c.d.e.f.g.h]", size),
        "arrays of tables": lambda size: "[[a]]\n" * (size // 6),
        "arrays of other tables": lambda size: _numbered("[[a#]]", size),
        "arrays in arrays": lambda size: "a=" + "[" * (size // 2) + "]" * (size // 2),
        "arrays in arrays, many": lambda size: _numbered("a#=" + "[" * 300 + "]" * 300, size),
        "inline tables in each other": lambda size: "a=" + "{a=" * (size // 4),
        "inline keys": lambda size: "a={" + ",".join(f"k{n}=1" for n in range(size // 8)) + "}",
        "empty arrays": lambda size: "a=[" + "[]," * (size // 3) + "]",
        "empty inline tables": lambda size: "a=[" + "{}," * (size // 3) + "]",
        "digits": lambda size: "a=" + "9" * size,
        "hexadecimal digits": lambda size: "a=0x" + "f" * size,
        "binary digits": lambda size: "a=0b" + "1" * size,
        "digits with underscores": lambda size: "a=1" + "_1" * (size // 2),
        "digits of a fraction": lambda size: "a=1." + "9" * size,
        "digits of an exponent": lambda size: "a=1e" + "9" * size,
        "long numbers": lambda size: _numbered("a#=0x" + "f" * 4_000, size),
        "fraction of a second": lambda size: "a=1979-05-27T00:32:00." + "9" * size,
        "escapes": lambda size: 'a="' + "\\n" * (size // 2) + '"',
        "escapes without an end": lambda size: 'a="""' + '\\"""' * (size // 4),
        "lines of a string": lambda size: 'a="""\\' + "\n" * size + '"""',
        "quotation marks": lambda size: "a=" + '"' * size,
        "apostrophes": lambda size: "a=" + "'" * size,
        "comments": lambda size: "#\n" * (size // 2),
        "lines, then nonsense": lambda size: "\n" * size + "!",
        "spaces": lambda size: " " * size + "!",
        "one key": lambda size: "a" * size + "=1",
        "one quoted key": lambda size: '"' + "sittings" * (size // 8) + '"=1',
        "one key twice": lambda size: ('"' + "a" * (size // 2) + '"=1\n') * 2,
        "keys": lambda size: _numbered("k#=1", size),
        "no text": lambda size: "a='" + "\x00" * size,
    }.items()
}

JSON: Mapping[str, Shape] = {
    name: _text(make)
    for name, make in {
        "arrays in arrays": lambda size: "[" * (size // 2) + "]" * (size // 2),
        "objects in each other": lambda size: '{"a":' * (size // 5),
        "empty arrays": lambda size: "[" + "[]," * (size // 3) + "[]]",
        "empty objects": lambda size: "[" + "{}," * (size // 3) + "{}]",
        "objects of one key": lambda size: "[" + '{"a":1},' * (size // 8) + "1]",
        "keys": lambda size: "{" + ",".join(f'"k{n}":1' for n in range(size // 10)) + "}",
        "one key again and again": lambda size: "{" + '"format":1,' * (size // 11) + '"a":1}',
        "one long key": lambda size: '{"' + "a" * size + '":1}',
        "digits": lambda size: '{"format":' + "9" * size + "}",
        "numbers": lambda size: "[" + "1," * (size // 2) + "1]",
        "long numbers": lambda size: "[" + ("9" * 4_000 + ",") * (size // 4_001) + "1]",
        "digits of a fraction": lambda size: "[1." + "9" * size + "]",
        "great exponents": lambda size: "[" + "1e999," * (size // 6) + "1]",
        "escapes": lambda size: '["' + "\\u00e9" * (size // 6) + '"]',
        "halves of characters": lambda size: '["' + "\\ud800" * (size // 6) + '"]',
        "quotation marks": lambda size: '"' * size,
        "backslashes": lambda size: '"' + "\\" * size,
        "spaces": lambda size: " " * size + "!",
        "lines, then nonsense": lambda size: "\n" * size + "!",
        "constants": lambda size: "[" + "NaN," * (size // 4) + "1]",
    }.items()
}

CSV: Mapping[str, Shape] = {
    name: _text(make)
    for name, make in {
        "one field": lambda size: "a" * size,
        "one quoted field": lambda size: '"' + "a" * size,
        "quotation marks": lambda size: '"' * size,
        "commas": lambda size: "," * size,
        "lines": lambda size: "\n" * size,
        "rows": lambda size: "subject_id,path,person\n" + "a,b,c\n" * (size // 6),
        "rows of one field": lambda size: "subject_id,path\n" + "a\n" * (size // 2),
        "columns": lambda size: "subject_id,path," + ",".join(f"c{n}" for n in range(size // 7)) + "\n",
        "columns and rows": lambda size: "subject_id,path" + ",c" * 500 + "\n" + ("," * 501 + "\n") * (size // 502),
        "a long second row": lambda size: "subject_id,path\n" + '"' + "a\n" * (size // 2),
        "no text": lambda size: "subject_id,path\n" + "\x00" * size,
    }.items()
}


def _zip(size: int, member: Callable[[int], bytes], count: int, packed: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for number in range(count):
            archive.writestr(f"top/{number}.txt", member(size))
    return out.getvalue()


def _named(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"")
    return out.getvalue()


def _ends(size: int) -> bytes:
    """Make directories that claim many files and hold none."""
    return struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 65_535, 65_535, size, 0, 0) * (size // 22)


def _bomb(size: int) -> bytes:
    """Make a tar of zeros, a thousand times as long as its compressed form."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("top/zeros")
        entry.size = min(size * 1_000, 64_000_000)
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return out.getvalue()


ZIP: Mapping[str, Shape] = {
    "zeros, compressed": lambda size: _zip(min(size * 1_000, 64_000_000), bytes, 1, zipfile.ZIP_DEFLATED),
    "many files": lambda size: _zip(0, bytes, min(size // 100, 5_000)),
    "one file": lambda size: _zip(size, bytes, 1),
    "a long name": lambda size: _named("top/" + "n" * min(size, 60_000)),
    "ends": _ends,
    "headers": lambda size: b"PK\3\4" * (size // 4),
    "directory of nothing": lambda size: b"PK\1\2" + bytes(42) * (size // 42) + _ends(22),
    "tar of zeros": _bomb,
    "zeros": bytes,
    "gzip without an end": lambda size: b"\x1f\x8b\x08\0\0\0\0\0\0\0" + zlib.compress(bytes(size))[2:-9],
}

FORMATS: Mapping[str, Mapping[str, Shape]] = {"toml": TOML, "json": JSON, "csv": CSV, "zip": ZIP}


def texts(kind: str, count: int, seed: int, *honest: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield so many hostile texts, each with its name: first every shape at every size.

    Args:
        kind: of `FORMATS`.
        count: how many.
        seed: of the mutations.
        honest: texts that the reader takes, to be changed.
    """
    shapes, drawn = FORMATS[kind], random.Random(f"{seed} {kind}")
    sizes = SIZES[kind]
    made = [(f"{name}, {size}", shape) for size in sizes for name, shape in shapes.items()]
    for number in range(count):
        size = sizes[number // len(shapes) % len(sizes)]
        if number < len(made):
            what, shape = made[number]
            yield what, shape(size)
        else:
            yield f"mutation {number}", _mutated(drawn, [*honest, drawn.choice(list(shapes.values()))(size)])


def _mutated(drawn: random.Random, among: list[bytes]) -> bytes:
    """Return a text with pieces removed, repeated, changed, or replaced by those of another."""
    text = bytearray(drawn.choice(among))
    for _ in range(drawn.randint(1, 8)):
        at, length = drawn.randrange(len(text) + 1), drawn.choice((1, 2, 8, 100, 5_000))
        piece = bytes(text[at : at + length])
        match drawn.randrange(5):
            case 0:
                del text[at : at + length]
            case 1:
                text[at:at] = piece * drawn.choice((2, 50, 500 if length < 100 else 5))
            case 2:
                text[at:at] = bytes(drawn.randrange(256) for _ in range(3))
            case 3:
                other = drawn.choice(among)
                start = drawn.randrange(len(other) + 1)
                text[at:at] = other[start : start + 20_000]
            case _:
                text[at:at] = drawn.choice((b"[", b"{", b'"', b"'''", b".", b"=", b"\n", b",", b"\\", b"\0"))
    return bytes(text)
