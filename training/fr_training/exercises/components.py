"""The facial components that two photos are compared by, one after the other.

They follow the morphological approach that FISWG recommends ("Facial Image Comparison Feature List for Morphological
Analysis", 2018): form, place and details of each part are described, nothing is measured. The words are our own.
"""

from __future__ import annotations

from typing import Final

from fr_locales.messages import message
from fr_training.prompts import Component

COMPONENTS: Final[tuple[Component, ...]] = (
    Component("face_shape", message("component.face_shape"), message("component.face_shape_look")),
    Component("forehead", message("component.forehead"), message("component.forehead_look")),
    Component("brows", message("component.brows"), message("component.brows_look")),
    Component("eyes", message("component.eyes"), message("component.eyes_look")),
    Component("nose", message("component.nose"), message("component.nose_look")),
    Component("cheeks", message("component.cheeks"), message("component.cheeks_look")),
    Component("mouth", message("component.mouth"), message("component.mouth_look")),
    Component("jaw", message("component.jaw"), message("component.jaw_look")),
    Component("chin", message("component.chin"), message("component.chin_look")),
    Component("ears", message("component.ears"), message("component.ears_look")),
    Component("lines", message("component.lines"), message("component.lines_look")),
    Component("marks", message("component.marks"), message("component.marks_look")),
)
"""Each component once, roughly from the top of the face to the bottom."""
