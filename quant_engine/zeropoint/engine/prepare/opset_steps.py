"""What changes of an operator from one version of the operator set to the next, a row a step.

What a row leaves out is written the same in both versions and means the same: later versions take
more types, and attributes whose default is what was done before. A test holds the table to the
schemas of all operators.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, constant, graph_of, input_at, name_of, set_input

LAST_OPSET = 28
"""Up to here the table is complete."""

Step = Callable[[ir.Node, GraphEditor], None]
"""Writes a node as the next version has it, in place.

It raises ValueError where that cannot be said there.
"""


def _as_input(name: str, index: int, dtype: type[np.generic] | None = np.int64) -> Step:
    """Return the step from an attribute to a constant input; a `dtype` of None is the data's."""

    def step(node: ir.Node, editor: GraphEditor) -> None:
        attribute = node.attributes.pop(name, None)
        if attribute is None or attribute.value is None:
            return
        figures = np.array(attribute.value, dtype or _data_type(node))
        if figures.size:
            _set_constant(node, index, name, figures, editor)

    return step


def _both(*steps: Step) -> Step:
    def step(node: ir.Node, editor: GraphEditor) -> None:
        for each in steps:
            each(node, editor)

    return step


def _one_k(node: ir.Node, editor: GraphEditor) -> None:
    k = np.array([node.attributes.pop("k").as_int()])
    _set_constant(node, 1, "k", k, editor)


def _spatial(node: ir.Node, editor: GraphEditor) -> None:
    spatial = node.attributes.pop("spatial", None)
    if spatial is not None and not spatial.as_int():
        raise ValueError("a BatchNormalization has figures for each element")


def _only_first_output(node: ir.Node, editor: GraphEditor) -> None:
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise ValueError(f"what a {node.op_type} gives beside its result has changed")
    node.resize_outputs(1)


def _renamed(op_type: str) -> Step:
    def step(node: ir.Node, editor: GraphEditor) -> None:
        node.op_type = op_type

    return step


def _unless_given(name: str, text: str) -> Step:
    """Return the step that writes down what was the default or the only way."""

    def step(node: ir.Node, editor: GraphEditor) -> None:
        if name not in node.attributes:
            node.attributes[name] = ir.AttrString(name, text)

    return step


def _refused(node: ir.Node, editor: GraphEditor) -> None:
    raise ValueError(f"a {node.op_type} of this opset has no equal")


def _softmax(node: ir.Node, editor: GraphEditor) -> None:
    """Softmax worked on its input flattened to two dimensions, from its axis on."""
    axis = node.attributes.get_int("axis", 1)
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
    data = node.inputs[0]
    assert data is not None
    rank = len(data.shape) if data.shape is not None else None
    if axis in (-1, rank and rank - 1):
        return
    name = name_of(node)
    flat = editor.node("Flatten", (data,), name, attributes={"axis": axis})
    shape = editor.node("Shape", (data,), name)
    flat.outputs[0].type, shape.outputs[0].type = data.type, ir.TensorType(ir.DataType.INT64)
    inner = editor.node(node.op_type, flat.outputs, name, attributes={"axis": -1})
    inner.outputs[0].type = data.type
    editor.replace(
        node,
        flat,
        shape,
        inner,
        editor.node("Reshape", (inner.outputs[0], shape.outputs[0]), name),
    )


def _upsample(node: ir.Node, editor: GraphEditor) -> None:
    node.op_type = "Resize"
    node.meta[_ENLARGES] = True


def _resize(node: ir.Node, editor: GraphEditor) -> None:
    """ONNX Runtime took x / scale as the position; of the nearest elements floor to enlarge.

    To shrink it took ceil.
    """
    scales = node.inputs[1]
    _set_constant(node, 1, "roi", np.zeros(0, np.float32), editor)
    set_input(node, 2, scales)
    _set_text(node, "coordinate_transformation_mode", "asymmetric")
    if node.attributes.get_string("mode", "nearest") == "nearest":
        shrinks = not node.meta.pop(_ENLARGES, False) and _shrinks(scales)
        _set_text(node, "nearest_mode", "ceil" if shrinks else "floor")


def _shrinks(scales: ir.Value | None) -> bool:
    figures = constant(scales)
    if figures is None:
        raise ValueError("the direction of a Resize to computed scales is not known")
    if (figures < 1).any() and (figures > 1).any():
        raise ValueError("a Resize enlarges one axis and shrinks another")
    return bool((figures < 1).any())


