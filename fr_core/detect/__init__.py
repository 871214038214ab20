"""Face detectors: one file per model family."""
