"""The scripted engine, which takes until a file is there to load."""

import time
from pathlib import Path

from support.scripted_engine import (
    dynamic_op_types,
    inspect_model,
    open_job,
    static_op_types,
    versions,
    warm,
)

__all__ = [
    "dynamic_op_types",
    "inspect_model",
    "load",
    "open_job",
    "static_op_types",
    "versions",
    "warm",
]


def load() -> None:
    """Wait for the file `loaded` in the folder that the scratch folder is in."""
    while not (Path.cwd().parents[3] / "loaded").exists():
        time.sleep(0.01)
