"""Model packs: what a pack is made of, where to get it, and how it is verified."""
