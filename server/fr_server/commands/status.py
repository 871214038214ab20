"""`fr server status`: lists the servers that share a database."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from fr_locales.messages import message
from fr_server.commands.gallery import ConfigFile
from fr_server.commands.reporting import AsJson, print_json, reporting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fr_core.gallery.store.lag import Lag
    from fr_core.storage.members import Member

_HEAD = ("NAME", "ADDRESS", "VERSION", "SINCE", "HEARD", "BEHIND", "JOBS")


def status(
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the servers that share a PostgreSQL database: registered since, last heartbeat, and jobs.

    BEHIND says how many versions a server lags, and for how long, in the gallery that has waited longest; searches
    that need them wait. --json lists every gallery. A server that died stays in the list for up to 20 seconds.
    """
    from fr_core.errors import ConfigInvalid
    from fr_core.gallery.search.following import SCOPE
    from fr_core.gallery.store.lag import lags_of
    from fr_core.storage.outside import servers_of
    from fr_server.config import load_config
    from fr_server.config.folders import postgres_of

    with reporting(as_json):
        server = postgres_of(load_config(config, environ=os.environ))
        if server is None:
            raise ConfigInvalid(message("error.server.status_needs_postgres"), key="storage.url")
        members, holders = servers_of(server)
        lags = lags_of(server, [member.applied.get(SCOPE, 0) for member in members]) if members else []
    found = [_described(*one, holders) for one in zip(members, lags, strict=True)]
    if as_json:
        print_json({"servers": found})
    elif found:
        _print([_HEAD, *map(_row, found)])
    else:
        typer.echo("No server is running.")


def _described(member: Member, lags: Sequence[Lag], holders: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": member.itself.name,
        "address": member.itself.address,
        "version": member.itself.version,
        "since": datetime.fromtimestamp(member.since_ms / 1000, UTC).isoformat(timespec="seconds"),
        "heard_s": round(member.heard_s, 1),
        "jobs": sorted(name for name, holder in holders.items() if holder == member.itself.name),
        "behind": [
            {"gallery_id": lag.gallery_id, "versions": lag.versions, "seconds": round(lag.seconds, 1)} for lag in lags
        ],
    }


def _row(server: Mapping[str, Any]) -> tuple[str, ...]:
    worst = next(iter(server["behind"]), None)
    return (
        server["name"],
        server["address"],
        server["version"],
        server["since"],
        f"{server['heard_s']:g} s ago",
        f"{worst['versions']} versions, {worst['seconds']:g} s" if worst else "-",
        ", ".join(server["jobs"]) or "-",
    )


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
