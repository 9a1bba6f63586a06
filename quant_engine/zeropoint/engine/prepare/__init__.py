"""Passes that bring a model into the form that is quantized, and change no value."""

from zeropoint.engine.prepare.affine_before import fuse_affine_before
from zeropoint.engine.prepare.affine_fusion import (
    Affine,
    affine_followers,
    fuse_affine,
    layer_bias,
)
from zeropoint.engine.prepare.constants import fold_constants
from zeropoint.engine.prepare.float16 import narrow_weights
from zeropoint.engine.prepare.hard_functions import name_hard_functions
from zeropoint.engine.prepare.infer_types import infer_shapes
from zeropoint.engine.prepare.normalize_gemm import normalize_gemms
from zeropoint.engine.prepare.prepare import (
    NEWEST_QDQ,
    PreparedModel,
    prepare_model,
    prepare_trained,
)
