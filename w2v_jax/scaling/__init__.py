"""Scaling laws: loss against parameters, tokens and FLOPs, with intervals, or the reason why there is no fit."""

from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.results import Fit, Refusal, Value, assert_covers, band, is_extrapolation, predict

__all__ = [
    "Fit",
    "Refusal",
    "Value",
    "assert_covers",
    "band",
    "fit_parametric",
    "fit_power",
    "is_extrapolation",
    "predict",
]
