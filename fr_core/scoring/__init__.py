"""Error rates and accuracy, with counts and intervals: this room knows numbers only, no photos and no models."""
