"""Seeing tensors in ONNX Runtime's blocked layout: the same values, and nothing of the filling."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine.observe import (
    ExposedModel,
    GroupSession,
    Observer,
    block_size,
    expose_blocked,
    own_values,
)
from zeropoint.engine.runtime import Session
from zeropoint.sketch import Sketch


def chain(channels: Sequence[int], activation: str) -> GraphBuilder:
    """Convolutions one after the other, each with an activation that is fused into it."""
    b = GraphBuilder()
    b.input("x", ["N", 3, "H", "W"])
    before, name = 3, "x"
    for index, count in enumerate(channels):
        b.conv(name, f"c{index}", before, count)
        b.node(activation, [f"c{index}"], f"a{index}")
        before, name = count, f"a{index}"
    b.output(name, ["N", before, "H", "W"])
    return b


def open_all(b: GraphBuilder, tensors: Sequence[str], folder: Path) -> GroupSession:
    exposed = ExposedModel(ir.from_proto(b.model()), tensors, folder)
    path, wanted = exposed.write(1, 0)
    return GroupSession(path, wanted, threads=1, blocked=True)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "HardSigmoid", "Tanh"])
@pytest.mark.parametrize("channels", [(16, 32), (24, 40, 8), (5, 10, 17), (1, 3)])
def test_the_values_are_those_of_the_plain_layout(
    tmp_path: Path, channels: tuple[int, ...], activation: str, samples: int
) -> None:
    """Filled-up channels hold what the activation makes of 0, such as 0.5 for Sigmoid."""
    b = chain(channels, activation)
    tensors = tuple(f"a{index}" for index in range(len(channels)))
    (batch,) = normal_batches({"x": (samples, 3, 9, 7)}, 1, 3)
    proto = b.model()
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors[:-1])
    onnx.save(proto, tmp_path / "plain.onnx")
    plain = Session(tmp_path / "plain.onnx")
    wanted = dict(zip(plain.outputs, plain.run(batch), strict=True))
    for seen in open_all(b, tensors, tmp_path).run(batch):
        found, expected = Sketch(), Sketch()
        for part in seen.parts:
            found.update(part)
        expected.update(wanted[seen.name])
        assert found == expected, seen.name
        assert seen.size == wanted[seen.name].size


def test_convolutions_are_seen_without_conversion(tmp_path: Path) -> None:
    b = chain((16, 32, 24), "Relu")
    session = open_all(b, ("a0", "a1", "a2"), tmp_path)
    left = onnx.load(tmp_path / "observed-1-of-1.blocked.onnx", load_external_data=False)
    converted = [node for node in left.graph.node if node.op_type == "ReorderOutput"]
    assert not converted
    assert set(session._blocked) == {"a0", "a1", "a2"}


def test_what_other_operators_read_stays_converted(tmp_path: Path) -> None:
    """LRN has no blocked form, so its input is converted anyway, and seen like that."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "c", 3, 16)
    b.node("LRN", ["c"], "y", size=3)
    b.output("y", ["N", 16, 8, 8])
    assert open_all(b, ("c", "y"), tmp_path)._blocked == {}


def test_a_body_may_read_what_is_seen(tmp_path: Path) -> None:
    """A graph of If reads the tensor by its name, which the blocked form does not have."""
    b = chain((16,), "Relu")
    proto = b.model()
    then, otherwise = (
        onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["a0"], [f"{op}_y"])],
            op,
            [],
            [onnx.helper.make_tensor_value_info(f"{op}_y", onnx.TensorProto.FLOAT, None)],
        )
        for op in ("Abs", "Neg")
    )
    proto.graph.input.append(onnx.helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, []))
    proto.graph.node.append(
        onnx.helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=otherwise)
    )
    proto.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    )
    watching = Observer(
        ir.from_proto(proto), ("a0",), workspace=tmp_path, threads=1, observe_bytes=1 << 30
    )
    (batch,) = normal_batches({"x": (2, 3, 8, 8)}, 1, 3)
    watching.observe({**batch, "flag": np.array(True)})
    assert watching.sketches()["a0"].elements == 2 * 16 * 8 * 8
    watching.close()


def test_filling_is_left_out() -> None:
    block = block_size()
    assert block in (8, 16)
    channels, filled = block + 3, 2 * block
    logical = np.arange(2 * filled * 6, dtype=np.float32).reshape(2, filled, 2, 3)
    stored = logical.reshape(2, 2, block, 2, 3).transpose(0, 1, 3, 4, 2)
    array = np.ascontiguousarray(stored).reshape(2, filled, 2, 3)
    values = np.concatenate([part.reshape(-1) for part in own_values(array, channels)])
    np.testing.assert_array_equal(np.sort(values), np.sort(logical[:, :channels].reshape(-1)))


def test_a_graph_without_blocked_outputs_is_left_alone(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.node("MatMul", ["x", b.weight("w", 4, 4)], "y")
    b.output("y", ["N", 4])
    b.save(tmp_path)
    source = next(tmp_path.glob("*.onnx"))
    assert expose_blocked(source, tmp_path / "changed.onnx") == {}
    assert not (tmp_path / "changed.onnx").exists()
