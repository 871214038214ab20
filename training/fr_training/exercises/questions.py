"""Puts the questions of labs, evidence exercises and lessons into words, as far as a step may know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fr_locales.messages import Message, Written, message
from fr_training.prompts import Evidence, Lab, LabKind, LabRow, LessonPart, Measured, Question, Step

_NAMED: Final[Mapping[LabKind, Message]] = {
    LabKind.THRESHOLD: message("lab.column_threshold"),
    LabKind.GALLERY: message("lab.column_gallery"),
    LabKind.QUALITY: message("lab.column_quality"),
    LabKind.GROUPS: message("lab.column_groups"),
}
_FAULT: Final[Mapping[str, Message]] = {
    "blur": message("lab.blur"),
    "noise": message("lab.noise"),
    "resolution": message("lab.resolution"),
    "compression": message("lab.compression"),
}


RECORDS, PUBLIC_KEY = "trial-records.jsonl", "trial-public.pem"
"""Names of the files of an evidence exercise, as `fr train run` keeps them beside its picture."""


def question(step: Step, asked: Lab | Evidence | LessonPart) -> Question:
    """The question at a step; at PREDICT nothing of the row that is asked for but its setting.

    The records of an evidence exercise come with its last step, when what it asks before is locked. The options of a
    lesson stand in its own order, as trainers see them.
    """
    match asked:
        case Evidence():
            return _of_evidence(step, asked)
        case Lab():
            return _of_lab(step, asked)
    return Question(
        message("lesson.asked", lesson=asked.lesson_title, part=asked.title, question=asked.question),
        (message("lesson.column_number"), message("lesson.column_option")),
        tuple((str(number), option) for number, option in enumerate(asked.options, start=1)),
    )


def _of_evidence(step: Step, asked: Evidence) -> Question:
    match step:
        case Step.HASH:
            return Question(message("evidence.hash"))
        case Step.DERIVE:
            x, y, width, height = asked.box
            return Question(message("evidence.derive", x=x, y=y, width=width, height=height))
        case Step.NOTE:
            return Question(message("evidence.limitation"))
    return Question(
        message("evidence.conclude", records=RECORDS, public_key=PUBLIC_KEY),
        files=((RECORDS, asked.records), (PUBLIC_KEY, asked.public_key)),
    )


def _of_lab(step: Step, lab: Lab) -> Question:
    if step == Step.PREDICT:
        return Question(_predict(lab))
    return Question(
        _conclude(lab),
        (message("lab.column_row"), _NAMED[lab.kind], *_columns(lab.kind)),
        tuple((str(n), *_told(lab, row)) for n, row in enumerate(lab.rows, start=1)),
    )


def _predict(lab: Lab) -> Message:
    given, asked = lab.rows[lab.given], lab.rows[lab.asked]
    false, missed, threshold = _percent(given.false), _percent(given.missed), Written(f"{lab.threshold:.3f}")
    match lab.kind:
        case LabKind.THRESHOLD:
            return message(
                "lab.threshold_predict",
                mated=given.missed.total,
                nonmated=given.false.total,
                given=given.name,
                false=false,
                missed=missed,
                asked=asked.name,
                asked_false=_percent(asked.false),
            )
        case LabKind.GALLERY:
            return message("lab.gallery_predict", threshold=threshold, given=given.name, false=false, asked=asked.name)
        case LabKind.QUALITY:
            return message(
                "lab.quality_predict",
                mated=given.missed.total,
                threshold=threshold,
                missed=missed,
                fault=_FAULT[lab.fault],
                asked=asked.name,
            )
        case LabKind.GROUPS:
            return message("lab.groups_predict", threshold=threshold, given=given.name, false=false, asked=asked.name)


def _conclude(lab: Lab) -> Message:
    match lab.kind:
        case LabKind.THRESHOLD:
            return message("lab.threshold_conclude", limit=Written(f"{lab.limit:g}"))
        case LabKind.GALLERY:
            return message("lab.gallery_conclude", one_in=Written(f"{lab.limit:g}"))
        case LabKind.QUALITY:
            return message("lab.quality_conclude", limit=Written(f"{lab.limit:g}"))
        case LabKind.GROUPS:
            return message("lab.groups_conclude")


def _columns(kind: LabKind) -> tuple[Message, Message]:
    if kind == LabKind.GALLERY:
        return message("lab.column_leads"), message("lab.column_not_found")
    return message("lab.column_false"), message("lab.column_missed")


def _told(lab: Lab, row: LabRow) -> tuple[Message | str, Message, Message]:
    as_it_is = lab.kind == LabKind.QUALITY and row.name == "0"
    return message("lab.as_it_is") if as_it_is else row.name, _share(row.false), _share(row.missed)


def _share(one: Measured) -> Message:
    return message(
        "lab.share",
        part=one.count,
        total=one.total,
        percent=_percent(one),
        low=_number(100.0 * one.low),
        high=_number(100.0 * one.high),
    )


def _percent(one: Measured) -> Written:
    return _number(one.percent)


def _number(percent: float) -> Written:
    """Three digits, and no exponent: people read it."""
    digits = 1 if percent >= 10.0 else 2 if percent >= 0.1 or not percent else 4
    return Written(f"{percent:.{digits}f}")
