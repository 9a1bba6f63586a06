"""Each step of the operator table: written for a later opset, a node gives what it gave before."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.engine import run
from support.graphs import Array, GraphBuilder
from support.preparing import prepared, saved, uniform

from zeropoint.engine.prepare.opset_steps import LAST_OPSET, STEPS

_TARGETS = (10, 11, 12, 13, 18, 20, 21)


@dataclass(frozen=True)
class Case:
    """One node of an opset; of its inputs the first is fed and the others are constants."""

    op_type: str
    opset: int
    inputs: tuple[Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __str__(self) -> str:
        words = (f"{name}={value}" for name, value in self.attributes.items())
        return "-".join((self.op_type, str(self.opset), *words)).replace(" ", "")

    def model(self, *, fed: bool = False) -> onnx.ModelProto:
        """Return the model; with `fed`, all inputs are the graph's, none is a constant."""
        b = GraphBuilder(self.opset)
        names = []
        for number, array in enumerate(self.inputs):
            name = f"x{number}" if array is not None else ""
            names.append(name)
            if array is None:
                continue
            if number == 0 or fed:
                kind = helper.np_dtype_to_tensor_dtype(array.dtype)
                b.input(name, array.shape if number else ["N"] * array.ndim, kind)
                b.inputs[-1].type.tensor_type.elem_type = kind
            else:
                b.constant(name, array)
        outputs = [f"y{number}" for number in range(self.outputs)]
        b.nodes.append(helper.make_node(self.op_type, names, outputs, "node", **self.attributes))
        b.outputs = [onnx.ValueInfoProto(name=name) for name in outputs]
        return b.model()

    def feeds(self) -> dict[str, Array]:
        assert self.inputs[0] is not None
        return {"x0": self.inputs[0]}


def floats(*figures: float) -> Array:
    return np.array(figures, np.float32)


