"""Measures predictions: pure functions of `Predictions` and plain arrays, with numpy and matplotlib alone."""
