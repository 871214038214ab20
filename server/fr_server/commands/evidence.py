"""`fr evidence verify`: whether an evidence bundle is whole and who signed it, on any machine, without the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fr_core import __version__
from fr_server.commands.audit import AsJson, read_pem
from fr_server.commands.reporting import CommandFailed, print_json, reporting

if TYPE_CHECKING:
    from fr_trust.evidence.verify import Verified


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="As `fr evidence export` writes it.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", metavar="PEM", help="Key that must have signed it, which came another way than the bundle."
        ),
    ] = None,
    audit_key: Annotated[
        Path | None,
        typer.Option("--audit-key", metavar="PEM", help="Key that must have signed its audit, likewise."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of an evidence bundle: exit status 1, with the first file that is wrong, unless it is whole.

    Without --public-key the bundle is checked against the key that lies in it, which anybody could have put there.
    """
    with reporting(as_json):
        from fr_trust.evidence.verify import verify_bundle

        from fr_core.errors import EvidenceUnusable

        if file.is_dir():
            what = f"{file} is a folder. Give the ZIP file as it came: what was unpacked from it cannot be checked."
            raise CommandFailed("FILE_UNREADABLE", what)
        expected, expected_audit = _text(public_key), _text(audit_key)
        try:
            found = verify_bundle(file, expected, expected_audit)
        except EvidenceUnusable as error:
            raise EvidenceUnusable(f"{error.metadata['file']}: {error.what}", **error.metadata) from error
    if as_json:
        print_json(asdict(found))
        return
    for sentence in _sentences(found):
        typer.echo("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in sentence))


def _text(path: Path | None) -> str | None:
    return None if path is None else read_pem(path)


def _sentences(found: Verified) -> Iterator[str]:
    """Yield what was checked, and what was not."""
    yield (
        f"The bundle is whole: {_counted(found.files, 'file')}, each as its manifest lists it; "
        f"{_counted(found.examinations, 'examination')} of case {found.case_reference} (purpose: {found.purpose})."
    )
    if found.by_expected_key:
        yield f"It is signed by the key that was given ({found.key_id})."
    else:
        yield (
            f"It is signed by the key that lies in it ({found.key_id}). Whose that is was not checked: anybody could "
            "have made it. Give the key of whoever is to have signed it with --public-key."
        )
    made = _when(found.made_ms)
    yield f"The signer says that {found.made_by} made it at {made}, with version {found.version}."
    if found.unfinished:
        yield f"{_counted(len(found.unfinished), 'examination')} of it had no conclusion then."
    yield from _audit_sentences(found)
    if found.page_compared:
        yield "Its page, report.html, is the one that its documents make, byte by byte."
    else:
        yield (
            f"Its page, report.html, was not compared with its documents: version {found.version} made it, and this "
            f"is {__version__}. It may say anything that the signer likes: check it with that version, or read the "
            "documents."
        )
    yield (
        "How templates were made of the photos (derivations.json), and what a calibration says of similarities, is "
        "what the signer says: nothing was measured again."
    )
    yield "That nobody changed it since does not say that a candidate is the person of the probe."


def _audit_sentences(found: Verified) -> Iterator[str]:
    audit = found.audit
    if audit is None:
        yield "It holds no audit: when and by whom the searches were made was not checked."
        return
    no_other = "" if audit.withheld else ", and of no other search of the case"
    yield (
        f"Its audit ({_counted(audit.records, 'record')}, up to number {audit.seq:,}) is whole, and says of each "
        f"search and finding what the bundle says{no_other}."
    )
    if audit.withheld:
        yield (
            f"It gives {_counted(audit.withheld, 'more record')} by the hash alone, as of other cases. The signer says "
            "so, and nothing in the bundle shows it: a search of this case that the signer left out would "
            "look the same. Whoever may read the audit can compare the hashes with those of an export of it "
            "(fr audit export)."
        )
    if audit.by_expected_key:
        yield f"The audit is signed by the key that was given ({audit.key_id})."
    else:
        yield (
            f"The audit is signed by the key that lies in the bundle ({audit.key_id}). Whose that is was not checked: "
            "give the key of the chain, CHAIN.pem of `fr audit checkpoint`, with --audit-key."
        )


def _when(milliseconds: int) -> str:
    """A time of the signer's choice, which may be none."""
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return "a time that is none"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
