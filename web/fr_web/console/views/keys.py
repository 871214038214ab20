"""Keys: the list, a new one with its secret shown once, its rotation and its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response

from fr_api.v1 import access_pb2
from fr_client.cli.admin.keys import APART, NEEDS
from fr_client.errors import FrApiError
from fr_client.words import ROLE_NAMES
from fr_locales.messages import Message, message
from fr_web.console.visit import Screen, Visit
from fr_web.console.words import ROLES
from fr_web.room import invalid

_LOOKS = frozenset({access_pb2.ROLE_ADMIN, access_pb2.ROLE_AUDITOR})
_MAKES = frozenset({access_pb2.ROLE_ADMIN})
_ON_A_PAGE = 50
_MOST_DAYS = 5 * 366


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


@dataclass(frozen=True, slots=True)
class Sure:
    """The box that confirms an action."""

    sure: bool = False


async def keys(visit: Visit) -> Response:
    """List the keys that the visitor may see, without their secrets."""
    request = access_pb2.ListKeysRequest(page_size=_ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, access_pb2.ListKeysResponse)
    own = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    may_make = bool(visit.who.roles & _MAKES)
    return visit.page("keys.html", found=found, own=own, may_make=may_make, now=_now())


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
    if not visit.form(Sure).sure:
        raise invalid(visit.text(message("console.key.not_sure")), "sure")
    request = access_pb2.RotateKeyRequest(key_id=visit.path["key"])
    made = await visit.ask(request, access_pb2.RotateKeyResponse)
    return _shown_once(visit, made.key, made.token)


async def revoke(visit: Visit) -> Response:
    """End a key for good."""
    if not visit.form(Sure).sure:
        raise invalid(visit.text(message("console.key.not_sure")), "sure")
    await visit.ask(access_pb2.RevokeKeyRequest(key_id=visit.path["key"]), access_pb2.RevokeKeyResponse)
    return visit.go("/keys")


def _shown_once(visit: Visit, key: access_pb2.ApiKey, secret: str) -> Response:
    return visit.page("key_secret.html", key=key, secret=secret, warnings=_warnings(visit, key))


def _request(visit: Visit, form: NewKey) -> access_pb2.CreateKeyRequest:
    chosen = [role for role in ROLES if str(role) in form.role]
    if not chosen:
        raise invalid(visit.text(message("console.key.no_role")), "role")
    budget = None
    if form.requests_per_s > 0 or form.burst > 0 or form.searches_per_day >= 0:
        searches = form.searches_per_day if form.searches_per_day >= 0 else None
        budget = access_pb2.Budget(
            requests_per_s=max(form.requests_per_s, 0), burst=max(form.burst, 0), searches_per_day=searches
        )
    lifetime = Duration()
    lifetime.FromTimedelta(timedelta(days=min(max(form.days, 0), _MOST_DAYS)))
    return access_pb2.CreateKeyRequest(
        label=form.label,
        roles=[role for role in access_pb2.Role.values() if role in chosen],
        galleries=form.galleries.split(),
        courses=form.courses.split(),
        budget=budget,
        lifetime=lifetime if form.days > 0 else None,
        certificate_sha256=form.certificate_sha256,
    )


def _warnings(visit: Visit, key: access_pb2.ApiKey) -> Sequence[Message]:
    """Return what is probably a mistake, as `fr key create` does."""
    called = {ROLE_NAMES[role]: visit.text(ROLES[role]) for role in key.roles if role in ROLES}
    given = {"--gallery": bool(key.galleries), "--course": bool(key.courses)}
    together = [sorted(pair) for pair in APART if pair <= called.keys()]
    found = [message("console.key.apart", first=called[first], second=called[second]) for first, second in together]
    idle = [name for name in called if name in NEEDS and not any(given[one] for one in NEEDS[name])]
    return found + [message("console.key.no_scope", role=called[name]) for name in idle]


def _now() -> float:
    return datetime.now(UTC).timestamp()


SCREENS = (
    Screen("/keys", keys, roles=_LOOKS, nav=message("console.nav.keys"), about=message("console.about.keys")),
    Screen("/keys", make, method="POST", roles=_MAKES),
    Screen("/keys/new", new, roles=_MAKES),
    Screen("/keys/{key}/rotate", rotate, method="POST", roles=_MAKES),
    Screen("/keys/{key}/revoke", revoke, method="POST", roles=_MAKES),
)
