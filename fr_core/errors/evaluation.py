"""Refusals of calibrations, data sets and reports."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class NoCalibration(InputRefused):
    """The call asks for a rate, and neither the gallery nor the model has a calibration that gives its threshold."""

    reason = "NO_CALIBRATION"
    remedy = "Send a threshold, or set a calibration for the gallery with `fr gallery calibrate`."


class RateNotSupported(InputRefused):
    """The rate is lower than the comparisons of the calibration can show."""

    reason = "RATE_NOT_SUPPORTED"
    remedy = "Ask for a higher rate, or set a calibration with more people for the gallery."


class CalibrationInvalid(InputRefused):
    """The calibration cannot be read, contradicts itself, or belongs to another model."""

    reason = "CALIBRATION_INVALID"
    remedy = "Send the calibration.json that `fr evaluate verification --out DIR` wrote for the gallery's model."


class CalibrationUnreadable(InputRefused):
    """The call asks for a rate, and this version cannot read the gallery's calibration."""

    reason = "CALIBRATION_UNREADABLE"
    remedy = "Send a threshold, or set a calibration that `fr evaluate verification` of this version wrote."


class DatasetUnavailable(InputRefused):
    """There is no data set with this name, the server does not have it, or it lacks the requested part."""

    reason = "DATASET_UNAVAILABLE"
    remedy = (
        "List the data sets with ListDatasets (`fr report datasets`). The operator of the server adds one with "
        "`fr dataset link`."
    )


class DatasetUnusable(InputRefused):
    """The data set on the server is incomplete, or breaks its format."""

    reason = "DATASET_UNUSABLE"
    remedy = "The operator of the server finds the fault with `fr dataset verify`, and repairs the data set."


class FigureUndefined(InputRefused):
    """The photos of the data set support no figure, for example because none shows a face."""

    reason = "FIGURE_UNDEFINED"
    remedy = "Use a data set with more photos of faces."


class EvaluationRunning(InputRefused):
    """The server is already running an evaluation."""

    reason = "EVALUATION_RUNNING"
    remedy = "Wait until it has ended, or cancel it; then call again."


class UnknownReport(InputRefused):
    """There is no report with this id, or it has no such file."""

    reason = "UNKNOWN_REPORT"
    remedy = "List the reports with ListReports (`fr report list`)."
