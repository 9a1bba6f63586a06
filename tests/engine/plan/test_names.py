"""How options refer to nodes and operator types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine.errors import OptionError
from zeropoint.engine.plan import resolve_nodes, resolve_op_types

NODES = (
    ("backbone/conv1", "Conv"),
    ("backbone/conv2", "Conv"),
    ("head/Gemm", "Gemm"),
    ("odd[1]*", "Add"),
    ("odd1x", "Add"),
    ("twin", "Relu"),
    ("twin", "Relu"),
)


def test_exact_names_and_patterns() -> None:
    assert resolve_nodes(["head/Gemm"], NODES, "nodes_to_exclude") == {"head/Gemm"}
    assert resolve_nodes(["backbone/*"], NODES, "nodes_to_exclude") == {
        "backbone/conv1",
        "backbone/conv2",
    }
    assert resolve_nodes(["*conv[12]", "twin"], NODES, "nodes_to_exclude") == {
        "backbone/conv1",
        "backbone/conv2",
        "twin",
    }
    assert resolve_nodes([], NODES, "nodes_to_exclude") == frozenset()


def test_a_name_with_signs_of_patterns_is_a_name_first() -> None:
    assert resolve_nodes(["odd[1]*"], NODES, "nodes_to_exclude") == {"odd[1]*"}


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(
        OptionError, match=r"no node 'Head/gemm'.*did you mean 'head/Gemm'"
    ) as caught:
        resolve_nodes(["twin", "Head/gemm"], NODES, "nodes_to_exclude")
    assert caught.value.reason == "NODE_UNKNOWN"
    assert caught.value.metadata == {"option": "nodes_to_exclude", "node": "Head/gemm"}


def test_patterns_that_match_nothing_are_errors() -> None:
    with pytest.raises(OptionError, match="no node 'neck/\\*'"):
        resolve_nodes(["neck/*"], NODES, "nodes_to_quantize")


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_every_name_means_itself(names: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names))
    nodes = [(other, "Conv") for other in names]
    assert resolve_nodes([name], nodes, "nodes_to_exclude") == {name}


def test_op_types() -> None:
    assert resolve_op_types(["Conv", "MatMul"]) == {"Conv", "MatMul"}
    with pytest.raises(OptionError, match=r"'conv'.*did you mean 'Conv'") as caught:
        resolve_op_types(["conv"])
    assert caught.value.reason == "OP_TYPE_UNKNOWN"
    with pytest.raises(OptionError, match=r"'MaxPool'.*these can be: .*MatMul"):
        resolve_op_types(["MaxPool"], dynamic=True)


def test_op_types_of_the_model_may_be_named_though_they_have_no_integer_form() -> None:
    assert resolve_op_types(["Shape", "Conv"], present={"Shape"}) == {"Shape", "Conv"}
    assert resolve_op_types(["MaxPool"], present={"MaxPool"}, dynamic=True) == {"MaxPool"}
    with pytest.raises(OptionError, match="'Shape'"):
        resolve_op_types(["Shape"], present={"Conv"})
