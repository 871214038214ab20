"""Commands for galleries, photos and faces."""
