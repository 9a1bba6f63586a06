"""What runs here, as reports and digests tell it."""

import functools
from importlib.metadata import version

from zeropoint.engine.report import Versions


@functools.cache
def versions() -> Versions:
    """Return the versions that this process runs; reading them takes longer than a small job."""
    return Versions(
        zeropoint=version("zeropoint"), onnxruntime=version("onnxruntime"), onnx=version("onnx")
    )
