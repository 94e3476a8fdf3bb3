"""Evaluation of stage predictions: metrics, intervals, checks of the split, metrics as JSON."""
