"""Exports for wallets: a signed Open Badges 3.0 certificate for each trainee who completed the course; also to print.

The file is a JSON array of {"trainee_id", "credential", "jwt"}: `jwt` is what a trainee is given, `credential` the same
to read, and `trainee_id` says to whom it goes; the credential itself names nobody, not even by pseudonym.

A trainee completed the course who ended every sitting that is needed, and answered a trial in each of them. A sitting
of retention tests alone is not needed, unless a course has no other. The number of right answers plays no part, and a
credential holds no score: it says that somebody took a course, not that somebody can do anything.

`jwt` is a JSON Web Signature in compact form, RS256, with the public key in its header (Open Badges 3.0, "JSON Web
Token Proof Format"). Its payload is the credential with `iss`, `jti`, `nbf` and `sub`. The id of the issuer is a
`did:key`, which is that public key; see `signing.verify`. `validFrom` is when the last needed sitting ended, in whole
seconds, as `nbf` counts them. A second export with the same key is the same, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from fr_evaluation.html import escaped, page, paragraph
from fr_locales.messages import Message, message
from fr_locales.rendering import render
from fr_training.courses import Course
from fr_training.errors import NothingToReport
from fr_training.exports.values import CohortResults, instant, json_lines, urn
from fr_training.plan import CoursePlan, SittingPlan

CONTEXT: Final = ("https://www.w3.org/ns/credentials/v2", "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json")
NOTICE: Final = message("badge.notice")
_MS: Final = 1_000


def open_badges(of: CohortResults) -> str:
    """A credential for each trainee of a cohort who completed the course."""
    return json_lines(
        {"trainee_id": trainee_id, "credential": one, "jwt": _signed(of, one, finished_ms)}
        for trainee_id, one, finished_ms in _completed(of)
    )


def credentials(of: CohortResults) -> dict[str, dict[str, Any]]:
    """The credential of each trainee who completed the course, by pseudonym."""
    return {trainee_id: credential for trainee_id, credential, _ in _completed(of)}


def needed(plan: CoursePlan) -> tuple[SittingPlan, ...]:
    """The sittings that a certificate wants: all but those of retention tests alone; all where there are no others."""
    found = tuple(one for one in plan.sittings if any(block.occasion != "retention" for block in one.blocks))
    return found or plan.sittings


def _completed(of: CohortResults) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield trainee, credential, and when the last needed sitting ended, milliseconds since 1970, UTC."""
    ended = {(one.trainee_id, one.sitting): one.finished_ms for one in of.finished}
    sittings = needed(of.course.plan)
    for trainee_id, results in of.results.items():
        answered = [one for one in results if one.answer]
        names = {one.name for one in sittings} & {one.sitting for one in answered}
        times = [ended.get((trainee_id, one.name)) for one in sittings if one.name in names]
        known = [time for time in times if time is not None]
        if len(known) == len(sittings):
            done, planned = sum(one.sitting in names for one in answered), sum(one.trials for one in sittings)
            narrative = render(message("badge.answered", done=done, planned=planned, notice=NOTICE))
            yield trainee_id, _credential(of, trainee_id, max(known), narrative), max(known)


def _signed(of: CohortResults, credential: dict[str, Any], finished_ms: int) -> str:
    claims = {
        "iss": credential["issuer"]["id"],
        "jti": credential["id"],
        "nbf": finished_ms // _MS,  # seconds since 1970
        "sub": credential["credentialSubject"]["id"],
    }
    return of.signing_key.sign({**credential, **claims})


def _credential(of: CohortResults, trainee_id: str, finished_ms: int, told: str) -> dict[str, Any]:
    course = of.course
    return {
        "@context": list(CONTEXT),
        "id": urn("credential", course.course_id, trainee_id),
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "issuer": {"id": of.signing_key.did, "type": ["Profile"], "name": render(message("badge.issuer"))},
        "validFrom": instant(finished_ms // _MS * _MS),
        "name": course.plan.title,
        "description": render(NOTICE),
        "credentialSubject": {
            "id": urn("subject", course.course_id, trainee_id),
            "type": ["AchievementSubject"],
            "narrative": told,
            "achievement": _achievement(course),
        },
    }


def _achievement(course: Course) -> dict[str, Any]:
    sittings = ", ".join(f"“{one.title}”" for one in needed(course.plan))
    return {
        "id": urn("achievement", course.course_id),
        "type": ["Achievement"],
        "achievementType": "CertificateOfCompletion",
        "name": course.plan.title,
        "description": render(message("badge.achievement", notice=NOTICE)),
        "criteria": {"narrative": render(message("badge.criteria", sittings=sittings, notice=NOTICE))},
    }


STYLE = """
body { font-size: 18px; text-align: center; box-sizing: border-box; border: 3px double; padding: 2rem 3rem; }
h1 { font-size: 2.2rem; margin: 1rem 0; }
.course { font-size: 1.5rem; font-weight: 600; }
.line { display: inline-block; width: 18rem; margin: 3.5rem 1.5rem 0; padding-top: .2rem; border-top: 1px solid; }
.name { width: 28rem; }
.small { font-size: .75rem; overflow-wrap: anywhere; margin-top: 1.5rem; }
@media print {
  @page { size: A4 landscape; }
  body { min-height: 178mm; padding: 3rem; }
  .line { margin-top: 5rem; }
}
"""


def certificate_html(of: CohortResults, trainee_id: str) -> str:
    """The whole file; raises `NothingToReport` if the trainee has not completed the course."""
    credential = credentials(of).get(trainee_id)
    if credential is None:
        raise NothingToReport(message("error.report.not_completed"))
    day = message("certificate.day", day=date.fromisoformat(credential["validFrom"][:10]))
    proof = message("certificate.id", number=credential["id"].removeprefix("urn:uuid:"))
    parts = (
        _line(message("certificate.name"), "name"),
        paragraph(message("certificate.course")),
        f'<p class="course">{escaped(credential["name"])}</p>\n',
        paragraph(day),
        _line(message("certificate.trainer")),
        _line(message("certificate.place")),
        *(f'<p class="small">{escaped(one)}</p>\n' for one in (credential["credentialSubject"]["narrative"], proof)),
    )
    return page(message("certificate.title"), "".join(parts), STYLE)


def _line(under: Message, kind: str = "") -> str:
    """A line to write on, with what belongs there."""
    return f'<div class="line {kind}">{escaped(under)}</div>\n'
