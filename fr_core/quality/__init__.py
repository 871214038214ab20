"""How fit a face is for comparison."""