X = uniform(0, 2, 3, 8, 6) * 2 - 1
ROWS = uniform(1, 2, 3, 8) * 2 - 1
VOLUME = uniform(2, 1, 2, 3, 4, 5)
CHANNELS = tuple(uniform(n, 3) + 0.1 for n in range(4))
GRID = uniform(3, 2, 4, 5, 2) * 2.4 - 1.2
_RESIZED = [
    *(((1, 1, a, b), X) for a, b in ((2, 2), (1.7, 2.3), (3, 1))),
    ((1, 2, 3), ROWS),
    ((2, 1.5), ROWS[0]),
]
_SHRUNK = [((1, 1, 0.77, 0.61), X), ((1, 1, 0.5, 1), X), ((1, 1, 0.5, 2), X)]
_POOLED: list[dict[str, Any]] = [
    {"pads": [1, 0, 1, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"ceil_mode": 1, "strides": [2, 2], "pads": [1, 1, 1, 1]},
]
_REDUCED = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

CASES = [
    *(
        Case(
            "Upsample",
            opset,
            (x, *([floats(*s)] if opset == 9 else [])),
            {"mode": mode, **({} if opset == 9 else {"scales": [float(v) for v in s]})},
        )
        for opset in (7, 8, 9)
        for mode in ("nearest", "linear", "cubic")
        for s, x in (*_RESIZED, ((1, 1, 2, 1.5, 2), VOLUME))
        if mode != "cubic" or len(s) in (2, 4)
    ),
    *(
        Case("Resize", 10, (x, floats(*s)), {"mode": mode})
        for mode in ("nearest", "linear", "cubic")
        for s, x in (*_RESIZED, *_SHRUNK)
        if (mode != "cubic" or len(s) in (2, 4)) and not (mode == "nearest" and min(s) < 1 < max(s))
    ),
    *(
        Case(
            "Resize",
            opset,
            (X, floats(), floats(1, 1, *s)),
            {"mode": mode, "coordinate_transformation_mode": place, **more},
        )
        for opset in (11, 13)
        for mode, more in (
            ("nearest", {}),
            ("nearest", {"nearest_mode": "ceil"}),
            ("linear", {}),
            ("cubic", {}),
            ("cubic", {"exclude_outside": 1}),
        )
        for place in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
        for s in ((2, 1.5), (0.6, 0.5))
    ),
    Case("Resize", 11, (X, floats(), floats(), np.array([2, 3, 5, 9]))),
    Case("Clip", 7, (X,), {"min": -0.3, "max": 0.4}),
    Case("Clip", 7, (X,), {"max": 0.4}),
    Case("Clip", 10, (X,), {"min": -0.1}),
    Case("Clip", 6 + 3, (X,)),
    *(
        Case("Pad", opset, (X,), {"pads": [0, 0, 1, 2, 0, 0, 2, 1], "mode": mode, **more})
        for opset in (7, 10)
        for mode, more in (
            ("constant", {}),
            ("constant", {"value": 0.5}),
            ("reflect", {}),
            ("edge", {}),
        )
    ),
    Case("Slice", 7, (X,), {"starts": [1, 0], "ends": [-1, 4], "axes": [2, 3]}),
    Case("Slice", 9, (X,), {"starts": [0, 1], "ends": [1, 3]}),
    Case("TopK", 7, (ROWS,), {"k": 3}, outputs=2),
    Case("TopK", 9, (ROWS,), {"k": 2, "axis": 1}, outputs=2),
    Case("TopK", 10, (ROWS, np.array([2])), outputs=2),
    Case("Squeeze", 7, (X[:1],), {"axes": [0]}),
    Case("Squeeze", 11, (X[:1],)),
    Case("Squeeze", 12, (X[:1, :, :1],), {"axes": [0, 2]}),
    Case("Unsqueeze", 7, (X,), {"axes": [1, 3]}),
    Case("Unsqueeze", 12, (X,), {"axes": [-1]}),
    *(
        Case(
            f"Reduce{kind}",
            opset,
            (np.abs(X) + 0.1,),
            {"axes": axes, "keepdims": keep} if axes else {},
        )
        for kind in _REDUCED
        for opset in (7, 12, 13, 17)
        for axes, keep in (([1, 3], 0), ([2], 1), (None, 1))
        if not (kind == "Sum" and opset >= 13)
    ),
    *(Case("Split", opset, (X,), {"axis": 3, "split": [2, 4]}, outputs=2) for opset in (7, 11, 12)),
    *(Case("Split", opset, (X,), {"axis": 2}, outputs=2) for opset in (7, 12, 13, 17)),
    Case("Split", 13, (X, np.array([1, 5])), {"axis": 3}, outputs=2),
    *(
        Case(kind, opset, (x,), {"axis": axis} if axis is not None else {})
        for kind in ("Softmax", "LogSoftmax", "Hardmax")
        for opset in (7, 11, 12)
        for x in (X, ROWS, ROWS[0])
        for axis in (None, *range(x.ndim), *([-1, -2] if opset > 10 else []))
    ),
    Case("BatchNormalization", 7, (X, *CHANNELS), {"epsilon": 0.01}),
    Case("BatchNormalization", 7, (X, *CHANNELS), {"spatial": 1}),
    Case("BatchNormalization", 9, (X, *CHANNELS)),
    Case("BatchNormalization", 13, (X, *CHANNELS)),
    Case("Dropout", 7, (X,), {"ratio": 0.3}),
    Case("Dropout", 11, (X,)),
    Case("Gemm", 7, (ROWS[0], uniform(4, 8, 5), uniform(5, 5)), {"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", 10, (ROWS[0], uniform(4, 5, 8), uniform(5, 3, 1)), {"transB": 1}),
    Case("Gemm", 7, (ROWS[0], uniform(4, 8, 5), uniform(5, 1))),
    *(Case("PRelu", opset, (X, uniform(6, 3, 1, 1))) for opset in (7, 9)),
    Case("PRelu", 7, (X, uniform(6, 1))),
    *(
        Case(
            "AveragePool", opset, (X,), {"kernel_shape": [3, 2], "count_include_pad": count, **more}
        )
        for opset in (7, 10, 11)
        for count in (0, 1)
        for more in _POOLED[: 3 if opset > 7 else 2]
    ),
    *(
        Case(
            "MaxPool",
            opset,
            (X,),
            {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], **more},
            outputs=2,
        )
        for opset, more in (
            (8, {}),
            (10, {"ceil_mode": 1, "strides": [2, 2]}),
            (11, {"dilations": [2, 1]}),
        )
    ),
    Case("LpPool", 7, (X,), {"kernel_shape": [2, 2], "p": 2}),
    Case("LpPool", 11, (X,), {"kernel_shape": [3, 3], "p": 1, "pads": [1, 1, 1, 1]}),
    Case("LRN", 7, (X,), {"size": 3}),
    Case("ArgMax", 7, (X,), {"axis": 2, "keepdims": 0}),
    Case("ArgMin", 11, (np.round(X),), {"axis": 1}),
    Case("DepthToSpace", 7, (uniform(8, 1, 8, 2, 3),), {"blocksize": 2}),
    Case("Scatter", 9, (ROWS, np.array([[[0, 1]]]), np.ones((1, 1, 2), np.float32)), {"axis": 2}),
    Case(
        "ScatterElements",
        11,
        (ROWS, np.array([[[0, 1]]]), np.ones((1, 1, 2), np.float32)),
        {"axis": 2},
    ),
    Case("ScatterND", 13, (ROWS, np.array([[1, 2]]), np.ones((1, 8), np.float32))),
    Case("Reshape", 7, (X, np.array([0, -1]))),
    Case("Expand", 8, (X[:1], np.array([2, 3, 1, 1]))),
    Case("Shape", 7, (X,)),
    Case("OneHot", 9, (np.array([[0, 2], [1, 1]]), np.array(3), floats(0, 1))),
    Case("CumSum", 11, (ROWS, np.array(1, np.int32))),
    Case("GatherND", 11, (ROWS, np.array([[1, 2], [0, 0]]))),
    Case("Pow", 7, (np.abs(X), floats(2))),
    Case("Erf", 9, (X,)),
    Case(
        "ConvTranspose",
        7,
        (X, uniform(9, 3, 2, 3, 3)),
        {"strides": [2, 2], "output_padding": [1, 1]},
    ),
    Case(
        "ConvTranspose",
        7,
        (X, uniform(9, 3, 2, 3, 3)),
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    Case(
        "LSTM",
        7,
        (ROWS, uniform(1, 1, 16, 8), uniform(2, 1, 16, 4), uniform(3, 1, 32)),
        {"hidden_size": 4},
        3,
    ),
    Case(
        "GRU",
        7,
        (ROWS, uniform(1, 1, 12, 8), uniform(2, 1, 12, 4)),
        {"hidden_size": 4, "linear_before_reset": 1},
        2,
    ),
    Case("RNN", 7, (ROWS, uniform(1, 1, 4, 8), uniform(2, 1, 4, 4)), {"hidden_size": 4}, 2),
    *(
        Case(
            "RoiAlign",
            opset,
            (X, floats(0, 0, 3, 3, 1, 1, 5, 4).reshape(2, 4), np.array([0, 1])),
            {"output_height": 2, "output_width": 3, "spatial_scale": 0.7, "mode": mode},
        )
        for opset in (10, 15)
        for mode in ("avg", "max")
    ),
    *(
        Case(
            "GridSample",
            opset,
            (X, GRID),
            {"mode": mode, "padding_mode": pad, "align_corners": corners},
        )
        for opset in (16, 19)
        for mode in ("bilinear", "nearest", "bicubic")
        for pad in ("zeros", "border", "reflection")
        for corners in (0, 1)
    ),
    Case("GridSample", 16, (X, GRID)),
    *(
        Case("DFT", opset, (uniform(7, 2, 8, 6, 1), *length), attributes)
        for opset in (17, 19)
        for length in ((), (np.array(5),))
        for attributes in ({}, {"axis": 2}, {"axis": 1, "onesided": 1}, {"axis": 1, "inverse": 0})
    ),
    Case("LayerNormalization", 17, (ROWS, uniform(1, 8), uniform(2, 8))),
    Case("MeanVarianceNormalization", 9, (X,)),
    Case("Mish", 18, (X,)),
    Case("IsInf", 10, (X,)),
    Case("Where", 9, (X > 0, X, -X)),
    Case(
        "NonMaxSuppression",
        10,
        (uniform(1, 1, 6, 4), uniform(2, 1, 1, 6), np.array([3]), floats(0.5)),
    ),
    Case("Flatten", 7, (X,), {"axis": 2}),
    Case("HardSwish", 14, (X,)),
    Case("Sum", 7, (X, -2 * X, X)),
    Case("Max", 7, (X, -X)),
    Case("QuantizeLinear", 10, (X, floats(0.1)[0], np.array(3, np.uint8))),
    Case("EyeLike", 9, (ROWS[0],)),
    Case("STFT", 17, (uniform(1, 1, 32, 1), np.array(4), uniform(2, 8))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_node_gives_the_same_in_each_later_opset(case: Case, tmp_path: Path) -> None:
    _stays_the_same(case.model(), case.feeds(), case.opset, tmp_path)


def _stays_the_same(
    model: onnx.ModelProto, feeds: dict[str, Array], opset: int, folder: Path
) -> None:
    source = saved(model, folder)
    wanted = run(source, feeds, optimize=False)
    for target in _TARGETS:
        if target <= opset:
            continue
        (folder / str(target)).mkdir()
        result = prepared(source, folder / str(target), target)
        assert (result.opset, result.contrib_qdq) == (target, False)
        for one, other in zip(wanted, run(result.path, feeds, optimize=False), strict=True):
            assert one.dtype == other.dtype
            if one.dtype.kind == "f":
                np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)
            else:
                np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [9, 10])
def test_computed_scales_are_followed(opset: int, mode: str, tmp_path: Path) -> None:
    """Of a Resize that may enlarge or shrink, the nearest elements cannot be named."""
    op_type = "Upsample" if opset == 9 else "Resize"
    case = Case(op_type, opset, (X, floats(1, 1, 1.7, 2.3)), {"mode": mode})
    feeds = {**case.feeds(), "x1": floats(1, 1, 1.7, 2.3)}
    if (op_type, mode) == ("Resize", "nearest"):
        result = prepared(saved(case.model(fed=True), tmp_path), tmp_path)
        assert (result.opset, result.contrib_qdq) == (10, True)
    else:
        _stays_the_same(case.model(fed=True), feeds, opset, tmp_path)


_STEPPED = {
    ("Upsample", 9),
    ("Resize", 10),
    ("Slice", 9),
    ("Clip", 7),
    ("Softmax", 12),
    ("TopK", 9),
}
_STEPPED |= {("Split", 12), ("Squeeze", 12), ("Unsqueeze", 12), ("Pad", 10), ("ReduceSum", 12)}
_IN_BODIES = [case for case in CASES if (case.op_type, case.opset) in _STEPPED]


@pytest.mark.parametrize("case", _IN_BODIES, ids=str)
def test_nodes_in_bodies_are_converted_too(case: Case, tmp_path: Path) -> None:
    graph = case.model().graph
    b = GraphBuilder(case.opset)
    b.inputs, b.initializers = [*graph.input], [*graph.initializer]
    b.input("chosen", [], TensorProto.BOOL)
    branches: dict[str, Any] = {}
    for branch in ("then_branch", "else_branch"):
        inner = GraphBuilder(case.opset)
        names = [f"{branch}_y{number}" for number in range(case.outputs)]
        node = helper.make_node(case.op_type, graph.node[0].input, names, branch, **case.attributes)
        inner.nodes.append(node)
        for number, name in enumerate(names):
            indices = case.op_type == "TopK" and number == 1
            inner.output(name, dtype=TensorProto.INT64 if indices else TensorProto.FLOAT)
        branches[branch] = inner.graph(branch)
    outputs = [f"z{number}" for number in range(case.outputs)]
    b.nodes.append(helper.make_node("If", ["chosen"], outputs, "if", **branches))
    b.outputs = [onnx.ValueInfoProto(name=name) for name in outputs]
    feeds = {**case.feeds(), "chosen": np.array(True)}
    _stays_the_same(b.model(), feeds, case.opset, tmp_path)


def _difference(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    """Whether a node of one version may not be one of the next that means the same."""
    before, after = old.attributes, new.attributes
    gone = before.keys() - after.keys()
    other = [
        name
        for name in before.keys() & after.keys()
        if before[name].default_value != after[name].default_value
        or after[name].required > before[name].required
    ]
    added = [name for name in after if name not in before and after[name].required]
    inputs = old.min_input < new.min_input or old.max_input > new.max_input
    outputs = old.min_output < new.min_output or old.max_output > new.max_output
    return bool(gone or other or added or inputs or outputs or new.deprecated)


def test_the_table_has_all_operators_that_are_written_differently() -> None:
    versions: dict[str, dict[int, onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain:
            versions.setdefault(schema.name, {})[schema.since_version] = schema
    changed = {
        (name, new)
        for name, of in versions.items()
        for old, new in zip(sorted(of), sorted(of)[1:], strict=False)
        if new > 7 and _difference(of[old], of[new])
    }
    assert changed - STEPS.keys() == set()
    # Same in writing, but not in meaning or in types.
    meant = {("Dropout", 10), ("GroupNormalization", 21), ("RoiAlign", 16), ("Split", 18)}
    assert STEPS.keys() - changed == meant
    assert onnx.defs.onnx_opset_version() <= LAST_OPSET
