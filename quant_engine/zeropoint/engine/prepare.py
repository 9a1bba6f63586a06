"""Bringing a model into the form that quantization works on; it computes the same as before."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common

from zeropoint.engine import report
from zeropoint.engine.errors import ModelError
from zeropoint.engine.fold import fold_constants
from zeropoint.engine.fuse import fuse_affine
from zeropoint.engine.infer import infer_shapes
from zeropoint.engine.load import LoadedModel
from zeropoint.engine.opset import convert_opset, settle_ir_version
from zeropoint.engine.origins import carrying_origins, origins
from zeropoint.engine.sessions import Session
from zeropoint.engine.simplify import drop_no_ops, remove_unused

_OLDEST_OPSET = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model ready to be planned for.

    Attributes:
        model: The graph: no local functions, constants as initializers of the main graph that are
            no inputs, BatchNormalization folded where it can be.
        opset: Version of its default operator set.
        contrib_qdq: Whether the opset could not be raised, so that quantization has to use the
            operators of com.microsoft.
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


def prepare_model(loaded: LoadedModel, *, min_opset: int, workspace: Path) -> PreparedModel:
    """Prepare a model; `loaded.model` is used up.

    Args:
        loaded: The model.
        min_opset: The lowest opset that the wanted result can be written in.
        workspace: A folder for the job's own files.

    Raises:
        ModelError: MODEL_UNSUPPORTED, the opset is too old, or the model cannot be prepared;
            MODEL_NOT_RUNNABLE, ONNX Runtime cannot load the user's model either.
    """
    model = loaded.model
    if loaded.opset < _OLDEST_OPSET:
        raise ModelError("MODEL_UNSUPPORTED", f"opset {loaded.opset}")
    with carrying_origins(model):
        common.InlinePass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    common.RemoveInitializersFromInputsPass()(model)
    settle_ir_version(model)
    infer_shapes(model)
    if loaded.opset < min_opset:
        convert_opset(model, min_opset)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        infer_shapes(model)
    fold_constants(model, loaded.weights)
    drop_no_ops(model.graph)
    fuse_affine(model.graph, loaded.weights)
    remove_unused(model.graph)
    path = workspace / "prepared.onnx"
    path.write_bytes(ir.to_proto(model).SerializeToString())
    Session(path)
    return PreparedModel(
        model=model,
        opset=model.opset_imports[""],
        contrib_qdq=False,
        path=path,
        warnings=loaded.warnings,
    )
