"""Keys: the list, a new one with its secret shown once, its rotation and its end."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from fr_api.v1 import access_pb2
from fr_client.cli.admin.keys import APART, NEEDS
from fr_client.errors import FrApiError
from fr_client.words import ROLE_NAMES
from fr_locales.messages import Message, message
from fr_web.console.forms import duration_of
from fr_web.console.visit import ON_A_PAGE, Screen, Visit
from fr_web.console.words import ROLES

_LOOKS = frozenset({access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR})
_MAKES = frozenset({access_pb2.ROLE_ADMIN})
_MOST_DAYS = 5 * 366
# Option of `fr key create` -> the field of the form, and its label.
_SCOPES: Mapping[str, tuple[str, Message]] = {
    "--gallery": ("galleries", message("console.key.galleries")),
    "--course": ("courses", message("console.key.courses")),
}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make: galleries and courses are ids, or beginnings with *, between spaces; -1 is the default."""

    label: str = ""
    role: dict[str, int] = field(default_factory=dict)
    galleries: str = ""
    courses: str = ""
    days: int = 0
    requests_per_s: int = 0
    burst: int = 0
    searches_per_day: int = -1
    certificate_sha256: str = ""


async def keys(visit: Visit) -> Response:
    """List the keys that the visitor may see, without their secrets."""
    request = access_pb2.ListKeysRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, access_pb2.ListKeysResponse)
    own = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    may_make = bool(visit.who.roles & _MAKES)
    return visit.page("keys.html", found=found, own=own, may_make=may_make, now=time.time())


async def new(visit: Visit) -> Response:
    """Show the form of a new key."""
    return visit.page("key_new.html", form=NewKey())


async def make(visit: Visit) -> Response:
    """Make a key, and show its secret, which nobody can show again."""
    form = NewKey()
    try:
        form = visit.form(NewKey)
        made = await visit.ask(_request(visit, form), access_pb2.CreateKeyResponse)
    except FrApiError as error:
        return visit.page("key_new.html", error, form=form)
    return _shown_once(visit, made.key, made.token)


async def rotate(visit: Visit) -> Response:
    """Give a key a new secret, and show it."""
    visit.require_sure()
    request = access_pb2.RotateKeyRequest(key_id=visit.path["key"])
    made = await visit.ask(request, access_pb2.RotateKeyResponse)
    return _shown_once(visit, made.key, made.token)


async def revoke(visit: Visit) -> Response:
    """End a key for good."""
    visit.require_sure()
    await visit.ask(access_pb2.RevokeKeyRequest(key_id=visit.path["key"]), access_pb2.RevokeKeyResponse)
    return visit.go("/keys")


def _shown_once(visit: Visit, key: access_pb2.ApiKey, secret: str) -> Response:
    return visit.page("key_secret.html", key=key, secret=secret, warnings=_warnings(visit, key))


def _request(visit: Visit, form: NewKey) -> access_pb2.CreateKeyRequest:
    chosen = [role for role in ROLES if str(role) in form.role]
    if not chosen:
        raise visit.invalid(message("console.key.no_role"), "role")
    _require_scope(visit, [role for role in chosen if role != access_pb2.ROLE_ADMIN], form)
    budget = None
    if form.requests_per_s > 0 or form.burst > 0 or form.searches_per_day >= 0:
        searches = form.searches_per_day if form.searches_per_day >= 0 else None
        budget = access_pb2.Budget(
            requests_per_s=max(form.requests_per_s, 0), burst=max(form.burst, 0), searches_per_day=searches
        )
    return access_pb2.CreateKeyRequest(
        label=form.label,
        roles=[access_pb2.Role.ValueType(role) for role in chosen],
        galleries=form.galleries.split(),
        courses=form.courses.split(),
        budget=budget,
        lifetime=duration_of(form.days, _MOST_DAYS),
        certificate_sha256=form.certificate_sha256,
    )


def _require_scope(visit: Visit, roles: Sequence[int], form: NewKey) -> None:
    """Raise `FrApiError` for a role that has nothing to act on; an administrator has keys and the server."""
    given = {"--gallery": bool(form.galleries), "--course": bool(form.courses)}
    for role in roles:
        needed = NEEDS.get(ROLE_NAMES[role], ())
        if needed and not any(given[one] for one in needed):
            name, label = _SCOPES[needed[0]]
            raise visit.invalid(message("console.key.no_scope", field=label, role=ROLES[role]), name)


def _warnings(visit: Visit, key: access_pb2.ApiKey) -> Sequence[Message]:
    """Return what is probably a mistake, as `fr key create` does."""
    called = {ROLE_NAMES[role]: visit.text(ROLES[role]) for role in key.roles if role in ROLES}
    together = [sorted(pair) for pair in APART if pair <= called.keys()]
    return [message("console.key.apart", first=called[first], second=called[second]) for first, second in together]


SCREENS = (
    Screen("/keys", keys, roles=_LOOKS, nav=message("console.nav.keys"), about=message("console.about.keys")),
    Screen("/keys", make, method="POST", roles=_MAKES),
    Screen("/keys/new", new, roles=_MAKES),
    Screen("/keys/{key}/rotate", rotate, method="POST", roles=_MAKES, once=message("console.key.gone")),
    Screen("/keys/{key}/revoke", revoke, method="POST", roles=_MAKES),
)
