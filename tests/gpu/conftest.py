"""`FR_GPU_REQUIRED=1` makes a skipped test of this folder a failed one: where a GPU is, none may be left out."""

import os
from collections.abc import Generator
from typing import Any

import pytest

REQUIRED = os.environ.get("FR_GPU_REQUIRED", "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure that says why the test would have been skipped."""
    report = yield
    if REQUIRED and report.skipped and not hasattr(report, "wasxfail"):
        where: Any = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"FR_GPU_REQUIRED is set, and the test would be skipped: {where[2]}"
    return report
