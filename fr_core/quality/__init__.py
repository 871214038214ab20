"""Measures how suitable a face is for comparison."""
