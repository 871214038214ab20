"""Writes a certificate of completion to print: the Open Badge of `open_badges` as one page, with room for a name.

The server knows no names: the trainer writes the name by hand, and signs.
"""

from __future__ import annotations

from fr_evaluation.html import escaped, page, paragraph
from fr_locales.messages import Message, message
from fr_training.errors import NothingToReport
from fr_training.exports.open_badges import credentials
from fr_training.exports.values import CohortResults

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
    day = message("certificate.day", day=str(credential["validFrom"])[:10])
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
