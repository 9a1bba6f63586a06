"""The float model, run on batches, and what its tensors held: counted, merged, kept."""

from zeropoint.engine.observe.batch_layout import LayoutRule
from zeropoint.engine.observe.calibration import (
    Calibration,
    Statistics,
    TensorStatistics,
    read_calibration,
)
from zeropoint.engine.observe.convergence import ConvergenceMeter, moved_by
from zeropoint.engine.observe.exposed_model import ExposedModel
from zeropoint.engine.observe.group_session import GroupSession
from zeropoint.engine.observe.nchwc import block_size, expose_blocked, own_values
from zeropoint.engine.observe.observer import Observer
from zeropoint.engine.observe.splittable import SplitCheck, is_samplewise
from zeropoint.engine.observe.tensors import (
    gathered,
    observable_tensors,
    observed_tensors,
    recalled,
    value_sources,
)
