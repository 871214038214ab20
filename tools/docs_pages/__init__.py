"""The generated pages of docs/, one module each; their prose stands beside them, in NAME.md.in."""

from pathlib import Path
from string import Template


def filled(name: str, **values: object) -> str:
    """Return the text of NAME.md.in with the values in the place of its words, such as `$rows`."""
    return Template((Path(__file__).parent / f"{name}.md.in").read_text("utf-8")).substitute(values)
