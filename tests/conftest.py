"""What every test needs: telemetry off before ONNX Runtime can be imported."""

import os

from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# The first example of a test may compile the counting loop, and machines are shared.
settings.register_profile("zeropoint", deadline=None)
settings.load_profile("zeropoint")
