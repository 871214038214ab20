"""Says how often tests repeat what they repeat, a few times by day and many times at night, and which measure time.

`FR_NIGHTLY=1` chooses the long counts; `make test-nightly` sets it. `FR_POWER_CUTS=5000` chooses one count, whatever
the run.
"""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., None])

NIGHTLY = os.environ.get("FR_NIGHTLY", "") not in ("", "0")

# A value of a parameter that only the run of the night takes.
at_night = partial(pytest.param, marks=pytest.mark.nightly)

# How much slower others may be beside an attack. By day it runs beside other tests, and only has to be borne.
SLOWER = 2.0 if NIGHTLY else math.inf

# Name: (in every run, at night).
COUNTS = {
    "ACCESS_FLIPS": (150, 5_000),
    "ACCESS_KILLS": (2, 200),
    "AUDIT_POWER_CUTS": (20, 500),
    "AUDIT_PRUNING_KILLS": (4, 200),
    "BOOTSTRAPS": (40, 200),
    "BUSY_SECONDS": (3, 30),
    "CANCELLED_CALLS": (400, 20_000),
    "CASE_KILLS": (2, 200),
    "CLASS_OF_TWO_DAYS": (2, 12),
    "CLOCK_STEPS": (2, 100),
    "COPIES_AT_ONCE": (300, 20_000),
    "CORRUPTIONS": (20, 1_000),
    "CROWD_WINDOWS": (1, 20),
    "CUT_OFF_STRIDE": (32, 4),
    "EQUAL_GROUPS": (12, 60),
    "FOOTAGE_PEOPLE": (3, 40),
    "FOREIGN_PAIRS": (30, 600),
    "FRONTEND_KILLS": (1, 20),
    "GALLERY_KILLS": (6, 1_000),
    "HISTORIES": (10, 25),
    "HISTORIES_OF_REPLICAS": (4, 100),
    "HTTP_CALLS": (1_000, 10_000),
    "HOSTILE_SEED": (1, 1),
    "HOSTILE_TEXTS": (3, 1_000),
    "HOSTILE_TIMES": (1, 16),
    "LAST_RESOURCES": (1, 50),
    "LEAK_PLANS": (1, 10),
    "LEAK_SEEDS": (1, 10),
    "MIGRATION_KILLS": (2, 100),
    "MILVUS_FACES": (30, 1_000),
    "MILVUS_KILLS": (1, 5),
    "NETWORK_CUTS": (1, 50),
    "MUTANTS": (500, 1_000_000),
    "PERMUTATIONS": (4_999, 9_999),
    "POSTGRES_KILLS": (4, 300),
    "POSTGRES_POWER_CUTS": (4, 200),
    "POWER_CUTS": (30, 1_000),
    "PROMINENT_PEOPLE": (8, 300),
    "REDACTION_SCENES": (1, 30),
    "REFUSED_CALLS": (1_000, 100_000),
    "REMUXED_COPIES": (4, 100),
    "REPLICA_SECONDS": (9, 300),
    "ROTATION_STRIDE": (23, 1),
    "SCRATCH_KILLS": (1, 5),
    "SERVER_KILLS": (2, 200),
    "SOAK_SECONDS": (3, 300),
    "STREAM_CALIBRATIONS": (3, 40),
    "STREAM_CUTS": (2, 20),
    "STREAM_DAYS": (20, 1_000),
    "STREAM_MINUTES": (30, 30),
    "STREAM_PEOPLE": (200, 2_000),
    "TAMPERINGS": (120, 10_000),
    "TRAINING_KILLS": (4, 200),
    "TRAINING_POWER_CUTS": (12, 1_000),
    "UPGRADE_STRIDE": (19, 1),
    "VIDEO_MUTANTS": (15, 1_000),
    "WILD_PEOPLE": (8, 30),
}


def alone_at_night(test: Test) -> Test:
    """Mark a test that measures time at night, with nothing beside it, and by day only asks for answers."""
    return pytest.mark.alone(test) if NIGHTLY else test


def count(name: str) -> int:
    quick, nightly = COUNTS[name]
    return int(os.environ.get(f"FR_{name}") or (nightly if NIGHTLY else quick))


def examples(nightly: int) -> int:
    """Return how many examples a property test draws: so many at night, a tenth in every run, 10 at least."""
    return nightly if NIGHTLY else min(nightly, max(10, nightly // 10))
