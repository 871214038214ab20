"""The allowed sizes of a batch: what a person may ask for, and what suits a device and a model."""

import logging
from collections.abc import Sequence

from fr_core.errors import ConfigInvalid, message
from fr_core.runtime.session import Session

_log = logging.getLogger(__name__)

AUTO = "auto"  # asks for the sizes that suit
ACCELERATOR_SIZES = (1, 2, 4, 8, 16, 32)  # batch sizes that suit a CUDA device, for every model


def parse_sizes(text: str, key: str) -> tuple[int, ...] | None:
    """Read allowed batch sizes such as "1,2,4"; None for "auto".

    Raises `ConfigInvalid`: it is neither; `key` names the setting.
    """
    if text == AUTO:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        raise ConfigInvalid(message("error.runtime.batch_sizes", key=key, auto=AUTO), key=key)
    sizes = tuple(sorted({int(part) for part in parts}))
    require_sizes(sizes, key)
    return sizes


def require_sizes(sizes: Sequence[int], key: str) -> None:
    """Return if `sizes` can be the allowed sizes of a batch: at least one, none below 1, and 1 among them.

    Raises `ConfigInvalid`: it cannot; `key` names the setting.
    """
    if 1 not in sizes or min(sizes) < 1:
        raise ConfigInvalid(message("error.runtime.list_batch_sizes_must", key=key), key=key)


def allowed_sizes(
    asked: tuple[int, ...] | None, on_processor: tuple[int, ...], session: Session, limit: int | None, key: str
) -> tuple[int, ...]:
    """The batch sizes that were asked for, or those that suit the device and that the model takes.

    Args:
        asked: as `parse_sizes` gives them.
        on_processor: what suits the model on a processor.
        limit: items that the model takes at most; None = as many as its file says.
        key: names the setting.

    Raises `ConfigInvalid`: the model does not take a size that was asked for.
    """
    largest = min((most for most in (limit, session.input_shape[0]) if most is not None), default=None)
    if asked is not None:
        if largest is not None and asked[-1] > largest:
            raise ConfigInvalid(message("error.runtime.model_takes_batches_most", largest=largest, key=key), key=key)
        return asked
    suited = ACCELERATOR_SIZES if session.device.accelerated else on_processor
    allowed = tuple(size for size in suited if largest is None or size <= largest)
    if len(allowed) < len(suited):
        _log.info("%s: %d at most, since the model takes no more", key, allowed[-1])
    return allowed
