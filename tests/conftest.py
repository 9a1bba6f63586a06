"""What every test needs: telemetry off before ONNX Runtime can be imported."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
