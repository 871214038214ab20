"""The documents on security and policy: what they point at is there, and each threat has an answer."""

from __future__ import annotations

import re

import pytest
from lock_file import LOCKS, ROOT

from fr_server.config import KEYS

PAGES = ("SECURITY.md", "docs/threat-model.md", "docs/policy.md", "docs/containers.md", "docs/templates/dpia.md")
MODEL = (ROOT / "docs/threat-model.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_settings_and_targets_are_real(page: str) -> None:
    text = (ROOT / page).read_text()
    sections = "|".join(sorted({key.split(".")[0] for key in KEYS}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)[` ]", text))
    assert named <= KEYS.keys()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:[A-Z_]+=\S+ )?make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"requirements[a-z-]*\.lock", text)) <= set(LOCKS)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_threat_has_a_mitigation_or_says_that_it_has_none() -> None:
    rows = re.findall(r"^\| ([STRIDE](?:, [STRIDE])*) \| (.+?) \| (.+?) \| ?(.*?) ?\|$", MODEL, re.MULTILINE)
    assert len(rows) > 60
    assert {letter for letters, *_ in rows for letter in letters.split(", ")} == set("STRIDE")
    assert len(rows) == len(re.findall(r"^\| [STRIDE]\b", MODEL, re.MULTILINE))
    for _, threat, answer, shown in rows:
        honest = re.search(r"[Nn]ot (mitigated|prevented|found)|by design|recorded", answer)
        assert shown or honest or "`limits." in answer, f"nothing shows what stands against: {threat}"


def test_what_is_not_mitigated_is_told_twice() -> None:
    told = MODEL.split("## Not mitigated")[1]
    for word in ("embedding", "morphs", "root", "purpose", "checkpoints", "metadata", "hill climbing"):
        assert word in told
