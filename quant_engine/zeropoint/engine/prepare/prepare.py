"""Bringing a model into the form that quantization works on; it computes the same as before."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from zeropoint.engine import report
from zeropoint.engine.errors import ModelError
from zeropoint.engine.graph import drop_no_ops, origins, remove_unused, settle_names
from zeropoint.engine.load import LoadedModel, inline_functions, reload_graph
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.prepare.affine_fusion import fuse_affine
from zeropoint.engine.prepare.constants import fold_constants, lift_constants
from zeropoint.engine.prepare.float16 import widen_halves
from zeropoint.engine.prepare.infer_types import infer_shapes, learn_types, unknown_values
from zeropoint.engine.prepare.loop_invariants import free_invariants
from zeropoint.engine.prepare.opset import (
    INITIALIZERS_NEED_NO_INPUT,
    convert_opset,
    settle_ir_version,
)
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.runtime import RuntimeRefusal, Session

_logger = logging.getLogger(__name__)

_OLDEST_OPSET = 7
_OLDEST_QDQ = 10
# From 12 on, Clip takes integers. Before 11, ONNX Runtime's optimizer cannot round biases.
_OLDEST_TRAINED, _RAISED_TRAINED = 12, 13
NEWEST_QDQ = 27
"""Last opset of which ONNX Runtime has QuantizeLinear, DequantizeLinear and Cast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model ready to be planned for.

    Attributes:
        model: The graph: no local functions, constants as initializers of the main graph that are
            no inputs, what is constant computed, BatchNormalization and the like folded into the
            layers before. Names of nodes and values are unique over all graphs, bodies of If,
            Loop and Scan included. Large tensors are external and lie in the weights of the
            LoadedModel.
        opset: Version of its default operator set.
        contrib_qdq: Whether the opset is lower than asked for, or newer than ONNX Runtime's own
            kernels, so that quantization needs the operators of com.microsoft.
        path: The model as a file that ONNX Runtime has loaded once.
        warnings: What the user should know.
    """

    model: ir.Model
    opset: int
    contrib_qdq: bool
    path: Path
    warnings: tuple[report.Warning, ...]

    def origins(self, node: ir.Node) -> tuple[str, ...]:
        """Return the names of the user's nodes that a node of `model` stands for."""
        return origins(node)


class _Effort(IntEnum):
    """How much is done to a model; less where more does not work."""

    AS_IT_IS = 0
    KEEP_OPSET = 1
    FULL = 2


def prepare_model(loaded: LoadedModel, *, min_opset: int, workspace: Path) -> PreparedModel:
    """Prepare a model; `loaded.model` is used up.

    Steps that fail are left out: what ONNX Runtime can run can be prepared somehow.

    Args:
        loaded: The model.
        min_opset: The lowest opset that the wanted result can be written in.
        workspace: A folder for the job's own files.

    Raises:
        ModelError: MODEL_UNSUPPORTED, the opset is too old; MODEL_NOT_RUNNABLE, ONNX Runtime
            cannot load the model.
    """
    if loaded.opset < _OLDEST_OPSET:
        raise ModelError(
            "MODEL_UNSUPPORTED",
            f"The model uses opset {loaded.opset}; ONNX Runtime runs {_OLDEST_OPSET} and later. "
            "Export it again from its original framework with the latest opset.",
            opset=loaded.opset,
        )
    model = loaded.model
    if not model.functions and not _has_operators(model):
        return _untouched(model, loaded)
    refusal: Exception | None = None
    for effort in _efforts(loaded.opset < min_opset):
        try:
            return _prepared(model, loaded, effort, min_opset, workspace)
        except Exception as error:
            _logger.info("preparing with effort %s failed", effort.name, exc_info=True)
            refusal = error
        model = reload_graph(loaded)
    if isinstance(refusal, RuntimeRefusal):
        raise ModelError(
            "MODEL_NOT_RUNNABLE", f"ONNX Runtime cannot load the model: {refusal}"
        ) from refusal
    raise ModelError("MODEL_UNSUPPORTED", f"The model cannot be taken: {refusal}") from refusal


def prepare_trained(loaded: LoadedModel, *, workspace: Path, exact: bool) -> PreparedModel:
    """Prepare a model that was trained with fake quantization.

    `path` of the result is the model as it was trained, with the names that the result has. The
    codes of its weights are computed. Nothing changes a value, but that float16 is widened, where
    not told otherwise, and with it rounded less often.

    Args:
        loaded: The model; `loaded.model` is used up.
        workspace: A folder for the job's own files.
        exact: Leave float16 as it is.

    Raises:
        ModelError: MODEL_NOT_RUNNABLE, ONNX Runtime cannot load the model.
    """
    model = loaded.model
    warnings = [*loaded.warnings, *_normalize(model)]
    infer_shapes(model)
    path = workspace / "prepared.onnx"
    try:
        _check_loads(model, path)
    except RuntimeRefusal as refusal:
        raise ModelError(
            "MODEL_NOT_RUNNABLE", f"ONNX Runtime cannot load the model: {refusal}"
        ) from refusal
    if loaded.opset < _OLDEST_TRAINED:
        model = _raised(model, loaded, workspace / "raised.onnx")
    if not exact:
        warnings += _widen(model, loaded)
    drop_no_ops(model.graph)
    free_invariants(model)
    fold_constants(model, loaded.weights)
    drop_no_ops(model.graph)
    remove_unused(model.graph)
    opset = model.opset_imports[""]
    return PreparedModel(
        model=model,
        opset=opset,
        contrib_qdq=not _OLDEST_QDQ <= opset <= NEWEST_QDQ,
        path=path,
        warnings=tuple(warnings),
    )


