"""What a folder holds that has a training store in it."""

from __future__ import annotations

DATABASE_NAME = "training.sqlite"
