"""Defines the rule of a method: who may call it, on which objects, and how its requests and answers are treated."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from fr_trust.access.principal import Role


class Kind(StrEnum):
    """The effect of a call on stored data."""

    READ = "read"
    CHANGE = "change"
    COMPUTE = "compute"


class ScopeKind(StrEnum):
    """The kind of object that an id names; a scope covers galleries and courses, and all else through these.

    A cohort, a trainee, a session and a trainee's code are of a course. A case and an examination are of the galleries
    that were searched for them.
    """

    GALLERY = "gallery"
    COURSE = "course"
    COHORT = "cohort"
    TRAINEE = "trainee"
    SESSION = "session"
    CODE = "code"
    CASE = "case"
    EXAMINATION = "examination"


OF_COURSES = frozenset({ScopeKind.COHORT, ScopeKind.TRAINEE, ScopeKind.SESSION, ScopeKind.CODE})
OF_GALLERIES = frozenset({ScopeKind.CASE, ScopeKind.EXAMINATION})


class Coarse(StrEnum):
    """The answers that a principal with coarse answers gets."""

    AS_IS = "as it is"
    ROUNDED = "rounded"
    REFUSED = "refused"


class Stated(StrEnum):
    """The reason that a call must give to read about people in operational galleries; see `require_stated`."""

    NOTHING = ""
    PURPOSE = "purpose"
    INQUIRY = "inquiry"
    CASE = "case"


@dataclass(frozen=True, slots=True)
class Scoped:
    """The place in a request of an id that must be within the scope."""

    kind: ScopeKind
    # Of the field, with dots: "search.gallery_id"; of a repeated field each of its ids. Of a stream, within each item.
    # Empty for what the server names itself, such as the course that CreateCourse makes.
    path: str
    # Whether the call makes what it names. Outside the scope that is refused, whether or not it is there; everything
    # else outside the scope is answered as what there is not.
    creates: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """The roles that may call if the request sets this field of a oneof; they replace the roles of the rule."""

    field: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Rule:
    """The callers that a method admits."""

    roles: frozenset[Role]  # of which a principal must have one
    kind: Kind  # what it does to what is kept
    why: str  # these roles and no others; a sentence for the documentation
    # The ids of its request that must be within the scope; none where nothing is of a gallery or course.
    scoped: tuple[Scoped, ...] = ()
    variants: tuple[Variant, ...] = ()  # who may with certain fields set; the roles of each are among `roles`
    # Roles that the gallery's whole id must be named for in the scope: a pattern does not do, and neither does the
    # gallery of a course.
    named_only: frozenset[Role] = frozenset()
    counts_as_search: bool = False  # whether it takes from the searches of a day, each item of a stream one
    search_if: str = ""  # path of a field that makes it a search where it is true; empty for none
    items: str = ""  # a repeated field, each of whose entries counts as a call; empty for none
    stated: Stated = Stated.NOTHING  # what it must state to learn about people in an operational gallery
    probes: tuple[str, ...] = ()  # paths of probes in the request; a coarse principal may send photos alone
    coarse: Coarse = Coarse.AS_IS  # what becomes of the answer for a coarse principal
    lists: bool = False  # whether the answer leaves out what the scope does not cover
    # Whether the audit hears of each call, or item, that ended. What changes a store with an audit of its own is in
    # that one, so that of such changes only those are told here that failed, or that searched.
    recorded: bool = False
    chained: bool = True  # of changes, whether what they change has an audit of its own

    @property
    def told_here(self) -> bool:
        """Return whether no other audit than that of access tells of a call that succeeded."""
        return self.kind is not Kind.CHANGE or not self.chained

    def roles_of(self, fields: Mapping[str, bool]) -> frozenset[Role]:
        """Return who may, by which fields of its variants a request sets."""
        return next((variant.roles for variant in self.variants if fields[variant.field]), self.roles)


@lru_cache(maxsize=512)
def action_of(method: str) -> str:
    """Return what the audit calls a method: "gallery.stream_search" for "/fr_api.v1.GalleryService/StreamSearch"."""
    service, _, name = method.strip("/").rpartition("/")
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    return f"{service.rpartition('.')[2].removesuffix('Service').lower()}.{words}"