def _raised(model: ir.Model, loaded: LoadedModel, path: Path) -> ir.Model:
    """Return a model with an opset in which codes can be clipped, or as it was."""
    try:
        convert_opset(model, _RAISED_TRAINED)
        lift_constants(model)
        settle_names(model)
        _check_loads(model, path)  # the converter leaves attributes that have become inputs
    except Exception:
        _logger.info("the opset of a trained model cannot be raised", exc_info=True)
        model = reload_graph(loaded)
        for _ in _normalize(model):
            pass
    finally:
        path.unlink(missing_ok=True)
    infer_shapes(model)
    return model


def _untouched(model: ir.Model, loaded: LoadedModel) -> PreparedModel:
    """Return a model of which nothing can be quantized: trees can be large, and slow to load."""
    settle_names(model)
    return PreparedModel(
        model=model,
        opset=model.opset_imports[""],
        contrib_qdq=False,
        path=loaded.runnable,
        warnings=loaded.warnings,
    )


def _efforts(convert: bool) -> tuple[_Effort, ...]:
    if convert:
        return (_Effort.FULL, _Effort.KEEP_OPSET, _Effort.AS_IT_IS)
    return (_Effort.FULL, _Effort.AS_IT_IS)


def _prepared(
    model: ir.Model, loaded: LoadedModel, effort: _Effort, min_opset: int, workspace: Path
) -> PreparedModel:
    warnings = list(loaded.warnings)
    if effort > _Effort.AS_IT_IS:
        warnings += _normalize(model)
        warnings += _widen(model, loaded)
        if effort is _Effort.FULL and loaded.opset < min_opset and _has_operators(model):
            convert_opset(model, min_opset)
            lift_constants(model)
            settle_names(model)
        infer_shapes(model)
        _simplify(model, loaded)
    else:
        settle_names(model)
        infer_shapes(model)
    opset = model.opset_imports[""]
    path = workspace / "prepared.onnx"
    _check_loads(model, path)
    return PreparedModel(
        model=model,
        opset=opset,
        contrib_qdq=not min_opset <= opset <= NEWEST_QDQ,
        path=path,
        warnings=tuple(warnings),
    )


def _has_operators(model: ir.Model) -> bool:
    """Whether there is anything to convert: a tree ensemble has nothing, and may be large."""
    return any(
        not node.domain and node.op_type not in ("Cast", "Identity")
        for node in model.graph.all_nodes()
    )


def _normalize(model: ir.Model) -> Iterator[report.Warning]:
    """Inline functions and make all constants initializers of the main graph that are no inputs."""
    inline_functions(model)
    model.graph.sort()
    lift_constants(model)
    listed = [value for value in model.graph.inputs if value.is_initializer()]
    formal = model.ir_version < INITIALIZERS_NEED_NO_INPUT
    if listed and (formal or any(_is_weight(value) for value in listed)):
        common.RemoveInitializersFromInputsPass()(model)
        yield report.Warning(
            code=WarningCode.WEIGHTS_WERE_INPUTS,
            message=f"{len(listed)} inputs of the model are weights or other values that it holds "
            "itself; they are taken as constants and are no inputs of the result.",
        )
    settle_names(model)
    settle_ir_version(model)


def _widen(model: ir.Model, loaded: LoadedModel) -> Iterator[report.Warning]:
    infer_shapes(model)
    if widen_halves(model, loaded.weights):
        yield report.Warning(
            code=WarningCode.FLOAT16_WIDENED,
            message="The model is float16; what is not quantized is computed in float32, as ONNX "
            "Runtime does on CPUs. Inputs, outputs and stored weights stay float16.",
        )


def _is_weight(value: ir.Value) -> bool:
    """Whether an exporter that lists a value as an input lists all initializers as inputs."""
    return any(
        (has(use.node, Trait.WEIGHTED) and use.idx) or has(use.node, Trait.PAIR)
        for use in value.uses()
    )


def _simplify(model: ir.Model, loaded: LoadedModel) -> None:
    # A tied weight is one constant only where no Identity of it is computed.
    drop_no_ops(model.graph)
    free_invariants(model)
    fold_constants(model, loaded.weights)
    drop_no_ops(model.graph)
    fuse_affine(model.graph, loaded.weights)
    remove_unused(model.graph)


def _check_loads(model: ir.Model, path: Path) -> None:
    """Write the model and load it in ONNX Runtime, which knows types that onnx does not.

    What it needs for that is the graph alone: its optimizations and the packing of weights would
    take several times as long.

    Raises:
        RuntimeRefusal: it does not load.
    """
    proto = ir.serde.serialize_model(model)
    path.write_bytes(proto.SerializeToString())
    unknown = unknown_values(model)
    if unknown:
        proto.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in unknown)
        probe = path.with_name("types.onnx")
        probe.write_bytes(proto.SerializeToString())
        with suppress(RuntimeRefusal):
            learn_types(unknown, Session(probe, as_written=True))
            return
    try:
        Session(path, as_written=True)
    except RuntimeRefusal:
        Session(path)
