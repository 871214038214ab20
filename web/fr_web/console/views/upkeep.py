"""The upkeep of a gallery: people who may be in it twice, what it keeps for how long, and its end."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.responses import Response

from fr_api.v1 import access_pb2, gallery_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.forms import duration_of
from fr_web.console.views.galleries import MAKES, must_state, read_gallery
from fr_web.console.visit import Screen, Visit

_SCANS = frozenset({access_pb2.ROLE_OPERATOR})
_MOST_PAIRS = 200
_STEPS = 20  # lines of progress


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a gallery that can change: `retention_days` is 0 for no limit, and `closes` a day or ""."""

    display_name: str = ""
    retention_days: int = 0
    closes: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """The typed id that confirms the deletion of a gallery."""

    typed: str = ""


async def duplicates(visit: Visit) -> Response:
    """Say what the search does, and ask for the purpose."""
    kept = await read_gallery(visit)
    return visit.page("duplicates.html", gallery=kept, must_say=must_state(visit, kept), growing="")


async def find(visit: Visit) -> Response:
    """Search for people who may be in the gallery twice, and show the pairs as they are found."""
    kept = await read_gallery(visit)
    request = gallery_pb2.FindDuplicatesRequest(gallery_id=kept.gallery_id, **visit.stated_purpose)
    rows = _pairs(visit, kept, request)
    return await visit.growing("duplicates.html", rows, gallery=kept, must_say=False)


async def _pairs(
    visit: Visit, kept: gallery_pb2.Gallery, request: gallery_pb2.FindDuplicatesRequest
) -> AsyncIterator[str]:
    number, told = 0, -1
    progress = gallery_pb2.ScanProgress()
    async for one in visit.each(request, gallery_pb2.FindDuplicatesResponse):
        if one.WhichOneof("event") == "progress":
            progress = one.progress
            step = progress.searched * _STEPS // max(progress.total, 1)
            if step > told and progress.searched < progress.total:
                told = step
                yield visit.desk.html(visit, "duplicates_row.html", {"gallery": kept, "progress": progress})
            continue
        number += 1
        if number <= _MOST_PAIRS:
            row = {"gallery": kept, "progress": None, "pair": one.pair, "number": number}
            yield visit.desk.html(visit, "duplicates_row.html", row)
    end = {"progress": progress, "number": number, "most": _MOST_PAIRS}
    yield visit.desk.html(visit, "duplicates_end.html", end)


async def settings(visit: Visit) -> Response:
    """Show what of a gallery can change."""
    kept = await read_gallery(visit)
    return visit.page("gallery_settings.html", gallery=kept, form=_settings_of(kept))


async def change(visit: Visit) -> Response:
    """Change of a gallery what differs, so that a closing time within a day stays as it is."""
    kept = await read_gallery(visit)
    form = before = _settings_of(kept)
    try:
        form = visit.form(Settings)
        changed = {
            "display_name": form.display_name != before.display_name,
            "expire_time": form.closes != before.closes,
            "retention": form.retention_days != before.retention_days,
        }
        request = gallery_pb2.UpdateGalleryRequest(
            gallery_id=visit.path["gallery"],
            display_name=form.display_name,
            expire_time=visit.day(form.closes, "closes"),
            retention=duration_of(form.retention_days),
            update_mask=FieldMask(paths=[name for name, differs in changed.items() if differs]),
        )
        if any(changed.values()):
            await visit.ask(request, gallery_pb2.UpdateGalleryResponse)
    except FrApiError as error:
        return visit.page("gallery_settings.html", error, gallery=kept, form=form)
    return visit.go(f"/galleries/{visit.path['gallery']}")


async def delete(visit: Visit) -> Response:
    """Delete a gallery with everything in it."""
    kept = await read_gallery(visit)
    if visit.form(Delete).typed != kept.gallery_id:
        error = visit.invalid(message("console.gallery.not_typed"), "typed")
        return visit.page("gallery_settings.html", error, gallery=kept, form=_settings_of(kept))
    request = gallery_pb2.DeleteGalleryRequest(gallery_id=kept.gallery_id)
    gone = await visit.ask(request, gallery_pb2.DeleteGalleryResponse)
    return visit.page("gallery_deleted.html", gallery_id=kept.gallery_id, gone=gone)


async def retention(visit: Visit) -> Response:
    """Show how many templates are past their retention."""
    request = gallery_pb2.PurgeExpiredRequest(dry_run=True)
    return visit.page("retention.html", found=await visit.ask(request, gallery_pb2.PurgeExpiredResponse), done=False)


async def purge(visit: Visit) -> Response:
    """Delete what is past its time, as the server does within the hour."""
    found = await visit.ask(gallery_pb2.PurgeExpiredRequest(), gallery_pb2.PurgeExpiredResponse)
    return visit.page("retention.html", found=found, done=True)


def _settings_of(kept: gallery_pb2.Gallery) -> Settings:
    closes = kept.expire_time.ToDatetime().date().isoformat() if kept.HasField("expire_time") else ""
    return Settings(kept.display_name, kept.retention.ToSeconds() // 86_400, closes)


SCREENS = (
    Screen("/galleries/{gallery}/duplicates", duplicates, roles=_SCANS),
    Screen("/galleries/{gallery}/duplicates", find, method="POST", roles=_SCANS),
    Screen("/galleries/{gallery}/settings", settings, roles=MAKES),
    Screen("/galleries/{gallery}/settings", change, method="POST", roles=MAKES),
    Screen("/galleries/{gallery}/delete", delete, method="POST", roles=MAKES),
    Screen("/retention", retention, roles=MAKES),
    Screen("/retention", purge, method="POST", roles=MAKES),
)
