"""A MaxPool is of codes only where it is of codes with channels last."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.engine import kernels, quantize, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection

IMAGES = normal_batches({"x": (1, 3, 12, 12)}, count=2)


def network(before: Sequence[str], behind: Sequence[str]) -> GraphBuilder:
    """A Conv, some operators, a MaxPool, others, and a Gemm."""
    b = GraphBuilder(14)
    b.input("x", [1, 3, 12, 12])
    value = b.conv("x", "c", 3, 8)
    for index, op_type in enumerate((*before, "MaxPool", *behind)):
        output = f"{op_type}_{index}"
        if op_type == "Conv":
            value = b.conv(value, output, 8, 8)
        elif op_type == "Add":
            value = b.node("Add", [value, value], output)
        elif op_type == "MaxPool":
            value = b.node(op_type, [value], output, kernel_shape=[2, 2], strides=[2, 2])
        else:
            value = b.node(op_type, [value], output)
    rows = b.node("Flatten", [value], "rows")
    b.node("Gemm", [rows, b.weight("w", 8 * 6 * 6, 4), b.weight("b", 4)], "y")
    b.output("y")
    return b


@pytest.mark.parametrize(
    ("before", "behind", "pool"),
    [
        ((), (), "NhwcMaxPool"),
        (("Relu",), (), "NhwcMaxPool"),
        (("HardSwish",), ("Conv",), "NhwcMaxPool"),
        (("HardSwish",), ("LeakyRelu", "Conv"), "NhwcMaxPool"),
        (("HardSwish",), (), "MaxPool"),
        (("Add",), (), "MaxPool"),
        (("LeakyRelu",), ("LeakyRelu",), "MaxPool"),
    ],
)
def test_pools_of_codes_have_channels_last(
    tmp_path: Path, before: tuple[str, ...], behind: tuple[str, ...], pool: str
) -> None:
    source = network(before, behind).save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found[pool] == 1, found
    (state,) = (state for name, state in result.states().items() if name.startswith("maxpool"))
    assert state == ("quantized" if pool == "NhwcMaxPool" else "SLOWER")


def test_a_named_pool_is_of_codes(tmp_path: Path) -> None:
    b = network(("LeakyRelu",), ())
    names = tuple(node.name for node in b.nodes)
    options = static(selection=NodeSelection(nodes_to_quantize=names))
    result = quantize(b.save(tmp_path), IMAGES, options, tmp_path / "job")
    assert set(result.states().values()) == {"quantized"}
