"""Quantizes with NNCF, in an environment of its own: `python nncf_side.py SOURCE BATCHES TARGET`.

A fourth argument, "full", asks for its full bias correction instead of the fast one. The batches
are a file of `numpy.savez`, with arrays named "0:input", "1:input", ... by batch and input.
"""

import sys
from collections import defaultdict
from typing import Any

import numpy as np

_LEAST_OPSET = 13  # it refuses those below 10, and per-channel scales need 13


def main(source: str, batches: str, target: str, correction: str = "fast") -> None:
    """Write what NNCF makes of a model with its default options."""
    import nncf
    import onnx.version_converter

    with np.load(batches) as stored:
        given: dict[str, dict[str, Any]] = defaultdict(dict)
        for key in stored.files:
            index, _, name = key.partition(":")
            given[index][name] = stored[key]
    items = [given[index] for index in sorted(given, key=int)]
    model = onnx.load(source)
    if model.opset_import[0].version < _LEAST_OPSET:
        model = onnx.version_converter.convert_version(model, _LEAST_OPSET)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(items),
        subset_size=len(items),
        fast_bias_correction=correction != "full",
    )
    onnx.save(quantized, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
