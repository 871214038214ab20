"""The `fr` command line."""
