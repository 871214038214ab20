"""Commands for training in the comparison of faces."""
