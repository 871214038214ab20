"""Ask for known vulnerabilities of every version that the locks name, and never take silence for an answer.

A mirror of a package registry may serve every package and know nothing of advisories; `pip-audit` then finds nothing to
complain of, and says so. So a service is asked first about a release whose vulnerabilities are known. One that does not
report them has not answered, and the last line is "NOT CHECKED".

Where no service answers, advisories can be brought as a file: `--advisories FILE`, or FR_ADVISORIES, names the archive
of the ecosystem PyPI that osv.dev exports (all.zip).

Exit status: 0 where nothing is known, or, unless `--required`, where nothing could be checked; 1 where a vulnerability
is known; 2 where nothing could be checked, with `--required`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lock_file import LOCKS, ROOT, read_lock
from osv_archive import ArchiveUnusable, known_in_archive

Release = tuple[str, str]
"""(canonical name, version)."""

CANARY: Release = ("requests", "2.19.0")
"""Has known vulnerabilities: CVE-2018-18074, and others that came to light later."""

ACCEPTED: Mapping[str, str] = {}
"""Ids of advisories that may stay, each with the reason why what they tell of cannot happen here."""

SERVICES = ("pypi", "osv")

# A machine without a network must not wait; all the versions of the locks take some ten seconds where there is one.
_CONNECT_S = 5
_CANARY_S = 20
_ALL_S = 300


class ServiceSilent(Exception):
    """A service of advisories did not answer; the text says how, in one line."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where advisories are asked for.

    Attributes:
        name: pypi or osv, as `pip-audit` knows them.
        url: of an OSV service of one's own; None = the public one.
    """

    name: str
    url: str | None = None

    def known(self, releases: Sequence[Release], limit_s: float) -> dict[Release, list[str]]:
        """The ids of the advisories for each release that has any.

        Raises:
            ServiceSilent: the service cannot be reached, or knows nothing of a release.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "releases.txt"
            file.write_text("".join(f"{name}=={version}\n" for name, version in releases), encoding="utf-8")
            command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
            command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(_CONNECT_S)]
            command += ["--vulnerability-service", self.name, *(["--osv-url", self.url] if self.url else [])]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
            except subprocess.TimeoutExpired as error:
                raise ServiceSilent(f"{self.name} did not answer within {limit_s:.0f} s") from error
        return answers(self.name, done.stdout, releases)


def answers(name: str, printed: str, releases: Sequence[Release]) -> dict[Release, list[str]]:
    """What `pip-audit` printed as JSON of releases: the ids of the advisories for each that has any.

    Raises:
        ServiceSilent: it printed nothing, or skipped a release; it then says that no vulnerability was found.
    """
    try:
        told = json.loads(printed)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ServiceSilent(f"{name} cannot be reached") from error
    answered = [each for each in told if "skip_reason" not in each]
    if len(answered) != len(releases):
        unknown = len(releases) - len(answered)
        raise ServiceSilent(f"{name} does not know {unknown} of {len(releases)} releases")
    return {(each["name"], each["version"]): [v["id"] for v in each["vulns"]] for each in answered if each["vulns"]}


def ask(services: Sequence[Service], releases: Sequence[Release]) -> tuple[str, dict[Release, list[str]]]:
    """What the first service that answers knows of the releases, and the name of the service.

    Raises:
        ServiceSilent: none answers.
    """
    silent = []
    for service in services:
        try:
            if CANARY not in service.known([CANARY], _CANARY_S):
                raise ServiceSilent(f"{service.name} does not report the known vulnerabilities of {'=='.join(CANARY)}")
            found: dict[Release, list[str]] = {}
            for some in one_of_each(releases):
                found |= service.known(some, _ALL_S)
            return service.name, found
        except ServiceSilent as error:
            silent.append(str(error))
    raise ServiceSilent("; ".join(silent))


def one_of_each(releases: Sequence[Release]) -> list[list[Release]]:
    """Releases in lists that name each package once, which is what `pip-audit` takes."""
    lists: list[list[Release]] = []
    for release in releases:
        free = next((each for each in lists if all(name != release[0] for name, _ in each)), None)
        if free is None:
            lists.append([release])
        else:
            free.append(release)
    return lists


def locked() -> list[Release]:
    """Every release that a lock names, for whatever Python and machine."""
    return sorted({(pin.name, pin.version) for lock in LOCKS for pin in read_lock(ROOT / lock)})


def report(source: str, found: Mapping[Release, Sequence[str]], number: int) -> int:
    """Print what is known; the exit status."""
    bad = 0
    for (name, version), ids in sorted(found.items()):
        for advisory in ids:
            if advisory in ACCEPTED:
                print(f"{name} {version}: {advisory}, accepted: {ACCEPTED[advisory]}")
            else:
                bad += 1
                print(f"{name} {version}: {advisory}", file=sys.stderr)
    if bad:
        print(
            f"Known vulnerabilities: {bad}, by {source}. `make lock UPGRADE=1` takes newer versions.", file=sys.stderr
        )
        return 1
    print(f"Known vulnerabilities: none of {number} releases, by {source}.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the locks, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", choices=SERVICES, help="ask this one alone")
    parser.add_argument("--osv-url", help="query URL of an OSV service of your own")
    parser.add_argument("--advisories", type=Path, default=os.environ.get("FR_ADVISORIES") or None)
    parser.add_argument("--required", action="store_true", help="fail where nothing could be checked")
    options = parser.parse_args(arguments)
    releases = locked()
    try:
        if options.advisories is not None:
            source, found = known_in_archive(Path(options.advisories), releases, CANARY)
        else:
            names = [options.service] if options.service else ["osv"] if options.osv_url else list(SERVICES)
            services = [Service(name, options.osv_url if name == "osv" else None) for name in names]
            source, found = ask(services, releases)
    except (ServiceSilent, ArchiveUnusable) as error:
        print(f"WARNING. Known vulnerabilities: NOT CHECKED ({error}).", file=sys.stderr)
        print("Whether the locked versions have any is not known. Ask where there is a network.", file=sys.stderr)
        return 2 if options.required else 0
    return report(source, found, len(releases))


if __name__ == "__main__":
    sys.exit(main())
