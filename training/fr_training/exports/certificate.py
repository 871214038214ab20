"""Writes a certificate of completion to print: the Open Badge of `open_badges` as one page, with room for a name.

The server knows no names: the trainer writes the name by hand, and signs.
"""

from __future__ import annotations

from html import escape

from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, render
from fr_training.errors import NothingToReport
from fr_training.exports.open_badges import credentials
from fr_training.exports.values import CohortResults

STYLE = """
@page { size: A4 landscape; margin: 15mm; }
body { font: 18px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; text-align: center; color: #1a1a1a; }
main { border: 3px double #555; padding: 2rem; }
h1 { font-size: 2rem; }
.line { border-bottom: 1px solid #555; width: 24rem; height: 3rem; margin: 0 auto; }
.small { font-size: .75rem; overflow-wrap: anywhere; }
"""


def certificate_html(of: CohortResults, trainee_id: str) -> str:
    """The whole file; raises `NothingToReport` if the trainee has not completed the course."""
    credential = credentials(of).get(trainee_id)
    if credential is None:
        raise NothingToReport(message("error.report.not_completed"))
    title, day = message("certificate.title"), str(credential["validFrom"])[:10]
    lines = (message("certificate.course", course=credential["name"]), message("certificate.day", day=day))
    words = "".join(f"<p>{_text(one)}</p>\n" for one in lines)
    rooms = "".join(
        f'<div class="line"></div><p class="small">{_text(one)}</p>\n'
        for one in (message("certificate.name"), message("certificate.trainer"))
    )
    subject, issuer = credential["credentialSubject"], credential["issuer"]
    small = "".join(
        f'<p class="small">{escape(one)}</p>\n'
        for one in (
            subject["narrative"],
            render(message("certificate.id", credential=credential["id"], issuer=issuer["id"])),
        )
    )
    return (
        f'<!doctype html>\n<html lang="{ENGLISH}">\n<head>\n<meta charset="utf-8">\n<title>{_text(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_text(title)}</h1>\n{words}{rooms}{small}</main>\n"
        "</body>\n</html>\n"
    )


def _text(words: Message) -> str:
    return escape(render(words))
