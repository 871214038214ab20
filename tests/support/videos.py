"""Draws data sets of videos without people: a coloured square is a face, and equal colours are one person."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from support.photos import face

FRAMES = 30
# As `support.photos.face` draws a square: 100 to 200 across, and 50 to 150 down.
_MIDDLE = 150, 100


def draw_youtube_faces(
    root: Path,
    people: Mapping[str, Sequence[int]] | None = None,
    pairs: Iterable[tuple[str, str, int]] = (("Ada/0", "Ada/1", 1), ("Ada/0", "Bo/0", 2), ("Bo/0", "Bo/1", 1)),
) -> Path:
    """Draw videos of people, each with the blue of its squares, and the list of pairs (video, video, fold)."""
    for name, videos in (people or {"Ada": (10, 10), "Bo": (90, 90), "Cy": (200,)}).items():
        lines = []
        for video, blue in enumerate(videos):
            for frame in range(1, FRAMES + 1):
                path = Path(name) / str(video) / f"{video}.{frame}.jpg"
                face(root / "frame_images_DB" / path, blue)
                x, y = _MIDDLE
                lines.append(f"{name}\\{video}\\{path.name},0,{x},{y},100,100,0.0,1\n")
        (root / "frame_images_DB" / f"{name}.labeled_faces.txt").write_text("".join(lines), encoding="utf-8")
    rows = [
        f"{fold}, {number}, {one}, {other}, 0.5, {int(one.split('/')[0] == other.split('/')[0])}\n"
        for number, (one, other, fold) in enumerate(pairs, 1)
    ]
    if rows:
        head = "split number, pair number, first name, second name, similarity, is same person\n"
        (root / "splits_corrected.txt").write_text(head + "".join(rows), encoding="utf-8")
    return root


def draw_chokepoint(root: Path, people: Mapping[str, int] | None = None, *, stills: bool = True) -> Path:
    """Draw two sequences in which people walk by, one after the other, after frames of nobody, and their stills."""
    known = people or {"0001": 10, "0002": 90}
    for place, sequence in enumerate(("P1E_S1_C1", "P1E_S1_C2")):
        folder = root / "P1E_S1" / sequence if place else root / sequence
        # Three seconds pass between two people, of which there are no frames.
        shown: dict[int, str | None] = {0: None, 1: None}
        shown |= {2 + 90 * turn + at: person for turn, person in enumerate(known, 1) for at in range(FRAMES)}
        body = []
        for number, person in shown.items():
            face(folder / f"{number:08d}.jpg", None if person is None else known[person])
            body.append(_frame(number, person))
        path = root / "groundtruth" / f"{sequence}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(body)
        path.write_text(f'<?xml version="1.0"?>\n<dataset name="{sequence}">\n{lines}\n</dataset>\n', encoding="utf-8")
    if stills:
        for person, blue in known.items():
            face(root / "Still" / "Neutral" / f"ID{person}.JPG", blue)
    return root


def _frame(number: int, person: str | None) -> str:
    if person is None:
        return f'<frame number="{number:08d}"/>'
    x, y = _MIDDLE
    eyes = f'<leftEye x="{x - 17}" y="{y - 10}"/><rightEye x="{x + 17}" y="{y - 10}"/>'
    return f'<frame number="{number:08d}"><person id="{person}">{eyes}</person></frame>'
