"""Evidence bundles: what is in them, that the same gives the same, and what people read of them."""

import io
import json
import re
import zipfile
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fr_core.errors import EvidenceUnusable, InvalidField, StoreCorrupt
from fr_core.storage.audit.checkpoints import key_id_of, read_public_key
from fr_core.storage.audit.verify import Verified
from fr_locales.rendering import render
from fr_trust.audit.export import verify_export
from fr_trust.casework.values import Purpose
from fr_trust.errors import ReviewUnfinished
from fr_trust.evidence import archive as archives
from fr_trust.evidence.archive import chunks
from fr_trust.evidence.bundle import audit_extract
from fr_trust.evidence.report import report
from fr_trust.evidence.values import Bound, Exhibit, Figures
from fr_trust.evidence.verify import verify_bundle
from fr_trust.evidence.words import of_both
from support.audits import START_MS, Clock
from support.cases import (
    DERIVATIONS,
    EXAMINERS,
    OTHER_SIGNER,
    REFERENCE,
    SEARCHER,
    SIGNER,
    Filed,
    a_search,
    filed,
    noise,
    none_of_them,
    open_store,
    some_candidates,
    some_figures,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Filed:
    return filed(tmp_path_factory.mktemp("kept") / "cases")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Filed:
    return filed(tmp_path_factory.mktemp("finished") / "cases", finished=True)


@pytest.fixture
def archive(kept: Filed) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(kept.bundle()))


def test_any_zip_reader_reads_it(archive: zipfile.ZipFile) -> None:
    assert archive.testzip() is None
    assert archive.namelist() == sorted(archive.namelist()) == [
        "audit.jsonl", "audit_public.pem", "checkpoint.json",
        *(f"examinations/01/{name}" for name in (
            "candidates/01.jpg", "candidates/03.jpg", "derivations.json", "findings.json", "probe.jpg", "search.json"
        )),
        *(f"examinations/02/{name}" for name in (
            "candidates/01.jpg", "candidates/03.jpg", "derivations.json", "findings.json", "probe.png", "search.json"
        )),
        "manifest.json", "manifest.sig", "public.pem", "report.html",
    ]  # fmt: skip
    assert archive.read("examinations/01/probe.jpg") == noise(0)  # photos are as they were sent
    assert archive.read("examinations/02/probe.png") == noise(1, form="PNG")
    assert archive.read("examinations/01/candidates/03.jpg") == noise(1_003)


def test_the_manifest_lists_every_file(kept: Filed, archive: zipfile.ZipFile) -> None:
    data = archive.read("manifest.json")
    manifest = json.loads(data)
    files = manifest.pop("files")
    assert set(files) == set(archive.namelist()) - {"manifest.json", "manifest.sig"}
    for name, told in files.items():
        content = archive.read(name)
        assert (told["sha256"], told["size"]) == (sha256(content).hexdigest(), len(content))
        assert len(told["what"]) > 10
    assert manifest == {
        "format": 1, "product": "fr-core", "version": manifest["version"], "case_id": kept.case.case_id,
        "case_reference": REFERENCE, "purpose": "investigation",
        "opened_by": SEARCHER, "opened_ms": START_MS, "closed_ms": None,
        "made_ms": START_MS + 86_400_000, "made_by": "key:op",
    }  # fmt: skip
    read_public_key(SIGNER.public_key).verify(archive.read("manifest.sig"), data)
    assert kept.bundle() == kept.bundle()  # the same gives the same bytes
    assert kept.bundle() != kept.bundle(OTHER_SIGNER)


def test_documents_say_what_was_searched_and_found(archive: zipfile.ZipFile) -> None:
    search, derivations, findings = (
        json.loads(archive.read(f"examinations/01/{name}.json")) for name in ("search", "derivations", "findings")
    )
    assert (search["searched"]["threshold"], search["searched"]["searched_templates"]) == (0.4375, 1_234)
    assert [one["rank"] for one in search["candidates"]] == [1, 2, 3]
    assert search["figures"]["41"]["log10_lr"] == 2.5
    assert derivations["derivations"] == DERIVATIONS
    assert findings["conclusion"] == {"kind": "potential_candidate", "template_id": 41}
    assert [one["examiner"] for one in findings["findings"]] == list(EXAMINERS[:3])


