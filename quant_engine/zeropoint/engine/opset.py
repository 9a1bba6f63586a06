"""Raising a model's opset."""

import logging

import onnx
import onnx_ir as ir
from onnxscript import version_converter

from zeropoint.engine.origins import carrying_origins

_logger = logging.getLogger(__name__)


def convert_opset(model: ir.Model, target: int) -> bool:
    """Raise the default opset of a model to `target`, in place.

    Returns:
        Whether that worked; if not, the model may be in any state.
    """
    try:
        with carrying_origins(model):
            version_converter.convert_version(model, target, fallback=True)
    except Exception:
        _logger.info("conversion to opset %d failed", target, exc_info=True)
        return False
    settle_ir_version(model)
    return model.opset_imports.get("") == target


def settle_ir_version(model: ir.Model) -> None:
    """Raise the version of the file format to what opset and plain initializers need."""
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    needed = onnx.helper.find_min_ir_version_for([opset], ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed, _INITIALIZERS_NEED_NO_INPUT)


_INITIALIZERS_NEED_NO_INPUT = 4
