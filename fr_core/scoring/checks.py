"""Checks the inputs of scoring: each check is silent, or raises ValueError with a sentence."""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def check_similarities(similarities: F64) -> None:
    """The array is f64[n], and finite."""
    if similarities.ndim != 1 or similarities.dtype != np.float64:
        raise ValueError(f"Similarities are f64[n], not {similarities.dtype}{list(similarities.shape)}.")
    if not np.isfinite(similarities).all():
        raise ValueError("A similarity is not a finite number.")


def check_pairs(similarities: F64, mated: Bools) -> None:
    """The similarities are f64[n] and finite, `mated` is bool[n]."""
    check_similarities(similarities)
    if mated.shape != similarities.shape or mated.dtype != np.bool_:
        found = f"{mated.dtype}{list(mated.shape)}"
        raise ValueError(f"{len(similarities)} similarities need as many booleans, not {found}.")


def check_threshold(threshold: float) -> None:
    """The threshold is a number, which may be infinite."""
    if np.isnan(threshold):
        raise ValueError("The threshold is not a number.")


def check_failures(failures: int) -> None:
    """The number of failures is not negative."""
    if failures < 0:
        raise ValueError(f"The number of failures cannot be {failures}.")


def check_confidence(confidence: float) -> None:
    """The confidence is inside (0, 1), and not so near to either that rounding makes it one of them."""
    if not 0.5 < 0.5 + confidence / 2 < 1.0:  # as intervals take its normal quantile
        raise ValueError(f"The confidence must lie between 0 and 1, and is {confidence}.")
