"""The engine as a worker uses it.

A worker imports the module that `Settings.engine` names: this one, except in tests of crashes,
endless loops and the like, which put one with the same names in its place.
"""

from zeropoint.engine import (
    dynamic_op_types,
    inspect_model,
    open_job,
    static_op_types,
    versions,
    warm,
)
from zeropoint.sketch import warm as load

__all__ = [
    "dynamic_op_types",
    "inspect_model",
    "load",
    "open_job",
    "static_op_types",
    "versions",
    "warm",
]