def test_an_unfinished_examination_keeps_its_findings(kept: Filed, finished: Filed, archive: zipfile.ZipFile) -> None:
    with pytest.raises(ReviewUnfinished):
        kept.bundle(unfinished=False)
    finished.bundle(unfinished=False)
    findings = json.loads(archive.read("examinations/02/findings.json"))
    assert (findings["state"], findings["findings"], findings["conclusion"]) == ("unfinished", [], {})
    assert b"blurred" not in kept.bundle()


def test_neither_a_derivation_that_json_has_not_nor_a_file_of_another_name(kept: Filed) -> None:
    for value, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            replace(kept, exhibits=[replace(kept.exhibits[0], derivations={"probe": value})]).bundle()
    for name in ("../a.txt", "/a.txt", "a/../b.txt", "A.txt", "a", "a//b.txt", "é.txt", "a.txt\n"):
        with pytest.raises(ValueError, match="no bundle"):
            list(chunks({name: b""}))


def test_what_does_not_fit_is_refused_before_anything_is_sent(kept: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BUNDLE_BYTES", 10_000)
    with pytest.raises(InvalidField, match="more bytes"):
        chunks({"a.txt": bytes(10_000)})
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    with pytest.raises(InvalidField, match="more files"):
        chunks({f"{number}.txt": b"" for number in range(4)})
    with pytest.raises(InvalidField):
        kept.bundle()


def test_the_audit_is_taken_from_before_the_case_was_opened_on(tmp_path: Path) -> None:
    clock = Clock()
    with open_store(tmp_path / "cases", clock) as store:
        store.open_case("another", Purpose.TESTING, SEARCHER)
        before = store.open_case(REFERENCE, Purpose.TESTING, SEARCHER)
        store.close_case(before.case_id)
        clock.ms -= 1_000  # the clock is set back: the record has a later time than the case
        case = store.open_case(REFERENCE, Purpose.TESTING, SEARCHER)
        with store.auditing() as audit:
            extract = audit_extract(audit, case)
            assert json.loads(extract.lines.splitlines()[0])["after"] == 3
            key = read_public_key(extract.public_key)
            found = verify_export(extract.lines.splitlines(), key, may_withhold=True)
            assert found == Verified(audit.head().chain_id, 1, 4, 1)
            assert json.loads(audit_extract(audit, before).lines.splitlines()[0])["after"] == 1
            with pytest.raises(InvalidField, match="longer than a bundle holds"):
                audit_extract(audit, case, len(extract.lines) - 1)
            audit_extract(audit, case, len(extract.lines))


def test_records_of_others_are_withheld(tmp_path: Path) -> None:
    """A bundle goes to other people than those who may read the audit."""
    with open_store(tmp_path / "cases") as store:
        case = store.open_case(REFERENCE, Purpose.TESTING, SEARCHER)
        store.close_case(case.case_id)
        other = store.open_case(REFERENCE, Purpose.VICTIM, EXAMINERS[0])  # of the same reference, and none the less
        probe = noise(1)
        store.add_examination(other.case_id, a_search(probe, gallery_id="elsewhere"), some_candidates(), probe)
        with store.auditing() as audit:
            extract = audit_extract(audit, case)
            bodies = [kept.body for kept in audit.every()]
            key = audit.public_key()
    assert (extract.records, extract.withheld, extract.searches) == (2, 2, 0)
    first, *lines, last = extract.lines.splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["hash", "record"]] * 2 + [["body_sha256", "hash"]] * 2
    for word in (other.case_id.encode(), b"victim", b"elsewhere", b"case.search"):
        assert any(word in body for body in bodies), word
        assert word not in extract.lines, word
    found = verify_export([first, *lines, last], key, may_withhold=True)
    assert found == Verified(json.loads(first)["chain_id"], 2, 4, 1, withheld=2)
    salts = {json.loads(body)["salt"] for body in bodies}
    assert len(salts) == len(bodies)
    assert all(re.fullmatch("[0-9a-f]{32}", salt) for salt in salts)


