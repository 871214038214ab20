"""The repository keeps its shape, documents name what exists, and code and message catalogues agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest
from check_messages import CATALOGUES, disagreements
from lock_file import LOCKS

import fr_core
from fr_locales.messages import Audience, message
from fr_locales.rendering import languages, render
from fr_server.config import KEYS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOTS = ("server", "client", "datasets", "evaluation", "locales", "training", "trust", "benchmarks", "proto")
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "SECURITY.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_of_the_docs_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("https://", "http://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_photo_lies_in_the_repository_and_source_roots_are_no_packages() -> None:
    assert [root for root in (*ROOTS, "proto/gen") if (REPOSITORY / root / "__init__.py").exists()] == []
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {fr_core.__version__}" in changelog
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


def test_every_threat_has_a_mitigation_or_says_twice_that_it_has_none() -> None:
    rows = re.findall(r"^\| ([STRIDE](?:, [STRIDE])*) \| (.+?) \| (.+?) \| ?(.*?) ?\|$", MODEL, re.MULTILINE)
    assert len(rows) > 60
    assert {letter for letters, *_ in rows for letter in letters.split(", ")} == set("STRIDE")
    assert len(rows) == len(re.findall(r"^\| [STRIDE]\b", MODEL, re.MULTILINE))
    for _, threat, answer, shown in rows:
        honest = re.search(r"[Nn]ot (mitigated|prevented|found)|by design|recorded", answer)
        assert shown or honest or "`limits." in answer, f"nothing shows what stands against: {threat}"
    told = " ".join(MODEL.split("## Not mitigated")[1].split())
    for word in ("embedding", "morphs", "root", "purpose", "checkpoints", "metadata", "hill climbing"):
        assert word in told


ARABIC = (
    "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 && n%100<=99 ? 4 : 5);"
)


@pytest.fixture
def catalogues(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CATALOGUES, tmp_path / "fr_locales"))


def test_messages_are_rendered_with_values_plural_forms_audience_and_lists() -> None:
    assert render(message("rate.of", part=3, total=1200)) == "3 of 1,200"
    assert [render(message("count.trainees", count=n)) for n in (0, 1, 2)] == ["0 trainees", "1 trainee", "2 trainees"]
    assert render(message("lean.undecided", audience=Audience.TRAINEE, count=1)) == "you left 1 pair undecided"
    assert render(message("lean.undecided", audience=Audience.COHORT, count=2)) == "they left 2 pairs undecided"
    parts = (message("left_out.known", count=1), message("left_out.unanswered", count=2))
    assert render(message("left_out.trials", trials=parts)) == (
        "In no figure: 1 trial in which somebody shown is known, 2 trials without an answer."
    )


def test_what_a_catalogue_lacks_is_an_error() -> None:
    unknown = "no.such"
    with pytest.raises(LookupError, match=r"no\.such"):
        render(message(unknown))
    with pytest.raises(LookupError, match="language"):
        render(message("rate.of", part=1, total=2), "../en")
    with pytest.raises(KeyError):
        render(message("rate.of", part=1))
    with pytest.raises(TypeError, match="whole number"):
        render(message("count.trainees", count=1.0))
    assert languages() == ("en",)


def test_a_language_is_added_without_code_and_falls_back_to_english(catalogues: Path) -> None:
    forms = ("لا متدربين", "متدرب واحد", "متدربان", "{count} متدربين", "{count} متدربا", "{count} متدرب")
    arabic = polib.POFile()
    arabic.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Language": "ar", "Plural-Forms": ARABIC}
    arabic.append(
        polib.POEntry(msgid="count.trainees", msgid_plural="count.trainees", msgstr_plural=dict(enumerate(forms)))
    )
    (catalogues / "ar" / "LC_MESSAGES").mkdir(parents=True)
    arabic.save(str(catalogues / "ar" / "LC_MESSAGES" / "fr.po"))
    assert disagreements(catalogues) == []
    code = (
        "import sys; from fr_locales.messages import message; from fr_locales.rendering import render; "
        "told = [message('count.trainees', count=n) for n in (0, 1, 2, 5, 20, 100)] + [message('test.pre')]; "
        "sys.stdout.buffer.write('|'.join(render(one, 'ar') for one in told).encode())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(catalogues.parent)},
        check=True,
        capture_output=True,
    ).stdout.decode()
    numbers = ("", "", "", 5, 20, 100)
    trainees = [form.format(count=n) for form, n in zip(forms, numbers, strict=True)]
    assert told.split("|") == [*trainees, "the first test"]


def test_code_and_catalogues_agree_and_each_disagreement_is_found(catalogues: Path) -> None:
    assert disagreements() == []
    texts = polib.pofile(str(catalogues / "en" / "LC_MESSAGES" / "fr.po"))
    by_id = {(one.msgctxt, one.msgid): one for one in texts}
    texts.remove(by_id["cohort", "well.triads"])
    by_id[None, "rate.of"].msgstr = "{part:,} of {whole:,}"
    by_id["trainee", "advice.little"].msgstr += " {count}"
    texts.append(polib.POEntry(msgid="never.said", msgstr="Nobody says this."))
    texts.save()
    found = "\n".join(disagreements(catalogues))
    for message_id in ("well.triads", "rate.of", "advice.little", "never.said"):
        assert f"`{message_id}`" in found
