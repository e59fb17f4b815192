"""Studies: many runs each, for `python -m experiments.scaling`."""
