"""Evidence in the hands of a holder of the file: whatever is changed in it is found, and a file is named.

With the control that what was not changed is whole, and that a holder of another key can make another bundle.
"""

import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias
from zlib import crc32

import pytest

from fr_core.errors import EvidenceUnusable
from fr_core.storage.audit.checkpoints import key_id_of, read_public_key
from fr_core.storage.audit.values import canonical
from fr_locales.rendering import speaking
from fr_trust.casework.footage import CitedFrame
from fr_trust.casework.rules import conclusion_of
from fr_trust.evidence import archive
from fr_trust.evidence.archive import chunks, is_name
from fr_trust.evidence.bundle import EvidenceSigner, build_bundle
from fr_trust.evidence.values import Exhibit
from fr_trust.evidence.verify import Verified, verify_bundle
from support.audits import DAY_MS, START_MS
from support.cases import OTHER_SIGNER, SIGNER, Filed, filed, listing

POSITIONS = 8_000
KEY = SIGNER.public_key
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Filed:
    return filed(tmp_path_factory.mktemp("kept") / "cases")


@pytest.fixture(scope="module")
def bundle(kept: Filed) -> bytes:
    return kept.bundle()


def fault(data: bytes, expected: str | None = KEY) -> tuple[str, str]:
    with pytest.raises(EvidenceUnusable) as refused:
        verify_bundle(io.BytesIO(data), expected)
    return refused.value.metadata["file"], refused.value.metadata["check"]


