"""Refusals of calibrations, data sets and reports."""

from fr_core.errors.base import InputRefused


class NoCalibration(InputRefused):
    """The call asks for a rate, and neither the gallery nor the model has a calibration that gives its threshold."""

    reason = "NO_CALIBRATION"


class RateNotSupported(InputRefused):
    """The rate is lower than the comparisons of the calibration can show."""

    reason = "RATE_NOT_SUPPORTED"


class CalibrationInvalid(InputRefused):
    """The calibration cannot be read, contradicts itself, or belongs to another model."""

    reason = "CALIBRATION_INVALID"


class CalibrationUnreadable(InputRefused):
    """The call asks for a rate, and this version cannot read the gallery's calibration."""

    reason = "CALIBRATION_UNREADABLE"


class DatasetUnavailable(InputRefused):
    """There is no data set with this name, the server does not have it, or it lacks the requested part."""

    reason = "DATASET_UNAVAILABLE"


class DatasetUnusable(InputRefused):
    """The data set on the server is incomplete, or breaks its format."""

    reason = "DATASET_UNUSABLE"


class FigureUndefined(InputRefused):
    """The photos of the data set support no figure, for example because none shows a face."""

    reason = "FIGURE_UNDEFINED"


class EvaluationRunning(InputRefused):
    """The server is already running an evaluation."""

    reason = "EVALUATION_RUNNING"


class UnknownReport(InputRefused):
    """There is no report with this id, or it has no such file."""

    reason = "UNKNOWN_REPORT"
