"""Galleries of the asynchronous client: what they are, their calibration, and searches of a whole gallery."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_client import requests
from fr_client.aio.calls import AsyncCalls, AsyncPart
from fr_client.requests import KEEP, Keep
from fr_client.tasks import run
from fr_client.words import USES, ReadingPurpose, Use, purpose_value, value_of


class AsyncGalleries(AsyncPart):
    """Creates, describes, changes, deletes and looks through galleries: a part of `AsyncClient`."""

    def __init__(self, calls: AsyncCalls) -> None:
        super().__init__(calls)
        self._gallery = gallery_pb2_grpc.GalleryServiceStub(calls.unary)
        self._gallery_streams = gallery_pb2_grpc.GalleryServiceStub(calls.streams)

    async def create_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str = "",
        expires: datetime | None = None,
        retention: timedelta | None = None,
        keeps_photos: bool = False,
        use: Use | None = None,
    ) -> gallery_pb2.Gallery:
        """Create an empty gallery, bound to the server's model.

        Args:
            gallery_id: 1 to 128 characters of a-z, 0-9, - and _.
            display_name: a name for people.
            expires: when the gallery closes, with a time zone; None for never.
            retention: how long after its enrolment a template is deleted; None for never.
            keeps_photos: whether the server keeps the photos of enrolled faces, encrypted.
            use: its use, which cannot change: a search of an "operational" gallery needs a purpose and the reference of
                a case. None for "operational" on a server that checks callers, else for "test".
        """
        request = gallery_pb2.CreateGalleryRequest(
            gallery_id=gallery_id,
            display_name=display_name,
            expire_time=requests.timestamp("expires", expires),
            retention=requests.duration(retention),
            keeps_photos=keeps_photos,
            use=gallery_pb2.GALLERY_USE_UNSPECIFIED if use is None else value_of("use", use, USES),
        )
        return (await self._calls.call(self._gallery.CreateGallery, request)).gallery

    async def get_gallery(self, gallery_id: str, *, at_least: str = "") -> gallery_pb2.Gallery:
        """Describe a gallery; `at_least` as in `search`."""
        request = gallery_pb2.GetGalleryRequest(gallery_id=gallery_id, at_least=at_least)
        return (await self._calls.call(self._gallery.GetGallery, request)).gallery

    def list_galleries(self, *, page_size: int | None = None) -> AsyncIterator[gallery_pb2.Gallery]:
        """Yield every gallery in the order of the ids, page by page; None for the server's size of a page."""
        request = gallery_pb2.ListGalleriesRequest(page_size=page_size)
        return self._calls.pages(self._gallery.ListGalleries, request, "galleries")

    async def update_gallery(
        self,
        gallery_id: str,
        *,
        display_name: str | Keep = KEEP,
        expires: datetime | Keep | None = KEEP,
        retention: timedelta | Keep | None = KEEP,
    ) -> gallery_pb2.Gallery:
        """Change a gallery, and return it; values that you leave out stay as they are, as of `create_gallery` else.

        A later end, or none, opens an expired gallery again. A retention applies to existing templates, too.
        """
        request = gallery_pb2.UpdateGalleryRequest(
            gallery_id=gallery_id,
            display_name="" if isinstance(display_name, Keep) else display_name,
            expire_time=None if isinstance(expires, Keep) else requests.timestamp("expires", expires),
            retention=None if isinstance(retention, Keep) else requests.duration(retention),
        )
        values = {"display_name": display_name, "expire_time": expires, "retention": retention}
        request.update_mask.paths.extend(name for name, value in values.items() if value is not KEEP)
        return (await self._calls.call(self._gallery.UpdateGallery, request)).gallery

    async def delete_gallery(self, gallery_id: str) -> gallery_pb2.DeleteGalleryResponse:
        """Delete a gallery with its subjects and templates."""
        request = gallery_pb2.DeleteGalleryRequest(gallery_id=gallery_id)
        return await self._calls.call(self._gallery.DeleteGallery, request)

    async def set_calibration(self, gallery_id: str, source: str | Path) -> gallery_pb2.SetCalibrationResponse:
        """Set the calibration of a gallery: from now on, searches answer with its error rates.

        `source` is the text of the calibration.json of a verification with the gallery's model, or the file's path.
        Raises `OSError` or `UnicodeDecodeError` if the file cannot be read.
        """
        text = await run(requests.calibration_text, source)
        request = gallery_pb2.SetCalibrationRequest(gallery_id=gallery_id, calibration_json=text)
        return await self._calls.call(self._gallery.SetCalibration, request)

    async def delete_calibration(self, gallery_id: str) -> gallery_pb2.DeleteCalibrationResponse:
        """Remove the calibration of a gallery: searches answer with that of the model pack, if it has one."""
        request = gallery_pb2.DeleteCalibrationRequest(gallery_id=gallery_id)
        return await self._calls.call(self._gallery.DeleteCalibration, request)

    async def calibration(self, gallery_id: str, *, at_least: str = "") -> gallery_pb2.GetCalibrationResponse:
        """Read the calibration that searches of a gallery use: its own, else that of the model pack, if any.

        `at_least` as in `search`.
        """
        request = gallery_pb2.GetCalibrationRequest(gallery_id=gallery_id, at_least=at_least)
        return await self._calls.call(self._gallery.GetCalibration, request)

    def find_duplicates(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> AsyncIterator[gallery_pb2.FindDuplicatesResponse]:
        """Yield pairs of templates of different subjects that may be one person, and the progress of the search.

        The search begins with the first step of the iterator, and ends when that is closed. Pairs come during the
        search. `timeout_s` is the longest wait for the next answer. `threshold` is the similarity at or above which two
        templates are a pair; None for the model's default. An operational gallery requires a purpose and a case.
        `at_least` as in `search`.
        """
        request = gallery_pb2.FindDuplicatesRequest(
            gallery_id=gallery_id,
            threshold=threshold,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            at_least=at_least,
        )
        return self._calls.answers(lambda: self._gallery_streams.FindDuplicates(request), self._calls.timeout_s)

    def cluster_gallery(
        self,
        gallery_id: str,
        *,
        threshold: float | None = None,
        purpose: ReadingPurpose | None = None,
        case_reference: str = "",
        at_least: str = "",
    ) -> AsyncIterator[gallery_pb2.ClusterGalleryResponse]:
        """Yield the progress of the search, then the templates of a gallery in clusters: leads, not identities.

        `threshold` is the mean similarity that the templates of two clusters must reach to become one, from 0 to 1;
        None for the model's default. An operational gallery requires a purpose and a case. `at_least` as in `search`.
        """
        request = gallery_pb2.ClusterGalleryRequest(
            gallery_id=gallery_id,
            threshold=threshold,
            purpose=purpose_value(purpose),
            case_reference=case_reference,
            at_least=at_least,
        )
        return self._calls.answers(lambda: self._gallery_streams.ClusterGallery(request), self._calls.timeout_s)
