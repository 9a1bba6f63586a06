"""Remedies in numbers: weights and biases that bring a quantized model near to the float one."""

from zeropoint.engine.improve.edits import Edits, apply_edits, edited_parameters, edited_plan
from zeropoint.engine.improve.equalization import equalizable, equalize
from zeropoint.engine.improve.gptq import gptq, nearest
from zeropoint.engine.improve.improve import Improvements, improve
from zeropoint.engine.improve.rescaling import Rescaling, ScaledTensor
from zeropoint.engine.improve.runs import Feeds, Run, run_here
from zeropoint.engine.improve.smoothing import channel_maxima, smooth, smoothable