def test_a_case_of_which_the_audit_does_not_tell_is_no_evidence(tmp_path: Path) -> None:
    with open_store(tmp_path / "cases") as store:
        case = store.open_case(REFERENCE, Purpose.TESTING, SEARCHER)
        with store.auditing() as audit:
            for other in (replace(case, case_id="0" * 16), replace(case, reference="another")):
                with pytest.raises(StoreCorrupt):
                    audit_extract(audit, other)


def test_whose_key_it_is_has_to_be_known(kept: Filed) -> None:
    own, other = kept.bundle(), kept.bundle(OTHER_SIGNER)
    found = verify_bundle(io.BytesIO(other))
    assert (found.by_expected_key, found.key_id) == (False, key_id_of(read_public_key(OTHER_SIGNER.public_key)))
    found = verify_bundle(io.BytesIO(own), SIGNER.public_key, kept.audit.public_key)
    assert (found.made_ms, found.made_by, found.examinations, found.files) == (START_MS + 86_400_000, "key:op", 2, 17)
    assert found.unfinished == (kept.exhibits[1].examination.examination_id,)
    assert found.audit is not None
    assert (found.audit.records, found.audit.withheld, found.audit.seq) == (7, 1, 8)
    without = kept.bundle(audit=False)
    assert verify_bundle(io.BytesIO(without), SIGNER.public_key).audit is None
    for bundle, audit_key, file, check in (
        (other, None, "public.pem", "other_key"),
        (own, OTHER_SIGNER.public_key, "audit_public.pem", "other_key"),
        (without, kept.audit.public_key, "audit.jsonl", "missing"),
    ):
        with pytest.raises(EvidenceUnusable) as refused:
            verify_bundle(io.BytesIO(bundle), SIGNER.public_key, audit_key)
        assert refused.value.metadata == {"file": file, "check": check}
    with pytest.raises(InvalidField):
        verify_bundle(io.BytesIO(own), "no key")


def test_a_bundle_without_a_search_of_its_case_is_told_by_the_audit(kept: Filed) -> None:
    """A signer who picks the searches that suit a case cannot have the audit beside them."""
    for some in ([], kept.exhibits[:1], kept.exhibits[1:]):
        with pytest.raises(EvidenceUnusable) as refused:
            verify_bundle(io.BytesIO(replace(kept, exhibits=some).bundle()))
        assert refused.value.metadata == {"file": "audit.jsonl", "check": "searches"}


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4", b"no archive", b"PK\5\6" + bytes(18)])
def test_no_bundle(data: bytes) -> None:
    with pytest.raises(EvidenceUnusable) as refused:
        verify_bundle(io.BytesIO(data))
    assert (refused.value.metadata["file"], "packed anew" in str(refused.value)) == ("(archive)", False)


class _Read(HTMLParser):
    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page(kept: Filed) -> _Read:
    return _Read(report(kept.case, kept.exhibits, START_MS, "key:op", kept.audit))


def test_a_report_loads_nothing_and_runs_nothing(page: _Read) -> None:
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "iframe", "object", "embed", "a", "form", "b"})
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
        if tag == "img":
            assert str(attributes["src"]).startswith(("data:image/jpeg;base64,", "data:image/png;base64,"))
    assert sum(tag == "img" for tag, _ in page.tags) == 2 * 3
    assert "<b>ears</b> & nose lips" in page.text  # as it was written, and no markup
    for said in (REFERENCE, "this case, 7 records,", "of other cases is withheld (1)"):
        assert said in page.text, said


def test_a_report_says_who_searched_what_and_concludes_in_three_words_alone(page: _Read) -> None:
    for said in (
        SEARCHER, "wanted, version 17", "1,234", "null@1:000000000000", "0.4375", "lfw-1, measured on noise, 2 people",
        "fusion = max", "investigation, reference", "Rank 1: Erika Mustermann 1, similarity 0.6875",
        "No photo is kept.", *EXAMINERS[:3],
        "Conclusion: potential candidate, rank 1.", "no candidate", "This examination is unfinished",
        "1 of 2 examinations are unfinished.",
    ):  # fmt: skip
        assert said in page.text, said
    for word in (r"\bmatch(es|ed)?\b", r"\bidentified\b", r"\bsuspect\b", r"\bhit\b"):
        assert re.search(word, page.text, re.IGNORECASE) is None, word


