"""Scaling laws: loss against parameters, tokens and FLOPs, with intervals, or the reason why there is no fit."""
