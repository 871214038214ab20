"""What both clients send to change a gallery or a subject, and that they send it again where nothing was begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fr_api.v1 import gallery_pb2
from fr_client import KEEP, Keep
from support.scripted import QUICK, Kind, ScriptedGallery, asked, both, serving


class Changing(ScriptedGallery):
    """Refuses as often as it is told to, and then answers with what was asked for."""

    def UpdateGallery(self, request: gallery_pb2.UpdateGalleryRequest, context: Any) -> Any:  # noqa: N802
        self._maybe_busy(context)
        self.requests.append(request)
        return gallery_pb2.UpdateGalleryResponse(gallery=gallery_pb2.Gallery(gallery_id=request.gallery_id))

    def UpdateSubject(self, request: gallery_pb2.UpdateSubjectRequest, context: Any) -> Any:  # noqa: N802
        self._maybe_busy(context)
        self.requests.append(request)
        return gallery_pb2.UpdateSubjectResponse(subject=gallery_pb2.Subject(subject_id=request.subject_id))


def sent(kind: Kind, call: Callable[[Any], Any]) -> Any:
    """Return the request of a call, which is refused once."""
    gallery = Changing(None, 1, "OVERLOADED", 0.02)  # type: ignore[abstract]
    with serving(gallery) as target:
        asked(kind, target, call, retry=QUICK)
    assert gallery.calls == 2
    (request,) = gallery.requests
    return request


@both
def test_the_mask_names_what_was_given_also_where_that_is_nothing(kind: Kind) -> None:
    end = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    request = sent(kind, lambda client: client.update_gallery("g", display_name="", expires=end, retention=None))
    assert list(request.update_mask.paths) == ["display_name", "expire_time", "retention"]
    assert request.expire_time.ToDatetime(UTC) == end
    assert not request.HasField("retention")
    request = sent(kind, lambda client: client.update_gallery("g", retention=timedelta(0)))
    assert list(request.update_mask.paths) == ["retention"]
    assert request.HasField("retention")


@both
@pytest.mark.parametrize(
    ("name", "metadata", "mask"),
    [("N", KEEP, ["display_name"]), (KEEP, {}, ["metadata"]), ("", {"a": "b"}, ["display_name", "metadata"])],
)
def test_the_mask_of_a_subject_is_as_exact(
    kind: Kind, name: str | Keep, metadata: Mapping[str, str] | Keep, mask: list[str]
) -> None:
    request = sent(kind, lambda client: client.update_subject("g", "s", display_name=name, metadata=metadata))
    assert (request.gallery_id, request.subject_id) == ("g", "s")
    assert list(request.update_mask.paths) == mask
    assert dict(request.metadata) == ({} if metadata is KEEP else metadata)
