"""What may be wrong with a photo, and how strongly: kinds and strengths, from which pictures are rendered elsewhere.

The strengths are ours, not measured: at a limited one the shapes of eyes, nose and mouth are meant to be there still,
but none of the marks and lines that tell two people apart; at a rejected one not even the shapes. Those of pose are
limits, and photos are looked for that are turned so far; 45 degrees is half-profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fr_training.answers import Degraded, Usability

CROP_PX = 256
"""Width and height of the crops that strengths in pixels are meant for."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of degradation.

    Attributes:
        unit: of its strengths.
        limited: strengths that leave a photo of limited use, mildest first.
        reject: strengths that leave none, mildest first.
        rendered: whether the picture is made from a good photo; False where a photo is chosen that is so already.
    """

    unit: str
    limited: tuple[float, ...]
    reject: tuple[float, ...]
    rendered: bool = True

    def strengths(self, usability: Usability) -> tuple[float, ...]:
        """The strengths that make a photo so; empty for a usable one."""
        return {Usability.LIMITED: self.limited, Usability.REJECT: self.reject}.get(usability, ())


DEGRADATIONS: Mapping[Degraded, Degradation] = {
    Degraded.BLUR: Degradation("sigma in pixels of a crop of 256 pixels", (4.0, 5.5), (10.0, 14.0)),
    Degraded.NOISE: Degradation("sigma in grey levels of 0 to 255", (35.0, 50.0), (90.0, 120.0)),
    Degraded.RESOLUTION: Degradation("pixels across the face", (32.0, 24.0), (12.0, 9.0)),
    Degraded.COMPRESSION: Degradation("JPEG quality of 1 to 95", (10.0, 7.0), (3.0, 1.0)),
    Degraded.OCCLUSION: Degradation("share of the face covered", (0.25, 0.35), (0.6, 0.75)),
    Degraded.POSE: Degradation("degrees of yaw, at least", (25.0,), (45.0,), rendered=False),
}
"""Every kind, in the order in which they are dealt."""

FRONTAL_DEGREES = 15.0
"""Most yaw of a photo that is shown as usable, or is degraded otherwise: its turn is to be no reason."""
