"""Scales, codes and ranges: the formulas, which know no graph."""

from zeropoint.engine.numbers.accumulator import (
    SAFE_TERMS,
    data_zero,
    fit_weight,
    least_scale,
    sums_fit,
)
from zeropoint.engine.numbers.codes import dequantize, quantize, unsigned_codes
from zeropoint.engine.numbers.hard_swish import BEND, on_bends
from zeropoint.engine.numbers.one_scale import LEAST_DB, one_scale_db
from zeropoint.engine.numbers.qparams import (
    CodeGrids,
    QParams,
    activation_qparams,
    bias_qparams,
    given_qparams,
    grow_weight_for_bias,
    weight_qparams,
)
from zeropoint.engine.numbers.quantile import Histogram, histogram, magnitudes, quantiles
