"""Refusals of calibrations, data sets and reports."""

from __future__ import annotations

from fr_core.errors.base import InputRefused


class NoCalibration(InputRefused):
    """A rate was asked for, and neither the gallery nor the model has a calibration that tells its threshold."""

    reason = "NO_CALIBRATION"
    remedy = "Send a threshold, or set a calibration for the gallery with `fr gallery calibrate`."


class RateNotSupported(InputRefused):
    """The rate that was asked for is lower than the comparisons of the calibration can show."""

    reason = "RATE_NOT_SUPPORTED"
    remedy = "Ask for a higher rate, if there is one, or set a calibration of more people for the gallery."


class CalibrationInvalid(InputRefused):
    """The calibration cannot be read, contradicts itself, or is of another model."""

    reason = "CALIBRATION_INVALID"
    remedy = "Send the calibration.json that `fr evaluate verification --out DIR` wrote for the gallery's model."


class CalibrationUnreadable(InputRefused):
    """A rate was asked for, and the gallery's calibration cannot be read any more."""

    reason = "CALIBRATION_UNREADABLE"
    remedy = "Send a threshold, or set the calibration anew, as `fr evaluate verification` of this version writes it."


class DatasetUnavailable(InputRefused):
    """There is no data set of that name, it does not lie on the server, or what is asked for is not in it."""

    reason = "DATASET_UNAVAILABLE"
    remedy = (
        "Ask ListDatasets (`fr report datasets`) for those that can be measured; whoever runs the server adds one with "
        "`fr dataset link`."
    )


class DatasetUnusable(InputRefused):
    """The data set on the server is incomplete, or breaks its format."""

    reason = "DATASET_UNUSABLE"
    remedy = "Whoever runs the server finds out what is wrong with `fr dataset verify`, and mends it."


class FigureUndefined(InputRefused):
    """The photos of the data set support no figure, as when none shows a face."""

    reason = "FIGURE_UNDEFINED"
    remedy = "Take a data set with more photos of faces."


class EvaluationRunning(InputRefused):
    """The server is already running an evaluation."""

    reason = "EVALUATION_RUNNING"
    remedy = "Wait until that has ended, or cancel it; then call again."


class UnknownReport(InputRefused):
    """There is no report of that id, or it has no such file."""

    reason = "UNKNOWN_REPORT"
    remedy = "Ask ListReports (`fr report list`) for those that there are."