def test_a_report_states_both_propositions_and_no_posterior(page: _Read) -> None:
    for said in (
        "Hp: the person in the probe is the person of the candidate.",
        "Hd: the person in the probe is another person.",
        "3 of 10,000 (0.0003", "40 of 1,000",
        "about 300 times more probable if Hp is true than if Hd is",
        "more probable if Hd is true than if Hp is. How much more is more than the calibration can show",
        "It is not the probability of Hp, nor of Hd.",
        "about 0.37 would be expected", "at most 0.47 (with 95% confidence) would be expected",
    ):  # fmt: skip
        assert said in page.text, said
    assert "316.2" not in page.text
    assert page.text.count("one of the most similar of 1,234 searched templates") == page.text.count("ratio of one")
    assert page.text.count("ratio of one") == 4  # beside every one


@pytest.mark.parametrize(
    ("operational", "examiners", "said"),
    [
        (False, (SEARCHER,), "One account gave the finding, the one that made the search."),
        (False, EXAMINERS[:1], "One account gave the finding, another than the one that made the search."),
        (True, EXAMINERS[:2], "2 accounts gave a finding each, none of them the one that made the search."),
    ],
)
def test_a_report_says_who_judged(tmp_path: Path, operational: bool, examiners: tuple[str, ...], said: str) -> None:
    with open_store(tmp_path / "cases") as store:
        case, probe = store.open_case(REFERENCE, Purpose.TESTING, SEARCHER), noise(1)
        searched = a_search(probe, operational=operational)
        own = store.add_examination(case.case_id, searched, some_candidates(), probe)
        for examiner in examiners:
            store.give_finding(own.examination_id, none_of_them(examiner))
        exhibit = Exhibit(store.examination(own.examination_id))
    html = _Read(report(case, [exhibit], START_MS, "key:op"))
    assert said in html.text
    # What holds for two alone is said of no other.
    assert ("showed none of them" in html.text) == operational
    assert "did not know of each other" not in html.text


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (Figures(log10_lr=0.0), "about as probable if Hp is true as if Hd is"),
        (Figures(log10_lr=0.1), "about as probable if Hp is true as if Hd is"),
        (Figures(log10_lr=1.0), "about 10 times more probable if Hp is true than if Hd is"),
        (Figures(log10_lr=-1.2), "about 20 times more probable if Hd is true than if Hp is"),
        (Figures(log10_lr=3.98), "about 10,000 times more probable if Hp is true than if Hd is"),
        (Figures(log10_lr=5.2187, bound=Bound.AT_LEAST), "Hp is true than if Hd is. How much more is more than"),
        (Figures(log10_lr=0.0, bound=Bound.AT_LEAST), "Hp is true than if Hd is. How much more is more than"),
        (Figures(log10_lr=0.0, bound=Bound.AT_MOST), "Hd is true than if Hp is. How much more is more than"),
        (some_figures()[42], "Hd is true than if Hp is. How much more is more than"),
        # Of 10,000 comparisons of two people none can show 1 in 20,000.
        (replace(some_figures()[41], log10_lr=4.3), "Hp is true than if Hd is. How much more is more than"),
        (replace(some_figures()[41], log10_lr=-3.1), "Hd is true than if Hp is. How much more is more than"),
        (replace(some_figures()[41], log10_lr=-2.9), "about 800 times more probable if Hd"),
    ],
)
def test_a_ratio_is_told_as_far_as_it_is_known_and_what_it_does_not_allow_for(figures: Figures, said: str) -> None:
    first, second, *_ = map(render, of_both(figures, 37_000))
    assert said in first
    assert not re.search(r"[1-9][0-9]*[1-9]|[0-9]\.[0-9]", first)  # one significant figure at most
    assert "the most similar of 37,000 searched templates" in second


def test_a_case_without_a_calibration(kept: Filed) -> None:
    exhibits = [replace(one, figures={}, measured_on="") for one in kept.exhibits]
    html = _Read(report(kept.case, exhibits, START_MS, "key:op"))
    assert "there is no calibration that tells it" in html.text
    assert "does not hold the audit records" in html.text