def _number_of_parts(node: ir.Node, editor: GraphEditor) -> None:
    if input_at(node, 1) is None:
        count = len(node.outputs)
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", count)


def _transformed_axis(node: ir.Node, editor: GraphEditor) -> None:
    axis = node.attributes.pop("axis").as_int() if "axis" in node.attributes else 1
    _set_constant(node, 2, "axis", np.array(axis), editor)


def _interpolation(node: ir.Node, editor: GraphEditor) -> None:
    old = node.attributes.get_string("mode", "bilinear") or ""
    _set_text(node, "mode", {"bilinear": "linear", "bicubic": "cubic"}.get(old, old))


def _figures_of_channels(node: ir.Node, editor: GraphEditor) -> None:
    """Give GroupNormalization its scale and bias for each channel instead of each group."""
    data = node.inputs[0]
    shape = data.shape if data is not None else None
    groups = node.attributes["num_groups"].as_int()
    if shape is None or len(shape) < 2 or not isinstance(shape[1], int):
        raise ValueError("the channels of a GroupNormalization are not known")
    repeated = editor.constant(f"{node.name}_repeats", np.array([1, shape[1] // groups]))
    column = editor.constant(f"{node.name}_column", np.array([-1, 1]))
    flat = editor.constant(f"{node.name}_flat", np.array([-1]))
    for index in (1, 2):
        figures = node.inputs[index]
        name = f"{node.name}_{index}"
        steps = (("Reshape", column), ("Expand", repeated), ("Reshape", flat))
        for op_type, how in steps:
            new = editor.node(op_type, (figures, how), name)
            graph_of(node).insert_before(node, new)
            figures = new.outputs[0]
        node.replace_input_with(index, figures)


def _set_constant(
    node: ir.Node, index: int, name: str, array: NDArray[np.generic], editor: GraphEditor
) -> None:
    set_input(node, index, editor.constant(f"{node.name}_{name}", array))


def _set_text(node: ir.Node, name: str, value: str) -> None:
    node.attributes[name] = ir.AttrString(name, value)


def _data_type(node: ir.Node) -> np.dtype[np.generic]:
    data = input_at(node, 0)
    kind = data.dtype if data is not None else None
    if kind is None:
        raise ValueError(f"the type of what {node.op_type} reads is not known")
    return kind.numpy()


_ENLARGES = "zeropoint.enlarges"  # a Resize that was an Upsample, which cannot shrink

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")

STEPS: Mapping[tuple[str, int], Step] = {
    ("BatchNormalization", 9): _spatial,
    ("BatchNormalization", 14): _only_first_output,
    ("Clip", 11): _both(_as_input("min", 1, None), _as_input("max", 2, None)),
    ("DFT", 20): _transformed_axis,
    ("Dropout", 10): _only_first_output,
    ("Dropout", 12): _as_input("ratio", 1, np.float32),
    ("GridSample", 20): _interpolation,
    ("GroupNormalization", 21): _figures_of_channels,
    ("Hardmax", 13): _softmax,
    ("LogSoftmax", 13): _softmax,
    ("Pad", 11): _both(_as_input("pads", 1), _as_input("value", 2, None)),
    ("ReduceSum", 13): _as_input("axes", 1),
    ("Resize", 11): _resize,
    ("RoiAlign", 16): _unless_given("coordinate_transformation_mode", "output_half_pixel"),
    ("Scan", 9): _refused,
    ("Scatter", 11): _renamed("ScatterElements"),
    ("Slice", 10): _both(*(_as_input(n, i + 1) for i, n in enumerate(("starts", "ends", "axes")))),
    ("Softmax", 13): _softmax,
    ("Split", 13): _as_input("split", 1),
    ("Split", 18): _number_of_parts,
    ("Squeeze", 13): _as_input("axes", 1),
    ("TopK", 10): _one_k,
    ("Unsqueeze", 13): _as_input("axes", 1),
    ("Upsample", 9): _as_input("scales", 1, np.float32),
    ("Upsample", 10): _upsample,
    **{(f"Reduce{kind}", 18): _as_input("axes", 1) for kind in _REDUCTIONS},
}
"""By operator and the opset that brings its new version."""
