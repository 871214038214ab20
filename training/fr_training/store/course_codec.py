"""Courses as bytes, and back: a JSON object with the version of its layout under "layout"."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from fr_core.types import ModelId
from fr_training.answers import Degraded, Usability
from fr_training.courses import Course, Forecast, Form, Item, OperatingPoints, Share
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import BlockPlan, CoursePlan, SittingPlan, SlotKind, SlotPlan
from fr_training.prompts import Evidence, ExerciseKind, Lab, LabKind, LabRow, LessonFigure, LessonPart, Measured
from fr_training.store.codec import dump, reading

LAYOUT = 1

# By name, so that what later versions add to a plan is kept, and has its default where an older version wrote it.
_PLAN_FIELDS = tuple(one.name for one in fields(CoursePlan) if one.name != "sittings")

_PACKING_KEYS: Mapping[type, Callable[[Any], list[Any]]] = {
    PairKey: lambda key: ["pair", key.mated, key.similarity, key.log10_lr, key.advice_same],
    TriadKey: lambda key: ["triad", key.odd, key.machine_odd, key.margin],
    ListKey: lambda key: ["list", key.mate, key.similarities, key.scored],
    TriageKey: lambda key: [
        "triage",
        key.usability.value,
        None if key.degraded is None else key.degraded.value,
        key.strength,
    ],
    EvidenceKey: lambda key: ["evidence", key.original, key.crop, key.broken],
    LabKey: lambda key: ["lab", key.kind.value, key.right, key.measured, key.low, key.high],
    LessonKey: lambda key: ["lesson", key.lesson, key.section, key.right, key.reasons],
}
_UNPACKING_KEYS: Mapping[str, Callable[..., AnswerKey]] = {
    "pair": PairKey,
    "triad": TriadKey,
    "list": lambda mate, similarities, scored: ListKey(mate, tuple(similarities), scored),
    "triage": lambda usability, degraded, strength: TriageKey(
        Usability(usability), None if degraded is None else Degraded(degraded), strength
    ),
    "evidence": EvidenceKey,
    "lab": lambda kind, *figures: LabKey(LabKind(kind), *figures),
    "lesson": lambda lesson, section, right, reasons: LessonKey(lesson, section, right, tuple(reasons)),
}


def pack_course(course: Course) -> bytes:
    """The bytes of a course, its id left out: that is a column."""
    return dump(
        {
            "layout": LAYOUT,
            "plan": _packed_plan(course.plan),
            "datasets": course.datasets,
            "terms": course.terms,
            "model": [course.model.pack, course.model.version, course.model.sha256],
            "seed": course.seed,
            "forms": [
                [form.name, form.manifest_sha256, list(map(_packed_item, form.items))] for form in _forms(course)
            ],
            "gallery_id": course.gallery_id,
            "created_ms": course.created_ms,
            "manifest_sha256": course.manifest_sha256,
            "excluded": dict(course.excluded),
            "learned": [course.learned_from, course.learned_items, course.quarantined_items],
            "forecasts": [asdict(one) for one in course.forecasts],
            "machine": course.machine,
            "excluded_items": course.excluded_items,
            "made_from": [course.source, course.photos_left_out],
        }
    )


def unpack_course(course_id: str, data: bytes) -> Course:
    """The course of bytes; raises `StoreCorrupt` where they are those of none."""
    with reading("course"):
        raw = json.loads(data)
        return _COURSES[raw["layout"]](course_id, raw)


def _course_1(course_id: str, raw: dict[str, Any]) -> Course:
    forms = [Form(name, tuple(map(_item, items)), sha256) for name, sha256, items in raw["forms"]]
    learned_from, learned_items, quarantined_items = raw.get("learned", ((), 0, 0))  # earlier versions wrote none
    source, photos_left_out = raw.get("made_from", ("", ()))
    return Course(
        course_id,
        _plan(raw["plan"]),
        tuple(raw["datasets"]),
        tuple(raw["terms"]),
        ModelId(*raw["model"]),
        raw["seed"],
        MappingProxyType({form.name: form for form in forms}),
        raw["gallery_id"],
        raw["created_ms"],
        raw["manifest_sha256"],
        MappingProxyType(raw["excluded"]),
        tuple(learned_from),
        learned_items,
        quarantined_items,
        tuple(Forecast(**{**one, "right": Share(*one["right"])}) for one in raw.get("forecasts", ())),
        OperatingPoints(*raw.get("machine", ())),  # earlier versions wrote none
        tuple(raw.get("excluded_items", ())),  # nor these
        source,
        tuple(photos_left_out),
    )


_COURSES: dict[int, Callable[[str, dict[str, Any]], Course]] = {1: _course_1}


def _forms(course: Course) -> list[Form]:
    for name, form in course.forms.items():
        if name != form.name:
            raise ValueError("a form goes by another name than its own")
    return list(course.forms.values())


def _packed_item(item: Item) -> list[Any]:
    key = None if item.key is None else _PACKING_KEYS[type(item.key)](item.key)
    asked = None if item.asked is None else asdict(item.asked)
    more = [asked, item.times] if item.times else [asked] if asked else []  # at the end, as earlier versions wrote none
    return [item.item_id, item.photos, key, item.b, item.people, dict(item.groups), *more]


def _item(packed: list[Any]) -> Item:
    item_id, photos, key, b, people, groups, *more = packed
    asked, times = more[0] if more else None, more[1] if len(more) > 1 else ()
    answer_key = None if key is None else _UNPACKING_KEYS[key[0]](*key[1:])
    told = None if asked is None else _asked(asked)
    return Item(item_id, tuple(photos), answer_key, b, tuple(people), MappingProxyType(groups), told, tuple(times))


def _asked(raw: dict[str, Any]) -> Lab | Evidence | LessonPart:
    if "lesson" in raw:
        figures = tuple(LessonFigure(**one) for one in raw["figures"])
        lists = {name: tuple(raw[name]) for name in ("options", "sources", "order")}
        return LessonPart(**{**raw, **lists, "figures": figures})
    return Evidence(**{**raw, "box": tuple(raw["box"])}) if "box" in raw else _lab(**raw)


def _lab(kind: str, rows: list[dict[str, Any]], **fields: Any) -> Lab:
    told = (LabRow(row["name"], Measured(**row["false"]), Measured(**row["missed"])) for row in rows)
    return Lab(LabKind(kind), tuple(told), **fields)


def _packed_plan(plan: CoursePlan) -> dict[str, Any]:
    sittings = [
        [one.name, one.title, list(map(asdict, one.blocks)), one.starts, list(map(asdict, one.slots))]
        for one in plan.sittings
    ]
    return {**{name: getattr(plan, name) for name in _PLAN_FIELDS}, "sittings": sittings}


def _plan(raw: dict[str, Any]) -> CoursePlan:
    return CoursePlan(**{**raw, "sittings": tuple(map(_sitting, raw["sittings"]))})


def _sitting(raw: list[Any]) -> SittingPlan:
    name, title, blocks, *timetable = raw
    starts, slots = timetable or (0, ())  # earlier versions wrote none
    told = (SlotPlan(**{**one, "kind": SlotKind(one["kind"])}) for one in slots)
    return SittingPlan(name, title, tuple(map(_block, blocks)), starts, tuple(told))


def _block(raw: dict[str, Any]) -> BlockPlan:
    return BlockPlan(**{**raw, "exercise": ExerciseKind(raw["exercise"]), "forms": tuple(raw["forms"])})
