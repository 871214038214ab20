"""Refusals of calibrations, data sets and reports."""

from fr_core.errors.base import InputRefused


class NoCalibration(InputRefused, reason="NO_CALIBRATION"):
    """The call asks for a rate, and neither the gallery nor the model has a calibration that gives its threshold."""


class RateNotSupported(InputRefused, reason="RATE_NOT_SUPPORTED"):
    """The rate is lower than the comparisons of the calibration can show."""


class CalibrationInvalid(InputRefused, reason="CALIBRATION_INVALID"):
    """The calibration cannot be read, contradicts itself, or belongs to another model."""


class CalibrationUnreadable(InputRefused, reason="CALIBRATION_UNREADABLE"):
    """The call asks for a rate, and this version cannot read the gallery's calibration."""


class DatasetUnavailable(InputRefused, reason="DATASET_UNAVAILABLE"):
    """There is no data set with this name, the server does not have it, or it lacks the requested part."""


class DatasetUnusable(InputRefused, reason="DATASET_UNUSABLE"):
    """The data set on the server is incomplete, or breaks its format."""


class FigureUndefined(InputRefused, reason="FIGURE_UNDEFINED"):
    """The photos of the data set support no figure, for example because none shows a face."""


class EvaluationRunning(InputRefused, reason="EVALUATION_RUNNING"):
    """The server is already running an evaluation."""


class UnknownReport(InputRefused, reason="UNKNOWN_REPORT"):
    """There is no report with this id, or it has no such file."""
