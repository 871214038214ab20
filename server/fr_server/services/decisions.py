"""From what a caller asks for to a threshold: one home for Compare and Search."""

from __future__ import annotations

from math import expm1, log1p

from fr_core.errors import MissingField, NoCalibration, RateNotSupported
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.intervals import UndefinedRate
from fr_core.types import ModelId
from fr_server.convert.calibration import Criterion, InForce, Source, TargetFmr, TargetFpir, Threshold

# So that asking for the lowest rate that is supported is not refused for a rounding.
_ROUNDING = 1e-9


class Decisions:
    """Decides where a similarity begins to count.

    Args:
        model: of this server.
        default_threshold: of that model, in [-1, 1].
        calibration: of that model; None where its pack ships none.
    """

    def __init__(self, model: ModelId, default_threshold: float, calibration: Calibration | None) -> None:
        self.model = model
        self._default_threshold = default_threshold
        self._of_pack = None if calibration is None else InForce(calibration, Source.PACK)

    def default_for(self, model: ModelId, field: str) -> float:
        """Return the default threshold of a model; raises `MissingField`, which names the field, for another's."""
        if model != self.model:
            raise MissingField(
                "The gallery is of another model than this server's, so there is no default threshold for it.",
                field=field,
            )
        return self._default_threshold

    def in_force(self, model: ModelId, own: Calibration | None = None) -> InForce | None:
        """Return what holds for similarities of a model: a gallery's own calibration, else that of the pack."""
        if own is not None:
            return InForce(own, Source.GALLERY)
        return self._of_pack if model == self.model else None

    def threshold(self, asked: Criterion | None, model: ModelId, in_force: InForce | None, templates: int = 1) -> float:
        """Return the threshold that a criterion asks for, in [-1, 1].

        Args:
            asked: None = the default of the model.
            model: whose similarities are compared.
            in_force: the calibration for them.
            templates: in the gallery that is searched.

        Raises:
            MissingField: nothing was asked for, and there is no default for that model.
            NoCalibration: a rate was asked for, and there is no calibration.
            RateNotSupported: the calibration cannot show a rate that low (metadata: `lowest`, which it can show).
        """
        if asked is None:
            return self.default_for(model, "threshold")
        if isinstance(asked, Threshold):
            return asked.value
        if in_force is None:
            raise NoCalibration("There is no calibration that tells the threshold for a rate.")
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
    if isinstance(asked, TargetFmr):
        what, lowest = "false match rate", lowest_fmr
    else:
        what = f"false positive identification rate, for {templates} templates,"
        lowest = 1.0 if lowest_fmr == 1.0 else min(1.0, -expm1(templates * log1p(-lowest_fmr)) * (1.0 + _ROUNDING))
    return RateNotSupported(
        f"The comparisons of the calibration support no {what} below {lowest:.3g}.", lowest=repr(lowest)
    )
