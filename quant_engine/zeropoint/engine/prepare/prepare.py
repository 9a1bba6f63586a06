"""Bringing a model into the form that quantization works on; it computes the same as before."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from zeropoint.engine import report
from zeropoint.engine.errors import ModelError
from zeropoint.engine.graph import drop_no_ops, origins, remove_unused, settle_names
from zeropoint.engine.load import LoadedModel, inline_functions, reload_graph
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.prepare.affine_before import fuse_affine_before
from zeropoint.engine.prepare.affine_fusion import fuse_affine
from zeropoint.engine.prepare.constants import fold_constants, lift_constants
from zeropoint.engine.prepare.float16 import widen_halves
from zeropoint.engine.prepare.hard_functions import (
    HARD_SWISH_OPSET,
    has_hard_swish,
    name_hard_functions,
)
from zeropoint.engine.prepare.infer_types import infer_shapes, learn_types, unknown_values
from zeropoint.engine.prepare.loop_invariants import free_invariants
from zeropoint.engine.prepare.opset import (
    INITIALIZERS_NEED_NO_INPUT,
    convert_opset,
    settle_ir_version,
)
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.shortage import shortage_of

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
        stored: Parameters of weights that the user's model stores as integers, by the name of the
            constant that stands for them.
    """

    model: ir.Model
    opset: int
    contrib_qdq: bool
    path: Path
    warnings: tuple[report.Warning, ...]
    stored: Mapping[str, QParams] = field(default_factory=dict)

    def origins(self, node: ir.Node) -> tuple[str, ...]:
        """Return the names of the user's nodes that a node of `model` stands for."""
        return origins(node)


@dataclass(slots=True)
class _Work:
    """A model on its way through the passes, and the lowest opset that is wanted."""

    model: ir.Model
    loaded: LoadedModel
    min_opset: int
    warnings: list[report.Warning] = field(default_factory=list)

    def run(self, passes: "_Passes") -> None:
        for step in passes:
            self.warnings += step(self) or ()

    def prepared(self, path: Path) -> PreparedModel:
        opset = self.model.opset_imports[""]
        return PreparedModel(
            model=self.model,
            opset=opset,
            contrib_qdq=not self.min_opset <= opset <= NEWEST_QDQ,
            path=path,
            warnings=(*self.loaded.warnings, *self.warnings),
        )


_Passes = tuple[Callable[[_Work], Iterable[report.Warning] | None], ...]


