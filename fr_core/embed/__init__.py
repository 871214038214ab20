"""Face embedders: one file per model family."""
