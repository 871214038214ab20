"""Keeps the parsed calibrations of galleries; a gallery without one uses that of the model pack."""

import logging
import threading
from collections import OrderedDict

from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import CalibrationInvalid, CalibrationUnreadable, MissingField, message
from fr_core.gallery.values import GalleryCalibration, GalleryInfo, calibration_id
from fr_core.gallery.versions import version_token
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.calibration_json import to_json
from fr_server.pools import Work
from fr_server.rpc.convert.calibration import Criterion, InForce, Threshold, calibration_from, calibration_message
from fr_server.rpc.services.decisions import Decisions
from fr_server.storage.calls import GalleryCalls

log = logging.getLogger("fr_server.calibrations")

# Calibrations that are kept parsed. The largest takes some megabytes, the usual one a tenth of one.
_KEPT = 16


class Calibrations:
    """Sets the calibrations of galleries and reads them; for several threads. `decisions` knows that of the pack.

    A search learns from the description of its gallery which calibration it has, by hash. So a calibration that another
    process sets holds for the next search of this process. A later version may be unable to read an older calibration.
    """

    def __init__(self, galleries: GalleryCalls, work: Work, decisions: Decisions) -> None:
        self._galleries = galleries
        self._work = work
        self._decisions = decisions
        self._parsed: OrderedDict[str, Calibration] = OrderedDict()  # by id, that used last at the end
        self._unreadable: set[str] = set()  # ids
        self._lock = threading.Lock()

    def in_force(self, info: GalleryInfo, asked: Criterion | None) -> InForce | None:
        """Return the calibration for searches of a gallery; None if it has none, or an unreadable one.

        It blocks when the gallery has a calibration of its own that is not parsed yet. Raises `UnknownGallery` or
        `GalleryReplaced` if the gallery was deleted during the call, and `CalibrationUnreadable` if a rate is asked for
        and its own calibration cannot be read any more.
        """
        own = info.calibration_sha256
        if own is None:
            return self._decisions.in_force(info.model)
        with self._lock:
            calibration = self._parsed.get(own)
            unreadable = own in self._unreadable
            if calibration is not None:
                self._parsed.move_to_end(own)
        if calibration is None and not unreadable:
            text = self._galleries.calibration(info)
            if text is None:
                return self._decisions.in_force(info.model)
            own, calibration = calibration_id(text), self._parse(text)
        if calibration is not None:
            return self._decisions.of_gallery(info.model, calibration, own)
        if asked is None or isinstance(asked, Threshold):
            return None
        raise CalibrationUnreadable(message("error.rpc.gallery_calibration_cannot_read"))

    async def set(self, request: pb.SetCalibrationRequest) -> pb.SetCalibrationResponse:
        """Give a gallery a calibration; raises `MissingField` for no text, `UnknownGallery`, and `StorageLow`.

        Raises `CalibrationInvalid` if it cannot be read, contradicts itself, is too long, or of another model.
        """
        text = request.calibration_json
        if not text:
            raise MissingField(message("error.rpc.calibration_empty"), field="calibration_json")

        def change() -> pb.SetCalibrationResponse:
            own = calibration_from(text)
            info = self._galleries.set_calibration(
                request.gallery_id, GalleryCalibration(own.provenance.model_id, text)
            )
            in_force = self._decisions.of_gallery(info.model, own, calibration_id(text))
            return pb.SetCalibrationResponse(
                calibration=calibration_message(in_force, with_settings=True),
                gallery_version=info.version,
                version_token=version_token(info.gallery_no, info.version),
            )

        return await self._work.storage(change)

    async def delete(self, request: pb.DeleteCalibrationRequest) -> pb.DeleteCalibrationResponse:
        """Take the calibration of a gallery away, if it has one; raises `UnknownGallery`."""
        info = await self._work.storage(self._galleries.set_calibration, request.gallery_id, None)
        of_pack = self._decisions.in_force(info.model)
        return pb.DeleteCalibrationResponse(
            calibration=None if of_pack is None else calibration_message(of_pack, with_settings=True),
            gallery_version=info.version,
            version_token=version_token(info.gallery_no, info.version),
        )

    async def get(self, request: pb.GetCalibrationRequest) -> pb.GetCalibrationResponse:
        """Read the calibration that searches of a gallery answer with; raises `UnknownGallery`."""

        def read() -> pb.GetCalibrationResponse:
            if request.at_least:
                self._galleries.require_version(request.gallery_id, request.at_least)
            info = self._galleries.get(request.gallery_id)
            text, in_force = self._galleries.calibration(info), self._decisions.in_force(info.model)
            if text is not None:
                try:
                    in_force = self._decisions.of_gallery(info.model, calibration_from(text), calibration_id(text))
                except CalibrationInvalid:
                    return pb.GetCalibrationResponse(calibration_json=text)
            if in_force is None:
                return pb.GetCalibrationResponse()
            return pb.GetCalibrationResponse(
                calibration=calibration_message(in_force, with_settings=True),
                calibration_json=to_json(in_force.calibration) if text is None else text,
            )

        return await self._work.storage(read)

    def _parse(self, text: str) -> Calibration | None:
        """Parse a calibration and keep it; None if it is unreadable, which the log says once."""
        own = calibration_id(text)
        try:
            calibration = calibration_from(text)
        except CalibrationInvalid:
            with self._lock:
                known = own in self._unreadable
                self._unreadable.add(own)
            if not known:
                log.warning(
                    "The calibration %s of a gallery cannot be read: its searches are answered without error rates, "
                    "until it is set anew or taken away",
                    own[:12],
                )
            return None
        with self._lock:
            self._parsed[own] = calibration
            self._parsed.move_to_end(own)
            if len(self._parsed) > _KEPT:
                self._parsed.popitem(last=False)
        return calibration
