"""The calibrations that come with packs, as texts: what the similarities of a model mean."""

from importlib import resources

from fr_core.types import ModelId

_FOLDER = "calibrations"
_FLIP = "+flip"


def calibration_text(model: ModelId) -> str | None:
    """Return the calibration that comes with the pack of a model, None where none does.

    It lies in `calibrations/PACK.json`, that of embeddings fused with those of the mirrored face in `PACK+flip.json`.
    """
    name = model.pack + (_FLIP if model.version.endswith(_FLIP) else "")
    file = resources.files(__package__) / _FOLDER / f"{name}.json"
    return file.read_text(encoding="utf-8") if file.is_file() else None
