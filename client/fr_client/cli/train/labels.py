"""Names the pictures of a trial, in the picture and in the questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fr_api.v1 import training_pb2

PROBE = "probe"
_SCALE = "-1 to 1, higher is more alike, by the machine"
_ALONE, PAIR = ("photo",), ("A", "B")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the screen: its label, the bytes of an image file, and whether it is the probe."""

    label: str
    data: bytes
    is_probe: bool = False


def labels(pictures: Sequence[training_pb2.Picture]) -> dict[str, str]:
    """Return the label of each picture by its id: A and B of a pair; numbers of three photos or of candidates.

    The label of a shot of a track is its time.
    """
    if times := track_labels(pictures):
        return dict(zip((one.picture_id for one in pictures), times, strict=True))
    compared = [one for one in pictures if one.role != training_pb2.PICTURE_ROLE_PROBE]
    numbers = tuple(str(number) for number in range(1, len(compared) + 1))
    names = numbers
    if compared and compared[0].role == training_pb2.PICTURE_ROLE_COMPARED:
        names = {1: _ALONE, 2: PAIR}.get(len(compared), numbers)
    found = {one.picture_id: name for one, name in zip(compared, names, strict=True)}
    return {one.picture_id: found.get(one.picture_id, PROBE) for one in pictures}


def track_labels(pictures: Sequence[training_pb2.Picture | training_pb2.ItemPicture]) -> tuple[str, ...]:
    """Return the labels of a photo and of the shots of a track, their times; () for other pictures."""
    if not any(one.role == training_pb2.PICTURE_ROLE_SHOT for one in pictures):
        return ()
    return (*_ALONE, *(f"{one.at.ToTimedelta().total_seconds():.1f} s" for one in pictures[1:]))


def shown_of(pictures: Sequence[training_pb2.Picture], own_probe: bytes | None) -> list[Shown]:
    """Return the pictures of a trial for the screen, the probe first.

    `own_probe` is the photo that the trainee sent, if any: the server does not send it back.
    """
    names = labels(pictures)
    found = [Shown(names[one.picture_id], one.data, one.role == training_pb2.PICTURE_ROLE_PROBE) for one in pictures]
    if own_probe is not None and not any(one.is_probe for one in found):
        found.append(Shown(PROBE, own_probe, True))
    return sorted(found, key=lambda one: not one.is_probe)


def similarity_text(similarities: Mapping[str, float], names: Mapping[str, str]) -> str:
    """Return the machine's similarities by the labels of the pictures; "" if there are none."""
    told = {names[picture_id]: value for picture_id, value in similarities.items() if picture_id in names}
    if not told:
        return ""
    if len(set(told.values())) == 1 and set(told) == set(PAIR):
        return f"The machine's similarity of both: {next(iter(told.values())):+.3f} ({_SCALE})."
    order = list(names.values())
    parts = [f"{label} {told[label]:+.3f}" for label in sorted(told, key=order.index)]
    return f"The machine's similarities: {', '.join(parts)} ({_SCALE})."
