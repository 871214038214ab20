"""The options of several commands, what prints their reports, and `fr bench serve`."""
