"""From what a caller asks for to a threshold: one home for Compare and Search."""

import logging
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal
from math import expm1, log1p
from types import MappingProxyType

from fr_core.engine import Engine
from fr_core.errors import MissingField, NoCalibration, RateNotSupported, message
from fr_core.gallery.values import calibration_id
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.calibration_json import to_json
from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import ModelId
from fr_server.rpc.convert.calibration import Criterion, InForce, Source, TargetFmr, TargetFpir, Threshold

log = logging.getLogger("fr_server.decisions")

# So that asking for the lowest rate that is supported is not refused for a rounding.
_ROUNDING = 1e-9
_UPWARDS = Context(prec=3, rounding=ROUND_CEILING)


def compared_settings(engine: Engine) -> Mapping[str, str]:
    """Return the settings of an engine that similarities depend on, by the names and words that calibrations have.

    The device is none of them: with one precision, similarities of two runtimes on processors were up to .001 apart.
    """
    return {
        "precision": str(engine.device.precision),
        "detection": engine.detection,
        "flip": str(engine.pipeline.model.version.endswith("+flip")).lower(),
    }


def differing(settings: Mapping[str, str], calibration: Calibration) -> tuple[str, ...]:
    """Return the names of the settings for which a calibration has another value."""
    measured = calibration.provenance.settings
    return tuple(name for name, value in settings.items() if measured.get(name, value) != value)


def warn_of_other_settings(engine: Engine) -> None:
    """Log where the calibration of the pack was measured with other settings than the engine's; once, at the start."""
    others = () if engine.calibration is None else differing(compared_settings(engine), engine.calibration)
    if others:
        log.warning(
            "The calibration of the pack was measured with another %s: its error rates may not hold here",
            " and another ".join(others),
        )


class Decisions:
    """Decides where a similarity begins to count: `default_threshold` is that of the model, in [-1, 1].

    `calibration` is that of the model; None where its pack has none. `settings` are this server's, as
    `compared_settings`; calibrations that name others are told apart.
    """

    def __init__(
        self,
        model: ModelId,
        default_threshold: float,
        calibration: Calibration | None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.model = model
        self._default_threshold = default_threshold
        self._settings = settings
        self._of_pack: InForce | None = None
        if calibration is not None:
            found = calibration_id(to_json(calibration))
            self._of_pack = InForce(calibration, Source.PACK, found, differing(settings, calibration))

    def default_for(self, model: ModelId, field: str) -> float:
        """Return the default threshold of a model; raises `MissingField`, which names the field, for another's."""
        if model != self.model:
            raise MissingField(message("error.rpc.gallery_another_model_server"), field=field)
        return self._default_threshold

    def in_force(self, model: ModelId) -> InForce | None:
        """Return what holds for similarities of a model where a gallery has no calibration of its own."""
        return self._of_pack if model == self.model else None

    def of_gallery(self, model: ModelId, own: Calibration, own_id: str) -> InForce:
        """Return what holds for similarities in a gallery of a model that has a calibration of its own."""
        others = differing(self._settings, own) if model == self.model else ()
        return InForce(own, Source.GALLERY, own_id, others)

    def threshold(self, asked: Criterion | None, model: ModelId, in_force: InForce | None, templates: int = 1) -> float:
        """Return the threshold in [-1, 1] that a criterion asks for among so many templates; None = the default.

        Raises:
            MissingField: nothing was asked for, and there is no default for that model.
            NoCalibration: a rate was asked for, and there is no calibration.
            RateNotSupported: the calibration cannot show a rate that low (metadata: `lowest`, if it shows any).
        """
        if asked is None:
            return self.default_for(model, "threshold")
        if isinstance(asked, Threshold):
            return asked.value
        if in_force is None:
            raise NoCalibration(message("error.rpc.no_calibration_tells_threshold"))
        return _threshold_at(asked, in_force.calibration, max(1, templates))


def _threshold_at(asked: TargetFmr | TargetFpir, calibration: Calibration, templates: int) -> float:
    lowest = max(1 / calibration.rates.nonmated, calibration.fmr_at(1.0).value)
    try:
        if isinstance(asked, TargetFmr):
            threshold = calibration.threshold_at_fmr(asked.value)
        else:
            threshold = calibration.threshold_at_fpir(asked.value, templates)
    except UndefinedRate:
        raise _not_supported(asked, lowest, templates) from None
    if threshold > 1.0:  # the most alike of different people are no less alike than similarities can be
        raise _not_supported(asked, lowest, templates)
    return max(-1.0, threshold)


def _not_supported(asked: TargetFmr | TargetFpir, lowest_fmr: float, templates: int) -> RateNotSupported:
    lowest = lowest_fmr
    if isinstance(asked, TargetFpir):
        lowest = 1.0 if lowest_fmr == 1.0 else -expm1(templates * log1p(-lowest_fmr)) * (1.0 + _ROUNDING)
    # Of three digits, and no lower than the rate itself, so that what is read can be asked for.
    rounded = _UPWARDS.create_decimal(repr(lowest))
    shown = f"{rounded:g}"
    if isinstance(asked, TargetFmr):
        return RateNotSupported(message("error.rpc.no_fmr_below", lowest=shown), lowest=repr(lowest))
    if rounded >= Decimal(1):
        return RateNotSupported(message("error.rpc.no_fpir", templates=templates))
    return RateNotSupported(message("error.rpc.no_fpir_below", templates=templates, lowest=shown), lowest=repr(lowest))
