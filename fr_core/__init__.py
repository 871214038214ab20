"""FR Core, the library: photos in, templates and ranked candidate lists out. It knows no network."""

__version__ = "0.1.0"
