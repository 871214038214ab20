"""Work that a running server does beside its calls."""