def prepare_model(loaded: LoadedModel, *, min_opset: int, workspace: Path) -> PreparedModel:
    """Prepare a model; `loaded.model` is used up.

    Steps that fail are left out: what ONNX Runtime can run can be prepared somehow. The wanted
    result can be written from `min_opset` on.

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
    if not model.functions and not _has_operators(model):  # trees can be large, and slow to load
        settle_names(model)
        return PreparedModel(
            model=model,
            opset=model.opset_imports[""],
            contrib_qdq=False,
            path=loaded.runnable,
            warnings=loaded.warnings,
        )
    path = workspace / "prepared.onnx"
    refusal: Exception | None = None
    for passes in _WAYS:
        work = _Work(model, loaded, min_opset)
        try:
            work.run((*passes, partial(_check_loads, path=path)))
            return work.prepared(path)
        except Exception as error:
            if (shortage := shortage_of(error)) is not None:
                raise shortage from error
            _logger.info("a pass of preparation failed, less is done", exc_info=True)
            refusal = error
        model = reload_graph(loaded)
    if isinstance(refusal, RuntimeRefusal):
        raise _not_runnable(refusal) from refusal
    raise ModelError("MODEL_UNSUPPORTED", f"The model cannot be taken: {refusal}") from refusal


def prepare_trained(loaded: LoadedModel, *, workspace: Path, exact: bool) -> PreparedModel:
    """Prepare a model that was trained with fake quantization; `loaded.model` is used up.

    `path` of the result is the model as it was trained, with the names that the result has. The
    codes of its weights are computed. Nothing changes a value, but that float16 is widened, unless
    `exact`, and with it rounded less often.

    Raises:
        ModelError: MODEL_NOT_RUNNABLE, ONNX Runtime cannot load the model.
    """
    work = _Work(loaded.model, loaded, _OLDEST_QDQ)
    work.run((_normalize, _infer))
    path = workspace / "prepared.onnx"
    try:
        _check_loads(work, path)
    except RuntimeRefusal as refusal:
        raise _not_runnable(refusal) from refusal
    if loaded.opset < _OLDEST_TRAINED:
        _raise_trained(work, workspace / "raised.onnx")
    work.run((_simplify,) if exact else (_widen, _simplify))
    remove_unused(work.model.graph)
    return work.prepared(path)


def _raise_trained(work: _Work, path: Path) -> None:
    """Give a model an opset in which codes can be clipped, or leave it as it was."""
    try:
        _convert(work.model, _RAISED_TRAINED)
        _check_loads(work, path)  # the converter leaves attributes that have become inputs
    except Exception as error:
        if (shortage := shortage_of(error)) is not None:
            raise shortage from error
        _logger.info("the opset of a trained model cannot be raised", exc_info=True)
        work.model = reload_graph(work.loaded)
        tuple(_normalize(work))  # it has warned before
    finally:
        path.unlink(missing_ok=True)
    infer_shapes(work.model)


def _not_runnable(refusal: RuntimeRefusal) -> ModelError:
    return ModelError("MODEL_NOT_RUNNABLE", f"ONNX Runtime cannot load the model: {refusal}")


def _has_operators(model: ir.Model) -> bool:
    """Whether there is anything to convert: a tree ensemble has nothing, and may be large."""
    return any(
        not node.domain and node.op_type not in ("Cast", "Identity")
        for node in model.graph.all_nodes()
    )


def _normalize(work: _Work) -> Iterator[report.Warning]:
    """Inline functions and make all constants initializers of the main graph that are no inputs."""
    model = work.model
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


def _widen(work: _Work) -> Iterator[report.Warning]:
    infer_shapes(work.model)
    if widen_halves(work.model, work.loaded.weights):
        yield report.Warning(
            code=WarningCode.FLOAT16_WIDENED,
            message="The model is float16; what is not quantized is computed in float32, as ONNX "
            "Runtime does on CPUs. Inputs, outputs and stored weights stay float16.",
        )


def _raise_opset(work: _Work) -> None:
    if work.loaded.opset < work.min_opset and _has_operators(work.model):
        _convert(work.model, work.min_opset)


def _raise_for_hard_swish(work: _Work) -> None:
    opset = work.model.opset_imports[""]
    if opset < HARD_SWISH_OPSET and has_hard_swish(work.model.graph):
        _convert(work.model, HARD_SWISH_OPSET)
        infer_shapes(work.model)


def _convert(model: ir.Model, opset: int) -> None:
    convert_opset(model, opset)
    lift_constants(model)
    settle_names(model)


def _settle(work: _Work) -> None:
    settle_names(work.model)


def _infer(work: _Work) -> None:
    infer_shapes(work.model)


def _simplify(work: _Work) -> None:
    # A tied weight is one constant only where no Identity of it is computed.
    drop_no_ops(work.model.graph)
    free_invariants(work.model)
    fold_constants(work.model, work.loaded.weights)
    drop_no_ops(work.model.graph)


def _fuse(work: _Work) -> None:
    fuse_affine(work.model.graph, work.loaded.weights)


def _name_functions(work: _Work) -> None:
    model = work.model
    name_hard_functions(model.graph, work.loaded.weights, model.opset_imports[""])
    fuse_affine_before(model.graph, work.loaded.weights)


_REDUCE: _Passes = (_infer, _simplify, _fuse)
_WAYS: tuple[_Passes, ...] = (
    (_normalize, _widen, _raise_opset, *_REDUCE, _raise_for_hard_swish, _name_functions),
    (_normalize, _widen, _raise_opset, *_REDUCE, _name_functions),
    (_normalize, _widen, *_REDUCE),
    (_settle, _infer),
)
"""The next way is taken where one fails."""


def _is_weight(value: ir.Value) -> bool:
    """Whether an exporter that lists a value as an input lists all initializers as inputs."""
    return any(
        (has(use.node, Trait.WEIGHTED) and use.idx) or has(use.node, Trait.PAIR)
        for use in value.uses()
    )


def _check_loads(work: _Work, path: Path) -> None:
    """Write the model and load it in ONNX Runtime, which knows types that onnx does not.

    What it needs for that is the graph alone: its optimizations and the packing of weights would
    take several times as long.

    Raises:
        RuntimeRefusal: it does not load.
    """
    proto = ir.serde.serialize_model(work.model)
    path.write_bytes(proto.SerializeToString())
    unknown = unknown_values(work.model)
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
