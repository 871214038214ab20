"""docs/access.md: who may call what, from the table of the guard."""

from itertools import groupby

from docs_pages import filled
from fr_server.authz.rules import Coarse, Kind, Rule, ScopeKind
from fr_server.authz.scope import gallery_id_of
from fr_server.authz.table import RULES
from fr_server.config.tree import AccessConfig
from fr_server.rpc.interceptors.streams import RECHECK_S
from fr_trust.access.keys import MAX_LIFETIME_MS, MAX_OVERLAP_MS
from fr_trust.access.principal import MAX_PATTERNS, Role

_DAY_MS = 86_400_000

_ROLES = {
    Role.TRAINEE: "Joins a course with a code, answers trials, reads their own report.",
    Role.TRAINER: "Makes courses and cohorts, reads their reports, measures the model's errors.",
    Role.OPERATOR: "Enrols, searches, opens cases and searches for them.",
    Role.EXAMINER: "Judges the leads of a search. Neither searches nor compares.",
    Role.AUDITOR: "Reads and checks the audit. Sees no face and no template.",
    Role.ADMIN: "Makes keys and galleries, and deletes. Neither enrols nor searches.",
}


def page() -> str:
    """Return the page."""
    roles = "".join(f"| `{role}` | {_ROLES[role]} |\n" for role in Role)
    services = groupby(RULES.items(), key=lambda item: item[0].strip("/").split("/")[0])
    return filled(
        "access",
        roles=roles,
        calls="".join(_service(name, dict(rules)) for name, rules in services),
        years=MAX_LIFETIME_MS // (365 * _DAY_MS),
        overlap_days=MAX_OVERLAP_MS // _DAY_MS,
        recheck_s=f"{RECHECK_S:g}",
        key_days=AccessConfig().key_days,
        patterns=MAX_PATTERNS,
        gallery=gallery_id_of("ID"),
    )


def _service(name: str, rules: dict[str, Rule]) -> str:
    head = f"""
### {name.rpartition(".")[2]}

| call | Te | Tr | Op | Ex | Au | Ad | does | scope | states | coarse | why |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
    return head + "".join(_row(method.rpartition("/")[2], rule) for method, rule in rules.items())


def _row(name: str, rule: Rule) -> str:
    roles = " | ".join(_allowed(role, rule) for role in Role)
    searches = ", search" if rule.counts_as_search else f", search with `{rule.search_if}`" if rule.search_if else ""
    coarse = {Coarse.AS_IS: "", Coarse.ROUNDED: "rounded", Coarse.REFUSED: "refused"}[rule.coarse]
    return f"| {name} | {roles} | {Kind(rule.kind).value}{searches} | {_scope(rule)} | {rule.stated} | {coarse} | {rule.why} |\n"


def _allowed(role: Role, rule: Rule) -> str:
    """Return what a cell of the matrix says: yes, no, or with which fields."""
    if role not in rule.roles:
        return ""
    fields = [f"`{variant.field}`" for variant in rule.variants if role in variant.roles]
    named = "named" if role in rule.named_only else ""
    return ", ".join(fields) or named or "x"


def _scope(rule: Rule) -> str:
    told = [
        f"`{scoped.path}`{' (made)' if scoped.creates else ''}" if scoped.path else f"all {ScopeKind(scoped.kind)}s"
        for scoped in rule.scoped
    ]
    return ", ".join([*told, *(["filtered"] if rule.lists else [])])
