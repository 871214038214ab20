"""Photos and an engine without models: a coloured square is a face, and equal colours are one person."""

from __future__ import annotations

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


def face(path: Path, blue: int | None) -> None:
    """A photo of the person of that colour, or of nobody."""
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    if blue is not None:
        pixels[50:150, 100:200] = (255, 0, blue)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, format="PNG")


def engine() -> Engine:
    """The pipeline that sees these faces."""
    return Engine(
        load_pack("buffalo_s"),
        Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits()),
        ActiveDevice("cpu", "cpu", "onnxruntime 0", "f32"),
        "thorough",
        Lifeline(),
    )
