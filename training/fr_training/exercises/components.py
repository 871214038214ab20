"""The facial components that two photos are compared by, one after the other.

They follow the morphological approach that FISWG recommends ("Facial Image Comparison Feature List for Morphological
Analysis", 2018): form, place and details of each part are described, nothing is measured. The words are our own.
"""

from __future__ import annotations

from typing import Final

from fr_training.prompts import Component

COMPONENTS: Final[tuple[Component, ...]] = (
    Component(
        "face_shape",
        "Shape of the face",
        "The outline as a whole: long or round, where it is widest, how upper, middle and lower face share the length.",
    ),
    Component(
        "forehead",
        "Forehead and hairline",
        "Height and breadth of the forehead, bulges and hollows, the course of the hairline; hair itself can change.",
    ),
    Component(
        "brows",
        "Eyebrows",
        "Arch, thickness, gaps, how close they come to the nose and to the eyes; they may be plucked or painted.",
    ),
    Component(
        "eyes",
        "Eyes",
        "Shape of the opening, folds of the lids, slant and corners, distance between the eyes, bags beneath them.",
    ),
    Component(
        "nose",
        "Nose",
        "Root, bridge and its breadth, the tip and where it points, the wings and the openings of the nostrils.",
    ),
    Component(
        "cheeks",
        "Cheeks",
        "How far the cheekbones stand out, how full or hollow the cheeks are, dimples.",
    ),
    Component(
        "mouth",
        "Mouth and upper lip",
        "Breadth, fullness of each lip, the bow of the upper lip, the corners, the groove between nose and mouth.",
    ),
    Component(
        "jaw",
        "Jaw",
        "The line from the ear to the chin: its angle, sharp or soft, even or uneven on both sides.",
    ),
    Component(
        "chin",
        "Chin",
        "Pointed, round or square, its height, how far it stands out, a cleft or dimple, a double chin.",
    ),
    Component(
        "ears",
        "Ears",
        "Size and height, how far they stand off, the outer rim and the ridges within, whether the lobe hangs free.",
    ),
    Component(
        "lines",
        "Lines and creases",
        "Wrinkles of the forehead, between the brows, beside the eyes, from nose to mouth; light and age change them.",
    ),
    Component(
        "marks",
        "Marks",
        "Moles, scars, freckles, spots, tattoos and piercings: what they are, how large, and where exactly they lie.",
    ),
)
"""Each component once, roughly from the top of the face to the bottom."""
