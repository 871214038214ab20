"""`fr evidence verify`: checks the integrity and the signer of an evidence bundle, without the server."""

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
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Bundle from `fr evidence export`.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="PEM",
            help="Public key of the expected signer, received separately from the bundle.",
        ),
    ] = None,
    audit_key: Annotated[
        Path | None,
        typer.Option(
            "--audit-key", metavar="PEM", help="Public key of the expected signer of its audit, received separately."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of an evidence bundle. If a file is wrong, name the first one and exit with status 1.

    Without --public-key, the command uses the key in the bundle, which anyone could have put there.
    """
    with reporting(as_json):
        from fr_core.errors import EvidenceUnusable
        from fr_trust.evidence.verify import verify_bundle

        if file.is_dir():
            what = f"{file} is a folder. Give the original ZIP file: the command cannot check unpacked files."
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
    """Yield the results of the check, and its limits."""
    yield (
        f"The bundle is intact: {_counted(found.files, 'file')}, each as listed in its manifest; "
        f"{_counted(found.examinations, 'examination')} of case {found.case_reference} (purpose: {found.purpose})."
    )
    if found.by_expected_key:
        yield f"The given key signed it ({found.key_id})."
    else:
        yield (
            f"The key inside the bundle signed it ({found.key_id}). Anyone could have made this key. To check the "
            "signer, give the expected signer's key with --public-key."
        )
    made = _when(found.made_ms)
    yield f"The signer says that {found.made_by} made it at {made}, with version {found.version}."
    if found.unfinished:
        yield f"{_counted(len(found.unfinished), 'examination')} had no conclusion at that time."
    yield from _audit_sentences(found)
    if found.page_compared:
        yield "Its page, report.html, matches its documents, byte for byte."
    else:
        yield (
            f"Its page, report.html, was not compared with its documents, because version {found.version} made it and "
            f"this is version {__version__}. The signer could have written anything there. Check it with version "
            f"{found.version}, or read the documents."
        )
    yield (
        "The check measured nothing again. It takes the signer's word for how templates were made from the photos "
        "(derivations.json) and for the calibration."
    )
    yield "An unchanged bundle does not prove that a candidate is the person in the probe."


def _audit_sentences(found: Verified) -> Iterator[str]:
    audit = found.audit
    if audit is None:
        yield "It contains no audit, so the check could not confirm who made the searches, or when."
        return
    no_other = "" if audit.withheld else ". It shows no other search in the case"
    yield (
        f"Its audit ({_counted(audit.records, 'record')}, up to number {audit.seq:,}) is intact and agrees with the "
        f"bundle about each search and finding{no_other}."
    )
    if audit.withheld:
        yield (
            f"It contains only the hash of {_counted(audit.withheld, 'more record')}. According to the signer, they "
            "belong to other cases. The bundle cannot prove that: a search in this case that the signer left out "
            "would look the same. A person who may read the audit can compare the hashes with those in an export "
            "(fr audit export)."
        )
    if audit.by_expected_key:
        yield f"The given key signed the audit ({audit.key_id})."
    else:
        yield (
            f"The key inside the bundle signed the audit ({audit.key_id}). To check the signer, give the key of the "
            "chain (CHAIN.pem from `fr audit checkpoint`) with --audit-key."
        )


def _when(milliseconds: int) -> str:
    """Return the signer's time as text; the signer may have written an invalid one."""
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return "an invalid time"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
