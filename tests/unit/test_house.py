"""The house keeps its shape: roots are no packages, generated code is alone, links in the docs lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fr_core

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "root",
    ["server", "client", "datasets", "evaluation", "locales", "training", "trust", "benchmarks", "proto", "proto/gen"],
)
def test_source_roots_are_no_packages(root: str) -> None:
    assert not (REPOSITORY / root / "__init__.py").exists()


def test_generated_api_holds_nothing_by_hand() -> None:
    for path in (REPOSITORY / "proto" / "gen").rglob("*.py"):
        assert "Generated" in path.read_text()[:400] or path.read_text().startswith("# -*-"), path


def test_changelog_has_a_place_for_this_version() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {fr_core.__version__}" in changelog


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_of_the_docs_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("https://", "http://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_photo_lies_in_the_repository() -> None:
    kinds = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".onnx", ".npy"}
    tracked_roots = (
        "fr_core",
        "server",
        "client",
        "datasets",
        "evaluation",
        "locales",
        "training",
        "trust",
        "benchmarks",
        "proto",
        "tests",
        "docs",
        "examples",
        "tools",
    )
    found = [
        path
        for root in tracked_roots
        for path in (REPOSITORY / root).rglob("*")
        if path.suffix.lower() in kinds and "node_modules" not in path.parts
    ]
    assert found == []
