"""The repository keeps its shape, links in the docs lead to files, and the documents on security name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lock_file import LOCKS

import fr_core
from fr_server.config import KEYS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOTS = ("server", "client", "datasets", "evaluation", "locales", "training", "trust", "benchmarks", "proto")
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "SECURITY.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("root", [*ROOTS, "proto/gen"])
def test_source_roots_are_no_packages(root: str) -> None:
    assert not (REPOSITORY / root / "__init__.py").exists()


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
    found = [
        path
        for root in ("fr_core", *ROOTS, "tests", "docs", "examples", "tools")
        for path in (REPOSITORY / root).rglob("*")
        if path.suffix.lower() in kinds and "node_modules" not in path.parts
    ]
    assert found == []


ON_SECURITY = (
    "SECURITY.md",
    "docs/threat-model.md",
    "docs/policy.md",
    "docs/containers.md",
    "docs/templates/dpia.md",
)
MODEL = (REPOSITORY / "docs/threat-model.md").read_text()


@pytest.mark.parametrize("page", ON_SECURITY)
def test_settings_and_targets_are_real(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    sections = "|".join(sorted({key.split(".")[0] for key in KEYS}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)[` ]", text))
    assert named <= KEYS.keys()
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"requirements[a-z-]*\.lock", text)) <= set(LOCKS)


def test_every_threat_has_a_mitigation_or_says_that_it_has_none() -> None:
    rows = re.findall(r"^\| ([STRIDE](?:, [STRIDE])*) \| (.+?) \| (.+?) \| ?(.*?) ?\|$", MODEL, re.MULTILINE)
    assert len(rows) > 60
    assert {letter for letters, *_ in rows for letter in letters.split(", ")} == set("STRIDE")
    assert len(rows) == len(re.findall(r"^\| [STRIDE]\b", MODEL, re.MULTILINE))
    for _, threat, answer, shown in rows:
        honest = re.search(r"[Nn]ot (mitigated|prevented|found)|by design|recorded", answer)
        assert shown or honest or "`limits." in answer, f"nothing shows what stands against: {threat}"


def test_what_is_not_mitigated_is_told_twice() -> None:
    told = " ".join(MODEL.split("## Not mitigated")[1].split())
    for word in ("embedding", "morphs", "root", "purpose", "checkpoints", "metadata", "hill climbing"):
        assert word in told
