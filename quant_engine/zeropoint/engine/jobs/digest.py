"""What identifies a result: nothing in it depends on order or time."""

import hashlib
import json
from typing import Any

import numpy as np

from zeropoint.engine.jobs.versions import versions
from zeropoint.engine.numbers import QParams
from zeropoint.engine.options import Options, canonical
from zeropoint.engine.plan import ConstantInput, Parameters, QuantPlan
from zeropoint.engine.search import Changes

_NOTHING = Changes()


def result_digest(
    source_sha256: bytes,
    options: Options,
    plan: QuantPlan,
    parameters: Parameters,
    changes: Changes = _NOTHING,
    edited: bytes = b"",
) -> bytes:
    """Return SHA-256, 32 bytes, of {source, options, plan with final parameters, version}.

    How a result was looked for is no part of it, what was found otherwise than asked for is.
    """
    values = changes.of_values
    asked = {name: value for name, value in canonical(options).items() if name != "accuracy"}
    content = {
        "source": source_sha256.hex(),
        "options": asked,
        **({"changes": values.to_json()} if values != _NOTHING else {}),
        **({"edited": edited.hex()} if edited else {}),
        "nodes": {
            name: {
                "output": node.output,
                "weight": _constant(node.weight, parameters),
                "bias": _constant(node.bias, parameters),
                "stored": [_constant(where, parameters) for where in node.stored],
                **({"dynamic": node.dynamic} if node.dynamic else {}),
            }
            for name, node in plan.nodes.items()
        },
        "tensors": {
            name: {"source": tensor.source, **_qparams(parameters.tensors.get(name))}
            for name, tensor in plan.tensors.items()
        },
        "version": versions().zeropoint,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()


def _constant(where: ConstantInput | None, parameters: Parameters) -> dict[str, Any]:
    return {} if where is None else _qparams(parameters.constants.get(where.key))


def _qparams(qparams: QParams | None) -> dict[str, Any]:
    """Return parameters as exact text: floats by their bytes."""
    if qparams is None:
        return {}
    return {
        "scale": np.ascontiguousarray(qparams.scale).astype("<f4").tobytes().hex(),
        "zero_point": qparams.zero_point.reshape(-1).tolist(),
        "type": str(qparams.zero_point.dtype),
        "axis": qparams.axis,
    }
