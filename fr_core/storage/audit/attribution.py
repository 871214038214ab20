"""To whom what is done is put down: it rides beside the ticket of a call, in a context variable."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from fr_core.storage.audit.values import NO_COUNTS, NO_DETAIL, Entry, Pseudonyms, decimal_of, model_of
from fr_core.types import ModelId

SYSTEM = "system"  # the actor of what nobody asked for: purging, startup, restoring


@dataclass(frozen=True, slots=True)
class Attribution:
    """The caller of a request, and its reason."""

    actor: str = SYSTEM  # a principal's id
    roles: tuple[str, ...] = ()  # in any order
    request_id: str | None = None  # of the call; None outside of calls
    purpose: str | None = None  # a word of a list; None where none was said
    # As the caller wrote it, for a pseudonym alone; it shows in no text of this value.
    case_reference: str | None = field(default=None, repr=False)

    def entry(
        self,
        pseudonyms: Pseudonyms,
        action: str,
        outcome: str = "OK",
        *,
        gallery_id: str | None = None,
        subject_ids: tuple[str, ...] = (),
        model: ModelId | None = None,
        gallery_version: int | None = None,
        threshold: float | None = None,
        counts: Mapping[str, int] = NO_COUNTS,
        detail: Mapping[str, str] = NO_DETAIL,
    ) -> Entry:
        """Return what a record says of something that this caller asked for; see `Entry` for the values.

        Args:
            pseudonyms: of the chain that takes it.
            action: room and verb, such as "gallery.search".
            outcome: "OK" or a reason.
            subject_ids: of the gallery, the caller's own ids.
            threshold: of the search, in [-1, 1].

        Raises `ValueError`: as `Entry`, or subjects of no gallery.
        """
        if subject_ids and gallery_id is None:
            raise ValueError("subjects are those of a gallery")
        return Entry(
            actor=self.actor,
            action=action,
            outcome=outcome,
            roles=tuple(sorted(set(self.roles))),
            request_id=self.request_id,
            purpose=self.purpose,
            case=None if self.case_reference is None else pseudonyms.case(self.case_reference),
            gallery=gallery_id,
            subjects=tuple(pseudonyms.subject(gallery_id or "", subject_id) for subject_id in subject_ids),
            model=None if model is None else model_of(model),
            gallery_version=gallery_version,
            threshold=None if threshold is None else decimal_of(threshold),
            counts=counts,
            detail=detail,
        )


_current: ContextVar[Attribution | None] = ContextVar("attribution", default=None)
_NOBODY = Attribution()


def current_attribution() -> Attribution:
    """Return to whom the work of this thread or task is put down; outside of calls the system."""
    return _current.get() or _NOBODY


@contextmanager
def attributed(attribution: Attribution) -> Iterator[None]:
    """Put down to it what the block does in this thread or task, and what is started with a copy of its context."""
    token = _current.set(attribution)
    try:
        yield
    finally:
        _current.reset(token)
