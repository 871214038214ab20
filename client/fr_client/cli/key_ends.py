"""When the key of whoever makes a key ends: no key that it makes lives longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fr_client.cli.show import when
from fr_client.client import Client
from fr_client.errors import FrApiError


@contextmanager
def own_end_told(client: Client) -> Iterator[None]:
    """Where a key would outlive that of whoever makes it, say when that ends and what to do."""
    try:
        yield
    except FrApiError as error:
        if (error.reason, error.metadata.get("field")) != ("NOT_PERMITTED", "lifetime"):
            raise
        words = (
            f"{error.message} Your own key is the limit{_own_end(client)}. Ask for fewer --days, or leave them out; "
            "for more, make a newer admin key first, with `fr server admin-key` on the server's machine."
        )
        raise FrApiError(error.code, error.reason, words, error.metadata, request_id=error.request_id) from error


def _own_end(client: Client) -> str:
    """Return when the key of whoever calls ends, for a sentence; "" where the list of keys does not have it."""
    own = client.access.who_am_i().principal_id
    keys = client.access.keys()
    found = next((one for one in keys if f"key:{one.key_id}" == own), None)
    return "" if found is None or not found.HasField("expire_time") else f": it ends {when(found.expire_time)}"
