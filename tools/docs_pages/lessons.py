"""Writes docs/lessons.md, with the lessons that come with FR Core."""

from docs_pages import filled
from fr_training.lessons import lesson, lesson_names


def page() -> str:
    """Return the page."""
    rows = [f"| `{name}` | {lesson(name).title} | {lesson(name).minutes} |\n" for name in lesson_names()]
    return filled("lessons", lessons="".join(rows))
