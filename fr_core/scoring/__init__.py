"""Error rates and accuracy, with counts and intervals."""
