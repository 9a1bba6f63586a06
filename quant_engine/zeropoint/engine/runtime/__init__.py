"""ONNX Runtime: sessions, what it refuses, what its optimized graph runs, its memory."""

from zeropoint.engine.runtime.integer_kernels import (
    IntegerKernels,
    UnnamedKernels,
    count_integer_kernels,
    original_name,
)
from zeropoint.engine.runtime.memory import collector_paused, give_back
from zeropoint.engine.runtime.session import (
    RuntimeRefusal,
    Session,
    read_refusal,
    weights_of_optimized,
)
