"""Scaling laws: loss against parameters, tokens and FLOPs, with intervals, or the reason why there is no fit."""

from w2v_jax.scaling.describe import describe
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, Refusal, Value, band, predict
from w2v_jax.scaling.isoflop import Isoflop, compute_optimal, fit_isoflop
from w2v_jax.scaling.published import PUBLISHED, published
from w2v_jax.scaling.run_table import read_table

__all__ = [
    "PUBLISHED",
    "Fit",
    "Isoflop",
    "Refusal",
    "Value",
    "band",
    "compute_optimal",
    "describe",
    "fit_isoflop",
    "fit_parametric",
    "fit_power",
    "predict",
    "published",
    "read_table",
]
