"""What every test needs: telemetry off before ONNX Runtime can be imported."""

import os
import signal

from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Shells start background jobs with Ctrl-C ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile the counting loop, and machines are shared.
settings.register_profile("zeropoint", deadline=None)
settings.load_profile("zeropoint")