def files_of(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def signed(
    files: Files, signer: EvidenceSigner = SIGNER, told: Mapping[str, object] = MappingProxyType({}), **manifest: Any
) -> bytes:
    """A bundle of these files, with a manifest and a signature that fit them: as a holder of the key can make it.

    The manifest lists what is `told` in place of what fits, and says what `manifest` says.
    """
    said = {**json.loads(files["manifest.json"]), **manifest}
    own = {name: data for name, data in files.items() if name not in ("manifest.json", "manifest.sig")}
    own["public.pem"] = signer.public_key.encode()
    said["files"] = {**listing(own), **told}
    data = canonical(said)
    return b"".join(chunks({**own, "manifest.json": data, "manifest.sig": signer.sign(data)}))


def test_control_an_untouched_bundle_is_whole(bundle: bytes) -> None:
    assert verify_bundle(io.BytesIO(bundle), KEY).by_expected_key
    assert verify_bundle(io.BytesIO(signed(files_of(bundle))), KEY).by_expected_key


def _places(bundle: bytes) -> list[int]:
    """Every byte of headers, directory, manifest, signature and key, and some of everything else."""
    every: set[int] = set()
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        for info in opened.infolist():
            content_at = info.header_offset + 30 + len(info.filename)
            every.update(range(info.header_offset, content_at))
            if info.filename in ("manifest.sig", "public.pem"):
                every.update(range(content_at, content_at + info.file_size))
            if info.filename == "manifest.json":
                every.update(range(content_at, content_at + info.file_size, 4))
        directory = opened.start_dir
    every.update(range(directory, len(bundle)))
    rest = [place for place in range(len(bundle)) if place not in every]
    return sorted(every) + random.Random(1).sample(rest, max(0, POSITIONS - len(every)))


def test_one_byte_changed_anywhere_is_found(bundle: bytes) -> None:
    names, drawn = set(files_of(bundle)), random.Random(2)
    places = _places(bundle)
    assert len(places) >= POSITIONS
    altered, named = bytearray(bundle), set()
    for place in places:
        before = altered[place]
        altered[place] ^= drawn.randrange(1, 256)
        with pytest.raises(EvidenceUnusable) as refused:
            verify_bundle(io.BytesIO(altered), KEY)
        altered[place] = before
        name = refused.value.metadata["file"]
        assert name == archive.ARCHIVE or is_name(name)
        named.add(name)
    assert names <= named
    assert bytes(altered) == bundle


def test_a_byte_of_a_file_names_that_file(bundle: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        for info in opened.infolist():
            at = info.header_offset + 30 + len(info.filename) + info.file_size // 2
            altered = bundle[:at] + bytes([bundle[at] ^ 1]) + bundle[at + 1 :]
            assert fault(altered) == (info.filename, "crc")


def test_cut_off_anywhere(bundle: bytes) -> None:
    for length in random.Random(3).sample(range(len(bundle)), 150):
        fault(bundle[:length])


@pytest.mark.parametrize("more", [b"\0", b"x" * 100, b"PK\5\6" + bytes(18)])
def test_nothing_before_and_nothing_after(bundle: bytes, more: bytes) -> None:
    assert fault(bundle + more) == ("(archive)", "end")
    fault(more + bundle)


def _rezipped(bundle: bytes, change: Callable[[zipfile.ZipFile, Files], None], **how: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as target:
        change(target, files_of(bundle))
    return file.getvalue()


def _as_they_are(target: zipfile.ZipFile, files: Files) -> None:
    for name, data in files.items():
        info = zipfile.ZipInfo(name)
        info.create_version, info.extract_version, info.create_system, info.external_attr = 10, 10, 0, 0
        info.compress_type = target.compression
        target.writestr(info, data)


def _with_extra(target: zipfile.ZipFile, files: Files) -> None:
    info = zipfile.ZipInfo("audit.jsonl")
    info.extra = b"\x99\x99\x02\x00ab"
    target.writestr(info, files.pop("audit.jsonl"))
    _as_they_are(target, files)


def _with_a_time(target: zipfile.ZipFile, files: Files) -> None:
    target.writestr(zipfile.ZipInfo("audit.jsonl", (2026, 1, 1, 0, 0, 0)), files.pop("audit.jsonl"))
    _as_they_are(target, files)


def test_another_archive_of_the_same_files(bundle: bytes) -> None:
    assert fault(bundle[:-2] + b"\5\0hello") == ("(archive)", "end")  # a comment
    assert fault(_rezipped(bundle, _with_extra)) == ("audit.jsonl", "header")
    assert fault(_rezipped(bundle, _with_a_time)) == ("audit.jsonl", "header")


PACKED = ("(archive)", "packed")


def _with_a_folder(target: zipfile.ZipFile, files: Files) -> None:
    target.writestr("case/", b"")
    for name, data in files.items():
        target.writestr(f"case/{name}", data)


def _with_one_as_it_was(target: zipfile.ZipFile, files: Files) -> None:
    for name, data in files.items():
        info = zipfile.ZipInfo(name)  # of 1980-01-01
        info.extract_version = info.create_version = 10
        info.compress_type = zipfile.ZIP_STORED if name == "report.html" else zipfile.ZIP_DEFLATED
        target.writestr(info, data)


def test_an_archive_that_was_packed_anew_is_told_as_such(bundle: bytes) -> None:
    assert fault(_rezipped(bundle, _as_they_are, compression=zipfile.ZIP_DEFLATED)) == PACKED
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert fault(_rezipped(bundle, _with_a_folder, compression=compression)) == PACKED
    commented = _rezipped(bundle, _with_a_folder)[:-2] + b"\5\0hello"
    assert fault(commented) == PACKED
    assert fault(_rezipped(bundle, lambda *_: None))[1] != "packed"  # with nothing in it
    assert fault(_rezipped(bundle, _with_one_as_it_was)) == ("audit.jsonl", "header")  # where one header is a bundle's


def test_a_directory_that_lies_is_no_directory(bundle: bytes) -> None:
    packed = _rezipped(bundle, _with_a_folder)
    end = struct.Struct("<4sHHHHIIH")
    for field, value in ((4, len(files_of(bundle)) + 2), (5, 2**31), (6, 2**31), (6, 0)):
        said = list(end.unpack(packed[-end.size :]))
        said[field] = value
        assert fault(packed[: -end.size] + end.pack(*said))[1] != "packed"


def test_control_the_same_archive_from_another_writer(bundle: bytes) -> None:
    written = _rezipped(bundle, _as_they_are)
    # zipfile gives every file the attributes 0600, two bytes of the directory; all else is the same.
    assert len(written) == len(bundle)
    differing = sum(one != other for one, other in zip(written, bundle, strict=True))
    assert 0 < differing <= 2 * len(files_of(bundle))
    assert fault(written) == ("audit.jsonl", "directory")


def _raw(*files: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """An archive of any names, with headers in the form of bundles."""
    body, directory = b"", b""
    for name, data in files:
        fixed = (10, flags, 0, 0, 0x21, crc32(data), len(data), len(data), len(name), 0)
        local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *fixed)
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 10, *fixed, 0, 0, 0, 0, len(body)) + name
        body += local + name + data
    count = len(files)
    return body + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)


@pytest.mark.parametrize(
    "name",
    [b"/etc/passwd.txt", b"../up.txt", b"a/../../up.txt", b"C:\\a.txt", b"a\\b.txt", b"", b"a.txt/", b"a\0b.txt",
     b"A.TXT", b"\xff.txt", b"x" * 300 + b".txt", b"erika mustermann.jpg"],
)  # fmt: skip
def test_names_that_no_file_has(bundle: bytes, name: bytes) -> None:
    files = sorted([(own.encode(), data) for own, data in files_of(bundle).items()] + [(name, b"x")])
    assert fault(_raw(*files))[0] == "(archive)"  # and never the name itself


def test_control_the_raw_writer_writes_bundles(bundle: bytes) -> None:
    assert _raw(*sorted((own.encode(), data) for own, data in files_of(bundle).items())) == bundle


def test_encrypted_twice_and_out_of_order(bundle: bytes) -> None:
    files = sorted((own.encode(), data) for own, data in files_of(bundle).items())
    assert fault(_raw(*files, flags=1)) == PACKED
    assert fault(_raw(files[0], *files)) == ("audit.jsonl", "order")
    assert fault(_raw(*files[::-1]))[1] == "order"


def test_files_that_are_missing_too_many_or_renamed(bundle: bytes) -> None:
    files = files_of(bundle)
    for name in files:
        assert fault(b"".join(chunks({own: data for own, data in files.items() if own != name}))) == (name, "missing")
    extra = b"".join(chunks({**files, "examinations/01/candidates/02.jpg": b"x"}))
    assert fault(extra) == ("examinations/01/candidates/02.jpg", "extra")
    renamed = {
        ("examinations/01/probe.png" if own == "examinations/01/probe.jpg" else own): files[own] for own in files
    }
    assert fault(b"".join(chunks(renamed))) == ("examinations/01/probe.jpg", "missing")


def test_too_large(bundle: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(bundle)
    assert fault(b"".join(chunks({**files, "manifest.json": b" " * (16 * 2**20 + 1)}))) == ("manifest.json", "size")
    assert fault(b"".join(chunks({**files, "public.pem": b" " * 1_025}))) == ("public.pem", "size")
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    assert fault(bundle) == ("(archive)", "files")
    monkeypatch.setattr(archive, "MAX_BUNDLE_BYTES", len(bundle) - 1)
    assert fault(bundle) == ("(archive)", "size")


def _with_probe(exhibit: Exhibit, probe: bytes) -> Exhibit:
    searched = replace(exhibit.examination.searched, probe_sha256=sha256(probe).hexdigest())
    return replace(exhibit, examination=replace(exhibit.examination, searched=searched, probe=probe))


def test_memory_does_not_grow_with_photos(kept: Filed, tmp_path: Path) -> None:
    exhibits = [_with_probe(one, b"\xff\xd8\xff" + bytes(20 * 2**20)) for one in kept.exhibits]
    path = tmp_path / "large.zip"
    path.write_bytes(replace(kept, exhibits=exhibits).bundle(audit=False))
    assert path.stat().st_size > 80 * 2**20  # in the page, once more
    tracemalloc.start()
    try:
        assert verify_bundle(path, KEY).page_compared
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 2**20


def test_a_file_of_another_content(bundle: bytes) -> None:
    files = files_of(bundle)
    for name in set(files) - {"manifest.json", "manifest.sig", "public.pem"}:
        changed = files[name][:-1] + bytes([files[name][-1] ^ 1])
        assert fault(b"".join(chunks({**files, name: changed}))) == (name, "sha256")


def test_a_manifest_that_nobody_signed(bundle: bytes) -> None:
    files = files_of(bundle)
    manifest = files["manifest.json"].replace(b'"made_by":"key:op"', b'"made_by":"key:xx"')
    assert fault(b"".join(chunks({**files, "manifest.json": manifest}))) == ("manifest.sig", "signature")
    assert fault(b"".join(chunks({**files, "manifest.sig": b""}))) == ("manifest.sig", "signature")
    pem = files["public.pem"]
    assert fault(b"".join(chunks({**files, "public.pem": pem + b"\n"}))) == ("public.pem", "key")
    other = OTHER_SIGNER.public_key.encode()
    assert fault(b"".join(chunks({**files, "public.pem": other})), None) == ("manifest.sig", "signature")


def test_all_of_it_signed_anew_with_another_key(bundle: bytes) -> None:
    forged = signed(files_of(bundle), OTHER_SIGNER)
    found = verify_bundle(io.BytesIO(forged))
    assert (found.by_expected_key, found.key_id) == (False, key_id_of(read_public_key(OTHER_SIGNER.public_key)))
    assert fault(forged) == ("public.pem", "other_key")


def _edited(files: Files, name: str, edit: Callable[[dict[str, Any]], object]) -> bytes:
    said = json.loads(files[name])
    edit(said)
    return signed({**files, name: canonical(said)})


FINDINGS, SEARCH = "examinations/01/findings.json", "examinations/01/search.json"
DERIVATIONS = "examinations/01/derivations.json"
UNFINISHED = "examinations/02/findings.json"
Edit = Callable[[dict[str, Any]], object]


def put(*way: str | int, **more: object) -> Edit:
    def edit(said: Any) -> None:
        for step in way:
            said = said[step]
        said.update(more)

    return edit


PHOTO_2, PHOTO_3 = "examinations/01/candidates/02.jpg", "examinations/01/candidates/03.jpg"
FILMED = CitedFrame(
    "0" * 64, 9, 0, "h264", "PyAV", "1", 2, 3, Fraction(1, 4), 0.5, 0, "0" * 64, "", (1, 2, 3, 4), "0" * 64
).to_derivations()
EDITS: tuple[tuple[str, Edit, str, str], ...] = (
    (FINDINGS, put("conclusion", template_id=42), FINDINGS, "conclusion"),
    (FINDINGS, put("conclusion", kind="no_candidate"), FINDINGS, "conclusion"),
    (FINDINGS, lambda said: said["findings"].pop(1), "audit.jsonl", "digests"),
    (FINDINGS, lambda said: said["findings"].pop(), FINDINGS, "conclusion"),
    (FINDINGS, lambda said: said["findings"].append(said["findings"][2]), FINDINGS, "conclusion"),
    (FINDINGS, put("findings", 0, notes="nothing"), "audit.jsonl", "digests"),
    (FINDINGS, put("findings", 0, rating=3), "audit.jsonl", "digests"),
    (FINDINGS, put("findings", 0, given_ms=1), "audit.jsonl", "digests"),
    (FINDINGS, put("findings", 0, examiner="key:dora"), "audit.jsonl", "digests"),
    (FINDINGS, put("findings", 0, examiner="key:searcher"), FINDINGS, "conclusion"),
    (FINDINGS, put("findings", 0, salt=""), FINDINGS, "salt"),
    (FINDINGS, put("findings", 0, kind="identity"), FINDINGS, "content"),
    (FINDINGS, lambda said: said["findings"][0].pop("notes"), FINDINGS, "content"),
    (FINDINGS, lambda said: said["findings"][1].pop("template_id"), FINDINGS, "content"),
    (FINDINGS, lambda said: said["findings"][1].pop("rating"), FINDINGS, "content"),
    (FINDINGS, put("findings", 1, sure=True), FINDINGS, "content"),
    (FINDINGS, put("findings", 1, rating=3), FINDINGS, "conclusion"),
    (FINDINGS, put("findings", 0, rating=99), FINDINGS, "conclusion"),
    (FINDINGS, put("findings", 0, notes="x" * 4_001), FINDINGS, "conclusion"),
    (FINDINGS, put(format=True), FINDINGS, "content"),
    (UNFINISHED, put(format=1.0), UNFINISHED, "content"),
    (FINDINGS, put(examination_id="0" * 16), FINDINGS, "examination"),
    (FINDINGS, put(required_findings=1), FINDINGS, "conclusion"),
    (FINDINGS, put(format=2), FINDINGS, "content"),
    (FINDINGS, put("findings", 1, kind="potential_candidate", template_id=41), FINDINGS, "conclusion"),
    (UNFINISHED, put(state="concluded"), UNFINISHED, "conclusion"),
    (UNFINISHED, put(conclusion={"kind": "no_candidate", "template_id": 0}), UNFINISHED, "conclusion"),
    (SEARCH, put("searched", threshold=0.1), "audit.jsonl", "digests"),
    (SEARCH, put("searched", searched_by="key:x"), "audit.jsonl", "digests"),
    (SEARCH, put("searched", probe_sha256="0" * 64), "examinations/01/probe.jpg", "probe"),
    (SEARCH, put("searched", "parameters", top_k="9"), "audit.jsonl", "digests"),
    (SEARCH, put("searched", "derivations", **{"0_footage_pts": "1"}), SEARCH, "footage"),
    (SEARCH, put("searched", "derivations", **FILMED), "audit.jsonl", "digests"),
    (SEARCH, put("candidates", 0, similarity=0.99), "audit.jsonl", "digests"),
    (SEARCH, lambda said: said["candidates"].pop(1), SEARCH, "photos"),
    (SEARCH, put("candidates", 1, extra=0.1), SEARCH, "content"),
    (SEARCH, put("candidates", 1, photo=""), SEARCH, "content"),
    (SEARCH, lambda said: said["candidates"][1].pop("photo_sha256"), SEARCH, "content"),
    (SEARCH, put(format=True), SEARCH, "content"),
    (SEARCH, lambda said: said["photos"].pop("3"), PHOTO_3, "photos"),
    (SEARCH, lambda said: said["photos"].update({"2": "../../x.jpg"}), SEARCH, "photos"),
    (SEARCH, lambda said: said["photos"].update({"2": "candidates/02.jpg"}), PHOTO_2, "photos"),
    (SEARCH, put("candidates", 2, photo_sha256="0" * 64), PHOTO_3, "photo"),
    (SEARCH, put(case_id="0" * 16), SEARCH, "case"),
    (SEARCH, put(probe=1), SEARCH, "content"),
    (SEARCH, put(salt="x"), SEARCH, "salt"),
    (SEARCH, put("figures", "41", log10_lr=9.0), "report.html", "page"),
    (SEARCH, put(measured_on="everybody"), "report.html", "page"),
    (SEARCH, put(verdict="the same person"), SEARCH, "content"),
    (FINDINGS, put(verdict="the same person"), FINDINGS, "content"),
    (FINDINGS, put("conclusion", sure=1), FINDINGS, "content"),
    (DERIVATIONS, put(verdict="the same person"), DERIVATIONS, "content"),
    (DERIVATIONS, put(format=True), DERIVATIONS, "content"),
    (DERIVATIONS, put("derivations", noted_at_the_search={"quality": "1"}), DERIVATIONS, "derivations"),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_documents_that_contradict_each_other_whoever_signed_them(bundle: bytes, number: int) -> None:
    name, edit, wrong, check = EDITS[number]
    assert fault(_edited(files_of(bundle), name, edit)) == (wrong, check)


def test_a_page_that_says_something_else_than_the_documents(bundle: bytes) -> None:
    files = files_of(bundle)
    page = files["report.html"]
    for other in (
        b"<script>document.write('THE SAME PERSON, CERTAINLY')</script>", b"", page + b" ", page[:-1],
        page.replace(b"Examination 1", b"Examination 9"), page.replace(b"potential candidate", b"the same person"),
        page.replace(b"base64,", b"base64,AAAA", 1),
    ):  # fmt: skip
        assert other != page
        assert fault(signed({**files, "report.html": other})) == ("report.html", "page")
    for manifest in ({"closed_ms": START_MS}, {"opened_by": "key:x"}, {"opened_ms": 1}, {"case_reference": "another"}):
        assert fault(signed(files, **manifest)) == ("report.html", "page")


def test_control_a_page_of_another_version_is_not_compared(bundle: bytes) -> None:
    files = {**files_of(bundle), "report.html": b"<script></script>"}
    assert not verify_bundle(io.BytesIO(signed(files, version="0.0.1")), KEY).page_compared
    assert verify_bundle(io.BytesIO(bundle), KEY).page_compared


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_a_page_is_compared_in_its_own_language(kept: Filed, language: str) -> None:
    with speaking(language):
        made = kept.bundle()
    assert verify_bundle(io.BytesIO(made), KEY).page_compared
    files = files_of(made)
    page = files["report.html"]
    said = f'<html lang="{language}"'.encode()
    for other in (page.replace(b"base64,", b"base64,AAAA", 1), page.replace(said, b'<html lang="es"')):
        assert fault(signed({**files, "report.html": other})) == ("report.html", "page")
    strange = signed({**files, "report.html": page.replace(said, b'<html lang="xx"')})
    assert not verify_bundle(io.BytesIO(strange), KEY).page_compared


def test_what_was_noted_at_the_search_may_stand_in_the_derivations(bundle: bytes, kept: Filed) -> None:
    noted = dict(kept.exhibits[0].examination.searched.derivations)
    again = _edited(files_of(bundle), DERIVATIONS, lambda said: said["derivations"].update(noted_at_the_search=noted))
    assert verify_bundle(io.BytesIO(again), KEY).page_compared


def test_another_form_of_the_same_document(bundle: bytes) -> None:
    files = files_of(bundle)
    for name in (SEARCH, FINDINGS, "examinations/01/derivations.json"):
        assert fault(signed({**files, name: files[name] + b"\n"})) == (name, "content")
    for more in (
        {"more": 1},
        {"made_ms": "1"},
        {"product": "x"},
        {"format": 2},
        {"format": True},
        {"purpose": "x"},
        {"opened_ms": -1},
    ):
        assert fault(signed(files, **more)) == ("manifest.json", "content")


def test_a_manifest_that_calls_a_file_what_it_is_not(bundle: bytes) -> None:
    files = files_of(bundle)
    listed = listing({name: data for name, data in files.items() if not name.startswith("manifest.")})
    for name, own in listed.items():
        for other in ("", "x", "the photo of the person", 1, None):
            assert fault(signed(files, told={name: {**own, "what": other}})) == ("manifest.json", "what")
    edits: tuple[dict[str, object], ...] = (
        {SEARCH: {**listed[SEARCH], "more": 1}},
        {SEARCH: {"sha256": listed[SEARCH]["sha256"], "size": listed[SEARCH]["size"]}},
        {SEARCH: []},
        {"manifest.json": listed[SEARCH]},
        {"manifest.sig": listed[SEARCH]},
    )
    for told in edits:
        assert fault(signed(files, told=told)) == ("manifest.json", "content")


def test_a_photo_of_another_name_than_bundles_give_it(bundle: bytes) -> None:
    files = files_of(bundle)
    files["examinations/01/photo.jpg"] = files.pop("examinations/01/probe.jpg")
    said = json.loads(files[SEARCH]) | {"probe": "photo.jpg"}
    assert fault(signed({**files, SEARCH: canonical(said)})) == ("manifest.json", "what")


def test_whole_examinations(bundle: bytes) -> None:
    files = files_of(bundle)
    without = {name: data for name, data in files.items() if not name.startswith("examinations/01/")}
    assert fault(signed(without)) == ("manifest.json", "examinations")
    twice = {f"examinations/03/{name[16:]}": data for name, data in files.items() if name[:16] == "examinations/02/"}
    assert fault(signed({**files, **twice})) == ("examinations/03/search.json", "case")
    assert fault(signed({**files, "examinations/01/more/x.jpg": b""})) == ("examinations/01/more/x.jpg", "name")
    assert fault(signed({**files, "more.txt": b""})) == ("more.txt", "name")


def test_an_audit_that_was_changed(bundle: bytes) -> None:
    files = files_of(bundle)
    lines = files["audit.jsonl"].splitlines(keepends=True)
    for altered in (
        lines[:-1], lines[1:], lines[:3] + lines[4:], [*lines[:3], lines[4], lines[3], *lines[5:]],
        [line.replace(b"OK", b"KO") for line in lines], [b"x" * 100_000], [],
    ):  # fmt: skip
        assert fault(signed({**files, "audit.jsonl": b"".join(altered)}))[0] == "audit.jsonl"
    checkpoint = files["checkpoint.json"]
    later = checkpoint.replace(b'"seq":8', b'"seq":7')
    assert later != checkpoint
    for changed in (b"", b"{}", checkpoint + b"\n", later):
        assert fault(signed({**files, "checkpoint.json": changed}))[0] == "checkpoint.json"
    assert fault(signed({**files, "audit_public.pem": b"x"})) == ("audit_public.pem", "key")
    other = OTHER_SIGNER.public_key.encode()
    assert fault(signed({**files, "audit_public.pem": other}))[0] == "audit.jsonl"
    for name in ("audit.jsonl", "checkpoint.json", "audit_public.pem"):
        assert fault(signed({own: data for own, data in files.items() if own != name})) == (name, "missing")


def test_the_audit_of_another_store(kept: Filed, tmp_path: Path) -> None:
    other = filed(tmp_path / "cases").audit
    data = b"".join(
        build_bundle(
            kept.case, kept.exhibits, SIGNER, made_ms=START_MS + DAY_MS, made_by="key:op",
            audit=other, include_unfinished=True,
        )
    )  # fmt: skip
    assert fault(data) == ("audit.jsonl", "searches")


def test_control_the_edits_were_of_a_disputed_examination(kept: Filed) -> None:
    findings = kept.exhibits[0].examination.findings
    assert len(findings) == 3
    assert conclusion_of(findings[:2], operational=True, candidates=3) is None


Place: TypeAlias = tuple[str | int, ...]

# Of each type of JSON what is likeliest to trip somebody who expects another, or a value that has its type alone.
OTHERS: tuple[Any, ...] = (
    None, True, -1, 1, 2**53 - 1, 10**400, 0.5, 1e308, "", "x", "\u0661", [], [[]], {}, {"1": {}},
)  # fmt: skip


def places(said: Any, at: Place = ()) -> Iterator[Place]:
    yield at
    inner = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def replaced(said: Any, at: Place, value: Any) -> Any:
    if not at:
        return value
    copied: Any = dict(said) if isinstance(said, dict) else list(said)
    copied[at[0]] = replaced(said[at[0]], at[1:], value)
    return copied


def bundle_of(files: dict[str, bytes], manifest: Any) -> bytes:
    """A bundle of these files, whose manifest, which lists them where it is one, is signed."""
    if isinstance(manifest, dict) and manifest.get("files") == "theirs":
        manifest = {**manifest, "files": listing(files)}
    data = canonical(manifest)
    return b"".join(chunks({**files, "manifest.json": data, "manifest.sig": SIGNER.sign(data)}))


def verdict(bundle: bytes) -> Verified | None:
    try:
        return verify_bundle(io.BytesIO(bundle), SIGNER.public_key)
    except EvidenceUnusable:
        return None


@pytest.fixture(scope="module")
def files(kept: Filed) -> dict[str, bytes]:
    """Without an audit, which would refuse most of what is changed."""
    without = kept.bundle(audit=False)
    return {name: data for name, data in files_of(without).items() if name != "manifest.sig"}


@pytest.fixture(scope="module")
def manifest(files: dict[str, bytes]) -> Any:
    return {**json.loads(files.pop("manifest.json")), "files": "theirs"}


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("", id="with the page compared"),
        pytest.param("0.0.1", id="of another version", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("document", ["search.json", "findings.json", "derivations.json"])
def test_document_values_all_get_a_verdict(files: dict[str, bytes], manifest: Any, document: str, version: str) -> None:
    manifest = {**manifest, "version": version or manifest["version"]}
    assert verdict(bundle_of(files, manifest)) is not None
    name = f"examinations/01/{document}"
    said = json.loads(files[name])
    for at in places(said):
        for value in OTHERS if at else ({"format": 1}, {}):
            verdict(bundle_of({**files, name: canonical(replaced(said, at, value))}, manifest))


def test_any_value_of_the_manifest_has_a_verdict(files: dict[str, bytes], manifest: Any) -> None:
    listed = json.loads(canonical({**manifest, "files": {name: {} for name in files}}))
    first = {"sha256": "0" * 64, "size": 1, "what": "x"}
    for said in (manifest, {**listed, "files": {**listed["files"], next(iter(files)): first}}):
        for at in places(said):
            for value in OTHERS:
                verdict(bundle_of(files, replaced(said, at, value) if at else {"format": value}))
