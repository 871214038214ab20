"""A page of HTML that needs nothing beside it: its style and pictures are inside, and it runs no script."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from fr_core.imaging.containers import sniff
from fr_locales.messages import message
from fr_locales.rendering import direction_of, render, spoken
from fr_trust.evidence.values import Photo

# Nothing is loaded from anywhere, and nothing runs, whatever a photo or a note may hold.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; table-layout: fixed; }
th, td { text-align: start; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
th, td, h1, figcaption { overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; white-space: pre-line; }
.notice { border-inline-start: 4px solid #D55E00; padding: .5rem 1rem; background: #fff6ee; }
.photos { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 15rem; max-width: 100%; }
figure img { width: 100%; height: 18rem; object-fit: contain; background: #eee; }
.none { width: 100%; height: 18rem; background: #eee; display: flex; align-items: center; justify-content: center; }
@media screen and (max-width: 48rem) {
  table, tbody, tr, td { display: block; }
  colgroup, thead { display: none; }
  tr { border-bottom: 1px solid #ddd; padding: .4rem 0; }
  td { border: 0; padding: .1rem 0; }
  td[data-column]:not(:empty)::before { content: attr(data-column) ": "; font-weight: 600; }
}
@media print {
  body { font-size: 11px; max-width: none; margin: 0; padding: 0; }
  figure { width: 11rem; }
  figure img, .none { height: 13rem; }
  figure, .notice { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
# What browsers show; others are in the bundle as files.
_SHOWN: Mapping[str, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}


# Enough to tell what format a photo has; and of base64, so that the pieces of a photo make what the whole would.
_HEAD_BYTES, _PIECE_BYTES = 4_096, 3 * 2**16


def document(title: str, body: Iterable[str]) -> Iterator[bytes]:
    """Yield the whole file, piece by piece, of a title as text and a body of HTML."""
    head = (
        f'<!doctype html>\n<html lang="{spoken()}" dir="{direction_of(spoken())}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
    )
    yield head.encode()
    for piece in body:
        yield piece.encode()
    yield b"</body>\n</html>\n"


def heading(level: int, text: str) -> str:
    """Return a heading of a level from 2 to 4."""
    return f"<h{level}>{escape(text)}</h{level}>\n"


def paragraph(text: str) -> str:
    """Return a paragraph of text."""
    return f"<p>{escape(text)}</p>\n"


def notice(text: str) -> str:
    """Return a paragraph that nobody shall miss."""
    return f'<p class="notice">{escape(text)}</p>\n'


def bullets(texts: Iterable[str]) -> str:
    """Return a list of texts."""
    return "<ul>\n" + "".join(f"<li>{escape(text)}</li>\n" for text in texts) + "</ul>\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
    """Return a table of texts; without a head where all its cells are empty.

    `widths` are those of the columns, percent; long words break rather than make one wider.
    """
    columns = "".join(f'<col style="width:{width}%">' for width in widths)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    top = f"<thead><tr>{head}</tr></thead>\n" if any(header) else ""
    body = "".join(f"<tr>{_cells(header, row)}</tr>\n" for row in rows)
    return f"<table>\n<colgroup>{columns}</colgroup>\n{top}<tbody>\n{body}</tbody>\n</table>\n"


def _cells(header: Sequence[str], row: Sequence[str]) -> str:
    """Return the cells of a row; where there is no room for columns, each says of which it is."""
    return "".join(
        (f'<td data-column="{escape(name)}">' if name else "<td>") + f"{escape(cell)}</td>"
        for name, cell in zip(header, row, strict=True)
    )


def photos(shown: Iterable[tuple[Photo, str]]) -> Iterator[str]:
    """Yield photos side by side, each with its caption; b"" stands for one that is not kept."""
    yield '<div class="photos">\n'
    for photo, caption in shown:
        yield "<figure>"
        yield from _picture(photo, caption)
        yield f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    yield "</div>\n"


def _picture(photo: Photo, caption: str) -> Iterator[str]:
    kind = _SHOWN.get(sniff(photo[:_HEAD_BYTES]) or "")
    if kind is None:
        why = message("evidence.photo_is_file") if len(photo) else message("evidence.no_photo")
        yield f'<div class="none">{escape(render(why))}</div>'
        return
    yield f'<img src="data:{kind};base64,'
    for at in range(0, len(photo), _PIECE_BYTES):
        yield base64.b64encode(photo[at : at + _PIECE_BYTES]).decode("ascii")
    yield f'" alt="{escape(caption)}">'
