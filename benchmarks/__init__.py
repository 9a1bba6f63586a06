"""Zeropoint side by side with the alternatives: every figure is a ratio measured in one run.

`python -m benchmarks` measures everything, `python -m benchmarks NAME` one thing.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # heeded only before onnxruntime is imported
# Real models, and inputs for them, are shared with the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
