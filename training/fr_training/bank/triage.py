"""Makes items of one photo, to be judged usable or not: good photos, photos made poor on purpose, and turned heads.

The kinds and strengths of degradations are here; the pictures are rendered in `fr_training.build.pictures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_locales.messages import message
from fr_training.answers import Degraded, Usability
from fr_training.bank.manifest import Shown, item_id_of
from fr_training.bank.pool import PoolPhoto
from fr_training.bank.workbench import OVERSUPPLY, FormSet, Workbench
from fr_training.courses import Item
from fr_training.errors import TooFewPeople
from fr_training.keys import CUSTODY_RECORDS, EvidenceKey, TriageKey

UNIT_EYES = 64  # pixels between the eyes of the faces that strengths in pixels, and JPEG qualities, are meant for


@dataclass(frozen=True, slots=True)
class Degradation:
    """A kind of degradation: strengths that leave a photo of limited use, and none, mildest first, and their unit.

    If it is not `rendered`, a photo is chosen that is so already.
    """

    unit: str
    limited: tuple[float, ...]
    reject: tuple[float, ...]
    rendered: bool = True

    def strengths(self, usability: Usability) -> tuple[float, ...]:
        """The strengths that make a photo so; empty for a usable one."""
        return {Usability.LIMITED: self.limited, Usability.REJECT: self.reject}.get(usability, ())


DEGRADATIONS: Mapping[Degraded, Degradation] = {
    Degraded.BLUR: Degradation("sigma in pixels of a face with 64 between its eyes", (4.0, 5.5), (10.0, 14.0)),
    Degraded.NOISE: Degradation("sigma in grey levels of 0 to 255", (35.0, 50.0), (90.0, 120.0)),
    Degraded.RESOLUTION: Degradation("pixels across the face", (32.0, 24.0), (12.0, 9.0)),
    Degraded.COMPRESSION: Degradation("JPEG quality of 1 to 95", (10.0, 7.0), (3.0, 1.0)),
    Degraded.OCCLUSION: Degradation("share of the face covered", (0.25, 0.35), (0.6, 0.75)),
    Degraded.POSE: Degradation("degrees of yaw, at least", (25.0,), (45.0,), rendered=False),
}
"""Every kind, in the order in which they are dealt."""

FRONTAL_DEGREES = 15.0
"""Most yaw of a photo that is shown as usable, or is degraded otherwise: its turn is to be no reason."""


def triage_items(bench: Workbench, one: FormSet) -> dict[str, list[Item]]:
    """Make the forms of a set, and take their people.

    Kinds of degradation are dealt in turn from a kind that is drawn, and the strengths of each kind in turn. A turned
    head is a photo of somebody who is free and is turned so far, and is left out where there is none.
    """
    items: dict[str, list[Item]] = {}
    for name in one.forms:
        rng = bench.rng("triage", name)
        turned, wanted = _dealt(bench, one, rng)
        items[name] = [*turned, *_spoilt(bench, wanted, rng)]
    return items


def original_items(bench: Workbench, one: FormSet) -> dict[str, list[Item]]:
    """Make the forms of a set of evidence exercises, of good photos, and take their people.

    The record that breaks the chain is drawn, 0 for none. The hashes of the key follow when the pictures are made.
    """
    items = {}
    for name in one.forms:
        rng = bench.rng("evidence", name)
        broken = rng.integers(CUSTODY_RECORDS + 1, size=one.block.trials).tolist()
        items[name] = _spoilt(bench, [EvidenceKey("", "", record) for record in broken], rng)
    return items


def _dealt(bench: Workbench, one: FormSet, rng: np.random.Generator) -> tuple[list[Item], list[TriageKey]]:
    """The items with a turned head, whose people are taken, and what the others are to be."""
    turned: list[Item] = []
    wanted = [TriageKey(Usability.USABLE, None, 0.0)] * one.block.usable
    # Rejected ones first: fewer heads are turned so far.
    for usability, count in ((Usability.REJECT, one.block.reject), (Usability.LIMITED, one.block.limited)):
        kinds = list(DEGRADATIONS)
        turn, dealt = int(rng.integers(len(kinds))), Counter[Degraded]()
        for _ in range(count):
            kind = kinds[turn % len(kinds)]
            item = None if DEGRADATIONS[kind].rendered else _turned(bench, usability, kind, rng)
            if item is not None:
                turned.append(item)
            else:
                while not DEGRADATIONS[kind].rendered:
                    turn += 1
                    kind = kinds[turn % len(kinds)]
                strengths = DEGRADATIONS[kind].strengths(usability)
                wanted.append(TriageKey(usability, kind, strengths[dealt[kind] % len(strengths)]))
                dealt[kind] += 1
            turn += 1
    return turned, wanted


def _turned(bench: Workbench, usability: Usability, kind: Degraded, rng: np.random.Generator) -> Item | None:
    """A photo of somebody free, turned far enough and not so far as for a worse verdict; None if there is none."""
    low = DEGRADATIONS[kind].strengths(usability)[0]
    high = DEGRADATIONS[kind].reject[0] if usability == Usability.LIMITED else 180.0
    found = [
        (person, photo)
        for person in np.flatnonzero(bench.free).tolist()
        for photo in bench.prepared.people[person].photos
        if low <= abs(photo.yaw_degrees) < high
        and item_id_of(_turned_key(usability, kind, photo), (Shown(photo),)) not in bench.learned.suspects
    ]
    if not found:
        return None
    person, photo = found[int(rng.integers(len(found)))]
    bench.take([person])
    key = _turned_key(usability, kind, photo)
    return bench.item((Shown(photo),), (person,), key, None)


def _turned_key(usability: Usability, kind: Degraded, photo: PoolPhoto) -> TriageKey:
    """Nothing is rendered: the photo is turned as it is."""
    return TriageKey(usability, kind, round(abs(photo.yaw_degrees), 1))


def _spoilt(bench: Workbench, wanted: Sequence[TriageKey | EvidenceKey], rng: np.random.Generator) -> list[Item]:
    """Deal good photos, of different people, to what they are to become."""
    if not wanted:
        return []
    good = sorted(
        (
            (*_badness(photo), person, photo)
            for person in bench.others(len(wanted), single=True).tolist()
            for photo in [min(bench.prepared.people[person].photos, key=_badness)]
        ),
        key=lambda row: row[:3],
    )[: OVERSUPPLY * len(wanted)]
    order = [good[number] for number in rng.permutation(len(good)).tolist()]
    items = []
    for key in wanted:
        fault = (key.degraded, key.strength) if isinstance(key, TriageKey) else (None, 0.0)
        shown = ((person, (Shown(photo, *fault),)) for *_, person, photo in order if bench.free[person])
        found = next((one for one in shown if item_id_of(key, one[1]) not in bench.learned.suspects), None)
        if found is None:
            raise TooFewPeople(message("error.bank.people_for_replacements", count=1), missing="1")
        bench.take([found[0]])
        items.append(bench.item(found[1], (found[0],), key, None))
    return items


def _badness(photo: PoolPhoto) -> tuple[bool, float]:
    """Frontal photos first, then those of best quality."""
    return abs(photo.yaw_degrees) > FRONTAL_DEGREES, -photo.quality_score
