"""Writes docs/datasets.md, with the sets that have a manifest."""

from docs_pages import filled
from fr_datasets.manifests import load_manifest, manifest_names


def page() -> str:
    """Return the page."""
    found = [load_manifest(name) for name in manifest_names()]
    rows = [f"| `{one.name}` | {one.title} | {'fetch' if one.files else 'by hand'} |\n" for one in found]
    return filled("datasets", sets="".join(rows))
