"""The tree of refusals and failures: one class per stable reason, each with a sentence on what to do.

Three branches, because the caller acts differently on each:

* `InputRefused`: the caller can mend it; asking again unchanged gives the same answer.
* `Failure`: ours, and it may pass; asking again later may succeed.
* `Unrecoverable`: the process cannot go on, or must not start, until a person has acted.

No message, and no metadata, ever holds a photo, a vector, or the name or external id of a person.
`docs/errors.md` and the `ErrorReason` enum of the API are checked against this tree.
"""

from collections.abc import Iterator
from types import ModuleType

from fr_core.errors import evaluation, failures, galleries, photos, requests, unrecoverable
from fr_core.errors.base import *  # noqa: F403 - this package gives out every class of the tree
from fr_core.errors.base import FrError
from fr_core.errors.evaluation import *  # noqa: F403
from fr_core.errors.failures import *  # noqa: F403
from fr_core.errors.galleries import *  # noqa: F403
from fr_core.errors.photos import *  # noqa: F403
from fr_core.errors.requests import *  # noqa: F403
from fr_core.errors.unrecoverable import *  # noqa: F403
from fr_locales.messages import message as message  # what every error is raised with


def all_errors(*modules: ModuleType) -> Iterator[type[FrError]]:
    """Yield every class that carries a reason: those of the core, then those of other modules, in file order."""
    for module in (photos, requests, galleries, evaluation, failures, unrecoverable, *modules):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, FrError) and found.reason:
                yield found
