"""What similarities mean in a gallery: its own calibration, parsed once, else that of the model pack."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from fr_api.v1 import gallery_pb2
from fr_core.gallery.values import GalleryCalibration, GalleryInfo
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.calibration_json import to_json
from fr_server.convert.calibration import InForce, Source, calibration_from, calibration_message
from fr_server.services.decisions import Decisions
from fr_server.services.gallery_calls import GalleryCalls
from fr_server.work import Work

# Calibrations that are kept parsed. The largest takes some megabytes, the usual one a tenth of one.
_KEPT = 16


class Calibrations:
    """Sets the calibrations of galleries and reads them, for calls of one event loop.

    A search learns from its gallery's description which calibration it has, by hash, so that what another process sets
    holds for the next search of this one.

    Args:
        galleries: keep the calibrations.
        work: runs what blocks.
        decisions: knows the calibration of the pack.
    """

    def __init__(self, galleries: GalleryCalls, work: Work, decisions: Decisions) -> None:
        self._galleries = galleries
        self._work = work
        self._decisions = decisions
        self._parsed: OrderedDict[str, Calibration] = OrderedDict()  # by sha256, that used last at the end

    async def in_force(self, info: GalleryInfo) -> InForce | None:
        """Return what holds for searches of a gallery.

        Raises:
            UnknownGallery: it was deleted meanwhile.
            CalibrationInvalid: its calibration cannot be read any more.
        """
        return self._decisions.in_force(info.model, await self._own(info))

    async def set(self, request: gallery_pb2.SetCalibrationRequest) -> gallery_pb2.SetCalibrationResponse:
        """Give a gallery a calibration, or take it away.

        Raises:
            UnknownGallery: there is no gallery of that id.
            CalibrationInvalid: it cannot be read, contradicts itself, is too long, or of another model.
            StorageLow: the disk is nearly full.
        """
        text = request.calibration_json

        def change() -> tuple[GalleryInfo, Calibration | None]:
            if not text:
                return self._galleries.set_calibration(request.gallery_id, None), None
            own = calibration_from(text)
            calibration = GalleryCalibration(own.provenance.model_id, text)
            return self._galleries.set_calibration(request.gallery_id, calibration), own

        info, own = await self._work.storage(change)
        in_force = self._decisions.in_force(info.model, own)
        message = None if in_force is None else calibration_message(in_force)
        return gallery_pb2.SetCalibrationResponse(calibration=message)

    async def get(self, request: gallery_pb2.GetCalibrationRequest) -> gallery_pb2.GetCalibrationResponse:
        """Read the calibration that searches of a gallery answer with; raises `UnknownGallery`."""

        def read() -> gallery_pb2.GetCalibrationResponse:
            text = self._galleries.calibration(request.gallery_id)
            if text is not None:
                in_force = InForce(calibration_from(text), Source.GALLERY)
                return gallery_pb2.GetCalibrationResponse(
                    calibration=calibration_message(in_force), calibration_json=text
                )
            of_pack = self._decisions.in_force(self._galleries.get(request.gallery_id).model)
            if of_pack is None:
                return gallery_pb2.GetCalibrationResponse()
            return gallery_pb2.GetCalibrationResponse(
                calibration=calibration_message(of_pack), calibration_json=to_json(of_pack.calibration)
            )

        return await self._work.storage(read)

    async def _own(self, info: GalleryInfo) -> Calibration | None:
        sha256 = info.calibration_sha256
        if sha256 is None:
            return None
        if sha256 not in self._parsed:
            found = await self._work.storage(self._read, info.gallery_id)
            if found is None:
                return None
            sha256, own = found
            self._parsed[sha256] = own
        self._parsed.move_to_end(sha256)
        own = self._parsed[sha256]
        if len(self._parsed) > _KEPT:
            self._parsed.popitem(last=False)
        return own

    def _read(self, gallery_id: str) -> tuple[str, Calibration] | None:
        """Return the calibration that a gallery has by now, which may be another than a moment ago, and its hash."""
        text = self._galleries.calibration(gallery_id)
        if text is None:
            return None
        return hashlib.sha256(text.encode()).hexdigest(), calibration_from(text)
