"""Photos and data sets without people: a coloured square is a face, and equal colours are one person."""

from pathlib import Path

import numpy as np
import PIL.Image

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NullEmbedder
from fr_core.engine import Engine, Lifeline
from fr_core.imaging import ImageLimits
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.devices import ActiveDevice
from fr_datasets.links import Link, datasets_folder, write_link


def face(path: Path, blue: int | None) -> None:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    if blue is not None:
        pixels[50:150, 100:200] = (255, 0, blue)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, format="PNG")


def engine(pack: str = "buffalo_s") -> Engine:
    return Engine(
        load_pack(pack),
        Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits()),
        ActiveDevice("cpu", "cpu", "onnxruntime 0", "f32"),
        "thorough",
        Lifeline(),
    )


PEOPLE = 6


def draw_lfw(root: Path) -> Path:
    """Draw two folds of three mated and three non-mated pairs, of six people with two photos each."""
    names = [f"Jane_Roe_{number}" for number in range(PEOPLE)]
    for number, name in enumerate(names):
        for photo in (1, 2):
            face(root / "images" / name / f"{name}_{photo:04d}.jpg", 40 * number)
    lines = ["2\t3"]
    for fold in (0, 3):
        lines += [f"{names[number]}\t1\t2" for number in range(fold, fold + 3)]
        lines += [f"{names[number]}\t1\t{names[(number + 1) % PEOPLE]}\t2" for number in range(fold, fold + 3)]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    people = ["1", str(PEOPLE), *(f"{name}\t2" for name in names)]
    (root / "people.txt").write_text("\n".join(people) + "\n", encoding="utf-8")
    return root


def link_lfw(root: Path) -> None:
    write_link("lfw", Link(draw_lfw(root)), datasets_folder())
