"""Cases for tests: searches that nobody made, photos of noise, and a case store whose clock is set by hand."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from fr_core.scoring.intervals import Rate, wilson_interval
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Case, Examination, Finding, FindingKind, Listed, Purpose, Searched
from fr_trust.evidence.bundle import EvidenceSigner, audit_extract, build_bundle
from fr_trust.evidence.documents import what_of
from fr_trust.evidence.values import AuditExtract, Bound, Exhibit, Figures
from support.audits import DAY_MS, START_MS, Clock

KEY = KeyEncryptionKey(bytes(range(32)))
SEARCHER = "key:searcher"
EXAMINERS = ("key:anna", "key:bert", "key:cleo", "key:dora")


def noise(seed: int, side: int = 24, form: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def open_store(location: Location, clock: Callable[[], int] | None = None, key: KeyEncryptionKey = KEY) -> CaseStore:
    return CaseStore.open(location, key, clock or Clock())


def a_search(probe: bytes, *, operational: bool = True, gallery_id: str = "wanted", at_ms: int = START_MS) -> Searched:
    return Searched(
        gallery_id=gallery_id,
        operational=operational,
        gallery_version=17,
        searched_templates=1_234,
        model="null@1:000000000000",
        threshold=0.4375,
        calibration_id="lfw-1",
        parameters={"top_k": "3", "fusion": "max"},
        derivations={"detection": "10,20,110,140", "quality": "0.81"},
        searched_by=SEARCHER,
        searched_ms=at_ms,
        probe_sha256=sha256(probe).hexdigest(),
    )


def some_candidates(count: int = 3, photos: bool = True) -> tuple[Listed, ...]:
    found = []
    for rank in range(1, count + 1):
        photo = noise(1_000 + rank) if photos and rank % 2 else b""
        digest = sha256(noise(1_000 + rank)).hexdigest()
        found.append(Listed(rank, f"Erika Mustermann {rank}", 40 + rank, 0.75 - rank / 16, digest, photo))
    return tuple(found)


def picks(examiner: str, template_id: int = 41, rating: int = 2, notes: str = "ear lobes alike") -> Finding:
    return Finding(examiner, FindingKind.POTENTIAL_CANDIDATE, template_id, rating, notes)


def none_of_them(examiner: str, notes: str = "another nose") -> Finding:
    return Finding(examiner, FindingKind.NO_CANDIDATE, notes=notes)


def cannot_say(examiner: str) -> Finding:
    return Finding(examiner, FindingKind.INCONCLUSIVE, notes="blurred")


SIGNER = EvidenceSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_SIGNER = EvidenceSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
REFERENCE = 'AZ <17>/2026 & "x"'
DERIVATIONS = {
    "probe": {
        "decode": {"size": [24, 24], "exif_orientation": 1, "colour": "sRGB"},
        "detection": {"box": [1.5, 2.0, 20.25, 22.0], "score": 0.93},
        "landmarks": [[5.0, 8.0], [15.0, 8.0], [10.0, 12.0], [6.0, 17.0], [14.0, 17.0]],
        "transform": [[3.5, 0.1, 20.0], [-0.1, 3.5, 18.0]],
        "quality": {"overall": 0.81, "sharpness": 0.7},
        "embedding": {"model": "null@1:000000000000", "preprocessing": "(x - 127.5) / 127.5, RGB"},
    }
}


@dataclass
class Filed:
    case: Case
    exhibits: list[Exhibit]
    audit: AuditExtract

    def bundle(self, signer: EvidenceSigner = SIGNER, *, unfinished: bool = True, audit: bool = True) -> bytes:
        return b"".join(
            build_bundle(
                self.case,
                self.exhibits,
                signer,
                made_ms=START_MS + DAY_MS,
                made_by="key:op",
                audit=self.audit if audit else None,
                include_unfinished=unfinished,
            )
        )


def some_figures() -> dict[int, Figures]:
    rate = Rate(3, 10_000, wilson_interval(3, 10_000))
    miss = Rate(40, 1_000, wilson_interval(40, 1_000))
    never = Rate(0, 10_000, wilson_interval(0, 10_000))
    return {41: Figures(rate, miss, 2.5), 42: Figures(never, None, -1.0, Bound.AT_MOST, in_range=False)}


def filed(location: Location, *, finished: bool = False) -> Filed:
    """A case of two examinations, the first concluded after a dispute, the second of one finding (or concluded)."""
    with open_store(location) as store:
        case = store.open_case(REFERENCE, Purpose.INVESTIGATION, SEARCHER)
        made = []
        for number in range(2):
            probe = noise(number, form="PNG" if number else "JPEG")
            made.append(store.add_examination(case.case_id, a_search(probe), some_candidates(), probe).examination_id)
        for finding in (picks(EXAMINERS[0], notes="<b>ears</b> & nose\nlips"), none_of_them(EXAMINERS[1])):
            store.give_finding(made[0], finding)
        store.give_finding(made[0], picks(EXAMINERS[2], rating=1))
        store.give_finding(made[1], cannot_say(EXAMINERS[0]))
        if finished:
            store.give_finding(made[1], cannot_say(EXAMINERS[1]))
        store.open_case("another", Purpose.TESTING, SEARCHER)  # whose records are in the same audit
        with store.auditing() as audit:
            extract = audit_extract(audit, store.case(case.case_id))
        return Filed(store.case(case.case_id), [_exhibit(store.examination(one)) for one in made], extract)


def listing(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """Return the manifest's entries of these files; one that no bundle has is listed as empty."""

    def what(name: str) -> str:
        try:
            return what_of(name)
        except KeyError:
            return ""

    return {
        name: {"sha256": sha256(data).hexdigest(), "size": len(data), "what": what(name)}
        for name, data in files.items()
    }


def _exhibit(examination: Examination) -> Exhibit:
    return Exhibit(examination, DERIVATIONS, some_figures(), "noise, 2 people")
