"""What the galleries of courses are called, so that they are told from all others."""

from __future__ import annotations

_PREFIX = "training-"


def gallery_id_of(course_id: str) -> str:
    """Return the id of the gallery of a course."""
    return f"{_PREFIX}{course_id}"


def is_of_course(gallery_id: str) -> bool:
    """Whether a gallery has the id of one of a course."""
    return gallery_id.startswith(_PREFIX)
