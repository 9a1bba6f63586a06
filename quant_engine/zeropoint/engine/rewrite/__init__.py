"""Plan and parameters -> the quantized graph, as pairs or as integer operators."""

from zeropoint.engine.rewrite.dynamic import rewrite_dynamic
from zeropoint.engine.rewrite.float_nodes import keep_float
from zeropoint.engine.rewrite.lowering import lower
from zeropoint.engine.rewrite.qdq import rewrite_qdq
