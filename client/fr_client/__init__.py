"""The client of the API and the `fr` command; it needs neither models nor index."""
