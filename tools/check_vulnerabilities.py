"""Asks `pip-audit` for known vulnerabilities of every version that the locks name, and takes no silence for an answer.

A mirror of a package registry may serve every package and know no advisory; `pip-audit` then finds nothing. So this
asks first about a release whose vulnerabilities are known. A service that does not report them has not answered, and
the last line is "NOT CHECKED".

Exit status: 0 if none is known, or, without `--required`, if nothing could be checked; 1 if a vulnerability is known; 2
if nothing could be checked, with `--required`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from lock_file import LOCKS, ROOT, read_lock

Release = tuple[str, str]  # (canonical name, version)
Service = Sequence[str]  # the options of `pip-audit` that choose a service of advisories; the last word names it

CANARY: Release = ("requests", "2.19.0")
"""Has known vulnerabilities: CVE-2018-18074, and others that came to light later."""

ACCEPTED: Mapping[str, str] = {}  # ids of advisories that may stay, each with the reason why they cannot happen here

SERVICES: Sequence[Service] = (["--vulnerability-service", "pypi"], ["--vulnerability-service", "osv"])

# A machine without a network must not wait; all the versions of the locks take some ten seconds where there is one.
_CONNECT_S = 5
_CANARY_S = 20
_ALL_S = 300


class ServiceSilent(Exception):
    """A service of advisories did not answer; the text says how, in one line."""


def known(service: Service, releases: Sequence[Release], limit_s: float) -> dict[Release, list[str]]:
    """Return the ids of the advisories for each release that has any; raises `ServiceSilent` as `answers`."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in releases)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--requirement",
            file.name,
            "--no-deps",
            "--disable-pip",
            *service,
        ]
        command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(_CONNECT_S)]
        command += [word for advisory in ACCEPTED for word in ("--ignore-vuln", advisory)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise ServiceSilent(f"{service[-1]} did not answer within {limit_s:.0f} s") from error
    return answers(service[-1], done.stdout, releases)


def answers(name: str, printed: str, releases: Sequence[Release]) -> dict[Release, list[str]]:
    """Return the ids of the advisories for each release that has any, from the JSON that `pip-audit` printed.

    Raises `ServiceSilent` if it printed nothing, or skipped a release; it then says that no vulnerability was found.
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
    """Return the name of the first service that answers, and its advisories; raises `ServiceSilent` if none answers."""
    silent = []
    for service in services:
        try:
            if CANARY not in known(service, [CANARY], _CANARY_S):
                raise ServiceSilent(f"{service[-1]} does not report the known vulnerabilities of {'=='.join(CANARY)}")
            found: dict[Release, list[str]] = {}
            for some in one_of_each(releases):
                found |= known(service, some, _ALL_S)
            return service[-1], found
        except ServiceSilent as error:
            silent.append(str(error))
    raise ServiceSilent("; ".join(silent))


def one_of_each(releases: Sequence[Release]) -> list[list[Release]]:
    """Split releases into lists that name each package once: `pip-audit` takes no other."""
    lists: list[dict[str, Release]] = []
    for release in releases:
        free = next((each for each in lists if release[0] not in each), None)
        if free is None:
            lists.append(free := {})
        free[release[0]] = release
    return [list(each.values()) for each in lists]


def locked() -> list[Release]:
    """Return every release that a lock names, for whatever Python and machine."""
    return sorted({(pin.name, pin.version) for lock in LOCKS for pin in read_lock(ROOT / lock)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the locks, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osv-url", help="query URL of an OSV service of your own; asks no other")
    parser.add_argument("--required", action="store_true", help="fail if nothing could be checked")
    options = parser.parse_args(arguments)
    own = ["--osv-url", options.osv_url, "--vulnerability-service", "osv"]
    releases = locked()
    try:
        source, found = ask([own] if options.osv_url else SERVICES, releases)
    except ServiceSilent as error:
        print(f"WARNING. Known vulnerabilities: NOT CHECKED ({error}).", file=sys.stderr)
        print("Ask again on a machine with a network: this needs only the locks.", file=sys.stderr)
        return 2 if options.required else 0
    for (name, version), ids in sorted(found.items()):
        print(f"{name} {version}: {', '.join(ids)}", file=sys.stderr)
    if found:
        print(f"Known vulnerabilities, by {source}. `make lock UPGRADE=1` takes newer versions.", file=sys.stderr)
        return 1
    print(f"Known vulnerabilities: none of {len(releases)} releases, by {source}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
