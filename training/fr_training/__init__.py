"""Training with real data sets: courses made of them, pictures, reports, exports, simulations."""
